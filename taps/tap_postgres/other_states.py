"""Bookmarks of other taps for PostgreSQL: where going on from them would leave rows out, or have them twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tap_postgres.catalog import PgColumn
from tap_postgres.types import Kind

__all__ = ["problem_of", "written_otherwise"]

_OURS = "_singerkit"
_LAST = "9999-12-31T23:59:59.999"
"""What pipelinewise's tap makes of moments beyond the year 9999, and goes on from."""


def problem_of(part: Mapping[str, Any], column: PgColumn, *, has_key: bool) -> str | None:
    """Return why the part of a state cannot be gone on from, a clause; None: it can, or is one of ours.

    ``column``: the replication key; ``has_key``: rows have a primary key.
    """
    value = part.get("replication_key_value")
    if not _is_theirs(part):
        return None
    if not has_key:
        return "its rows at the bookmark have come already, and without a key nothing would tell them from new ones"
    if column.kind is Kind.TEXT and not column.is_by_code_point:
        return (
            f"the other tap went by the order that the database has for `{column.name}`, and this one goes by code point, so that rows between "
            "the two would be left out"
        )
    if str(value).startswith(_LAST):
        return "the bookmark is what that tap makes of a moment beyond the year 9999, and no usual row would come any more"
    return None


def written_otherwise(part: Mapping[str, Any], columns: Sequence[PgColumn]) -> list[str]:
    """Return the columns whose values other taps may have written as other text than this one, where the part of a state is of one of them."""
    if not _is_theirs(part):
        return []
    return [
        column.name
        for column in columns
        if column.kind in _OTHER_TEXTS or column.sql_type.startswith("interval")
    ]


_OTHER_TEXTS = (Kind.BYTES, Kind.COMPOSITE, Kind.HSTORE, Kind.MONEY)


def _is_theirs(part: Mapping[str, Any]) -> bool:
    is_ours = any(name.startswith(_OURS) for name in part)
    return part.get("replication_key_value") is not None and not is_ours
