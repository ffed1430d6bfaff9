"""M21: a value that only the server refuses. The state that is committed is that of the last rows stored, never
beyond it; repeated runs never end with 0 before the row is stored, and a run after that stores everything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faults.loads import RECORD, SCHEMA, STATE, connected, load, query, running, state_row
from faults.loads import lines as encoded
from waiting import wait_until

LAST, EVERY = 30, 5
BAD = 9999
IN_TRANSACTION = (
    "SELECT 1 FROM pg_stat_activity WHERE application_name = 'target-postgres' AND xact_start IS NOT NULL"
    " AND datname = current_database()"
)
PROPERTIES = {"id": {"type": "integer"}, "total": {"type": ["null", "number"]}}


@dataclass(frozen=True)
class Obstacle:
    """What makes the server refuse the total `BAD`, and what takes it away."""

    put: str
    remove: str
    column: str = "numeric"


OBSTACLES = {
    "chosen type": Obstacle("SELECT 1", "ALTER TABLE orders ALTER total TYPE numeric", "numeric(5,2)"),
    "check": Obstacle(
        "ALTER TABLE orders ADD CONSTRAINT small CHECK (total < 1000)",
        "ALTER TABLE orders DROP CONSTRAINT small",
    ),
    "trigger": Obstacle(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.total > 1000 THEN"
        " RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION refuse()",
        "DROP TRIGGER refuse ON orders",
    ),
    "unique index": Obstacle(
        f"CREATE UNIQUE INDEX one ON orders (total); INSERT INTO orders VALUES (-1, {BAD})",
        "DROP INDEX one",
    ),
    "deferred": Obstacle(
        "ALTER TABLE orders ADD CONSTRAINT one UNIQUE (total) DEFERRABLE INITIALLY DEFERRED;"
        f"INSERT INTO orders VALUES (-1, {BAD})",
        "ALTER TABLE orders DROP CONSTRAINT one",
    ),
    "foreign key": Obstacle(
        "CREATE TABLE totals AS SELECT generate_series(1, 100)::numeric AS total;"
        "ALTER TABLE totals ADD PRIMARY KEY (total);"
        "ALTER TABLE orders ADD CONSTRAINT known FOREIGN KEY (total) REFERENCES totals",
        "ALTER TABLE orders DROP CONSTRAINT known",
    ),
}


def run_from(at: int, bad: int, keys: list[str]) -> list[Any]:
    """Rows ``at + 1`` to `LAST`, a STATE after every fifth; a SCHEMA keeps the STATEs from being taken as one."""
    schema = SCHEMA("orders", PROPERTIES, keys)
    messages: list[Any] = [schema]
    for number in range(at + 1, LAST + 1):
        messages.append(RECORD("orders", {"id": number, "total": BAD if number == bad else number}))
        if number % EVERY == 0:
            messages += [STATE({"bookmarks": {"orders": {"at": number}}}), schema]
    return messages


def state_of(database: str) -> int:
    row = state_row(database)
    assert row is not None
    value: int = row[1]["bookmarks"]["orders"]["at"]
    return value


def stored(database: str) -> list[int]:
    return [number for (number,) in query(database, "SELECT id FROM orders WHERE id > 0 ORDER BY id")]


def begun(database: str, obstacle: Obstacle, keys: list[str], **config: Any) -> None:
    load(database, *run_from(0, 0, keys)[: EVERY + 2], **config).expect(0)
    with connected(database) as cursor:
        cursor.execute(obstacle.put)


@pytest.mark.parametrize("keys", [["id"], []], ids=["keyed", "key-less"])
@pytest.mark.parametrize(
    ("kind", "bad"),
    [*((kind, 18) for kind in OBSTACLES), ("check", 6), ("check", 20), ("check", LAST)],
)
def test_the_state_is_that_of_the_rows_that_are_stored(
    database: str, tmp_path: Path, kind: str, bad: int, keys: list[str]
) -> None:
    obstacle = OBSTACLES[kind]
    config = {"column_types": {"orders.total": obstacle.column}}
    begun(database, obstacle, keys, **config)
    file = tmp_path / "state.json"
    options = ("--state-file", str(file))
    file.write_text(json.dumps({"bookmarks": {"orders": {"at": EVERY}}}))
    for _ in range(2):
        before = state_of(database)
        start = STATE({"bookmarks": {"orders": {"at": before}}})
        outcome = load(database, start, *run_from(before, bad, keys), arguments=options, **config).expect(65)
        assert str(BAD) not in outcome.stderr, "no value in a log"
        at = state_of(database)
        assert stored(database) == list(range(1, at + 1))
        assert before <= at < bad
        assert json.loads(file.read_text())["bookmarks"]["orders"]["at"] == at
        printed = [json.loads(line)["bookmarks"]["orders"]["at"] for line in outcome.stdout.splitlines()]
        assert all(number <= at for number in printed)
        assert f"{at - before} rows are committed" in outcome.last_words
    with connected(database) as cursor:
        cursor.execute(obstacle.remove)
    config = {"column_types": {"orders.total": "numeric"}}
    start = STATE({"bookmarks": {"orders": {"at": at}}})
    load(database, start, *run_from(at, bad, keys), arguments=options, **config).expect(0)
    assert stored(database) == list(range(1, LAST + 1))
    assert state_of(database) == LAST


@pytest.mark.parametrize("keys", [["id"], []], ids=["keyed", "key-less"])
@pytest.mark.parametrize("end", ["signal", "malformed line", "bad record"])
def test_what_overtakes_a_refused_row_commits_no_newer_state(
    database: str, keys: list[str], end: str
) -> None:
    begun(database, OBSTACLES["check"], keys)
    start = STATE({"bookmarks": {"orders": {"at": EVERY}}})
    messages = encoded(start, *run_from(EVERY, 12, keys))
    if end == "signal":
        with running(database) as process:
            process.send(messages)
            wait_until(lambda: query(database, IN_TRANSACTION), "a transaction")
            process.signal(15)
            outcome = process.finish()
        assert outcome.code in (65, 143)
    else:
        line = b"nonsense\n" if end == "malformed line" else encoded(RECORD("orders", {"id": "x"}))
        load(database, messages, line).expect(65)
    at = state_of(database)
    assert stored(database) == list(range(1, at + 1))
    assert at < 12
