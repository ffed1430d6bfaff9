"""REPLACE in PostgreSQL: the condition by which rows are found, and whether an index finds them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from msgspec import Raw
from psycopg2.extensions import cursor as Cursor

from singerkit_wire.kinds import Kind
from target_postgres.rows import as_csv
from target_postgres.tables import Table
from target_postgres.words import WORDS

__all__ = ["MANY_ROWS", "condition", "lacks_index"]

MANY_ROWS = 100_000
"""A table of fewer is read through at each REPLACE, and nobody is told."""

_NULL = (None, Raw(b"null"))
_TEXTS = (Kind.STRING, Kind.ANY_TEXT)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def condition(table: Table, names: Sequence[str], row: tuple[Any, ...]) -> str:
    """Return the condition that a row of a table has these values; ``row`` is as it is encoded for COPY, which takes the same texts."""
    return " AND ".join(_has(table, name, value) for name, value in zip(names, row, strict=True))


def _has(table: Table, name: str, value: Any) -> str:
    short = table.columns[name]
    column = WORDS.quote(short)
    if value in _NULL:
        return f"{column} IS NULL"
    literal = _literal(_text_of(value))
    kind = next(one.kind for one in table.given.columns if one.name == name)
    if kind not in _TEXTS or short in table.plain or table.held[short].base == "bpchar":
        return f"{column} = {literal}"
    # Of a column that folds, as one without regard to case, no other text is meant.
    return f'{column} = {literal} AND CAST({column} AS text) COLLATE "C" = {literal}'


def _text_of(value: Any) -> str:
    csv = bytes(as_csv([(value,)]))[:-1].decode()
    return _ESCAPED.sub(r"\1", csv[1:-1]) if csv.startswith('"') else csv


def _literal(text: str) -> str:
    """As a text of any type, whatever `standard_conforming_strings` says."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f" E'{escaped}'"


def lacks_index(cursor: Cursor, table: Table, names: Collection[str]) -> bool:
    """Tell whether a table of many rows has no index that begins with a column of these fields."""
    cursor.execute(
        "SELECT c.reltuples >= %s AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a "
        "ON a.attrelid = c.oid AND a.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL "
        "AND a.attname = ANY (%s)) FROM pg_catalog.pg_class c WHERE c.oid = %s",
        (MANY_ROWS, [table.columns[name] for name in names], table.shape.oid),
    )
    found = cursor.fetchone()
    return bool(found and found[0])
