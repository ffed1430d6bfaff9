"""Units of commit in PostgreSQL: rows, dead letters and the state row in one transaction (DESIGN 5)."""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier

from singerkit_shell.errors import (
    ConfigurationError,
    FencedError,
    LockHeldError,
    RetryableError,
    SingerkitError,
)
from singerkit_shell.signals import StopFlag, stop_flag
from singerkit_sql_target.settings import Settings
from singerkit_sql_target.versions import Others, Versions, told_of_others
from singerkit_state.lineage import WaysOut
from singerkit_state.postgres import history
from singerkit_state.postgres import row as rows_of_state
from singerkit_state.postgres.fencing import acquire, advance, reclaim, was_committed
from singerkit_state.postgres.row import StateRow
from singerkit_state.postgres.store import change_row
from singerkit_state.postgres.table import DEFAULT_TABLE, ensure_table
from singerkit_state.postgres.url import StateUrl
from singerkit_state.store import Change
from singerkit_target.chosen import without_column
from singerkit_target.contract import Edit, SafePoint, UnitLost, check_room
from singerkit_target.metadata import MetadataColumns
from singerkit_target.replay import waits
from singerkit_wire.batch import Batch, Reject
from singerkit_wire.stream import DELETED_AT, Stream
from target_postgres import ahead, ddl, merge, rejects
from target_postgres.begun import NOT_BEGUN, Begun
from target_postgres.connect import Connection, connect
from target_postgres.copy import copy_rows
from target_postgres.domain import DOMAIN, abilities
from target_postgres.faults import (
    WAITS,
    ConnectionLost,
    LateRefusal,
    ServerTrouble,
    check_stored,
    column_of,
    during,
    fault,
    is_refusal,
    refusal,
)
from target_postgres.names import identifier
from target_postgres.rows import as_csv, with_hex, with_utc
from target_postgres.session import Session, Unopened
from target_postgres.tables import NOTHING_NEW, New, Table, check_stream_name, fit_table, give_key, hold
from target_postgres.words import WORDS, Asked, referring_table

__all__ = ["PostgresLoader"]

_T = TypeVar("_T")

_COPY_BYTES = 2 << 20
"""A COPY of at least this size, unless something else has to happen first."""


_TAKING_BACK_SECONDS = 0.5

Row = tuple[Any, ...]
_Placed = tuple[Row, Batch, int]
"""A row as it is encoded, the batch that it comes from and its place there."""


@dataclass
class _Waiting:
    """Encoded blocks of one table and one set of columns."""

    table: Table
    columns: tuple[str, ...]
    blocks: list[bytes] = field(default_factory=list)
    size: int = 0
    count: int = 0
    lines: tuple[int, int] | None = None
    has_marks: bool = False
    batches: list[tuple[Sequence[Row], Batch]] = field(default_factory=list)
    """What the blocks were encoded from, where rows that are refused are to be set aside."""

    def rows(self) -> list[_Placed]:
        return [(row, batch, index) for rows, batch in self.batches for index, row in enumerate(rows)]


@dataclass
class _Safe:
    """The last safe point that was reached, the tables as they were there, and the columns of rows in their stages."""

    point: SafePoint
    tables: list[tuple[Table, tuple[str, ...] | None]]
    refused: Counter[str]


class PostgresLoader:
    """The `Loader` of target-postgres. Its jobs run in order on the session's thread."""

    domain = DOMAIN

    def __init__(
        self,
        dsn: Callable[[], str],
        settings: Settings,
        log: logging.Logger,
        *,
        lock_timeout_seconds: float = 60.0,
        reconnect_seconds: float = 60.0,
        answer_seconds: float = 3600.0,
        deletes_marked: bool = False,
        state_table: str = DEFAULT_TABLE,
        sets_aside: Sequence[str] = (),
        quarantine_limit: int = 1000,
        close_server: Callable[[], None] = lambda: None,
        ways: Callable[[str], WaysOut] = lambda _pipeline: WaysOut(("target-postgres",)),
        stop: StopFlag = stop_flag,
    ) -> None:
        self.abilities = abilities(append_only=settings.append_only)
        self._adds_metadata = settings.with_metadata
        self._dsn_of = dsn
        self._settings = settings
        self._log = log
        self._lock_timeout = lock_timeout_seconds
        self._reconnect_seconds = reconnect_seconds
        self._answer_seconds = answer_seconds
        self._stop = stop
        self._hard_delete = settings.hard_delete
        self._deletes_marked = deletes_marked
        self._state_table = state_table
        self._close_server = close_server
        self._ways = ways
        self._run_id = uuid.uuid4().hex
        self._metadata = MetadataColumns()
        self._versions = Versions(WORDS, settings, log)
        self._tables: dict[str, Table] = {}
        self._made = 0
        self._open_session: Session | Unopened = Unopened()
        self._begun = NOT_BEGUN
        self._safe: _Safe | None = None
        self._committed_state: str | None = None  # by this run
        self._is_back = False  # at the last safe point, having given up what came after it
        self._waiting: dict[str, _Waiting] = {}
        self._has_rejects = False
        self._sets_aside = tuple(sets_aside)
        self._quarantine_limit = quarantine_limit
        self._refused: Counter[str] = Counter()  # set aside since the last commit, by stream
        self._defers = True
        self.doubts: list[str] = []
        self._activated: set[str] = set()
        self._deleted_from: set[str] = set()  # streams that this unit has deleted single rows of
        self._told_of_others: set[str] = set()  # streams that other pipelines load, too
        self._told_of_own_lock: set[str] = (
            set()
        )  # streams whose tables the unit alters, since it has locked them
        self._in_use_once: set[str] = set()  # streams whose tables were not to be had beside a unit
        self._holding: frozenset[str] = frozenset()  # streams whose tables held rows when this run committed
        self._in_unit: set[str] = set()  # streams that the unit in hand has done something in the table of
        self._new: dict[str, New] = {}  # by stream, what was made for the unit in hand
        self._made_before: dict[str, New] = {}  # of that what the unit has not made itself

    # --- the run -------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Connect and see that everything this role needs is allowed (FAULTS D9)."""
        self._start_session(self._connect())
        self._call(lambda c: ensure_table(c, self._settings.schema, self._state_table), "preparing")

    def _connect(self) -> Connection:
        return connect(self._dsn_of(), lock_timeout_seconds=self._lock_timeout)

    def begin(self, pipeline: str) -> str | None:
        """Take the pipeline's lock and begin a new epoch; return the state it has committed."""

        def take(connection: Connection) -> StateRow:
            return acquire(connection, self._settings.schema, self._state_table, pipeline, self._run_id)

        row: StateRow = self._call(take, "taking the lock")
        self._begun = Begun.with_row(row)
        return row.state_text

    @property
    def set_aside_in(self) -> str:
        return f"the table {self._settings.schema}.{rejects.TABLE}"

    def pipelines(self) -> Sequence[str]:
        def names(connection: Connection) -> list[str]:
            with connection, connection.cursor() as cursor:
                return rows_of_state.pipelines(cursor, self._settings.schema, self._state_table)

        found: list[str] = self._call(names, "reading the names of the pipelines")
        return found

    def was_former(self, value: Any) -> bool:
        return self._begun.was_former(value)

    def expect_gone_rows(self, *, always: bool = False) -> None:
        self._begun = self._begun.starting_over(always=always)

    def change_state(self, edit: Edit, why: str, *, as_it_is: bool = False) -> str | None:
        """Replace the state in the row, in a transaction of its own; ``as_it_is`` forgets which tables held rows."""
        url = StateUrl(
            "", "this database", self._begun.row.pipeline, self._settings.schema, self._state_table
        )

        def change(connection: Connection) -> Change:
            with connection, connection.cursor() as cursor:
                return change_row(cursor, url, edit, why, as_it_is=as_it_is)

        change_made: Change = self._call(change, f"changing the state ({why})")
        return change_made.after.text

    def close(self) -> None:
        """Leave the lock and the connection; an open transaction rolls back, and what was made for it goes, too."""
        self._take_back()
        self._open_session.close()
        self._open_session = Unopened()
        self._close_server()

    # --- writing -------------------------------------------------------------------------------------------

    def declare(self, stream: Stream) -> Stream:
        """Fit the table to the stream, before the unit where nothing of the unit is in the table yet."""
        former = self._tables.get(stream.name)
        ours = (self._state_table, history.name_of(self._state_table), rejects.TABLE)
        check_stream_name(stream.name, self._tables.values(), ours)
        self._made += 1
        doubts: list[str] = []
        fitting = partial(
            fit_table,
            stream=stream,
            settings=self._settings,
            number=self._made,
            log=self._log,
            start_over=self._ways(self._begun.row.pipeline).start_over(stream.name),
            former=former,
            new=self._new.get(stream.name, NOTHING_NEW),
            must_hold=former is None and self._begun.must_hold(stream.name),
            loaded_into=self._begun.row.tables.get(stream.name),
            doubts=doubts if former is None and self._begun.should_hold(stream.name) else None,
        )

        def fit(cursor: Cursor) -> Table:
            doubts.clear()
            if former is None:
                self._tell_of_others(cursor, stream.name)
            return fitting(cursor, kept=self._kept_columns(stream.name))

        table = self._fit(stream.name, fit)
        self.doubts += doubts
        if former is not None:
            table.takes_copies = former.takes_copies and table.keys == former.keys
            table.has_repeats = former.has_repeats
        self._tables[stream.name] = table
        self._new[stream.name] = table.new
        return table.given

    def _fit(self, stream: str, fit: Callable[[Cursor], Table]) -> Table:
        """Make or alter a table in a transaction of its own, or in the unit where that has locked the table already."""
        doing = f"preparing the table of stream `{stream}`"
        if not self._in_unit:
            return self._call(partial(self._before_unit, stream, fit, doing), doing)  # type: ignore[no-any-return]  # what `fit` returns
        if stream not in self._in_unit:
            table = self._beside_unit(stream, fit, doing)
            if table is not None:
                return table
        self._in_unit.add(stream)
        self._made_before.setdefault(stream, self._new.get(stream, NOTHING_NEW))
        return self._call(partial(self._within_unit, stream, fit), doing)  # type: ignore[no-any-return]  # as above

    def _before_unit(
        self, stream: str, fit: Callable[[Cursor], Table], doing: str, connection: Connection
    ) -> Table:
        """On the session of the unit, in which nothing was done so far, but for a safe point."""
        try:
            return ahead.in_own_transaction(connection, fit, seconds=self._lock_timeout, stop=self._stop)
        except psycopg2.Error as error:
            if error.pgcode == errorcodes.LOCK_NOT_AVAILABLE:  # no lock of ours that another waits for
                raise self._in_use(connection, stream, doing, error) from error
            raise
        finally:
            if self._safe is not None and not connection.closed:
                with connection.cursor() as cursor:
                    cursor.execute("SAVEPOINT singerkit_safe")

    def _beside_unit(self, stream: str, fit: Callable[[Cursor], Table], doing: str) -> Table | None:
        """On a session of its own, while that of the unit holds its locks; None where one of these is in the way."""
        pid = self._call(_pid, doing)
        try:
            connection = self._connect()
        except (RetryableError, ConfigurationError) as error:
            self._log.warning(
                "There is no second connection for preparing the table of stream `%s`, so that it is prepared in the unit of commit, "
                "and who reads it may wait for the end of that: %s",
                stream,
                error,
            )
            return None
        session = Session(connection, self._stop, answer_seconds=self._answer_seconds)
        name = identifier(stream)

        def alone(connection: Connection) -> Table | None:
            def is_ours() -> bool:
                return ahead.held_by(connection, pid, self._settings.schema, name)

            try:
                return ahead.in_own_transaction(
                    connection, fit, seconds=self._lock_timeout, stop=self._stop, is_hopeless=is_ours
                )
            except psycopg2.Error as error:
                if error.pgcode in WAITS and is_ours():
                    return None
                if error.pgcode == errorcodes.LOCK_NOT_AVAILABLE and stream in self._in_use_once:
                    raise self._in_use(connection, stream, doing, error) from error
                if error.pgcode == errorcodes.LOCK_NOT_AVAILABLE:
                    # The unit is written again: another one may wait for what it has locked.
                    self._in_use_once.add(stream)
                raise

        try:
            table = session.call(alone, doing)
        finally:
            session.close()
        if table is None and stream not in self._told_of_own_lock:
            self._told_of_own_lock.add(stream)
            self._log.warning(
                "The unit of commit has locked the table of stream `%s` already, to which a foreign key, a trigger or inheritance of "
                "another one leads: it is altered in the unit, and who reads it waits for the end of that. Where the tap sends this stream "
                "before the others, or a STATE between them, nobody waits.",
                stream,
            )
        return table

    def _in_use(
        self, connection: Connection, stream: str, doing: str, error: psycopg2.Error
    ) -> SingerkitError:
        """What others hold for longer than was to be waited ends the run."""
        with contextlib.suppress(psycopg2.Error), connection.cursor() as cursor:
            others = ahead.holders(cursor, self._settings.schema, identifier(stream))
            return LockHeldError(str(fault(error, doing, others)))
        return fault(error, doing)

    def _within_unit(self, stream: str, fit: Callable[[Cursor], Table], connection: Connection) -> Table:
        """Rows that wait under the old shape of the table go in first."""
        former = self._tables.get(stream)
        with connection.cursor() as cursor:
            if former is not None:
                self._merge(cursor, former)
            return self._altered(cursor, partial(fit, cursor))

    def _altered(self, cursor: Cursor, fit: Callable[[], _T]) -> _T:
        """Call ``fit``. PostgreSQL alters no table for which a deferred trigger waits: where one does, all are fired."""
        cursor.execute("SAVEPOINT singerkit_fit")
        try:
            made = fit()
        except psycopg2.Error as error:
            if error.pgcode != errorcodes.OBJECT_IN_USE:
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT singerkit_fit")
            self._judge_all_deferred(cursor)
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")  # as before for the rows that follow
            made = fit()
        cursor.execute("RELEASE SAVEPOINT singerkit_fit")
        return made

    def _kept_columns(self, stream: str) -> Collection[str]:
        """The columns of a table that are committed when the unit in hand ends here: those of its last safe point."""
        safe = self._safe
        if safe is None or safe.point.state in (None, self._committed_state):
            return ()
        return next((table.columns.values() for table, _ in safe.tables if table.stream == stream), ())

    def _beyond(self, stream: str, new: New) -> New:
        """What of it was made behind the last safe point."""
        kept = self._kept_columns(stream)
        columns = {short: number for short, number in new.columns.items() if short not in kept}
        return New(columns, new.oid, is_table=new.is_table and not kept)

    def _take_back(self) -> None:
        """Drop what was made for a unit that is not committed, if nobody has written into it: then it has the types of a SCHEMA
        or a setting that were refused, and the next run may bring others. Who is killed leaves it.
        """

        for stream, new in (self._new | self._made_before).items():
            take = partial(
                ddl.take_back,
                schema=self._settings.schema,
                table=identifier(stream),
                oid=new.oid,
                columns=new.columns,
                is_table=new.is_table,
            )
            alone = partial(ahead.in_own_transaction, job=take, seconds=_TAKING_BACK_SECONDS, stop=self._stop)
            with contextlib.suppress(SingerkitError):  # it is in use, or the run is to end at once
                self._open_session.reset()
                if new.columns and self._open_session.is_alive:
                    self._open_session.call(
                        alone, f"dropping what was made for rows of `{stream}` that are not committed"
                    )

    def _tell_of_others(self, cursor: Cursor, stream: str) -> None:
        """Warn of pipelines that load the same table: with one source between them that is fine, with two it is not."""
        others = self._others(cursor, stream).names
        if others and stream not in self._told_of_others:
            self._told_of_others.add(stream)
            self._log.warning(
                "The table of stream `%s` was loaded by the pipeline %s, too: rows with one key replace each other%s. If the "
                "two read other sources, give each pipeline a schema of its own (`default_target_schema`), or the stream "
                "another `name`; if that pipeline is no more, reset its state (`singerkit-state reset`).",
                stream,
                ", ".join(f"`{name}`" for name in others[:3]),
                told_of_others(self._settings),
            )

    def _others(self, cursor: Cursor, stream: str) -> Others:
        row = self._begun.row
        names = [] if self._begun is NOT_BEGUN else rows_of_state.others_with(cursor, row, stream)
        return Others(names, self._ways(row.pipeline).start_over_as)

    def write(self, stream: Stream, batch: Batch) -> None:
        """Encode a batch here and queue its COPY."""
        self._in_unit.add(stream.name)
        table = self._tables[stream.name]
        if self._adds_metadata:
            batch = self._metadata.added_to(batch, table.given)
        names, rows = batch.names, batch.wire_rows
        if table.takes_marks_off and not self._adds_metadata:
            names, rows = (*names, DELETED_AT), [(*row, None) for row in rows]
        binary_at = [index for index, name in enumerate(names) if name in table.binary]
        local_at = [index for index, name in enumerate(names) if name in table.local]
        if binary_at:
            rows = with_hex(rows, binary_at)
        if local_at:
            rows = with_utc(rows, local_at, stream.name)
        if self._adds_metadata:
            self._versions.see(stream.name, names, rows)
        csv = as_csv(rows)
        waiting = self._waiting_for(table, tuple(table.columns[name] for name in names))
        waiting.lines = _span(waiting.lines, batch.lines)
        if self._sets_aside:
            waiting.batches.append((rows, batch))
        waiting.count += len(rows)
        if (
            self._deletes_marked
            and table.keys
            and DELETED_AT in table.given.column_names
            and DELETED_AT in names
        ):
            at = names.index(DELETED_AT)
            waiting.has_marks = waiting.has_marks or any(row[at] is not None for row in rows)
        self._gather(waiting, csv)

    def _waiting_for(self, table: Table, columns: tuple[str, ...]) -> _Waiting:
        waiting = self._waiting.get(table.stream)
        if waiting is not None and waiting.columns != columns:
            self._send(table.stream)
            waiting = None
        if waiting is None:
            waiting = self._waiting[table.stream] = _Waiting(table, columns)
        return waiting

    def _gather(self, waiting: _Waiting, csv: bytes) -> None:
        """Let blocks wait for a COPY that is worth its round trips."""
        waiting.blocks.append(csv)
        waiting.size += len(csv)
        if waiting.size >= _COPY_BYTES:
            self._send(waiting.table.stream)
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
        with connection.cursor() as cursor:
            if not self._sets_aside:
                self._put(cursor, waiting, csv, waiting.count)
                return
            self._hold(cursor, waiting.table)  # before the savepoint, with which the lock would go
            error = self._try(cursor, waiting, csv, waiting.count)
            if error is not None:
                self._find_refused(cursor, waiting, waiting.rows(), error)

    def _put(self, cursor: Cursor, waiting: _Waiting, csv: bytes, count: int) -> None:
        table, columns = waiting.table, waiting.columns
        if waiting.has_marks:
            table.takes_copies = False  # what is to be deleted goes by way of the stage, and all after it
        if not table.keys or table.takes_copies:
            self._hold(cursor, table)
        if not table.keys:
            self._copy_counted(cursor, table, columns, csv, count)
        elif not (table.takes_copies and self._copy_straight(cursor, table, columns, csv, count)):
            self._stage(cursor, table, columns, csv)
            table.has_marks = table.has_marks or waiting.has_marks
            table.staged_lines = _span(table.staged_lines, waiting.lines)

    # --- what only PostgreSQL refuses ----------------------------------------------------------------------

    def _try(self, cursor: Cursor, waiting: _Waiting, csv: bytes, count: int) -> psycopg2.Error | None:
        """Write rows, into the table at once; return why they were refused, as if they had not been written."""
        table = waiting.table
        before = table.has_stage, table.takes_copies, table.has_repeats
        cursor.execute("SAVEPOINT singerkit_rows")
        try:
            self._put(cursor, waiting, csv, count)
            self._upsert_staged(cursor, table)
            if not self._defers:
                self._judge_deferred(cursor)
        except psycopg2.Error as error:
            if not is_refusal(error, self._sets_aside):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT singerkit_rows")
            cursor.execute("RELEASE SAVEPOINT singerkit_rows")
            table.has_stage, table.takes_copies, table.has_repeats = before
            table.staged = table.staged_lines = None
            table.has_marks = False
            return error
        cursor.execute("RELEASE SAVEPOINT singerkit_rows")
        return None

    def _find_refused(
        self, cursor: Cursor, waiting: _Waiting, rows: Sequence[_Placed], error: psycopg2.Error
    ) -> None:
        """Halve rows that were refused until those are alone that are to blame; the others are written."""
        if len(rows) == 1:
            self._set_aside(cursor, waiting.table, rows[0], error)
            return
        middle = len(rows) // 2
        for half in (rows[:middle], rows[middle:]):
            refusal = self._try(cursor, waiting, as_csv([row for row, _, _ in half]), len(half))
            if refusal is not None:
                self._find_refused(cursor, waiting, half, refusal)

    def _set_aside(self, cursor: Cursor, table: Table, placed: _Placed, error: psycopg2.Error) -> None:
        _, batch, index = placed
        column = column_of(error)
        field_name = next((name for name, short in table.columns.items() if short == column), None)
        path = "$" if field_name is None else f"$.{field_name}"
        letter = batch.letter(index, table.stream, path, f"PostgreSQL refused it: {refusal(error)}")
        self._write_letters(cursor, [letter])
        self._refused[table.stream] += 1
        check_room(self._quarantine_limit, self._refused.total(), letter)

    def _hold(self, cursor: Cursor, table: Table) -> None:
        """Look at the table once in each unit, before rows go into it."""
        if table.is_locked:
            return
        loaded = self._begun.row.loaded or ()
        must_hold = table.stream in loaded and not self._begun.accepts_gone_rows
        if table.lacks_key:
            self._lock_out(cursor, table)
        hold(cursor, table, self._log, must_hold=must_hold)
        if table.lacks_key:
            self._altered(cursor, partial(give_key, cursor, table, self._log))
        # Behind a COPY nothing tells which rows were deleted; a merge knows their keys.
        table.takes_copies = table.takes_copies and not table.detours.take_away

    def _lock_out(self, cursor: Cursor, table: Table) -> None:
        """Take the lock under which the key changes, at once, since one that grows to it meets others that do."""
        try:
            ahead.lock_in_unit(cursor, table.identifier, seconds=self._lock_timeout, stop=self._stop)
        except psycopg2.Error as error:
            if error.pgcode != errorcodes.LOCK_NOT_AVAILABLE:
                raise
            doing = f"changing the key of the table of stream `{table.stream}`"
            raise self._in_use(cursor.connection, table.stream, doing, error) from error

    def _copy_counted(
        self, cursor: Cursor, table: Table, columns: tuple[str, ...], csv: bytes, count: int
    ) -> None:
        """COPY into a table without a key; what its triggers do behind COPY's own count is seen by counting it."""
        before = ddl.own_rows(cursor, table.identifier) if table.detours.take_away else 0
        stored = copy_rows(cursor, table.identifier, columns, csv)
        if table.detours.take_away:
            stored = min(stored, ddl.own_rows(cursor, table.identifier) - before)
        check_stored(count, stored)

    def _judge_deferred(self, cursor: Cursor) -> None:
        """Fire what waits for the end of the transaction, and see that it deletes none of its rows."""
        tables = [table for table in self._tables.values() if table.detours.defer]
        before = [ddl.own_rows(cursor, table.identifier) for table in tables]
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table, count in zip(tables, before, strict=True):
            check_stored(count, ddl.own_rows(cursor, table.identifier))

    def _copy_straight(
        self, cursor: Cursor, table: Table, columns: tuple[str, ...], csv: bytes, count: int
    ) -> bool:
        """COPY into a table that held nothing; False when a key was there already, and for good."""
        cursor.execute("SAVEPOINT singerkit_copy")
        try:
            check_stored(count, copy_rows(cursor, table.identifier, columns, csv))
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
        with during(f"loading stream `{table.stream}`{_said(table.staged_lines)}"):
            self._upsert_staged(cursor, table)

    def _upsert_staged(self, cursor: Cursor, table: Table) -> None:
        if table.staged is None:
            return
        self._hold(cursor, table)
        table.has_repeats = merge.merge(
            cursor,
            table.stage,
            table.identifier,
            table.staged,
            table.keys,
            has_repeats=table.has_repeats,
            detours=table.detours,
            gone=table.columns[DELETED_AT] if table.has_marks else None,
        )
        if table.has_marks:
            self._deleted_from.add(table.stream)
        table.staged = table.staged_lines = None
        table.has_marks = False

    def reject(self, letters: Sequence[Reject]) -> None:
        """Put refused records into the dead-letter table, in the same transaction."""

        def write(connection: Connection) -> None:
            with connection.cursor() as cursor:
                self._write_letters(cursor, letters)

        self._in_unit.add(rejects.TABLE)
        self._submit(write, "writing dead letters")

    def _write_letters(self, cursor: Cursor, letters: Sequence[Reject]) -> None:
        if not self._has_rejects:
            self._ensure_rejects(cursor)
            self._has_rejects = True
        rejects.insert(cursor, self._settings.schema, self._begun.row.pipeline, self._run_id, letters)

    def _ensure_rejects(self, cursor: Cursor) -> None:
        """Make the table, where there is none, on a session of its own: other runs would wait for the end of this unit."""
        if rejects.is_there(cursor, self._settings.schema):
            return
        connection = self._connect()
        try:
            make = partial(rejects.ensure_table, schema=self._settings.schema)
            ahead.in_own_transaction(connection, make, seconds=self._lock_timeout, stop=self._stop)
        finally:
            connection.close()

    def activate_version(self, stream: Stream, version: int) -> None:
        """Remove the rows of other versions, or mark them deleted; rows without one stay."""
        if self._versions.is_kept(stream.name, version):
            return
        table, are_new = self._tables[stream.name], self._versions.wrote_without(stream.name)

        def remove(connection: Connection) -> None:
            with connection.cursor() as cursor:
                self._merge(cursor, table)
                others = self._others(cursor, stream.name)
                self._versions.apply(Asked(cursor), table, version, others, are_new=are_new)

        self._activated.add(stream.name)
        self._in_unit.add(stream.name)
        self._submit(remove, f"activating version {version} of stream `{stream.name}`")

    # --- units of commit -----------------------------------------------------------------------------------

    def mark_safe(self, point: SafePoint) -> None:
        """Queue a savepoint behind the rows: ``point`` is reached once they are in, and never when one is refused."""

        def mark(connection: Connection) -> None:
            with connection.cursor() as cursor:
                if self._safe is not None:
                    cursor.execute("RELEASE SAVEPOINT singerkit_safe")
                cursor.execute("SAVEPOINT singerkit_safe")
            tables = [(table, table.staged) for table in self._tables.values()]
            self._safe = _Safe(point, tables, self._refused.copy())

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
                "The connection to PostgreSQL was lost", "; what was committed is safe: run again."
            )
        if self._safe is None:
            return None
        self._is_back = True

        def back(connection: Connection) -> None:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK TO SAVEPOINT singerkit_safe")

        self._call(back, "going back to the last safe point")
        self._tables = {table.stream: table for table, _staged in self._safe.tables}
        for table, staged in self._safe.tables:
            table.staged = staged
            table.has_marks = self._deletes_marked and table.columns.get(DELETED_AT) in (staged or ())
            table.is_locked = False  # the lock may have been taken behind the savepoint
        self._refused = self._safe.refused.copy()
        return self._safe.point

    def rollback(self) -> None:
        """Give up everything since the last commit."""
        self._waiting.clear()
        session = self._open_session
        session.reset()
        if session.is_alive:
            session.call(lambda connection: connection.rollback(), "rolling back")
        for table in self._tables.values():
            table.has_stage = False  # one that this unit made is gone
        self._forget_unit()

    def settle(self) -> Mapping[str, int]:
        """Merge what is staged; return how many records were set aside because PostgreSQL refused them, by stream."""
        self._call(self._settle, "finishing a unit of commit")
        return self._refused.copy()

    def _settle(self, connection: Connection) -> None:
        with connection.cursor() as cursor:
            for table in sorted(
                self._tables.values(), key=attrgetter("lacks_key")
            ):  # who reads that one waits from here on
                self._merge(cursor, table)
                if table.lacks_key:
                    self._hold(cursor, table)
            self._judge_all_deferred(cursor)  # while there is a safe point to go back to

    def _judge_all_deferred(self, cursor: Cursor) -> None:
        """Judge deferred constraints.

        Raises:
            LateRefusal: one refuses a row that is to be set aside, and nobody knows which.
        """
        try:
            self._judge_deferred(cursor)
        except psycopg2.Error as error:
            kept = self._kept_by_reference(error)
            if kept is not None:
                raise kept from error
            if not (self._defers and is_refusal(error, self._sets_aside)):
                raise
            self._defers = False
            raise LateRefusal(f"A deferred constraint refuses a row: {refusal(error)}", ".") from error

    def _kept_by_reference(self, error: psycopg2.Error) -> SingerkitError | None:
        """Say what helps where rows refer to one that goes with its version; the key of a table of ours may refuse a row that came."""
        loaded = [(table.schema, table.name) for table in self._tables.values()]
        if not (self._activated and self._hard_delete) or referring_table(error) in (None, *loaded):
            return None
        return self._versions.refused(sorted(self._activated), error)

    def commit(self, state: str | None) -> None:
        """Merge what is staged, advance the state row, COMMIT; all of it or nothing."""
        row = self._begun.row

        def finish(connection: Connection) -> tuple[StateRow, frozenset[str]]:
            self._settle(connection)
            with connection.cursor() as cursor:
                emptied = self._activated | self._deleted_from
                asked = {
                    name: table
                    for name, table in self._tables.items()
                    if name not in self._holding or name in emptied
                }
                holding = _holding(cursor, asked.values())
                # One that is empty stays noted, since its rows are gone, but where we have been told to delete them.
                loaded = ((row.loaded or frozenset()) - (asked.keys() & emptied)) | holding
                oids = {t.stream: t.shape.oid for t in self._tables.values() if t.shape.oid is not None}
                advanced = advance(cursor, row, state, loaded, oids)
                return advanced, (self._holding - asked.keys()) | holding

        advanced, holding = self._call(finish, "finishing a unit of commit")
        try:
            self._call(_commit, "committing")
        except (ConnectionLost, ServerTrouble):
            self._resolve_unknown_commit(advanced)
        except SingerkitError:
            self.rollback()  # a COMMIT that fails has rolled back: no safe point is left
            raise
        beyond = (
            {stream: self._beyond(stream, new) for stream, new in (self._new | self._made_before).items()}
            if self._is_back
            else {}
        )
        self._begun = self._begun.at(advanced)
        self._holding = holding
        self._committed_state = state or self._committed_state
        self._defers = True
        self._activated.clear()
        self._deleted_from.clear()
        self._new = beyond
        self._made_before.clear()
        for table in self._tables.values():
            table.lacks_key = False
        self._forget_unit()

    def _resolve_unknown_commit(self, advanced: StateRow) -> None:
        """The reply to COMMIT was lost: the row's sequence number says what happened (FAULTS D2)."""
        if not self._reconnect(lambda connection: was_committed(connection, advanced)):
            raise ConnectionLost(
                "The connection to PostgreSQL was lost during COMMIT and the unit was not committed",
                "; what was committed before is safe: run again.",
            )
        for table in self._tables.values():
            table.has_stage = False

    def recover(self) -> None:
        """Roll back, on a new connection if the old one is lost; the tables are fitted anew by `declare`."""
        row = self._begun.row
        if self._open_session.is_alive:
            self.rollback()
        else:
            self._waiting.clear()
            self._reconnect(lambda connection: reclaim(connection, row))
        self._forget_unit()
        # Not what runs before have noted: where the state was reset, the table may have been emptied, as was advised.
        if not self._begun.accepts_gone_rows:
            self._begun = self._begun.with_rows_in(self._tables.keys() & self._holding)
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
        self._refused.clear()
        self._in_unit.clear()
        self._new |= self._made_before  # the rest has gone with the transaction
        self._made_before.clear()
        for table in self._tables.values():
            table.staged = table.staged_lines = None
            table.has_marks = False
            table.is_locked = False

    def column_types_without_column(self) -> list[str]:
        """The names in `column_types` that no stream of the run had a column for."""
        given = {name: table.given for name, table in self._tables.items()}
        return without_column(self._settings.column_types, given)

    # --- the session ---------------------------------------------------------------------------------------

    def _start_session(self, connection: Connection) -> None:
        self._open_session = Session(connection, self._stop, answer_seconds=self._answer_seconds)

    def _submit(self, job: Callable[[Connection], None], doing: str) -> None:
        self._send_all()
        self._open_session.submit(job, doing)

    def _call(self, job: Callable[[Connection], Any], doing: str) -> Any:
        self._send_all()
        return self._open_session.call(job, doing)


def _holding(cursor: Cursor, tables: Collection[Table]) -> frozenset[str]:
    """The streams whose tables hold rows, in this transaction."""
    if not tables:
        return frozenset()
    ask = SQL("EXISTS (SELECT 1 FROM {})")
    cursor.execute(SQL("SELECT {}").format(SQL(", ").join(ask.format(table.identifier) for table in tables)))
    answers = cursor.fetchone() or ()
    return frozenset(table.stream for table, holds in zip(tables, answers, strict=True) if holds)


def _span(first: tuple[int, int] | None, second: tuple[int, int] | None) -> tuple[int, int] | None:
    if first is None or second is None:
        return first or second
    return min(first[0], second[0]), max(first[1], second[1])


def _said(lines: tuple[int, int] | None) -> str:
    if lines is None:
        return ""
    return f" (line {lines[0]})" if lines[0] == lines[1] else f" (lines {lines[0]} to {lines[1]})"


def _pid(connection: Connection) -> int:
    """Ask the server: behind a pooler the driver knows another number."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_backend_pid()")
        return int((cursor.fetchone() or (0,))[0])


def _commit(connection: Connection) -> None:
    connection.commit()


def connection_failed(cursor: Cursor) -> bool:
    """Tell whether the cursor's transaction is aborted or its connection lost."""
    connection = cursor.connection
    return (
        bool(connection.closed)
        or connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INERROR
    )
