"""A table that others alter between two units of a run (FAULTS D8): no value is rounded, cut or doubled by it."""

from __future__ import annotations

import logging
from typing import Any

import psycopg2
import pytest
from faults.loads import RECORD, SCHEMA, STATE, connected, lines, query, running, state_row
from waiting import wait_until

from singerkit_sql_target.settings import Settings
from singerkit_wire.stream import stream_of
from target_postgres.tables import fit_table, hold

INTEGER = {"type": ["integer", "null"]}
NUMBER = {"type": ["number", "null"]}
TEXT = {"type": ["string", "null"]}
DATE_TIME = {"type": ["string", "null"], "format": "date-time"}
MOMENT = "2020-01-01T10:00:00Z"


def altered(
    database: str, property_: Any, change: str, *values: Any, key: tuple[str, ...] = ("id",), **config: Any
) -> Any:
    """Load the first value, change the table, load the others; the rows are numbered."""
    schema = SCHEMA("t", {"id": INTEGER, "v": property_}, list(key))
    first, *others = values
    with running(database, commit_rows=1, **config) as target:
        target.send(lines(schema, RECORD("t", {"id": 1, "v": first}), STATE({"at": 1})))
        wait_until(lambda: (state_row(database) or (0, None))[1] == {"at": 1}, "the first unit")
        query(database, change)
        rows = [RECORD("t", {"id": number, "v": value}) for number, value in enumerate(others, 2)]
        target.send(lines(*rows, STATE({"at": 2})))
        return target.finish()


@pytest.mark.parametrize("config", [{}, {"on_invalid": "quarantine"}, {"replay_bytes": 0}], ids=str)
@pytest.mark.parametrize("key", [("id",), ()], ids=["keyed", "keyless"])
def test_a_column_of_another_type_is_seen(
    database: str, key: tuple[str, ...], config: dict[str, Any]
) -> None:
    change = "ALTER TABLE t ALTER v TYPE numeric(10,1)"
    outcome = altered(database, NUMBER, change, 1.5, 7.77, key=key, on_type_conflict="fail", **config).expect(
        65
    )
    assert (
        "public.t was altered by others while stream `t` was loaded: `v` was `numeric` and is"
        in outcome.stderr
    )
    assert "numeric(10,1)" in outcome.last_words
    assert "1 row is committed" in outcome.last_words
    assert query(database, "SELECT id, v::text FROM t") == [(1, "1.5")]
    assert (state_row(database) or (0, None))[1] == {"at": 1}


@pytest.mark.parametrize(
    ("property_", "values", "type_"),
    [
        (DATE_TIME, (MOMENT, MOMENT), "time without time zone"),
        (INTEGER, (1, 2**53 + 1), "double precision"),
        (TEXT, ("a", "b"), "name"),
    ],
    ids=["time", "double precision", "name"],
)
def test_a_type_that_keeps_less_is_refused(database: str, property_: Any, values: Any, type_: str) -> None:
    change = f"ALTER TABLE t ALTER v TYPE {type_}"
    outcome = altered(database, property_, change, *values, on_type_conflict="fail").expect(65)
    assert f"got `{type_}`" in outcome.last_words
    assert query(database, "SELECT count(*) FROM t") == [(1,)]


def test_a_type_that_keeps_all_is_taken(database: str) -> None:
    """The unit is decoded anew: a column of text gets the text as it was sent."""
    changes = "ALTER TABLE t ALTER v TYPE text USING 'first'"
    altered(database, DATE_TIME, changes, MOMENT, "2020-01-01T10:00:00.123456789+02:00").expect(0)
    assert query(database, "SELECT v FROM t ORDER BY id") == [
        ("first",),
        ("2020-01-01T10:00:00.123456789+02:00",),
    ]


def test_a_key_that_is_dropped_is_made_again(database: str) -> None:
    schema = SCHEMA("t", {"id": INTEGER, "v": INTEGER}, ["id"])
    with running(database, commit_rows=1) as target:
        target.send(lines(schema, RECORD("t", {"id": 1, "v": 1}), STATE({"at": 1})))
        wait_until(lambda: (state_row(database) or (0, None))[1] == {"at": 1}, "the first unit")
        query(database, "ALTER TABLE t DROP CONSTRAINT t_pkey")
        target.send(lines(RECORD("t", {"id": 1, "v": 2}), STATE({"at": 2})))
        outcome = target.finish().expect(0)
    assert "`id` is no key of it any more" in outcome.stderr
    assert query(database, "SELECT id, v FROM t") == [(1, 2)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, v bigint)", "another one has its name"),
        ("ALTER TABLE t RENAME v TO w", "the column `v` is gone"),
    ],
    ids=["made again", "renamed column"],
)
def test_what_is_gone_is_not_made_again(database: str, change: str, words: str) -> None:
    outcome = altered(database, INTEGER, change, 1, 2).expect(65)
    assert f"dropped or altered by others while stream `t` was loaded: {words}" in outcome.last_words


def test_what_others_add_is_none_of_its_business(database: str) -> None:
    change = "ALTER TABLE t ADD mine text DEFAULT 'x'; CREATE UNIQUE INDEX ON t (id, v); ALTER TABLE t ALTER v SET NOT NULL"
    outcome = altered(database, INTEGER, change, 1, 2, 3).expect(0)
    assert "altered" not in outcome.stderr
    assert query(database, "SELECT id, v, mine FROM t ORDER BY id") == [(1, 1, "x"), (2, 2, "x"), (3, 3, "x")]


@pytest.mark.parametrize("key", [("id",), ()], ids=["keyed", "keyless"])
def test_a_table_that_is_truncated_is_seen(database: str, key: tuple[str, ...]) -> None:
    outcome = altered(database, INTEGER, "TRUNCATE t", 1, 2, key=key).expect(69)
    assert "The table public.t was emptied by others while stream `t` was loaded" in outcome.stderr
    assert "public.t is empty" in outcome.last_words
    assert "--start-over" in outcome.last_words
    assert query(database, "SELECT * FROM t") == []
    assert (state_row(database) or (0, None))[1] == {"at": 1}


def test_a_table_that_is_truncated_is_told_without_a_replay(database: str) -> None:
    outcome = altered(database, INTEGER, "TRUNCATE t", 1, 2, replay_bytes=0).expect(65)
    assert "was emptied by others" in outcome.last_words
    assert "--start-over" in outcome.last_words


@pytest.mark.parametrize(
    ("change", "config"),
    [
        ("VACUUM FULL t", {}),
        ("TRUNCATE t; INSERT INTO t VALUES (1, 1)", {}),
        ("TRUNCATE t", {"rows_gone": "accept"}),
    ],
    ids=["rewritten", "filled again", "accepted"],
)
def test_a_table_with_other_files_is_taken(database: str, change: str, config: dict[str, Any]) -> None:
    outcome = altered(database, INTEGER, change, 1, 2, **config).expect(0)
    assert "altered" not in outcome.stderr
    assert query(database, "SELECT count(*) FROM t WHERE id = 2") == [(1,)]


@pytest.mark.parametrize("key", [("id",), ()], ids=["keyed", "keyless"])
def test_a_column_that_is_made_again_is_told(database: str, key: tuple[str, ...]) -> None:
    change = "ALTER TABLE t DROP v; ALTER TABLE t ADD v bigint"
    outcome = altered(database, INTEGER, change, 1, 2, 3, key=key).expect(0)
    assert outcome.stderr.count("dropped columns of the table of stream `t` and made them again") == 1
    assert (
        "`v`. Rows that were loaded before have lost their values there: read the stream anew: run"
        in outcome.stderr
    )
    assert query(database, "SELECT id, v FROM t ORDER BY id") == [(1, None), (2, 2), (3, 3)]


@pytest.mark.parametrize("key", [("id",), ()], ids=["keyed", "keyless"])
def test_a_trigger_of_the_last_minute_is_seen(database: str, key: tuple[str, ...]) -> None:
    change = """
        CREATE FUNCTION skips() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF NEW.v = 77 THEN RETURN NULL; END IF; RETURN NEW; END $$;
        CREATE TRIGGER skips BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION skips()"""
    outcome = altered(database, INTEGER, change, 1, 2, 77, key=key).expect(65)
    assert "leaves out 1 of its rows" in outcome.last_words


def test_a_table_stays_as_it_was_seen_until_the_unit_ends(database: str) -> None:
    query(database, "CREATE TABLE t (id bigint, v text)")
    stream = stream_of("t", {"properties": {"id": INTEGER, "v": TEXT}}, ())
    with connected(database, autocommit=False) as cursor:
        table = fit_table(cursor, stream, Settings("public"), 1, logging.getLogger(), "")
        cursor.connection.commit()
        hold(cursor, table, logging.getLogger())
        for change in ("ALTER TABLE t ADD w text", "CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING"):
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                query(database, f"SET lock_timeout TO '50ms'; {change}")
        query(database, "INSERT INTO t VALUES (1, 'others may write')")
