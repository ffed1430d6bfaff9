"""From the staging table into the table: insert what is new, update what differs, leave the rest untouched."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composed, Identifier

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
) -> bool:
    """Upsert the staged rows and empty the stage; the last of several rows with one key wins (SINGER-RULES G11).

    ``columns`` are those the staged rows hold: the others keep their stored values. A row is rewritten only when one
    of ``compared`` differs in any byte. Returns True when the stage held a key twice, which costs a sort: pass it on as
    ``has_repeats`` next time.
    """
    if not has_repeats:
        cursor.execute("SAVEPOINT singerkit_merge")
        try:
            cursor.execute(_upsert(stage, table, columns, keys, compared, has_repeats=False))
        except psycopg2.Error as error:
            if error.pgcode != errorcodes.CARDINALITY_VIOLATION:
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT singerkit_merge")
            has_repeats = True
        cursor.execute("RELEASE SAVEPOINT singerkit_merge")
        if not has_repeats:
            cursor.execute(_empty(stage))
            return False
    cursor.execute(_upsert(stage, table, columns, keys, compared, has_repeats=True))
    cursor.execute(_empty(stage))
    return True


def _empty(stage: str) -> Composed:
    return SQL("TRUNCATE pg_temp.{}").format(Identifier(stage))


def _upsert(
    stage: str,
    table: Identifier,
    columns: Sequence[str],
    keys: Sequence[str],
    compared: Sequence[str],
    *,
    has_repeats: bool,
) -> Composed:
    names = SQL(", ").join([Identifier(column) for column in columns])
    key_names = SQL(", ").join([Identifier(key) for key in keys])
    select = SQL("SELECT {} FROM pg_temp.{}").format(names, Identifier(stage))
    if has_repeats:
        # A fresh table is filled in order: the greatest ctid of a key is its last row.
        select = SQL(
            "SELECT DISTINCT ON ({keys}) {names} FROM pg_temp.{stage} ORDER BY {keys}, ctid DESC"
        ).format(keys=key_names, names=names, stage=Identifier(stage))
    return SQL("INSERT INTO {table} AS stored ({names}) {select} ON CONFLICT ({keys}) {action}").format(
        table=table, names=names, select=select, keys=key_names, action=_action(columns, keys, compared)
    )


def _action(columns: Sequence[str], keys: Sequence[str], compared: Sequence[str]) -> Composed:
    changing = [column for column in columns if column not in keys]
    if not changing:
        return Composed([SQL("DO NOTHING")])
    sets = SQL(", ").join([SQL("{0} = EXCLUDED.{0}").format(Identifier(column)) for column in changing])
    update = SQL("DO UPDATE SET {}").format(sets)
    differing = [column for column in changing if column in compared]
    if not differing:
        return update
    stored = SQL(", ").join([SQL("stored.{}").format(Identifier(column)) for column in differing])
    new = SQL(", ").join([SQL("EXCLUDED.{}").format(Identifier(column)) for column in differing])
    # Byte by byte: a column's own `=` holds 1.0 and 1.00 to be the same, in citext `ABC` and `abc`.
    return update + SQL(" WHERE ROW({})::record OPERATOR(pg_catalog.*<>) ROW({})::record").format(stored, new)
