"""Tables that others inherit from, or that inherit, as the user made them; and partitions that come and go while a run loads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from faults.loads import RECORD, SCHEMA, STATE, lines, load, query, running, state_row, table
from waiting import wait_until

INTEGER = {"type": ["integer", "null"]}
NUMBER = {"type": ["number", "null"]}
TEXT = {"type": ["string", "null"]}
DATE_TIME = {"type": ["string", "null"], "format": "date-time"}
NARROW, WIDE = {"id": INTEGER, "v": INTEGER}, {"id": INTEGER, "v": NUMBER}

PARENT = "CREATE TABLE parent (id bigint PRIMARY KEY, v bigint);"
CHILD = "CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);"
PARTS = (
    "CREATE TABLE t (id bigint PRIMARY KEY, v bigint) PARTITION BY RANGE (id);"
    "CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (100)"
)


def row(stream: str, number: int, value: Any, **more: Any) -> Any:
    return RECORD(stream, {"id": number, "v": value}, **more)


def committed(database: str, at: int) -> None:
    wait_until(lambda: (state_row(database) or (0, None))[1] == {"at": at}, f"unit {at}")


@pytest.mark.parametrize("replay_bytes", [0, 1 << 20], ids=["given up", "held"])
@pytest.mark.parametrize("first", ["parent", "child"])
@pytest.mark.parametrize("in_unit", [False, True], ids=["", "in the unit"])
def test_a_table_whose_column_widens_takes_those_with_it_that_inherit_from_it(
    database: str, in_unit: bool, first: str, replay_bytes: int
) -> None:
    """Nobody else has altered them, and what comes next for them fits as it did."""
    query(database, PARENT + CHILD)
    second = "child" if first == "parent" else "parent"
    declared = [SCHEMA(first, NARROW, ["id"]), SCHEMA(second, NARROW, ["id"])]
    before = [*declared, row("parent", 1, 1), row("child", 2, 2), row("child", 3, 3)]
    before.insert(len(before) - in_unit, STATE({"at": 1}))
    wider = [SCHEMA("parent", WIDE, ["id"]), row("parent", 4, 4.5), row("child", 5, 5)]
    outcome = load(
        database,
        *before,
        *wider,
        STATE({"at": 2}),
        row("child", 2, 22),
        STATE({"at": 3}),
        commit_rows=1,
        replay_bytes=replay_bytes,
    )
    assert "by others" not in outcome.expect(0).stderr
    assert query(database, "SELECT id, v::text FROM child ORDER BY id") == [(2, "22"), (3, "3"), (5, "5")]
    assert query(database, "SELECT id, v::text FROM ONLY parent ORDER BY id") == [(1, "1"), (4, "4.5")]


@pytest.mark.parametrize("replay_bytes", [0, 1 << 20], ids=["given up", "held"])
@pytest.mark.parametrize("key", [("id",), ()], ids=["keyed", "keyless"])
def test_a_column_of_integers_that_others_widen_is_taken(
    database: str, key: Sequence[str], replay_bytes: int
) -> None:
    config = {"commit_rows": 1, "replay_bytes": replay_bytes, "on_type_conflict": "fail"}
    with running(database, **config) as target:
        target.send(lines(SCHEMA("t", NARROW, list(key)), row("t", 1, 1), STATE({"at": 1})))
        committed(database, 1)
        query(database, "ALTER TABLE t ALTER v TYPE numeric")
        target.send(lines(row("t", 2, 2), STATE({"at": 2})))
        committed(database, 2)
        query(database, "ALTER TABLE t ALTER v TYPE numeric(3)")  # from here on, some values would be refused
        target.send(lines(row("t", 3, 3), STATE({"at": 3})))
        outcome = target.finish().expect(65)
    assert "`v` was `numeric` and is `numeric(3,0)`" in outcome.stderr
    assert table(database, "t", "id", "v") == [(1, 1), (2, 2)]


def statement_in(words: str) -> str:
    found = re.search(r"run `(ALTER TABLE .*?)`, which changes all", words)
    assert found, words
    return found.group(1)


@pytest.mark.parametrize("config", [{}, {"on_invalid": "quarantine"}], ids=str)
def test_a_column_that_is_inherited_is_widened_by_the_statement_that_is_told(
    database: str, config: dict[str, Any]
) -> None:
    query(database, PARENT + CHILD + "CREATE TABLE grandchild (PRIMARY KEY (id)) INHERITS (child)")
    messages = [SCHEMA("grandchild", WIDE, ["id"]), row("grandchild", 1, 1.5), STATE({"at": 1})]
    outcome = load(database, *messages, **config).expect(78)
    assert 'has its columns from "public"."parent"' in outcome.last_words
    query(database, statement_in(outcome.last_words))
    load(database, *messages, **config).expect(0)
    assert query(database, "SELECT id, v::text FROM ONLY grandchild") == [(1, "1.5")]


def test_a_part_of_a_table_gets_all_that_it_lacks_by_one_statement(database: str) -> None:
    query(database, PARTS)
    messages = [
        SCHEMA("low", {**WIDE, "w": TEXT, "x": DATE_TIME}, ["id"]),
        row("low", 1, 1.5),
        STATE({"at": 1}),
    ]
    outcome = load(database, *messages).expect(78)
    query(database, statement_in(outcome.last_words))
    load(database, *messages).expect(0)
    assert query(database, "SELECT id, v::text, w, x FROM t") == [(1, "1.5", None, None)]


def test_a_column_of_two_parents_is_told_as_postgresql_tells_it(database: str) -> None:
    query(database, PARENT + "CREATE TABLE other (v bigint); CREATE TABLE child () INHERITS (parent, other)")
    outcome = load(database, SCHEMA("child", WIDE), row("child", 1, 1.5), STATE({"at": 1})).expect(78)
    assert 'cannot alter inherited column "v"' in outcome.last_words


AUDIT = """CREATE TABLE audit (what text);
    CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO audit VALUES (TG_OP); RETURN NEW; END $$;
    CREATE TRIGGER audit {} INSERT ON parent FOR EACH {} EXECUTE FUNCTION audit();"""


@pytest.mark.parametrize(
    "trigger",
    ["", AUDIT.format("AFTER", "STATEMENT"), AUDIT.format("AFTER", "ROW"), AUDIT.format("BEFORE", "ROW")],
)
def test_what_goes_from_a_table_is_no_row_of_those_that_inherit_from_it(trigger: str, database: str) -> None:
    query(database, PARENT + CHILD + trigger)
    config = {"add_record_metadata": True, "hard_delete": True}
    both = [SCHEMA("parent", NARROW, ["id"]), SCHEMA("child", NARROW, ["id"])]
    first = [row(stream, number, 1, version=1) for stream in ("parent", "child") for number in (1, 2)]
    load(database, *both, *first, STATE({"at": 1}), **config).expect(0)
    assert query(database, "SELECT count(*) FROM ONLY child") == [(2,)]
    activate = {"type": "ACTIVATE_VERSION", "stream": "parent", "version": 2}
    load(database, both[0], row("parent", 1, 2, version=2), activate, STATE({"at": 2}), **config).expect(0)
    assert query(database, "SELECT id FROM ONLY parent") == [(1,)]
    assert query(database, "SELECT count(*) FROM ONLY child") == [(2,)]
    gone = RECORD("parent", {"id": 1, "_sdc_deleted_at": "2024-01-01T00:00:00Z"})
    marked = SCHEMA("parent", {**NARROW, "_sdc_deleted_at": DATE_TIME}, ["id"])
    load(database, marked, gone, STATE({"at": 3}), hard_delete=True, rows_gone="accept").expect(0)
    assert query(database, "SELECT id FROM ONLY parent") == []
    assert query(database, "SELECT count(*) FROM ONLY child") == [(2,)]


def test_rows_that_a_trigger_has_put_into_a_table_that_inherits_go_with_their_version(database: str) -> None:
    """Parts as they were made before there were partitions."""
    query(
        database,
        """CREATE TABLE t (id bigint, v bigint, _sdc_table_version bigint); CREATE TABLE part () INHERITS (t);
        CREATE FUNCTION moves() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO part SELECT NEW.*; DELETE FROM ONLY t WHERE id = NEW.id; RETURN NULL; END $$;
        CREATE TRIGGER moves AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION moves()""",
    )
    for version in (1, 2):
        activate = {"type": "ACTIVATE_VERSION", "stream": "t", "version": version}
        rows = [row("t", version, 1, version=version)]
        config = {"add_record_metadata": True}
        load(database, SCHEMA("t", NARROW), *rows, activate, STATE({"at": version}), **config).expect(0)
    assert query(database, "SELECT id FROM part") == [(2,)]
    assert query(database, "SELECT id FROM ONLY t") == []


def test_a_key_is_one_of_the_table_alone(database: str) -> None:
    query(database, "CREATE TABLE t (id bigint, v bigint PRIMARY KEY); CREATE TABLE other () INHERITS (t)")
    query(database, "INSERT INTO t VALUES (1, 1); INSERT INTO other VALUES (1, 1), (1, 2)")
    load(database, SCHEMA("t", NARROW, ["id"]), row("t", 1, 2), STATE({"at": 1})).expect(0)
    assert query(database, "SELECT id, v FROM ONLY t") == [(1, 2)]
    assert query(database, "SELECT count(*) FROM other") == [(2,)]


@pytest.mark.parametrize("replay_bytes", [0, 1 << 20], ids=["given up", "held"])
def test_parts_come_and_go_while_a_run_loads_and_its_column_widens(database: str, replay_bytes: int) -> None:
    query(database, PARTS)
    with running(database, commit_rows=1, replay_bytes=replay_bytes) as target:
        target.send(lines(SCHEMA("t", NARROW, ["id"]), row("t", 1, 1), row("t", 2, 2), STATE({"at": 1})))
        committed(database, 1)
        query(database, "CREATE TABLE high (v bigint, id bigint NOT NULL)")  # in another order
        query(database, "ALTER TABLE t ATTACH PARTITION high FOR VALUES FROM (100) TO (200)")
        target.send(lines(row("t", 101, 3), SCHEMA("t", WIDE, ["id"]), row("t", 102, 4.5), STATE({"at": 2})))
        committed(database, 2)
        query(database, "ALTER TABLE t DETACH PARTITION low")
        target.send(lines(row("t", 101, 33), STATE({"at": 3})))
        committed(database, 3)
        query(database, "ALTER TABLE t ATTACH PARTITION low FOR VALUES FROM (0) TO (100)")
        target.send(lines(row("t", 1, 11), STATE({"at": 4})))
        outcome = target.finish().expect(0)
    assert "by others" not in outcome.stderr
    assert query(database, "SELECT id, v::text FROM t ORDER BY id") == [
        (1, "11"),
        (2, "2"),
        (101, "33"),
        (102, "4.5"),
    ]
