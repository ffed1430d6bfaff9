"""The row of a database and its history, as `singerkit-state` and runs change them, in one process with the test."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest
from conftest import run_sql, uri_of
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from state.state_tool import state_url
from waiting import wait_until

from singerkit_shell.errors import (
    ConfigurationError,
    LockHeldError,
    NotAuthorisedError,
    RetryableError,
    SingerkitError,
    UsageError,
)
from singerkit_state.history import LIMIT, Entry, by_hand, kept_now, user
from singerkit_state.postgres import fencing, lock, session
from singerkit_state.postgres import history as history_table
from singerkit_state.postgres import row as state_row
from singerkit_state.postgres import table as state_table
from singerkit_state.postgres.store import RowStore, snapshots
from singerkit_state.postgres.url import StateUrl, parse_state_url
from singerkit_state.store import Holder, Snapshot

SCHEMA, TABLE, PIPELINE = 'my "schema"; 50% --', 'say "hi"; 50%s --', 'orders\' "daily"; %s --'
HISTORY = f"{TABLE}_history"
OLD, NEW = '{"bookmarks":{"orders":{"at":1.10}}}', '{"bookmarks": {"orders": {"at": 2.200}}}'


def url_of(database: str, pipeline: str | None = PIPELINE) -> StateUrl:
    return parse_state_url(state_url(database, pipeline, schema=SCHEMA, table=TABLE), of_any_pipeline=True)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with contextlib.closing(psycopg2.connect(database)) as opened:
        yield opened


@pytest.fixture
def run(connection: Connection) -> state_row.StateRow:
    """A run that has committed OLD and is still at work; its session is ``connection``."""
    state_table.ensure_table(connection, SCHEMA, TABLE)
    row = fencing.acquire(connection, SCHEMA, TABLE, PIPELINE, "run-1")
    with connection, connection.cursor() as cursor:
        return fencing.advance(cursor, row, OLD)


@pytest.fixture
def store(database: str) -> RowStore:
    return RowStore(url_of(database))


def to(text: str | None) -> Callable[[str | None], str | None]:
    return lambda former: text


def where(store: RowStore) -> str:
    return f"{store._url.server}, table {SCHEMA}.{TABLE}"


# looking


def test_looking_makes_nothing(database: str, store: RowStore) -> None:
    assert store.pipeline == PIPELINE
    assert store.snapshot() == Snapshot(where(store), "database", None, PIPELINE)
    assert store.entries() == []
    assert snapshots(store._url) == []
    assert run_sql(database, "SELECT count(*) FROM pg_namespace WHERE nspname = %s", [SCHEMA]) == [(0,)]


def test_a_table_without_the_row(connection: Connection, store: RowStore) -> None:
    state_table.ensure_table(connection, SCHEMA, TABLE)
    assert store.snapshot() == Snapshot(where(store), "database", None, PIPELINE)
    assert snapshots(store._url) == []


def test_a_run_at_work(connection: Connection, run: state_row.StateRow, store: RowStore) -> None:
    shown = store.snapshot()
    assert shown.holder is not None
    assert shown.holder.since is not None
    assert shown == Snapshot(
        where(store),
        "database",
        OLD,
        PIPELINE,
        1,
        1,
        "run-1",
        run.committed_at,
        Holder(os.getpid(), platform.node(), shown.holder.since, "run-1", connection.info.backend_pid, None),
    )
    assert snapshots(store._url) == [shown]
    lock.release(connection, run)
    assert store.snapshot() == replace(shown, holder=None)


def test_one_that_has_the_lock_before_its_row(connection: Connection, store: RowStore) -> None:
    state_table.ensure_table(connection, SCHEMA, TABLE)
    with session.transaction(connection) as cursor:
        lock.wait_for_lock(cursor, SCHEMA, TABLE, PIPELINE)
        holder = store.snapshot().holder
    assert holder is not None
    assert (holder.session, holder.run_id) == (connection.info.backend_pid, None)


def test_all_rows_by_their_names(database: str, store: RowStore) -> None:
    others = ["b", "a", "%s"]
    for name in others:
        RowStore(url_of(database, name)).change(to(NEW), "set")
    found = snapshots(url_of(database, None))
    assert sorted(one.pipeline or "" for one in found) == sorted(others)
    assert [one.pipeline for one in found] == [
        name for (name,) in run_sql(database, "SELECT unnest(%s) AS n ORDER BY n", [others])
    ]
    assert found == [RowStore(url_of(database, one.pipeline)).snapshot() for one in found]


def test_another_table_of_that_name_is_told(database: str, store: RowStore) -> None:
    run_sql(database, sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
    run_sql(database, sql.SQL("CREATE TABLE {} (a int)").format(sql.Identifier(SCHEMA, TABLE)))
    for look in (store.snapshot, lambda: snapshots(store._url), lambda: store.change(to(NEW), "set")):
        with pytest.raises(ConfigurationError, match="is no state table"):
            look()


# changing


def test_a_change(database: str, connection: Connection, run: state_row.StateRow, store: RowStore) -> None:
    begun = datetime.now(UTC)
    done = store.change(to(NEW), "set")
    assert done.before == Snapshot(
        where(store), "database", OLD, PIPELINE, 1, 1, "run-1", run.committed_at, done.before.holder
    )
    assert done.before.holder is not None
    assert done.before.holder.session == connection.info.backend_pid
    assert done.after == replace(store.snapshot(), holder=None)
    assert (done.after.text, done.after.epoch, done.after.sequence) == (NEW, 2, 2)
    assert done.after.run_id == by_hand("set")
    assert done.after.committed_at is not None
    assert abs((done.after.committed_at - begun).total_seconds()) < 60
    assert done.number == 1
    ((host, pid, session, started),) = run_sql(
        database,
        sql.SQL("SELECT host, pid, backend_pid, started_at FROM {}").format(sql.Identifier(SCHEMA, TABLE)),
    )
    assert (host, pid, session) == (platform.node(), os.getpid(), None)
    assert abs((started - begun).total_seconds()) < 60


def test_a_change_of_nothing_makes_schema_table_and_row(database: str, store: RowStore) -> None:
    done = store.change(lambda former: NEW if former is None else OLD, "set")
    assert done.before == Snapshot(where(store), "database", None, PIPELINE, 0, 0)
    assert (done.after.epoch, done.after.sequence, done.after.text) == (1, 1, NEW)
    assert run_sql(database, sql.SQL("SELECT pipeline FROM {}").format(sql.Identifier(SCHEMA, TABLE))) == [
        (PIPELINE,)
    ]


def test_a_state_is_forgotten(run: state_row.StateRow, store: RowStore) -> None:
    done = store.change(to(None), "reset")
    assert (done.after.text, done.after.epoch, done.after.sequence) == (None, 2, 2)
    assert store.snapshot().text is None


def test_only_its_own_row_is_changed(database: str, run: state_row.StateRow, store: RowStore) -> None:
    other = RowStore(url_of(database, "another"))
    other.change(to(OLD), "set")
    before = other.snapshot()
    store.change(to(NEW), "set")
    assert other.snapshot() == before
    assert len(other.entries()) == 1


def test_what_a_change_keeps(run: state_row.StateRow, store: RowStore) -> None:
    begun = datetime.now(UTC)
    store.change(to(NEW), "set")
    (entry,) = store.entries()
    assert entry == Entry(1, entry.at, "set", user(), os.getpid(), "run-1", 1, 1, OLD)
    assert abs((entry.at - begun).total_seconds()) < 60
    assert store.change(to(None), "reset").number == 2
    assert [(one.number, one.why, one.text, one.run_id) for one in store.entries()] == [
        (2, "reset", NEW, by_hand("set")),
        (1, "set", OLD, "run-1"),
    ]


def test_a_change_that_is_refused_changes_nothing(run: state_row.StateRow, store: RowStore) -> None:
    def refuse(text: str | None) -> str | None:
        assert text == OLD
        raise UsageError("no")

    before = store.snapshot()
    with pytest.raises(UsageError):
        store.change(refuse, "set")
    assert store.snapshot() == before
    assert store.entries() == []


def test_a_value_that_is_no_json_leaves_no_entry_either(run: state_row.StateRow, store: RowStore) -> None:
    with pytest.raises(SingerkitError, match=r"^Cannot set the state of the pipeline"):
        store.change(to("{"), "set")
    assert store.snapshot().text == OLD
    assert store.entries() == []


def test_a_run_in_its_commit_is_waited_for(
    connection: Connection, run: state_row.StateRow, store: RowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOCK_TIMEOUT", "50ms")
    with connection.cursor() as cursor:
        fencing.advance(cursor, run, NEW)
    words = rf"^Cannot set the state of the pipeline `{PIPELINE}` \(canceling statement due to lock timeout\)"
    with pytest.raises(LockHeldError, match=words):
        store.change(to(OLD), "set")
    connection.commit()
    assert store.change(to(OLD), "set").before.text == NEW


def test_the_history_is_made_in_turn_with_runs(
    connection: Connection, run: state_row.StateRow, store: RowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOCK_TIMEOUT", "50ms")
    with connection.cursor() as cursor:
        state_table.creation_lock(cursor, SCHEMA, TABLE)()
        with pytest.raises(LockHeldError):
            store.change(to(NEW), "set")
    connection.commit()
    assert store.change(to(NEW), "set").number == 1


def test_the_words_of_a_server_that_is_away(database: str, run: state_row.StateRow, store: RowStore) -> None:
    away = RowStore(parse_state_url(state_url(uri_of(database, port="1"), PIPELINE)))
    for look in (away.snapshot, away.entries, lambda: away.change(to(NEW), "set")):
        with pytest.raises(RetryableError):
            look()


def test_what_was_being_done_is_in_the_words(
    password_role: tuple[str, str], database: str, run: state_row.StateRow, store: RowStore
) -> None:
    name, password = password_role
    store.change(to(NEW), "set")
    url = url_of(uri_of(database, user=name, password=password))
    limited = RowStore(url)
    run_sql(database, sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(*map(sql.Identifier, (SCHEMA, name))))
    for what, look in (
        ("read the state of the pipeline `orders", limited.snapshot),
        ("read the history of the pipeline `orders", limited.entries),
        ("read the states in my ", lambda: snapshots(url)),
    ):
        with pytest.raises(NotAuthorisedError, match=rf"^Cannot {what}.*permission denied"):
            look()


def test_the_session_says_what_it_is_and_is_closed(
    database: str, run: state_row.StateRow, store: RowStore
) -> None:
    seen: list[Any] = []
    ours = (
        "SELECT application_name FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'singerkit%'"
    )

    def edit(text: str | None) -> str | None:
        seen.extend(run_sql(database, ours))
        return text

    store.change(edit, "set")
    assert seen == [("singerkit-state",)]
    wait_until(lambda: not run_sql(database, ours), "the end of the session")


def test_changes_at_once_under_a_strict_default(
    database: str, run: state_row.StateRow, store: RowStore
) -> None:
    """With REPEATABLE READ the second one would fail where it has to wait and go on."""
    strict = url_of(
        f"{database}{'&' if '?' in database else '?'}options=-c%20default_transaction_isolation%3Dserializable"
    )
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: RowStore(strict).change(to(NEW), "set"), range(8)))
    assert sorted(one.number for one in done) == list(range(1, 9))
    assert store.snapshot().epoch == 9


# unlocking


def test_unlock_of_a_free_pipeline_asks_nobody(database: str, store: RowStore) -> None:
    def never(_: Holder) -> bool:
        raise AssertionError

    assert store.unlock(never) is None
    store.change(to(OLD), "set")
    assert store.unlock(never) is None
    assert store.snapshot().epoch == 1


def test_unlock_can_be_refused(connection: Connection, run: state_row.StateRow, store: RowStore) -> None:
    before = store.snapshot()
    assert store.unlock(lambda holder: holder != before.holder) is None
    assert store.snapshot() == before
    connection.cursor().execute("SELECT 1")  # it still lives


def test_unlock_ends_the_session_and_fences_the_run(
    connection: Connection, run: state_row.StateRow, store: RowStore
) -> None:
    before = store.snapshot()
    assert store.unlock(lambda _: True) == before.holder
    with pytest.raises(psycopg2.OperationalError):
        connection.cursor().execute("SELECT 1")
    after = store.snapshot()
    assert (after.holder, after.epoch, after.sequence, after.text) == (None, 2, 2, OLD)
    assert after.run_id == by_hand("unlock")
    assert [(one.why, one.text) for one in store.entries()] == [("unlock", OLD)]


def test_unlock_does_not_fence_a_run_that_came_in_between(
    database: str, connection: Connection, run: state_row.StateRow, store: RowStore
) -> None:
    def meanwhile(_: Holder) -> bool:
        lock.release(connection, run)
        with contextlib.closing(psycopg2.connect(database)) as other:
            row = fencing.acquire(other, SCHEMA, TABLE, PIPELINE, "run-2")
            lock.release(other, row)
        return True

    assert store.unlock(meanwhile) is not None
    assert (store.snapshot().epoch, store.snapshot().run_id) == (2, "run-2")
    connection.cursor().execute("SELECT 1")  # it had given back the lock: nobody ended it


def test_unlock_is_not_done_while_another_has_the_lock(
    database: str,
    connection: Connection,
    run: state_row.StateRow,
    store: RowStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "LOCK_TIMEOUT", "50ms")
    with contextlib.closing(psycopg2.connect(database)) as other:

        def meanwhile(_: Holder) -> bool:
            lock.release(connection, run)
            fencing.acquire(other, SCHEMA, TABLE, PIPELINE, "run-2")
            return True

        with pytest.raises(LockHeldError, match=r"^Cannot unlock the pipeline `orders"):
            store.unlock(meanwhile)
        other.cursor().execute("SELECT 1")  # the new run goes on
    assert store.snapshot().run_id == "run-2"


def test_unlock_of_a_session_that_has_the_lock_before_any_row(
    database: str, connection: Connection, store: RowStore
) -> None:
    state_table.ensure_table(connection, SCHEMA, TABLE)
    connection.cursor().execute("SELECT pg_advisory_xact_lock(%s)", [session.key(SCHEMA, TABLE, PIPELINE)])
    found = store.unlock(lambda _: True)
    assert found is not None
    assert found.session == connection.info.backend_pid
    with pytest.raises(psycopg2.OperationalError):
        connection.cursor().execute("SELECT 1")
    assert (store.snapshot().holder, store.snapshot().epoch) == (None, 0)


# the history


def keep(connection: Connection, text: str | None, why: str = "run", pipeline: str = PIPELINE) -> int:
    with session.transaction(connection) as cursor:
        lock_creation = state_table.creation_lock(cursor, SCHEMA, TABLE)
        return history_table.keep(
            cursor, SCHEMA, TABLE, pipeline, kept_now(text, why, "r", 5, 6), lock_creation
        )


def entries(connection: Connection, pipeline: str = PIPELINE) -> list[Entry]:
    with session.transaction(connection) as cursor:
        return history_table.read(cursor, SCHEMA, TABLE, pipeline)


@pytest.fixture
def place(connection: Connection) -> Connection:
    state_table.ensure_table(connection, SCHEMA, TABLE)
    return connection


def test_an_entry_comes_back_as_it_was(place: Connection) -> None:
    before = datetime.now(UTC)
    assert keep(place, OLD, "set") == 1
    (entry,) = entries(place)
    assert entry == Entry(1, entry.at, "set", user(), os.getpid(), "r", 5, 6, OLD)
    assert abs((entry.at - before).total_seconds()) < 60
    assert keep(place, None, "reset") == 2
    assert entries(place)[0].text is None


def test_what_a_run_began_with_is_kept_once(place: Connection) -> None:
    marked = '{"bookmarks": {"a": 1}%s, "_singerkit": {"run": "r1", "pipeline": "p", "complete": true}}'
    assert [keep(place, text) for text in (marked % "", (marked % "").replace("r1", "r2"))] == [1, 1]
    assert keep(place, '{"bookmarks": {"a": 1}}') == 1, "the mark does not count"
    assert keep(place, marked % ', "b": 2') == 2
    assert keep(place, marked % "") == 3, "only the newest entry counts"
    assert keep(place, marked % "", "set") == 4, "a change by hand is always kept"
    assert keep(place, marked % "", "unlock") == 5
    assert [entry.number for entry in entries(place)] == [5, 4, 3, 2, 1]


def test_the_start_of_a_run_is_kept_under_its_own_names(place: Connection) -> None:
    with session.transaction(place) as cursor:
        lock_creation = state_table.creation_lock(cursor, SCHEMA, TABLE)
        history_table.keep_start_of_run(
            cursor, SCHEMA, TABLE, PIPELINE, kept_now(OLD, "run", "r"), lock_creation
        )
    assert [(entry.number, entry.text, entry.run_id) for entry in entries(place)] == [(1, OLD, "r")]


def test_pipelines_have_histories_of_their_own(place: Connection) -> None:
    assert keep(place, OLD) == 1
    assert keep(place, OLD, pipeline="b") == 1
    assert keep(place, NEW, pipeline="b") == 2
    assert keep(place, NEW) == 2
    for number in range(LIMIT):
        keep(place, json.dumps({"n": number}), pipeline="b")
    assert [entry.number for entry in entries(place, "b")] == list(range(LIMIT + 2, 2, -1))
    assert [entry.text for entry in entries(place)] == [NEW, OLD]


def test_a_history_that_is_refused_leaves_the_transaction_alive(
    password_role: tuple[str, str], database: str, place: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    name, password = password_role
    run_sql(
        database,
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {r}; GRANT ALL ON {} TO {r}").format(
            sql.Identifier(SCHEMA), sql.Identifier(SCHEMA, TABLE), r=sql.Identifier(name)
        ),
    )
    caplog.set_level(logging.INFO)
    with contextlib.closing(psycopg2.connect(uri_of(database, user=name, password=password))) as limited:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            keep(limited, OLD, "set")
        with session.transaction(limited) as cursor:
            cursor.execute("CREATE TEMPORARY TABLE before_it (a int) ON COMMIT PRESERVE ROWS")
            history_table.keep_start_of_run(
                cursor, SCHEMA, TABLE, PIPELINE, kept_now(OLD, "run", "r"), lambda: None
            )
            cursor.execute("INSERT INTO before_it VALUES (1)")
        with session.transaction(limited) as cursor:
            cursor.execute("SELECT a FROM before_it")
            assert cursor.fetchall() == [(1,)]
    (said,) = caplog.messages
    assert f"not kept in {SCHEMA}.{HISTORY} (permission denied" in said
    assert entries(place) == []


def test_a_lost_connection_is_not_a_refused_history(database: str, place: Connection) -> None:
    with contextlib.closing(psycopg2.connect(database)) as other:
        cursor = other.cursor()
        cursor.execute("SELECT 1")
        run_sql(database, "SELECT pg_terminate_backend(%s)", [other.info.backend_pid])
        with pytest.raises(psycopg2.Error):
            history_table.keep_start_of_run(
                cursor, SCHEMA, TABLE, PIPELINE, kept_now(OLD, "run", "r"), lambda: None
            )


def test_the_table_is_made_in_turn_and_once(place: Connection) -> None:
    asked: list[str] = []
    with session.transaction(place) as cursor:
        for _ in range(2):
            history_table.keep(
                cursor, SCHEMA, TABLE, PIPELINE, kept_now(OLD, "set", "r"), lambda: asked.append("turn")
            )
    assert asked == ["turn"]
    assert [entry.number for entry in entries(place)] == [2, 1]


def test_two_that_need_the_table_at_once(database: str, place: Connection) -> None:
    def one(number: int) -> int:
        with contextlib.closing(psycopg2.connect(database)) as connection:
            return keep(connection, OLD, "set", f"p{number}")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(8))) == [1] * 8


def test_a_history_is_read_from_its_own_schema(database: str, place: Connection) -> None:
    run_sql(database, sql.SQL("CREATE TABLE public.{} (a int)").format(sql.Identifier(HISTORY)))
    run_sql(database, sql.SQL("CREATE TABLE {} (a int)").format(sql.Identifier(SCHEMA, "other")))
    assert entries(place) == []
    keep(place, OLD)
    assert len(entries(place)) == 1


def test_names_of_histories() -> None:
    assert history_table.name_of("a") == "a_history"
    assert history_table.name_of("x" * 55) == "x" * 55 + "_history"
    long = ["x" * 56, "x" * 57, "x" * 62 + "y", "x" * 63, "é" * 28, "é" * 31]
    found = [history_table.name_of(name) for name in long]
    assert len(set(found)) == len(found)
    assert all(len(name.encode()) <= 63 for name in found)
    for name, table in zip(found, long, strict=True):
        begin, digest, end = name.rsplit("_", 2)
        assert (table.startswith(begin), len(begin.encode()), len(digest), end) == (True, 40, 12, "history")
    # An odd number of bytes: no half of a character stays.
    assert history_table.name_of("x" + "é" * 31).startswith("x" + "é" * 19 + "_")
    # It never changes, or a history would be lost.
    assert history_table.name_of("x" * 56) == "x" * 40 + "_d83c66cfbf80_history"
