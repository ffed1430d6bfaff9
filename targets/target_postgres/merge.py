"""From the staging table into the table: insert what is new, update what differs, leave the rest untouched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from singerkit_sql_target.newest import Newest
from singerkit_target.outcomes import Outcome
from singerkit_wire.elementmarks import ASIDE, BACK
from singerkit_wire.masks import PRESENT
from target_postgres.counting import Counting
from target_postgres.ddl import Detours, own_rows
from target_postgres.faults import NotDone, check_stored
from target_postgres.newest import is_older, leave_older, listed, newest_among, order

__all__ = [
    "Gone",
    "Note",
    "Put",
    "create_stage",
    "differ",
    "drop_stages",
    "empty_stage",
    "latest",
    "merge",
    "put_together",
    "take_together",
]

Note = Callable[[Outcome | None], None]


def _unnoted(_outcome: Outcome | None) -> None:
    """Nobody asks."""


def create_stage(cursor: Cursor, stage: str, table: Identifier, *, is_masked: bool = False) -> None:
    """Create an empty temporary twin of the table without its index; it is emptied at each commit.

    ``is_masked``: it has a column for what a row leaves out, too (`singerkit_wire.masks`).
    """
    cursor.execute(SQL("DROP TABLE IF EXISTS pg_temp.{}").format(Identifier(stage)))
    mask = SQL("NULL::varbit AS {}, ").format(Identifier(PRESENT)) if is_masked else SQL("")
    cursor.execute(
        SQL("CREATE TEMPORARY TABLE {} ON COMMIT DELETE ROWS AS SELECT {}* FROM {} WITH NO DATA").format(
            Identifier(stage), mask, table
        )
    )


def empty_stage(cursor: Cursor, stage: str) -> None:
    """Forget the staged rows, and have those that come stand in their order.

    Only into a table that is new in its transaction, or was emptied in it, does COPY put rows always behind the last one: in another it looks
    for a page with room (`TABLE_INSERT_SKIP_FSM`), and a short row may come to stand before a long one that came earlier.
    """
    cursor.execute(SQL("TRUNCATE pg_temp.{}").format(Identifier(stage)))


def drop_stages(cursor: Cursor, stages: Iterable[str]) -> None:
    """Drop stages, as far as they are there."""
    names = SQL(", ").join(Identifier("pg_temp", stage) for stage in stages)
    cursor.execute(SQL("DROP TABLE IF EXISTS {}").format(names))


def merge(
    cursor: Cursor,
    stage: str,
    table: Identifier,
    columns: Sequence[str],
    keys: Sequence[str],
    *,
    has_repeats: bool,
    detours: Detours | None = None,
    gone: str | None = None,
    rows: Composable | None = None,
    keepers: str = "trigger or rule",
    note: Note = _unnoted,
    newest: Newest | None = None,
    onward: bool = False,
    plain: Collection[str] = (),
) -> bool:
    """Upsert the staged rows; the last of several rows with one key wins (SINGER-RULES G11).

    ``columns`` are those the staged rows hold: the others keep their stored values. A row is rewritten only when one
    of them differs in any byte. Returns True when the stage held a key twice, which costs a sort: pass it on as
    ``has_repeats`` next time. ``detours``: triggers of the table that may keep rows out or delete them.
    ``gone``: the column that is not null in the last row of a key that is to be deleted; ``rows`` is what they are deleted from, if
    not the table with all that inherits from it, ``keepers`` what of it may keep them; with ``onward`` it is that of `Gone`. ``note`` is told what was
    done. ``newest``: how of two rows with one key the newer is told, which counts in the place of the last. ``plain``: see `differ`.

    Raises:
        NotDone: fewer rows were written than should be, or are there.
    """
    newest = newest_among(newest, columns)

    if gone is not None:
        last = _select(stage, columns, keys, newest, has_repeats=True)
        coming = Put(_where(last, gone, "IS NULL"), table, columns, keys, detours, note, newest, plain)
        put_together(cursor, [coming])
        select = _where(last, gone, "IS NOT NULL")
        going = Gone(select, rows or table, keys, keepers, note, newest, gone if onward else None)
        take_together(cursor, [going])
        note(leave_older(cursor, last, rows or table, keys, newest))
        return has_repeats

    def put(*, has_repeats: bool) -> None:
        select = _select(stage, columns, keys, newest, has_repeats=has_repeats)
        put_together(cursor, [Put(select, table, columns, keys, detours, note, newest, plain)])
        note(leave_older(cursor, select, rows or table, keys, newest))

    if not has_repeats:
        cursor.execute("SAVEPOINT singerkit_merge")
        try:
            put(has_repeats=False)
        except psycopg2.Error as error:
            if error.pgcode != errorcodes.CARDINALITY_VIOLATION:
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT singerkit_merge")
            has_repeats = True
        cursor.execute("RELEASE SAVEPOINT singerkit_merge")
        if not has_repeats:
            return False
    put(has_repeats=True)
    return True


@dataclass(frozen=True)
class Put:
    """Rows of ``columns`` that ``select`` returns, on their way into a table: by its key, or all of them where it has none.

    ``newest``: those that are older by it than the stored one stay out. ``partial``: each leaves a field out, and the column that says of a row
    whether it is gone (`singerkit_sql_target.partial`).
    """

    select: Composed
    table: Identifier
    columns: Sequence[str]
    keys: Sequence[str]
    detours: Detours | None = None
    note: Note = _unnoted
    newest: Newest | None = None
    plain: Collection[str] = ()
    partial: str | None = None

    @property
    def changing(self) -> list[str]:
        return [column for column in self.columns if column not in self.keys]

    @property
    def looks_back(self) -> bool:
        return bool(self.keys and self.detours is not None and self.detours.keep_old and self.changing)

    @property
    def statement(self) -> Composed:
        if not self.keys:
            return SQL("INSERT INTO {} ({}) {}").format(self.table, _list(self.columns), self.select)
        return _upsert(
            self.select, self.table, self.columns, self.keys, _action(self.changing, self.newest, self.plain)
        )


def put_together(cursor: Cursor, puts: Sequence[Put]) -> None:
    """Write rows in one statement, behind which PostgreSQL judges foreign keys: rows of several tables may refer to each other.

    Raises:
        NotDone: fewer rows were written than should be, or are there.
    """
    befores = [Identifier("pg_temp", f"singerkit_before_{number}") for number in range(len(puts))]
    own = []
    for put, before in zip(puts, befores, strict=True):
        if put.looks_back:
            _note_changing(cursor, before, put)
        takes_away = not put.keys and put.detours is not None and put.detours.take_away
        own.append(own_rows(cursor, put.table) if takes_away else None)
    counting = Counting(cursor, [put.table for put in puts]) if any(put.keys for put in puts) else None
    partial = [_new_and_partial(cursor, put) for put in puts]
    counts = _run_together(cursor, [put.statement for put in puts])
    outcomes = [Outcome(new=count) for count in counts] if counting is None else counting.outcomes(counts)
    for put, outcome, count in zip(puts, outcomes, partial, strict=True):
        put.note(None if outcome is None else outcome._replace(partial=count))
    for put, before, count, there in zip(puts, befores, counts, own, strict=True):
        if put.looks_back:
            _check_changed(cursor, before, put)
        if not put.keys:
            stored = count if there is None else min(count, own_rows(cursor, put.table) - there)
            check_stored(_count(cursor, SQL("({}) AS given").format(put.select)), stored)
        elif put.detours:
            _check_stored(cursor, put.select, put.table, put.columns, put.keys, put.detours, put.newest)


def _new_and_partial(cursor: Cursor, put: Put) -> int:
    if put.partial is None or not put.keys:
        return 0
    stored = SQL("SELECT 1 FROM {} AS stored WHERE {}").format(put.table, _same(put.keys, "given"))
    return _count(
        cursor,
        SQL("({}) AS given WHERE given.{} IS NULL AND NOT EXISTS ({})").format(
            put.select, Identifier(put.partial), stored
        ),
    )


def _run_together(cursor: Cursor, statements: Sequence[Composed]) -> list[int]:
    """Run statements as one; return how many rows each has written."""
    if len(statements) == 1:
        cursor.execute(statements[0])
        return [cursor.rowcount]
    names = [Identifier(f"part_{number}") for number in range(len(statements))]
    parts = SQL(", ").join(
        SQL("{} AS ({} RETURNING 1)").format(name, statement)
        for name, statement in zip(names, statements, strict=True)
    )
    counts = SQL(", ").join(SQL("(SELECT count(*) FROM {})").format(name) for name in names)
    cursor.execute(SQL("WITH {} SELECT {}").format(parts, counts))
    return list(cursor.fetchone() or ())


def _where(select: Composed, column: str, what: str) -> Composed:
    return SQL("SELECT * FROM ({}) AS latest WHERE {} ").format(select, Identifier(column)) + SQL(what)


@dataclass(frozen=True)
class Gone:
    """Rows of a table that are to be deleted, by the keys that ``select`` returns; one that is not there is gone already.

    ``keepers``: what of the table may keep them. ``newest``: those that are newer by it stay. ``onward``: those whose last key is greater
    go, too, since they are elements of lists, and what is said aside of them in this column is done (`singerkit_wire.elementmarks`).
    """

    select: Composed
    table: Composable
    keys: Sequence[str]
    keepers: str
    note: Note = _unnoted
    newest: Newest | None = None
    onward: str | None = None

    @property
    def same(self) -> Composed:
        same = _same(self.keys, "gone")
        if self.onward is not None:
            same = self.same_record + SQL(" AND gone.{0} >= 0 AND stored.{0} >= gone.{0}").format(
                Identifier(self.keys[-1])
            )
        return same if self.newest is None else same + SQL(" AND NOT ") + is_older(self.newest, "gone")

    @property
    def same_record(self) -> Composed:
        return _same(self.keys[:-1], "gone")

    @property
    def statement(self) -> Composed:
        return SQL("DELETE FROM {} AS stored USING ({}) AS gone WHERE {}").format(
            self.table, self.select, self.same
        )


def take_together(cursor: Cursor, gone: Sequence[Gone]) -> None:
    """Delete rows in one statement, behind which PostgreSQL judges foreign keys.

    Raises:
        NotDone: some are still there.
    """
    counts = _run_together(cursor, [one.statement for one in gone])
    for one, count in zip(gone, counts, strict=True):
        one.note(Outcome(deleted=count))
        joined = SQL("{} AS stored JOIN ({}) AS gone ON {}").format(one.table, one.select, one.same)
        if _count(cursor, joined):
            raise NotDone(f"a {one.keepers} of the table keeps rows that are to be deleted; change it")
    for one in gone:
        if one.onward is not None:
            one.note(Outcome(changed=_mark_elements(cursor, one, one.onward)))


def _mark_elements(cursor: Cursor, gone: Gone, column: str) -> int:
    """Mark elements as deleted, or take the mark off, where a row aside says so; return how many."""
    mark = Identifier(column)
    said = SQL("NULLIF(gone.{}, {})").format(mark, Literal(BACK))
    where = SQL("{} AND gone.{} = {} AND stored.{} IS DISTINCT FROM {}").format(
        gone.same_record, Identifier(gone.keys[-1]), Literal(ASIDE), mark, said
    )
    cursor.execute(
        SQL("UPDATE {} AS stored SET {} = {} FROM ({}) AS gone WHERE {}").format(
            gone.table, mark, said, gone.select, where
        )
    )
    marked = cursor.rowcount
    if marked and _count(
        cursor, SQL("{} AS stored JOIN ({}) AS gone ON {}").format(gone.table, gone.select, where)
    ):
        raise NotDone(
            f"a {gone.keepers} of the table keeps rows as they are that are to be marked; change it"
        )
    return marked


def latest(
    stage: str, columns: Sequence[str], keys: Sequence[str], where: Composed, newest: Newest | None = None
) -> Composed:
    """Return the staged rows for which ``where`` is true, of those with one key the last, or the newest."""
    if not keys:
        return SQL("SELECT {} FROM pg_temp.{} WHERE {}").format(_list(columns), Identifier(stage), where)
    # A stage that is fresh (`empty_stage`) is filled in order: the greatest ctid of a key is its last row.
    return SQL(
        "SELECT DISTINCT ON ({keys}) {names} FROM pg_temp.{stage} WHERE {where} ORDER BY {keys}, {order}"
    ).format(
        keys=_list(keys),
        names=listed(columns, keys, newest),
        stage=Identifier(stage),
        where=where,
        order=order(keys, newest),
    )


def _select(
    stage: str, columns: Sequence[str], keys: Sequence[str], newest: Newest | None, *, has_repeats: bool
) -> Composed:
    # By key, in which most writers go, too: two that lock rows in one order do not end in a deadlock. And rows of one key as they came: one that
    # is what is stored changes nothing, and PostgreSQL says nothing of a repeat where one before it comes behind it.
    if not has_repeats:
        return SQL("SELECT {} FROM pg_temp.{} ORDER BY {}, ctid").format(
            _list(columns), Identifier(stage), _list(keys)
        )
    return latest(stage, columns, keys, Composed([SQL("true")]), newest)


def _upsert(
    select: Composed, table: Identifier, columns: Sequence[str], keys: Sequence[str], action: Composed
) -> Composed:
    return SQL("INSERT INTO {table} AS stored ({names}) {select} ON CONFLICT ({keys}) {action}").format(
        table=table, names=_list(columns), select=select, keys=_list(keys), action=action
    )


def _action(changing: Sequence[str], newest: Newest | None, plain: Collection[str]) -> Composed:
    if not changing:
        return Composed([SQL("DO NOTHING")])
    action = _set(changing) + SQL(" WHERE ") + differ("EXCLUDED", changing, plain)
    return action if newest is None else action + SQL(" AND NOT ") + is_older(newest, "EXCLUDED")


def _set(columns: Sequence[str]) -> Composed:
    sets = SQL(", ").join([SQL("{0} = EXCLUDED.{0}").format(Identifier(column)) for column in columns])
    return SQL("DO UPDATE SET {}").format(sets)


def _list(columns: Sequence[str]) -> Composed:
    return SQL(", ").join(map(Identifier, columns))


def differ(new: str, columns: Sequence[str], plain: Collection[str] = ()) -> Composed:
    """The condition that a row of ``new`` is not what is `stored`.

    In ``plain`` columns only what is equal in each byte is equal, and they are compared by themselves, which takes half of the time.
    """
    # Byte by byte: a column's own `=` holds 1.0 and 1.00 to be the same, in citext `ABC` and `abc`.
    others = [column for column in columns if column not in plain]
    conditions: list[Composable] = [
        SQL("stored.{0} IS DISTINCT FROM {1}.{0}").format(Identifier(column), SQL(new))
        for column in columns
        if column in plain
    ]
    if others or not conditions:
        sides = [
            SQL(", ").join([SQL(side + ".{}").format(Identifier(column)) for column in others])
            for side in ("stored", new)
        ]
        conditions.append(SQL("ROW({})::record OPERATOR(pg_catalog.*<>) ROW({})::record").format(*sides))
    return SQL("({})").format(SQL(" OR ").join(conditions))


def _note_changing(cursor: Cursor, before: Identifier, put: Put) -> None:
    """Keep the rows as they are that are to be updated."""
    changes = differ("given", put.changing)
    if put.newest is not None:
        changes += SQL(" AND NOT ") + is_older(put.newest, "given")
    cursor.execute(
        SQL(
            "CREATE TEMPORARY TABLE {} AS SELECT stored.* FROM {} AS stored JOIN ({}) AS given ON {} WHERE {}"
        ).format(before, put.table, put.select, _same(put.keys, "given"), changes)
    )


def _check_changed(cursor: Cursor, before: Identifier, put: Put) -> None:
    """See that no row is, in all of its columns, what it was before: a trigger gave back the old one."""
    changing = _count(cursor, before)
    kept = _count(
        cursor,
        SQL(
            "{} AS before JOIN {} AS stored ON {} WHERE stored.*::record OPERATOR(pg_catalog.*=) before.*::record"
        ).format(before, put.table, _same(put.keys, "before")),
    )
    cursor.execute(SQL("DROP TABLE {}").format(before))
    check_stored(changing, changing - kept)


def _check_stored(
    cursor: Cursor,
    select: Composed,
    table: Identifier,
    columns: Sequence[str],
    keys: Sequence[str],
    detours: Detours,
    newest: Newest | None,
) -> None:
    """See that no row was left out or deleted.

    Where triggers may change what they are given, neither the absence of a row nor its old values say so: the rows that
    are not there as they were given are written once more, each in any case, and counted.
    """
    missing = SQL("stored.{} IS NULL").format(Identifier(keys[0]))
    is_odd = SQL("({} OR {})").format(missing, differ("given", columns)) if detours.leave_out else missing
    if newest is not None:
        is_odd += SQL(" AND NOT ") + is_older(newest, "given")
    odd = SQL("SELECT given.* FROM ({}) AS given LEFT JOIN {} AS stored ON {} WHERE {}").format(
        select, table, _same(keys, "given"), is_odd
    )
    expected = _count(cursor, SQL("({}) AS odd").format(odd))
    if not expected:
        return
    again = _upsert(odd, table, columns, keys, _set(columns))
    stored = 0
    if detours.leave_out:
        cursor.execute("SAVEPOINT singerkit_probe")
        cursor.execute(again)
        stored = cursor.rowcount
        if detours.take_away and stored == expected:
            cursor.execute("ROLLBACK TO SAVEPOINT singerkit_probe")
            stored = _written_and_there(cursor, again, table, keys)
        cursor.execute("ROLLBACK TO SAVEPOINT singerkit_probe")
        cursor.execute("RELEASE SAVEPOINT singerkit_probe")
    check_stored(expected, stored)


def _written_and_there(cursor: Cursor, upsert: Composed, table: Identifier, keys: Sequence[str]) -> int:
    """Write rows; count those that are there behind the statement, under the keys with which they were stored."""
    found = Identifier("pg_temp", "singerkit_found")
    cursor.execute(
        SQL("CREATE TEMPORARY TABLE singerkit_found AS SELECT {} FROM {} WITH NO DATA").format(
            _list(keys), table
        )
    )
    returned = SQL(", ").join([SQL("stored.{}").format(Identifier(key)) for key in keys])
    cursor.execute(
        SQL("WITH written AS ({} RETURNING {}) INSERT INTO {} SELECT * FROM written").format(
            upsert, returned, found
        )
    )
    return _count(
        cursor, SQL("{} AS found JOIN {} AS stored ON {}").format(found, table, _same(keys, "found"))
    )


def _same(keys: Sequence[str], other: str) -> Composed:
    return SQL(" AND ").join([SQL("stored.{0} = " + other + ".{0}").format(Identifier(key)) for key in keys])


def _count(cursor: Cursor, rows: Composed | Identifier) -> int:
    cursor.execute(SQL("SELECT count(*) FROM {}").format(rows))
    return int((cursor.fetchone() or (0,))[0])
