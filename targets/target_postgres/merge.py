"""From the staging table into the table: insert what is new, update what differs, leave the rest untouched."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composed, Identifier

from target_postgres.faults import check_stored

__all__ = ["create_stage", "merge"]


def create_stage(cursor: Cursor, stage: str, table: Identifier) -> None:
    """Create an empty temporary twin of the table without its index; it is emptied at each commit."""
    cursor.execute(SQL("DROP TABLE IF EXISTS pg_temp.{}").format(Identifier(stage)))
    cursor.execute(
        SQL("CREATE TEMPORARY TABLE {} ON COMMIT DELETE ROWS AS SELECT * FROM {} WITH NO DATA").format(
            Identifier(stage), table
        )
    )


def merge(
    cursor: Cursor,
    stage: str,
    table: Identifier,
    columns: Sequence[str],
    keys: Sequence[str],
    compared: Sequence[str],
    *,
    has_repeats: bool,
    may_leave_out: bool = False,
) -> bool:
    """Upsert the staged rows and empty the stage; the last of several rows with one key wins (SINGER-RULES G11).

    ``columns`` are those the staged rows hold: the others keep their stored values. A row is rewritten only when one
    of ``compared`` differs in any byte. Returns True when the stage held a key twice, which costs a sort: pass it on as
    ``has_repeats`` next time. ``may_leave_out``: the table has triggers or rules that may keep rows out.

    Raises:
        NotDone: fewer rows were written than should be.
    """

    def put(*, has_repeats: bool) -> None:
        select = _select(stage, columns, keys, has_repeats=has_repeats)
        cursor.execute(_upsert(select, table, columns, keys, _action(columns, keys, compared)))
        if may_leave_out:
            _check_stored(cursor, select, table, columns, keys)

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
            cursor.execute(_empty(stage))
            return False
    put(has_repeats=True)
    cursor.execute(_empty(stage))
    return True


def _empty(stage: str) -> Composed:
    return SQL("TRUNCATE pg_temp.{}").format(Identifier(stage))


def _select(stage: str, columns: Sequence[str], keys: Sequence[str], *, has_repeats: bool) -> Composed:
    if not has_repeats:
        return SQL("SELECT {} FROM pg_temp.{}").format(_list(columns), Identifier(stage))
    # A fresh table is filled in order: the greatest ctid of a key is its last row.
    return SQL("SELECT DISTINCT ON ({keys}) {names} FROM pg_temp.{stage} ORDER BY {keys}, ctid DESC").format(
        keys=_list(keys), names=_list(columns), stage=Identifier(stage)
    )


def _upsert(
    select: Composed, table: Identifier, columns: Sequence[str], keys: Sequence[str], action: Composed
) -> Composed:
    return SQL("INSERT INTO {table} AS stored ({names}) {select} ON CONFLICT ({keys}) {action}").format(
        table=table, names=_list(columns), select=select, keys=_list(keys), action=action
    )


def _action(columns: Sequence[str], keys: Sequence[str], compared: Sequence[str]) -> Composed:
    changing = [column for column in columns if column not in keys]
    if not changing:
        return Composed([SQL("DO NOTHING")])
    update = _set(changing)
    differing = [column for column in changing if column in compared]
    return update + SQL(" WHERE ") + _differ("EXCLUDED", differing) if differing else update


def _set(columns: Sequence[str]) -> Composed:
    sets = SQL(", ").join([SQL("{0} = EXCLUDED.{0}").format(Identifier(column)) for column in columns])
    return SQL("DO UPDATE SET {}").format(sets)


def _list(columns: Sequence[str]) -> Composed:
    return SQL(", ").join(map(Identifier, columns))


def _differ(new: str, columns: Sequence[str]) -> Composed:
    # Byte by byte: a column's own `=` holds 1.0 and 1.00 to be the same, in citext `ABC` and `abc`.
    sides = [
        SQL(", ").join([SQL(side + ".{}").format(Identifier(column)) for column in columns])
        for side in ("stored", new)
    ]
    return SQL("ROW({})::record OPERATOR(pg_catalog.*<>) ROW({})::record").format(*sides)


def _check_stored(
    cursor: Cursor, select: Composed, table: Identifier, columns: Sequence[str], keys: Sequence[str]
) -> None:
    """See that no row was left out: neither its absence nor its old values say so, since triggers may change both.

    So the rows that are not there as they were given are written once more, each in any case, and counted.
    """
    same = SQL(" AND ").join([SQL("stored.{0} = given.{0}").format(Identifier(key)) for key in keys])
    odd = SQL(
        "SELECT given.* FROM ({}) AS given LEFT JOIN {} AS stored ON {} WHERE stored.{} IS NULL OR {}"
    ).format(select, table, same, Identifier(keys[0]), _differ("given", columns))
    cursor.execute(SQL("SELECT count(*) FROM ({}) AS odd").format(odd))
    expected = (cursor.fetchone() or (0,))[0]
    if not expected:
        return
    cursor.execute("SAVEPOINT singerkit_probe")
    cursor.execute(_upsert(odd, table, columns, keys, _set(columns)))
    stored = cursor.rowcount
    cursor.execute("ROLLBACK TO SAVEPOINT singerkit_probe")
    cursor.execute("RELEASE SAVEPOINT singerkit_probe")
    check_stored(expected, stored)
