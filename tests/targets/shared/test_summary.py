"""The counts of a run: what is committed is counted, what was taken back is not."""

from __future__ import annotations

import json
import logging
from collections import Counter

import pytest

from singerkit_shell.progress import Progress
from singerkit_state.howfar import bookmark_in
from singerkit_target.along import Along
from singerkit_target.outcomes import Outcome, Outcomes
from singerkit_target.summary import Summary

LOG = logging.getLogger("summary")


def test_rows_count_as_committed_at_a_commit_only() -> None:
    summary = Summary()
    assert (summary.committed_rows, summary.commits) == (0, 0)
    summary.received["a"] += 3
    assert summary.committed_rows == 0
    summary.commit(summary.counts())
    summary.received["a"] += 1
    summary.received["b"] += 2
    assert (summary.committed_rows, summary.commits) == (3, 1)
    summary.commit(summary.counts())
    assert summary.committed == Counter(a=4, b=2)
    assert (summary.committed_rows, summary.commits) == (6, 2)


def test_what_was_taken_back_is_not_counted() -> None:
    summary = Summary()
    summary.received["a"] += 3
    summary.rejected["a"] += 1
    safe = summary.counts()
    for _ in range(2):
        summary.received["a"] += 5
        summary.rejected["b"] += 1
        summary.back_to(safe)
        assert (summary.received, summary.rejected) == (Counter(a=3), Counter(a=1))
    summary.commit(summary.counts())
    summary.received["a"] += 7
    assert summary.committed == Counter(a=3), "what comes later does not change what is committed"


def test_a_unit_that_is_written_again_counts_once() -> None:
    summary = Summary()
    summary.received["a"] += 3
    summary.rejected["a"] += 1
    summary.commit(summary.counts())
    summary.received["a"] += 5
    summary.rejected["a"] += 2
    for again in (1, 2):
        summary.begin_again()
        assert (summary.received, summary.rejected) == (Counter(a=3), Counter(a=1))
        assert (summary.replays, summary.commits) == (again, 1)
        summary.received["a"] += 5
        summary.rejected["a"] += 3
    summary.commit(summary.counts())
    assert (summary.committed, summary.rejected_before) == (Counter(a=8), Counter(a=4))


def test_two_summaries_share_nothing() -> None:
    first, second = Summary(), Summary()
    for counts in (first.received, first.committed, first.rejected, first.rejected_before):
        counts["a"] += 1
    assert second == Summary(started=second.started)
    assert not any((second.received, second.committed, second.rejected, second.rejected_before))


def test_a_run_begins_when_its_summary_is_made() -> None:
    assert 0 <= Summary().seconds() < 60


def test_the_log_has_a_line_per_stream_and_one_for_the_run(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    summary = Summary(started=100.0, replays=2)
    summary.received.update(orders=60, customers=40)
    summary.rejected["orders"] += 2
    now[0] = 103.0
    summary.spent.on("orders")
    now[0] = 104.0
    summary.commit(summary.counts())
    assert summary.seconds() == 4.0
    summary.log(LOG, "the table t")
    metrics = [json.loads(said.removeprefix("METRIC: ")) for said in caplog.messages[2:6]]
    assert [(one["metric"], one["value"], one["tags"]["stream"]) for one in metrics] == [
        ("record_count", 40, "customers"),
        ("batch_processing_time", 0.4, "customers"),
        ("record_count", 60, "orders"),
        ("batch_processing_time", 3.6, "orders"),
    ]
    assert caplog.messages[:2] + caplog.messages[6:] == [
        "Stream `customers`: 40 rows loaded in 0.4 s.",
        "Stream `orders`: 60 rows loaded in 3.6 s.",
        "Stream `orders`: 2 records are set aside in the table t, with the reasons.",
        "100 rows in 4.0 s (25 rows/s), 1 commit, a unit written again 2 times.",
    ]
    assert [record.levelname for record in caplog.records[6:]] == ["WARNING", "INFO"]


def test_a_run_that_took_no_time_is_logged_too(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    Summary(started=100.0).log(LOG, "the table t")
    assert caplog.messages == ["0 rows in 0.0 s (0 rows/s), 0 commits."]


BEFORE = {"bookmarks": {"orders": {"replication_key_value": "2026-01-01"}, "parts": {"partitions": []}}}
AFTER = {
    "bookmarks": {"orders": {"replication_key_value": "2026-01-03"}, "new": {"replication_key_value": 7}}
}


def test_bookmarks_are_told_where_they_moved(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    summary = Summary()
    summary.received.update(orders=2, new=1, parts=3)
    summary.commit(summary.counts())
    outcomes = Outcomes()
    outcomes.note("orders", Outcome(1, 1))
    outcomes.note("parts", Outcome())
    outcomes.note_columns("orders", ["a"])
    outcomes.note_columns("parts", [f"a\n{n}" for n in range(7)])
    summary.log(LOG, "the table t", BEFORE, AFTER, outcomes)
    assert caplog.messages[:3] == [
        "Stream `new`: 1 row loaded in 0.0 s; its bookmark is `7`.",
        "Stream `orders`: 2 rows loaded (1 new, 1 changed) in 0.0 s; its bookmark went from `2026-01-01` to `2026-01-03`; column added: a.",
        "Stream `parts`: 3 rows loaded (none new, none changed) in 0.0 s; columns added: a 0, a 1, a 2, a 3, a 4, 2 more.",
    ]
    changes = [said.removeprefix("METRIC: ") for said in caplog.messages if "changed_record_count" in said]
    assert [json.loads(said)["value"] for said in changes] == [2, 0], "which a machine reads"


def test_a_terminal_is_shown_a_table_of_what_is_committed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    summary = Summary()
    summary.received.update(orders=1200, new=1)
    summary.rejected["orders"] += 2
    now[0] = 104.0
    summary.spent.on("orders")
    summary.commit(summary.counts())
    summary.received["orders"] += 5  # and rolled back
    summary.log(LOG, "the table t", BEFORE, AFTER)
    assert caplog.messages[0].splitlines() == [
        "What was loaded:",
        "stream   rows  set aside  seconds  rows/s  bookmark before  bookmark after",
        "new         1                 0.0                           7",
        "orders  1,200          2      4.0     300  2026-01-01       2026-01-03",
    ]
    caplog.clear()
    outcomes = Outcomes()
    for stream, outcome in {"new": Outcome(1), "gone": Outcome(0, 0, 3)}.items():
        outcomes.note(stream, outcome)
    outcomes.note_columns("new", ["a", "b"])
    summary.log(LOG, "the table t", outcomes=outcomes)
    assert caplog.messages[0].splitlines() == [
        "What was loaded:",
        "stream   rows  new  changed  deleted  set aside  seconds  rows/s  columns added",
        "gone        0    0        0        3",
        "new         1    1        0                          0.0          a, b",
        "orders  1,200                                 2      4.0     300",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [("x" * 50, "x" * 37 + "..."), ("a\nb", "a b"), ({"a": 1}, ""), (True, ""), (1.5, "1.5")],
)
def test_a_bookmark_is_one_short_word(value: object, shown: str) -> None:
    assert bookmark_in({"bookmarks": {"s": {"replication_key_value": value}}}, "s") == shown
    assert bookmark_in({"bookmarks": []}, "s") == bookmark_in(None, "s") == ""


def test_a_bookmark_of_singer_python_stands_under_the_name_of_its_field() -> None:
    state = {"bookmarks": {"s": {"updated_at": "2026-01-01"}, "t": {"version": 1}, "u": {"a": "1", "b": "2"}}}
    assert [bookmark_in(state, name) for name in "stu"] == ["2026-01-01", "", ""]


def test_a_log_has_a_line_every_ten_seconds(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    summary, along, progress = Summary(started=100.0), Along(LOG), Progress(LOG)
    for second in range(25):
        now[0] = 100.0 + second
        summary.received["a"] += 1000
        if second == 5:
            summary.commit(summary.counts())
        along.tell(summary)
        progress.add("a", 1000)
    assert caplog.messages == [
        "11,000 rows so far, 6,000 of them committed (1,100 rows/s).",
        "a: 11,000 rows in 10.0 s (1,100 rows/s) so far",
        "21,000 rows so far, 6,000 of them committed (1,050 rows/s).",
        "a: 21,000 rows in 20.0 s (1,050 rows/s) so far",
    ]
