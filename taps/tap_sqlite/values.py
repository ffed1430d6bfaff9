"""What the columns of SQLite hold: affinities, and types as they are found."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from singerkit_sql_tap.tables import is_declared_time
from singerkit_sql_tap.types import schema_of_kinds

__all__ = ["affinity", "column_schema", "other_type", "type_expression"]

WIDE = "wide"
_KINDS = {"integer": "integer", WIDE: "integer", "real": "number", "text": "text", "blob": "bytes"}


def affinity(declared: str) -> str:
    """Return the affinity of a declared type, by SQLite's own rules."""
    name = declared.upper()
    if "INT" in name:
        return "integer"
    if any(word in name for word in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if "BLOB" in name or not name:
        return "blob"
    return "real" if any(word in name for word in ("REAL", "FLOA", "DOUB")) else "numeric"


def column_schema(declared: str, found: Collection[str] = (), format_: str | None = None) -> dict[str, Any]:
    """Return the schema of a column that holds values of these types (`type_expression`), and perhaps null; none: as declared.

    ``format_`` is the one that all its texts have.
    """
    kind = affinity(declared)
    types = {*found} - {"null"} or _promised(declared, kind)
    kinds = {_KINDS[name] for name in types}
    if "integer" in kinds and kind in ("real", "numeric") and not _holds_integers(declared):
        kinds = kinds - {"integer"} | {"number"}
    schema = schema_of_kinds(kinds, format_)
    if schema["type"] == ["null", "number"] and WIDE not in types:
        schema["format"] = "double"
    return schema


def type_expression(column: str, declared: str) -> str:
    """Ask for the type of a value, as `typeof`; an integer that is no double is `WIDE` where both may stand."""
    found = f"typeof({column})"
    if affinity(declared) == "text":
        return found
    return f"CASE WHEN {_is_wide(column)} THEN '{WIDE}' ELSE {found} END"


def other_type(column: str, declared: str, known: Collection[str]) -> str:
    """Ask whether a value is of another type (`type_expression`) than those that are ``known``; null is of none.

    Whoever knows of integers that are `WIDE` need not know of others.
    """
    type_ = f"typeof({column})"
    types = {"integer" if name == WIDE else name for name in known}
    other = " AND ".join([*(f"{type_} <> '{name}'" for name in sorted(types)), f"{column} IS NOT NULL"])
    if "integer" not in known or WIDE in known or affinity(declared) == "text":
        return other
    if affinity(declared) == "integer" and "real" not in known:
        return other  # all are integers so far, which no double is asked to hold
    return f"{other} OR {_is_wide(column)}"


def _is_wide(column: str) -> str:
    """Ask whether an integer is no double: SQLite compares the two exactly."""
    return f"typeof({column}) = 'integer' AND CAST({column} AS REAL) <> {column}"


def _promised(declared: str, kind: str) -> set[str]:
    if kind == "numeric":
        return {"text"} if is_declared_time(declared) else {"integer"}
    return set() if not declared else {kind}


def _holds_integers(declared: str) -> bool:
    """Declared as truth values, or as points in time that are counted."""
    return "BOOL" in declared.upper() or is_declared_time(declared)
