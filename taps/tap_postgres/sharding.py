"""Which shard a row is of, as PostgreSQL is asked for it."""

from __future__ import annotations

from collections.abc import Sequence

from singerkit_sql_tap.queries import Condition
from singerkit_state.shards import Shard
from tap_postgres.catalog import PgColumn
from tap_postgres.types import Kind

__all__ = ["in_shard", "parts"]

_STRIPE_BITS = 12
"""So many neighbours (4,096) are of one shard; and of the next ones the others are."""


def parts(columns: Sequence[PgColumn]) -> str:
    """Return in words what `in_shard` makes of a key."""
    return (
        "ranges of integers"
        if _is_integer(columns)
        else f"hashes of {', '.join(one.sql_type for one in columns)}"
    )


def in_shard(keys: Sequence[str], columns: Sequence[PgColumn], shard: Shard) -> Condition:
    """Return the condition that a row is of a shard by its key; ``keys``: the columns in SQL.

    Ranges of integers take turns, so that a table that grows at its end grows in all shards.
    """
    if _is_integer(columns):
        # Twice, since a remainder has the sign of the key; a shift rounds down below zero, too.
        return Condition(
            f"(({keys[0]}::bigint >> {_STRIPE_BITS}) %% %s + %s) %% %s = %s",
            (shard.of, shard.of, shard.of, shard.number),
        )
    texts = ", ".join(f"{key}::pg_catalog.text" for key in keys)
    return Condition(
        f"(pg_catalog.hashtextextended(ROW({texts})::pg_catalog.text, 0) & {2**63 - 1}) %% %s = %s",
        (shard.of, shard.number),
    )


def _is_integer(columns: Sequence[PgColumn]) -> bool:
    return len(columns) == 1 and columns[0].kind is Kind.INTEGER
