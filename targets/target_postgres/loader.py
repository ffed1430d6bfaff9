"""Units of commit in PostgreSQL: rows, dead letters and the state row in one transaction (DESIGN 5)."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import Identifier

from singerkit_shell.errors import FencedError, RetryableError, SingerkitError
from singerkit_shell.signals import StopFlag, stop_flag
from singerkit_state import history_table
from singerkit_state import postgres as state_rows
from singerkit_state.value import decode
from singerkit_target.contract import Batch, Reject, SafePoint, Stream, UnitLost
from singerkit_target.metadata import MetadataColumns
from singerkit_target.replay import waits
from target_postgres import merge, rejects
from target_postgres.connect import Connection, connect
from target_postgres.copy import copy_rows
from target_postgres.faults import ConnectionLost, during
from target_postgres.rows import as_csv, with_hex, with_utc
from target_postgres.session import Session
from target_postgres.tables import Table, Wishes, check_stream_name, fit_table
from target_postgres.versions import remove_other_versions

__all__ = ["PostgresLoader"]

_T = TypeVar("_T")

_COPY_BYTES = 2 << 20
"""A COPY of at least this size, unless something else has to happen first."""


@dataclass
class _Waiting:
    """Encoded blocks of one table and one set of columns."""

    table: Table
    columns: tuple[str, ...]
    blocks: list[bytes] = field(default_factory=list)
    size: int = 0
    lines: tuple[int, int] | None = None


@dataclass
class _Safe:
    """The last safe point that was reached, and the stages with rows in them there."""

    point: SafePoint
    staged: dict[str, tuple[str, ...] | None]


class PostgresLoader:
    """The `Loader` of target-postgres. Its jobs run in order on the session's thread."""

    is_log = False

    def __init__(
        self,
        dsn: Callable[[], str],
        wishes: Wishes,
        log: logging.Logger,
        *,
        lock_timeout_seconds: float = 60.0,
        reconnect_seconds: float = 60.0,
        answer_seconds: float = 3600.0,
        hard_delete: bool = True,
        state_table: str = state_rows.DEFAULT_TABLE,
        close_server: Callable[[], None] = lambda: None,
        stop: StopFlag = stop_flag,
    ) -> None:
        self.appends = wishes.append_only
        self._adds_metadata = wishes.with_metadata
        self._dsn_of = dsn
        self._wishes = wishes
        self._log = log
        self._lock_timeout = lock_timeout_seconds
        self._reconnect_seconds = reconnect_seconds
        self._answer_seconds = answer_seconds
        self._stop = stop
        self._hard_delete = hard_delete
        self._state_table = state_table
        self._close_server = close_server
        self._run_id = uuid.uuid4().hex
        self._metadata = MetadataColumns()
        self._tables: dict[str, Table] = {}
        self._made = 0
        self._session: Session | None = None
        self._row: state_rows.StateRow | None = None
        self._safe: _Safe | None = None
        self._waiting: dict[str, _Waiting] = {}
        self._has_rejects = False
        self._loaded_before: frozenset[str] = frozenset()

    # --- the run -------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Connect and see that everything this role needs is allowed (FAULTS D9)."""
        self._start_session(self._connect())
        self._call(lambda c: state_rows.ensure_table(c, self._wishes.schema, self._state_table), "preparing")

    def _connect(self) -> Connection:
        return connect(self._dsn_of(), lock_timeout_seconds=self._lock_timeout)

    def begin(self, pipeline: str) -> str | None:
        """Take the pipeline's lock and begin a new epoch; return the state it has committed."""

        def acquire(connection: Connection) -> state_rows.StateRow:
            return state_rows.acquire(
                connection, self._wishes.schema, self._state_table, pipeline, self._run_id
            )

        row: state_rows.StateRow = self._call(acquire, "taking the lock")
        self._row = row
        self._loaded_before = _streams_in(row.state_text)
        return row.state_text

    def close(self) -> None:
        """Leave the lock and the connection; an open transaction rolls back."""
        if self._session is not None:
            self._session.close()
            self._session = None
        self._close_server()

    # --- writing -------------------------------------------------------------------------------------------

    def declare(self, stream: Stream) -> None:
        """Fit the table to the stream; rows that wait under its old shape go in first."""
        former = self._tables.get(stream.name)
        ours = (self._state_table, history_table.name_of(self._state_table), rejects.TABLE)
        check_stream_name(stream.name, self._tables.values(), ours)
        self._made += 1
        number = self._made

        def fit(connection: Connection) -> Table:
            with connection.cursor() as cursor:
                if former is not None:
                    self._merge(cursor, former)
                must_exist = former is not None or stream.name in self._loaded_before
                return fit_table(cursor, stream, self._wishes, number, self._log, must_exist=must_exist)

        table = self._call(fit, f"preparing the table of stream `{stream.name}`")
        if former is not None:
            table.takes_copies = former.takes_copies and table.keys == former.keys
            table.has_repeats = former.has_repeats
        self._tables[stream.name] = table

    def write(self, stream: Stream, batch: Batch) -> None:
        """Encode a batch here and queue its COPY."""
        table = self._tables[stream.name]
        names, rows = self._metadata.added_to(batch) if self._adds_metadata else (batch.columns, batch.rows)
        binary_at = [index for index, name in enumerate(names) if name in table.binary]
        local_at = [index for index, name in enumerate(names) if name in table.local]
        if binary_at:
            rows = with_hex(rows, binary_at)
        if local_at:
            rows = with_utc(rows, local_at, stream.name)
        csv = as_csv(rows)
        self._gather(table, tuple(table.columns[name] for name in names), csv, batch.lines)

    def _gather(self, table: Table, columns: tuple[str, ...], csv: bytes, lines: tuple[int, int]) -> None:
        """Let blocks wait for a COPY that is worth its round trips."""
        waiting = self._waiting.get(table.stream)
        if waiting is not None and waiting.columns != columns:
            self._send(table.stream)
            waiting = None
        if waiting is None:
            waiting = self._waiting[table.stream] = _Waiting(table, columns)
        waiting.blocks.append(csv)
        waiting.size += len(csv)
        waiting.lines = _span(waiting.lines, lines)
        if waiting.size >= _COPY_BYTES:
            self._send(table.stream)
        elif len(self._waiting) > 1 and sum(other.size for other in self._waiting.values()) > 2 * _COPY_BYTES:
            self._send_all()

    def _send(self, stream: str) -> None:
        waiting = self._waiting.pop(stream)
        csv = waiting.blocks[0] if len(waiting.blocks) == 1 else b"".join(waiting.blocks)
        self._open_session.submit(
            lambda c: self._load(c, waiting, csv), f"loading stream `{stream}`{_said(waiting.lines)}"
        )

    def _send_all(self) -> None:
        for stream in list(self._waiting):
            self._send(stream)

    def _load(self, connection: Connection, waiting: _Waiting, csv: bytes) -> None:
        table, columns = waiting.table, waiting.columns
        with connection.cursor() as cursor:
            if not table.keys:
                copy_rows(cursor, table.identifier, columns, csv)
            elif not (table.takes_copies and self._copy_straight(cursor, table, columns, csv)):
                self._stage(cursor, table, columns, csv)
                table.staged_lines = _span(table.staged_lines, waiting.lines)

    def _copy_straight(self, cursor: Cursor, table: Table, columns: tuple[str, ...], csv: bytes) -> bool:
        """COPY into a table that held nothing; False when a key was there already, and for good."""
        cursor.execute("SAVEPOINT singerkit_copy")
        try:
            copy_rows(cursor, table.identifier, columns, csv)
        except psycopg2.Error as error:
            if error.pgcode != errorcodes.UNIQUE_VIOLATION:
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT singerkit_copy")
            table.takes_copies = False
            return False
        finally:
            if not connection_failed(cursor):
                cursor.execute("RELEASE SAVEPOINT singerkit_copy")
        return True

    def _stage(self, cursor: Cursor, table: Table, columns: tuple[str, ...], csv: bytes) -> None:
        if table.staged is not None and table.staged != columns:
            self._merge(cursor, table)
        if not table.has_stage:
            merge.create_stage(cursor, table.stage, table.identifier)
            table.has_stage = True
        copy_rows(cursor, Identifier("pg_temp", table.stage), columns, csv)
        table.staged = columns

    def _merge(self, cursor: Cursor, table: Table) -> None:
        if table.staged is None:
            return
        with during(f"loading stream `{table.stream}`{_said(table.staged_lines)}"):
            table.has_repeats = merge.merge(
                cursor,
                table.stage,
                table.identifier,
                table.staged,
                table.keys,
                [column for column in table.staged if column in table.compared],
                has_repeats=table.has_repeats,
            )
        table.staged = table.staged_lines = None

    def reject(self, letters: Sequence[Reject]) -> None:
        """Put refused records into the dead-letter table, in the same transaction."""
        assert self._row is not None  # noqa: S101  begin() comes first
        pipeline = self._row.pipeline

        def write(connection: Connection) -> None:
            with connection.cursor() as cursor:
                if not self._has_rejects:
                    rejects.ensure_table(cursor, self._wishes.schema)
                    self._has_rejects = True
                rejects.insert(cursor, self._wishes.schema, pipeline, self._run_id, letters)

        self._submit(write, "writing dead letters")

    def activate_version(self, stream: Stream, version: int) -> None:
        """Remove the rows of other versions, or mark them deleted."""
        if not self._adds_metadata:
            self._log.warning(
                "ACTIVATE_VERSION of stream `%s` is ignored: rows carry no version without `add_record_metadata`.",
                stream.name,
            )
            return
        table = self._tables[stream.name]

        def remove(connection: Connection) -> None:
            with connection.cursor() as cursor:
                self._merge(cursor, table)
                remove_other_versions(cursor, table.identifier, version, hard=self._hard_delete)

        self._submit(remove, f"activating version {version} of stream `{stream.name}`")

    # --- units of commit -----------------------------------------------------------------------------------

    def mark_safe(self, point: SafePoint) -> None:
        """Queue a savepoint behind the rows: ``point`` is reached once they are in, and never when one is refused."""

        def mark(connection: Connection) -> None:
            with connection.cursor() as cursor:
                if self._safe is not None:
                    cursor.execute("RELEASE SAVEPOINT singerkit_safe")
                cursor.execute("SAVEPOINT singerkit_safe")
            self._safe = _Safe(point, {name: table.staged for name, table in self._tables.items()})

        self._submit(mark, "marking a safe point")

    def back_to_safe(self) -> SafePoint | None:
        """Give up what came after the last safe point and return it; None when there is none in this transaction.

        Raises:
            UnitLost: the transaction is gone.
        """
        self._waiting.clear()
        session = self._open_session
        failure = session.reset()
        if isinstance(failure, UnitLost):
            raise failure
        if not session.is_alive:
            raise ConnectionLost(
                "The connection to PostgreSQL was lost; what was committed is safe: run again."
            )
        if self._safe is None:
            return None

        def back(connection: Connection) -> None:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK TO SAVEPOINT singerkit_safe")

        self._call(back, "going back to the last safe point")
        for name, table in self._tables.items():
            table.staged = self._safe.staged.get(name)
        return self._safe.point

    def rollback(self) -> None:
        """Give up everything since the last commit."""
        self._waiting.clear()
        session = self._session
        if session is None:
            return
        session.reset()
        if session.is_alive:
            session.call(lambda connection: connection.rollback(), "rolling back")
        for table in self._tables.values():
            table.has_stage = False  # one that this unit made is gone
        self._forget_unit()

    def commit(self, state: str | None) -> None:
        """Merge what is staged, advance the state row, COMMIT; all of it or nothing."""
        assert self._row is not None  # noqa: S101  begin() comes first
        row = self._row

        def finish(connection: Connection) -> state_rows.StateRow:
            with connection.cursor() as cursor:
                for table in self._tables.values():
                    self._merge(cursor, table)
                # Deferred constraints, too, are judged while there is a safe point to go back to.
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                return state_rows.advance(cursor, row, state)

        advanced = self._call(finish, "finishing a unit of commit")
        try:
            self._call(_commit, "committing")
        except ConnectionLost:
            self._resolve_unknown_commit(advanced)
        except SingerkitError:
            self.rollback()  # a COMMIT that fails has rolled back: no safe point is left
            raise
        self._row = advanced
        self._forget_unit()

    def _resolve_unknown_commit(self, advanced: state_rows.StateRow) -> None:
        """The reply to COMMIT was lost: the row's sequence number says what happened (FAULTS D2)."""
        if not self._reconnect(lambda connection: state_rows.was_committed(connection, advanced)):
            raise ConnectionLost(
                "The connection to PostgreSQL was lost during COMMIT and the unit was not committed; what was "
                "committed before is safe: run again."
            )
        for table in self._tables.values():
            table.has_stage = False

    def recover(self) -> None:
        """Roll back, on a new connection if the old one is lost; the tables are fitted anew by `declare`."""
        assert self._row is not None  # noqa: S101  begin() comes first
        row = self._row
        if self._open_session.is_alive:
            self.rollback()
        else:
            self._waiting.clear()
            self._reconnect(lambda connection: state_rows.reclaim(connection, row))
        self._forget_unit()
        self._tables.clear()
        self._has_rejects = False

    def _reconnect(self, take: Callable[[Connection], _T]) -> _T:
        """Go on with a new connection on which ``take`` takes the lock; return what it returns.

        Raises:
            RetryableError: there was none within `reconnect_seconds`.
            FencedError, Stopped: a newer run has taken over; a signal came.
        """
        end = time.monotonic() + self._reconnect_seconds
        pauses = waits()
        while True:
            try:
                connection, taken = self._connect_and(take)
                break
            except FencedError:
                raise
            except RetryableError:
                pause = next(pauses)
                if time.monotonic() + pause > end:
                    raise
            self._stop.wait(pause)
            self._stop.raise_if_set("the connection to PostgreSQL was lost, what was committed is safe.")
        self._open_session.close()
        self._start_session(connection)
        return taken

    def _connect_and(self, take: Callable[[Connection], _T]) -> tuple[Connection, _T]:
        connection = self._connect()
        try:
            return connection, take(connection)
        except BaseException:
            connection.close()
            raise

    def _forget_unit(self) -> None:
        self._safe = None
        for table in self._tables.values():
            table.staged = table.staged_lines = None

    # --- the session ---------------------------------------------------------------------------------------

    def _start_session(self, connection: Connection) -> None:
        self._session = Session(connection, self._stop, answer_seconds=self._answer_seconds)

    @property
    def _open_session(self) -> Session:
        assert self._session is not None  # noqa: S101  open() comes first
        return self._session

    def _submit(self, job: Callable[[Connection], None], doing: str) -> None:
        self._send_all()
        self._open_session.submit(job, doing)

    def _call(self, job: Callable[[Connection], Any], doing: str) -> Any:
        self._send_all()
        return self._open_session.call(job, doing)


def _streams_in(state: str | None) -> frozenset[str]:
    """The streams that a committed state holds a bookmark of: rows of theirs were loaded."""
    value = None if state is None else decode(state)
    bookmarks = value.get("bookmarks") if isinstance(value, dict) else None
    return (
        frozenset(name for name, mark in bookmarks.items() if mark)
        if isinstance(bookmarks, dict)
        else frozenset()
    )


def _span(first: tuple[int, int] | None, second: tuple[int, int] | None) -> tuple[int, int] | None:
    if first is None or second is None:
        return first or second
    return min(first[0], second[0]), max(first[1], second[1])


def _said(lines: tuple[int, int] | None) -> str:
    if lines is None:
        return ""
    return f" (line {lines[0]})" if lines[0] == lines[1] else f" (lines {lines[0]} to {lines[1]})"


def _commit(connection: Connection) -> None:
    connection.commit()


def connection_failed(cursor: Cursor) -> bool:
    """Tell whether the cursor's transaction is aborted or its connection lost."""
    connection = cursor.connection
    return (
        bool(connection.closed)
        or connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INERROR
    )
