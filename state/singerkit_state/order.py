"""The order of replication key values: what counts as later, for single values and for columns of raw JSON.

Order is that of instants for date-times and dates (any offset, any number of fractional digits; without an
offset: UTC), that of numbers for integers and decimals, that of code points for other text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from math import ceil
from typing import Any, TypeAlias, cast

import msgspec

__all__ = [
    "Extremes",
    "OrderKey",
    "UnorderableError",
    "Value",
    "ValueKind",
    "exact_keys",
    "extremes",
    "less_lookback",
    "order_key",
]

Value: TypeAlias = str | int | Decimal
OrderKey: TypeAlias = Any
"""Comparable with other keys of its kind: (seconds, fraction digits), a number, or text."""


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
    if not (0 < month < 13 and 0 < day < 32 and hour < 25 and minute < 60 and second < 61):
        raise UnorderableError("Expected a date-time, got one that no calendar has")
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


_FAST: dict[ValueKind, list[msgspec.json.Decoder[Any]]] = {
    ValueKind.INSTANT: [msgspec.json.Decoder(list[datetime | None]), msgspec.json.Decoder(list[date | None])],
    ValueKind.NUMBER: [msgspec.json.Decoder(list[int | None]), msgspec.json.Decoder(list[Decimal | None])],
    ValueKind.TEXT: [msgspec.json.Decoder(list[str | None])],
}
_any_values: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[Any], float_hook=Decimal)


def _fast_values(column: Sequence[msgspec.Raw], kind: ValueKind) -> list[Any]:
    """Decode a column into values that compare in the right order but perhaps not exactly (nanoseconds)."""
    array = b"[" + b",".join(column) + b"]"
    for decoder in _FAST[kind]:
        try:
            return cast("list[Any]", decoder.decode(array))
        except msgspec.ValidationError:
            continue
    raise UnorderableError("The values need an exact look")


def _check_finite(values: Iterable[Decimal | None]) -> None:
    """Decimal takes texts for numbers that JSON has none of; NaN compares with nothing."""
    if not all(value is None or value.is_finite() for value in values):
        raise UnorderableError("Expected a number, got one that is not finite")


def exact_keys(column: Sequence[msgspec.Raw], kind: ValueKind) -> list[OrderKey | None]:
    """Return the order key of each raw JSON value of a column; None for null.

    Raises:
        UnorderableError: a value is not of this kind.
    """
    try:
        values = _any_values.decode(b"[" + b",".join(column) + b"]")
    except ArithmeticError:
        raise UnorderableError("Expected a number, got one that is out of range") from None
    return [None if value is None else order_key(value, kind) for value in values]


@dataclass(slots=True, frozen=True)
class Extremes:
    """The order keys at both ends of a column, the rows at the top, and how many values are null."""

    low: OrderKey
    high: OrderKey
    at_high: list[int]
    nulls: int


def extremes(column: Sequence[msgspec.Raw], kind: ValueKind) -> Extremes | None:
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
        if isinstance(low, Decimal) or isinstance(high, Decimal):
            _check_finite(values)
    except (UnorderableError, TypeError, ArithmeticError):  # TypeError: values with and without an offset
        return _exact_extremes(exact_keys(column, kind))
    at_high = [index for index, value in enumerate(values) if value == high]
    if kind is not ValueKind.INSTANT:
        return Extremes(low, high, at_high, nulls)
    # Fast instants are rounded to microseconds; the exact order is decided among the few rows at the ends.
    bottom = _keys_by_text([raw for raw, value in zip(column, values, strict=True) if value == low], kind)
    top = _keys_by_text([column[index] for index in at_high], kind)
    highest = max(top.values())
    at_top = [index for index in at_high if top[bytes(column[index])] == highest]
    return Extremes(min(bottom.values()), highest, at_top, nulls)


def _keys_by_text(column: Iterable[msgspec.Raw], kind: ValueKind) -> dict[bytes, OrderKey]:
    return {text: order_key(msgspec.json.decode(text), kind) for text in set(map(bytes, column))}


def _exact_extremes(keys: Sequence[OrderKey | None]) -> Extremes | None:
    present = [key for key in keys if key is not None]
    if not present:
        return None
    low, high = min(present), max(present)
    at_high = [index for index, key in enumerate(keys) if key == high]
    return Extremes(low, high, at_high, len(keys) - len(present))


# Looking back


def less_lookback(value: Value, kind: ValueKind, lookback: int | Decimal) -> Value:
    """Return ``value`` moved back: by seconds for date-times, days for dates (both rounded up), units for numbers.

    Text without a format stays as it is. A date-time with an offset comes back in UTC.
    """
    if not lookback or kind is ValueKind.TEXT:
        return value
    if kind is ValueKind.NUMBER:
        return _number(value) - lookback
    seconds, fraction = _instant(value)
    text = str(value)
    if re.fullmatch(r"[+-]?\d+-\d\d-\d\d", text):
        return _date_text(seconds // 86400 - ceil(lookback))
    days, second = divmod(seconds - ceil(lookback), 86400)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    zone = "Z" if re.search(r"(?:[Zz]|[+-]\d\d:?(?:\d\d)?)$", text[11:]) else ""
    return f"{_date_text(days)}T{clock}{'.' + fraction if fraction else ''}{zone}"


def _date_text(days: int) -> str:
    ordinal = min(max(days + date(1970, 1, 1).toordinal(), 1), date.max.toordinal())
    return date.fromordinal(ordinal).isoformat()
