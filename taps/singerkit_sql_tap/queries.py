"""Statements, composed of quoted names and placeholders: no value and no raw name ever stands in one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Condition", "Query", "above", "any_of", "at", "page_query", "quoted", "top_query", "up_to"]


@dataclass(frozen=True)
class Query:
    """A statement and what its placeholders stand for.

    ``exact``: places of values by which rows are told apart or gone on by, so that none may be given otherwise than it is stored.
    """

    sql: str
    parameters: tuple[Any, ...] = ()
    exact: Collection[int] = ()


@dataclass(frozen=True)
class Condition:
    """A part of WHERE; all of them have to be true."""

    sql: str
    parameters: tuple[Any, ...] = ()


def quoted(name: str, quote: str = '"') -> str:
    """Return a name as it may stand in a statement, whatever is in it."""
    return f"{quote}{name.replace(quote, 2 * quote)}{quote}"


def above(key: Sequence[str], values: Sequence[Any], placeholder: str) -> Condition:
    """Return the condition that a row stands behind ``values`` in the order of ``key``."""
    return _compared(key, ">", values, placeholder)


def up_to(key: Sequence[str], values: Sequence[Any], placeholder: str) -> Condition:
    """Return the condition that a row stands at ``values`` or before, in the order of ``key``."""
    return _compared(key, "<=", values, placeholder)


def at(key: Sequence[str], values: Sequence[Any], placeholder: str) -> Condition:
    """Return the condition that a row stands at ``values``."""
    return Condition(" AND ".join(f"{part} = {placeholder}" for part in key), tuple(values))


def any_of(expressions: Sequence[str]) -> Condition:
    """Return the condition that one of ``expressions``, which have no placeholders, is true."""
    return Condition(" OR ".join(f"({expression})" for expression in expressions))


def _compared(key: Sequence[str], operator: str, values: Sequence[Any], placeholder: str) -> Condition:
    marks = ", ".join([placeholder] * len(key))
    if len(key) == 1:
        return Condition(f"{key[0]} {operator} {marks}", tuple(values))
    # The first part again by itself: an index is not always searched by several at once.
    first = f"{key[0]} {operator[0]}= {placeholder}"
    return Condition(f"{first} AND ({', '.join(key)}) {operator} ({marks})", (values[0], *values))


def page_query(
    source: str,
    columns: Sequence[str],
    where: Sequence[Condition],
    key: Sequence[str],
    limit: int | None,
    exact: Collection[int] = (),
    *,
    distinct: bool = False,
) -> Query:
    """Return the query for some rows of ``source`` (a quoted name with its alias) in the order of ``key``."""
    return _query(
        source, columns, where, ", ".join(key), limit, exact, "SELECT DISTINCT" if distinct else "SELECT"
    )


def top_query(source: str, where: Sequence[Condition], key: Sequence[str]) -> Query:
    """Return the query for the greatest ``key``."""
    return _query(source, key, where, ", ".join(f"{part} DESC" for part in key), 1, range(len(key)))


def _query(
    source: str,
    columns: Sequence[str],
    where: Sequence[Condition],
    order: str,
    limit: int | None,
    exact: Collection[int],
    select: str = "SELECT",
) -> Query:
    sql = f"{select} {', '.join(columns)} FROM {source}"
    if where:
        sql += " WHERE " + " AND ".join(f"({condition.sql})" for condition in where)
    if order:
        sql += f" ORDER BY {order}"
    if limit is not None:
        sql += f" LIMIT {int(limit)}"
    return Query(sql, tuple(value for condition in where for value in condition.parameters), exact)
