"""Units of commit in PostgreSQL, in process: what is there after each call of the contract, seen from outside."""

from __future__ import annotations

import base64
import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg2
import pytest
from batches import batch
from conftest import run_sql
from faults.proxy import proxied
from psycopg2.sql import SQL, Identifier, Literal
from waiting import wait_until

from singerkit_postgres.connect import connect
from singerkit_shell.errors import (
    BadDataError,
    FencedError,
    LockHeldError,
    RetryableError,
    SingerkitError,
    Stopped,
)
from singerkit_shell.signals import StopFlag
from singerkit_sql_target.methods import Method, Methods
from singerkit_sql_target.settings import Settings
from singerkit_state.postgres import lock
from singerkit_state.postgres import row as state_row
from singerkit_target.contract import RowsGone, SafePoint, UnitInTheWay
from singerkit_wire.batch import Reject
from singerkit_wire.stream import Stream, stream_of
from target_postgres import loader as module
from target_postgres import merge, storing, waiting
from target_postgres import session as session_module
from target_postgres.faults import ConnectionLost
from target_postgres.loader import PostgresLoader
from target_postgres.names import identifier
from target_postgres.session import Session, process_of_a_load

LOG = logging.getLogger("loader")
POINT = SafePoint()
OLD, NEW = '{"bookmarks":{"a":{"at":1}}}', '{"bookmarks":{"a":{"at":2}}}'


class Target:
    """A schema of its own, and loaders into it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.schema = f"s {uuid.uuid4().hex[:8]} %s"
        self.made: list[PostgresLoader] = []

    def loader(
        self,
        *,
        begin: bool = True,
        dsn: str | None = None,
        with_metadata: bool = False,
        append_only: bool = False,
        column_types: dict[str, str] | None = None,
        hard_delete: bool = True,
        **options: Any,
    ) -> PostgresLoader:
        settings = Settings(
            self.schema,
            with_metadata=with_metadata,
            methods=Methods({"*": Method.APPEND if append_only else Method.UPSERT}),
            column_types=column_types or {},
            hard_delete=hard_delete,
        )
        made = PostgresLoader(lambda: dsn or self.dsn, settings, LOG, **({"stop": StopFlag()} | options))
        self.made.append(made)
        made.open()
        if begin:
            made.begin("orders")
        return made

    def query(self, statement: str, *names: str) -> list[tuple[Any, ...]]:
        tables = [Identifier(self.schema, name) for name in names]
        return run_sql(self.dsn, SQL(statement).format(*tables))

    def rows(self, name: str = "a", columns: str = "n, x") -> list[tuple[Any, ...]]:
        return self.query(f"SELECT {columns} FROM {{}} ORDER BY 1, 2", name)

    def state(self) -> tuple[Any, ...]:
        return self.query("SELECT epoch, sequence, state::text FROM {}", "_singerkit_state")[0]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is refused is refused at once; that it waits for a session that is going is shown elsewhere."""
    monkeypatch.setattr(lock, "GOING_SECONDS", 0.0)


@pytest.fixture
def target(postgres_dsn: str) -> Iterator[Target]:
    made = Target(postgres_dsn)
    yield made
    for loader in made.made:
        loader.close()


def stream(name: str = "a", keys: Sequence[str] = ("n",), **more: Any) -> Stream:
    properties = {"n": {"type": "integer"}, "x": {"type": ["string", "null"]}, **more}
    return stream_of(name, {"properties": properties}, tuple(keys))


A = stream()


def put(
    loader: PostgresLoader, *rows: Sequence[Any], to: Stream = A, columns: Sequence[str] = ("n", "x")
) -> None:
    loader.write(to, batch(to, columns, [tuple(row) for row in rows]))


def declared(loader: PostgresLoader, *streams: Stream) -> PostgresLoader:
    for one in streams or (A,):
        try:
            loader.declare(one)
        except UnitInTheWay:  # as the loop does with a unit that it does not hold any more
            loader.declare(one)
    return loader


def temporary(loader: PostgresLoader) -> list[str]:
    """The stages of the loader's session."""

    def look(connection: Any) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() ORDER BY 1")
            return [name for (name,) in cursor.fetchall()]

    found: list[str] = loader._call(look, "looking")
    return found


def closed(loader: PostgresLoader) -> None:
    """Close and wait until the server has noticed: the lock goes with the connection."""
    dsn, pid = loader._dsn_of(), backend(loader)
    loader.close()
    await_end(dsn, pid)


def await_end(dsn: str, pid: int) -> None:
    """Wait until the server has no such session any more."""
    wait_until(lambda: not run_sql(dsn, "SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]), seconds=20)


# a unit of commit


def test_rows_and_state_are_seen_together_and_not_before(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    loader.mark_safe(POINT)
    assert target.rows() == []
    assert target.state() == (1, 0, None)
    loader.commit(OLD)
    assert target.rows() == [(1, "a")]
    assert target.state() == (1, 1, OLD)
    put(loader, (2, "b"))
    loader.commit(None)
    assert target.rows() == [(1, "a"), (2, "b")]
    assert target.state() == (1, 2, OLD), "no state, the former one stays"


def test_the_next_run_is_told_the_committed_state(target: Target) -> None:
    first = target.loader(begin=False)
    assert first.begin("orders") is None
    declared(first)
    first.commit(OLD)
    closed(first)
    second = target.loader(begin=False)
    assert second.begin("orders") == OLD
    assert target.state()[:2] == (2, 1)
    assert second.run_id != first.run_id


@pytest.mark.usefixtures("impatient")
def test_a_second_run_at_once_is_refused_until_the_first_is_closed(target: Target) -> None:
    first = target.loader()
    with pytest.raises(LockHeldError):
        target.loader()
    closed(first)
    first.close()
    target.loader()


def test_what_belongs_to_the_server_is_closed_with_the_loader(target: Target) -> None:
    closed: list[bool] = []
    loader = target.loader(close_server=lambda: closed.append(True))
    loader.close()
    assert closed == [True]
    PostgresLoader(lambda: target.dsn, Settings("s"), LOG, close_server=lambda: closed.append(True)).close()
    assert closed == [True, True], "also before it was opened"


def test_an_open_unit_is_given_up_at_the_end(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    loader.commit(OLD)
    put(loader, (2, "b"))
    loader.close()
    assert target.rows() == [(1, "a")]


def test_rollback_gives_up_the_unit_and_the_next_one_works(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    loader.commit(OLD)
    put(loader, (2, "b"), (1, "changed"))
    loader.mark_safe(POINT)
    put(loader, (3, "waits here"))
    loader.rollback()
    declared(loader)
    put(loader, (4, "d"))
    loader.mark_safe(POINT)
    loader.commit(NEW)
    assert target.rows() == [(1, "a"), (4, "d")]
    loader.close()
    loader.rollback()  # without a session there is nothing to do


def test_after_a_rollback_rows_can_be_staged_again(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    loader.commit(OLD)
    put(loader, (1, "staged and lost"))
    loader._waiting.send_all()
    loader.rollback()
    put(loader, (1, "b"))
    loader.commit(NEW)
    assert target.rows() == [(1, "b")]


def test_a_fenced_run_commits_nothing(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    target.query("UPDATE {} SET epoch = epoch + 1", "_singerkit_state")
    with pytest.raises(FencedError):
        loader.commit(OLD)
    loader.rollback()
    assert target.state()[1:] == (0, None)


# from the blocks into the table


def test_rows_replace_those_with_their_key(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"), (2, "b"))
    put(loader, (2, "c"), (3, "d"))
    loader.commit(OLD)
    assert target.rows() == [(1, "a"), (2, "c"), (3, "d")]
    put(loader, (1, "e"), (4, "f"))
    loader.commit(NEW)
    put(loader, (4, "g"))
    loader.commit(None)
    assert target.rows() == [(1, "e"), (2, "c"), (3, "d"), (4, "g")]


def test_a_table_that_was_empty_takes_rows_straight_until_a_key_comes_again(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    loader.commit(OLD)
    put(loader, (2, "b"))
    assert temporary(loader) == []
    loader.mark_safe(POINT)
    put(loader, (1, "again"), (3, "c"))
    assert temporary(loader) == ["singerkit_stage_1"]
    put(loader, (5, "e"))
    loader.commit(NEW)
    assert target.rows() == [(1, "again"), (2, "b"), (3, "c"), (5, "e")]
    assert loader._tables["a"].takes_copies is False
    put(loader, (6, "f"))
    loader.commit(NEW)
    assert target.rows()[-1] == (6, "f")


def test_no_savepoint_of_a_copy_is_left(target: Target) -> None:
    loader = declared(target.loader())
    for row in ((1, "straight"), (1, "staged")):
        put(loader, row)
        with pytest.raises(Exception, match="singerkit_copy"):
            loader._call(
                lambda connection: connection.cursor().execute("RELEASE SAVEPOINT singerkit_copy"), "x"
            )
        loader.recover()
        declared(loader)


def test_a_table_with_rows_is_loaded_through_the_stage(target: Target) -> None:
    first = declared(target.loader())
    put(first, (1, "a"))
    first.commit(OLD)
    closed(first)
    loader = declared(target.loader())
    put(loader, (2, "new"))
    assert temporary(loader) == ["singerkit_stage_1"]
    put(loader, (1, "b"), (2, "c"))
    loader.commit(NEW)
    put(loader, (3, "d"))
    put(loader, (3, "e"))
    loader.commit(NEW)
    assert temporary(loader) == ["singerkit_stage_1"], "one for the whole session"
    assert target.rows() == [(1, "b"), (2, "c"), (3, "e")]


def test_a_bad_value_is_raised_and_not_taken_for_a_repeated_key(target: Target) -> None:
    loader = declared(target.loader(), stream(x={"type": "integer"}))
    put(loader, (1, "no number"))
    with pytest.raises(BadDataError, match="loading stream `a`"):
        loader.commit(OLD)
    loader.rollback()


def test_only_a_key_that_is_there_already_is_loaded_in_another_way(target: Target) -> None:
    """An error that does not come again, as of a trigger, is an error still."""
    first = declared(target.loader())
    first.commit(OLD)
    closed(first)
    target.query("CREATE SEQUENCE {}", "calls")
    calls = SQL("{}").format(Identifier(target.schema, "calls"))
    with psycopg2.connect(target.dsn) as connection, connection.cursor() as cursor:
        name = Identifier(target.schema, "fails_once")
        body = SQL(
            "CREATE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF nextval({}::regclass) = 1 THEN RAISE EXCEPTION 'once'; END IF; RETURN NEW; END $$"
        ).format(name, Literal(calls.as_string(cursor)))
        cursor.execute(body)
        trigger = SQL("CREATE TRIGGER t BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION {}()")
        cursor.execute(trigger.format(Identifier(target.schema, "a"), name))
    connection.close()
    loader = declared(target.loader())
    put(loader, (1, "a"))
    with pytest.raises(SingerkitError, match="once"):
        loader.commit(NEW)


def test_blocks_with_the_same_columns_are_merged_once(target: Target, monkeypatch: Any) -> None:
    first = declared(target.loader())
    put(first, (0, "makes the table non-empty"))
    first.commit(OLD)
    closed(first)
    merged: list[int] = []
    real = merge.merge
    monkeypatch.setattr(merge, "merge", lambda *a, **o: merged.append(1) or real(*a, **o))
    loader = declared(target.loader())
    for number in range(3):
        put(loader, (number, "a"))
        loader._waiting.send_all()
    loader.mark_safe(POINT)
    loader._call(lambda _: None, "waiting")
    assert merged == []
    loader.commit(NEW)
    assert merged == [1]
    assert len(target.rows()) == 3


def test_a_stream_known_to_repeat_keys_is_merged_as_such(target: Target, monkeypatch: Any) -> None:
    told: list[bool] = []
    real = merge.merge

    def noted(*arguments: Any, has_repeats: bool, **more: Any) -> bool:
        told.append(has_repeats)
        return real(*arguments, has_repeats=has_repeats, **more)

    monkeypatch.setattr(merge, "merge", noted)
    loader = declared(target.loader())
    for _ in range(2):
        put(loader, (1, "a"), (1, "b"))
        loader.commit(OLD)
    assert told == [False, True]


def test_a_field_that_is_missing_keeps_what_is_stored(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    loader.commit(OLD)
    put(loader, (1, "b"))
    put(loader, (1,), (2,), columns=["n"])
    put(loader, ("c", 2), columns=["x", "n"])
    loader.commit(NEW)
    assert target.rows() == [(1, "b"), (2, "c")]


def test_keys_that_repeat_within_a_unit(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (0, "makes the table non-empty"))
    loader.commit(OLD)
    for round_ in range(2):
        put(loader, (0, "x"), *[(1, f"{round_}{index}") for index in range(5)])
        loader.commit(NEW)
        assert target.rows() == [(0, "x"), (1, f"{round_}4")]
    assert loader._tables["a"].has_repeats is True
    declared(loader, stream(y={"type": "string"}))
    assert loader._tables["a"].has_repeats is True, "learned for the run"


@pytest.mark.parametrize(("keys", "append_only"), [((), False), (("n",), True)])
def test_without_a_key_every_row_is_appended(target: Target, keys: Sequence[str], append_only: bool) -> None:
    loader = declared(target.loader(append_only=append_only), stream(keys=keys))
    assert (loader.abilities.appends("a"), loader.abilities.is_log) == (append_only, False)
    put(loader, (1, "a"), (1, "a"))
    loader.commit(OLD)
    put(loader, (1, "a"))
    assert temporary(loader) == []
    loader.commit(NEW)
    assert target.rows() == [(1, "a")] * 3


def test_a_row_that_says_the_same_is_left_alone(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"), (2, "b"))
    loader.commit(OLD)
    before = target.rows(columns="n, ctid::text")
    put(loader, (1, "a"), (2, "c"))
    loader.commit(NEW)
    after = target.rows(columns="n, ctid::text")
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)


def test_metadata_is_added_when_asked_for(target: Target) -> None:
    loader = declared(target.loader(with_metadata=True))
    put(loader, (1, "a"))
    loader.commit(OLD)
    age, sequence, deleted = target.rows(columns="now() - _sdc_received_at, _sdc_sequence, _sdc_deleted_at")[
        0
    ]
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert sequence > 10**18
    assert deleted is None
    plain = declared(target.loader(begin=False), stream("plain"))
    plain.rollback()


def test_bytes_and_local_clocks_reach_their_columns(target: Target) -> None:
    binary = {"type": ["string", "null"], "contentEncoding": "base64"}
    when = {"type": ["string", "null"], "format": "date-time"}
    one = stream(b=binary, t=when, u=when)
    loader = declared(target.loader(column_types={"a.t": "timestamp"}), one)
    moment = datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    names = ["n", "b", "t", "u"]
    put(loader, (1, base64.b64decode("AP8="), moment, moment), (2, None, None, None), to=one, columns=names)
    loader.commit(OLD)
    found = target.query("SELECT n, b, t, u FROM {} ORDER BY n", "a")
    assert found[1] == (2, None, None, None)
    assert bytes(found[0][1]) == b"\x00\xff"
    assert found[0][2] == datetime(2023, 12, 31, 23)
    assert found[0][3] == moment
    with pytest.raises(BadDataError, match="stream `a`"):
        put(loader, (3, datetime(1, 1, 1, tzinfo=moment.tzinfo)), to=one, columns=["n", "t"])


def test_columns_are_found_by_the_names_they_have_in_the_table(target: Target) -> None:
    long = "x" * 70
    one = stream(**{long: {"type": "string"}})
    loader = declared(target.loader(), one)
    put(loader, (1, "z"), to=one, columns=["n", long])
    loader.commit(OLD)
    assert target.query("SELECT * FROM {}", "a") == [(1, None, "z")]


# blocks wait for a COPY that is worth it


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[str, ...], int]]:
    """Columns and lines of each COPY that is made."""
    made: list[tuple[tuple[str, ...], int]] = []
    real = storing.copy_rows

    def noted(cursor: Any, name: Identifier, columns: Sequence[str], csv: bytes) -> int:
        made.append((tuple(columns), csv.count(b"\n")))
        return real(cursor, name, columns, csv)

    monkeypatch.setattr(storing, "copy_rows", noted)
    return made


def test_blocks_of_one_table_are_copied_together(target: Target, copies: list[Any]) -> None:
    loader = declared(target.loader())
    for number in range(5):
        put(loader, (number, "a"))
    assert copies == []
    loader.commit(OLD)
    assert copies == [(("n", "x"), 5)]
    assert len(target.rows()) == 5


def test_a_copy_starts_once_it_is_large_enough(target: Target, copies: list[Any], monkeypatch: Any) -> None:
    monkeypatch.setattr(waiting, "_COPY_BYTES", 12)  # two lines of 6 bytes
    loader = declared(target.loader())
    for number in range(5):
        put(loader, (number, "a"))
    wait_until(lambda: len(copies) == 2, seconds=20)
    assert [lines for _, lines in copies] == [2, 2]
    loader.commit(OLD)
    assert [lines for _, lines in copies] == [2, 2, 1]
    assert len(target.rows()) == 5


def test_other_columns_end_what_waits(target: Target, copies: list[Any]) -> None:
    loader = declared(target.loader(), stream(keys=()))
    put(loader, (1, "a"))
    put(loader, (2,), columns=["n"])
    put(loader, (3,), columns=["n"])
    put(loader, (4, "a"))
    loader.commit(OLD)
    assert copies == [(("n", "x"), 1), (("n",), 2), (("n", "x"), 1)]
    assert [row[0] for row in target.rows()] == [1, 2, 3, 4]


def test_what_waits_for_many_tables_is_bounded(target: Target, copies: list[Any], monkeypatch: Any) -> None:
    monkeypatch.setattr(waiting, "_COPY_BYTES", 12)
    streams = [stream(name, keys=()) for name in "abcdef"]
    loader = declared(target.loader(), *streams)
    for one in streams[:4]:
        put(loader, (1, "a"), to=one)
    assert copies == [], "24 bytes wait, twice what a COPY is"
    put(loader, (1, "a"), to=streams[4])
    wait_until(lambda: len(copies) == 5, seconds=20)
    assert len(loader._waiting) == 0
    put(loader, (1, "a"), to=streams[5])
    loader.commit(OLD)
    assert [len(target.rows(name)) for name in "abcdef"] == [1] * 6


# streams


def test_a_schema_that_grows_adds_to_the_table_and_loses_no_row_that_waits(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (0, "z"))
    loader.commit(OLD)
    put(loader, (0, "a"), (1, "a"))
    wider = stream(y={"type": "integer"})
    declared(loader, wider)
    put(loader, (2, "b", 5), to=wider, columns=["n", "x", "y"])
    put(loader, (0, "c"), to=wider)
    loader.commit(NEW)
    assert target.rows(columns="n, x, y") == [(0, "c", None), (1, "a", None), (2, "b", 5)]


@pytest.mark.parametrize(("state", "is_kept"), [(OLD, False), (NEW, True)])
def test_a_column_of_another_type_is_told_by_what_becomes_of_it(
    target: Target, state: str, is_kept: bool
) -> None:
    """A STATE that is committed already is none to which the unit is kept."""
    loader = declared(target.loader())
    loader.commit(OLD)
    dated = stream("b", when={"type": "string", "format": "date"})
    put(
        declared(loader, dated), (1, "2020-01-01"), to=dated, columns=["n", "when"]
    )  # without a value it takes any type
    loader.mark_safe(SafePoint(state))
    with pytest.raises(BadDataError, match="ALTER TABLE" if is_kept else "nothing of it is kept"):
        declared(loader, stream("b", when={"type": "string"}))


def test_a_column_that_is_committed_is_no_new_one(target: Target) -> None:
    loader = declared(target.loader(), stream("b", when={"type": "integer"}))
    loader.commit(OLD)
    with pytest.raises(BadDataError, match="ALTER TABLE"):
        declared(loader, stream("b", when={"type": ["integer", "string"]}))


def test_a_table_that_takes_copies_goes_on_doing_so_with_more_columns_and_not_with_another_key(
    target: Target,
) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    declared(loader, stream(y={"type": "integer"}))
    assert loader._tables["a"].takes_copies is True
    declared(loader, stream(keys=["n", "x"]))
    assert loader._tables["a"].takes_copies is False
    again = stream("b")
    declared(loader, again)
    put(loader, (1, "a"), (1, "b"), to=again)
    loader.mark_safe(POINT)
    declared(loader, again)
    assert loader._tables["b"].takes_copies is False, "a key has repeated"


def test_each_declaration_has_a_stage_of_its_own(target: Target) -> None:
    loader = declared(target.loader(), stream("a"), stream("b"))
    assert [table.stage for table in loader._tables.values()] == ["singerkit_stage_1", "singerkit_stage_2"]


@pytest.mark.parametrize("name", ["_singerkit_state", "_singerkit_state_history", "_singerkit_rejects"])
def test_our_own_tables_are_not_for_streams(target: Target, name: str) -> None:
    with pytest.raises(BadDataError, match="keeps for itself"):
        declared(target.loader(), stream(name))


def test_the_state_table_may_have_another_name(target: Target) -> None:
    loader = declared(target.loader(state_table="mine"), stream("_singerkit_state"))
    loader.commit(OLD)
    assert target.query("SELECT pipeline, sequence FROM {}", "mine") == [("orders", 1)]


def test_two_streams_never_share_a_table(target: Target) -> None:
    long = "y" * 64
    with pytest.raises(BadDataError, match="both become"):
        declared(target.loader(), stream(long), stream(long), stream(identifier(long)))


@pytest.mark.parametrize(
    ("state", "is_missed"),
    [
        (OLD, True),
        ('{"bookmarks":{"a":{}}}', False),
        ('{"bookmarks":{"a":{"_singerkit_read":{"fields":{"id":"integer"}}}}}', False),
        ('{"bookmarks":{"b":{"at":1}}}', False),
        ('{"bookmarks":[1]}', False),
        ('{"bookmarks":null,"other":1}', False),
        ("[1]", False),
    ],
)
def test_a_table_that_the_state_knows_is_not_made_again(target: Target, state: str, is_missed: bool) -> None:
    first = declared(target.loader())
    put(first, (1, "a"))
    first.commit(state)
    closed(first)
    target.query("DROP TABLE {}", "a")
    loader = target.loader()
    if is_missed:
        with pytest.raises(
            RowsGone, match="a is not there, and the saved state says that rows of stream `a` were"
        ):
            declared(loader)
    else:
        declared(loader)
        declared(loader)
        loader.commit(None)
        assert target.rows() == []


def test_a_table_that_is_dropped_in_mid_run_is_not_made_again(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    loader.commit(None)
    target.query("DROP TABLE {}", "a")
    with pytest.raises(BadDataError, match="put the table back"):
        declared(loader, stream(y={"type": "integer"}))


# safe points


def test_going_back_to_a_safe_point_drops_what_came_after_it(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    loader.mark_safe(POINT)
    put(loader, (2, "b"), (1, "changed"))
    loader.mark_safe(POINT)
    put(loader, (3, "c"))
    loader._waiting.send_all()
    put(loader, (4, "waits here"))
    assert loader.back_to_safe() is POINT
    assert loader.back_to_safe() is POINT, "the point is still there"
    loader.commit(OLD)
    assert target.rows() == [(1, "changed"), (2, "b")]


@pytest.mark.parametrize("staged_before", [False, True])
def test_the_stage_goes_back_too(target: Target, staged_before: bool) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    loader.commit(OLD)
    if staged_before:
        put(loader, (1, "b"))
    loader.mark_safe(POINT)
    put(loader, (1,), (2,), columns=["n"])
    put(loader, (3, "c"))
    declared(loader, stream("late"))
    put(loader, (1, "late"), to=stream("late"))
    loader._waiting.send_all()
    assert loader.back_to_safe() is POINT
    loader.commit(NEW)
    assert target.rows() == [(1, "b" if staged_before else "a")]
    assert target.state()[2] == NEW


def test_a_safe_point_may_be_marked_again_and_again(target: Target) -> None:
    loader = declared(target.loader())
    for number in range(3):
        put(loader, (number, "a"))
        loader.mark_safe(POINT)
    loader.back_to_safe()

    def release(connection: Any) -> None:
        for _ in range(2):
            connection.cursor().execute("RELEASE SAVEPOINT singerkit_safe")

    with pytest.raises(Exception, match="singerkit_safe"):
        loader._call(release, "releasing")  # the second one: there was a single savepoint


def test_without_a_safe_point_in_the_unit_there_is_none_to_go_back_to(target: Target) -> None:
    loader = declared(target.loader())
    assert loader.back_to_safe() is None
    loader.mark_safe(POINT)
    loader.commit(OLD)
    put(loader, (1, "a"))
    assert loader.back_to_safe() is None
    loader.mark_safe(POINT)
    loader.rollback()
    assert loader.back_to_safe() is None


def test_what_waits_here_is_not_even_tried_when_going_back(target: Target) -> None:
    loader = declared(target.loader(), stream(x={"type": "integer"}))
    put(loader, (1, 1))
    loader.mark_safe(POINT)
    put(loader, (2, "no number"))
    assert loader.back_to_safe() is POINT
    loader.commit(OLD)
    assert target.rows() == [(1, 1)]


def test_a_failed_job_is_forgotten_when_going_back(target: Target) -> None:
    one = stream(x={"type": "integer"})
    loader = declared(target.loader(), one)
    put(loader, (1, 1))
    loader.mark_safe(POINT)
    put(loader, (2, "no number"))
    loader._waiting.send_all()
    assert loader.back_to_safe() is POINT
    loader.commit(OLD)
    assert target.rows() == [(1, 1)]


# dead letters


def test_dead_letters_are_committed_with_the_unit(target: Target) -> None:
    loader = declared(target.loader())
    odd = Reject("a\x00\ud800", 7, "$.n\x00", "Expected `integer`\x00", b'{"n":"\xff\x00 %s"}')
    loader.reject([odd, Reject("b", 8, "$", "no", b"{}")])
    loader.commit(OLD)
    loader.reject([Reject("c", 9, "$", "third", b"{}")])
    loader.commit(OLD)
    loader.reject([Reject("d", 10, "$", "lost", b"{}")])
    loader.rollback()
    columns = "pipeline, run_id, stream, line, path, reason, record"
    found = target.query(f"SELECT {columns} FROM {{}} ORDER BY id", "_singerkit_rejects")
    assert [(*row[:-1], bytes(row[-1])) for row in found] == [
        ("orders", loader.run_id, "a\ufffd?", 7, "$.n\ufffd", "Expected `integer`\ufffd", odd.record),
        ("orders", loader.run_id, "b", 8, "$", "no", b"{}"),
        ("orders", loader.run_id, "c", 9, "$", "third", b"{}"),
    ]
    times = target.query("SELECT now() - rejected_at < interval '1 minute' FROM {}", "_singerkit_rejects")
    assert times == [(True,)] * 3
    second = target.loader(begin=False)
    second.close()


# versions


@pytest.mark.parametrize("options", [{}, {"hard_delete": True}, {"hard_delete": False}])
def test_other_versions_go_when_one_is_activated(target: Target, options: dict[str, bool]) -> None:
    loader = declared(target.loader(with_metadata=True, **options))
    hard = options != {"hard_delete": False}
    put(loader, (1, "old", 1), (2, "gone", 1), (4, "none", None), columns=["n", "x", "_sdc_table_version"])
    loader.commit(OLD)
    put(loader, (1, "new", 2), (3, "new", 2), columns=["n", "x", "_sdc_table_version"])
    loader.activate_version(A, 2)
    loader.commit(NEW)
    found = target.rows(columns="n, x, _sdc_deleted_at IS NULL")
    assert found == [
        (1, "new", True),
        *([] if hard else [(2, "gone", False)]),
        (3, "new", True),
        (4, "none", True),
    ]
    if not hard:
        first = target.query("SELECT _sdc_deleted_at FROM {} WHERE n = 2", "a")
        loader.activate_version(A, 2)
        loader.commit(NEW)
        assert target.query("SELECT _sdc_deleted_at FROM {} WHERE n = 2", "a") == first, "once"


def test_rows_without_metadata_have_no_version(target: Target, caplog: pytest.LogCaptureFixture) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    loader.activate_version(A, 2)
    loader.commit(OLD)
    assert "ACTIVATE_VERSION of stream `a` is ignored" in caplog.text
    assert target.rows() == [(1, "a")]


# lost connections


def backend(loader: PostgresLoader) -> int:
    return int(loader._open_session.connection.info.backend_pid)


def kill(target: Target, loader: PostgresLoader) -> None:
    pid = backend(loader)
    run_sql(target.dsn, "SELECT pg_terminate_backend(%s)", [pid])
    await_end(target.dsn, pid)


@pytest.mark.usefixtures("impatient")
def test_a_unit_can_be_written_again_on_a_new_connection(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    loader.commit(OLD)
    put(loader, (2, "lost"))
    loader.reject([Reject("a", 1, "$", "lost", b"{}")])
    loader.mark_safe(POINT)
    put(loader, (7, "waits here"))
    old = backend(loader)
    kill(target, loader)
    with pytest.raises(ConnectionLost):
        loader.commit(NEW)
    loader.recover()
    assert backend(loader) != old
    assert loader.back_to_safe() is None
    declared(loader)
    put(loader, (3, "c"))
    loader.reject([Reject("a", 2, "$", "kept", b"{}")])
    loader.mark_safe(POINT)
    loader.commit(NEW)
    assert target.rows() == [(1, "a"), (3, "c")]
    assert target.state() == (1, 2, NEW)
    assert target.query("SELECT line FROM {}", "_singerkit_rejects") == [(2,)]
    with pytest.raises(LockHeldError):
        target.loader()


def test_what_waited_here_when_the_connection_went_goes_with_the_unit(target: Target) -> None:
    loader = declared(target.loader())
    loader.mark_safe(POINT)
    kill(target, loader)
    with pytest.raises(ConnectionLost):
        loader._call(run("SELECT 1"), "asking")
    put(loader, (7, "waits here"))
    loader.recover()
    assert loader._safe is None
    declared(loader)
    put(loader, (1, "a"))
    loader.commit(OLD)
    assert target.rows() == [(1, "a")]


def test_the_lost_session_is_ended_and_the_tries_for_another_have_pauses(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noting(StopFlag):
        waited: list[float]

        def wait(self, seconds: float) -> bool:
            self.waited.append(seconds)
            return False

    stop = Noting()
    stop.waited = []
    monkeypatch.setattr(module, "waits", lambda: iter([0.1, 0.2, 0.3]))
    loader = declared(target.loader(stop=stop))
    old = loader._open_session
    kill(target, loader)
    real, answers = loader._connect, [RetryableError("not yet"), RetryableError("not yet")]
    monkeypatch.setattr(loader, "_connect", lambda: _raise(answers.pop()) if answers else real())
    with pytest.raises(ConnectionLost):
        loader._call(run("SELECT 1"), "asking")
    loader.recover()
    assert stop.waited == [0.1, 0.2]
    assert not old._thread.is_alive()


def _raise(error: Exception) -> Any:
    raise error


@pytest.mark.parametrize("run_before", [True, False])
def test_a_table_that_goes_while_there_is_no_connection_is_missed(target: Target, run_before: bool) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    loader.commit(OLD)
    if run_before:
        closed(loader)
        loader = declared(target.loader())
    kill(target, loader)
    target.query("DROP TABLE {}", "a")
    with pytest.raises(ConnectionLost):
        loader._call(run("SELECT 1"), "asking")
    loader.recover()
    with pytest.raises(RowsGone, match="rows of stream `a` were loaded"):
        declared(loader)


def test_a_run_that_starts_over_notes_anew_which_tables_hold_rows(target: Target) -> None:
    first = declared(target.loader())
    put(first, (1, "a"))
    first.commit(OLD)
    closed(first)
    target.query("DROP TABLE {}", "a")
    loader = target.loader()
    loader.expect_gone_rows()
    declared(loader).commit(OLD)
    closed(loader)
    declared(target.loader())


def test_a_table_that_is_fitted_after_the_safe_point_goes_back_too(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    loader.commit(OLD)
    put(loader, (1, "b"))
    loader.mark_safe(POINT)
    declared(loader, stream(new={"type": ["string", "null"]}))
    assert loader.back_to_safe() is POINT
    loader.commit(NEW)
    assert target.rows() == [(1, "b")]


def test_a_unit_can_be_written_again_on_the_same_connection(target: Target) -> None:
    loader = declared(target.loader())
    put(loader, (1, "gone"))
    loader.mark_safe(POINT)
    put(loader, (5, "waits here"))
    old = backend(loader)
    loader.recover()
    assert backend(loader) == old
    declared(loader)
    put(loader, (2, "b"))
    loader.commit(OLD)
    assert target.rows() == [(2, "b")]


@pytest.mark.parametrize("is_marked", [True, False])
def test_a_lost_connection_leaves_no_safe_point(target: Target, is_marked: bool) -> None:
    loader = declared(target.loader())
    if is_marked:
        loader.mark_safe(POINT)
    kill(target, loader)
    with pytest.raises(ConnectionLost):
        loader._call(lambda connection: connection.cursor().execute("SELECT 1"), "asking")
    with pytest.raises(ConnectionLost):
        loader.back_to_safe()
    loader.rollback()


def test_a_run_that_was_overtaken_while_it_had_no_connection_is_fenced(target: Target) -> None:
    loader = declared(target.loader())
    loader.commit(OLD)
    kill(target, loader)
    newer = declared(target.loader())
    newer.commit(NEW)
    closed(newer)
    with pytest.raises(ConnectionLost):
        loader._call(lambda connection: connection.cursor().execute("SELECT 1"), "asking")
    started = time.monotonic()
    with pytest.raises(FencedError):
        loader.recover()
    assert time.monotonic() - started < 30, "another try would find the same"


@pytest.mark.parametrize("lose", ["before", "after"])
def test_a_commit_whose_answer_is_lost_is_looked_up(target: Target, lose: str) -> None:
    with proxied(target.dsn, lose) as proxy:
        loader = declared(target.loader(dsn=proxy.uri))
        put(loader, (1, "a"), (1, "b"))
        if lose == "before":
            with pytest.raises(ConnectionLost, match="during COMMIT and the unit was not committed"):
                loader.commit(OLD)
            loader.recover()
            declared(loader)
            put(loader, (1, "a"), (1, "b"))
        loader.commit(OLD)
        assert target.state() == (1, 1, OLD)
        put(loader, (2, "c"), (1, "d"))
        loader.mark_safe(POINT)
        loader.commit(NEW)
        assert target.state() == (1, 2, NEW)
        assert target.rows() == [(1, "d"), (2, "c")]


@pytest.mark.parametrize("seconds", [0, 0.3])
def test_a_server_that_stays_away_ends_the_run(target: Target, seconds: float, monkeypatch: Any) -> None:
    with proxied(target.dsn, "after") as proxy:
        loader = declared(target.loader(dsn=proxy.uri, reconnect_seconds=seconds))
        put(loader, (1, "a"))
        monkeypatch.setattr(loader, "_connect", lambda: _raise(RetryableError("cannot be reached")))
        started = time.monotonic()
        with pytest.raises(RetryableError, match="cannot be reached"):
            loader.commit(OLD)
        assert time.monotonic() - started < 10
        wait_until(lambda: target.state()[1] == 1, seconds=20)  # the server commits when it comes to it
    assert target.rows() == [(1, "a")]


def test_a_server_that_comes_back_is_found(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = declared(target.loader())
    put(loader, (1, "a"))
    kill(target, loader)
    real, answers = loader._connect, [RetryableError("not yet"), RetryableError("not yet")]

    def later() -> Any:
        if answers:
            raise answers.pop()
        return real()

    monkeypatch.setattr(loader, "_connect", later)
    with pytest.raises(ConnectionLost):
        loader.commit(OLD)
    loader.recover()
    declared(loader)
    loader.commit(OLD)
    assert target.state() == (1, 1, OLD)


def test_a_signal_ends_the_waiting_for_a_server(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = StopFlag()
    loader = declared(target.loader(stop=stop))
    kill(target, loader)

    def away() -> Any:
        stop._on_signal(signal.SIGTERM, None)
        raise RetryableError("away")

    monkeypatch.setattr(loader, "_connect", away)
    with pytest.raises(ConnectionLost):
        loader.commit(OLD)
    with pytest.raises(Stopped):
        loader.recover()


def test_a_connection_that_cannot_have_the_lock_is_closed(target: Target) -> None:
    loader = target.loader(reconnect_seconds=0)
    opened: list[Any] = []

    def take(connection: Any) -> Any:
        opened.append(connection)
        raise RetryableError("no")

    with pytest.raises(RetryableError):
        loader._reconnect(take)
    assert [connection.closed for connection in opened] == [1]
    assert loader._open_session.is_alive


# a connection that is lost while a run begins


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_run_whose_connection_is_lost_before_it_has_begun(target: Target, seconds: float) -> None:
    loader = target.loader(begin=False, reconnect_seconds=seconds)
    kill(target, loader)
    if not seconds:
        with pytest.raises(RetryableError):
            loader.begin("orders")
        return
    assert loader.begin("orders") is None
    put(declared(loader), (1, "a"))
    loader.commit(OLD)
    assert (target.rows(), target.state()) == ([(1, "a")], (1, 1, OLD))


def test_a_session_that_the_server_has_not_missed_yet_does_not_keep_the_lock(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is taken and the epoch begun, and nobody hears of it."""
    real, kept = module.acquire, []

    def unheard(connection: Any, *which: Any) -> Any:
        monkeypatch.setattr(module, "acquire", real)
        real(connection, *which)
        ours, gone = socket.socketpair()
        gone.close()
        kept.append(os.dup(connection.fileno()))  # the server's end stays as it is
        os.dup2(ours.fileno(), connection.fileno())
        ours.close()
        connection.cursor().execute("SELECT 1")

    monkeypatch.setattr(module, "acquire", unheard)
    monkeypatch.setattr(lock, "GOING_SECONDS", 20.0)
    loader = declared(target.loader())
    assert kept
    put(loader, (1, "a"))
    loader.commit(OLD)
    os.close(kept[0])
    assert (target.rows(), target.state()) == ([(1, "a")], (2, 1, OLD))


# others in the way


def test_a_lock_of_others_is_waited_for_and_then_told(target: Target) -> None:
    first = declared(target.loader())
    first.commit(OLD)
    closed(first)
    other = psycopg2.connect(target.dsn, application_name="nightly report")
    try:
        other.cursor().execute(SQL("LOCK TABLE {}").format(Identifier(target.schema, "a")))
        loader = target.loader(lock_timeout_seconds=0.2)
        with pytest.raises(LockHeldError, match=rf"pid {other.info.backend_pid} \(nightly report\)"):
            declared(loader, stream(y={"type": "integer"}))
        other.rollback()
        loader.rollback()
        declared(loader, stream(y={"type": "integer"}))
        loader.commit(NEW)
    finally:
        other.close()


# the session


@pytest.fixture
def session(postgres_dsn: str) -> Iterator[Session]:
    made = Session(connect(postgres_dsn, lock_timeout_seconds=5), StopFlag())
    yield made
    made.close()


def run(statement: str) -> Callable[[Any], Any]:
    def job(connection: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone() if cursor.description else None

    return job


def test_jobs_run_in_order_and_a_call_waits_for_those_before_it(session: Session) -> None:
    session.submit(run("CREATE TEMPORARY TABLE t (n serial, x text)"), "making")
    for name in "abc":
        session.submit(run(f"INSERT INTO t (x) VALUES ('{name}')"), "inserting")
    assert session.call(run("SELECT string_agg(x, '' ORDER BY n) FROM t"), "reading") == ("abc",)


def test_after_a_failure_the_rest_is_skipped_until_it_is_reset(session: Session) -> None:
    done: list[int] = []
    session.submit(run("SELECT 1/0"), "dividing")
    session._put(module_job(lambda _: done.append(1)))
    with pytest.raises(BadDataError, match="while dividing"):
        session.call(lambda _: done.append(2), "noting")
    with pytest.raises(BadDataError):
        session.submit(lambda _: done.append(3), "noting")
    session.reset()
    session.call(lambda connection: connection.rollback(), "rolling back")
    session.call(lambda _: done.append(4), "noting")
    assert done == [4]


def module_job(job: Callable[[Any], Any]) -> Any:
    from target_postgres.session import _Job

    return _Job(job, "noting")


def test_an_error_that_is_not_of_the_database_comes_out_as_it_is(session: Session) -> None:
    def fail(_connection: Any) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        session.call(fail, "failing")


def test_a_second_signal_ends_the_statement_at_once(postgres_dsn: str) -> None:
    stop = StopFlag()
    session = Session(connect(postgres_dsn, lock_timeout_seconds=5), stop)
    started = time.monotonic()
    timer = threading.Timer(0.2, lambda: [stop._on_signal(signal.SIGINT, None) for _ in range(2)])
    timer.start()
    with pytest.raises(RetryableError, match="ended the statement while sleeping"):
        session.call(run("SELECT pg_sleep(60)"), "sleeping")
    assert time.monotonic() - started < 20
    assert session.is_alive
    session.close()
    assert not session.is_alive


def test_one_signal_lets_the_statement_end(postgres_dsn: str) -> None:
    stop = StopFlag()
    stop._on_signal(signal.SIGINT, None)
    session = Session(connect(postgres_dsn, lock_timeout_seconds=5), stop)
    assert session.call(run("SELECT 1 FROM pg_sleep(0.5)"), "sleeping") == (1,)
    session.close()


def test_a_server_that_does_not_answer_is_hung_up_on(postgres_dsn: str) -> None:
    session = Session(connect(postgres_dsn, lock_timeout_seconds=5), StopFlag(), answer_seconds=0.3)
    assert session.call(run("SELECT 1 FROM pg_sleep(0.1)"), "sleeping") == (1,)
    time.sleep(0.4)  # idle is not waiting
    assert session.call(run("SELECT 1"), "asking") == (1,)
    started = time.monotonic()
    with pytest.raises(ConnectionLost, match="while sleeping"):
        session.call(run("SELECT pg_sleep(60)"), "sleeping")
    assert time.monotonic() - started < 20
    assert not session.is_alive
    for _ in range(2):
        with pytest.raises(ConnectionLost):
            session.submit(run("SELECT 1"), "asking")
        session.reset()  # the failure is forgotten, the connection is gone all the same
    session.close()


def test_the_answer_may_take_long_by_default(target: Target) -> None:
    loader = target.loader(answer_seconds=0.3)
    with pytest.raises(ConnectionLost):
        loader._call(run("SELECT pg_sleep(60)"), "sleeping")
    assert target.made[0]._answer_seconds == 0.3


def test_a_full_queue_makes_the_caller_wait(session: Session) -> None:
    gate = threading.Event()
    session.submit(lambda _: gate.wait(20) and None, "waiting")
    order: list[int] = []

    def submit() -> None:
        for number in range(2):
            session.submit(lambda _, n=number: order.append(n), "noting")  # type: ignore[misc]

    thread = threading.Thread(target=submit)
    thread.start()
    thread.join(0.5)
    assert thread.is_alive(), "the blocks that wait are bounded"
    gate.set()
    thread.join(20)
    session.call(lambda _: None, "waiting")
    assert order == [0, 1]


def test_state_rows_are_those_of_the_state_library(target: Target) -> None:
    target.loader().commit(OLD)
    connection = psycopg2.connect(target.dsn)
    try:
        row = state_row.read(connection, target.schema, "_singerkit_state", "orders")
        assert row is not None
        assert (row.sequence, row.state_text, row.run_id) == (1, OLD, target.made[0].run_id)
        assert row.committed_at is not None
        assert datetime.now(UTC) - row.committed_at < timedelta(minutes=1)
    finally:
        connection.close()


@pytest.mark.parametrize("hard", [True, False])
def test_a_row_that_is_the_same_in_the_new_version_stays(target: Target, hard: bool) -> None:
    loader = declared(target.loader(with_metadata=True, hard_delete=hard))
    versioned = ["n", "x", "_sdc_table_version"]
    put(loader, (1, "same", 1), (2, "gone", 1), columns=versioned)
    loader.commit(OLD)
    put(loader, (1, "same", 2), (3, "new", 2), columns=versioned)
    loader.activate_version(A, 2)
    loader.commit(NEW)
    alive = "SELECT n, x FROM {} WHERE _sdc_deleted_at IS NULL ORDER BY n"
    assert target.query(alive, "a") == [(1, "same"), (3, "new")]
    put(loader, (1, "same", 3), (2, "gone", 3), columns=versioned)
    loader.activate_version(A, 3)
    loader.commit(NEW)
    assert target.query(alive, "a") == [(1, "same"), (2, "gone")], "and one that comes back is there again"


def test_a_field_that_the_new_version_leaves_out_keeps_its_value(target: Target) -> None:
    loader = declared(target.loader(with_metadata=True))
    put(loader, (1, "kept", 1), columns=["n", "x", "_sdc_table_version"])
    loader.commit(OLD)
    put(loader, (1, 2), columns=["n", "_sdc_table_version"])
    loader.activate_version(A, 2)
    loader.commit(NEW)
    assert target.rows() == [(1, "kept")]


def test_who_holds_locks_is_named_as_far_as_it_is_known(target: Target) -> None:
    def holding(table: str, name: str) -> Any:
        run_sql(target.dsn, SQL("CREATE TABLE {} ()").format(Identifier("public", table)))
        connection = psycopg2.connect(target.dsn, application_name=name)
        connection.cursor().execute(SQL("LOCK TABLE {}").format(Identifier("public", table)))
        return connection

    mine = psycopg2.connect(target.dsn)
    assert session_module._others(mine) == ""
    name = uuid.uuid4().hex
    first, second = holding(f"{name}1", ""), holding(f"{name}2", "nightly")
    try:
        pids = sorted((one.info.backend_pid, one is second) for one in (first, second))
        said = ", ".join(f"pid {pid} (nightly)" if is_named else f"pid {pid}" for pid, is_named in pids)
        assert session_module._others(mine) == f"; locks are held by {said}"
    finally:
        first.close()
        second.close()
    mine.close()
    assert session_module._others(mine) == "", "it is only a help"


def test_the_thread_of_a_session(session: Session) -> None:
    assert session._thread.name == "postgres"
    assert session._thread.daemon is True
    before = sys.getswitchinterval(), sys.excepthook
    with process_of_a_load():
        assert sys.getswitchinterval() < 0.005, "the thread that feeds PostgreSQL is not kept waiting"
    assert (sys.getswitchinterval(), sys.excepthook) == before, (
        "a session changes nothing of the process by itself"
    )


def test_what_psycopg2_prints_of_rows_is_left_out_and_nothing_else(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *told: seen.append(told))
    session = Session(connect(postgres_dsn, lock_timeout_seconds=5), StopFlag())
    error: Any = KeyError("of others")
    try:
        raise error
    except KeyError as caught:
        trace = caught.__traceback__
    with process_of_a_load():
        sys.excepthook(KeyError, error, trace)
        assert seen == [(KeyError, error, trace)]
        session.call(lambda _: sys.excepthook(KeyError, error, None), "failing")
    assert len(seen) == 1
    session.close()


def test_closing_waits_for_the_statement_at_work(postgres_dsn: str) -> None:
    session = Session(connect(postgres_dsn, lock_timeout_seconds=5), StopFlag())
    done: list[Any] = []
    session.submit(lambda connection: done.append(run("SELECT 1 FROM pg_sleep(0.5)")(connection)), "sleeping")
    session.close()
    assert done == [(1,)]
    assert not session._thread.is_alive()
    assert not session.is_alive


def test_a_second_signal_ends_the_statement_that_closing_waits_for(postgres_dsn: str) -> None:
    stop = StopFlag()
    session = Session(connect(postgres_dsn, lock_timeout_seconds=5), stop)
    session.submit(run("SELECT pg_sleep(60)"), "sleeping")
    threading.Timer(0.3, lambda: [stop._on_signal(signal.SIGINT, None) for _ in range(2)]).start()
    started = time.monotonic()
    session.close()
    assert time.monotonic() - started < 20


def test_a_second_signal_ends_the_statement_that_a_full_queue_waits_for(postgres_dsn: str) -> None:
    stop = StopFlag()
    session = Session(connect(postgres_dsn, lock_timeout_seconds=5), stop)
    threading.Timer(0.3, lambda: [stop._on_signal(signal.SIGINT, None) for _ in range(2)]).start()
    started = time.monotonic()
    for _ in range(3):
        session.submit(run("SELECT pg_sleep(60)"), "sleeping")
    assert time.monotonic() - started < 20
    with pytest.raises(RetryableError, match="while sleeping"):
        session.call(run("SELECT 1"), "asking")
    session.close()


def test_the_second_signal_of_a_run_reaches_its_session(target: Target) -> None:
    stop = StopFlag()
    loader = target.loader(stop=stop)
    threading.Timer(0.3, lambda: [stop._on_signal(signal.SIGINT, None) for _ in range(2)]).start()
    started = time.monotonic()
    with pytest.raises(RetryableError, match="while sleeping"):
        loader._call(run("SELECT pg_sleep(60)"), "sleeping")
    assert time.monotonic() - started < 20


def staged(loader: PostgresLoader) -> list[tuple[int, str | None]]:
    """What is in the stage of the stream `a`."""

    def look(connection: Any) -> list[tuple[int, str | None]]:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT n, x FROM pg_temp.{loader._tables['a'].stage} ORDER BY ctid")
            return cursor.fetchall()

    found: list[tuple[int, str | None]] = loader._call(look, "looking")
    return found


def test_rows_that_are_written_are_gone_from_the_stage_before_others_come(target: Target) -> None:
    """The stage is not emptied behind each merge, since the COMMIT does it: but it is before rows come behind a merge, a safe point, a rollback."""
    first = declared(target.loader())
    put(first, (0, "makes the table non-empty"))
    first.commit(OLD)
    closed(first)
    loader = declared(target.loader())
    put(loader, (1, "a"))
    put(loader, (2,), columns=("n",))  # others: the first are merged
    assert staged(loader) == [(2, None)]
    put(loader, (3, "c"))
    loader.settle()
    loader.mark_safe(SafePoint(OLD))
    assert staged(loader) == [(3, "c")], "written, and left there"
    put(loader, (4, "d"))
    assert staged(loader) == [(4, "d")]
    loader.back_to_safe()
    put(loader, (5, "e"))
    assert staged(loader) == [(5, "e")]
    loader.commit(NEW)
    assert staged(loader) == []
    put(loader, (6, "f"))
    loader.settle()
    loader.rollback()
    put(loader, (7, "g"))
    assert staged(loader) == [(7, "g")]
    loader.commit(OLD)
    assert [n for n, _ in target.rows()] == [0, 1, 2, 3, 5, 7]


def test_the_stages_of_many_streams_do_not_stay(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL empties each of them at each COMMIT."""
    monkeypatch.setattr(storing, "_MOST_STAGES", 2)
    streams = [stream(name) for name in "abc"]
    first = declared(target.loader(), *streams)
    for one in streams:
        put(first, (0, "makes the table non-empty"), to=one)
    first.commit(OLD)
    closed(first)
    loader = declared(target.loader(), *streams)
    for number, expected in ((1, 2), (2, 0), (3, 2)):
        for one in streams[: 3 if expected == 0 else 2]:
            put(loader, (number, "x"), to=one)
        loader.commit(NEW)
        assert len(temporary(loader)) == expected
    assert [n for n, _ in target.rows("a")] == [0, 1, 2, 3]
    assert [n for n, _ in target.rows("c")] == [0, 2]
