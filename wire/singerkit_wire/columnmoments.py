"""Days, times of day and moments in columns of Arrow that Python has no value for: as text, as a line of JSON would have them.

The year 10000, or 24:00, is judged then where such a text is judged, and says in which field it stands.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from singerkit_wire.momenttexts import SECONDS_OF_DAY as _DAY
from singerkit_wire.momenttexts import UNITS as _UNITS
from singerkit_wire.momenttexts import clock_text, day_text, moment_text

__all__ = ["is_time_of_day", "with_texts", "within_a_day"]

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
            else _text(kind, number)
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


def _text(kind: Any, number: int) -> str:
    if is_time_of_day(kind):
        return ("-" if number < 0 else "") + clock_text(abs(number), kind.unit)
    if pa.types.is_date(kind):
        return day_text(number // (_DAY * _UNITS["ms"]) if kind.bit_width == 64 else number)
    return moment_text(number, kind.unit) + ("" if kind.tz is None else "Z")
