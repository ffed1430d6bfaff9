"""Days, times of day and moments in columns of Arrow that Python has no value for: as text, as a line of JSON would have them.

The year 10000, or 24:00, is judged then where such a text is judged, and says in which field it stands.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["duration_text", "is_time_of_day", "moment_text", "with_texts", "within_a_day"]

_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY = 86_400
_FIRST, _LAST = -719_162 + 1, 2_932_896 - 1
"""The days from which no offset leads out of the years 1 to 9999, counted from 1970."""


def is_time_of_day(kind: Any) -> bool:
    """Tell whether a type is one of times of day, which Python lets begin anew behind 24:00."""
    return bool(pa.types.is_time(kind))


def within_a_day(column: Any) -> bool:
    """Tell whether all times of a column are of one day."""
    per_day = _DAY * _UNITS[column.type.unit]
    return not _is_outside(_numbers(column), 0, per_day - 1)


def with_texts(column: Any) -> Any:
    """Return a column in which values that Python does not have are text, and so all; one without such values as it is."""
    kind = column.type
    if is_time_of_day(kind):
        per_second = _UNITS[kind.unit]
        least, most = 0, _DAY * per_second - 1
    elif pa.types.is_date(kind):
        per_second = _UNITS["ms"] if kind.bit_width == 64 else 0
        per_day = _DAY * per_second or 1
        least, most = _FIRST * per_day, (_LAST + 1) * per_day - 1
    elif pa.types.is_timestamp(kind):
        per_second = _UNITS[kind.unit]
        least, most = _FIRST * _DAY * per_second, (_LAST + 1) * _DAY * per_second - 1
    else:
        return column
    numbers = _numbers(column)
    if not _is_outside(numbers, least, most):
        return column
    return pa.array(
        [
            None
            if number is None
            else _text(kind, number, per_second)
            if not least <= number <= most or per_second == _UNITS["ns"]
            else msgspec.to_builtins(column[place].as_py())
            for place, number in enumerate(numbers.to_pylist())
        ],
        pa.string(),
    )


def _numbers(column: Any) -> Any:
    return column.view(pa.int32() if column.type.bit_width == 32 else pa.int64())


def _is_outside(numbers: Any, least: int, most: int) -> bool:
    found = pc.min_max(numbers).as_py()
    return found["min"] is not None and not (least <= found["min"] and found["max"] <= most)


def _text(kind: Any, number: int, per_second: int) -> str:
    if is_time_of_day(kind):
        return ("-" if number < 0 else "") + _clock(abs(number), per_second)
    if pa.types.is_date(kind):
        return _day(number // (_DAY * per_second) if per_second else number)
    return _moment(number, per_second) + ("" if kind.tz is None else "Z")


def moment_text(number: int, unit: str) -> str:
    """Write a moment of any year, counted from 1970."""
    return _moment(number, _UNITS[unit])


def _moment(number: int, per_second: int) -> str:
    days, rest = divmod(number, _DAY * per_second)
    return f"{_day(days)}T{_clock(rest, per_second)}"


def _clock(number: int, per_second: int) -> str:
    seconds, fraction = divmod(number, per_second)
    shown = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{shown}.{fraction:0{len(str(per_second)) - 1}}" if fraction else shown


def _day(days: int) -> str:
    """Write a day of the Gregorian calendar, with any year, counted from 1970; years are counted from March on the way."""
    cycle, day = divmod(days + 719_468, 146_097)
    of_cycle = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * of_cycle + of_cycle // 4 - of_cycle // 100
    month = (5 * day + 2) // 153
    year = of_cycle + 400 * cycle + (month >= 10)
    sign = "-" if year < 0 else ""
    return f"{sign}{abs(year):04}-{month + 3 if month < 10 else month - 9:02}-{day - (153 * month + 2) // 5 + 1:02}"


def duration_text(number: int, unit: str) -> str:
    """Write a length of time as ISO 8601, in days and what is less; all of it has one sign."""
    sign, number = ("-", -number) if number < 0 else ("", number)
    seconds, fraction = divmod(number, _UNITS[unit])
    days, seconds = divmod(seconds, _DAY)
    digits = f".{fraction:0{len(str(_UNITS[unit])) - 1}}".rstrip("0") if fraction else ""
    clock = [(seconds // 3600, "H"), (seconds // 60 % 60, "M")]
    parts = "".join(f"{amount}{letter}" for amount, letter in clock if amount)
    if seconds % 60 or fraction:
        parts += f"{seconds % 60}{digits}S"
    shown = (f"{days}D" if days else "") + (f"T{parts}" if parts else "")
    return f"{sign}P{shown or 'T0S'}"
