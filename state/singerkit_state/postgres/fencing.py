"""The life of a run in the row of its pipeline: a new epoch, a sequence number for each commit (DESIGN 5).

A run takes the row with `acquire`: an advisory lock keeps the next run out (FAULTS P9), a new epoch fences
every run before it (P8). Each unit of commit moves the row on with `advance`, inside its own transaction;
after a COMMIT whose answer got lost, `was_committed` finds out on a new connection (D2).

The functions take an open psycopg2 connection with no transaction in progress, autocommit or not, and leave
it so; `advance` alone works inside the caller's transaction. Errors of the server come out as errors of
`singerkit_shell.errors`, except those of `advance`: its transaction is the caller's, and so is the decision
whether to repeat it (D1, D4).
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import replace

import psycopg2
from psycopg2 import errors as pg_errors
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from singerkit_postgres.errors import first_line, kind_of
from singerkit_postgres.pooling import is_pooled
from singerkit_shell.errors import BadDataError, FencedError
from singerkit_state.history import BY_HAND, kept_now
from singerkit_state.postgres import history
from singerkit_state.postgres.errors import translated
from singerkit_state.postgres.lock import HOLDERS, lock_halves, take_lock, unlock
from singerkit_state.postgres.row import StateRow, last_run, row_from, setting_tables, time_of, with_notes
from singerkit_state.postgres.session import identifier, key, one, transaction
from singerkit_state.postgres.table import creation_lock
from singerkit_state.value import after, encode

__all__ = ["acquire", "advance", "end_lost", "reclaim", "was_committed"]

logger = logging.getLogger(__name__)


def acquire(connection: Connection, schema: str, table: str, pipeline: str, run_id: str) -> StateRow:
    """Take the row of ``pipeline`` for the run ``run_id``, making it on first use, and begin a new epoch.

    The lock belongs to the session: it goes with `release` or with the connection.

    Raises:
        LockHeldError: another run holds it; says which, where and since when.
        NotAuthorisedError, CannotWriteError, RetryableError: as `ensure_table`.
    """
    with translated(f"begin a run of the pipeline `{pipeline}`"):
        with transaction(connection) as cursor:
            pooled = is_pooled(connection, cursor)
        if pooled:
            logger.warning(
                "A connection pooler stands before the database, so no lock keeps a second run of the "
                "pipeline `%s` out at once; the epoch still keeps it from committing.",
                pipeline,
            )
        else:
            take_lock(connection, schema, table, pipeline)
        try:
            with transaction(connection) as cursor:
                row = with_notes(cursor, _begin_epoch(cursor, schema, table, pipeline, run_id))
                if row.state_text is not None:
                    started = kept_now(row.state_text, "run", run_id, row.epoch - 1, row.sequence)
                    history.keep_start_of_run(
                        cursor, schema, table, pipeline, started, creation_lock(cursor, schema, table)
                    )
                return row
        except BaseException:
            unlock(connection, schema, table, pipeline)
            raise


def _begin_epoch(cursor: Cursor, schema: str, table: str, pipeline: str, run_id: str) -> StateRow:
    cursor.execute(
        sql.SQL(
            "INSERT INTO {} AS t (pipeline, epoch, sequence, run_id, host, pid, backend_pid, started_at)"
            " VALUES (%s, 1, 0, %s, %s, %s, pg_backend_pid(), clock_timestamp())"
            " ON CONFLICT (pipeline) DO UPDATE SET epoch = t.epoch + 1, run_id = excluded.run_id,"
            " host = excluded.host, pid = excluded.pid, backend_pid = excluded.backend_pid,"
            " started_at = excluded.started_at"
            " RETURNING pipeline, epoch, sequence, state::text, run_id, committed_at"
        ).format(identifier(schema, table)),
        (pipeline, run_id, platform.node(), os.getpid()),
    )
    return row_from(one(cursor), schema, table)


def advance(
    cursor: Cursor,
    row: StateRow,
    state_text: str | None,
    loaded: frozenset[str] | None = None,
    tables: Mapping[str, int] | None = None,
) -> StateRow:
    """Move the row on by one commit, inside the caller's transaction; return it as COMMIT will leave it.

    ``state_text`` is stored exactly; None keeps the stored one.
    ``loaded`` names the streams whose tables hold rows now; None keeps what is noted. ``tables`` are the OIDs of tables
    that this run has seen.

    Raises:
        FencedError: the row is not as this run left it: a newer run has taken over (FAULTS P8).
        BadDataError: the table is gone or altered (FAULTS D8).
        psycopg2.Error: any other failure, for the caller to judge.
    """
    former = row.former if state_text is None else after(row.former, row.state_text)
    loaded = row.loaded if loaded is None else loaded
    seen = {**row.tables, **(tables or {})}
    noted = replace(row, tables={stream: oid for stream, oid in seen.items() if stream in (loaded or ())})
    try:
        cursor.execute(
            sql.SQL(
                "UPDATE {} SET sequence = sequence + 1, state = coalesce(%s::json, state), run_id = %s,"
                " former = %s::json, loaded = %s::json{}, committed_at = clock_timestamp()"
                " WHERE pipeline = %s AND epoch = %s AND sequence = %s"
                " RETURNING sequence, committed_at"
            ).format(identifier(row.schema, row.table), setting_tables(noted, row.sequence + 1)),
            (
                state_text,
                row.run_id,
                json.dumps(former),
                None if loaded is None else encode(sorted(loaded)),
                row.pipeline,
                row.epoch,
                row.sequence,
            ),
        )
    except psycopg2.ProgrammingError as error:
        if kind_of(error) is not BadDataError:
            raise
        raise BadDataError(
            f"The state table {row.where} was dropped or altered during the run ({first_line(error)}); "
            f"nothing was committed after sequence {row.sequence}, restore the table and run again."
        ) from None
    found = cursor.fetchone()
    if found is None:
        raise _fenced(cursor, row)
    sequence, committed_at = found
    text = row.state_text if state_text is None else state_text
    return replace(
        noted, sequence=sequence, committed_at=committed_at, state_text=text, former=former, loaded=loaded
    )


def was_committed(connection: Connection, row_after: StateRow) -> bool:
    """Tell whether the transaction that returned ``row_after`` was committed, when COMMIT got no answer (D2).

    ``connection`` is a new one; it holds the run's lock afterwards (as after `reclaim`), so that the run can
    go on: from ``row_after`` when True, with the same unit again when False.

    Raises:
        FencedError: the row is neither as before nor as after that transaction.
        NotAuthorisedError, CannotWriteError, RetryableError: as `ensure_table`.
    """
    found = _reclaim(connection, row_after)
    if found.sequence == row_after.sequence:
        return True
    if found.sequence == row_after.sequence - 1:
        return False
    raise _fenced_by(row_after, f"its sequence is {found.sequence}, expected was {row_after.sequence}")


def reclaim(connection: Connection, row: StateRow) -> StateRow:
    """Take this run's lock on a new connection after the old one was lost; return the row as it stands (D1).

    Ends what is left of the old session, so that nothing of it can be committed any more.

    Raises:
        FencedError: a newer run has taken over, or the row is not as this run left it.
        NotAuthorisedError, CannotWriteError, RetryableError: as `ensure_table`.
    """
    found = _reclaim(connection, row)
    if found.sequence != row.sequence:
        raise _fenced_by(row, f"its sequence is {found.sequence}, expected was {row.sequence}")
    return found


def end_lost(connection: Connection, schema: str, table: str, pipeline: str, backend_pid: int) -> None:
    """End what is left of a session of ours, whose connection was lost before it was known to have begun a run, so that its lock is free."""
    with translated(f"begin a run of the pipeline `{pipeline}`"), transaction(connection) as cursor:
        cursor.execute(
            sql.SQL("SELECT pg_terminate_backend(h.pid) FROM ({}) h WHERE h.pid = %s").format(
                sql.SQL(HOLDERS)
            ),
            (*lock_halves(schema, table, pipeline), backend_pid),
        )


def _reclaim(connection: Connection, row: StateRow) -> StateRow:
    with translated(f"take the lock of the pipeline `{row.pipeline}` again"):
        with transaction(connection) as cursor:
            pooled = is_pooled(connection, cursor)
            _check_epoch(cursor, row)
            _end_old_session(cursor, row)
        try:
            with transaction(connection) as cursor:
                if not pooled:
                    # Waits, at most LOCK_TIMEOUT, until the old session has rolled back or finished its COMMIT.
                    cursor.execute("SELECT pg_advisory_lock(%s)", (key(row.schema, row.table, row.pipeline),))
                return _sign(cursor, row)
        except BaseException as error:
            unlock(connection, row.schema, row.table, row.pipeline)
            if isinstance(error, pg_errors.LockNotAvailable):
                with transaction(connection) as cursor:
                    _check_epoch(cursor, row)
            raise


def _check_epoch(cursor: Cursor, row: StateRow) -> None:
    run = last_run(cursor, row.schema, row.table, row.pipeline)
    if run is None or run.epoch != row.epoch:
        raise _fenced(cursor, row)


def _end_old_session(cursor: Cursor, row: StateRow) -> None:
    """End the session that signed the row and still holds the lock: its connection is the one we have lost."""
    cursor.execute(
        sql.SQL(
            "SELECT pg_terminate_backend(h.pid) FROM ({}) h JOIN {} t ON t.backend_pid = h.pid"
            " WHERE t.pipeline = %s AND t.epoch = %s AND h.pid <> pg_backend_pid()"
        ).format(sql.SQL(HOLDERS), identifier(row.schema, row.table)),
        (*lock_halves(row.schema, row.table, row.pipeline), row.pipeline, row.epoch),
    )


def _sign(cursor: Cursor, row: StateRow) -> StateRow:
    """Note our new session in the row, which also waits for any transaction that still holds the row."""
    cursor.execute(
        sql.SQL(
            "UPDATE {} SET backend_pid = pg_backend_pid() WHERE pipeline = %s AND epoch = %s"
            " RETURNING pipeline, epoch, sequence, state::text, run_id, committed_at"
        ).format(identifier(row.schema, row.table)),
        (row.pipeline, row.epoch),
    )
    found = cursor.fetchone()
    if found is None:
        raise _fenced(cursor, row)
    return row_from(found, row.schema, row.table)


def _fenced(cursor: Cursor, row: StateRow) -> FencedError:
    run = last_run(cursor, row.schema, row.table, row.pipeline)
    if run is None:
        return _fenced_by(row, f"its row in {row.where} is gone")
    if run.epoch == row.epoch:
        return _fenced_by(row, f"its row in {row.where} was changed by somebody else")
    if run.run_id is not None and run.run_id.startswith(BY_HAND):
        at = f" at {time_of(run.started_at)}" if run.started_at else ""
        return _fenced_by(
            row, f"by `{run.run_id}`{at}", "run again to go on from the state that stands there now"
        )
    return _fenced_by(row, f"{run} has taken over")


def _fenced_by(
    row: StateRow, reason: str, advice: str = "let the other run finish and then run again"
) -> FencedError:
    return FencedError(
        f"This run of the pipeline `{row.pipeline}` is fenced, {reason}; what it committed before is safe, the "
        f"rest was rolled back, {advice}."
    )
