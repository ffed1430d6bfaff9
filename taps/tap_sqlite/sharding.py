"""Which shard a row is of, as SQLite is asked for it."""

from __future__ import annotations

from collections.abc import Sequence

from singerkit_sql_tap.queries import Condition
from singerkit_state.shards import Shard, part_of

__all__ = ["FUNCTION", "in_shard", "shard_of"]

FUNCTION = "singerkit_shard"
_STRIPE_BITS = 8
"""So many neighbours (256) are of one shard, some pages of a file; and of the next ones the others are."""


def shard_of(of: int, *key: bytes | None) -> int:
    """The function `FUNCTION` of a connection."""
    return part_of(key, of)


def in_shard(columns: Sequence[str], shard: Shard, *, is_integer: bool) -> Condition:
    """Return the condition that a row is of a shard by its key; ``is_integer``: one column, which never holds anything else.

    Ranges of such a key take turns, so that a table that grows at its end grows in all shards.
    """
    if is_integer:
        # Twice, since a remainder has the sign of the key; a shift rounds down below zero, too.
        return Condition(
            f"(({columns[0]} >> {_STRIPE_BITS}) % ? + ?) % ? = ?",
            (shard.of, shard.of, shard.of, shard.number),
        )
    # As bytes: of a key that is no text, and of text that is not UTF-8, too.
    key = ", ".join(f"CAST({column} AS BLOB)" for column in columns)
    return Condition(f"{FUNCTION}(?, {key}) = ?", (shard.of, shard.number))
