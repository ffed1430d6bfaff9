"""Bookmarks: how far each stream, or each partition of it, has been read (DESIGN 5).

Values come from records, never from a clock. The state has the shape of singer-sdk's taps::

    {"bookmarks": {"orders": {"replication_key": "updated_at",
                              "replication_key_value": "2024-05-01T10:00:00Z",
                              "_singerkit_seen": {"at": "2024-05-01T10:00:00Z", "rows": ["5wJ3...", ...]}},
                   "items": {"partitions": [{"context": {"order_id": 1}, "replication_key": ..., ...}]}}}

so that a state of theirs continues with us and the other way round. The source is asked for rows ``>=`` the
bookmark; ``_singerkit_seen`` holds a hash of each row already sent whose replication key *equals* the bookmark, so
that reading the boundary again repeats nothing, and a row that changed without its key value changing is sent again.

Order is that of instants for date-times and dates (any offset, any number of fractional digits; without an
offset: UTC), that of numbers for integers and decimals, that of code points for other text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

import msgspec

__all__ = [
    "PARTITION_LIMIT",
    "SEEN_LIMIT",
    "Bookmark",
    "BookmarkTracker",
    "OrderKey",
    "UnorderableError",
    "Value",
    "ValueKind",
    "less_lookback",
    "order_key",
    "read_bookmark",
    "with_bookmark",
]

SEEN_LIMIT = 10_000
"""Rows remembered at the boundary value of one bookmark; beyond it the boundary is sent again as a whole."""

PARTITION_LIMIT = 1_000
"""Partitions of a stream whose bookmarks are kept, the last ones read; a forgotten one is read from the start."""

Value: TypeAlias = str | int | Decimal
OrderKey: TypeAlias = Any
"""Comparable with other keys of its kind: (seconds, fraction digits), a number, or text."""

_SEEN = "_singerkit_seen"
_SDK_RUN_KEYS = ("progress_markers", "starting_replication_value", "replication_key_signpost")


class UnorderableError(ValueError):
    """A replication key value is not of the kind its schema promises. The message shows no value."""


class ValueKind(Enum):
    """How values of a replication key are compared."""

    INSTANT = "date-time"
    NUMBER = "number"
    TEXT = "string"

    @classmethod
    def of_schema(cls, schema: Mapping[str, Any]) -> ValueKind:
        """Return the kind for a property's JSON Schema, looking into ``anyOf`` and ``oneOf`` too."""
        branches = [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())]
        if any(branch.get("format") in ("date-time", "date") for branch in branches):
            return cls.INSTANT
        types = {name for branch in branches for name in _as_list(branch.get("type"))}
        return cls.NUMBER if types & {"integer", "number"} else cls.TEXT


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


# Order


_INSTANT = re.compile(
    r"([+-]?\d{4,})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?"
    r" ?(?:([Zz])|(?:([+-])(\d\d):?(\d\d)?))?"
)


def order_key(value: Value, kind: ValueKind) -> OrderKey:
    """Return what ``value`` is compared by; keys of one kind are comparable with each other.

    Raises:
        UnorderableError: ``value`` is not of this kind.
    """
    match kind:
        case ValueKind.TEXT:
            return value if isinstance(value, str) else str(value)
        case ValueKind.NUMBER:
            return _number(value)
        case ValueKind.INSTANT:
            return _instant(value)


def _number(value: Value) -> int | Decimal:
    if isinstance(value, bool):
        raise UnorderableError("Expected a number, got a boolean")
    if isinstance(value, float):
        return Decimal(repr(value))
    if not isinstance(value, str):
        return value
    try:
        number = Decimal(value)
    except ArithmeticError:
        raise UnorderableError("Expected a number, got other text") from None
    if not number.is_finite():
        raise UnorderableError("Expected a number, got one that is not finite")
    return number


def _instant(value: Value) -> tuple[int, str]:
    match = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise UnorderableError("Expected a date-time, got something else")
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    hour, minute, second = (int(part or 0) for part in match.group(4, 5, 6))
    seconds = _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
    if match[9]:
        offset = int(match[10]) * 3600 + int(match[11] or 0) * 60
        seconds += offset if match[9] == "-" else -offset
    return seconds, (match[7] or "").rstrip("0")


def _days(year: int, month: int, day: int) -> int:
    """Count days from 1970-01-01 in the Gregorian calendar, for any year."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146097 + day_of_era - 719468


# A column of raw JSON values


_COLUMN_TYPES: dict[ValueKind, tuple[Any, ...]] = {
    ValueKind.INSTANT: (datetime | None, date | None),
    ValueKind.NUMBER: (int | None, Decimal | None),
    ValueKind.TEXT: (str | None,),
}
_FAST: dict[ValueKind, list[msgspec.json.Decoder[list[Any]]]] = {
    kind: [msgspec.json.Decoder(list[item]) for item in types] for kind, types in _COLUMN_TYPES.items()
}
_any_values = msgspec.json.Decoder(list[Any], float_hook=Decimal)


def _fast_values(column: Sequence[msgspec.Raw], kind: ValueKind) -> list[Any]:
    """Decode a column into values that compare in the right order but perhaps not exactly (nanoseconds)."""
    array = b"[" + b",".join(column) + b"]"
    for decoder in _FAST[kind]:
        try:
            return decoder.decode(array)
        except msgspec.ValidationError:
            continue
    raise UnorderableError


def _exact_keys(column: Sequence[msgspec.Raw], kind: ValueKind) -> list[OrderKey | None]:
    values = _any_values.decode(b"[" + b",".join(column) + b"]")
    return [None if value is None else order_key(value, kind) for value in values]


@dataclass(slots=True, frozen=True)
class _Extremes:
    """The order keys at both ends of a column, the rows at the top, and how many values are null."""

    low: OrderKey
    high: OrderKey
    at_high: list[int]
    nulls: int


def _extremes(column: Sequence[msgspec.Raw], kind: ValueKind) -> _Extremes | None:
    """Return the ends of a column, or None when all of it is null.

    Raises:
        UnorderableError: a value is not of this kind.
    """
    try:
        values = _fast_values(column, kind)
        nulls = values.count(None)
        present = [value for value in values if value is not None] if nulls else values
        if not present:
            return None
        low, high = min(present), max(present)
    except (UnorderableError, TypeError):  # TypeError: values with and without an offset
        return _exact_extremes(_exact_keys(column, kind))
    # Fast values may round; the exact order is decided among the few rows at the ends.
    at_low = {index for index, value in enumerate(values) if value == low}
    at_high = [index for index, value in enumerate(values) if value == high]
    top = _exact_extremes(_exact_keys([column[index] for index in at_high], kind))
    bottom = _exact_extremes(
        _exact_keys(list({bytes(column[index]): column[index] for index in at_low}.values()), kind)
    )
    if top is None or bottom is None:
        return None
    return _Extremes(bottom.low, top.high, [at_high[index] for index in top.at_high], nulls)


def _exact_extremes(keys: Sequence[OrderKey | None]) -> _Extremes | None:
    present = [key for key in keys if key is not None]
    if not present:
        return None
    low, high = min(present), max(present)
    at_high = [index for index, key in enumerate(keys) if key == high]
    return _Extremes(low, high, at_high, len(keys) - len(present))
