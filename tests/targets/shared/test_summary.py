"""The counts of a run: what is committed is counted, what was taken back is not."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

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
    summary = Summary(started=100.0, replays=2)
    summary.received.update(orders=60, customers=40)
    summary.rejected["orders"] += 2
    summary.commit(summary.counts())
    monkeypatch.setattr("time.monotonic", lambda: 104.0)
    assert summary.seconds() == 4.0
    summary.log(LOG, "the table t")
    assert caplog.messages == [
        "Stream `customers`: 40 rows loaded.",
        "Stream `orders`: 60 rows loaded.",
        "Stream `orders`: 2 records are set aside in the table t, with the reasons.",
        "100 rows in 4.0 s (25 rows/s), 1 commit, a unit written again 2 times.",
    ]
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO", "WARNING", "INFO"]


def test_a_run_that_took_no_time_is_logged_too(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    Summary(started=100.0).log(LOG, "the table t")
    assert caplog.messages == ["0 rows in 0.0 s (0 rows/s), 0 commits."]
