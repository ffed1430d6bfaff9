"""Discovery: tables, views, columns, keys and indexes by three queries, and one for each view."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from singerkit_sql_tap.queries import quoted
from singerkit_sql_tap.tables import Column, Table, by_table
from tap_sqlite.values import column_schema

__all__ = ["read_tables"]

_TABLES = "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND name NOT GLOB 'sqlite_*' ORDER BY name"
_COLUMNS = (
    "SELECT l.name, c.name, c.type, c.pk, c.hidden FROM pragma_table_list AS l, pragma_table_xinfo(l.name, 'main') AS c "
    "WHERE l.schema = 'main' AND l.type IN ('table', 'shadow') AND l.name NOT GLOB 'sqlite_*'"
)
_COLUMNS_OF_ONE = "SELECT ?1, c.name, c.type, c.pk, c.hidden FROM pragma_table_xinfo(?1, 'main') AS c"
_INDEXES = (
    "SELECT l.name, i.name, i.origin, i.partial, c.seqno, c.name, c.coll, c.desc FROM pragma_table_list AS l, "
    "pragma_index_list(l.name, 'main') AS i, pragma_index_xinfo(i.name, 'main') AS c "
    "WHERE l.schema = 'main' AND l.type = 'table' AND c.key = 1 ORDER BY c.seqno"
)
_HIDDEN = 1  # columns of virtual tables that only their own syntax knows
_VIRTUAL = ("virtual", "shadow")


def read_tables(connection: sqlite3.Connection, database: str, logger: logging.Logger) -> list[Table]:
    """Return all tables and views of a file; a view that cannot be read is left out with a warning."""
    listed = connection.execute(_TABLES).fetchall()
    columns, indexes = by_table(connection.execute(_COLUMNS)), by_table(connection.execute(_INDEXES))
    tables = []
    for name, kind, is_without_rowid in listed:
        if kind in ("view", "virtual"):
            try:
                columns |= by_table(connection.execute(_COLUMNS_OF_ONE, (name,)))
            except sqlite3.OperationalError as error:
                logger.warning("The %s `%s` cannot be read and is left out: %s.", kind, name, error)
                continue
        tables.append(_table(name, kind, bool(is_without_rowid), columns[name], indexes[name], database))
    return tables


def _table(
    name: str,
    kind: str,
    is_without_rowid: bool,
    columns: Sequence[tuple[Any, ...]],
    indexes: Sequence[tuple[Any, ...]],
    database: str,
) -> Table:
    found = tuple(
        Column(column, declared, column_schema(declared))
        for column, declared, _, hidden in columns
        if hidden != _HIDDEN
    )
    names = [column.name for column in found]
    key = tuple(column for column, _, pk, _ in sorted(columns, key=lambda row: int(row[2])) if pk)
    is_plain = kind == "table"
    # A key without an index of its own is another name of the rowid.
    alias = (
        key[0] if len(key) == 1 and not is_without_rowid and not any(i[1] == "pk" for i in indexes) else None
    )
    first = {
        column
        for _, _, partial, number, column, collation, descends in indexes
        if number == 0 and column is not None and not partial and not descends and collation == "BINARY"
    }
    collated = [(column, collation) for _, origin, _, _, column, collation, _ in indexes if origin == "pk"]
    return Table(
        name,
        found,
        primary_key=key if is_plain else (),
        chunk_key=_chunk_key(names, collated, alias, is_without_rowid) if is_plain else (),
        rows_move=is_plain and alias is None and not is_without_rowid,
        looks_back=is_plain and alias is None,
        indexed=frozenset(first | ({alias} if alias else set())),
        is_view=kind == "view",
        only_by_name=kind in _VIRTUAL,
        schema_name="main",
        database_name=PurePath(database).stem,
    )


def _chunk_key(
    names: Sequence[str], key: Sequence[tuple[str, str]], alias: str | None, is_without_rowid: bool
) -> tuple[str, ...]:
    """Return what names each row; ``key``: the columns of the primary key, each with the collation by which it is unique.

    That need not be the one of the column, to which two keys may be the same.
    """
    if is_without_rowid:
        return tuple(f"{_of_table(column)} COLLATE {quoted(collation)}" for column, collation in key)
    if alias is not None:
        return (_of_table(alias),)
    taken = {name.lower() for name in names}
    return tuple(f"t.{free}" for free in ("rowid", "_rowid_", "oid") if free not in taken)[:1]


def _of_table(name: str) -> str:
    return f"t.{quoted(name)}"
