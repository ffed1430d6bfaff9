"""The lock of a pipeline: an advisory lock of the session keeps the next run out, and the row says who that is (FAULTS P9)."""

from __future__ import annotations

import time

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from singerkit_postgres.errors import lost
from singerkit_shell.errors import LockHeldError
from singerkit_shell.signals import stop_flag
from singerkit_state.postgres.row import StateRow, last_run, time_of
from singerkit_state.postgres.session import key, one, transaction
from singerkit_state.store import Holder

__all__ = [
    "HOLDERS",
    "holder",
    "lock_halves",
    "release",
    "take_lock",
    "unlock",
    "wait_for_lock",
]

GOING_SECONDS = 3.0
"""How long the start of a run waits for the lock of the one before, whose session may still be going."""
_LOOK_AGAIN_SECONDS = 0.05


def take_lock(connection: Connection, schema: str, table: str, pipeline: str) -> None:
    """Take the lock, waiting a moment for a session whose run has ended and which the server has yet to notice."""
    deadline = time.monotonic() + GOING_SECONDS
    while True:
        with transaction(connection) as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (key(schema, table, pipeline),))
            if one(cursor)[0]:
                return
            who = holder(cursor, schema, table, pipeline)
        if stop_flag or time.monotonic() >= deadline:
            break
        stop_flag.wait(_LOOK_AGAIN_SECONDS)
    stop_flag.raise_if_set("nothing was read or written.")
    raise LockHeldError(
        f"The pipeline `{pipeline}` is being loaded by {who or 'another run, which has ended just now'}; "
        "nothing was read or written, wait for that run to end or stop it."
    )


def release(connection: Connection, row: StateRow) -> None:
    """Give the lock back; an open transaction is rolled back. Does nothing when the connection is gone."""
    with lost():
        connection.rollback()
    unlock(connection, row.schema, row.table, row.pipeline)


def unlock(connection: Connection, schema: str, table: str, pipeline: str) -> None:
    # A connection that is lost has taken the lock with it.
    with lost(), transaction(connection) as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s)", (key(schema, table, pipeline),))


HOLDERS = (
    "SELECT l.pid FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    " AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
    " AND l.classid = %s AND l.objid = %s"
)


def _halves(key: int) -> tuple[int, int]:
    """How pg_locks shows such a lock: its high and its low 32 bits."""
    return (key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF


def lock_halves(schema: str, table: str, pipeline: str) -> tuple[int, int]:
    """Return the parameters of `HOLDERS` for the lock of a pipeline."""
    return _halves(key(schema, table, pipeline))


def wait_for_lock(cursor: Cursor, schema: str, table: str, pipeline: str) -> None:
    """Take the lock of a pipeline for the rest of the caller's transaction, at most `LOCK_TIMEOUT` from now."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (key(schema, table, pipeline),))


def holder(cursor: Cursor, schema: str, table: str, pipeline: str) -> Holder | None:
    """Return who holds the lock of a pipeline; None when it is free."""
    cursor.execute(
        sql.SQL(
            "SELECT h.pid, a.application_name, a.backend_start"
            " FROM ({}) h LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)"
        ).format(sql.SQL(HOLDERS)),
        _halves(key(schema, table, pipeline)),
    )
    session = cursor.fetchone()
    if session is None:
        return None
    backend_pid, application, backend_start = session
    run = last_run(cursor, schema, table, pipeline)
    if run is not None and run.backend_pid == backend_pid:
        return Holder(
            pid=run.pid,
            host=run.host,
            since=time_of(run.started_at) if run.started_at else None,
            run_id=run.run_id,
            session=backend_pid,
        )
    since = time_of(backend_start) if backend_start else None
    return Holder(session=backend_pid, application=application or None, since=since)
