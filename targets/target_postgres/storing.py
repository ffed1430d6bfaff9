"""Rows into tables, in the transaction of the unit: straight or by way of a stage; what PostgreSQL refuses is set aside."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import TypeVar

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier

from singerkit_shell.errors import SingerkitError
from singerkit_sql_target.history import tell_of_unknown_load
from singerkit_sql_target.partial import mark_if_partial
from singerkit_sql_target.replacing import Replacing
from singerkit_sql_target.versions import Version, Versions
from singerkit_target.contract import check_room
from singerkit_target.outcomes import Outcome, Outcomes
from singerkit_wire.batch import Reject
from singerkit_wire.masks import PRESENT
from singerkit_wire.stream import DELETED_AT
from target_postgres import ddl, history, loads, masks, merge
from target_postgres.copy import copy_rows
from target_postgres.faults import LateRefusal, check_stored, column_of, during, is_refusal, refusal
from target_postgres.fitting import Fitting
from target_postgres.parts import Removal
from target_postgres.rows import Csv, as_csv, with_masks
from target_postgres.tables import Table, give_key, hold
from target_postgres.tied import Tied
from target_postgres.waiting import Placed, Waiting, said, span
from target_postgres.words import Asked, referring_table

__all__ = ["Storing", "holding_rows"]

_T = TypeVar("_T")

_MOST_STAGES = 100
"""To make one takes the server as long as to empty it at ten COMMITs."""


class Storing:
    """What the unit in hand does in ``tables``; each method is called in its transaction, on the thread of the session.

    ``must_hold`` tells of a stream whether its table held rows at the last commit, ``write_letters`` writes dead letters, ``unit_log`` says
    what it is given once the unit is committed.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        fitting: Fitting,
        log: logging.Logger,
        unit_log: logging.Logger,
        *,
        must_hold: Callable[[str], bool],
        write_letters: Callable[[Cursor, Sequence[Reject]], None],
        sets_aside: Sequence[str],
        quarantine_limit: int,
        hard_delete: bool,
        versions: Versions,
        replacing: Replacing,
    ) -> None:
        self._tables = tables
        self._fitting = fitting
        self._log = unit_log
        self._must_hold = must_hold
        self._write_letters = write_letters
        self._sets_aside = tuple(sets_aside)
        self._quarantine_limit = quarantine_limit
        self._hard_delete = hard_delete
        self._versions, self._replacing = versions, replacing
        self.outcomes = Outcomes()  # of the unit in hand
        self._tied = Tied(
            tables,
            hold=self._hold,
            remove=self._remove,
            set_aside=self._put_aside,
            note_deleted=self._note_deleted,
            sets_aside=self._sets_aside,
            outcomes=self.outcomes,
            log=log,
        )
        self._defers = True
        self._moment: str | None = None
        self.interrupted: frozenset[str] = frozenset()
        """Streams in whose load this run goes on, so that nobody knows which of their rows came before."""
        self.refused: Counter[str] = Counter()  # set aside since the last commit, by stream
        self._stages: set[str] = set()
        self.touched: set[str] = set()  # streams of which anything may wait in the unit in hand
        self.activated: set[str] = set()
        self._following: set[str] = set()  # streams whose rows go with those of others, behind them
        self._following_replaced: set[str] = set()  # as `_following`
        self.deleted_from: set[str] = set()  # streams that this unit has deleted single rows of

    @property
    def sets_aside(self) -> bool:
        """Whether rows are kept until they are written, since those that PostgreSQL refuses are set aside."""
        return bool(self._sets_aside)

    def commit(self) -> None:
        """The unit is committed."""
        self._defers = True
        self._moment = None
        self.outcomes.clear()
        self.touched.clear()
        self.activated.clear()
        self.deleted_from.clear()
        self._tied.commit()

    def lose_unit(self) -> None:
        """The unit is given up."""
        self.refused.clear()
        self.outcomes.clear()
        self.touched.clear()
        self._moment = None
        self._following.clear()
        self._following_replaced.clear()
        self._tied.lose_unit()

    def load(self, cursor: Cursor, waiting: Waiting, csv: Csv) -> None:
        """Write rows that have waited."""
        self.touched.add(waiting.table.stream)
        self._tied.tell_of_early(waiting.table)
        if not self._sets_aside:
            self._put(cursor, waiting, csv, waiting.count)
            return
        if not waiting.table.overwrites:
            self._hold(cursor, waiting.table)  # before the savepoint, with which the lock would go
        if self._has_to_wait(waiting):
            csv = self._tied.encoded(waiting.rows())
        error = self._try(cursor, waiting, csv, waiting.count)
        if error is not None:
            self._find_refused(cursor, waiting, waiting.rows(), error)

    def _has_to_wait(self, waiting: Waiting) -> bool:
        return self._tied.has_to_wait(waiting.table, goes=waiting.has_marks)

    def _put(self, cursor: Cursor, waiting: Waiting, csv: Csv, count: int) -> None:
        table, columns = waiting.table, waiting.columns
        if table.overwrites:  # it is not even locked before the end of the run
            self._tied.add(cursor, waiting, csv)
            return
        staged = (PRESENT, *columns) if waiting.is_masked else columns
        if waiting.has_marks or PRESENT in columns or mark_if_partial(table.given, table.columns, staged):
            # What is to be deleted, or leaves out what it may not, goes by way of the stage, and all after it.
            table.takes_copies = False
        if not table.keys or table.takes_copies:
            self._hold(cursor, table)
        if waiting.is_masked and not table.takes_masks:
            raise masks.refused(table)
        if self._has_to_wait(waiting):
            self._tied.add(cursor, waiting, csv)
        elif not table.keys:
            self._copy_counted(cursor, table, columns, csv, count)
        elif not (table.takes_copies and self._copy_straight(cursor, table, columns, csv, count)):
            if waiting.masks:
                columns, csv = (PRESENT, *columns), with_masks(csv, waiting.masks)
            self._stage(cursor, table, columns, csv)
            table.has_marks = table.has_marks or waiting.has_marks
            table.staged_lines = span(table.staged_lines, waiting.lines)

    def _copy_counted(
        self, cursor: Cursor, table: Table, columns: tuple[str, ...], csv: Csv, count: int
    ) -> None:
        """COPY into a table without a key; what its triggers do behind COPY's own count is seen by counting it."""
        before = ddl.own_rows(cursor, table.identifier) if table.detours.take_away else 0
        stored = copy_rows(cursor, table.identifier, columns, csv)
        if table.detours.take_away:
            stored = min(stored, ddl.own_rows(cursor, table.identifier) - before)
        check_stored(count, stored)
        self.outcomes.note(table.stream, Outcome(new=count))

    def _copy_straight(
        self, cursor: Cursor, table: Table, columns: tuple[str, ...], csv: Csv, count: int
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
            if not _connection_failed(cursor):
                cursor.execute("RELEASE SAVEPOINT singerkit_copy")
        self.outcomes.note(table.stream, Outcome(new=count))
        return True

    def _stage(self, cursor: Cursor, table: Table, columns: tuple[str, ...], csv: Csv) -> None:
        if table.staged is not None and table.staged != columns:
            self.merge(cursor, table)
        if not table.has_stage:
            merge.create_stage(cursor, table.stage, table.identifier, is_masked=table.given.takes_masks)
            table.has_stage = True
            self._stages.add(table.stage)
        elif table.is_spent:
            merge.empty_stage(cursor, table.stage)
        table.is_spent = False
        copy_rows(cursor, Identifier("pg_temp", table.stage), columns, csv)
        table.staged = columns

    def merge(self, cursor: Cursor, table: Table) -> None:
        """Upsert what waits in the stage of a table, but for what waits for other tables."""
        with during(f"loading stream `{table.stream}`{said(table.staged_lines)}"):
            self._upsert_staged(cursor, table)

    def _upsert_staged(self, cursor: Cursor, table: Table) -> None:
        if table.staged is None:
            return
        self._hold(cursor, table)
        if table.history:
            self.outcomes.note(table.stream, history.merge(cursor, table, self._now(cursor)))
            table.staged = table.staged_lines = None
            table.has_marks, table.is_spent = False, True
            return
        gone = table.columns[DELETED_AT] if table.has_marks else None
        note = partial(self.outcomes.note, table.stream)
        mark = mark_if_partial(table.given, table.columns, table.staged)
        if PRESENT in table.staged:
            masks.merge(cursor, table, gone, note, mark)
        else:
            if mark is not None:
                note(masks.new_and_partial(cursor, table, mark))
            table.has_repeats = merge.merge(
                cursor,
                table.stage,
                table.identifier,
                table.staged,
                table.keys,
                has_repeats=table.has_repeats,
                detours=table.detours,
                gone=gone,
                rows=table.rows,
                keepers=table.keepers,
                note=note,
                newest=table.newest,
                onward=table.given.lists_of is not None,
                plain=table.plain,
            )
        if table.has_marks:
            self._note_deleted(table)
        table.staged = table.staged_lines = None
        table.has_marks, table.is_spent = False, True

    def leave_stages(self, cursor: Cursor) -> None:
        """Before the COMMIT, which empties all stages of the session, as each one that follows does: many of them are dropped."""
        if len(self._stages) > _MOST_STAGES:
            merge.drop_stages(cursor, sorted(self._stages))
            self._stages.clear()
            for table in self._tables.values():
                table.has_stage = False

    def _now(self, cursor: Cursor) -> str:
        """The moment of the unit, of which ranges begin and end."""
        self._moment = self._moment or history.moment_of_unit(cursor)
        return self._moment

    def _hold(self, cursor: Cursor, table: Table) -> None:
        """Look at the table once in each unit, before rows go into it."""
        if table.is_locked:
            return
        index = self._fitting.build_key(cursor, table) if table.lacks_key else None
        if table.lacks_key and index is None:
            self._fitting.lock_out(cursor, table)
        hold(cursor, table, self._log, must_hold=self._must_hold(table.stream))
        if table.lacks_key:
            self.altered(cursor, partial(give_key, cursor, table, self._log, index))
        if PRESENT in (table.staged or ()) and not table.takes_masks:
            raise masks.refused(table)
        # Behind a COPY nothing tells which rows were deleted; a merge knows their keys.
        table.takes_copies = table.takes_copies and not table.detours.take_away

    def altered(
        self, cursor: Cursor, fit: Callable[[], _T], give_way: Callable[[str], None] = lambda _why: None
    ) -> _T:
        """Call ``fit``. PostgreSQL alters no table for which a deferred trigger waits: where one does, all are fired.

        ``give_way`` is told why, where a row is refused so that may be right at the end of the unit.
        """
        cursor.execute("SAVEPOINT singerkit_fit")
        try:
            made = fit()
        except psycopg2.Error as error:
            if error.pgcode != errorcodes.OBJECT_IN_USE:
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT singerkit_fit")
            self._judge_all_deferred(cursor, give_way)
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")  # as before for the rows that follow
            made = fit()
        cursor.execute("RELEASE SAVEPOINT singerkit_fit")
        return made

    def let_wait(self, table: Table) -> None:
        """What is in the stage of a table waits with the rest of it, whatever is declared of the table from here on."""
        if table.staged is not None:
            self._tied.take_over(table)

    def write_now(self, cursor: Cursor, table: Table) -> str | None:
        """Write what waits of a table, so that it can be altered; return why other rows are to come first."""
        self.merge(cursor, table)
        return self._tied.try_now(cursor) if table.parts else None

    def activate(self, cursor: Cursor, table: Table, removal: Removal) -> None:
        """Take rows of other versions away; where foreign keys lead to the table, with the end of the unit."""
        self.touched.add(table.stream)
        self.merge(cursor, table)
        if table.given.is_unnamed:
            self._following.add(table.stream)
        elif table.history and loads.has_versions(table):
            self._close_gone(cursor, table, removal)
        elif table.parts or table.shape.ties.is_referred_to:
            table.parts = (*table.parts, removal)
        else:
            self._remove(cursor, table, removal)

    def replace(self, cursor: Cursor, table: Table, which: str | None) -> None:
        """Take rows away, those that wait among them; where some wait for other tables, in their place among these.

        None: of a stream of lists, at the end of the unit.
        """
        self.touched.add(table.stream)
        self._hold(cursor, table)
        if table.shape.ties.is_referred_to:
            self._replacing.check_no_reference(table)
        self.merge(cursor, table)
        if which is None:
            self._following_replaced.add(table.stream)
        elif table.parts:
            table.parts = (*table.parts, Removal(which))
        else:
            self._remove(cursor, table, Removal(which))

    def _close_gone(self, cursor: Cursor, table: Table, removal: Removal) -> None:
        assert isinstance(removal.asked, Version)  # noqa: S101  the only one that a history takes
        self._hold(cursor, table)
        if not loads.is_another_load(cursor, table, removal.asked):
            return
        if table.stream in self.interrupted or loads.is_partly_known(cursor, table, removal.asked):
            tell_of_unknown_load(table.stream, self._log)
        elif removal.others.names and (count := history.count_gone(cursor, table, removal.asked)):
            raise removal.others.refusal(table.stream, table.where, count, self._versions.settings)
        else:
            gone = history.close_gone(cursor, table, removal.asked, self._now(cursor))
            self.outcomes.note(table.stream, gone)
        loads.note_load(cursor, table, removal.asked)
        loads.forget_seen(cursor, table)

    def _note_deleted(self, table: Table) -> None:
        """A table may be empty now, and with it those from which a foreign key takes the rows that refer to them."""
        self.deleted_from |= {one.stream for one in self._tied.reached_from(table)}

    def _remove(self, cursor: Cursor, table: Table, removal: Removal) -> None:
        self._note_deleted(table)
        asked, alone = Asked(cursor), table.alone()
        if isinstance(removal.asked, Version):
            gone = self._versions.apply(asked, alone, removal.asked, removal.others)
        else:
            gone = self._replacing.apply(asked, alone, removal.asked)
        self.outcomes.note(table.stream, Outcome(deleted=gone))

    # --- what only PostgreSQL refuses ----------------------------------------------------------------------

    def _try(self, cursor: Cursor, waiting: Waiting, csv: Csv, count: int) -> psycopg2.Error | None:
        """Write rows, into the table at once; return why they were refused, as if they had not been written."""
        table = waiting.table
        before = table.has_stage, table.takes_copies, table.has_repeats, table.parts
        cursor.execute("SAVEPOINT singerkit_rows")
        try:
            with self.outcomes.unless_refused():
                self._put(cursor, waiting, csv, count)
                self._upsert_staged(cursor, table)
                if not self._defers:
                    self._judge_deferred(cursor)
        except psycopg2.Error as error:
            if not is_refusal(error, self._sets_aside):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT singerkit_rows")
            cursor.execute("RELEASE SAVEPOINT singerkit_rows")
            table.has_stage, table.takes_copies, table.has_repeats, table.parts = before
            table.staged = table.staged_lines = None
            table.has_marks, table.is_spent = False, True
            return error
        cursor.execute("RELEASE SAVEPOINT singerkit_rows")
        return None

    def _find_refused(
        self, cursor: Cursor, waiting: Waiting, rows: Sequence[Placed], error: psycopg2.Error
    ) -> None:
        """Halve rows that were refused until those are alone that are to blame; the others are written."""
        if len(rows) == 1:
            self._set_aside(cursor, waiting.table, rows[0], error)
            return
        middle = len(rows) // 2
        for half in (rows[:middle], rows[middle:]):
            waits = self._has_to_wait(waiting)
            csv = self._tied.encoded(half) if waits else as_csv([row for row, _, _ in half])
            refusal = self._try(cursor, waiting, csv, len(half))
            if refusal is not None:
                self._find_refused(cursor, waiting, half, refusal)

    def _set_aside(self, cursor: Cursor, table: Table, placed: Placed, error: psycopg2.Error) -> None:
        _, batch, index = placed
        column = column_of(error)
        field_name = next((name for name, short in table.columns.items() if short == column), None)
        path = "$" if field_name is None else f"$.{field_name}"
        letter = batch.letter(index, table.stream, path, f"PostgreSQL refused it: {refusal(error)}")
        self._put_aside(cursor, letter)

    def _put_aside(self, cursor: Cursor, letter: Reject) -> None:
        self._write_letters(cursor, [letter])
        self.refused[letter.stream] += 1
        check_room(self._quarantine_limit, self.refused.total(), letter)

    def settle(self, cursor: Cursor) -> None:
        """Merge what is staged, and judge what waits for the COMMIT."""
        self._find_new_ties(cursor)
        for table in sorted(
            self._tables.values(), key=attrgetter("lacks_key")
        ):  # who reads that one waits from here on
            if not table.history:
                self.merge(cursor, table)
            if table.lacks_key:
                self._hold(cursor, table)
        self._tied.settle(cursor)
        self._follow(cursor)
        for table in self._tables.values():  # behind those that they may refer to
            if table.history:
                self.merge(cursor, table)
        self._judge_all_deferred(cursor)  # while there is a safe point to go back to

    def _follow(self, cursor: Cursor) -> None:
        """Have elements go with records that went with their version, or in whose place others are."""
        for streams, follow in (
            (self._following, self._versions.follow),
            (self._following_replaced, self._replacing.follow),
        ):
            for table in map(self._tables.__getitem__, streams):
                assert table.given.lists_of is not None  # noqa: S101  it is of lists
                self._hold(cursor, table)
                above = self._tables[table.given.lists_of].alone()
                gone = follow(Asked(cursor), table.alone(), above)
                self.outcomes.note(table.stream, Outcome(deleted=gone))
                if gone:
                    self._note_deleted(table)
            streams.clear()

    def _find_new_ties(self, cursor: Cursor) -> None:
        """What is staged of a table that got a foreign key since the last unit waits as if it had had that before."""
        for table in self._tables.values():
            if table.staged is not None and not table.lacks_key:
                self._hold(cursor, table)
                if self._tied.has_to_wait(table, goes=table.has_marks):
                    self._tied.take_over(table)

    def _judge_all_deferred(
        self, cursor: Cursor, give_way: Callable[[str], None] = lambda _why: None
    ) -> None:
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
            if is_refusal(error):
                give_way(refusal(error))
            if not (self._defers and is_refusal(error, self._sets_aside)):
                raise
            self._defers = False
            raise LateRefusal(f"A deferred constraint refuses a row: {refusal(error)}", ".") from error

    def _kept_by_reference(self, error: psycopg2.Error) -> SingerkitError | None:
        """Say what helps where rows refer to one that goes with its version; the key of a table of ours may refuse a row that came."""
        loaded = [(table.schema, table.name) for table in self._tables.values()]
        if not (self.activated and self._hard_delete) or referring_table(error) in (None, *loaded):
            return None
        return self._versions.refused(sorted(self.activated), error)

    def _judge_deferred(self, cursor: Cursor) -> None:
        """Fire what waits for the end of the transaction, and see that it deletes none of its rows."""
        tables = [table for table in self._tables.values() if table.detours.defer]
        before = [ddl.own_rows(cursor, table.identifier) for table in tables]
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table, count in zip(tables, before, strict=True):
            check_stored(count, ddl.own_rows(cursor, table.identifier))


def holding_rows(cursor: Cursor, tables: Collection[Table]) -> frozenset[str]:
    """The streams whose tables hold rows, in this transaction."""
    if not tables:
        return frozenset()
    ask = SQL("EXISTS (SELECT 1 FROM {})")
    cursor.execute(SQL("SELECT {}").format(SQL(", ").join(ask.format(table.identifier) for table in tables)))
    answers = cursor.fetchone() or ()
    return frozenset(table.stream for table, holds in zip(tables, answers, strict=True) if holds)


def _connection_failed(cursor: Cursor) -> bool:
    """Tell whether the cursor's transaction is aborted or its connection lost."""
    connection = cursor.connection
    return (
        bool(connection.closed)
        or connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INERROR
    )
