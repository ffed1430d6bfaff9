"""What the columns of SQLite hold: affinities, types as they are found, and the order of replication keys."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from singerkit_state.instants import NoInstantError, iso_instant

__all__ = ["LOOK", "Look", "affinity", "column_schema", "is_declared_time", "look_problem"]

_LAST_DAY = 253_402_214_400


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
    """Return the schema of a column that holds values of these types (`typeof`), and perhaps null; none: as declared.

    ``format_`` is the one that all its texts have.
    """
    kind = affinity(declared)
    types = {*found} - {"null"} or _promised(declared, kind)
    names = []
    if "real" in types or (
        "integer" in types and kind in ("real", "numeric") and not _holds_integers(declared)
    ):
        names.append("number")
    elif "integer" in types:
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
    return schema


def _promised(declared: str, kind: str) -> set[str]:
    if kind == "numeric":
        return {"text"} if is_declared_time(declared) else {"integer"}
    return set() if not declared else {kind}


def _holds_integers(declared: str) -> bool:
    """Declared as truth values, or as points in time that are counted."""
    return "BOOL" in declared.upper() or is_declared_time(declared)


# Replication keys

LOOK = (
    "typeof({0}), CASE typeof({0}) WHEN 'text' THEN substr({0}, 11, 1) END, "
    "CASE WHEN typeof({0}) <> 'text' THEN NULL WHEN {0} GLOB '*[Zz]' THEN substr({0}, -1) "
    "WHEN {0} GLOB '*:*[-+][0-9][0-9]:[0-9][0-9]' THEN substr({0}, -6) ELSE '' END, "
    "CASE WHEN typeof({0}) = 'text' AND ({0} GLOB '*[Zz]' OR {0} GLOB '*:*[-+][0-9][0-9]:[0-9][0-9]') THEN length({0}) END"
)
"""How a value is written: its type, and of text what stands between date and time, the offset, and with one the length.

Texts of one look compare as the moments they stand for; of two looks they do not.
"""


def look_problem(looks: Sequence[tuple[Any, ...]], told: str | None, *, is_utf8: bool) -> str | None:
    """Return why values of these looks have no order that we share, as the end of a sentence; None: they have one."""
    types = {look[0] for look in looks} - {"null"}
    if types <= {"integer", "real"}:
        return "holds numbers, and `replication_key_format` says `text`" if told == "text" and types else None
    if types != {"text"}:
        return f"holds values of several types ({', '.join(sorted(types))}), which SQLite sorts by type first"
    if told == "text":
        return (
            None
            if is_utf8
            else "is compared as text, and the database is not in UTF-8, where SQLite compares bytes of UTF-16"
        )
    if told is not None:
        return f"holds text, and `replication_key_format` says `{told}`, of numbers"
    if len([look for look in looks if look[0] == "text"]) > 1:
        return "holds texts that are written in more than one way (blank or `T`, offset, digits), which SQLite compares as text"
    return None


@dataclass(frozen=True)
class Look:
    """The order of a key whose values all look alike (`singerkit_sql_tap.contract.KeyOrder`)."""

    looks: Sequence[tuple[Any, ...]]
    told: str | None

    def asked(self, value: Any) -> Any:
        """Return what to ask for: the value itself where the column is written alike, else the day before it."""
        if isinstance(value, Decimal):
            return int(value) if value == int(value) else float(value)
        if not isinstance(value, str) or self.told == "text":
            return value
        separator, offset, length = self._of_column
        looks_alike = value[10:11] == (separator or "") and (
            value.endswith(offset) and len(value) == length
            if offset
            else not value.endswith(("Z", "z")) and value[-6:-5] not in ("+", "-")
        )
        if looks_alike:
            return value
        try:
            seconds = iso_instant(value)[0]
        except NoInstantError:
            return None
        if not seconds + 62_135_596_800 > 86400 or seconds >= _LAST_DAY:
            return None
        day = datetime.fromtimestamp(seconds, UTC) - timedelta(days=1)
        return day.strftime("%Y-%m-%d")

    @property
    def _of_column(self) -> tuple[str | None, str | None, int | None]:
        texts: Iterable[tuple[Any, ...]] = (look for look in self.looks if look[0] == "text")
        look: Mapping[int, Any] | tuple[Any, ...] = next(iter(texts), (None, None, None, None))
        return look[1], look[2], look[3]
