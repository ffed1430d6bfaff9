"""The state in a row of a database, as `singerkit-state` changes it: in one transaction, without the run's lock.

A change begins a new epoch, so a run that is at work finds its next commit fenced; it never has to be waited for
longer than its COMMIT takes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.signals import stop_flag
from singerkit_state.history import Entry, by_hand, kept_now
from singerkit_state.postgres import history
from singerkit_state.postgres.errors import translated
from singerkit_state.postgres.lock import HOLDERS, holder, lock_halves, wait_for_lock
from singerkit_state.postgres.row import (
    StateRow,
    lock_row,
    note,
    pipelines,
    read,
    row_of,
    rows,
    with_notes,
)
from singerkit_state.postgres.session import identifier, transaction
from singerkit_state.postgres.table import creation_lock, ensure_table, table_exists
from singerkit_state.postgres.url import StateUrl, connect, parse_state_url, without_password
from singerkit_state.statefile import state_object
from singerkit_state.store import Change, Edit, Holder, Snapshot
from singerkit_state.value import after

__all__ = ["RowStore", "RowsOfTable", "change_row", "snapshots", "store_of", "table_of"]

logger = logging.getLogger(__name__)


def store_of(location: str) -> RowStore:
    """Return the row that a state URL names; ConfigurationError where the URL is wrong."""
    return RowStore(parse_state_url(location), without_password(location))


def table_of(location: str) -> RowsOfTable | None:
    """Return the state table that a URL names without a pipeline; None where it names one."""
    url = parse_state_url(location, of_any_pipeline=True)
    return None if url.pipeline else RowsOfTable(url)


class RowsOfTable:
    """The rows of all pipelines."""

    def __init__(self, url: StateUrl) -> None:
        self._url = url

    @property
    def where(self) -> str:
        return f"{self._url.server}, table {self._url.schema}.{self._url.table}"

    def snapshots(self) -> list[Snapshot]:
        return snapshots(self._url)


class RowStore:
    """The row of one pipeline."""

    is_file = False

    def __init__(self, url: StateUrl, location: str = "") -> None:
        self._url = url
        self._location = location

    @property
    def pipeline(self) -> str:
        return self._url.pipeline

    @property
    def location(self) -> str:
        return self._location

    def read(self, pipeline: str | None = None) -> dict[str, Any] | None:
        """Return the committed STATE value; None where there is no table, no row or no commit yet.

        Raises:
            ConfigurationError: the row is another pipeline's, or holds no state.
            NotAuthorisedError, RetryableError: the database refuses, or is away.
        """
        url = self._url
        if pipeline and pipeline != url.pipeline:
            raise ConfigurationError(
                f"The state URL names the pipeline `{url.pipeline}`, this run is of the pipeline `{pipeline}`; "
                "name the same pipeline in both."
            )
        # libpq waits in C, where no signal is heard.
        row = stop_flag.waiting_for(lambda: _read_row(url), "the state was being read, nothing was read yet.")
        if row is None or row.state_text is None:
            logger.info(
                "No state of the pipeline `%s` yet in %s, table %s.%s%s: this is a first run.",
                url.pipeline,
                url.server,
                url.schema,
                url.table,
                "" if url.names_schema else " (the URL names no schema, `&schema=`)",
            )
            return None
        where = f"state of the pipeline `{url.pipeline}` in {url.schema}.{url.table}"
        way_out = "restore the row from a copy, or delete it to start over from the beginning"
        return state_object(row.state_text, where, pipeline, way_out)

    def snapshot(self) -> Snapshot:
        url = self._url
        with _transaction(url, f"read the state of the pipeline `{url.pipeline}`") as cursor:
            if not table_exists(cursor, url.schema, url.table):
                return _snapshot(url, url.pipeline, None, None)
            row = row_of(cursor, url.schema, url.table, url.pipeline)
            who = holder(cursor, url.schema, url.table, url.pipeline)
            found = _snapshot(url, url.pipeline, row, who)
            if row is not None:
                return found
            return replace(found, others=tuple(pipelines(cursor, url.schema, url.table)))

    def change(self, edit: Edit, why: str) -> Change:
        """Keep the former value, begin an epoch and set the new value, all in one transaction."""
        url = self._url
        with _connection(url) as connection:
            ensure_table(connection, url.schema, url.table)
            with (
                translated(f"{why} the state of the pipeline `{url.pipeline}`"),
                transaction(connection) as cursor,
            ):
                return change_row(cursor, url, edit, why)

    def entries(self) -> list[Entry]:
        url = self._url
        with _transaction(url, f"read the history of the pipeline `{url.pipeline}`") as cursor:
            return history.read(cursor, url.schema, url.table, url.pipeline)

    def unlock(self, confirm: Callable[[Holder], bool]) -> Holder | None:
        """End the session that holds the lock and fence its run; None when nobody holds it, or ``confirm`` says no."""
        found = self.snapshot()
        if found.holder is None or not confirm(found.holder):
            return None
        url = self._url
        with _connection(url) as connection, translated(f"unlock the pipeline `{url.pipeline}`"):
            ensure_table(connection, url.schema, url.table)
            with transaction(connection) as cursor:
                cursor.execute(
                    sql.SQL(
                        "SELECT pg_catalog.pg_terminate_backend(h.pid) FROM ({}) h WHERE h.pid = %s"
                    ).format(sql.SQL(HOLDERS)),
                    (*lock_halves(url.schema, url.table, url.pipeline), found.holder.session),
                )
            with transaction(connection) as cursor:
                # Waits until the session is gone; a run that takes the lock before us began after it.
                wait_for_lock(cursor, url.schema, url.table, url.pipeline)
                former = lock_row(cursor, url.schema, url.table, url.pipeline)
                if former.epoch == found.epoch:
                    change_row(cursor, url, lambda text: text, "unlock")
        return found.holder


def _read_row(url: StateUrl) -> StateRow | None:
    with contextlib.closing(connect(url)) as connection:
        return read(connection, url.schema, url.table, url.pipeline)


def change_row(cursor: Cursor, url: StateUrl, edit: Edit, why: str, *, as_it_is: bool = False) -> Change:
    """Change the row of a pipeline inside the caller's transaction; ``as_it_is`` forgets which tables held rows."""
    former = lock_row(cursor, url.schema, url.table, url.pipeline)
    who = holder(cursor, url.schema, url.table, url.pipeline)
    text = edit(former.state_text)
    entry = kept_now(former.state_text, why, former.run_id, former.epoch, former.sequence)
    lock_creation = creation_lock(cursor, url.schema, url.table)
    number = history.keep(cursor, url.schema, url.table, url.pipeline, entry, lock_creation)
    former = with_notes(cursor, former)
    changed = _replace(cursor, url, text, by_hand(why))
    row = replace(changed, here=former.here, tables=former.tables)
    kept = former.former if text == former.state_text else after(former.former, former.state_text)
    note(cursor, row, former=kept, loaded=frozenset() if as_it_is else former.loaded)
    return Change(_snapshot(url, url.pipeline, former, who), _snapshot(url, url.pipeline, row, None), number)


def snapshots(url: StateUrl) -> list[Snapshot]:
    """Return what every row of a state table says, by the names of the pipelines."""
    with _transaction(url, f"read the states in {url.schema}.{url.table}") as cursor:
        if not table_exists(cursor, url.schema, url.table):
            return []
        return [
            _snapshot(url, row.pipeline, row, holder(cursor, url.schema, url.table, row.pipeline))
            for row in rows(cursor, url.schema, url.table)
        ]


def _snapshot(url: StateUrl, pipeline: str, row: StateRow | None, holder: Holder | None) -> Snapshot:
    where = f"{url.server}, table {url.schema}.{url.table}"
    if row is None:
        return Snapshot(where=where, kind="database", text=None, pipeline=pipeline, holder=holder)
    return Snapshot(
        where=where,
        kind="database",
        text=row.state_text,
        pipeline=pipeline,
        epoch=row.epoch,
        sequence=row.sequence,
        run_id=row.run_id,
        committed_at=row.committed_at,
        holder=holder,
    )


def _replace(cursor: Cursor, url: StateUrl, text: str | None, run_id: str) -> StateRow:
    cursor.execute(
        sql.SQL(
            "UPDATE {} SET epoch = epoch + 1, sequence = sequence + 1, state = %s::json, run_id = %s, host = %s,"
            " pid = %s, backend_pid = NULL, started_at = clock_timestamp(), committed_at = clock_timestamp()"
            " WHERE pipeline = %s"
        ).format(identifier(url.schema, url.table)),
        (text, run_id, platform.node(), os.getpid(), url.pipeline),
    )
    return lock_row(cursor, url.schema, url.table, url.pipeline)


@contextlib.contextmanager
def _transaction(url: StateUrl, doing: str) -> Iterator[Cursor]:
    with (
        _connection(url) as connection,
        translated(doing),
        transaction(connection) as cursor,
    ):
        yield cursor


@contextlib.contextmanager
def _connection(url: StateUrl) -> Iterator[Connection]:
    with contextlib.closing(connect(url, fallback_application_name="singerkit-state")) as connection:
        connection.set_session(isolation_level="READ COMMITTED")  # whatever server and role prefer
        yield connection
