"""Rows of tables that foreign keys tie together: they wait for the end of the unit, and go in parents before children.

PostgreSQL judges a foreign key behind each statement, and a unit has its rows in any order: by stream, or as a tap sends
them. Rows that go (single ones, and those of other versions) go behind all that come, children before parents
(docs/decisions/0035-foreign-keys.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count, zip_longest

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composed, Identifier, Literal

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.partial import mark_if_partial
from singerkit_target.outcomes import Outcomes
from singerkit_wire.batch import Reject
from singerkit_wire.stream import DELETED_AT
from target_postgres import ddl
from target_postgres.copy import copy_rows
from target_postgres.elements import not_ended
from target_postgres.faults import column_of, during, is_refusal, refusal
from target_postgres.merge import Gone, Note, Put, latest, put_together, take_together
from target_postgres.newest import newest_among, sift
from target_postgres.overwriting import (
    create_stage,
    has_rest,
    is_new_or_differs,
    note_rest,
    take_elements,
    take_rest,
)
from target_postgres.parts import LINE, RECORD, Part, Removal, Rows
from target_postgres.rows import Csv, as_csv
from target_postgres.tables import Table
from target_postgres.ties import is_cyclic, parents_first
from target_postgres.waiting import Placed, Waiting, said, span

__all__ = ["Tied"]

_FIRST_LOOK = 8
"""With how many stages of a table, one for each set of columns in a row, is tried whether their rows can go in by now."""

_EACH = Composed([SQL("true")])
_NOTHING = Composed([])


class Tied:
    """``tables`` are those of the run; the callables are what the unit does elsewhere, in the same transaction.

    ``hold`` looks at a table once in each unit, ``remove`` takes rows of other versions away, ``set_aside`` writes a dead
    letter, ``note_deleted`` is told of tables that lose rows, ``outcomes`` of what was done. ``sets_aside`` are the classes of errors for which that is done.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        *,
        hold: Callable[[Cursor, Table], None],
        remove: Callable[[Cursor, Table, Removal], None],
        set_aside: Callable[[Cursor, Reject], None],
        note_deleted: Callable[[Table], None],
        sets_aside: Sequence[str],
        outcomes: Outcomes,
        log: logging.Logger,
    ) -> None:
        self._tables = tables
        self._hold = hold
        self._remove = remove
        self._set_aside = set_aside
        self._note_deleted = note_deleted
        self._sets_aside = tuple(sets_aside)
        self._outcomes = outcomes
        self._log = log
        self._numbers = count()  # of stages
        self._orphaned: dict[
            str, set[int]
        ] = {}  # of which streams rows were set aside, and to what they refer
        self._early: dict[str, set[int]] = {}  # the same of units that are committed
        self._next_look: dict[str, int] = {}

    # --- what waits ----------------------------------------------------------------------------------------

    def refers(self, table: Table) -> Collection[int]:
        """Return what a table refers to by constraints that are judged before the COMMIT.

        Where rows are to be set aside that is each of them: at the COMMIT nothing tells which row it is.
        """
        ties = table.shape.ties
        return ties.now | ties.late if self._sets_aside else ties.now

    def has_to_wait(self, table: Table, *, goes: bool) -> bool:
        """Tell whether rows of a table wait for others; ``goes``: some are to be deleted."""
        if table.history:  # no row of it is the one that another table refers to
            return False
        return bool(
            table.overwrites
            or table.parts
            or self.refers(table)
            or (goes and table.shape.ties.is_referred_to)
        )

    def add(self, cursor: Cursor, waiting: Waiting, csv: Csv) -> None:
        """Put rows into a stage, by `encoded` where they may be set aside."""
        table, columns = waiting.table, waiting.columns
        last = table.parts[-1] if table.parts else None
        if isinstance(last, Rows) and last.columns == columns:
            rows, before = last, table.parts[:-1]
        else:
            self._look(cursor, table)
            rows, before = self._stage(cursor, table, columns), table.parts
        extra = (LINE, RECORD) if self._sets_aside else ()
        copy_rows(cursor, Identifier("pg_temp", rows.stage), (*columns, *extra), csv)
        lines, has_marks = span(rows.lines, waiting.lines), rows.has_marks or waiting.has_marks
        table.parts = (*before, replace(rows, lines=lines, has_marks=has_marks))

    def encoded(self, rows: Sequence[Placed]) -> Csv:
        """Return rows as COPY takes them into a stage, each with its line."""
        records: dict[int, list[bytes]] = {}
        placed = []
        for row, batch, index in rows:
            assert batch.run is not None  # noqa: S101  rows come out of one
            if id(batch.run) not in records:
                records[id(batch.run)] = batch.run.data.split(b"\n")
            place = batch.places[index]
            record = records[id(batch.run)][place]
            placed.append((*row, batch.run.line_number(place), "\\x" + record.hex()))
        return as_csv(placed)

    def _note(self, table: Table) -> Note:
        return partial(self._outcomes.note, table.stream)

    def _stage(self, cursor: Cursor, table: Table, columns: Sequence[str]) -> Rows:
        stage = f"singerkit_part_{next(self._numbers)}"
        if table.overwrites:
            placed = ((LINE, "bigint"), (RECORD, "bytea")) if self._sets_aside else ()
            create_stage(cursor, stage, table, columns, placed)
            return Rows(stage, tuple(columns))
        names = SQL(", ").join(map(Identifier, columns))
        extra = SQL(", NULL::bigint AS {}, NULL::bytea AS {}").format(Identifier(LINE), Identifier(RECORD))
        cursor.execute(
            SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {}{} FROM {} WITH NO DATA").format(
                Identifier(stage), names, extra if self._sets_aside else SQL(""), table.identifier
            )
        )
        return Rows(stage, tuple(columns))

    def take_over(self, table: Table) -> None:
        """Let what is in the stage of a table wait here."""
        assert table.staged is not None  # noqa: S101  the caller has looked
        rows = Rows(table.stage, table.staged, table.staged_lines, table.has_marks)
        table.parts = (rows, *table.parts)
        table.staged = table.staged_lines = None
        table.has_marks = table.has_stage = False

    def reached_from(self, table: Table) -> list[Table]:
        """Return a table, and those whose foreign keys lead to it, from one to the next."""
        found = [table]
        for parent in found:
            found += [
                child
                for child in self._tables.values()
                if child not in found and parent.shape.oid in child.shape.ties.now | child.shape.ties.late
            ]
        return found

    def _look(self, cursor: Cursor, table: Table) -> None:
        """Let what waits go in where it can by now: a row that is sent in parts makes a stage of each."""
        stages = sum(isinstance(part, Rows) for part in table.parts)
        if stages and stages >= self._next_look.get(table.stream, _FIRST_LOOK):
            self._next_look[table.stream] = 2 * stages
            self.try_now(cursor)

    def commit(self) -> None:
        """The unit is committed."""
        self._next_look.clear()
        for stream, parents in self._orphaned.items():
            self._early.setdefault(stream, set()).update(parents)
        self._orphaned.clear()

    def lose_unit(self) -> None:
        """The unit is given up."""
        self._orphaned.clear()

    def tell_of_early(self, table: Table) -> None:
        """Say once where rows come that others may have been set aside for want of, in a unit before."""
        for stream in [stream for stream, parents in self._early.items() if table.shape.oid in parents]:
            del self._early[stream]
            self._log.warning(
                "Rows of stream `%s` were set aside, since the rows of stream `%s` that they refer to had not come up to a STATE that is "
                "committed; rows of that come now. If they are those, let the tap send it first, or no STATE between the two, and read "
                "stream `%s` anew: run %s.",
                stream,
                table.stream,
                stream,
                self._tables[stream].read_anew,
            )

    # --- in and out ----------------------------------------------------------------------------------------

    def settle(self, cursor: Cursor) -> None:
        """Write all that waits; what is refused is set aside, where that is to be done."""
        groups = self._groups(cursor)
        self._sift(cursor, groups)
        if self._sets_aside:
            self._judge_at_once(cursor, groups)
        overwritten = [table for group in groups for table in group if table.overwrite is not None]
        for table in overwritten:
            note_rest(cursor, table, self._note(table))
            self._note_deleted(table)
        for group in groups:
            self._write(cursor, group, takes=False)
        for table in filter(has_rest, overwritten):
            self._take_elements(cursor, table)
        for group in reversed(groups):
            self._write(cursor, group, takes=True)
            self._remove_last(cursor, group)
            take_rest(cursor, group, self._note)
        self._forget(cursor, groups)

    def _take_elements(self, cursor: Cursor, table: Table) -> None:
        """Have elements of lists go with rows that did not come."""
        for elements in [one for one in self._tables.values() if one.given.lists_of == table.stream]:
            self._hold(cursor, elements)
            take_elements(cursor, table, elements, self._note(elements))
            self._note_deleted(elements)

    def try_now(self, cursor: Cursor) -> str | None:
        """Write all that waits, or nothing of it; return why that is refused."""
        for table in self._tables.values():
            if table.staged is not None and table.shape.ties.is_referred_to and not table.lacks_key:
                self.take_over(table)
        groups = self._groups(cursor, early=True)
        self._sift(cursor, groups)

        def write() -> None:
            if self._sets_aside:  # at the end nothing would tell which row it is
                self._judge_at_once(cursor, groups)
            for group in groups:
                self._put(cursor, group)
            for group in reversed(groups):
                self._take(cursor, group)
                self._remove_last(cursor, group)

        cursor.execute("SAVEPOINT singerkit_now")
        try:
            with self._outcomes.unless_refused():
                write()
        except BadDataError as error:
            refused = str(error)
        except psycopg2.Error as error:
            if not is_refusal(error):
                raise
            refused = refusal(error)
        else:
            cursor.execute("RELEASE SAVEPOINT singerkit_now")
            self._forget(cursor, groups)
            return None
        cursor.execute("ROLLBACK TO SAVEPOINT singerkit_now")
        cursor.execute("RELEASE SAVEPOINT singerkit_now")
        return refused

    def _groups(self, cursor: Cursor, *, early: bool = False) -> list[list[Table]]:
        """``early``: before the end of the unit, for which loads wait that take the place of what was there."""
        tables = [
            table
            for table in self._tables.values()
            if (table.parts or table.overwrite) and not (early and table.overwrites)
        ]
        for table in tables:
            self._hold(cursor, table)
        return parents_first(tables, self.refers)

    def _sift(self, cursor: Cursor, groups: Sequence[Sequence[Table]]) -> None:
        """Let nothing wait that is older than what is stored, or came before it, where the newest row of a key counts."""
        for group in groups:
            for table in group:
                if table.newest is not None:
                    note = self._note(table)
                    note(sift(cursor, _rows(table), table.rows, table.keys, table.newest))

    def _forget(self, cursor: Cursor, groups: Sequence[Sequence[Table]]) -> None:
        for group in groups:
            for table in group:
                for rows in _rows(table):
                    cursor.execute(SQL("DROP TABLE pg_temp.{}").format(Identifier(rows.stage)))
                table.parts, table.overwrite = (), None

    def _judge_at_once(self, cursor: Cursor, groups: Sequence[Sequence[Table]]) -> None:
        """Have foreign keys judged behind each statement that are otherwise at the COMMIT."""
        names = [
            Identifier(*name)
            for group in groups
            for table in group
            if table.shape.ties.late
            for name in ddl.late_foreign_keys(cursor, table.schema, table.name)
        ]
        if names:
            cursor.execute(SQL("SET CONSTRAINTS {} IMMEDIATE").format(SQL(", ").join(names)))

    def _put(self, cursor: Cursor, group: Sequence[Table]) -> None:
        """Write the rows that wait for the tables of a group; a removal that others follow is done in its place."""
        rows = [(table, part) for table in group for part in _rows(table)]
        turns = list(zip_longest(*(_without_last_removals(table) for table in group)))
        has_removals = any(isinstance(part, Removal) for turn in turns for part in turn)
        if len(rows) > 1 and is_cyclic(group, self.refers) and not has_removals:
            puts = [self._rows_in(table, part) for table, part in rows]
            if self._tried(cursor, partial(put_together, cursor, puts), _is_of_one_row_twice) is not None:
                put_together(cursor, [put for table in group for put in self._folded(cursor, table)])
            return
        for turn in turns:
            for table, part in zip(group, turn, strict=True):
                if isinstance(part, Removal):
                    self._remove(cursor, table, part)
                elif part is not None:
                    put_together(cursor, [self._rows_in(table, part)])

    def _folded(self, cursor: Cursor, table: Table) -> list[Put]:
        """The rows that are to be there, each once: of one that came with several sets of columns the last value of each."""
        if not table.keys:
            return [self._rows_in(table, rows) for rows in _rows(table)]
        found: dict[tuple[str, ...], Rows] = {}
        for rows in _rows(table):
            later = self._kept(cursor, rows.columns, latest(rows.stage, rows.columns, table.keys, _EACH))
            for former in list(found.values()):
                self._fold(cursor, table, found, former, later)
            self._gather(cursor, found, later)
        return [self._put_in(table, rows, _stored(table, rows)) for rows in found.values()]

    def _fold(
        self, cursor: Cursor, table: Table, found: dict[tuple[str, ...], Rows], former: Rows, later: Rows
    ) -> None:
        """Have the rows that stand in both stages in one of all their columns, and in neither of the two."""
        columns = tuple(dict.fromkeys([*former.columns, *later.columns]))
        mark = _mark(table)

        def value(column: str) -> Composed:
            if column in later.columns:
                return SQL("later.{}").format(Identifier(column))
            # A row that comes again without a mark is there, whatever was said before.
            kept = "CASE WHEN false THEN former.{} END" if column == mark else "former.{}"
            return SQL(kept).format(Identifier(column))

        select = SQL("SELECT {} FROM pg_temp.{} AS former JOIN pg_temp.{} AS later ON {}").format(
            SQL(", ").join(SQL("{} AS {}").format(value(column), Identifier(column)) for column in columns),
            Identifier(former.stage),
            Identifier(later.stage),
            _same_key(table, "former", "later"),
        )
        folded = self._kept(cursor, columns, select)
        for rows in (former, later):
            cursor.execute(
                SQL("DELETE FROM pg_temp.{} AS rows USING pg_temp.{} AS folded WHERE {}").format(
                    Identifier(rows.stage), Identifier(folded.stage), _same_key(table, "rows", "folded")
                )
            )
        self._gather(cursor, found, folded)

    def _kept(self, cursor: Cursor, columns: Sequence[str], select: Composed) -> Rows:
        stage = f"singerkit_fold_{next(self._numbers)}"
        cursor.execute(
            SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS {}").format(Identifier(stage), select)
        )
        return Rows(stage, tuple(columns))

    def _gather(self, cursor: Cursor, found: dict[tuple[str, ...], Rows], rows: Rows) -> None:
        """Put rows to those with the same columns."""
        same = found.setdefault(tuple(sorted(rows.columns)), rows)
        if same is not rows:
            names = SQL(", ").join(map(Identifier, rows.columns))
            cursor.execute(
                SQL("INSERT INTO pg_temp.{} ({}) SELECT {} FROM pg_temp.{}").format(
                    Identifier(same.stage), names, names, Identifier(rows.stage)
                )
            )

    def _remove_last(self, cursor: Cursor, group: Sequence[Table]) -> None:
        for table in group:
            for part in table.parts[len(_without_last_removals(table)) :]:
                assert isinstance(part, Removal)  # noqa: S101  by its place
                self._remove(cursor, table, part)

    def _rows_in(self, table: Table, rows: Rows, which: Composed = _EACH, *, alone: bool = False) -> Put:
        """The rows of a stage that are to be there, but for those that are deleted behind it.

        Unless they go in ``alone``, those that come again as a whole are left out, too: PostgreSQL writes a row only once in
        a statement.
        """
        select = latest(rows.stage, rows.columns, table.keys, which)
        if table.keys:
            stay = [SQL("({}) IS NULL").format(_gone(table))] if rows.has_marks else []
            stay += _come_no_more(table, rows, of="rows", alone=alone)
            stay += not_ended(table, [rows, *_behind(table, rows)], _mark_of(table), of="rows")
            if table.overwrites:
                stay.append(is_new_or_differs(table, rows.columns, "rows"))
            if stay:
                select = SQL("SELECT * FROM ({}) AS rows WHERE {}").format(select, SQL(" AND ").join(stay))
        return self._put_in(table, rows, select)

    def _put_in(self, table: Table, rows: Rows, select: Composed) -> Put:
        newest = newest_among(table.newest, rows.columns)
        partial = mark_if_partial(table.given, table.columns, rows.columns)
        note = self._note(table)
        return Put(
            select,
            table.identifier,
            rows.columns,
            table.keys,
            table.detours,
            note,
            newest,
            partial=partial,
        )

    def _take(self, cursor: Cursor, group: Sequence[Table]) -> None:
        """Delete the rows of a group that are to go."""
        gone = [self._rows_out(table, rows) for table in group for rows in _rows(table) if rows.has_marks]
        if gone:
            take_together(cursor, gone)
            for table in group:
                self._note_deleted(table)

    def _rows_out(self, table: Table, rows: Rows, which: Composed = _EACH) -> Gone:
        newest = newest_among(table.newest, rows.columns)
        order = [] if newest is None else [table.columns[table.given.order or ""]]
        columns = [*table.keys, _mark_of(table), *order]
        if self._sets_aside:
            columns.append(LINE)
        last = latest(rows.stage, columns, table.keys, _EACH)
        conditions = [
            SQL("{} IS NOT NULL").format(_gone(table)),
            *(_without(table, later) for later in _behind(table, rows)),
            which,
        ]
        select = SQL("SELECT * FROM ({}) AS rows WHERE {}").format(last, SQL(" AND ").join(conditions))
        onward = _mark_of(table) if table.given.lists_of is not None else None
        return Gone(select, table.rows, table.keys, table.keepers, self._note(table), newest, onward)

    # --- what is refused -----------------------------------------------------------------------------------

    def _write(self, cursor: Cursor, group: Sequence[Table], *, takes: bool) -> None:
        """Write the rows that come, or with ``takes`` those that go."""
        whole = partial(self._take if takes else self._put, cursor, group)
        with during(_loading(group)):
            if not self._sets_aside:
                whole()
                return
            while (error := self._tried(cursor, whole, self._is_for_one_row)) is not None:
                if takes or not self._set_orphans_aside(cursor, group, error):
                    self._find_refused(cursor, group, error, takes=takes)

    def _is_for_one_row(self, error: psycopg2.Error) -> bool:
        return is_refusal(error, self._sets_aside)

    def _set_orphans_aside(self, cursor: Cursor, group: Sequence[Table], error: psycopg2.Error) -> bool:
        """Set aside the rows without the row that they refer to by the foreign key that was violated; False: there is none.

        Those of the group count as if they were there: what is left of them goes in together.
        """
        if error.pgcode != errorcodes.FOREIGN_KEY_VIOLATION:
            return False
        diag = error.diag
        key = ddl.foreign_key(cursor, diag.schema_name, diag.table_name, diag.constraint_name)
        if key is None:
            return False
        found = 0
        for table in group:
            for rows in _rows(table) if table.shape.oid in key.tables else ():
                if set(key.columns) <= set(rows.columns):
                    which = self._refers_to_nothing(group, table, rows, key)
                    found += self._set_aside_where(cursor, table, rows, which, error)
                    self._orphaned.setdefault(table.stream, set()).update(key.parents)
        return found > 0

    def _refers_to_nothing(
        self, group: Sequence[Table], table: Table, rows: Rows, key: ddl.ForeignKey
    ) -> Composed:
        """The condition that a row of a stage refers to nothing, and is not replaced by a later one or deleted."""
        parents = [(key.parent, _EACH)]
        for parent in group:
            if parent.shape.oid in key.parents:
                parents += [
                    (Identifier("pg_temp", part.stage), _stays(parent, part))
                    for part in _rows(parent)
                    if set(key.parent_columns) <= set(part.columns)
                ]
        pairs = list(zip(key.columns, key.parent_columns, strict=True))
        same = SQL(" AND ").join(
            SQL("parent.{} = staged.{}").format(Identifier(theirs), Identifier(ours))
            for ours, theirs in pairs
        )
        conditions = [
            *(SQL("staged.{} IS NOT NULL").format(Identifier(ours)) for ours in key.columns),
            *(
                SQL("NOT EXISTS (SELECT 1 FROM {} AS parent WHERE {} AND {})").format(parent, same, stays)
                for parent, stays in parents
            ),
            _stays(table, rows, of="staged"),
        ]
        if table.keys:
            later = SQL(
                "NOT EXISTS (SELECT 1 FROM pg_temp.{} AS later WHERE later.ctid > staged.ctid AND {})"
            )
            conditions.append(later.format(Identifier(rows.stage), _same_key(table, "later", "staged")))
            conditions += _come_no_more(table, rows, of="staged")
            conditions += not_ended(table, [rows, *_behind(table, rows)], _mark_of(table), of="staged")
        return SQL(" AND ").join(conditions)

    def _find_refused(
        self, cursor: Cursor, group: Sequence[Table], error: psycopg2.Error, *, takes: bool
    ) -> None:
        """Set aside what is to blame, and write what can be written without the rest.

        A row whose foreign key is violated may only lack others that wait as it does: it is left for later, unless nothing
        else is found.
        """
        for spares in (True, False):
            found = 0
            for table in group:
                for rows in _rows(table):
                    lines = self._lines(cursor, table, rows, takes=takes)
                    if lines is not None:
                        found += self._halve(cursor, table, rows, lines, spares=spares, takes=takes)
            if found:
                return
        raise error

    def _lines(self, cursor: Cursor, table: Table, rows: Rows, *, takes: bool) -> tuple[int, int] | None:
        cursor.execute(
            SQL("SELECT min({0}), max({0}) FROM pg_temp.{1} AS staged WHERE {2}").format(
                Identifier(LINE), Identifier(rows.stage), _which(table, rows, takes=takes)
            )
        )
        first, last = cursor.fetchone() or (None, None)
        return None if first is None else (first, last)

    def _halve(
        self, cursor: Cursor, table: Table, rows: Rows, lines: tuple[int, int], *, spares: bool, takes: bool
    ) -> int:
        """Write the rows of these lines, or halve them until those are alone that are to blame; return how many are done with."""
        first, last = lines
        these = SQL("{} BETWEEN {} AND {}").format(Identifier(LINE), Literal(first), Literal(last))

        def write() -> None:
            if takes:
                take_together(cursor, [self._rows_out(table, rows, these)])
            else:
                put_together(cursor, [self._rows_in(table, rows, these, alone=True)])

        error = self._tried(cursor, write, self._is_for_one_row)
        which = SQL("{} AND {}").format(these, _which(table, rows, takes=takes))
        if error is None:
            return self._drop_staged(cursor, table, rows, which)
        if first == last:
            if spares and error.pgcode == errorcodes.FOREIGN_KEY_VIOLATION:
                return 0
            return self._set_aside_where(cursor, table, rows, which, error)
        middle = (first + last) // 2
        halves = ((first, middle), (middle + 1, last))
        return sum(self._halve(cursor, table, rows, half, spares=spares, takes=takes) for half in halves)

    def _drop_staged(self, cursor: Cursor, table: Table, rows: Rows, which: Composed) -> int:
        """Have rows that are written wait no more, nor what came before them under their keys."""
        stage = Identifier(rows.stage)
        if table.keys:
            written = SQL("SELECT {}, ctid AS place FROM pg_temp.{} AS staged WHERE {}").format(
                SQL(", ").join(map(Identifier, table.keys)), stage, which
            )
            cursor.execute(
                SQL(
                    "DELETE FROM pg_temp.{} AS staged USING ({}) AS written WHERE {} AND staged.ctid <= place"
                ).format(stage, written, _same_key(table, "staged", "written"))
            )
        else:
            cursor.execute(SQL("DELETE FROM pg_temp.{} AS staged WHERE {}").format(stage, which))
        return cursor.rowcount

    def _set_aside_where(
        self, cursor: Cursor, table: Table, rows: Rows, which: Composed, error: psycopg2.Error
    ) -> int:
        cursor.execute(
            SQL("DELETE FROM pg_temp.{} AS staged WHERE {} RETURNING {}, {}").format(
                Identifier(rows.stage), which, Identifier(LINE), Identifier(RECORD)
            )
        )
        found = sorted((line, bytes(record)) for line, record in cursor.fetchall())
        column = column_of(error)
        field = next((name for name, short in table.columns.items() if short == column), None)
        path, reason = "$" if field is None else f"$.{field}", f"PostgreSQL refused it: {refusal(error)}"
        for line, record in found:
            self._set_aside(cursor, Reject(table.stream, line, path, reason, record))
        return len(found)

    def _tried(
        self, cursor: Cursor, write: Callable[[], None], refuses: Callable[[psycopg2.Error], bool]
    ) -> psycopg2.Error | None:
        """Call ``write``; return the error by which it was refused, as if it had not been called."""
        cursor.execute("SAVEPOINT singerkit_tied")
        try:
            with self._outcomes.unless_refused():
                write()
        except psycopg2.Error as error:
            if not refuses(error):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT singerkit_tied")
            cursor.execute("RELEASE SAVEPOINT singerkit_tied")
            return error
        cursor.execute("RELEASE SAVEPOINT singerkit_tied")
        return None


def _is_of_one_row_twice(error: psycopg2.Error) -> bool:
    return error.pgcode == errorcodes.CARDINALITY_VIOLATION


def _rows(table: Table) -> list[Rows]:
    return [part for part in table.parts if isinstance(part, Rows)]


def _behind(table: Table, rows: Rows) -> list[Rows]:
    """What waits of a table and came later."""
    return [part for part in table.parts[table.parts.index(rows) + 1 :] if isinstance(part, Rows)]


def _without_last_removals(table: Table) -> Sequence[Part]:
    last = len(table.parts)
    while last and isinstance(table.parts[last - 1], Removal):
        last -= 1
    return table.parts[:last]


def _mark_of(table: Table) -> str:
    """Return the column by which rows go; a SCHEMA behind those that wait need not name it any more."""
    return table.columns.get(DELETED_AT, DELETED_AT)


def _gone(table: Table) -> Identifier:
    return Identifier(_mark_of(table))


def _mark(table: Table) -> str | None:
    """The column by which rows of a table are to be deleted, if any are."""
    return _mark_of(table) if any(rows.has_marks for rows in _rows(table)) else None


def _stored(table: Table, rows: Rows) -> Composed:
    mark = _mark(table)
    stays = SQL("{} IS NULL").format(Identifier(mark)) if mark in rows.columns else _EACH
    return SQL("SELECT {} FROM pg_temp.{} WHERE {}").format(
        SQL(", ").join(map(Identifier, rows.columns)), Identifier(rows.stage), stays
    )


def _stays(table: Table, rows: Rows, of: str = "parent") -> Composed:
    """The condition that a row of a stage is none that is to be deleted."""
    return SQL("{}.{} IS NULL").format(Identifier(of), _gone(table)) if rows.has_marks else _EACH


def _which(table: Table, rows: Rows, *, takes: bool) -> Composed:
    """The condition that a row of a stage is one that goes, or comes."""
    if not takes:
        return _stays(table, rows, of="staged")
    if not rows.has_marks:
        return Composed([SQL("false")])
    return SQL("staged.{} IS NOT NULL").format(_gone(table))


def _same_key(table: Table, one: str, other: str) -> Composed:
    return SQL(" AND ").join(
        SQL("{}.{} = {}.{}").format(Identifier(one), Identifier(key), Identifier(other), Identifier(key))
        for key in table.keys
    )


def _come_no_more(table: Table, rows: Rows, *, of: str, alone: bool = False) -> list[Composed]:
    """The conditions that a row does not come again as a whole in a later stage, or go there."""
    conditions = []
    for later in _behind(table, rows):
        if not alone and set(later.columns) >= set(rows.columns):
            conditions.append(_without(table, later, of=of))
        elif later.has_marks:
            goes = SQL(" AND later.{} IS NOT NULL").format(_gone(table))
            conditions.append(_without(table, later, goes, of=of))
    return conditions


def _without(table: Table, later: Rows, which: Composed = _NOTHING, *, of: str = "rows") -> Composed:
    """The condition that a key does not come again in a later stage."""
    return SQL("NOT EXISTS (SELECT 1 FROM pg_temp.{} AS later WHERE {}{})").format(
        Identifier(later.stage), _same_key(table, "later", of), which
    )


def _loading(group: Sequence[Table]) -> str:
    lines = None
    for table in group:
        for rows in _rows(table):
            lines = span(lines, rows.lines)
    names = " and ".join(f"`{table.stream}`" for table in group)
    return f"loading stream{'' if len(group) == 1 else 's'} {names}{said(lines)}"
