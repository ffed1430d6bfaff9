"""The order of replication key values: what counts as later, for single values and for columns of raw JSON.

Points in time are compared as such, whatever their look (instants.py); numbers as numbers, with every digit. What no
schema, look or user gives an order has none: text is compared by code point only where the user says so, because
"9" would be later than "10" and October earlier than September.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo
from decimal import Decimal
from functools import total_ordering
from math import ceil
from typing import Annotated, Any, ClassVar, NamedTuple, TypeAlias, cast

import msgspec

from singerkit_state.instants import (
    Instant,
    NoInstantError,
    is_date,
    iso_asked,
    iso_instant,
    iso_less,
    iso_of,
    looks_like_iso,
    pattern_asked,
    pattern_instant,
    pattern_less,
    pattern_of,
    pattern_problem,
    rfc2822_instant,
    rfc2822_less,
    rfc2822_of,
)
from singerkit_state.jsondates import json_date_instant, json_date_less, json_date_of

__all__ = [
    "FORMATS",
    "Extremes",
    "OrderKey",
    "UnknownOrderError",
    "UnorderableError",
    "Value",
    "ValueKind",
    "asked_value",
    "comparable_keys",
    "exact_keys",
    "extremes",
    "formats_of",
    "instant_of",
    "less_lookback",
    "order_key",
    "starting_value",
]

Value: TypeAlias = str | int | Decimal
OrderKey: TypeAlias = Any
"""Comparable with other keys of its kind: (seconds, fraction digits), a number, or text."""


class UnorderableError(ValueError):
    """A replication key value is not of the kind it should be. The message shows no value."""


class UnknownOrderError(UnorderableError):
    """Values of a replication key are of a look whose order is not known, and no format was told.

    ``value`` is the first of them, cut short; ``formats`` are the names and patterns that read all of them.
    """

    def __init__(self, value: str, formats: Sequence[str]) -> None:
        super().__init__("Expected a replication key whose order is known, got another look")
        self.value = value
        self.formats = formats


@dataclass(frozen=True, slots=True)
class ValueKind:
    """How values of a replication key are compared, and what they are as points in time.

    ``name`` is one of

    * ``INSTANT``, ``DATE``: ISO 8601 in any of its looks;
    * ``EPOCH``: numbers (or their texts) of ``scale`` to the second since 1970;
    * ``RFC2822``, ``PATTERN``: texts of that look, of ``pattern`` as strptime reads it;
    * ``NUMBER``, ``VERSION``, ``TEXT``: numbers or their texts, whole numbers with dots between, code points;
    * ``ANY``: the type is not known; ISO texts or JSON numbers, never both.

    ``zone`` is that of times without an offset, None: UTC. ``is_told``: a user has named it; ``is_guessed``: neither a
    user nor the schema says what the values are, their look does.
    """

    name: str
    pattern: str = ""
    scale: int = 1
    zone: tzinfo | None = None
    is_told: bool = False
    is_guessed: bool = False

    INSTANT: ClassVar[ValueKind]
    NUMBER: ClassVar[ValueKind]
    TEXT: ClassVar[ValueKind]

    @classmethod
    def of_schema(cls, schema: Mapping[str, Any], zone: tzinfo | None = None) -> ValueKind:
        """Return the kind for a property's JSON Schema, looking into ``anyOf`` and ``oneOf`` too.

        Text is read as points in time whether or not a ``format`` says so; text of another look has no order.
        """
        branches = [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())]
        formats = {branch.get("format") for branch in branches}
        if "date-time" in formats:
            return cls("INSTANT", zone=zone)
        if "date" in formats:
            return cls("DATE", zone=zone)
        types = {name for branch in branches for name in _as_list(branch.get("type"))} - {"null"}
        if types and types <= {"integer", "number"}:
            return cls("NUMBER")
        return cls("INSTANT" if types == {"string"} else "ANY", zone=zone, is_guessed=True)

    @classmethod
    def named(cls, text: str, zone: tzinfo | None = None) -> ValueKind:
        """Return the kind that a user names: one of `FORMATS`, or a pattern.

        Raises:
            ValueError: there is none of this name, or the pattern has no order. The message says why.
        """
        if text in _EPOCHS:
            return cls("EPOCH", scale=_EPOCHS[text], is_told=True)
        if text in _NAMES:
            return cls(_NAMES[text], zone=zone, is_told=True)
        if "%" not in text:
            raise ValueError(f"expected one of {', '.join(FORMATS)}, or a pattern such as `%m/%d/%Y`")
        problem = pattern_problem(text, zone)
        if problem is not None:
            raise ValueError(problem)
        return cls("PATTERN", text, zone=zone, is_told=True)

    @property
    def is_time(self) -> bool:
        """Whether the values are points in time, so that a start date and a lookback in seconds mean something."""
        return self.name in ("INSTANT", "DATE", "EPOCH", "RFC2822", "JSON_DATE", "PATTERN")

    @property
    def has_local_times(self) -> bool:
        """Whether values may be times without an offset."""
        return self.name in ("INSTANT", "ANY") or (
            self.name == "PATTERN" and "%z" not in self.pattern and "%H" in self.pattern
        )

    @property
    def can_look_back(self) -> bool:
        """Whether there is such a thing as a little earlier."""
        return self.name not in ("TEXT", "VERSION")


ValueKind.INSTANT, ValueKind.NUMBER, ValueKind.TEXT = (
    ValueKind("INSTANT"),
    ValueKind("NUMBER"),
    ValueKind("TEXT"),
)

_EPOCHS = {"epoch": 1, "epoch_ms": 1000, "epoch_us": 10**6, "epoch_ns": 10**9}
_NAMES = {
    "date-time": "INSTANT",
    "date": "DATE",
    "rfc2822": "RFC2822",
    "json_date": "JSON_DATE",
    "number": "NUMBER",
    "version": "VERSION",
    "text": "TEXT",
}
FORMATS = (*_NAMES, *_EPOCHS)
"""The names that `ValueKind.named` takes besides patterns."""


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


# Order


def order_key(value: Value, kind: ValueKind) -> OrderKey:
    """Return what ``value`` is compared by; keys of one kind are comparable with each other.

    Raises:
        UnorderableError: ``value`` is not of this kind.
    """
    try:
        return _KEYS[kind.name](value, kind)
    except NoInstantError as error:
        raise UnorderableError(str(error)) from None


def _text(value: Value, _kind: ValueKind) -> str:
    if not isinstance(value, str):
        raise UnorderableError("Expected text, got something else")
    return value


def _date(value: Value, kind: ValueKind) -> Instant:
    if kind.is_told and not (isinstance(value, str) and is_date(value)):
        raise UnorderableError("Expected a date, got something else")
    return iso_instant(value, kind.zone)


_VERSION = re.compile(r"[vV]?(\d+(?:\.\d+)*)", re.ASCII)


def _version(value: Value, _kind: ValueKind) -> tuple[int, ...]:
    match = _VERSION.fullmatch(value) if isinstance(value, str) else None
    if match is None or len(match[1]) > 400:
        raise UnorderableError("Expected a version like `1.10.2`, got something else")
    parts = [int(part) for part in match[1].split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


@total_ordering
@dataclass(frozen=True, slots=True)
class _OfType:
    """A key of a value whose type is known only now: comparing a number with a time says that there is no order."""

    is_number: bool
    key: OrderKey

    def __lt__(self, other: _OfType) -> bool:
        self._check(other)
        return bool(self.key < other.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _OfType) and self._check(other) and bool(self.key == other.key)

    def _check(self, other: _OfType) -> bool:
        if self.is_number is not other.is_number:
            raise UnorderableError("Expected values of one kind, got times and numbers")
        return True

    def __hash__(self) -> int:
        return hash(self.key)


def _any(value: Value, kind: ValueKind) -> _OfType:
    if isinstance(value, str):
        return _OfType(False, iso_instant(value, kind.zone))
    return _OfType(True, _number(value))


def _number(value: Value) -> int | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise UnorderableError("Expected a number, got something else")
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


def _epoch(value: Value, kind: ValueKind) -> int | Decimal:
    number = _number(value)
    _check_epochs([number], kind.scale)
    return number


_LAST_SECOND = 10**11
"""Seconds until the year 5138: what is above counts in a finer unit."""


def _check_epochs(numbers: Iterable[int | Decimal | None], scale: int) -> None:
    """Refuse numbers that are sure to count in another unit: as this one, they would be far from all that is real."""
    top = _LAST_SECOND * scale
    # Of a finer unit, what has the size of the next coarser one, or of seconds: the first days of 1970.
    low, high = (10**8, top // 1000) if scale > 1 else (0, 0)
    for number in numbers:
        if number is not None and (number >= top or low <= number < high):
            raise UnorderableError(
                "Expected an epoch of the unit that the format of the replication key says, got a "
                "number of the size of another unit (`epoch`: seconds, `epoch_ms`, `epoch_us`, `epoch_ns`)"
            )


_KEYS: dict[str, Callable[[Any, ValueKind], OrderKey]] = {
    "INSTANT": lambda value, kind: iso_instant(value, kind.zone),
    "DATE": _date,
    "EPOCH": _epoch,
    "RFC2822": lambda value, _kind: rfc2822_instant(value),
    "JSON_DATE": lambda value, _kind: json_date_instant(value),
    "PATTERN": lambda value, kind: pattern_instant(value, kind.pattern, kind.zone),
    "NUMBER": lambda value, _kind: _number(value),
    "VERSION": _version,
    "TEXT": _text,
    "ANY": _any,
}


def instant_of(value: Value, kind: ValueKind) -> Instant:
    """Return the point in time that a value of a kind that `is_time`, or of ``ANY``, stands for.

    Raises:
        UnorderableError: it is none.
    """
    if kind.name == "EPOCH":
        seconds, rest = divmod(Decimal(_epoch(value, kind)), kind.scale)
        if rest < 0:  # Decimal's divmod goes towards zero
            seconds, rest = seconds - 1, rest + kind.scale
        return int(seconds), f"{rest / kind.scale:f}"[2:].rstrip("0")
    if kind.name == "ANY" and isinstance(value, str):
        kind = replace(kind, name="INSTANT")
    if not kind.is_time:
        raise UnorderableError("Expected a point in time, got something else")
    return cast("Instant", order_key(value, kind))


# Formats for values that have none


_PATTERNS = (
    "%Y%m%d",
    "%Y%m%dT%H%M%S%z",
    "%Y%m%dT%H%M%S",
    "%Y%m%d%H%M%S",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %I:%M:%S %p",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d-%b-%Y",
    "%d-%b-%Y %H:%M:%S",
    "%b %d, %Y",
    "%a %b %d %H:%M:%S %Y",
    "%Y-%m-%dT%H:%M:%S.%f%z",
)


def formats_of(values: Iterable[Any]) -> list[str]:
    """Return the formats that read all of ``values``, the likeliest first; `text`, which reads all, is left out."""
    present = [value for value in values if value is not None]
    names = [*_likely_epochs(present), "number", "version", "rfc2822", "json_date", *_PATTERNS]
    return [name for name in names if present and _reads(name, present)]


def _likely_epochs(values: Sequence[Any]) -> list[str]:
    """Whole numbers in text that would be of the years 2001 to 2286 as an epoch."""
    lengths = {len(value) for value in values if isinstance(value, str)}
    return [name for name, scale in _EPOCHS.items() if lengths == {9 + len(str(scale))}]


def _reads(name: str, values: Iterable[Any]) -> bool:
    kind = ValueKind.named(name)
    try:
        for value in values:
            order_key(value, kind)
    except UnorderableError:
        return False
    return True


# A column of raw JSON values


_INSTANTS: list[msgspec.json.Decoder[Any]] = [
    msgspec.json.Decoder(list[datetime | None]),
    msgspec.json.Decoder(list[date | None]),
]
# Local times of a zone need the exact look.
_OFFSETS: list[msgspec.json.Decoder[Any]] = [
    msgspec.json.Decoder(list[Annotated[datetime, msgspec.Meta(tz=True)] | None])
]
_NUMBERS: list[msgspec.json.Decoder[Any]] = [
    msgspec.json.Decoder(list[int | None]),
    msgspec.json.Decoder(list[Decimal | None]),
]
_FAST: dict[str, list[msgspec.json.Decoder[Any]]] = {
    "INSTANT": _INSTANTS,
    "DATE": [_INSTANTS[1]],
    "NUMBER": _NUMBERS,
    "EPOCH": _NUMBERS,
    "TEXT": [msgspec.json.Decoder(list[str | None])],
}
_MOST_DIGITS = 4000  # what msgspec and Python read of an integer; of numbers with exponents, too
_any_values: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[Any], float_hook=Decimal)


_FINER = re.compile(rb"\.\d{7}")  # more than the microseconds that a fast instant holds


def _fast_values(column: Sequence[msgspec.Raw], kind: ValueKind, *, is_exact: bool = False) -> list[Any]:
    """Decode a column into values that compare in the right order, but perhaps not exactly (nanoseconds) unless ``is_exact``."""
    array = b"[" + b",".join(column) + b"]"
    if is_exact and kind.name == "INSTANT" and (b"\\" in array or _FINER.search(array)):
        raise UnorderableError("The values need an exact look")
    decoders = _FAST.get(kind.name, [])
    for decoder in _OFFSETS if kind.zone is not None and decoders is _INSTANTS else decoders:
        try:
            return cast("list[Any]", decoder.decode(array))
        except msgspec.ValidationError:
            continue
    raise UnorderableError("The values need an exact look")


def _check_finite(values: Iterable[Decimal | None]) -> None:
    """Decimal takes texts for numbers that JSON has none of; NaN compares with nothing."""
    if not all(value is None or value.is_finite() for value in values):
        raise UnorderableError("Expected a number, got one that is not finite")


def _check_range(*values: Decimal | int) -> None:
    """A bookmark is written out, and an integer of thousands of digits is read again by hardly anything."""
    if any(abs(Decimal(value).adjusted()) > _MOST_DIGITS for value in values if value):
        raise UnorderableError("The values need an exact look")


class Compared(NamedTuple):
    """What the values of a column are compared by, null for null, and ``marks`` beside them; with each other only.

    ``present``: those that are not null. ``is_quick``: they were decoded at once, and are as exact as any.
    """

    keys: list[OrderKey | None]
    marks: list[OrderKey]
    present: list[OrderKey]
    ascends: bool
    is_quick: bool

    @property
    def has_null(self) -> bool:
        return len(self.present) < len(self.keys)


def comparable_keys(
    column: Sequence[msgspec.Raw], kind: ValueKind, marks: Sequence[msgspec.Raw] = ()
) -> Compared:
    """Return what each value of a column, and each of ``marks``, is compared by.

    As exact as `exact_keys` and, where that is so, decoded at once.

    Raises:
        UnorderableError, UnknownOrderError: see `exact_keys`.
    """
    both = [*column, *marks]
    try:
        found = _compared(_fast_values(both, kind, is_exact=True), len(column), is_quick=True)
        ends = [*found.present[:1], *found.present[-1:]] if found.ascends else found.present
        if ends or found.marks:
            _check_fast([*found.present, *found.marks], kind, [*ends, *found.marks])
    except (UnorderableError, TypeError, ArithmeticError):  # TypeError: values with and without an offset
        return _compared(exact_keys(both, kind), len(column), is_quick=False)
    return found


def _compared(keys: list[Any], count: int, *, is_quick: bool) -> Compared:
    own, marks = keys[:count], keys[count:]
    present = [key for key in own if key is not None]
    return Compared(own, marks, present, present == sorted(present), is_quick)


def _check_fast(present: Sequence[Any], kind: ValueKind, ends: Sequence[Any]) -> tuple[Any, Any]:
    """Return the least and the greatest of values that are decoded quickly; both are among ``ends``.

    Raises:
        UnorderableError, TypeError, ArithmeticError: they need an exact look.
    """
    low, high = min(ends), max(ends)
    if isinstance(low, Decimal) or isinstance(high, Decimal):
        _check_finite(present)
        _check_range(low, high)
    if kind.name == "EPOCH":
        _check_epochs(present, kind.scale)
    return low, high


def exact_keys(column: Sequence[msgspec.Raw], kind: ValueKind) -> list[OrderKey | None]:
    """Return the order key of each raw JSON value of a column; None for null.

    Raises:
        UnorderableError: a value is not of this kind.
        UnknownOrderError: the kind was taken from the look of the values, and a text has none that is known.
    """
    try:
        values = _any_values.decode(b"[" + b",".join(column) + b"]")
    except (ArithmeticError, msgspec.ValidationError):  # the latter of integers of thousands of digits
        raise UnorderableError("Expected a number, got one that is out of range") from None
    try:
        return [None if value is None else order_key(value, kind) for value in values]
    except UnorderableError:
        strange = _first_strange(values) if kind.is_guessed else None
        if strange is None:
            raise
        raise UnknownOrderError(strange[:16], formats_of(values)) from None


def _first_strange(values: Iterable[Any]) -> str | None:
    """Return the first text among ``values`` that is not written like a point in time."""
    for value in values:
        if isinstance(value, str) and not looks_like_iso(value):
            return value
    return None


@dataclass(slots=True, frozen=True)
class Extremes:
    """The order keys at both ends of a column, the rows at the top, and how many values are null.

    ``values``: the column decoded quickly, in the right order but perhaps not exact; None where that cannot be.
    """

    low: OrderKey
    high: OrderKey
    at_high: list[int]
    nulls: int
    values: list[Any] | None = None


def extremes(
    column: Sequence[msgspec.Raw], kind: ValueKind, ascending: list[Any] | None = None
) -> Extremes | None:
    """Return the ends of a column, or None when all of it is null.

    ``ascending``: its values as `comparable_keys` has decoded them quickly, where they ascend and none is null.

    Raises:
        UnorderableError: a value is not of this kind.
    """
    if ascending:
        first, last = ascending[0], ascending[-1]
        lowest = range(bisect_right(ascending, first))
        highest = range(bisect_left(ascending, last), len(ascending))
        return _ends(column, kind, ascending, first, last, lowest, highest, nulls=0)
    try:
        values = _fast_values(column, kind)
        nulls = values.count(None)
        present = [value for value in values if value is not None] if nulls else values
        if not present:
            return None
        low, high = _check_fast(present, kind, present)
    except (UnorderableError, TypeError, ArithmeticError):  # TypeError: values with and without an offset
        return _exact_extremes(exact_keys(column, kind))
    return _ends(column, kind, values, low, high, _indexes(values, low), _indexes(values, high), nulls=nulls)


def _ends(
    column: Sequence[msgspec.Raw],
    kind: ValueKind,
    values: list[Any],
    low: Any,
    high: Any,
    at_low: Sequence[int],
    at_high: Sequence[int],
    *,
    nulls: int,
) -> Extremes:
    if kind.name not in ("INSTANT", "DATE"):
        return Extremes(low, high, list(at_high), nulls, values)
    # Fast instants are rounded to microseconds; the exact order is decided among the few rows at the ends.
    bottom = _keys_by_text([column[index] for index in at_low], kind)
    top = _keys_by_text([column[index] for index in at_high], kind)
    highest = max(top.values())
    at_top = [index for index in at_high if top[bytes(column[index])] == highest]
    return Extremes(min(bottom.values()), highest, at_top, nulls, values)


def _indexes(values: Sequence[Any], value: Any) -> list[int]:
    """Return where ``value`` stands; it mostly stands once."""
    if values.count(value) == 1:
        return [values.index(value)]
    return [index for index, other in enumerate(values) if other == value]


def _keys_by_text(column: Iterable[msgspec.Raw], kind: ValueKind) -> dict[bytes, OrderKey]:
    return {text: order_key(msgspec.json.decode(text), kind) for text in set(map(bytes, column))}


def _exact_extremes(keys: Sequence[OrderKey | None]) -> Extremes | None:
    present = [key for key in keys if key is not None]
    if not present:
        return None
    low, high = min(present), max(present)
    at_high = [index for index, key in enumerate(keys) if key == high]
    return Extremes(low, high, at_high, len(keys) - len(present))


# Where a read starts


def less_lookback(value: Value, kind: ValueKind, lookback: int | Decimal) -> Value:
    """Return ``value`` moved back, in the look it has: the first value to ask for.

    By seconds for points in time, days for dates (both rounded up), units for numbers. Also without a lookback a local
    time in an hour that comes twice is moved to the beginning of that hour.

    Raises:
        UnorderableError: ``value`` is not of this kind, or there is no looking back in this kind.
    """
    if lookback and not kind.can_look_back:
        raise UnorderableError("Expected a kind of value that one can look back in, got text or versions")
    if kind.name in ("NUMBER", "EPOCH") or (kind.name == "ANY" and not isinstance(value, str)):
        return _number_less(value, lookback * kind.scale, kind) if lookback else value
    if not kind.can_look_back or not isinstance(value, str):
        return value
    try:
        return _text_less(value, ceil(lookback), kind)
    except NoInstantError as error:
        raise UnorderableError(str(error)) from None


def asked_value(value: Value, kind: ValueKind) -> Value:
    """Return what to ask for, so that rows from ``value`` on come: a local time inside an hour that comes twice is one before it.

    Raises:
        UnorderableError: ``value`` is not of this kind.
    """
    if kind.zone is None or not isinstance(value, str) or kind.name not in ("INSTANT", "ANY", "PATTERN"):
        return value
    try:
        if kind.name == "PATTERN":
            return pattern_asked(value, kind.pattern, kind.zone)
        return iso_asked(value, kind.zone)
    except NoInstantError as error:
        raise UnorderableError(str(error)) from None


def _text_less(value: str, back: int, kind: ValueKind) -> str:
    match kind.name:
        case "RFC2822":
            return rfc2822_less(value, back)
        case "JSON_DATE":
            return json_date_less(value, back)
        case "PATTERN":
            return pattern_less(value, back, kind.pattern, kind.zone)
        case _:
            return iso_less(value, back, kind.zone)


def _number_less(value: Value, back: int | Decimal, kind: ValueKind) -> Value:
    """Numbers in text stay text; those with zeros in front keep their width."""
    number = _number(value) - (ceil(back) if kind.name == "EPOCH" else back)
    if not isinstance(value, str):
        return number
    text = f"{number:f}"
    return text.zfill(len(value)) if value.startswith("0") and value.isdigit() else text


def starting_value(start_date: str | None, kind: ValueKind) -> Value | None:
    """Return the start date as a value of this kind, cut off downwards; None where it means nothing.

    Raises:
        UnorderableError: the start date is no ISO 8601 date-time.
    """
    if start_date is None or not (kind.is_time or kind.name == "ANY"):
        return None
    try:
        instant = iso_instant(start_date, kind.zone)
    except NoInstantError as error:
        raise UnorderableError(str(error)) from None
    match kind.name:
        case "DATE":
            return iso_of(instant, kind.zone, as_date=True)
        case "EPOCH":
            digits = len(str(kind.scale)) - 1
            return instant[0] * kind.scale + int(instant[1][:digits].ljust(digits, "0") or 0)
        case "RFC2822":
            return rfc2822_of(instant)
        case "JSON_DATE":
            return json_date_of(instant)
        case "PATTERN":
            return pattern_of(instant, kind.pattern, kind.zone)
        case _:
            return start_date
