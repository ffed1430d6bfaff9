"""Log-based streams: the order of changes, where STATEs stand, the start of a stream, and how a run ends."""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries
from taps.shared.log_file import LogFile, delete, put, truncate
from taps.shared.log_model import Run, Tables, tap_class

from singerkit_shell.errors import BadDataError, ConfigurationError, RetryableError, SingerkitError


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogFile]:
    file = LogFile(tmp_path / "log.db")
    yield file
    file.close()


def config(log: LogFile, /, **settings_: Any) -> dict[str, Any]:
    return {"path": log.path, "select": ["a", "b", "k"], **settings_}


def read(log: LogFile, tables: Tables, /, **settings_: Any) -> Run:
    run = Run(config(log, **settings_), tables.state).done()
    tables.load(run.messages)
    return run


def test_changes_come_in_the_order_of_their_commits_across_streams(log: LogFile) -> None:
    tables = Tables()
    log.commit(put("a", id=0, v="before"))
    read(log, tables)
    log.commit(put("a", id=1, v="x"), put("b", id=1, v="x"), put("a", id=2, v="x"))
    log.commit(put("k", id=1, v="x"), delete("a", id=1), put("b", id=1, v="y"))
    run = read(log, tables)
    assert [(stream, record["id"], record.get("v")) for stream, record in run.records] == [
        ("a", 1, "x"), ("b", 1, "x"), ("a", 2, "x"), ("k", 1, "x"), ("a", 1, None), ("b", 1, "y"),
    ]  # fmt: skip
    tables.check(log)


def test_the_shape_of_the_state(log: LogFile) -> None:
    log.commit(put("a", id=1, v="x"))
    state = read(log, Tables(), select=["a"]).states[-1]
    assert state["_singerkit_log"] == {"source": "log-1", "position": 1}
    part = state["bookmarks"]["a"]
    assert (part["replication_key"], part["replication_key_value"]) == ("_sdc_log_position", "1")
    assert part["_singerkit_log"].keys() == {"version"}
    assert set(part["_singerkit_read"]["fields"]) == {"id", "v", "w"}


HISTORY = st.lists(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from("aab"), st.just("put"), st.integers(1, 6), st.booleans()),
            st.tuples(st.sampled_from("ab"), st.just("delete"), st.integers(1, 6), st.booleans()),
            st.tuples(st.just("k"), st.just("put"), st.just(0), st.booleans()),
            st.tuples(st.just("k"), st.just("delete"), st.integers(0, 5), st.booleans()),
            st.tuples(st.sampled_from("abko"), st.just("truncate"), st.just(0), st.booleans()),
        ),
        min_size=1,
        max_size=4,
    ),
    max_size=6,
)


class Writer:
    """Makes true changes of what hypothesis draws: only a row that is there is deleted, or changed in part."""

    def __init__(self, log: LogFile) -> None:
        self.log, self.number = log, 0
        self.there: dict[str, list[int]] = {"a": [], "b": [], "k": [], "o": []}

    def commit(self, drawn: list[tuple[str, str, int, bool]]) -> None:
        changes = [change for each in drawn if (change := self._change(*each)) is not None]
        if changes:
            self.log.commit(*changes)

    def _change(self, stream: str, op: str, id_: int, part: bool) -> Any:
        self.number += 1
        there = self.there[stream]
        if op == "truncate":
            if not part:
                return None
            there.clear()
            return truncate(stream)
        if op == "delete":
            if stream == "k":
                id_ = there[id_ % len(there)] if there else -1
            if id_ not in there:
                return None
            there.remove(id_)
            return delete(stream, id=id_, **({"v": "x"} if stream == "k" else {}))
        if stream == "k":
            there.append(self.number)
            return put("k", id=self.number, v="x")
        is_new = id_ not in there
        if is_new:
            there.append(id_)
        return put(
            stream, id=id_, v=f"v{self.number}", **({"w": f"w{self.number}"} if is_new or not part else {})
        )


RUN = st.tuples(
    HISTORY, HISTORY, st.integers(0, 12), st.sampled_from(["abk", "abk", "ab", "bk"]), st.integers(0, 3)
)


@settings(max_examples=tries(12), deadline=None)
@given(
    runs=st.lists(RUN, min_size=1, max_size=4),
    chunk_rows=st.integers(1, 4),
    page_changes=st.integers(1, 3),
    tears=st.booleans(),
    begin=st.sampled_from(["early", "late"]),
)
def test_any_cut_at_a_state_and_any_continuation_give_the_tables_of_the_log(
    runs, chunk_rows, page_changes, tears, begin
):
    """The log grows between two runs, and in them; of the messages of each, a target commits as many as it likes."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkey:
        tap_class()
        log, tables = LogFile(Path(folder) / "log.db"), Tables()
        writer = Writer(log)
        how = {
            "chunk_rows": chunk_rows,
            "page_changes": page_changes,
            "tears": tears,
            "begin": begin,
            "state_every": 1,
        }
        for history, meanwhile, cut, streams, hides in runs:
            for transaction in history:
                writer.commit(transaction)
            coming = iter(meanwhile)
            monkey.setattr(
                sys.modules["tap_log"].FileReader,
                "meanwhile",
                lambda coming=coming: writer.commit(next(coming, [])),
            )
            streams = "".join(s for s in "abk" if s in streams or s in tables.state.get("bookmarks", {}))
            run = Run(config(log, select=list(streams), hides=hides, **how), tables.state).done()
            tables.load(run.messages, cut)
        monkey.undo()
        tables.load(Run(config(log, **how), tables.state).done().messages)
        assert tables.state["_singerkit_log"]["position"] == log.end
        tables.check(log)
        log.close()


def test_a_state_stands_only_where_a_transaction_ends(log: LogFile) -> None:
    tables = Tables()
    read(log, tables)
    ends = {log.commit(*[put("a", id=n, v="x") for n in range(size)]) for size in (3, 1, 7, 2)}
    states = read(log, tables, page_changes=1, state_every=1).states
    assert {state["_singerkit_log"]["position"] for state in states[1:]} == ends


def test_a_deleted_row_is_sent_with_its_key_and_the_time_of_its_deletion_alone(log: LogFile) -> None:
    tables = Tables()
    log.commit(put("a", id=1, v="x", w="y"))
    read(log, tables)
    log.commit(delete("a", id=1))
    log.commit(put("a", id=1, v="z"))
    run = read(log, tables)
    assert [record for _, record in run.records] == [
        {"id": 1, "_sdc_deleted_at": "2024-01-01T00:00:02Z"},
        {"id": 1, "v": "z", "_sdc_deleted_at": None},
    ]
    schema = next(m["schema"] for m in run.messages if m["type"] == "SCHEMA" and m["stream"] == "a")
    assert schema["required"] == ["id"]
    assert schema["properties"]["_sdc_deleted_at"] == {"type": ["string", "null"], "format": "date-time"}


def test_only_selected_fields_are_sent(log: LogFile) -> None:
    tables = Tables()
    read(log, tables)
    log.commit(put("a", id=1, v="x", w="y"))
    run = read(log, tables, select=["a", "!a.w"])
    assert [record for _, record in run.records] == [{"id": 1, "v": "x", "_sdc_deleted_at": None}]


def test_a_row_whose_key_changes_is_gone_under_the_old_one(log: LogFile) -> None:
    tables = Tables()
    log.commit(put("a", id=1, v="x"))
    read(log, tables)
    log.commit(delete("a", id=1), put("a", id=2, v="x"))
    read(log, tables)
    assert tables.rows["a"].keys() == {2}


def test_an_emptied_table_is_a_new_version_or_an_error_as_the_reader_likes(log: LogFile) -> None:
    tables = Tables()
    log.commit(put("a", id=1, v="x"))
    read(log, tables)
    log.commit(truncate("a"), put("a", id=2, v="y"))
    with pytest.raises(BadDataError, match="`a` was emptied"):
        read(log, tables, refuses_truncate=True)
    kinds = [message["type"] for message in read(log, tables).messages]
    assert kinds[-3:] == ["ACTIVATE_VERSION", "STATE", "STATE"], "behind all rows that it covers"
    tables.check(log)
    assert tables.rows["a"].keys() == {2}


def test_a_run_ends_where_the_log_ended_when_it_began(log: LogFile, monkeypatch: Any) -> None:
    tables = Tables()
    read(log, tables)
    end = log.commit(put("a", id=1, v="x"))
    monkeypatch.setattr(
        sys.modules["tap_log"].FileReader, "meanwhile", lambda: log.commit(put("a", id=2, v="y"))
    )
    assert len(read(log, tables).records) == 1
    assert tables.state["_singerkit_log"]["position"] == end


def test_a_run_that_follows_ends_after_its_longest_time_and_is_complete(log: LogFile) -> None:
    tables = Tables()
    read(log, tables)
    log.commit(put("a", id=1, v="x"))
    for _ in range(30):  # a busy machine may need a second before it comes to the log
        run = read(log, tables, log={"end": "follow", "max_seconds": 1})
        if run.records:
            break
    assert len(run.records) == 1
    assert run.states[-1]["_singerkit"]["complete"]
    assert tables.state["_singerkit_log"]["position"] == 1


def test_a_run_without_news_moves_the_position_past_what_others_wrote(log: LogFile) -> None:
    tables = Tables()
    read(log, tables)
    end = log.commit(put("other", id=1, v="x"))
    assert read(log, tables).records == []
    assert tables.state["_singerkit_log"]["position"] == end
    read(log, tables)
    assert log.calls("acknowledge")[-1] == end


def test_only_what_the_given_state_says_is_acknowledged(log: LogFile) -> None:
    tables = Tables()
    log.commit(put("a", id=1, v="x"))
    read(log, tables)
    assert log.calls("acknowledge") == [], "nothing was committed when this run began"
    committed = log.commit(put("a", id=2, v="x"))
    read(log, tables)
    log.commit(put("a", id=3, v="x"))
    lost = Run(config(log), tables.state).done()
    assert lost.states[-1]["_singerkit_log"]["position"] > committed
    read(log, tables)
    assert log.calls("acknowledge") == [1, committed, committed]


def gone(log: LogFile, tables: Tables) -> str:
    run = Run(config(log), tables.state)
    assert isinstance(run.error, ConfigurationError)
    assert [one["type"] for one in run.messages if one["type"] != "STATE"] == [], "nothing was read"
    return str(run.error)


def test_a_log_that_no_longer_reaches_back_ends_the_run_with_the_two_ways_out(log: LogFile) -> None:
    tables = Tables()
    log.commit(put("a", id=1, v="x"), put("b", id=1, v="x"))
    read(log, tables, select=["a", "b"])
    log.commit(put("a", id=2, v="y"))
    log.commit(delete("a", id=1))
    log.forget(3)
    said = gone(log, tables)
    assert (
        "no longer reaches back to where the state stands (it begins at 3), so that changes are missing"
        in said
    )
    assert "give the source its log back, or start over with `singerkit-state reset STATE --stream a`" in said
    assert "each of the 2 streams" in said
    del tables.state["bookmarks"]["a"], tables.state["bookmarks"]["b"]
    read(log, tables)
    tables.check(log)


def test_the_log_of_another_source_is_refused(log: LogFile) -> None:
    tables = Tables()
    log.commit(put("a", id=1, v="x"))
    read(log, tables)
    log.rename("log-2")
    assert "The state is of the log `log-1`, and the source has the log `log-2`" in gone(log, tables)
    log.rename("log-1")
    read(log, tables)


def test_a_stream_that_others_have_left_behind_is_refused_until_it_starts_over(log: LogFile) -> None:
    tables = Tables()
    log.commit(put("a", id=1, v="x"), put("b", id=1, v="x"))
    read(log, tables, select=["a", "b"])
    log.commit(put("a", id=1, v="y"), delete("b", id=1))
    read(log, tables, select=["a"])
    said = gone(log, tables)
    assert (
        "The state of stream `b` cannot be continued: other streams have been read further in the log" in said
    )
    assert "`singerkit-state reset STATE --stream b`" in said
    del tables.state["bookmarks"]["b"]
    read(log, tables)
    tables.check(log)


def test_a_stream_that_is_selected_later_has_a_start_of_its_own_while_others_go_on(log: LogFile) -> None:
    tables = Tables()
    log.commit(put("a", id=1, v="x"), put("b", id=1, v="x"))
    read(log, tables, select=["a"])
    log.commit(put("a", id=1, v="y"), put("b", id=2, v="y"))
    run = read(log, tables)
    assert sorted((stream, record["id"]) for stream, record in run.records) == [("a", 1), ("b", 1), ("b", 2)]
    tables.check(log)


def test_a_stream_whose_table_was_made_anew_starts_anew_while_others_go_on(log: LogFile, caplog: Any) -> None:
    tables = Tables()
    log.commit(put("a", id=1, v="x"), put("b", id=1, v="x"))
    read(log, tables, select=["a", "b"], tables={"a": [1], "b": [2]})
    former = tables.state["bookmarks"]["a"]["_singerkit_log"]
    assert former["identity"] == [1]
    log.commit(put("a", id=2, v="y"), put("b", id=1, v="y"))
    run = read(log, tables, select=["a", "b"], tables={"a": [3], "b": [2]})
    assert sorted((stream, record["id"]) for stream, record in run.records) == [("a", 1), ("a", 2), ("b", 1)]
    assert "`a` starts anew, with a new version of all of its rows: its table was made anew." in caplog.text
    now = tables.state["bookmarks"]["a"]["_singerkit_log"]
    assert now["identity"] == [3]
    assert now["version"] > former["version"]
    tables.check(log, "ab")
    assert read(log, tables, select=["a", "b"], tables={"a": [3], "b": [2]}).records == []
    refused = Run(config(log, select=["a", "b"], tables={"b": [2]}, refuses_truncate=True), tables.state)
    assert str(refused.error) == (
        "Stream `a` cannot be gone on with (its table was made anew); what is loaded is safe: start it over with "
        "`singerkit-state reset STATE --stream a`."
    )


@pytest.mark.parametrize(
    "part",
    [
        {"replication_key": "updated_at", "replication_key_value": "2024"},
        {"lsn": 7, "last_replication_method": "LOG_BASED"},
        {"_singerkit_log": {"version": "one"}},
        {"_singerkit_log": {"version": 1}, "replication_key_value": "1"},
        "text",
    ],
)
def test_a_state_that_is_not_understood_is_refused(log: LogFile, part: Any) -> None:
    tables = Tables()
    tables.state = {"bookmarks": {"a": part}}
    assert "The state of stream `a` cannot be continued" in gone(log, tables)


def catalog(log: LogFile, **methods: str) -> dict[str, Any]:
    entries = tap_class()(config=config(log)).catalog_dict
    for entry in entries["streams"]:
        root = entry["metadata"][0]["metadata"]
        if entry["stream"] in methods:
            root.update({"selected": True, "replication-method": methods[entry["stream"]]})
    return entries


def test_the_catalog_chooses_the_method_and_streams_of_others_go_on_as_before(log: LogFile) -> None:
    log.commit(put("a", id=1, v="x"), put("b", id=1, v="x"))
    chosen = catalog(log, a="LOG_BASED", b="FULL_TABLE")
    tables, how = Tables(), {"select": ["a", "b"]}
    first = Run(config(log, **how), {}, chosen).done()
    tables.state = first.states[-1]
    log.commit(put("a", id=1, v="y"), put("b", id=2, v="y"))
    again = Run(config(log, **how), tables.state, chosen).done()
    assert [(stream, record["id"]) for stream, record in first.records] == [("b", 1), ("a", 1)]
    assert [(stream, record["id"]) for stream, record in again.records] == [("b", 1), ("b", 2), ("a", 1)]
    assert "_sdc_deleted_at" not in dict(again.records)["b"]
    with pytest.raises(
        ConfigurationError, match="asks for INCREMENTAL of stream `a`, which can do LOG_BASED and FULL_TABLE"
    ):
        Run(config(log), {}, catalog(log, a="INCREMENTAL")).done()


def test_the_catalog_says_which_methods_there_are(log: LogFile) -> None:
    def root(methods: list[str]) -> dict[str, Any]:
        tap = tap_class()(config=config(log, methods={"a": methods}))
        return dict(tap.catalog_dict["streams"][0]["metadata"][0]["metadata"])

    assert root(["LOG_BASED"])["forced-replication-method"] == "LOG_BASED"
    assert root(["LOG_BASED", "FULL_TABLE"])["replication-method"] == "LOG_BASED"
    assert root(["FULL_TABLE", "LOG_BASED"])["replication-method"] == "FULL_TABLE"


def test_from_the_log_to_another_method_and_back_nothing_is_taken_for_read(log: LogFile) -> None:
    tables = Tables()
    log.commit(put("k", id=1, v="x"))
    read(log, tables, select=["k"])
    run = Run(config(log, select=["k"], methods={"k": ["FULL_TABLE"]}), tables.state)
    assert "has a bookmark by `_sdc_log_position`, and the stream is now read as a whole" in str(run.error)


def test_a_field_that_says_of_live_rows_that_they_are_deleted_is_refused(log: LogFile) -> None:
    own = {"_sdc_deleted_at": {"type": ["string", "null"]}}
    run = Run(config(log, fields=own), {})
    assert "Stream `a` has a field `_sdc_deleted_at` of its own" in str(run.error)
    Run(config(log, fields=own, select=["a", "!a._sdc_deleted_at"]), {}).done()


def test_what_was_read_before_the_source_went_away_is_kept(log: LogFile) -> None:
    tables = Tables()
    read(log, tables)
    first = log.commit(put("a", id=1, v="x"))
    log.commit(put("a", id=2, v="x"), put("a", id=3, v="x"))
    run = Run(config(log, page_changes=1, fail_after_pages=2), tables.state)
    assert isinstance(run.error, RetryableError)
    assert run.states[-1]["_singerkit_log"]["position"] == first
    tables.load(run.messages)
    read(log, tables)
    tables.check(log)


def test_a_log_that_is_let_go_while_a_run_goes_on_needs_a_state_to_read_back(log: LogFile) -> None:
    run = Run(config(log, log={"acknowledge": "while_running"}), {})
    assert "Expected `--state` beside `log.acknowledge` `while_running`" in str(run.error)


def test_a_first_row_is_shown_without_a_mark_on_the_log(log: LogFile) -> None:
    log.commit(put("a", id=1, v="x"), put("a", id=2, v="x"))
    tap = tap_class()(config=config(log, select=["a"]))
    assert tap.run_connection_test()
    assert log.calls("acknowledge") == []
    assert len(log.calls("close")) == 4, "one for each stream"


def test_a_new_field_is_told_with_what_it_takes_to_have_it_of_old_rows(log: LogFile, caplog: Any) -> None:
    tables = Tables()
    log.commit(put("a", id=1, v="x", w="y"))
    read(log, tables, select=["a", "!a.w"])
    read(log, tables, select=["a"])
    assert (
        "it is sent with `w`, which the run before did not send. It goes on in the log all the same"
        in caplog.text
    )
    caplog.clear()
    read(log, tables, select=["a"])
    assert "sent with" not in caplog.text


def test_a_start_that_was_cut_off_goes_on_behind_its_last_chunk(log: LogFile) -> None:
    tables = Tables()
    for number in range(6):
        log.commit(put("a", id=number, v="x"))
    first = Run(config(log, select=["a"], chunk_rows=2), {}).done()
    at = next(n for n, state in enumerate(first.states) if state["bookmarks"].get("a"))
    tables.load(first.messages, at)
    assert tables.rows["a"].keys() == {0, 1}
    log.commit(put("a", id=0, v="y"), put("a", id=5, v="y"))
    second = read(log, tables, select=["a"], chunk_rows=2)
    assert [record["id"] for _, record in second.records] == [2, 3, 0, 4, 5]
    tables.check(log, "a")


def test_a_table_that_is_emptied_between_two_chunks_is_started_anew(log: LogFile, monkeypatch: Any) -> None:
    tables = Tables()
    log.commit(put("a", id=1, v="x"), put("a", id=2, v="x"))
    reader = sys.modules["tap_log"].FileReader
    read_chunk = reader.read_chunk
    waiting = [(truncate("a"), put("a", id=2, v="y"))]

    def emptied(self: Any, stream: str, after: Any, position: Any) -> Any:
        if after is not None and waiting:
            log.commit(*waiting.pop())
        return read_chunk(self, stream, after, position)

    monkeypatch.setattr(reader, "read_chunk", emptied)
    read(log, tables, select=["a"], chunk_rows=1)
    assert not waiting
    tables.check(log, "a")
    assert tables.rows["a"].keys() == {2}


def test_a_log_that_ends_amid_a_run_is_told_alike(log: LogFile, monkeypatch: Any) -> None:
    tables = Tables()
    log.commit(put("a", id=1, v="x"))
    read(log, tables, select=["a"])
    log.forget(log.commit(put("a", id=2, v="x")))
    monkeypatch.setattr(sys.modules["tap_log"].FileReader, "begin", lambda _self, position: position)
    run = Run(config(log, select=["a"]), tables.state)
    assert "no longer reaches back to where the state stands (it begins at 2)" in str(run.error)
    assert isinstance(run.error, ConfigurationError)


def test_changes_of_one_stream_are_encoded_together_and_stay_in_their_order(log: LogFile) -> None:
    tables = Tables()
    read(log, tables)
    text = 'a "quote", \\n and a\nnewline \u2028 \ud83d\ude00'.encode("utf-16", "surrogatepass").decode(
        "utf-16"
    )
    log.commit(*[put("ab"[n % 2], id=n // 2, v=f"{n} {text}") for n in range(20)])
    run = read(log, tables, page_changes=20)
    assert [(stream, record["v"]) for stream, record in run.records] == [
        ("ab"[n % 2], f"{n} {text}") for n in range(20)
    ]
    tables.check(log)


def test_a_reader_that_ends_inside_a_transaction_is_no_success(log: LogFile, monkeypatch: Any) -> None:
    tables = Tables()
    read(log, tables)
    log.commit(put("a", id=1, v="x"), put("a", id=2, v="x"))
    reader = sys.modules["tap_log"].FileReader
    whole = reader.read
    monkeypatch.setattr(reader, "read", lambda *given: itertools.islice(whole(*given), 1))
    run = Run(config(log, page_changes=1), tables.state)
    assert isinstance(run.error, SingerkitError)
    assert run.error.exit_code == 70
    assert run.states[-1]["_singerkit_log"]["position"] == 0


def test_a_reader_that_comes_no_further_in_a_table_does_not_read_for_ever(
    log: LogFile, monkeypatch: Any
) -> None:
    log.commit(put("a", id=1, v="x"), put("a", id=2, v="x"))
    reader = sys.modules["tap_log"].FileReader
    read_chunk = reader.read_chunk
    monkeypatch.setattr(
        reader, "read_chunk", lambda self, stream, _after, at: read_chunk(self, stream, None, at)
    )
    run = Run(config(log, select=["a"], chunk_rows=1), {})
    assert "gave no row of stream `a` and no end of it" in str(run.error)
