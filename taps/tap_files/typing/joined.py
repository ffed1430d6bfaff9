"""What all texts of a column are, looked at in one piece: UTF-8 with a line end behind each text. Nothing here runs once a value.

A look that says no may be wrong about odd forms, so that whoever is told no looks at each text; one that says yes never is.
"""

from __future__ import annotations

import re

__all__ = ["are_days", "kind_of_numbers", "with_moments"]

_MOST_DIGITS = 18
_DIGITS = b"0123456789"
_ZERO_IN_FRONT = re.compile(rb"\n-?0[0-9]")
_LONG = b"0" * (_MOST_DIGITS + 1)
_DIGIT_OR_MARK = bytes(0x30 if char in b"0123456789.-" else char for char in range(256))


def kind_of_numbers(data: bytes, count: int) -> str:
    """Return what ``count`` texts are as JSON has it, with at most 18 digits: `integer`, `number` (without an exponent), or "" for neither.

    None of them is empty.
    """
    data = b"\n" + data
    marks = data.translate(None, _DIGITS)
    are_plain = marks == b"\n" * (count + 1) or marks == b"\n." * count + b"\n"
    if not are_plain and not _are_marks_right(data, marks, count):
        return ""
    has_points, has_minuses = b"." in marks, b"-" in marks
    if has_points and (b"\n." in data or b".\n" in data):
        return ""
    if (b"\n0" in data or (has_minuses and b"\n-0" in data)) and _ZERO_IN_FRONT.search(data):
        return ""
    if _LONG in data.translate(_DIGIT_OR_MARK) and _most_digits(data) > _MOST_DIGITS:
        return ""
    return "number" if has_points or (has_minuses and b"\n-0\n" in data) else "integer"


def _most_digits(data: bytes) -> int:
    return max(map(len, data.translate(None, b".-").split()))


def _are_marks_right(data: bytes, marks: bytes, count: int) -> bool:
    """Tell whether what is no digit is at most a minus in front of a digit, and one point."""
    if marks.count(b"\n") != count + 1 or marks.translate(None, b"\n.-") or b".." in marks:
        return False
    minuses = marks.count(b"-")
    return not minuses or (minuses == data.count(b"\n-") and b"-\n" not in data and b"-." not in data)


_AS_ZERO = bytes(0x30 if char in _DIGITS else char for char in range(256))
_MOMENT = re.compile(rb"0000-00-00[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]00:00)?\n")
_DAY = b"0000-00-00\n"
_TENS = bytes((char - 0x30) * 10 if char in _DIGITS else 0 for char in range(256))
_ONES = bytes(char - 0x30 if char in _DIGITS else 0 for char in range(256))
_LAST_DAYS = bytes([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]).ljust(256, b"\0")
_SAFE_DAYS = _LAST_DAYS.replace(b"\x1d", b"\x1c")
"""The last day of each month, and in February the one that each year has."""


def with_moments(data: bytes, count: int) -> bytes | None:
    """Return ``count`` points in time, all written alike to the digit, with a `T` between date and time; None: there are others."""
    size = _size_of_all(data, count)
    form = data[:size].translate(_AS_ZERO)
    if not _MOMENT.fullmatch(form) or data.translate(_AS_ZERO) != form * count:
        return None
    at_zone = form.find(b"-", 11) if b"-" in form[11:] else form.find(b"+")
    clocks = [11] if at_zone < 0 else [11, at_zone + 1]
    if not _are_dates(data, size) or not all(_is_clock(data, at, size) for at in clocks):
        return None
    if form.count(b":00") - (at_zone >= 0) == 2 and data[17::size].translate(None, b"012345"):
        return None
    if form[10:11] == b"T":
        return data
    changed = bytearray(data)
    changed[10::size] = b"T" * count
    return bytes(changed)


def are_days(data: bytes, count: int) -> bool:
    """Tell whether ``count`` texts are dates, `2026-01-31`."""
    return (
        len(data) == len(_DAY) * count
        and data.translate(_AS_ZERO) == _DAY * count
        and _are_dates(data, len(_DAY))
    )


def _size_of_all(data: bytes, count: int) -> int:
    """Return how many bytes each text has, with the end behind it, if all have as many; 0: they have not."""
    size, rest = divmod(len(data), count)
    return 0 if rest else size


def _are_dates(data: bytes, size: int) -> bool:
    """Tell whether there are such dates at the beginnings of texts of ``size`` bytes, which have their digits at the right places."""
    months, days = _numbers(data, 5, size), _numbers(data, 8, size)
    if months.translate(None, bytes(range(1, 13))) or days.translate(None, bytes(range(1, 32))):
        return False
    if b"0" in data[::size] and (b"\n0000-" in data or data.startswith(b"0000-")):
        return False
    if not _is_any_above(days, months.translate(_SAFE_DAYS)):
        return True
    is_short = _is_any_above(days, months.translate(_LAST_DAYS))
    return not is_short and all(_is_leap(int(before[-4:])) for before in data.split(b"-02-29")[:-1])


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _is_clock(data: bytes, at: int, size: int) -> bool:
    """Tell whether at a place of each text there are hours and minutes."""
    return not _numbers(data, at, size).translate(None, bytes(range(24))) and not data[
        at + 3 :: size
    ].translate(None, b"012345")


def _numbers(data: bytes, at: int, size: int) -> bytes:
    """Return the numbers of two digits at a place of each text, a byte each."""
    tens, ones = data[at::size].translate(_TENS), data[at + 1 :: size].translate(_ONES)
    return (int.from_bytes(tens) + int.from_bytes(ones)).to_bytes(len(tens))


def _is_any_above(numbers: bytes, limits: bytes) -> bool:
    """Tell whether any number is above the limit at its place; all are below 128."""
    left = int.from_bytes(limits.translate(_WITH_HIGH_BIT)) - int.from_bytes(numbers)
    return bool(left.to_bytes(len(limits)).translate(None, bytes(range(128, 256))))


_WITH_HIGH_BIT = bytes(char | 128 for char in range(256))
