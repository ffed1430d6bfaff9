"""Who reads or writes a table while it is loaded does not wait for the load: DDL runs before the unit (DESIGN 2)."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg2.errors
import pytest
from batches import batch
from faults.loads import RECORD, SCHEMA, STATE, connected, lines, load, query, running, table
from faults.test_process import in_transaction
from msgspec import Raw
from waiting import wait_until

from singerkit_postgres.connect import pid_of
from singerkit_shell.errors import BadDataError, ConfigurationError, LockHeldError
from singerkit_shell.signals import StopFlag
from singerkit_sql_target.settings import Settings
from singerkit_target.contract import SafePoint, UnitInTheWay, UnitLost
from singerkit_wire.batch import Reject
from singerkit_wire.stream import Stream, stream_of
from target_postgres import ahead, ddl
from target_postgres.faults import REFUSING
from target_postgres.loader import PostgresLoader

INTEGER = {"type": ["integer", "null"]}
NUMBER = {"type": ["number", "null"]}
TEXT = {"type": ["string", "null"]}
NARROW = {"id": INTEGER, "n": INTEGER}
IMPATIENT = "SET lock_timeout TO '100ms'; SET statement_timeout TO '5s'; "


def seen(database: str, stream: str = "s") -> int:
    """What a session reads that waits for nobody; it also writes, and takes that back."""
    with connected(database, autocommit=False) as other:
        other.execute(f"{IMPATIENT} INSERT INTO {stream} (id, n) VALUES (-1, -1)")
        other.connection.rollback()
        other.execute(f"{IMPATIENT} SELECT count(*) FROM {stream}")
        ((count,),) = other.fetchall()
    return int(count)


def test_a_table_that_grows_at_the_start_of_a_load_is_read_and_written_by_others(database: str) -> None:
    """A second stream before it: the session of the unit holds the locks of that, and the table is altered on another one."""
    load(database, SCHEMA("s", NARROW, ["id"]), RECORD("s", {"id": 1}), STATE({"at": 1})).expect(0)
    grown = [SCHEMA("s", {**NARROW, "more": TEXT}, ["id"]), RECORD("s", {"id": 2, "more": "x"})]
    with running(database) as target:
        target.send(lines(SCHEMA("a", NARROW, ["id"]), RECORD("a", {"id": 1}), *grown, STATE({"at": 1})))
        wait_until(lambda: in_transaction(database), "the rows in the unit")
        assert seen(database) == 1
        assert seen(database, "a") == 0
        target.send(lines(STATE({"at": 2})))
        target.finish().expect(0)
    assert table(database, "s", "id", "more") == [(1, None), (2, "x")]


@pytest.mark.parametrize("repeats", [False, True], ids=["", "a key twice"])
def test_rows_are_locked_by_key_so_that_a_writer_who_does_the_same_lives(
    database: str, repeats: bool
) -> None:
    """Rows as they came locked 3 and 2 and waited for 1; the other, who had 1 and went on, was ended by PostgreSQL."""
    declared, ids = SCHEMA("s", NARROW, ["id"]), (3, 2, 1)
    load(database, declared, *(RECORD("s", {"id": n, "n": 0}) for n in ids), STATE({"at": 1})).expect(0)
    again = [RECORD("s", {"id": n, "n": 1}) for n in (*ids, *([2] if repeats else []))]
    with connected(database, autocommit=False) as other, running(database, commit_rows=1) as target:
        other.execute("SET LOCAL deadlock_timeout TO '50ms'; UPDATE s SET n = 5 WHERE id = 1")
        target.send(lines(declared, *again, STATE({"at": 2})))
        waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        wait_until(lambda: query(database, waits), "a wait for the row")
        other.execute("UPDATE s SET n = 5 WHERE id = 2; UPDATE s SET n = 5 WHERE id = 3")
        other.connection.commit()
        outcome = target.finish().expect(0)
    assert "written again" not in outcome.stderr
    assert table(database, "s", "id", "n") == [(1, 1), (2, 1), (3, 1)]


# --- in process ---------------------------------------------------------------------------------------------


def loader(
    database: str,
    *,
    dsn: Callable[[], str] | None = None,
    stop: StopFlag | None = None,
    pipeline: str = "orders",
    settings: Settings | None = None,
    **options: Any,
) -> PostgresLoader:
    made = PostgresLoader(
        dsn or (lambda: database),
        settings or Settings("public"),
        logging.getLogger("loader"),
        stop=StopFlag() if stop is None else stop,
        **options,
    )
    made.open()
    made.begin(pipeline)
    return made


def shape(name: str, key: Sequence[str] = ("id",), **properties: Any) -> Stream:
    return stream_of(name, {"properties": {"id": INTEGER, **properties}}, list(key))


def write(made: PostgresLoader, stream: Stream, *rows: tuple[Any, ...], columns: Sequence[str]) -> None:
    given = made.declare(stream)
    made.write(stream, batch(given, list(columns), rows))
    made.mark_safe(SafePoint("{}"))


def strong_locks(database: str) -> list[str]:
    """The tables on which a load holds a lock that no reader bears."""
    return [
        name
        for (name,) in query(
            database,
            "SELECT DISTINCT c.relname::text FROM pg_locks l JOIN pg_class c ON c.oid = l.relation "
            "WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1",
        )
    ]


CASES: Mapping[str, tuple[Stream, Sequence[str], tuple[Any, ...]]] = {
    "as it is": (shape("s", n=INTEGER), ["id", "n"], (1, 2)),
    "grown": (shape("s", n=INTEGER, more=TEXT), ["id", "more"], (2, "x")),
    "widened": (shape("s", n=NUMBER), ["id", "n"], (2, Raw(b"1.5"))),
    "another key": (shape("s", ["n"], n=INTEGER), ["id", "n"], (2, 2)),
    "fresh": (shape("fresh", n=INTEGER), ["id", "n"], (2, 2)),
    "no key": (shape("keyless", [], n=INTEGER), ["id", "n"], (2, 2)),
}


@pytest.mark.parametrize("with_metadata", [False, True], ids=["", "metadata"])
@pytest.mark.parametrize("merged", [False, True], ids=["staged", "merged"])
@pytest.mark.parametrize("case", CASES)
def test_a_table_is_read_and_written_by_others_in_mid_unit(
    database: str, case: str, merged: bool, with_metadata: bool
) -> None:
    """With a version that goes and a dead letter in the unit, too; but for a key that changes with the merge, before the COMMIT."""
    stream, columns, row = CASES[case]
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY, n bigint); INSERT INTO s VALUES (1, 1)")
    query(database, "CREATE TABLE keyless (id bigint, n bigint); INSERT INTO keyless VALUES (1, 1)")
    made = loader(database, settings=Settings("public", with_metadata=with_metadata))
    write(made, stream, row, columns=columns)
    if merged:
        made.activate_version(stream, 1)
        made.reject([Reject("s", 1, "$", "a reason", b"{}")])
        made.settle()
    else:
        made._call(lambda _connection: None, "waiting for the rows")
    assert strong_locks(database) == (["s"] if (case, merged) == ("another key", True) else [])
    if (case, merged) == ("another key", True):
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            seen(database)
    else:
        assert seen(database, stream.name) == (0 if case == "fresh" else 1)
    made.commit("{}")


CONSTRAINTS = (
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 's'::regclass AND contype <> 'n'"
)
NOT_NULL = (
    "SELECT attname::text FROM pg_attribute WHERE attrelid = 's'::regclass AND attnum > 0 AND attnotnull"
)
KEYED = "CREATE TABLE s (id bigint PRIMARY KEY, n bigint); INSERT INTO s VALUES (1, 1)"


@pytest.mark.parametrize("made_with", [KEYED, KEYED.replace(" PRIMARY KEY", "")], ids=["changed", "added"])
@pytest.mark.parametrize("rows", [(), ((1, 5),)], ids=["a SCHEMA", "with a row"])
def test_a_key_of_committed_rows_changes_with_the_commit(
    database: str, made_with: str, rows: Sequence[tuple[int, int]]
) -> None:
    """A run that ended without its rows, or was killed, left the new key: `ON CONFLICT` of other programs failed."""
    query(database, made_with)
    before = query(database, CONSTRAINTS), query(database, NOT_NULL)
    stream = shape("s", ["id", "n"], n=INTEGER)

    def again() -> PostgresLoader:
        made = loader(database)
        write(made, shape("other"), (1,), columns=["id"])
        given = made.declare(stream)
        if rows:
            made.write(stream, batch(given, ["id", "n"], rows))
        made.mark_safe(SafePoint("{}"))
        return made

    killed = again()
    assert (query(database, CONSTRAINTS), query(database, NOT_NULL)) == before
    killed.settle()
    killed.close()
    assert (query(database, CONSTRAINTS), query(database, NOT_NULL)) == before
    kept = again()
    kept.settle()
    kept.back_to_safe()
    kept.commit("{}")
    assert query(database, CONSTRAINTS) == [("PRIMARY KEY (id, n)",)]
    write(kept, stream, (1, 5), (2, 5), columns=["id", "n"])
    kept.commit("{}")
    assert table(database, "s", "id", "n") == [(1, 1), (1, 5), (2, 5)]


INDEXES = "SELECT indexname::text FROM pg_indexes WHERE tablename = 's'"


@pytest.mark.parametrize("ends", [True, False], ids=["committed", "given up"])
def test_others_read_while_the_index_of_another_key_is_built(
    database: str, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    query(
        database,
        "CREATE TABLE s (id bigint, n bigint, CONSTRAINT k PRIMARY KEY (id)); INSERT INTO s VALUES (1, 1)",
    )
    before = query(database, CONSTRAINTS), query(database, NOT_NULL), query(database, INDEXES)
    lock, looks = ddl.lock_at_once, list[Any]()

    def looking(cursor: Any, name: Any) -> None:
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE tablename = 's'")
        looks.append((cursor.fetchone(), strong_locks(database), seen_columns(database, "s")))
        lock(cursor, name)

    monkeypatch.setattr(ddl, "lock_at_once", looking)
    made = loader(database)
    write(made, shape("s", ["n"], n=INTEGER), (7, 1), (8, 2), columns=["id", "n"])
    made.settle()
    assert looks == [((2,), [], ["id", "n"])]
    if ends:
        made.commit("{}")
    made.close()
    after = query(database, CONSTRAINTS), query(database, NOT_NULL), query(database, INDEXES)
    assert after == (([("PRIMARY KEY (n)",)], [("n",)], [("k",)]) if ends else before)
    assert table(database, "s", "id", "n") == ([(7, 1), (8, 2)] if ends else [(1, 1)])


def test_a_reader_who_writes_then_is_not_waited_for_with_the_index(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that wait for each other: the index is given up, and with it the lock that keeps writers out."""
    query(database, KEYED)
    lock, tried = ddl.lock_for_altering, list[bool]()
    made = loader(database)
    write(made, shape("s", ["n"], n=INTEGER), (7, 1), columns=["id", "n"])
    made._call(lambda _connection: None, "waiting for the rows")
    with connected(database, autocommit=False) as other:
        other.execute(f"{IMPATIENT} SELECT * FROM s")

        def writing(cursor: Any, table: Any) -> None:
            if not tried:
                tried.append(True)
                other.execute("UPDATE s SET id = 5")
                other.connection.commit()
            lock(cursor, table)

        monkeypatch.setattr(ddl, "lock_for_altering", writing)
        made.commit("{}")
    assert tried == [True]
    assert table(database, "s", "id", "n") == [(7, 1)]
    assert query(database, CONSTRAINTS) == [("PRIMARY KEY (n)",)]


def test_a_table_that_the_unit_has_made_gets_another_key_at_once(database: str) -> None:
    """It goes with the run that ends without its rows."""
    made = loader(database)
    made.declare(shape("s", n=INTEGER))
    made.declare(shape("s", ["n"], n=INTEGER))
    assert query(database, CONSTRAINTS) == [("PRIMARY KEY (n)",)]
    made.close()
    assert query(database, "SELECT to_regclass('s')") == [(None,)]


def test_an_empty_table_that_a_killed_run_left_is_changed_by_the_statement(database: str) -> None:
    killed = loader(database)
    killed.declare(shape("s", n=INTEGER))
    killed._open_session.close()
    made = loader(database)
    with pytest.raises(BadDataError) as caught:
        made.declare(shape("s", n=TEXT))
    statement = re.findall(r"`(ALTER TABLE [^`]+)`", str(caught.value))[0]
    made.recover()
    query(database, statement)
    write(made, shape("s", n=TEXT), (1, "x"), columns=["id", "n"])
    made.commit("{}")
    assert table(database, "s", "id", "n") == [(1, "x")]


def test_a_column_that_leaves_the_key_takes_null(database: str) -> None:
    """Rows without it were refused, and with `on_invalid: quarantine` set aside; a NOT NULL that the schema has, too, stays."""
    query(
        database,
        "CREATE TABLE s (id bigint, n bigint, m bigint, PRIMARY KEY (id, n, m)); INSERT INTO s VALUES (1, 1, 1)",
    )
    made = loader(database, sets_aside=REFUSING)
    properties = {"id": INTEGER, "n": INTEGER, "m": {"type": "integer"}}
    stream = stream_of("s", {"properties": properties, "required": ["m"]}, ["id"])
    write(made, stream, (1, None, 2), columns=["id", "n", "m"])
    assert made.settle() == {}
    made.commit("{}")
    assert table(database, "s", "id", "n", "m") == [(1, None, 2)]
    assert query(database, NOT_NULL) == [("id",), ("m",)]


def test_a_column_that_leaves_the_key_keeps_a_not_null_of_other_origin(database: str) -> None:
    """An identity has to have it."""
    query(
        database, "CREATE TABLE s (id bigint, n bigint GENERATED BY DEFAULT AS IDENTITY, PRIMARY KEY (id, n))"
    )
    made = loader(database)
    write(made, shape("s", n=INTEGER), (1, 2), columns=["id", "n"])
    made.commit("{}")
    assert query(database, NOT_NULL) == [("id",), ("n",)]


def test_what_forbids_another_key_is_told_before_the_first_row(database: str) -> None:
    query(database, f"{KEYED}; INSERT INTO s VALUES (2, 1)")
    made = loader(database)
    with pytest.raises(BadDataError, match="unique and not null"):
        made.declare(shape("s", ["n"], n=INTEGER))
    made.recover()
    query(database, "DELETE FROM s WHERE id = 2; CREATE TABLE child (s bigint REFERENCES s)")
    with pytest.raises(ConfigurationError, match="to which foreign keys refer"):
        made.declare(shape("s", ["n"], n=INTEGER))
    made.recover()
    query(database, "DROP TABLE child; CREATE VIEW v AS SELECT id, n FROM s GROUP BY id")
    with pytest.raises(ConfigurationError, match="depends on the table"):
        made.declare(shape("s", ["n"], n=INTEGER))
    made.recover()
    made.declare(shape("s", n=INTEGER))


def test_a_reader_is_waited_for_where_the_key_changes(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For half a second at a time: who comes later waits behind the statement that waits."""
    query(database, KEYED)
    monkeypatch.setattr(ahead, "_LOCK_SECONDS", 0.05)
    with connected(database, autocommit=False) as other:

        class Releasing(StopFlag):
            tries = 0

            def wait(self, seconds: float) -> bool:
                self.tries += 1
                if self.tries == 2:
                    other.connection.rollback()
                return False

        stop = Releasing()
        made = loader(database, stop=stop)
        write(made, shape("s", ["n"], n=INTEGER), (7, 1), columns=["id", "n"])
        made._call(lambda _connection: None, "waiting for the rows")
        other.execute("SELECT * FROM s")
        made.commit("{}")
    assert stop.tries == 2
    assert table(database, "s", "id", "n") == [(7, 1)]


def test_a_lock_of_others_is_tried_for_again(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY)")
    monkeypatch.setattr(ahead, "_LOCK_SECONDS", 0.1)
    with connected(database, autocommit=False) as other:

        class Releasing(StopFlag):
            """Between two tries nobody waits: readers get in."""

            tries = 0

            def wait(self, seconds: float) -> bool:
                self.tries += 1
                if self.tries == 1:
                    read.extend(seen_columns(database, "s"))
                    other.connection.rollback()
                return False

        stop, read = Releasing(), list[str]()
        other.execute("SELECT * FROM s")
        loader(database, stop=stop).declare(shape("s", more=TEXT))
    assert stop.tries >= 1
    assert read == ["id"]
    assert seen_columns(database, "s") == ["id", "more"]


def seen_columns(database: str, name: str) -> list[str]:
    with connected(database) as other:
        other.execute(f"{IMPATIENT} SELECT * FROM {name}")
        return [column.name for column in other.description]


def test_a_lock_that_is_not_given_up_ends_the_wait(database: str) -> None:
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY)")
    made = loader(database, lock_timeout_seconds=0.05)
    with connected(database, autocommit=False) as other:
        other.execute("SELECT * FROM s")
        with pytest.raises(LockHeldError) as caught:
            made.declare(shape("s", more=TEXT))
        pid = other.connection.info.backend_pid
    assert not isinstance(caught.value, UnitLost), "it is not tried six times over"
    assert re.search(
        rf"by pid {pid}, idle in transaction, since 20..-\d\d-\d\d \d\d:\d\d:\d\d", str(caught.value)
    )
    made.recover()
    made.declare(shape("s", more=TEXT))


def test_a_lock_that_is_not_given_up_beside_a_unit_is_waited_for_twice(database: str) -> None:
    """In between the unit is written again, since the other may wait for one of its locks."""
    query(database, KEYED)
    made = loader(database, lock_timeout_seconds=0.05)
    with connected(database, autocommit=False) as other:
        other.execute("SELECT * FROM s")
        for lost in (True, False):
            write(made, shape("a"), (1,), columns=["id"])
            with pytest.raises(LockHeldError) as caught:
                made.declare(shape("s", more=TEXT))
            assert isinstance(caught.value, UnitLost) is lost
            made.recover()
        assert f"pid {other.connection.info.backend_pid}, " in str(caught.value)


def test_a_lock_that_is_not_given_up_ends_the_wait_for_another_key(database: str) -> None:
    query(database, KEYED)
    made = loader(database, lock_timeout_seconds=0.05)
    write(made, shape("a"), (1,), columns=["id"])
    write(made, shape("s", ["n"], n=INTEGER), (7, 1), columns=["id", "n"])
    made._call(lambda _connection: None, "waiting for the rows")
    with connected(database, autocommit=False) as other:
        other.execute("SELECT * FROM s")
        with pytest.raises(
            LockHeldError, match=r"changing the key of the table of stream `s`.*locks are held by pid"
        ):
            made.settle()
    made.back_to_safe()
    made.commit("{}")
    assert table(database, "s", "id", "n") == [(7, 1)]


def test_that_others_load_a_table_is_told_once(database: str, caplog: pytest.LogCaptureFixture) -> None:
    """It was told with each try for a lock."""
    made = loader(database)
    write(made, shape("s"), (1,), columns=["id"])
    made.commit("{}")
    made.close()
    made = loader(database, pipeline="second")
    for _ in range(2):
        made.declare(shape("s"))
        made.recover()
    assert caplog.text.count("was loaded by the pipeline `orders`") == 1


def test_what_others_have_made_in_the_same_moment_is_fitted(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = ddl.create_table

    def late(*arguments: Any) -> None:
        monkeypatch.undo()
        query(database, "CREATE TABLE s (id bigint PRIMARY KEY)")
        create(*arguments)

    monkeypatch.setattr(ddl, "create_table", late)
    loader(database).declare(shape("s", more=TEXT))
    assert seen_columns(database, "s") == ["id", "more"]


def declare_in_unit(made: PostgresLoader, stream: Stream) -> Stream:
    """As the loop does with a unit that it does not hold any more."""
    with contextlib.suppress(UnitInTheWay):
        made.declare(stream)
    return made.declare(stream)


Step = tuple[Stream, Sequence[str], tuple[Any, ...]]


def write_all(made: PostgresLoader, *steps: Step) -> int:
    """Write rows as the loop does, behind a change again where the unit is in the way; return how often it was given up."""
    for given_up in range(9):
        try:
            for stream, columns, row in steps:
                write(made, stream, row, columns=columns)
        except UnitInTheWay:
            made.recover()
        else:
            return given_up
    pytest.fail("the unit is given up again and again")


NARROW_S = shape("s", n=INTEGER), ["id", "n"], (1, 2)
WIDER_S = shape("s", n=INTEGER, more=TEXT), ["id", "n", "more"], (2, 2, "x")
IN_MID_UNIT: Mapping[str, Sequence[Step]] = {
    "a column": [NARROW_S, WIDER_S],
    "and back": [NARROW_S, WIDER_S, NARROW_S, WIDER_S],
    "a wider type": [NARROW_S, (shape("s", n=NUMBER), ["id", "n"], (2, Raw(b"1.5")))],
    "a column, no key": [
        (shape("keyless", [], n=INTEGER), ["id", "n"], (1, 2)),
        (shape("keyless", [], n=INTEGER, more=TEXT), ["id", "more"], (2, "x")),
    ],
    "an empty table": [
        (shape("empty", n=INTEGER), ["id", "n"], (1, 2)),
        (shape("empty", n=INTEGER, more=TEXT), ["id", "more"], (2, "x")),
    ],
    "what a trigger writes to": [(shape("told", [], n=INTEGER), ["id", "n"], (1, 2)), WIDER_S],
}
BESIDE = """
CREATE TABLE s (id bigint PRIMARY KEY, n bigint); INSERT INTO s VALUES (1, 1);
CREATE TABLE keyless (id bigint, n bigint); INSERT INTO keyless VALUES (1, 1);
CREATE TABLE empty (id bigint PRIMARY KEY, n bigint);
CREATE TABLE child (id bigint, parent bigint REFERENCES s);
CREATE TABLE told (id bigint, n bigint);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE s SET n = new.n; RETURN NEW; END';
CREATE TRIGGER t AFTER INSERT ON told FOR EACH ROW EXECUTE FUNCTION tell();
"""


@pytest.mark.parametrize("case", IN_MID_UNIT)
def test_a_table_that_changes_in_mid_unit_is_read_by_others(database: str, case: str) -> None:
    """The unit has locked it: it is given up, and written again behind the change, which is there before its rows."""
    query(database, BESIDE)
    made = loader(database)
    steps = IN_MID_UNIT[case]
    name = steps[-1][0].name
    before = table(database, name, "id")
    assert write_all(made, *steps) == 1
    made.activate_version(steps[-1][0], 1)
    made.reject([Reject(name, 1, "$", "a reason", b"{}")])
    made.settle()
    assert strong_locks(database) == []
    assert table(database, name, "id") == before
    made.commit("{}")
    ids = {row[0] for stream, _, row in steps if stream.name == name} | {row[0] for row in before}
    assert {row[0] for row in table(database, name, "id")} == ids
    made.close()
    assert write_all(loader(database), *steps) == 0, "nothing is to be altered any more"


def test_the_parent_of_a_row_is_altered_beside_the_unit(database: str) -> None:
    """The row of the child waits until the unit ends, and has locked nothing until then."""
    query(database, BESIDE)
    made = loader(database)
    assert write_all(made, (shape("child", [], parent=INTEGER), ["id", "parent"], (1, 2)), WIDER_S) == 0
    assert strong_locks(database) == []
    made.commit("{}")
    assert table(database, "child", "id", "parent") == [(1, 2)]


def test_a_row_that_is_gone_and_one_that_is_upserted_are_read_by_others(database: str) -> None:
    query(database, BESIDE)
    made = loader(database, settings=Settings("public", deletes_marked=True))
    marked = shape("s", n=INTEGER, _sdc_deleted_at={"type": ["string", "null"], "format": "date-time"})
    columns = ["id", "n", "_sdc_deleted_at"]
    write_all(made, (marked, columns, (1, 1, "2026-01-01T00:00:00Z")), (marked, columns, (2, 1, None)))
    made.settle()
    assert strong_locks(database) == []
    assert seen(database) == 1
    made.commit("{}")
    assert table(database, "s", "id") == [(2,)]


def test_a_table_that_the_unit_has_made_is_altered_in_it(database: str) -> None:
    """To others it is empty: nobody reads it, and the rows of a first load are not written twice."""
    made = loader(database)
    assert write_all(made, NARROW_S, WIDER_S) == 0
    made.commit("{}")
    assert table(database, "s", "id", "more") == [(1, None), (2, "x")]


def test_a_change_that_is_refused_keeps_what_came_before_it(database: str) -> None:
    """What the unit was given up for is refused, and told of, where it comes again, behind the last safe point."""
    query(database, BESIDE)
    made = loader(database)
    steps = NARROW_S, (shape("s", n=TEXT, more=TEXT), ["id", "n"], (2, "x"))
    with pytest.raises(BadDataError, match="`n`"):
        write_all(made, *steps)
    assert made.back_to_safe() == SafePoint("{}")
    made.commit("{}")
    assert table(database, "s", "id", "n") == [(1, 2)]
    assert seen_columns(database, "s") == ["id", "n"]


def test_what_the_unit_was_given_up_for_goes_with_a_run_that_ends_without_it(database: str) -> None:
    query(database, BESIDE)
    made = loader(database)
    assert write_all(made, NARROW_S, WIDER_S) == 1
    assert seen_columns(database, "s") == ["id", "n", "more"]
    made.close()
    assert seen_columns(database, "s") == ["id", "n"]


def test_a_unit_that_is_not_written_again_alters_the_table(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A trigger has written to it; that readers wait is told once."""
    query(database, BESIDE)
    made = loader(database, lock_timeout_seconds=20)
    write_all(made, IN_MID_UNIT["what a trigger writes to"][0])
    began = time.monotonic()
    for column in ("more", "most"):
        wider = shape("s", n=INTEGER, **{column: TEXT})
        declare_in_unit(made, wider)
        write(made, wider, (2, "x"), columns=["id", column])
    assert time.monotonic() - began < 10, "it is seen at the first try, and not at the last"
    assert strong_locks(database) == ["s"]
    assert caplog.text.count("has locked the table of stream `s` already") == 1
    made.commit("{}")
    assert table(database, "s", "id", "more", "most") == [(1, None, None), (2, "x", "x")]


def test_a_unit_is_given_up_three_times(database: str) -> None:
    names = "abcde"
    for name in names:
        query(database, f"CREATE TABLE {name} (id bigint PRIMARY KEY)")
    made = loader(database)
    steps: list[Step] = []
    for name in names:
        steps += [(shape(name), ["id"], (1,)), (shape(name, more=TEXT), ["id", "more"], (2, "x"))]
    assert write_all(made, *steps) == 3
    assert strong_locks(database) == ["d", "e"]
    made.commit("{}")
    for name in names:
        query(database, f"ALTER TABLE {name} DROP COLUMN more")
    made.close()
    assert write_all(loader(database), *steps[:6]) == 3, "in the next unit as often"


def test_a_lock_that_is_not_given_up_ends_the_wait_of_the_unit_at_once(database: str) -> None:
    """It was waited for six times over."""
    query(database, BESIDE)
    made = loader(database, lock_timeout_seconds=0.05)
    write(made, NARROW_S[0], NARROW_S[2], columns=NARROW_S[1])
    with pytest.raises(UnitInTheWay):
        made.declare(WIDER_S[0])
    with connected(database, autocommit=False) as other:
        other.execute("SELECT * FROM s")
        pid = other.connection.info.backend_pid
        with pytest.raises(LockHeldError, match=f"by pid {pid}, idle in transaction") as caught:
            made.declare(WIDER_S[0])
    assert not isinstance(caught.value, UnitLost)


def test_without_a_second_connection_the_unit_alters_the_table(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    places = [database]
    made = loader("", dsn=lambda: places[-1])
    write(made, shape("a"), (1,), columns=["id"])
    places.append(f"{database}&sslmode=none")
    write(made, shape("b"), (1,), columns=["id"])
    assert "There is no second connection" in caplog.text
    made.commit("{}")
    assert table(database, "b", "id") == [(1,)]


def test_a_second_connection_is_opened_once_in_a_unit_and_closed_with_it(database: str) -> None:
    opened: list[str] = []

    def dsn() -> str:
        opened.append(database)
        return database

    plain = database
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted' AND backend_type = 'client backend'"
    database = f"{database}&application_name=counted"
    made = loader("", dsn=dsn)
    for unit in ("a", "b"):
        for number in range(4):
            write(made, shape(f"{unit}{number}"), (1,), columns=["id"])
        (open_before,) = query(plain, sessions)
        made.commit("{}")
        wait_until(lambda before=open_before[0]: query(plain, sessions) == [(before - 1,)], "its end")
    assert len(opened) == 3


def test_a_second_connection_that_the_server_has_ended_is_opened_anew(database: str) -> None:
    made = loader(f"{database}&application_name=ended")
    for name in "ab":
        write(made, shape(name), (1,), columns=["id"])
    unit = made._call(pid_of, "asking")
    others = "FROM pg_stat_activity WHERE application_name = 'ended' AND pid <> %s"
    assert query(database, f"SELECT pg_terminate_backend(pid) {others}", [unit]) == [(True,)]
    wait_until(lambda: not query(database, f"SELECT pid {others}", [unit]), "the end of the second session")
    write(made, shape("c"), (1,), columns=["id"])
    made.commit("{}")
    assert table(database, "c", "id") == [(1,)]


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "is killed"])
def test_what_was_made_for_rows_that_are_not_committed_goes_with_the_run(database: str, ends: bool) -> None:
    """But for a run that is killed, and for what others have filled."""
    query(database, "CREATE TABLE old (id bigint PRIMARY KEY); INSERT INTO old VALUES (1)")
    made = loader(database)
    for name in ("old", "new", "filled"):
        write(made, shape(name, more=TEXT), (2, "x"), columns=["id", "more"])
    made.rollback()
    query(database, "INSERT INTO filled VALUES (3, 'y')")
    if ends:
        made.close()
    assert seen_columns(database, "old") == ["id", "more"][: 1 if ends else 2]
    assert query(database, "SELECT to_regclass('new')") == [(None if ends else "new",)]
    assert table(database, "filled", "id", "more") == [(3, "y")]
    loads_again = loader(database) if ends else made
    write(loads_again, shape("new", more=TEXT), (2, "x"), columns=["id", "more"])
    loads_again.commit("{}")
    assert table(database, "new", "id", "more") == [(2, "x")]
    loads_again.close()
    assert table(database, "new", "id", "more") == [(2, "x")], "what is committed stays"


OTHERS: Sequence[tuple[str, str, Sequence[str]]] = [
    # what others do with a table that the run has made, or to which it has added `more`; its columns at the end
    ("made", "DROP TABLE made; CREATE TABLE made (id bigint, more text)", ["id", "more"]),
    ("made", "DROP TABLE made; CREATE TABLE made (more text); INSERT INTO made VALUES (NULL)", ["more"]),
    ("made", "INSERT INTO made VALUES (3, NULL)", ["id", "more"]),
    ("made", "ALTER TABLE made ADD COLUMN mine int", ["id", "more", "mine"]),
    ("made", "ALTER TABLE made DROP COLUMN more; ALTER TABLE made ADD COLUMN more text", ["id", "more"]),
    ("made", "CREATE VIEW v AS SELECT id FROM made", ["id", "more"]),
    ("old", "DROP TABLE old; CREATE TABLE old (id bigint, more text)", ["id", "more"]),
    ("old", "ALTER TABLE old DROP COLUMN more; ALTER TABLE old ADD COLUMN more text", ["id", "more"]),
    ("old", "ALTER TABLE old RENAME TO former; CREATE TABLE old (id bigint, more text)", ["id", "more"]),
    ("made", "ALTER TABLE made RENAME TO first; CREATE TABLE made (id bigint, more text)", ["id", "more"]),
    ("old", "ALTER TABLE old ADD COLUMN mine int UNIQUE", ["id", "mine"]),
    ("old", "INSERT INTO old VALUES (3, NULL)", ["id"]),
    ("old", "INSERT INTO old VALUES (3, '')", ["id", "more"]),
    ("old", "CREATE VIEW w AS SELECT more FROM old", ["id", "more"]),
    ("old", "CREATE INDEX ON old ((more || 'x'))", ["id", "more"]),
    ("old", "ALTER TABLE old ADD UNIQUE (id, more)", ["id", "more"]),
    ("old", "ALTER TABLE old ADD CHECK (more <> 'x')", ["id", "more"]),
]


def test_what_others_have_made_or_built_on_is_not_taken_back(database: str) -> None:
    names = [f"{place}_{old}" for place, (old, *_) in enumerate(OTHERS)]
    for name in names:
        if name.endswith("old"):
            query(database, f'CREATE TABLE "{name}" (id bigint PRIMARY KEY)')
    made = loader(database)
    for name in names:
        made.declare(shape(name, more=TEXT))
    for name, (old, statements, _) in zip(names, OTHERS, strict=True):
        query(database, re.sub(rf"\b{old}\b", f'"{name}"', statements))
    made.close()
    for name, (_, statements, there) in zip(names, OTHERS, strict=True):
        assert seen_columns(database, f'"{name}"') == list(there), statements


def test_what_went_with_the_transaction_of_the_unit_is_not_taken_back(database: str) -> None:
    """Others have made a column of that name, which even has the number of ours."""
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY)")
    made = loader(database)
    write(made, shape("s"), (1,), columns=["id"])
    declare_in_unit(made, shape("s", more=TEXT))
    made.rollback()
    query(database, "ALTER TABLE s ADD COLUMN more text")
    made.close()
    assert seen_columns(database, "s") == ["id", "more"]


def test_a_safe_point_before_all_rows_is_there_still_when_a_table_was_made(database: str) -> None:
    made = loader(database)
    made.mark_safe(SafePoint("{}"))
    made.declare(shape("s"))
    assert made.back_to_safe() == SafePoint("{}")


def test_what_went_behind_a_safe_point_is_not_taken_back(database: str) -> None:
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY)")
    made = loader(database)
    write(made, shape("s"), (1,), columns=["id"])
    declare_in_unit(made, shape("s", more=TEXT))
    made.back_to_safe()
    made.commit("{}")
    query(database, "ALTER TABLE s ADD COLUMN more text")
    made.close()
    assert seen_columns(database, "s") == ["id", "more"]


def test_what_is_committed_stays_with_no_row_or_value_in_it(database: str) -> None:
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY)")
    made = loader(database)
    write(made, shape("s", more=TEXT), (1,), columns=["id"])
    declare_in_unit(made, shape("s", more=TEXT, most=TEXT))
    made.declare(shape("empty"))
    made.commit("{}")
    made.close()
    assert seen_columns(database, "s") == ["id", "more", "most"]
    assert seen_columns(database, "empty") == ["id"]


def test_nobody_writes_into_a_table_while_it_is_taken_back(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, looks, is_empty = loader(database), list[str](), ddl.is_empty
    made.declare(shape("s"))

    def looking(*arguments: Any) -> bool:
        with pytest.raises(psycopg2.errors.LockNotAvailable) as caught:
            query(database, f"{IMPATIENT} INSERT INTO s VALUES (1)")
        looks.append(str(caught.value))
        return is_empty(*arguments)

    monkeypatch.setattr(ddl, "is_empty", looking)
    made.close()
    assert len(looks) == 1
    assert query(database, "SELECT to_regclass('s')") == [(None,)]


@pytest.mark.parametrize("ends", ["close", "rollback", "recover"])
def test_what_was_made_before_the_unit_is_taken_back_though_the_unit_made_more(
    database: str, ends: str
) -> None:
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY)")
    made = loader(database)
    write(made, shape("s", more=TEXT), (1, "x"), columns=["id", "more"])
    declare_in_unit(made, shape("s", more=TEXT, most=TEXT))
    if ends != "close":
        getattr(made, ends)()
    made.close()
    assert seen_columns(database, "s") == ["id"]


def test_a_new_column_of_a_key_is_taken_back_with_the_key(database: str) -> None:
    query(database, "CREATE TABLE s (id bigint PRIMARY KEY)")
    made = loader(database)
    made.declare(shape("s", ["id", "more"], more=TEXT))
    made.close()
    assert seen_columns(database, "s") == ["id"]


def test_behind_a_safe_point_goes_what_was_made_after_it(database: str) -> None:
    query(database, "CREATE TABLE old (id bigint PRIMARY KEY)")
    made = loader(database)
    made.declare(shape("bare"))
    write(made, shape("old", blank=TEXT), (1,), columns=["id"])
    write(made, shape("kept"), (1,), columns=["id"])
    made.declare(shape("bare", more=TEXT))
    made.declare(shape("gone"))
    made.back_to_safe()
    made.commit("{}")
    made.close()
    assert table(database, "kept", "id") == [(1,)]
    assert seen_columns(database, "bare") == ["id"]
    assert seen_columns(database, "old") == ["id", "blank"]
    assert query(database, "SELECT to_regclass('gone')") == [(None,)]
