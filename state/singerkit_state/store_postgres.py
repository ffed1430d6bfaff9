"""The state in a row of a database, as `singerkit-state` changes it: in one transaction, without the run's lock.

A change begins a new epoch, so a run that is at work finds its next commit fenced; it never has to be waited for
longer than its COMMIT takes.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import replace

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from singerkit_state import history_table, postgres
from singerkit_state.history import Entry, by_hand, kept_now
from singerkit_state.location import StateUrl, connect
from singerkit_state.postgres import StateRow
from singerkit_state.store import Change, Edit, Holder, Snapshot
from singerkit_state.value import after

__all__ = ["RowStore", "change_row", "snapshots"]


class RowStore:
    """The row of one pipeline."""

    def __init__(self, url: StateUrl) -> None:
        self._url = url

    @property
    def pipeline(self) -> str:
        return self._url.pipeline

    def snapshot(self) -> Snapshot:
        url = self._url
        with _transaction(url, f"read the state of the pipeline `{url.pipeline}`") as cursor:
            if not postgres.table_exists(cursor, url.schema, url.table):
                return _snapshot(url, url.pipeline, None, None)
            row = postgres.row_of(cursor, url.schema, url.table, url.pipeline)
            holder = postgres.holder(cursor, url.schema, url.table, url.pipeline)
            found = _snapshot(url, url.pipeline, row, holder)
            if row is not None:
                return found
            return replace(found, others=tuple(postgres.pipelines(cursor, url.schema, url.table)))

    def change(self, edit: Edit, why: str) -> Change:
        """Keep the former value, begin an epoch and set the new value, all in one transaction."""
        url = self._url
        with _connection(url) as connection:
            postgres.ensure_table(connection, url.schema, url.table)
            with (
                postgres.translated(f"{why} the state of the pipeline `{url.pipeline}`"),
                postgres.transaction(connection) as cursor,
            ):
                return change_row(cursor, url, edit, why)

    def entries(self) -> list[Entry]:
        url = self._url
        with _transaction(url, f"read the history of the pipeline `{url.pipeline}`") as cursor:
            return history_table.read(cursor, url.schema, url.table, url.pipeline)

    def unlock(self, confirm: Callable[[Holder], bool]) -> Holder | None:
        """End the session that holds the lock and fence its run; None when nobody holds it, or ``confirm`` says no."""
        found = self.snapshot()
        if found.holder is None or not confirm(found.holder):
            return None
        url = self._url
        with _connection(url) as connection, postgres.translated(f"unlock the pipeline `{url.pipeline}`"):
            postgres.ensure_table(connection, url.schema, url.table)
            with postgres.transaction(connection) as cursor:
                cursor.execute(
                    sql.SQL(
                        "SELECT pg_catalog.pg_terminate_backend(h.pid) FROM ({}) h WHERE h.pid = %s"
                    ).format(sql.SQL(postgres.HOLDERS)),
                    (*postgres.lock_halves(url.schema, url.table, url.pipeline), found.holder.session),
                )
            with postgres.transaction(connection) as cursor:
                # Waits until the session is gone; a run that takes the lock before us began after it.
                postgres.wait_for_lock(cursor, url.schema, url.table, url.pipeline)
                former = postgres.lock_row(cursor, url.schema, url.table, url.pipeline)
                if former.epoch == found.epoch:
                    change_row(cursor, url, lambda text: text, "unlock")
        return found.holder


def change_row(cursor: Cursor, url: StateUrl, edit: Edit, why: str, *, as_it_is: bool = False) -> Change:
    """Change the row of a pipeline inside the caller's transaction; ``as_it_is`` forgets which tables held rows."""
    former = postgres.lock_row(cursor, url.schema, url.table, url.pipeline)
    holder = postgres.holder(cursor, url.schema, url.table, url.pipeline)
    text = edit(former.state_text)
    entry = kept_now(former.state_text, why, former.run_id, former.epoch, former.sequence)
    turns = postgres.turns(cursor, url.schema, url.table)
    number = history_table.keep(cursor, url.schema, url.table, url.pipeline, entry, turns)
    former = postgres.with_notes(cursor, former)
    changed = _replace(cursor, url, text, by_hand(why))
    row = replace(changed, here=former.here, tables=former.tables)
    kept = former.former if text == former.state_text else after(former.former, former.state_text)
    postgres.note(cursor, row, former=kept, loaded=frozenset() if as_it_is else former.loaded)
    return Change(
        _snapshot(url, url.pipeline, former, holder), _snapshot(url, url.pipeline, row, None), number
    )


def snapshots(url: StateUrl) -> list[Snapshot]:
    """Return what every row of a state table says, by the names of the pipelines."""
    with _transaction(url, f"read the states in {url.schema}.{url.table}") as cursor:
        if not postgres.table_exists(cursor, url.schema, url.table):
            return []
        return [
            _snapshot(url, row.pipeline, row, postgres.holder(cursor, url.schema, url.table, row.pipeline))
            for row in postgres.rows(cursor, url.schema, url.table)
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
        ).format(postgres.identifier(url.schema, url.table)),
        (text, run_id, platform.node(), os.getpid(), url.pipeline),
    )
    return postgres.lock_row(cursor, url.schema, url.table, url.pipeline)


@contextlib.contextmanager
def _transaction(url: StateUrl, doing: str) -> Iterator[Cursor]:
    with (
        _connection(url) as connection,
        postgres.translated(doing),
        postgres.transaction(connection) as cursor,
    ):
        yield cursor


@contextlib.contextmanager
def _connection(url: StateUrl) -> Iterator[Connection]:
    with contextlib.closing(connect(url, fallback_application_name="singerkit-state")) as connection:
        connection.set_session(isolation_level="READ COMMITTED")  # whatever server and role prefer
        yield connection
