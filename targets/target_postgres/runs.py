"""The history of runs in PostgreSQL: one message to the server when a run begins, and one at its end."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import psycopg2
from psycopg2 import errors as pg_errors
from psycopg2.extensions import cursor as Cursor

from singerkit_postgres.connect import Connection
from singerkit_sql_target.runtable import RunTable, runs_in
from singerkit_state.runs import Run, with_killed
from singerkit_target.pastruns import AskedRuns
from target_postgres.faults import fault

__all__ = ["note", "read"]

_WAIT = "SET LOCAL lock_timeout = '3s'"
"""Whoever holds the table for longer is not worth waiting for."""

_AT_WORK = """
    SELECT t.run_id FROM {} t WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_stat_activity a WHERE a.pid = t.backend_pid)
"""
"""Behind a pooler a session goes on without its run, and that is taken for one that is at work."""


def note(connection: Connection, table: RunTable, statements: Sequence[str]) -> psycopg2.Error | None:
    """Run statements, all or none of them, outside any transaction; return what PostgreSQL says against them.

    The table is made on first need. Several statements in one message are one transaction.
    """
    together = "; ".join([_WAIT, *statements])
    before = connection.autocommit
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            try:
                cursor.execute(together)
            except pg_errors.UndefinedTable:
                _make(cursor, table)
                cursor.execute(together)
    except psycopg2.Error as error:
        return error
    finally:
        if not connection.closed:
            connection.autocommit = before
    return None


def _make(cursor: Cursor, table: RunTable) -> None:
    made_by_another = (pg_errors.UniqueViolation, pg_errors.DuplicateTable)
    with contextlib.suppress(*made_by_another):  # just now
        cursor.execute(table.making("PRIMARY KEY (pipeline, run_id)"))


def read(connection: Connection, table: RunTable, asked: AskedRuns, state_table: str) -> list[Run]:
    """Return the runs that are meant; none where there is no table. ``state_table``, quoted, tells in which sessions runs are at work."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(table.reading(asked))
            runs = runs_in(cursor.fetchall())
            if all(run.result != "running" for run in runs):
                return runs
            cursor.execute(_AT_WORK.format(state_table))
            at_work = {run_id for (run_id,) in cursor.fetchall()}
            return with_killed(runs, lambda run: run.id in at_work)
    except pg_errors.UndefinedTable:
        return []
    except psycopg2.Error as error:
        raise fault(error, "reading the history of runs") from None
