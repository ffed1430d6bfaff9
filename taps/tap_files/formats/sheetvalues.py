"""Values of cells: numbers with the digits that the file has, and days and times, which Excel keeps as numbers that a format shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from typing import Any

from msgspec import Raw

from singerkit_wire.momenttexts import clock_text, day_text, duration_text, moment_text

__all__ = ["Broken", "Date", "Duration", "Look", "Moment", "Time", "dated", "look_of", "number"]


class Date(str):
    """A day."""

    __slots__ = ()


class Moment(str):
    """A day with a time."""

    __slots__ = ()


class Time(str):
    """A time of day."""

    __slots__ = ()


class Duration(str):
    """A length of time."""

    __slots__ = ()


class Broken(str):
    """What stands in a cell that has no value: an error, or a formula that nobody has computed."""

    __slots__ = ()


class Look(Enum):
    """What a number format shows of a number."""

    NUMBER = "number"
    DAY = "day"
    MOMENT = "moment"
    TIME = "time"
    DURATION = "duration"


_DAY_MILLIS = 86_400_000
_EPOCH_1900, _EPOCH_1904 = -25_569, -24_107
"""The days of 1899-12-30 and 1904-01-01, counted from 1970."""
_LEAP_DAY = 60
"""1900-02-29, which Excel has, and no calendar."""
_LAST_DAY = 2_958_465
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]*[1-9]")
_WHOLE = 10**15
"""Below it a double has each whole number."""
_LITERALS = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?![hms]+\])[^\]]*\]', re.IGNORECASE)
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_BUILT_IN = {
    **dict.fromkeys((14, 15, 16, 17, *range(27, 32), 36, *range(50, 59)), Look.DAY),
    **dict.fromkeys((18, 19, 20, 21, 32, 33, 34, 35, 45, 47), Look.TIME),
    22: Look.MOMENT,
    46: Look.DURATION,
}


def look_of(number: int, code: str | None) -> Look:
    """Return what a number format shows; ``code``: as the file has it, None where the number alone says it."""
    if code is None:
        return _BUILT_IN.get(number, Look.NUMBER)
    plain = _LITERALS.sub("", code.split(";")[0]).lower()
    if plain.strip() == "general":
        return Look.NUMBER
    if _ELAPSED.search(plain):
        return Look.DURATION
    has_day = "d" in plain or "y" in plain
    has_time = "h" in plain or "s" in plain
    if "m" in plain and not has_time:
        has_day = True  # months; minutes stand beside hours or seconds
    if has_day:
        return Look.MOMENT if has_time else Look.DAY
    return Look.TIME if has_time else Look.NUMBER


def number(text: str) -> Any:
    """Return a number, whole ones as int; other digits as they stand.

    Raises:
        ValueError: it is none.
    """
    if text.isdecimal() and text.isascii() and (text[0] != "0" or len(text) == 1):
        return int(text)
    if _FRACTION.fullmatch(text):
        return Raw(text)
    if _JSON_NUMBER.fullmatch(text):
        as_float = float(text)
        if as_float.is_integer() and abs(as_float) < _WHOLE and Decimal(text) == int(as_float):
            return int(as_float)
        return int(text) if text.lstrip("-").isdecimal() else Raw(text)
    found = Decimal(text.strip())
    if not found.is_finite():
        raise ValueError(text)
    return int(found) if found == found.to_integral_value() and abs(found) < _WHOLE else found


def dated(serial: float, look: Look, is_1904: bool) -> Any:
    """Return what a number stands for that is shown as a day or a time, in milliseconds; a number that is none as it is."""
    millis = round(serial * _DAY_MILLIS)
    if look is Look.DURATION:
        return Duration(duration_text(millis, "ms"))
    days, rest = divmod(millis, _DAY_MILLIS)
    if days < 0 or days > _LAST_DAY:
        return number(repr(serial))
    if look is Look.TIME and days == 0:
        return Time(clock_text(rest, "ms"))
    if not is_1904 and days == _LEAP_DAY:
        return Moment(f"1900-02-29T{clock_text(rest, 'ms')}") if rest else Date("1900-02-29")
    day = days + (_EPOCH_1904 if is_1904 else _EPOCH_1900 + (days < _LEAP_DAY))
    if rest == 0 and look is Look.DAY:
        return Date(day_text(day))
    return Moment(moment_text(day * _DAY_MILLIS + rest, "ms"))


def looks_of(formats: Sequence[int], codes: dict[int, str]) -> list[Look]:
    """Return what each style of cells shows; ``formats``: the number of its format; ``codes``: those of the file itself."""
    return [look_of(one, codes.get(one)) for one in formats]
