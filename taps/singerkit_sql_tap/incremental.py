"""From a bookmark to a part of WHERE: rows from there on, and none beyond what stood in the table when the read began.

The greatest value at the beginning is the ceiling: a row that changes while the table is read lies above it and is left to
the next run, so that the bookmark, the greatest value that was sent, passes no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from logging import Logger
from typing import Any

from singerkit_shell.words import counted
from singerkit_sql_tap.contract import Database, KeyOrder
from singerkit_sql_tap.queries import Condition, page_query, top_query
from singerkit_sql_tap.tables import Table
from singerkit_state.order import UnorderableError, ValueKind, order_key
from singerkit_tap.contract import BookmarkValue

__all__ = [
    "NullKeys",
    "below_ceiling",
    "below_value",
    "from_value",
    "has_rows",
    "is_below",
    "without_value",
]


def from_value(database: Database, table: Table, key: str, order: KeyOrder, value: Any) -> list[Condition]:
    """Return the condition for rows at or above ``value``; None: no condition."""
    asked = None if value is None else order.asked(value)
    if asked is None:
        return []
    return [Condition(f"{database.compared(table, key)} >= {database.placeholder}", (asked,))]


def below_ceiling(database: Database, table: Table, key: str) -> list[Condition] | None:
    """Return the condition for rows up to the greatest value now; None: no row has a value."""
    column = database.compared(table, key)
    present = Condition(f"{column} IS NOT NULL")
    top = database.fetch(top_query(database.source(table), [present], [column]), 1, table)
    if not top:
        return None
    return [Condition(f"{column} <= {database.placeholder}", top[0])]


def is_below(ceiling: Sequence[Condition] | None, bookmark: BookmarkValue | None, kind: ValueKind) -> bool:
    """Tell whether all values (`below_ceiling`) lie below a bookmark, which was one of them when it was made; or none is left."""
    if bookmark is None or ceiling is None:
        return bookmark is not None
    (top,) = ceiling[0].parameters
    try:
        return bool(order_key(top, kind) < order_key(bookmark, kind))
    except (UnorderableError, TypeError):  # the engine says so where it meets it
        return False


def below_value(
    database: Database, table: Table, key: str, order: KeyOrder, value: BookmarkValue
) -> list[Condition]:
    """Return the condition for rows below ``value``, of which those next to it may be left out; rows with any value where it is not known."""
    asked = order.asked(value)
    column = database.compared(table, key)
    if asked is None:
        return [Condition(f"{column} IS NOT NULL")]
    return [Condition(f"{column} < {database.placeholder}", (asked,))]


def has_rows(database: Database, table: Table, where: Sequence[Condition]) -> bool:
    """Tell whether there is a row of which ``where`` is true."""
    return bool(database.fetch(page_query(database.source(table), ["1"], where, (), 1), 1, table))


def without_value(database: Database, key: str) -> list[Condition]:
    """Return the condition for rows without a replication key, which the first run sends."""
    return [Condition(f"{database.column(key)} IS NULL")]


class NullKeys:
    """Counts the rows without a replication key, which no later run asks for, and says so."""

    def __init__(self) -> None:
        self._rows = 0

    def count(self, rows: int) -> None:
        self._rows += rows

    def tell(self, logger: Logger, stream: str, key: str | None) -> None:
        if self._rows:
            logger.warning(
                "%s of stream `%s` have no `%s`, and came with this first run only: what becomes of them, and others without one that are "
                "added, no later run sees. Choose a key that each row has, or read the stream as a whole.",
                counted(self._rows, "row"),
                stream,
                key,
            )
