"""The types of columns as their values are, for a database whose declared types bind nobody."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

from singerkit_shell.errors import BadDataError
from singerkit_sql_tap.database import SqlDatabase
from singerkit_sql_tap.queries import Condition, any_of, page_query
from singerkit_sql_tap.tables import Table
from singerkit_sql_tap.types import formats_of

__all__ = ["ValueTypes", "learned_types"]

_NEW_ROWS = 100
"""Rows of types that are new, asked for at once."""


class ValueTypes(Protocol):
    """How a database tells the types of values, by names of its own, of which `null` and `text` are two.

    ``column`` is one as it is selected, ``sql_type`` what it is declared as.
    """

    def type_expression(self, column: str, sql_type: str) -> str:
        """Return what asks for the type of a value."""
        ...

    def other_type(self, column: str, sql_type: str, known: Collection[str]) -> str:
        """Return what asks whether a value is of another type than those that are ``known``; null is of none."""
        ...

    def column_schema(self, declared: str, found: Collection[str], format_: str | None) -> dict[str, Any]:
        """Return the schema of a column that holds values of these types; ``format_`` is the one that all its texts have."""
        ...


def learned_types(
    database: SqlDatabase[Any],
    kinds: ValueTypes,
    table: Table,
    columns: Sequence[str],
    where: Sequence[Condition],
    *,
    local_is_utc: bool,
) -> Mapping[str, dict[str, Any]]:
    """Return the schema of each column with a value: look at each row once, and again at the texts of declared times."""
    found = _types(database, kinds, table, columns, where)
    times = [name for name in found if table.column(name).is_time and found[name] == {"text"}]
    formats = dict(zip(times, _formats(database, table, times, where), strict=True))
    local = "date-time" if local_is_utc else None
    schemas = {}
    for name, types in found.items():
        if types:
            format_ = local if formats.get(name) == "local" else formats.get(name)
            schemas[name] = kinds.column_schema(table.column(name).sql_type, types, format_)
    return schemas


def _types(
    database: SqlDatabase[Any],
    kinds: ValueTypes,
    table: Table,
    columns: Sequence[str],
    where: Sequence[Condition],
) -> dict[str, set[str]]:
    """Return the types that each column holds: ask for rows with others than were found so far, until there are none.

    What is held of it does not grow with the combinations of types, as it would with DISTINCT: of 30 columns that may be null
    almost each row is another.
    """
    found: dict[str, set[str]] = {name: set() for name in columns}
    declared = {name: table.column(name).sql_type for name in columns}
    asked = [kinds.type_expression(database.column(name), declared[name]) for name in columns]
    while columns:
        others = [kinds.other_type(database.column(name), declared[name], found[name]) for name in columns]
        rows = database.look(table, asked, [*where, any_of(others)], _NEW_ROWS)
        if not rows:
            break
        for name, types in zip(columns, zip(*rows, strict=True), strict=True):
            found[name] |= {*types} - {"null"}
    return found


def _formats(
    database: SqlDatabase[Any], table: Table, names: Sequence[str], where: Sequence[Condition]
) -> Sequence[str | None]:
    """Return the format that all texts of each column have (`formats_of`); None: they have none."""
    if not names:
        return []
    query = page_query(database.source(table), [database.column(name) for name in names], where, (), None)
    try:
        return database.taken(
            query, lambda batches: formats_of(batches, len(names)), f"looking at the texts of `{table.name}`"
        )
    except BadDataError:  # text that cannot be read: no time, and told of when it is read
        if len(names) == 1:
            return [None]
        return [*chain(*(_formats(database, table, [name], where) for name in names))]
