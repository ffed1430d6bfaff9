"""What strikes between a REPLACE and the commit of what takes the place: a file has its old rows or its new ones, as the state says, and never others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import run
from faults.loads import MARKED, RECORD, SCHEMA, command, lines, load, query, running
from faults.pipeline import committed
from faults.test_process import EXHAUSTIVE, in_transaction, needs_strace
from waiting import wait_until

FILES, ROWS = 4, 30
FIELDS = {"_file": {"type": "string"}, "_row": {"type": "integer"}, "v": {"type": "string"}}
MOMENTS = range(1, 120) if EXHAUSTIVE else (34, 43, 52, 61)
KEYS = [["_file", "_row"], []]


def rows(file: int, version: int) -> Iterator[Any]:
    """The rows of a file, of which the second version has a third less."""
    for number in range(ROWS - version * 10):
        # More bytes than the target reads at a time: what stands behind a file is another unit.
        yield RECORD("o", {"_file": f"in/{file}", "_row": number, "v": f"{version} {'x' * 50_000}"})


def again(start: int, keys: list[str]) -> Iterator[Any]:
    """A run that reads all files again from one on."""
    yield MARKED({"at": start})
    yield SCHEMA("o", FIELDS, keys)
    for file in range(start, FILES):
        yield {"type": "REPLACE", "stream": "o", "where": {"_file": f"in/{file}"}}
        yield from rows(file, 1)
        yield MARKED({"at": file + 1})
    yield MARKED({"at": FILES}, complete=True)


def first_load(database: str, keys: list[str]) -> None:
    each = [row for file in range(FILES) for row in rows(file, 0)]
    load(database, MARKED({}), SCHEMA("o", FIELDS, keys), *each, MARKED({"at": 0}, complete=True)).expect(0)


def check(database: str) -> int:
    """See that each file has the rows of the version that the state says."""
    at = committed(database)
    found = query(
        database,
        """SELECT "_file", left(v, 1), count(*), count(DISTINCT "_row") FROM o GROUP BY 1, 2 ORDER BY 1""",
    )
    versions = [(file, 1 if file < at else 0) for file in range(FILES)]
    assert found == [(f"in/{file}", str(one), ROWS - 10 * one, ROWS - 10 * one) for file, one in versions]
    return at


@pytest.mark.fault("M24", exit=[137], main=True)
@needs_strace
@pytest.mark.parametrize("moment", MOMENTS)
def test_m24_killed_at_a_message_to_the_server(database: str, tmp_path: Path, moment: int) -> None:
    keys = KEYS[moment % 2]
    first_load(database, keys)
    trace = ["-e", "trace=sendto", "-e", f"inject=sendto:signal=KILL:when={moment}"]
    words = command(tmp_path, database, {"commit_rows": 1})
    messages = lines(*again(0, keys))
    outcome = run(["strace", "-f", "-qq", "-o", "/dev/null", *trace, *words], stdin=messages)
    if outcome.code == 0:
        assert moment > MOMENTS[-1] or EXHAUSTIVE, (
            "the run sends fewer messages than these tests were made for"
        )
        pytest.skip("the run has fewer messages")
    outcome.expect(-9, 137)
    at = check(database)
    load(database, *again(at, keys)).expect(0)
    assert check(database) == FILES


@pytest.mark.fault("M24", exit=[0])
@pytest.mark.parametrize("keys", KEYS, ids=["keyed", "keyless"])
def test_m24_the_connection_is_lost_behind_it(database: str, keys: list[str]) -> None:
    """The unit is written again with its REPLACE; who reads meanwhile sees the old rows."""
    first_load(database, keys)
    messages = list(again(0, keys))
    half = 3 + (ROWS - 10) // 2  # behind STATE, SCHEMA, REPLACE
    with running(database, commit_rows=1) as target:
        target.send(lines(*messages[:half]))
        ((pid,),) = wait_until(lambda: in_transaction(database), "rows to be taken away, and others to come")
        check(database)
        query(database, "SELECT pg_terminate_backend(%s, 5000)", [pid])
        target.send(lines(*messages[half:]))
        outcome = target.finish().expect(0)
    assert "the unit in hand is written again" in outcome.stderr
    assert check(database) == FILES
