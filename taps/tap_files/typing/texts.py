"""Columns of texts as what they are: a whole column at once, and as JSON has it or not at all.

A text is an integer when it is one in JSON, of at most 18 digits; a number when it is one without an exponent, of at most 18 digits.
All else stays text: `007`, `1e5`, `+1`, ` 1`. The digits of a number stay as they stand (`1.10`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from msgspec import Raw

from singerkit_wire.columnlines import NumberTexts
from tap_files.typing.joined import are_days, kind_of_numbers, with_moments

__all__ = ["CONVERTERS", "DECLARED", "KINDS", "WORDS", "Column", "Misfit", "kind_of_texts"]

Column = Sequence[Any]
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_PLAIN_NUMBER = re.compile(r"([+-]?)0*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
# Python reads more as dates than targets do: weeks, days without dashes, any character between date and time.
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    _DAY.pattern + r"[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)? ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
WORDS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}


class Misfit(Exception):
    """A text is not what its column holds; the number of the first such one, from 0, where it is known."""

    def __init__(self, number: int | None = None) -> None:
        super().__init__(number)
        self.number = number


def _there(values: Column) -> Column:
    """Return the values that are neither null nor empty."""
    return values if all(values) else [value for value in values if value]


def _joined(there: Sequence[str]) -> bytes:
    """Return texts that are neither null nor empty as `typing.joined` looks at them.

    Raises:
        Misfit: there is a letter among them that no number and no date has.
    """
    text = "\n".join([*there, ""])
    if not text.isascii():
        raise Misfit
    return text.encode()


def integers(values: Column) -> Column:
    """Return integers as they stand.

    Raises:
        Misfit: one is none as JSON has it.
    """
    return _numbers(values, ("integer",))


def numbers(values: Column) -> Column:
    """Return numbers as they stand.

    Raises:
        Misfit: one is none as JSON has it, or has an exponent.
    """
    return _numbers(values, ("integer", "number"))


def _numbers(values: Column, kinds: Sequence[str]) -> Column:
    there = _there(values)
    if there and kind_of_numbers(_joined(there), len(there)) not in kinds:
        raise Misfit
    return NumberTexts(values)


def _days(values: Column) -> Column:
    there = _there(values)
    if there and not are_days(_joined(there), len(there)):
        raise Misfit
    return [value or None for value in values]


def _moments(values: Column) -> Column:
    there = _there(values)
    if not there:
        return [None] * len(values)
    data = with_moments(_joined(there), len(there))
    found = iter(_each_moment(there) if data is None else data.decode().split("\n"))
    return [next(found) if value else None for value in values]


def _each_moment(there: Sequence[str]) -> list[str]:
    """Return points in time that are written in several ways."""
    if not all(map(_MOMENT.fullmatch, there)):
        raise Misfit
    try:
        deque(map(datetime.fromisoformat, there), maxlen=0)
    except ValueError:
        raise Misfit from None
    return [f"{text[:10]}T{text[11:]}" if text[10] == " " else text for text in there]


def _booleans(values: Column) -> Column:
    known = {value: WORDS.get(value.lower()) if value else None for value in {*values}}
    if None in {found for value, found in known.items() if value}:
        raise Misfit
    return [known[value] for value in values]


def texts(values: Column) -> Column:
    """Return texts as they are."""
    return values


def _one_by_one(convert: Callable[[str], Any]) -> Callable[[Column], Column]:
    def converted(values: Column) -> Column:
        found = []
        for number, value in enumerate(values):
            try:
                found.append(convert(value) if value else None)
            except ValueError:
                raise Misfit(number) from None
        return found

    return converted


def _declared_integer(text: str) -> Any:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(text)
    return Raw(_plain(text))


def _declared_number(text: str) -> Any:
    return Raw(text if _JSON_NUMBER.fullmatch(text) else _plain(text))


def _plain(text: str) -> str:
    """Return a number as JSON has it: without a plus and without zeros in front."""
    found = _PLAIN_NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(text)
    sign, digits = found[1].replace("+", ""), found[2]
    return f"{sign}{digits}"


def _declared_boolean(text: str) -> bool:
    try:
        return WORDS[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _declared_date(text: str) -> str:
    if not _DAY.fullmatch(text):
        raise ValueError(text)
    date.fromisoformat(text)
    return text


def _declared_moment(text: str) -> str:
    if not _MOMENT.fullmatch(text):
        raise ValueError(text)
    datetime.fromisoformat(text)
    return f"{text[:10]}T{text[11:]}" if text[10] == " " else text


def _strictly(fast: Callable[[Column], Column], one: Callable[[str], Any]) -> Callable[[Column], Column]:
    """Return what takes a column at once where it is written as most are, and one by one where somebody has declared what it is."""
    slow = _one_by_one(one)

    def converted(values: Column) -> Column:
        try:
            return fast(values)
        except Misfit:
            return slow(values)

    return converted


KINDS = ("integer", "number", "string")
"""What columns are found to be, from the narrowest on."""

CONVERTERS: Mapping[str, Callable[[Column], Column]] = {
    "integer": integers,
    "number": numbers,
    "string": texts,
}
"""From the texts of a column that was found to be of a kind."""

DECLARED: Mapping[str, Callable[[Column], Column]] = {
    "integer": _strictly(integers, _declared_integer),
    "number": _strictly(numbers, _declared_number),
    "boolean": _strictly(_booleans, _declared_boolean),
    "string": texts,
    "string date": _strictly(_days, _declared_date),
    "string date-time": _strictly(_moments, _declared_moment),
}
"""From the texts of a column of which somebody has said what it is."""


def kind_of_texts(values: Column, known: str = "") -> str:
    """Return the narrowest kind that has all values, and those of ``known``, too; "": all are null or empty."""
    if not any(values):
        return known
    begin = KINDS.index(known) if known else 0
    for kind in KINDS[begin:-1]:
        try:
            CONVERTERS[kind](values)
        except Misfit:
            continue
        return kind
    return KINDS[-1]
