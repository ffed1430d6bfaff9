"""One row per pipeline: who holds it, who is fenced, and what a COMMIT without an answer has done."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
from conftest import run_sql, uri_of
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import parse_dsn

from singerkit_shell.errors import (
    BadDataError,
    CannotWriteError,
    ConfigurationError,
    FencedError,
    LockHeldError,
    NotAuthorisedError,
    RetryableError,
    SingerkitError,
    Stopped,
)
from singerkit_shell.signals import stop_flag
from singerkit_state.postgres import errors, fencing, lock, session
from singerkit_state.postgres import history as history_table
from singerkit_state.postgres import row as state_row
from singerkit_state.postgres import table as state_table
from singerkit_state.postgres.store import change_row
from singerkit_state.postgres.url import StateUrl
from singerkit_state.store import Holder
from singerkit_state.value import Mark, encode, with_mark

SCHEMA, TABLE, PIPELINE = 'my "schema"; 50% --', 'say "hi"; 50%s --', 'orders\' "daily"; %s --'
OLD, NEW = '{"bookmarks":{"orders":{"at":1.10}}}', '{"bookmarks": {"orders": {"at": 2.200}}}'

Connect = Callable[[], Connection]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is refused is refused at once; that it waits for a session that is going is shown elsewhere."""
    monkeypatch.setattr(lock, "GOING_SECONDS", 0.0)


@pytest.fixture
def connect(database: str) -> Iterator[Connect]:
    """Opens connections to a fresh database, and closes them after the test."""
    opened: list[Connection] = []

    def open_one() -> Connection:
        opened.append(psycopg2.connect(database))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def held(connect: Connect) -> tuple[Connection, state_row.StateRow]:
    """A connection whose run has just begun, and its row."""
    connection = connect()
    state_table.ensure_table(connection, SCHEMA, TABLE)
    return connection, fencing.acquire(connection, SCHEMA, TABLE, PIPELINE, "run-1")


def commit(connection: Connection, row: state_row.StateRow, text: str | None) -> state_row.StateRow:
    with connection, connection.cursor() as cursor:
        return fencing.advance(cursor, row, text)


def read(connection: Connection) -> state_row.StateRow:
    row = state_row.read(connection, SCHEMA, TABLE, PIPELINE)
    assert row is not None
    return row


def is_idle(connection: Connection) -> bool:
    return bool(connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE)


# the table


def test_the_table_is_made_once_and_found_after_that(connect: Connect) -> None:
    connection = connect()
    for _ in range(2):
        state_table.ensure_table(connection, SCHEMA, TABLE)
    state_table.ensure_table(connection, SCHEMA)
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", (SCHEMA,))
        assert cursor.fetchall() == [("_singerkit_state",), (TABLE,)]


def test_many_runs_make_the_table_at_once(connect: Connect) -> None:
    connections = [connect() for _ in range(8)]
    ready = threading.Barrier(len(connections))

    def make(connection: Connection) -> None:
        ready.wait()
        state_table.ensure_table(connection, SCHEMA, TABLE)

    with ThreadPoolExecutor(len(connections)) as pool:
        list(pool.map(make, connections))
    assert all(map(is_idle, connections))


def ends_after(other: Connection, ours: Connection, database: str, job: Callable[[], object]) -> None:
    """Run ``job`` on ``ours`` and see that it waits until ``other`` commits."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(job)
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s"
        while not run_sql(database, waiting, (ours.info.backend_pid,)):
            assert not done.done(), done.exception()
        other.commit()
        done.result(timeout=30)


def test_a_schema_made_by_somebody_else_in_the_same_moment(connect: Connect, database: str) -> None:
    """The other transaction has made the schema but not committed: ours waits, collides and looks again."""
    other, ours = connect(), connect()
    other.cursor().execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
    ends_after(other, ours, database, lambda: state_table.ensure_table(ours, SCHEMA, TABLE))
    with ours.cursor() as cursor:
        assert state_table.table_exists(cursor, SCHEMA, TABLE)


def test_who_makes_a_table_waits_for_who_makes_the_same_one(connect: Connect, database: str) -> None:
    other, ours = connect(), connect()
    with other.cursor() as cursor:
        state_table.creation_lock(cursor, SCHEMA, TABLE)()
    for schema, table in ((SCHEMA, "other"), ("other", TABLE)):
        state_table.ensure_table(ours, schema, table)
    ends_after(other, ours, database, lambda: state_table.ensure_table(ours, SCHEMA, TABLE))


def test_who_makes_the_table_of_former_values_waits_too(connect: Connect, database: str) -> None:
    other, ours = connect(), connect()
    state_table.ensure_table(ours, SCHEMA, TABLE)
    commit(ours, fencing.acquire(ours, SCHEMA, TABLE, PIPELINE, "run-1"), OLD)
    with other.cursor() as cursor:
        state_table.creation_lock(cursor, SCHEMA, TABLE)()
    ends_after(other, ours, database, lambda: fencing.acquire(ours, SCHEMA, TABLE, PIPELINE, "run-2"))


def test_a_table_of_an_older_version_gets_the_columns_it_lacks(connect: Connect) -> None:
    connection = connect()
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE old (pipeline text PRIMARY KEY, epoch bigint, sequence bigint, state text, note text)"
        )
        cursor.execute("INSERT INTO old VALUES (%s, 3, 7, %s, 'mine')", (PIPELINE, OLD))
    state_table.ensure_table(connection, "public", "old")
    row = fencing.acquire(connection, "public", "old", PIPELINE, "run-1")
    assert (row.epoch, row.sequence, row.state_text) == (4, 7, OLD)
    with connection.cursor() as cursor:
        cursor.execute("SELECT note, run_id FROM old")
        assert cursor.fetchall() == [("mine", "run-1")]


def test_tables_that_were_noted_before_an_older_version_has_committed_are_no_note(connect: Connect) -> None:
    """That version leaves the note as it is, and its tables may be others: the next run was refused for one made anew."""
    connection = connect()
    state_table.ensure_table(connection, "public", "state")
    row = fencing.acquire(connection, "public", "state", PIPELINE, "run-1")
    with session.transaction(connection) as cursor:
        row = fencing.advance(cursor, row, OLD, frozenset({"a"}), {"a": 17})
        assert state_row.with_notes(cursor, row).tables == {"a": 17}
        change_row(cursor, StateUrl("", "", PIPELINE, "public", "state"), lambda _: NEW, "by hand")
        row = state_row.lock_row(cursor, "public", "state", PIPELINE)
        assert state_row.with_notes(cursor, row).tables == {"a": 17}
        cursor.execute("UPDATE state SET sequence = sequence + 1")
        row = state_row.lock_row(cursor, "public", "state", PIPELINE)
        assert state_row.with_notes(cursor, row).tables == {}


def test_a_table_that_is_no_state_table_is_left_alone(connect: Connect) -> None:
    connection = connect()
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE customers (pipeline text, epoch bigint)")
    for call in (state_table.ensure_table, lambda *names: state_row.read(*names, PIPELINE)):
        with pytest.raises(ConfigurationError, match="is no state table, it has no column `sequence`"):
            call(connection, "public", "customers")
    assert is_idle(connection)


@pytest.mark.parametrize("autocommit", [False, True])
def test_every_function_leaves_the_connection_without_a_transaction(
    connect: Connect, autocommit: bool
) -> None:
    connection = connect()
    connection.autocommit = autocommit
    state_table.ensure_table(connection, SCHEMA, TABLE)
    assert is_idle(connection)
    row = fencing.acquire(connection, SCHEMA, TABLE, PIPELINE, "run-1")
    assert is_idle(connection)
    after = commit(connection, row, OLD)
    assert state_row.read(connection, SCHEMA, TABLE, PIPELINE) == after
    assert is_idle(connection)
    lock.release(connection, after)
    assert is_idle(connection)
    assert connection.autocommit is autocommit


# rights


@pytest.fixture
def limited(password_role: tuple[str, str], database: str) -> tuple[str, str]:
    """A role without rights, and the URI with which it connects."""
    name, password = password_role
    run_sql(database, "REVOKE CREATE ON SCHEMA public FROM public")
    return name, uri_of(database, user=name, password=password)


def test_a_role_without_rights_is_told_before_anything_is_read(limited: tuple[str, str]) -> None:
    with contextlib.closing(psycopg2.connect(limited[1])) as connection:
        for schema in (SCHEMA, "public"):
            with pytest.raises(
                NotAuthorisedError, match=r"Cannot create the state table .*permission denied"
            ):
                state_table.ensure_table(connection, schema, TABLE)
        assert is_idle(connection)


@pytest.mark.parametrize("right", ["SELECT", "INSERT", "UPDATE", "INSERT, UPDATE"])
def test_a_missing_right_on_the_table_is_named(
    limited: tuple[str, str], connect: Connect, right: str
) -> None:
    owner = connect()
    state_table.ensure_table(owner, "public", TABLE)
    rights = {"SELECT", "INSERT", "UPDATE"} - set(right.split(", "))
    with owner, owner.cursor() as cursor:
        names = (sql.SQL(", ").join(map(sql.SQL, sorted(rights))), sql.Identifier("public", TABLE))
        cursor.execute(sql.SQL("GRANT {} ON {} TO {}").format(*names, sql.Identifier(limited[0])))
    with contextlib.closing(psycopg2.connect(limited[1])) as connection:
        with pytest.raises(NotAuthorisedError, match=f"lacks {right} on the table public.say") as caught:
            state_table.ensure_table(connection, "public", TABLE)
        assert limited[0] in str(caught.value)


def test_a_role_that_may_create_nothing_uses_what_is_there(
    limited: tuple[str, str], connect: Connect
) -> None:
    owner = connect()
    state_table.ensure_table(owner, SCHEMA, TABLE)
    role, schema, table = map(sql.Identifier, (limited[0], SCHEMA, TABLE))
    with owner, owner.cursor() as cursor:
        cursor.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE ON {}.{} TO {}").format(schema, table, role))
    with contextlib.closing(psycopg2.connect(limited[1])) as connection:
        with pytest.raises(NotAuthorisedError, match="lacks USAGE on the schema"):
            state_table.ensure_table(connection, SCHEMA, TABLE)
        with owner, owner.cursor() as cursor:
            cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role))
        state_table.ensure_table(connection, SCHEMA, TABLE)
        row = fencing.acquire(connection, SCHEMA, TABLE, PIPELINE, "run-1")
        assert commit(connection, row, OLD).sequence == 1


def test_a_role_that_does_not_own_the_table_of_an_older_version_goes_without_the_note_of_tables(
    limited: tuple[str, str], connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """It could not run any more after the upgrade: "must be owner of table"."""
    owner = connect()
    state_table.ensure_table(owner, "public", TABLE)
    url, loaded = StateUrl("", "", PIPELINE, "public", TABLE), frozenset({"a"})
    role, table = sql.Identifier(limited[0]), sql.Identifier("public", TABLE)
    with owner, owner.cursor() as cursor:
        change_row(cursor, url, lambda _: OLD, "makes the history")
        cursor.execute(sql.SQL("ALTER TABLE {} DROP COLUMN tables").format(table))
        cursor.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}").format(role))
    with contextlib.closing(psycopg2.connect(limited[1])) as connection:
        state_table.ensure_table(connection, "public", TABLE)
        row = fencing.acquire(connection, "public", TABLE, PIPELINE, "run-1")
        with session.transaction(connection) as cursor:
            row = fencing.advance(cursor, row, OLD, loaded, {"a": 17})
        with session.transaction(connection) as cursor:
            assert change_row(cursor, url, lambda _: NEW, "by hand").after.text == NEW
            found = state_row.with_notes(cursor, row)
        lock.release(connection, row)
        assert (found.loaded, found.tables) == (loaded, {})
    advised = caplog.messages[0].rpartition(": ")[2]
    with owner, owner.cursor() as cursor:
        cursor.execute(advised)
    with contextlib.closing(psycopg2.connect(limited[1])) as connection:
        caplog.clear()
        state_table.ensure_table(connection, "public", TABLE)
        row = fencing.acquire(connection, "public", TABLE, PIPELINE, "run-2")
        with session.transaction(connection) as cursor:
            row = fencing.advance(cursor, row, OLD, loaded, {"a": 17})
            assert state_row.with_notes(cursor, row).tables == {"a": 17}
        assert not caplog.messages


def test_a_read_only_server_cannot_be_written(connect: Connect, database: str) -> None:
    connection = connect()
    connection.set_session(readonly=True)
    with pytest.raises(CannotWriteError, match="name the primary server"):
        state_table.ensure_table(connection, SCHEMA, TABLE)


# one run after the other


def test_the_first_run_makes_the_row_and_each_run_begins_an_epoch(connect: Connect) -> None:
    state_table.ensure_table(connect(), SCHEMA, TABLE)
    assert state_row.read(connect(), SCHEMA, TABLE, PIPELINE) is None
    for epoch in (1, 2, 3):
        connection = connect()
        row = fencing.acquire(connection, SCHEMA, TABLE, PIPELINE, f"run-{epoch}")
        assert (row.epoch, row.sequence, row.run_id) == (epoch, epoch - 1, f"run-{epoch}")
        assert row.state_text == (None if epoch == 1 else OLD)
        assert row.pipeline == PIPELINE
        commit(connection, row, OLD)
        lock.release(connection, row)


def test_a_table_that_is_not_there_holds_no_row(connect: Connect) -> None:
    assert state_row.read(connect(), SCHEMA, TABLE, PIPELINE) is None
    assert state_row.read(connect(), "public", TABLE, PIPELINE) is None


TEXTS = [
    '{"b": 1.10,"a":1e400,"c":123456789012345678901234567890, "a":0.1000}',
    '{ "text" : "a\\u0000b\\ud800 \\u00e9 é \\/ 😀" }',
    encode(with_mark({"bookmarks": {"é": {"at": -0.0}}}, Mark("r", PIPELINE, True))),
    "[1]",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_text_of_a_state_is_kept_to_the_letter(
    held: tuple[Connection, state_row.StateRow], connect: Connect, text: str
) -> None:
    connection, row = held
    after = commit(connection, row, text)
    assert after.state_text == text
    assert read(connect()) == after


@pytest.mark.parametrize(("text", "kept"), [(None, OLD), ("{}", "{}")])
def test_no_state_keeps_the_stored_one_and_counts_the_commit(
    held: tuple[Connection, state_row.StateRow], connect: Connect, text: str | None, kept: str
) -> None:
    """Which empty one is the tap's own word, the commit loop decides."""
    connection, row = held
    after = commit(connection, commit(connection, row, OLD), text)
    found = read(connect())
    assert (found.sequence, found.state_text) == (after.sequence, after.state_text) == (2, kept)


def test_what_is_rolled_back_leaves_the_row_as_it_was(
    held: tuple[Connection, state_row.StateRow], connect: Connect
) -> None:
    connection, row = held
    before = commit(connection, row, OLD)
    with connection.cursor() as cursor:
        fencing.advance(cursor, before, NEW)
    connection.rollback()
    assert read(connect()) == before
    assert commit(connection, before, NEW).sequence == 2


def test_pipelines_and_tables_do_not_disturb_each_other(connect: Connect) -> None:
    connection = connect()
    for schema, table in (("public", "a"), ("public", "b"), (SCHEMA, "a")):
        state_table.ensure_table(connection, schema, table)
        for pipeline in ("orders", "customers"):
            row = fencing.acquire(connect(), schema, table, pipeline, "run-1")
            assert row.epoch == 1


# two runs at once

HOLDER = """
import sys, psycopg2
from singerkit_shell.errors import LockHeldError
from singerkit_state.postgres import fencing
dsn, schema, table, pipeline, run = sys.argv[1:]
connection = psycopg2.connect(dsn, application_name="loader")
try:
    row = fencing.acquire(connection, schema, table, pipeline, run)
except LockHeldError as error:
    print("refused", error, flush=True)
else:
    print("held", row.epoch, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def holder(database: str, run: str) -> Iterator[subprocess.Popen[str]]:
    """A process that takes the lock and keeps it until its stdin ends."""
    arguments = [database, SCHEMA, TABLE, PIPELINE, run]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_processes_race_and_one_is_refused_saying_who_holds_the_lock(
    connect: Connect, database: str
) -> None:
    state_table.ensure_table(connect(), SCHEMA, TABLE)
    with holder(database, "run-a") as a, holder(database, "run-b") as b:
        answers = {"run-a": (a, said(a)), "run-b": (b, said(b))}
        winners = [name for name, (_, answer) in answers.items() if answer == "held 1"]
        assert len(winners) == 1, answers
        (refusal,) = [answer for _, answer in answers.values() if answer.startswith("refused")]
        winner = answers[winners[0]][0]
        assert PIPELINE in refusal
        # The winner may not have signed the row yet; then its session is named.
        assert f"the run {winners[0]} (pid {winner.pid} on host" in refusal or "`loader`" in refusal


def test_the_second_run_is_refused_with_run_host_pid_and_time(
    connect: Connect, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect()
    state_table.ensure_table(connection, SCHEMA, TABLE)
    with holder(database, "run-a") as process:
        assert said(process) == "held 1"
        with monkeypatch.context() as impatient:
            impatient.setattr(lock, "GOING_SECONDS", 0.0)
            with pytest.raises(LockHeldError) as caught:
                fencing.acquire(connection, SCHEMA, TABLE, PIPELINE, "run-b")
        sentence = str(caught.value)
        assert f"the run run-a (pid {process.pid} on host {platform.node()}, since 20" in sentence
        assert is_idle(connection)
        assert read(connection).epoch == 1, "who is refused changes nothing"
        process.kill()
        process.wait()
        row = fencing.acquire(connection, SCHEMA, TABLE, PIPELINE, "run-b")
    assert row.epoch == 2


def test_a_holder_whose_session_is_going_is_waited_for(connect: Connect, database: str) -> None:
    state_table.ensure_table(connect(), SCHEMA, TABLE)
    going = psycopg2.connect(database)
    fencing.acquire(going, SCHEMA, TABLE, PIPELINE, "run-a")
    timer = threading.Timer(0.3, going.close)
    timer.start()
    assert fencing.acquire(connect(), SCHEMA, TABLE, PIPELINE, "run-b").epoch == 2
    timer.join()


def test_a_signal_is_heard_while_a_holder_is_waited_for(
    held: tuple[Connection, state_row.StateRow], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_flag, "signum", signal.SIGTERM)
    connection = connect()
    with pytest.raises(Stopped, match=r"^Stopped by SIGTERM: nothing was read or written\.$"):
        fencing.acquire(connection, SCHEMA, TABLE, PIPELINE, "run-2")
    assert is_idle(connection)


@pytest.mark.usefixtures("impatient")
def test_a_holder_that_has_not_signed_the_row_is_named_by_its_session(
    connect: Connect, database: str
) -> None:
    state_table.ensure_table(connect(), SCHEMA, TABLE)
    key = session.key(SCHEMA, TABLE, PIPELINE)
    with contextlib.closing(psycopg2.connect(database, application_name="somebody")) as other:
        other.cursor().execute("SELECT pg_advisory_lock(%s)", (key,))
        expected = rf"a run \(`somebody`, server process {other.info.backend_pid}, since 20"
        with pytest.raises(LockHeldError, match=expected):
            fencing.acquire(connect(), SCHEMA, TABLE, PIPELINE, "run-b")


@pytest.mark.usefixtures("impatient")
def test_a_holder_that_ends_in_that_moment_is_another_run(
    held: tuple[Connection, state_row.StateRow], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "holder", lambda *_: None)
    with pytest.raises(LockHeldError, match="is being loaded by another run, which has ended just now; "):
        fencing.acquire(connect(), SCHEMA, TABLE, PIPELINE, "run-2")


def test_the_state_that_a_run_begins_with_is_kept(
    held: tuple[Connection, state_row.StateRow], connect: Connect
) -> None:
    connection, row = held
    with connection.cursor() as cursor:
        assert history_table.read(cursor, SCHEMA, TABLE, PIPELINE) == [], "the first run began with nothing"
    commit(connection, commit(connection, row, NEW), OLD)
    lock.release(connection, row)
    second = connect()
    fencing.acquire(second, SCHEMA, TABLE, PIPELINE, "run-2")
    with second.cursor() as cursor:
        (entry,) = history_table.read(cursor, SCHEMA, TABLE, PIPELINE)
    assert (entry.text, entry.why, entry.run_id, entry.epoch, entry.sequence) == (OLD, "run", "run-2", 1, 2)


@pytest.mark.usefixtures("impatient")
def test_many_acquire_at_once_and_one_gets_it(connect: Connect) -> None:
    connections = [connect() for _ in range(8)]
    state_table.ensure_table(connections[0], SCHEMA, TABLE)
    ready = threading.Barrier(len(connections))

    def attempt(connection: Connection) -> state_row.StateRow | LockHeldError:
        ready.wait()
        try:
            return fencing.acquire(connection, SCHEMA, TABLE, PIPELINE, f"run-{id(connection)}")
        except LockHeldError as error:
            return error

    with ThreadPoolExecutor(len(connections)) as pool:
        results = list(pool.map(attempt, connections))
    (row,) = [result for result in results if isinstance(result, state_row.StateRow)]
    assert row.epoch == 1
    assert read(connections[0]).run_id == row.run_id


def test_release_lets_the_next_run_in(held: tuple[Connection, state_row.StateRow], connect: Connect) -> None:
    connection, row = held
    with connection.cursor() as cursor:
        fencing.advance(cursor, row, NEW)
    lock.release(connection, row)
    next_row = fencing.acquire(connect(), SCHEMA, TABLE, PIPELINE, "run-2")
    assert (next_row.epoch, next_row.sequence, next_row.state_text) == (2, 0, None)


def test_release_of_a_lost_connection_does_nothing(
    held: tuple[Connection, state_row.StateRow], database: str
) -> None:
    connection, row = held
    run_sql(database, "SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
    lock.release(connection, row)
    connection.close()
    lock.release(connection, row)


def test_a_failure_to_begin_gives_the_lock_back(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zombie behind a pooler holds the row, not the lock: bounded waiting, then a sentence."""
    monkeypatch.setattr(session, "LOCK_TIMEOUT", "50ms")
    zombie, connection = connect(), connect()
    state_table.ensure_table(connection, SCHEMA, TABLE)
    row = fencing.acquire(zombie, SCHEMA, TABLE, PIPELINE, "run-1")
    lock.release(zombie, row)
    with zombie.cursor() as cursor:
        fencing.advance(cursor, row, NEW)
    with pytest.raises(LockHeldError, match="end the session that is in the way") as caught:
        fencing.acquire(connection, SCHEMA, TABLE, PIPELINE, "run-2")
    assert f"Cannot begin a run of the pipeline `{PIPELINE}` (" in str(caught.value)
    zombie.commit()
    after = fencing.acquire(connect(), SCHEMA, TABLE, PIPELINE, "run-3")
    assert (after.epoch, after.sequence, after.state_text) == (2, 1, NEW)


def test_who_holds_the_lock_is_told_as_far_as_it_is_known(
    held: tuple[Connection, state_row.StateRow], connect: Connect, database: str
) -> None:
    connection, _ = held
    looking = connect()
    with looking.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT started_at FROM {}").format(sql.Identifier(SCHEMA, TABLE)))
        (started,) = session.one(cursor)
        assert lock.holder(cursor, SCHEMA, TABLE, PIPELINE) == Holder(
            pid=os.getpid(),
            host=platform.node(),
            since=started.astimezone(UTC).isoformat(sep=" ", timespec="seconds"),
            run_id="run-1",
            session=connection.info.backend_pid,
        )
        assert lock.holder(cursor, SCHEMA, TABLE, "another") is None
        looking.rollback()
        run_sql(database, sql.SQL("UPDATE {} SET started_at = NULL").format(sql.Identifier(SCHEMA, TABLE)))
        found = lock.holder(cursor, SCHEMA, TABLE, PIPELINE)
        assert found is not None
        assert (found.run_id, found.since) == ("run-1", None)
    looking.rollback()
    connection.close()
    with contextlib.closing(psycopg2.connect(database, application_name="somebody")) as other:
        while True:
            with other, other.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", (session.key(SCHEMA, TABLE, PIPELINE),))
                if session.one(cursor)[0]:
                    break
        with looking.cursor() as cursor:
            found = lock.holder(cursor, SCHEMA, TABLE, PIPELINE)
        assert found is not None
        assert found.since is not None
        assert replace(found, since=None) == Holder(session=other.info.backend_pid, application="somebody")
        assert abs(datetime.fromisoformat(found.since) - datetime.now(UTC)) < timedelta(hours=1)


def test_a_role_that_may_not_see_other_sessions_is_told_their_process(
    limited: tuple[str, str], connect: Connect
) -> None:
    owner = connect()
    state_table.ensure_table(owner, "public", "states")
    with owner, owner.cursor() as cursor:
        cursor.execute(sql.SQL("GRANT SELECT ON states TO {}").format(sql.Identifier(limited[0])))
        cursor.execute("SELECT pg_advisory_lock(%s)", (session.key("public", "states", PIPELINE),))
    with contextlib.closing(psycopg2.connect(limited[1])) as connection, connection.cursor() as cursor:
        found = lock.holder(cursor, "public", "states", PIPELINE)
    assert found == Holder(session=owner.info.backend_pid)


def test_times_are_told_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert state_row.time_of(datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2024-01-02 03:04:05+00:00"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_holder_of_another_time_is_a_session_and_no_run(
    held: tuple[Connection, state_row.StateRow], connect: Connect
) -> None:
    """The row is that of the last run, and the lock somebody else's: a run that has just begun."""
    connection, row = held
    lock.release(connection, row)
    other = connect()
    with other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (session.key(SCHEMA, TABLE, PIPELINE),))
        found = lock.holder(cursor, SCHEMA, TABLE, PIPELINE)
    assert found is not None
    assert (found.run_id, found.pid, found.session) == (None, None, other.info.backend_pid)


def test_the_lock_of_a_pipeline_can_be_waited_for(connect: Connect, database: str) -> None:
    other, ours = connect(), connect()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (session.key(SCHEMA, TABLE, PIPELINE),))

    def wait() -> None:
        with ours, ours.cursor() as cursor:
            for others in (("other", TABLE, PIPELINE), (SCHEMA, "other", PIPELINE), (SCHEMA, TABLE, "other")):
                lock.wait_for_lock(cursor, *others)
            lock.wait_for_lock(cursor, SCHEMA, TABLE, PIPELINE)

    ends_after(other, ours, database, wait)


# the rows


def test_rows_come_by_the_names_of_their_pipelines(connect: Connect) -> None:
    connection = connect()
    state_table.ensure_table(connection, SCHEMA, TABLE)
    made = [fencing.acquire(connection, SCHEMA, TABLE, name, f"run of {name}") for name in "bca"]
    with connection.cursor() as cursor:
        assert state_row.rows(cursor, SCHEMA, TABLE) == [made[2], made[0], made[1]]


def test_a_row_is_made_on_first_use_and_locked(connect: Connect, database: str) -> None:
    ours, other = connect(), connect()
    state_table.ensure_table(ours, SCHEMA, TABLE)
    with ours, ours.cursor() as cursor:
        row = state_row.lock_row(cursor, SCHEMA, TABLE, PIPELINE)
        assert row == state_row.StateRow(PIPELINE, 0, 0, None, None, None, SCHEMA, TABLE)
        assert state_row.lock_row(cursor, SCHEMA, TABLE, "another").pipeline == "another"
    fencing.acquire(ours, SCHEMA, TABLE, PIPELINE, "run-1")
    with other.cursor() as cursor:
        assert state_row.lock_row(cursor, SCHEMA, TABLE, PIPELINE).epoch == 1

    def change() -> None:
        with ours, ours.cursor() as cursor:
            state_row.lock_row(cursor, SCHEMA, TABLE, "another")
            state_row.lock_row(cursor, SCHEMA, TABLE, PIPELINE)

    ends_after(other, ours, database, change)


# fencing


def lose_lock(connection: Connection) -> None:
    """What a pooler or an operator does: the session lives on, its lock does not."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock_all()")


def test_a_newer_run_fences_the_older_one(
    held: tuple[Connection, state_row.StateRow], connect: Connect
) -> None:
    connection, row = held
    lose_lock(connection)
    newer = fencing.acquire(connect(), SCHEMA, TABLE, PIPELINE, "run-2")
    with pytest.raises(FencedError, match=r"the run run-2 \(pid \d+ on host .*\) has taken over") as caught:
        commit(connection, row, OLD)
    assert f"on host {platform.node()}, since 20" in str(caught.value)
    assert caught.value.exit_code == 76
    assert read(connect()) == newer
    begun = time.monotonic()
    for call in (fencing.reclaim, fencing.was_committed):
        with pytest.raises(FencedError, match="run-2"):
            call(connect(), row)
    assert time.monotonic() - begun < 5, "it is known at once, without waiting for the newer run's lock"


def test_a_change_by_hand_fences_and_says_how_to_go_on(
    held: tuple[Connection, state_row.StateRow], database: str
) -> None:
    connection, row = held
    table = sql.Identifier(SCHEMA, TABLE)
    change = "UPDATE {} SET epoch = epoch + 1, run_id = 'singerkit-state set by me@here', started_at = {}"
    for at, told in (("NULL", ""), ("'2024-01-02 03:04:05+00'", " at 2024-01-02 03:04:05+00:00")):
        run_sql(database, sql.SQL(change).format(table, sql.SQL(at)))
        with pytest.raises(FencedError) as caught:
            commit(connection, row, OLD)
        assert str(caught.value) == (
            f"This run of the pipeline `{PIPELINE}` is fenced, by `singerkit-state set by me@here`{told}; what it "
            "committed before is safe, the rest was rolled back, run again to go on from the state that stands there "
            "now."
        )
    run_sql(database, sql.SQL("UPDATE {} SET run_id = NULL, started_at = NULL").format(table))
    with pytest.raises(FencedError) as caught:
        commit(connection, row, OLD)
    assert f"fenced, the run None (pid {os.getpid()} on host {platform.node()}) has taken" in str(
        caught.value
    )


def test_all_versions_take_the_same_lock() -> None:
    """Two versions may run at once: the number that names a lock never changes."""
    key = -6582626300923063804
    assert session.key("public", "_singerkit_state", "orders") == key
    halves = lock.lock_halves("public", "_singerkit_state", "orders")
    assert halves == (key >> 32 & 0xFFFFFFFF, key & 0xFFFFFFFF)


def test_a_newer_run_that_is_just_beginning_fences_too(
    held: tuple[Connection, state_row.StateRow],
    connect: Connect,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has the lock, and begins its epoch while we wait; if it never does, its lock is in the way."""
    connection, row = held
    connection.close()
    other, ours = connect(), connect()
    with other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (session.key(SCHEMA, TABLE, PIPELINE),))
    monkeypatch.setattr(session, "LOCK_TIMEOUT", "50ms")
    with pytest.raises(LockHeldError) as caught:
        fencing.reclaim(ours, row)
    assert f"Cannot take the lock of the pipeline `{PIPELINE}` again (" in str(caught.value)
    monkeypatch.setattr(session, "LOCK_TIMEOUT", "1s")
    with ThreadPoolExecutor(1) as pool:
        reclaimed = pool.submit(fencing.reclaim, ours, row)
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s"
        while not run_sql(database, waiting, (ours.info.backend_pid,)):
            assert not reclaimed.done()
        assert fencing.acquire(other, SCHEMA, TABLE, PIPELINE, "run-2").epoch == 2
        with pytest.raises(FencedError, match="run-2"):
            reclaimed.result(timeout=30)
    assert is_idle(ours)


def test_a_zombie_in_mid_transaction_wins_or_loses_as_a_whole(
    held: tuple[Connection, state_row.StateRow], connect: Connect, database: str
) -> None:
    """The new run waits for the row, and then continues from what the zombie has committed."""
    zombie, row = held
    lose_lock(zombie)
    with zombie.cursor() as cursor:
        fencing.advance(cursor, row, NEW)
    ours = connect()
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(fencing.acquire, ours, SCHEMA, TABLE, PIPELINE, "run-2")
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s"
        while not run_sql(database, waiting, (ours.info.backend_pid,)):
            assert not taken.done()
        zombie.commit()
        newer = taken.result(timeout=30)
    assert (newer.epoch, newer.sequence, newer.state_text) == (2, 1, NEW)
    with pytest.raises(FencedError):
        commit(zombie, row, OLD)


def test_a_row_that_is_gone_or_changed_fences(
    held: tuple[Connection, state_row.StateRow], database: str
) -> None:
    connection, row = held
    table = sql.Identifier(SCHEMA, TABLE)
    run_sql(database, sql.SQL("UPDATE {} SET sequence = sequence + 5").format(table))
    with pytest.raises(FencedError, match="was changed by somebody else"):
        commit(connection, row, OLD)
    run_sql(database, sql.SQL("DELETE FROM {}").format(table))
    with pytest.raises(FencedError, match="is gone"):
        commit(connection, row, OLD)
    for call in (fencing.reclaim, fencing.was_committed):
        with pytest.raises(FencedError, match="is gone"):
            call(connection, row)


@pytest.mark.parametrize("statement", ["DROP TABLE {}", "ALTER TABLE {} RENAME COLUMN state TO other"])
def test_a_table_dropped_or_altered_in_mid_run_is_never_made_again(
    held: tuple[Connection, state_row.StateRow], database: str, statement: str
) -> None:
    connection, row = held
    run_sql(database, sql.SQL(statement).format(sql.Identifier(SCHEMA, TABLE)))
    with pytest.raises(BadDataError, match=r"dropped or altered during the run .* sequence 0") as caught:
        commit(connection, row, OLD)
    assert f"The state table {SCHEMA}.{TABLE} was" in str(caught.value)
    assert caught.value.exit_code == 65


# COMMIT without an answer


class Proxy:
    """Stands before the server; swallows what the server says, or what the client says, once told to.

    With ``other_pid`` it also answers, as poolers do, with a process id of its own.
    """

    def __init__(self, database: str, folder: Path, *, other_pid: bool = False) -> None:
        self.parameters = parse_dsn(database)
        self.folder = folder
        self.other_pid = other_pid
        self.lose_answers = threading.Event()
        self.lose_requests = threading.Event()
        self.answer_lost = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def dsn(self) -> str:
        parts = self.parameters | {"host": str(self.folder), "port": "5432", "sslmode": "disable"}
        return psycopg2.extensions.make_dsn(**(parts | {"gssencmode": "disable"}))

    def close(self) -> None:
        for end in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = self._to_server()
                self._sockets += [client, server]
                threading.Thread(target=self._pump, args=(client, server), daemon=True).start()

    def _to_server(self) -> socket.socket:
        host, port = self.parameters.get("host", "localhost"), self.parameters.get("port", "5432")
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):  # the other end was closed meanwhile
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is client and not self.lose_requests.is_set():
                        server.sendall(data)
                    elif source is server and not self.lose_answers.is_set():
                        client.sendall(self._with_other_pid(data) if self.other_pid else data)
                    else:  # from here on the connection is dead, and neither side is told
                        client.shutdown(socket.SHUT_RDWR)
                        self.answer_lost.set()
                        return

    def _with_other_pid(self, data: bytes) -> bytes:
        before, key, after = data.partition(b"K\x00\x00\x00\x0c")  # BackendKeyData of protocol 3.0
        return before + key + b"\x00\x00\x30\x39" + after[4:] if key else data


@pytest.fixture
def proxy(database: str, tmp_path: Path) -> Iterator[Proxy]:
    folder = Path(os.path.realpath("/tmp")) / f"sk-{os.getpid()}-{threading.get_ident() & 0xFFFF}"
    folder.mkdir()
    proxy = Proxy(database, folder)
    yield proxy
    proxy.close()
    (folder / ".s.PGSQL.5432").unlink()
    folder.rmdir()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("reached", [True, False], ids=["the answer is lost", "the COMMIT is lost"])
def test_a_commit_without_an_answer_is_decided_by_the_sequence(
    proxy: Proxy, connect: Connect, reached: bool
) -> None:
    state_table.ensure_table(connect(), SCHEMA, TABLE)
    connection = psycopg2.connect(proxy.dsn)
    row = fencing.acquire(connection, SCHEMA, TABLE, PIPELINE, "run-1")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE rows AS SELECT 1 AS n")
        after = fencing.advance(cursor, row, NEW)
    (proxy.lose_answers if reached else proxy.lose_requests).set()
    with pytest.raises(psycopg2.OperationalError):
        connection.commit()
    fresh = connect()
    # The server does not know that the old connection is dead: its session still holds lock and row.
    assert fencing.was_committed(fresh, after) is reached
    with fresh, fresh.cursor() as cursor:
        cursor.execute("SELECT to_regclass('rows') IS NOT NULL")
        assert cursor.fetchone() == (reached,)
        done = fencing.advance(cursor, after if reached else row, NEW)
    assert done.sequence == (2 if reached else 1)
    with pytest.raises(LockHeldError, match="run-1"):
        fencing.acquire(connect(), SCHEMA, TABLE, PIPELINE, "run-2")
    # and once more, since the session that holds the lock is another one now
    again = connect()
    assert fencing.was_committed(again, done)
    connection.close()


def test_a_run_goes_on_with_a_new_connection(proxy: Proxy, connect: Connect) -> None:
    state_table.ensure_table(connect(), SCHEMA, TABLE)
    connection = psycopg2.connect(proxy.dsn)
    row = commit(connection, fencing.acquire(connection, SCHEMA, TABLE, PIPELINE, "run-1"), OLD)
    proxy.lose_answers.set()
    with pytest.raises(psycopg2.OperationalError):
        connection.cursor().execute("SELECT 1")
    fresh = connect()
    assert fencing.reclaim(fresh, row) == row
    assert commit(fresh, row, NEW).sequence == 2
    with pytest.raises(FencedError):
        fencing.reclaim(connect(), row)
    connection.close()


def test_a_failure_to_take_the_lock_again_gives_it_back(
    held: tuple[Connection, state_row.StateRow], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, row = held
    connection.close()
    ours, other = connect(), connect()
    with other.cursor() as cursor:
        state_row.lock_row(cursor, SCHEMA, TABLE, PIPELINE)
    monkeypatch.setattr(session, "LOCK_TIMEOUT", "50ms")
    with pytest.raises(LockHeldError):
        fencing.reclaim(ours, row)
    other.commit()
    assert fencing.acquire(connect(), SCHEMA, TABLE, PIPELINE, "run-2").epoch == 2


def test_a_run_that_is_overtaken_while_it_waits_for_its_lock_is_fenced(
    held: tuple[Connection, state_row.StateRow], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, row = held
    connection.close()
    other = connect()
    lock.release(other, fencing.acquire(other, SCHEMA, TABLE, PIPELINE, "run-b"))
    monkeypatch.setattr(fencing, "_check_epoch", lambda *_: None)  # it was looked at before
    with pytest.raises(FencedError, match="run-b"):
        fencing.reclaim(connect(), row)


def test_any_other_sequence_is_fenced(held: tuple[Connection, state_row.StateRow], connect: Connect) -> None:
    connection, row = held
    after = commit(connection, row, OLD)
    later = commit(connection, commit(connection, after, OLD), NEW)
    connection.close()
    assert fencing.was_committed(connect(), later)
    with pytest.raises(FencedError, match="its sequence is 3, expected was 1"):
        fencing.was_committed(connect(), after)
    with pytest.raises(FencedError, match="its sequence is 3, expected was 1"):
        fencing.reclaim(connect(), after)


def test_a_newer_run_whose_sequence_is_the_same_is_not_mine(
    held: tuple[Connection, state_row.StateRow], connect: Connect
) -> None:
    """Mine was rolled back, and the newer run's first commit has the number that mine would have had."""
    connection, row = held
    with connection.cursor() as cursor:
        mine = fencing.advance(cursor, row, OLD)
    connection.close()
    other = connect()
    newer = fencing.acquire(other, SCHEMA, TABLE, PIPELINE, "run-2")
    assert commit(other, newer, NEW).sequence == mine.sequence
    with pytest.raises(FencedError, match="run-2"):
        fencing.was_committed(connect(), mine)


def test_a_pooler_is_noticed_and_no_lock_is_left_in_its_pool(
    proxy: Proxy, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.other_pid = True
    state_table.ensure_table(connect(), SCHEMA, TABLE)
    with contextlib.closing(psycopg2.connect(proxy.dsn)) as connection:
        assert connection.info.backend_pid == 12345
        with caplog.at_level(logging.WARNING):
            row = fencing.acquire(connection, SCHEMA, TABLE, PIPELINE, "run-1")
        assert "A connection pooler stands before the database" in caplog.text
        assert fencing.reclaim(connection, row) == row
        newer = fencing.acquire(connect(), SCHEMA, TABLE, PIPELINE, "run-2")
        with pytest.raises(FencedError, match="run-2"):
            commit(connection, row, OLD)
    assert newer.epoch == 2


# errors of the server


def test_a_statement_without_its_row_is_an_error_and_no_crash(connect: Connect) -> None:
    with connect().cursor() as cursor:
        cursor.execute("SELECT 1 WHERE false")
        with pytest.raises(SingerkitError, match="returned no row"):
            session.one(cursor)


def test_a_state_that_cannot_be_read_is_named(connect: Connect) -> None:
    connection = connect()
    connection.close()
    with pytest.raises(RetryableError) as caught:
        state_row.read(connection, SCHEMA, TABLE, PIPELINE)
    assert f"Cannot read the state of the pipeline `{PIPELINE}` (" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ('connection failed: FATAL:  password authentication failed for user "x"', NotAuthorisedError),
        ("connection failed: fe_sendauth: no password supplied", NotAuthorisedError),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', NotAuthorisedError),
        ('FATAL:  role "x" does not exist', NotAuthorisedError),
        ('FATAL:  role "x" is not permitted to log in', NotAuthorisedError),
        ('FATAL:  permission denied for database "x"', NotAuthorisedError),
        ('FATAL:  database "x" does not exist', ConfigurationError),
        ('invalid connection option "x"', ConfigurationError),
        ("invalid dsn: x", ConfigurationError),
        ("invalid port number", ConfigurationError),
        ('invalid sslmode value: "x"', ConfigurationError),
        ('definition of service "x" not found', ConfigurationError),
        ("server does not support SSL, but SSL was required", ConfigurationError),
        ("SSL error: certificate verify failed", ConfigurationError),
        ('server certificate for "x" does not match', ConfigurationError),
        ("could not connect to server: Connection refused", RetryableError),
    ],
)
def test_errors_without_a_code_are_told_by_their_words(words: str, kind: type[SingerkitError]) -> None:
    error = errors.error_of(psycopg2.OperationalError(f"{words}\nsecond line"), "do it")
    assert type(error) is kind
    assert str(error) == f"Cannot do it ({words.removeprefix('FATAL:').strip()}); {errors._ADVICE[kind]}."


@pytest.mark.parametrize("kind", [psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.DatabaseError])
def test_a_connection_that_libpq_has_lost_is_worth_another_try(kind: type[psycopg2.Error]) -> None:
    # Found by `make torture SEED=20261130 CASE=580`: DatabaseError, which is no OperationalError.
    error = errors.error_of(kind("server closed the connection unexpectedly\n\tThis probably means"), "do it")
    assert type(error) is RetryableError


def test_an_error_of_no_known_kind_is_ours() -> None:
    error = errors.error_of(psycopg2.ProgrammingError(""), "do it")
    assert type(error) is SingerkitError
    assert str(error) == "Cannot do it (ProgrammingError); what was committed is safe, please report this."


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DROP TABLE plain.rows", "does not exist"),
        ("ALTER SCHEMA plain RENAME TO elsewhere", "does not exist"),
        ("ALTER TABLE plain.rows DROP COLUMN former", "does not exist"),
        ("ALTER TABLE plain.rows DROP CONSTRAINT rows_pkey", "ON CONFLICT"),
        ("ALTER TABLE plain.rows ALTER epoch TYPE text", "operator does not exist"),
        ("CREATE RULE r AS ON INSERT TO plain.rows DO INSTEAD NOTHING", "RETURNING"),
        (
            "CREATE FUNCTION plain.out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            "CREATE TRIGGER t BEFORE INSERT ON plain.rows FOR EACH ROW EXECUTE FUNCTION plain.out()",
            "returned no row",
        ),
    ],
)
def test_a_state_table_that_others_change_while_a_run_begins(
    connect: Connect, database: str, change: str, words: str
) -> None:
    connection = connect()
    state_table.ensure_table(connection, "plain", "rows")
    run_sql(database, change)
    with pytest.raises(BadDataError, match="what was committed is safe") as caught:
        fencing.acquire(connection, "plain", "rows", PIPELINE, "run")
    assert words in str(caught.value)
    assert "run again" in str(caught.value)
    assert caught.value.exit_code == 65


def test_a_state_table_that_others_alter_is_told_at_the_commit(
    held: tuple[Connection, state_row.StateRow], database: str
) -> None:
    alter = sql.SQL("ALTER TABLE {} ALTER sequence TYPE text").format(sql.Identifier(SCHEMA, TABLE))
    run_sql(database, alter)
    with pytest.raises(BadDataError, match="dropped or altered during the run"):
        commit(*held, OLD)


def test_a_lost_connection_is_worth_another_try(
    held: tuple[Connection, state_row.StateRow], database: str
) -> None:
    connection, row = held
    run_sql(database, "SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
    with pytest.raises(RetryableError, match="what was committed is safe") as caught:
        state_row.read(connection, SCHEMA, TABLE, PIPELINE)
    assert caught.value.exit_code == 69
    with pytest.raises(psycopg2.Error):  # advance leaves errors of the connection to its caller
        commit(connection, row, OLD)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("53100", CannotWriteError),
        ("25006", CannotWriteError),
        ("53300", RetryableError),
        ("57P01", RetryableError),
        ("57P03", RetryableError),
        ("57014", RetryableError),
        ("40P01", RetryableError),
        ("40001", RetryableError),
        ("08006", RetryableError),
        ("55P03", LockHeldError),
        ("42501", NotAuthorisedError),
        ("28P01", NotAuthorisedError),
        ("0LP01", NotAuthorisedError),
        ("3D000", ConfigurationError),
        ("3F000", BadDataError),
        ("58030", RetryableError),
        ("55006", RetryableError),
        ("25P02", RetryableError),
        ("XX000", RetryableError),
        ("22012", BadDataError),
        ("42P01", BadDataError),
        ("42703", BadDataError),
        ("42804", BadDataError),
        ("42P10", BadDataError),
        ("23514", BadDataError),
    ],
)
def test_errors_of_the_server_by_what_to_do(postgres_dsn: str, code: str, kind: type[SingerkitError]) -> None:
    with contextlib.closing(psycopg2.connect(postgres_dsn)) as connection, connection.cursor() as cursor:
        with pytest.raises(psycopg2.Error) as caught:
            cursor.execute(f"DO $$ BEGIN RAISE 'no\nsecond line' USING ERRCODE = '{code}'; END $$")
        error = errors.error_of(caught.value, "do it")
    assert type(error) is kind
    assert str(error).startswith("Cannot do it (no); ")


def test_the_state_of_any_pipeline_is_plain_to_see_in_sql(
    held: tuple[Connection, state_row.StateRow], database: str
) -> None:
    commit(*held, OLD)
    query = sql.SQL("SELECT state #>> '{{bookmarks,orders,at}}', sequence FROM {}")
    assert run_sql(database, query.format(sql.Identifier(SCHEMA, TABLE))) == [("1.10", 1)]
    assert json.loads(OLD)


def test_a_statement_that_the_server_has_ended_names_the_timeout(connect: Connect) -> None:
    with pytest.raises(RetryableError) as told, errors.translated("do it"), connect().cursor() as cursor:
        cursor.execute("SET statement_timeout TO '1ms'; SELECT pg_sleep(60)")
    assert "with a longer `statement_timeout` for this role if that is the cause." in str(told.value)
    assert "reached" not in str(told.value)
