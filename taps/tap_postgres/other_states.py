"""Bookmarks of other taps for PostgreSQL: where going on from them would leave rows out, or have them twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tap_postgres.catalog import PgColumn
from tap_postgres.types import Kind

__all__ = ["problem_of", "written_otherwise"]

_OURS = "_singerkit"
_LAST = "9999-12-31T23:59:59.999"
"""What pipelinewise's tap makes of moments beyond the year 9999, and goes on from."""
_OF_PIPELINEWISE = "last_replication_method"
_INTERVAL = 1186
_WRITTEN: Mapping[Kind, tuple[str, str, str]] = {
    Kind.MONEY: ("money", "text like `$1,234.50`", "numbers"),
    Kind.BYTES: ("bytea", "hexadecimal digits", "base64"),
    Kind.COMPOSITE: ("a composite type", "text like `(a,1)`", "objects"),
}
"""What MeltanoLabs' tap writes, and this one. Of pipelinewise's that is so of `money` alone: it does not read the others."""


def written_otherwise(part: Mapping[str, Any], columns: Iterable[PgColumn]) -> tuple[str, str] | None:
    """Return a column whose values another tap has written in a way that cannot stand beside this one's, and a clause that says so; None: there
    is none, or no rows of another tap are gone on from.
    """
    if not _is_of_others(part):
        return None
    for column in columns:
        if column.kind is Kind.MONEY or _OF_PIPELINEWISE not in part:
            said = _WRITTEN.get(column.kind)
            if column.type_oid == _INTERVAL:
                said = ("interval", "a time behind 1970-01-01", "ISO 8601 like `P1DT2H`")
            if said is not None:
                kind, theirs, ours = said
                return (
                    column.name,
                    f"the other tap has written its column `{column.name}` ({kind}) as {theirs}, and this one writes {ours}, so that both would stand in one column",
                )
    return None


def _is_of_others(part: Mapping[str, Any]) -> bool:
    return part.get("replication_key_value") is not None and not any(name.startswith(_OURS) for name in part)


def problem_of(part: Mapping[str, Any], column: PgColumn, *, has_key: bool) -> str | None:
    """Return why the part of a state cannot be gone on from, a clause; None: it can, or is one of ours.

    ``column``: the replication key; ``has_key``: rows have a primary key.
    """
    if not _is_of_others(part):
        return None
    if not has_key:
        return "its rows at the bookmark have come already, and without a key nothing would tell them from new ones"
    if column.kind is Kind.TEXT and not column.is_by_code_point:
        return (
            f"the other tap went by the order that the database has for `{column.name}`, and this one goes by code point, so that rows between "
            "the two would be left out"
        )
    if str(part["replication_key_value"]).startswith(_LAST):
        return "the bookmark is what that tap makes of a moment beyond the year 9999, and no usual row would come any more"
    return None
