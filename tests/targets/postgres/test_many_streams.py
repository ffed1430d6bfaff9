"""A stream costs what it costs, however many others there are: work is counted, not timed (docs/performance.md)."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from faults.loads import RECORD, SCHEMA, STATE, lines, load, query, running, table
from faults.test_process import in_transaction
from waiting import wait_until
from work import lines_run

from target_postgres.target import TargetPostgres

FIELDS = {"id": {"type": "integer"}, "note": {"type": ["null", "string"]}}
STEP = 15
MOST = 1.5
"""Lines of our code for each pair of streams: one, where a safe point notes what waits of those of its unit."""


def lines_of_a_load(database: str, schema: str, streams: int, note: str) -> int:
    """Load a row of each stream in one unit, with a STATE behind it whose names are others; return how many lines of our code ran."""
    messages: list[Any] = []
    for number in range(streams):
        name = f"orders_{number}"
        messages += [SCHEMA(name, FIELDS, ["id"]), RECORD(name, {"id": 1, "note": note})]
        messages.append(STATE({"bookmarks": {"elsewhere": {"replication_key_value": number}}}))
    config = {"dsn": database, "default_target_schema": schema, "commit_seconds": 3600}
    target, given = TargetPostgres(config=config), io.BytesIO(lines(*messages))
    return lines_run(lambda: target._load(given))


def test_a_further_stream_costs_what_each_one_did(database: str, caplog: pytest.LogCaptureFixture) -> None:
    """On a run that makes the tables, and on the next one, which knows from the state that all of them have rows."""
    caplog.set_level(logging.ERROR)
    lines_of_a_load(database, "s0", 1, "what is made once")
    for note in ("new", "changed"):
        few, more, most = (lines_of_a_load(database, f"s{n}", n * STEP, note) for n in (1, 2, 3))
        assert (most - 2 * more + few) / STEP**2 < MOST, note
    assert query(database, "SELECT note FROM s3.orders_44") == [("changed",)]


def test_runs_at_once_wait_for_nothing_of_each_other(database: str) -> None:
    """What is to be loaded side by side is a run of its own (decision 64): one makes its tables, commits and ends while another's unit is open."""
    one = [SCHEMA("one", FIELDS, ["id"]), RECORD("one", {"id": 1, "note": "a"}), STATE({"at": 1})]
    other = [SCHEMA("other", FIELDS, ["id"]), RECORD("other", {"id": 1, "note": "b"}), STATE({"at": 2})]
    load(database, *one, pipeline="first").expect(0)
    with running(database, pipeline="first") as target:
        target.send(lines(*one))
        wait_until(lambda: in_transaction(database), "the rows in the unit")
        for _ in range(2):  # into a table that is made, and into one that is there
            load(database, *other, pipeline="second", lock_timeout_seconds=1).expect(0)
        target.finish().expect(0)
    assert table(database, "one", "note") == [("a",)]
    assert table(database, "other", "note") == [("b",)]
    states = "SELECT pipeline, state::text FROM _singerkit_state ORDER BY 1"
    assert query(database, states) == [("first", '{"at": 1}'), ("second", '{"at": 2}')]
