"""Columns of texts as what they are: a whole column at once, and as JSON has it or not at all.

A text is an integer when it is one in JSON, of at most 18 digits; a number when it is one without an exponent, of at most 18 digits.
All else stays text: `007`, `1e5`, `+1`, ` 1`. The digits of a number stay as they stand (`1.10`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from msgspec import Raw

from singerkit_wire.columnlines import NumberTexts

__all__ = ["CONVERTERS", "DECLARED", "KINDS", "Column", "Misfit", "kind_of_texts"]

Column = Sequence[Any]
_MOST_DIGITS = 18
_ZERO_IN_FRONT = re.compile(rb"\n-?0[0-9]")
_TWO_POINTS = re.compile(rb"\.[0-9]*+\.")
_ONLY_NUMBERS = b"0123456789.-\n"
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_PLAIN_NUMBER = re.compile(r"([+-]?)0*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_WORDS = {
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


def integers(values: Column) -> Column:
    """Return integers as they stand.

    Raises:
        Misfit: one is none as JSON has it.
    """
    data = _as_numbers(_there(values))
    if b"." in data or b"\n-0" in data:
        raise Misfit
    return NumberTexts(values)


def numbers(values: Column) -> Column:
    """Return numbers as they stand.

    Raises:
        Misfit: one is none as JSON has it, or has an exponent.
    """
    _as_numbers(_there(values))
    return NumberTexts(values)


def _as_numbers(there: Sequence[Any]) -> bytes:
    """Return texts, each behind a line end, of which all are numbers; each check looks at all of them at once, in C.

    Raises:
        Misfit: one is none.
    """
    text = "\n".join(["", *there, ""])
    if not text.isascii() or (there and max(map(len, there)) > _MOST_DIGITS and any(map(_is_long, there))):
        raise Misfit
    data = text.encode()
    is_wrong = (
        data.count(b"\n") != len(there) + 1
        or data.translate(None, _ONLY_NUMBERS)
        or _ZERO_IN_FRONT.search(data)
        or (b"." in data and (b"\n." in data or b".\n" in data or b"-." in data or _TWO_POINTS.search(data)))
        or (b"-" in data and (data.count(b"-") != data.count(b"\n-") or b"-\n" in data))
    )
    if is_wrong:
        raise Misfit
    return data


def _is_long(text: str) -> bool:
    return len(text) > _MOST_DIGITS and sum(map(str.isdigit, text)) > _MOST_DIGITS


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
        return _WORDS[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _declared_date(text: str) -> str:
    if len(text) != 10:
        raise ValueError(text)
    date.fromisoformat(text)
    return text


def _declared_moment(text: str) -> str:
    if len(text) < 16:
        raise ValueError(text)
    datetime.fromisoformat(text)
    return f"{text[:10]}T{text[11:]}" if text[10] == " " else text


def _strictly(fast: Callable[[Column], Column], one: Callable[[str], Any]) -> Callable[[Column], Column]:
    """Return what takes a column at once where it is as JSON has it, and one by one where somebody has declared what it is."""
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
    "boolean": _one_by_one(_declared_boolean),
    "string": texts,
    "string date": _one_by_one(_declared_date),
    "string date-time": _one_by_one(_declared_moment),
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
