"""DDL before the unit: a table is made or altered in a short transaction of its own, so that nobody waits for it longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor

from singerkit_postgres.connect import Connection
from singerkit_shell.signals import StopFlag
from singerkit_target.replay import waits
from target_postgres.ddl import TREE_OF_TABLE
from target_postgres.faults import WAITS, is_of_catalog

__all__ = ["held_by", "holders", "in_own_transaction", "in_unit"]

_T = TypeVar("_T")

_LOCK_SECONDS = 0.5
"""The longest wait for a lock at a time: who reads the table meanwhile waits behind the statement that waits."""
_LONGEST_PAUSE = 2.0
_SET_LOCK_TIMEOUT = "SELECT pg_catalog.set_config('lock_timeout', %s, true)"
_OTHERS_WERE_FIRST = (errorcodes.DUPLICATE_TABLE, errorcodes.DUPLICATE_COLUMN)


def in_own_transaction(
    connection: Connection,
    job: Callable[[Cursor], _T],
    *,
    seconds: float,
    stop: StopFlag,
    is_hopeless: Callable[[], bool] = lambda: False,
) -> _T:
    """Roll back what is open, do a job and commit it; again, where others hold a lock or were first to do the same, for ``seconds``.

    Raises:
        psycopg2.Error: it was refused, the locks were not to be had in that time, or ``is_hopeless``.
        Stopped: a signal came between two tries.
    """

    def once() -> _T:
        connection.rollback()
        with connection, connection.cursor() as cursor:
            cursor.execute(_SET_LOCK_TIMEOUT, [_short(seconds)])
            return job(cursor)

    def may_pass(error: psycopg2.Error) -> bool:
        passes = error.pgcode in (*WAITS, *_OTHERS_WERE_FIRST) or is_of_catalog(error)
        return passes and not is_hopeless()

    return _tried(once, may_pass, seconds, stop)


def in_unit(cursor: Cursor, job: Callable[[Cursor], _T], *, seconds: float, stop: StopFlag) -> _T:
    """Do a job in the transaction of the unit, which keeps its locks until that ends; again, where others hold one, for ``seconds``.

    Raises:
        psycopg2.Error: it was refused, or the locks were not to be had in that time.
        Stopped: a signal came between two tries.
    """
    cursor.execute("SELECT pg_catalog.current_setting('lock_timeout')")
    (former,) = cursor.fetchone() or ("0",)
    cursor.execute("SAVEPOINT singerkit_lock")

    def once() -> _T:
        cursor.execute(_SET_LOCK_TIMEOUT, [_short(seconds)])
        try:
            return job(cursor)
        except psycopg2.Error as error:
            if _is_of_lock(error):
                cursor.execute("ROLLBACK TO SAVEPOINT singerkit_lock")
            raise

    done = _tried(once, _is_of_lock, seconds, stop)
    cursor.execute("RELEASE SAVEPOINT singerkit_lock")
    cursor.execute(_SET_LOCK_TIMEOUT, [former])
    return done


def _is_of_lock(error: psycopg2.Error) -> bool:
    return error.pgcode == errorcodes.LOCK_NOT_AVAILABLE


def _tried(
    once: Callable[[], _T], may_pass: Callable[[psycopg2.Error], bool], seconds: float, stop: StopFlag
) -> _T:
    end = time.monotonic() + seconds
    pauses = waits(_LONGEST_PAUSE)
    while True:
        pause = next(pauses)
        try:
            return once()
        except psycopg2.Error as error:
            if not may_pass(error) or time.monotonic() + pause > end:
                raise
        stop.wait(pause)
        stop.raise_if_set("what was committed is safe.")


def _short(seconds: float) -> str:
    return f"{max(1, int(min(_LOCK_SECONDS, seconds) * 1000))}ms"


_NEAR = """, near(oid) AS (
    SELECT oid FROM tree
    UNION SELECT k.conrelid FROM tree JOIN pg_catalog.pg_constraint k ON k.confrelid = tree.oid
    UNION SELECT k.confrelid FROM tree JOIN pg_catalog.pg_constraint k ON k.conrelid = tree.oid
), locks AS (
    SELECT DISTINCT l.pid FROM pg_catalog.pg_locks l JOIN near ON near.oid = l.relation
    WHERE l.granted AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
)
"""
_LOCKS = TREE_OF_TABLE + _NEAR
_HELD = "SELECT EXISTS (SELECT 1 FROM locks WHERE pid = %s)"
_HOLDERS = """
SELECT 'pid ' || a.pid || COALESCE(' (' || NULLIF(a.application_name, '') || ')', '')
    || COALESCE(', ' || a.state, '')
    || COALESCE(', since ' || pg_catalog.date_trunc('second', a.xact_start), '')
FROM locks JOIN pg_catalog.pg_stat_activity a ON a.pid = locks.pid
WHERE a.pid <> pg_catalog.pg_backend_pid()
ORDER BY a.xact_start LIMIT 5
"""


def held_by(connection: Connection, pid: int, schema: str, table: str) -> bool:
    """Tell whether a session holds a lock on a table, on a part of it, or on one that a foreign key ties to it."""
    with connection, connection.cursor() as cursor:
        cursor.execute(_LOCKS + _HELD, [schema, table, pid])
        return cursor.fetchone() == (True,)


def holders(cursor: Cursor, schema: str, table: str) -> str:
    """Name other sessions that hold a lock of any kind there, as the rest of a sentence: what they do, and since when."""
    cursor.execute(_LOCKS + _HOLDERS, [schema, table])
    found = [words for (words,) in cursor.fetchall()]
    return f"; locks are held by {', '.join(found)}" if found else ""
