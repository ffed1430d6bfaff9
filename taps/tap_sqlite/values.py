"""What the columns of SQLite hold: affinities, types as they are found, and the order of replication keys."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

__all__ = [
    "LOOK",
    "SPELLING",
    "affinity",
    "column_schema",
    "is_declared_time",
    "other_type",
    "type_expression",
]

WIDE = "wide"


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


def is_declared_time(declared: str) -> bool:
    """Tell whether a declared type says that the column holds dates or times."""
    return any(word in declared.upper() for word in ("DATE", "TIME"))


def column_schema(declared: str, found: Collection[str] = (), format_: str | None = None) -> dict[str, Any]:
    """Return the schema of a column that holds values of these types (`type_expression`), and perhaps null; none: as declared.

    ``format_`` is the one that all its texts have.
    """
    kind = affinity(declared)
    types = {*found} - {"null"} or _promised(declared, kind)
    names = []
    has_integers = not types.isdisjoint({"integer", WIDE})
    if "real" in types or (has_integers and kind in ("real", "numeric") and not _holds_integers(declared)):
        names.append("number")
    elif has_integers:
        names.append("integer")
    if types & {"text", "blob"}:
        names.append("string")
    if types >= {"text", "blob"} or ("blob" in types and len(names) > 1):
        names.append("object")  # bytes beside other values: see `RowCheck`
    schema: dict[str, Any] = {"type": ["null", *names]}
    if types == {"blob"}:
        schema["contentEncoding"] = "base64"
    if types == {"text"} and format_ is not None:
        schema["format"] = format_
    if names == ["number"] and WIDE not in types:
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


# Replication keys

_OFFSET = "ltrim(substr({0}, 17), '0123456789:.,')"
LOOK = (
    "typeof({0}), CASE typeof({0}) WHEN 'text' THEN substr({0}, 11, 1) END, "
    f"CASE typeof({{0}}) WHEN 'text' THEN {_OFFSET} END, "
    f"CASE WHEN typeof({{0}}) = 'text' AND {_OFFSET} <> '' THEN length({{0}}) END"
)
"""The columns of a look (`singerkit_sql_tap.looks`)."""

SPELLING = f"substr({{0}}, 11, 1), {_OFFSET}, length({{0}})"
"""`singerkit_sql_tap.looks.spelling_of` a text."""
