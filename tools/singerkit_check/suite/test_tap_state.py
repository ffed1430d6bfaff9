"""What a tap remembers, and how it goes on."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from singerkit_check.progress import goes_back
from singerkit_check.suite.processes import Outcome
from singerkit_check.suite.singer import instant, without_mark
from singerkit_check.suite.sources import another, key_of, later
from singerkit_check.suite.tap_runs import TapRuns, ascending, bookmarks, records, schemas, states

FOREIGN = {"a_stream_of_another_tap": {"replication_key": "x", "replication_key_value": 5}}


@pytest.fixture(scope="session")
def again(tap: TapRuns) -> Outcome:
    """A second run with the state of the first, and in it a stream that this tap does not know."""
    state = json.loads(json.dumps(tap.last_state))
    state.setdefault("bookmarks", {}).update(FOREIGN)
    return tap.run("--state", tap.file(state)).expect(0)


def test_st03_the_value_of_state_is_an_object_that_a_file_can_hold(tap: TapRuns) -> None:
    assert all(isinstance(state, dict) for state in states(tap.full))
    assert "type" not in tap.last_state


def test_st05_state_is_written_periodically(tap: TapRuns) -> None:
    kinds = [message["type"] for message in tap.full.messages]
    with_rows = kinds[kinds.index("RECORD") : len(kinds) - kinds[::-1].index("RECORD")]
    assert "STATE" in with_rows, "no STATE between the first and the last RECORD"


def test_st06_bookmarks_by_stream(tap: TapRuns) -> None:
    assert set(tap.last_state["bookmarks"]) <= {stream["tap_stream_id"] for stream in tap.catalog["streams"]}


def test_st06_the_last_bookmark_is_a_value_of_the_records(tap: TapRuns, again: Outcome) -> None:
    """Not always the highest: a bookmark may be bounded by what was certain when the read began (ST13)."""
    for name, facts in tap.source.known_streams.items():
        if facts.replication_key:
            values = {instant(row[facts.replication_key]) for row in tap.source.rows(name)}
            assert {instant(value) for _, value in bookmarks(tap.last_state, name)} <= values
            assert [instant(value) for _, value in bookmarks(states(again)[-1], name)] == [max(values)]


def test_st07_a_state_never_covers_rows_not_yet_written(tap: TapRuns) -> None:
    incremental = {
        name: facts.replication_key
        for name, facts in tap.source.known_streams.items()
        if facts.replication_key
    }
    written: dict[str, list[Any]] = {name: [] for name in incremental}
    for message in tap.full.messages:
        if message["type"] == "RECORD" and message["stream"] in written:
            written[message["stream"]].append(message["record"])
        elif message["type"] == "STATE":
            for name, field in incremental.items():
                for _, value in bookmarks(message["value"], name):
                    _expect_covered(tap, name, field, value, written[name])


def _expect_covered(tap: TapRuns, name: str, field: str, value: str, written: list[Any]) -> None:
    """Check that every row before the bookmark has been written."""
    facts = tap.source.known_streams[name]
    before = {key_of(row, facts) for row in tap.source.rows(name) if instant(row[field]) < instant(value)}
    missing = before - {key_of(row, facts) for row in written}
    assert not missing, f"{name}: a STATE at {value} came before the rows {sorted(missing)}"


def test_st07_a_row_that_could_not_be_read_is_not_passed(fresh: TapRuns) -> None:
    """The run says so, and the next one sends it, once it can be read."""
    stream, facts = fresh.source.facts(ascends=True)
    catalog, rows = fresh.file(fresh.selecting({stream: True})), fresh.source.rows(stream)
    with fresh.source.spoilt(stream, rows[11]):
        first = fresh.run("--catalog", catalog)
    assert first.code != 0, str(first)
    state = [word for value in states(first)[-1:] for word in ("--state", fresh.file(value))]
    second = fresh.run("--catalog", catalog, *state).expect(0)
    sent = {key_of(row, facts) for outcome in (first, second) for row in records(outcome, stream)}
    assert sent == {key_of(row, facts) for row in rows}


def test_st09_rows_ascend_where_the_source_sorts_them(tap: TapRuns) -> None:
    stream, facts = tap.source.facts(ascends=True)
    assert facts.replication_key is not None
    assert ascending(records(tap.full, stream), facts.replication_key)


def test_st09_in_an_unsorted_stream_the_bookmark_waits_for_the_end(tap: TapRuns) -> None:
    stream, _ = tap.source.unsorted()
    seen, rows = 0, len(tap.source.rows(stream))
    for message in tap.full.messages:
        seen += message["type"] == "RECORD" and message["stream"] == stream
        if message["type"] == "STATE" and seen < rows:
            assert not list(bookmarks(message["value"], stream)), f"bookmark after {seen} of {rows} rows"


def test_st10_the_server_is_asked_for_rows_from_the_bookmark_on(tap: TapRuns) -> None:
    stream, _ = tap.source.facts(ascends=True)
    state, catalog = tap.file(tap.last_state), tap.file(tap.selecting({stream: True}))
    outcome, reads = tap.run_watched("--state", state, "--catalog", catalog)
    outcome.expect(0)
    ((_, value),) = bookmarks(tap.last_state, stream)
    assert reads
    assert all(read.start is not None and instant(read.start) == instant(value) for read in reads)


def test_st10_rows_before_the_bookmark_are_not_read(fresh: TapRuns) -> None:
    """One of them could not be."""
    if not fresh.source.filters:
        fresh.source.cannot("that can be asked for rows from a value on")
    stream, _ = fresh.source.facts(ascends=True)
    catalog = fresh.file(fresh.selecting({stream: True}))
    state = states(fresh.run("--catalog", catalog).expect(0))[-1]
    with fresh.source.spoilt(stream, fresh.source.rows(stream)[2]):
        fresh.run("--catalog", catalog, "--state", fresh.file(state)).expect(0)


def test_st12_a_row_that_shares_the_bookmark_and_appears_later_is_not_lost(fresh: TapRuns) -> None:
    """Nor is the boundary row sent twice where the tap remembers the keys it has seen there."""
    stream, facts = fresh.source.facts(ascends=True)
    catalog = fresh.file(fresh.selecting({stream: True}))
    first = fresh.run("--catalog", catalog).expect(0)
    state = states(first)[-1]
    rows = fresh.source.rows(stream)
    tie, after = another(rows, facts, {}), another(rows, facts, later(rows[-1], facts), 2)
    fresh.source.put(stream, tie, after)
    last, tied, new = (key_of(row, facts) for row in (rows[-1], tie, after))
    second = fresh.run("--catalog", catalog, "--state", fresh.file(state)).expect(0)
    sent = [key_of(row, facts) for row in records(second, stream)]
    assert set(sent) >= {tied, new}
    assert set(sent) <= {tied, new, last}
    if fresh.driver.is_ours:
        assert sent == [tied, new], "the boundary row was sent again"
    third = fresh.run("--catalog", catalog, "--state", fresh.file(states(second)[-1])).expect(0)
    assert {key_of(row, facts) for row in records(third, stream)} <= {new}


def test_st13_a_row_from_the_future_does_not_take_the_bookmark_there(fresh: TapRuns) -> None:
    """Else every row that is changed between now and then would be passed over."""
    stream, facts = fresh.source.facts(ascends=True)
    rows = fresh.source.rows(stream)
    future = another(rows, facts, later(rows[-1], facts, days=356_000))
    fresh.source.put(stream, future)
    outcome = fresh.run("--catalog", fresh.file(fresh.selecting({stream: True}))).expect(0)
    assert key_of(future, facts) in {key_of(row, facts) for row in records(outcome, stream)}
    now = dt.datetime.now(dt.UTC)
    assert all(instant(value) <= now for _, value in bookmarks(states(outcome)[-1], stream))


def test_st14_no_bookmark_per_parent(tap: TapRuns) -> None:
    stream, facts = tap.source.facts(is_top=False)
    assert facts.parent is not None
    parents = len(tap.source.rows(facts.parent))
    partitions = tap.last_state["bookmarks"].get(stream, {}).get("partitions", [])
    assert len(partitions) < parents, f"{len(partitions)} bookmarks for {parents} parents"


def test_st15_running_again_with_the_saved_state_works(tap: TapRuns, again: Outcome) -> None:
    incremental = [name for name, facts in tap.source.known_streams.items() if facts.replication_key]
    assert set(schemas(again)) == set(schemas(tap.full))
    for name in incremental:
        assert len(records(again, name)) <= 1, f"{name} was read from the beginning again"


def test_st15_a_run_with_nothing_new_puts_no_bookmark_back(tap: TapRuns, again: Outcome) -> None:
    for name in tap.last_state["bookmarks"]:
        before = list(bookmarks(tap.last_state, name))
        after = dict((json.dumps(context), value) for context, value in bookmarks(states(again)[-1], name))
        message = schemas(tap.full).get(name, {})
        field = next(iter(message.get("bookmark_properties", ())), None)
        field = tap.last_state["bookmarks"][name].get("replication_key", field)
        schema = message.get("schema", {}).get("properties", {}).get(field)
        assert not any(goes_back(value, after[json.dumps(context)], schema) for context, value in before)


def test_st15_a_row_that_is_changed_is_sent_by_the_next_run_and_no_other(fresh: TapRuns) -> None:
    stream, facts = fresh.source.facts(ascends=True)
    catalog = fresh.file(fresh.selecting({stream: True}))
    state = states(fresh.run("--catalog", catalog).expect(0))[-1]
    rows = fresh.source.rows(stream)
    text = fresh.source.text_field(stream)
    changed = rows[1] | {text: "changed"} | later(rows[-1], facts)
    fresh.source.put(stream, changed)
    outcome = fresh.run("--catalog", catalog, "--state", fresh.file(state)).expect(0)
    sent = {key_of(row, facts): row[text] for row in records(outcome, stream)}
    assert sent.get(key_of(changed, facts)) == "changed"
    assert set(sent) <= {key_of(changed, facts), key_of(rows[-1], facts)}


def test_st15_a_row_that_comes_while_the_source_is_read_is_not_lost(fresh: TapRuns) -> None:
    """It is sent by this run or by the next."""
    stream, facts = fresh.source.facts(ascends=True)
    catalog, rows = fresh.file(fresh.selecting({stream: True})), fresh.source.rows(stream)
    new = another(rows, facts, later(rows[-1], facts))
    with fresh.source.held(stream, 10) as held, fresh.running("--catalog", catalog) as running:
        assert held.reached(running), "what is held was never asked for"
        fresh.source.put(stream, new)
        held.release()
        first = running.finish().expect(0)
    second = fresh.run("--catalog", catalog, "--state", fresh.file(states(first)[-1])).expect(0)
    sent = [key_of(row, facts) for outcome in (first, second) for row in records(outcome, stream)]
    assert {key_of(row, facts) for row in [*rows, new]} <= set(sent)


def test_st16_an_empty_state_is_a_first_run(tap: TapRuns) -> None:
    stream, _ = tap.source.facts(ascends=True)
    catalog = tap.file(tap.selecting({stream: True}))
    outcome = tap.run("--catalog", catalog, "--state", tap.file({})).expect(0)
    assert len(records(outcome, stream)) == len(tap.source.rows(stream))
    assert without_mark(states(outcome)[-1]).get("bookmarks")


def test_st17_unknown_streams_in_a_state_are_kept(again: Outcome) -> None:
    for state in states(again):
        assert state["bookmarks"]["a_stream_of_another_tap"] == FOREIGN["a_stream_of_another_tap"]
