"""What a typed decoder leaves to judge: the values of one column of a block, all at once.

A check may only take what jsonschema accepts, and what the store holds; of what it refuses the exact path decides.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec

from singerkit_wire.bounds import Bounds
from singerkit_wire.domain import Domain, Numbers, levels
from singerkit_wire.kinds import Column, Kind, from_base64
from singerkit_wire.nested import bounded, bounds_numbers, nested_type
from singerkit_wire.wirecolumns import lines_of

__all__ = ["LONGEST_NUMBER", "REFUSALS", "Check", "Refused", "checks_of", "moment_checks"]

_NUMBER = b"0123456789+-.eE\n"
_NUMBER_OR_NULL = _NUMBER + b"nul"
_HUGE_EXPONENT = re.compile(rb"[eE][+-]?0*[0-9]{4}")
_NO_SHORT_NUMBER = re.compile(rb"[0-9.]{16}|[0-9][eE][+-]?[0-9]")  # doubles tell numbers of 15 digits apart
LONGEST_NUMBER = 10_000  # longer ones are judged on the exact path
REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Refused(Exception):
    """The fast path cannot vouch for this block; the exact path decides."""


Check = Callable[[Any], list[Any] | None]
"""Judges one column of a block; returns replaced values, or None to keep them; raises `Refused`."""


def checks_of(column: Column, validate: bool, domain: Domain) -> Sequence[Check]:
    may_be_null = column.nullable or (not validate and not column.required)
    match column.kind:
        case Kind.NUMBER if column.number_in_text:
            limits = _limits(column, domain)
            return () if limits is None else (partial(_check_texts_of_numbers, limits=limits),)
        case Kind.NUMBER:
            admitted = _NUMBER_OR_NULL if may_be_null else _NUMBER
            limits = _limits(column, domain)
            within = bounded(column.schema) if validate else Bounds()
            bounds = () if within == Bounds() else (partial(_check_bounds, bounds=within),)
            return (lambda values: _check_numbers(values, admitted, limits), *bounds)
        case Kind.BIG_INTEGER:
            return _integer_checks(column, validate)
        case Kind.JSON:
            nested = _nested_decoder(column.schema) if validate else None
            return (lambda values: _check_documents(values, may_be_null, nested, domain.nesting),)
        case Kind.ANY_TEXT:
            nested = _nested_decoder(column.schema) if validate else None
            return (lambda values: _check_any_text(values, may_be_null, nested, column),)
        case Kind.TIME:
            return (_check_times,)
        case Kind.DATE_TIME:
            return moment_checks(domain)
        case Kind.DATE:
            return _year_checks(domain)
        case Kind.BINARY:
            return (_check_binary,)
        case _:
            return ()


def _limits(column: Column, domain: Domain) -> Numbers | None:
    """Return the numbers that the store holds, unless all that `_check_numbers` admits are among them."""
    widest = domain.numbers
    if column.numbers is None and min(widest.before, widest.after) >= LONGEST_NUMBER + 999:  # an exponent
        return None
    return column.numbers or widest


def _check_numbers(values: list[Any], admitted: bytes, limits: Numbers | None) -> None:
    """Each value is one JSON value; those of these characters alone are numbers, or null."""
    joined = lines_of(values)
    if joined.translate(None, admitted):
        raise Refused
    has_exponents = b"e" in joined or b"E" in joined
    if has_exponents and _HUGE_EXPONENT.search(joined):
        raise Refused
    if _has_longer(joined, LONGEST_NUMBER):
        raise Refused
    if limits is not None:
        _check_digits(values, max(map(len, values), default=0), limits, has_exponents=has_exponents)


def _has_longer(lines: bytes, most: int) -> bool:
    """Tell whether a line has more than ``most`` bytes, without a look at each."""
    start = 0
    while len(lines) - start > most:
        end = lines.rfind(b"\n", start, start + most + 1)
        if end < 0:
            return True
        start = end + 1
    return False


def _check_digits(values: list[Any], longest: int, limits: Numbers, *, has_exponents: bool) -> None:
    """The length of a number's text tells of nearly all that they have few enough digits; the others are looked at."""
    sure = 0 if has_exponents else limits.sure
    if longest <= sure:
        return
    for value in values:
        if len(value) > sure:
            text = value if isinstance(value, str) else bytes(value).decode()
            if text != "null" and not limits.hold_text(text):
                raise Refused


def _check_texts_of_numbers(values: list[Any], limits: Numbers) -> None:
    numbers = [value for value in values if value is not None]
    # In text they have no exponents on the fast path.
    _check_digits(numbers, max(map(len, numbers), default=0), limits, has_exponents=False)


def _check_bounds(values: list[Any], bounds: Bounds) -> None:
    try:
        holds = bounds.hold_numbers(values)
    except (*REFUSALS, ArithmeticError) as error:
        raise Refused from error
    if not holds:
        raise Refused


def _integer_checks(column: Column, validate: bool) -> Sequence[Check]:
    limits = [bounded(column.schema)] if validate else []
    if column.numbers is not None:
        most = Decimal(10**column.numbers.before - 1)
        limits.append(Bounds(least=-most, most=most))
    return [partial(_check_integers, bounds=one) for one in limits if one != Bounds()]


def _check_integers(values: list[Any], bounds: Bounds) -> None:
    if not bounds.hold_integers(values):
        raise Refused


@dataclass(frozen=True)
class _Nested:
    """Judges documents; where ``is_bounded``, numbers in them are compared as floats, which is right for short ones only."""

    decoder: Any
    is_bounded: bool

    def check(self, lines: bytes) -> None:
        if self.is_bounded and _NO_SHORT_NUMBER.search(lines):
            raise Refused
        self.decoder.decode_lines(lines)


def _nested_decoder(schema: Mapping[str, Any]) -> _Nested | None:
    type_ = nested_type(schema)
    return None if type_ is None else _Nested(msgspec.json.Decoder(type_), bounds_numbers(schema))


def _check_nested(values: list[Any], may_be_null: bool, nested: _Nested | None) -> list[Any]:
    """Return the values as text, None for null."""
    joined = values[0] if len(values) == 1 else b"\n".join(values)  # one alone may be many megabytes
    try:
        if nested is not None and values:
            nested.check(joined)
        texts: list[Any] = str(joined, "utf-8").split("\n") if values else []
    except REFUSALS as error:
        raise Refused from error
    if "null" in texts:
        if not may_be_null:
            raise Refused
        return [None if text == "null" else text for text in texts]
    return texts


def _check_documents(
    values: list[Any], may_be_null: bool, nested: _Nested | None, nesting: int | None
) -> list[Any]:
    """Return the values as text, None for null, none of them deeper than the store holds."""
    texts = _check_nested(values, may_be_null, nested)
    if nesting is not None:
        for text in texts:
            if text and text.count("[") + text.count("{") > nesting and levels(text) > nesting:
                raise Refused
    return texts


def _check_any_text(
    values: list[Any], may_be_null: bool, nested: _Nested | None, column: Column
) -> list[Any]:
    """Return text as it is, None for null, and any other value as the JSON that it was."""
    texts = _check_nested(values, may_be_null, nested)
    if any(text is not None and _may_be_out_of_range(text) for text in texts):
        raise Refused
    try:
        texts = [
            _text_decoder.decode(text) if text is not None and text[0] == '"' else text for text in texts
        ]
    except REFUSALS as error:
        raise Refused from error
    longest = column.longest
    if longest is not None and any(text is not None and len(text) > longest for text in texts):
        raise Refused
    if not column.keeps_blanks and any(text is not None and text.endswith(" ") for text in texts):
        raise Refused
    return texts


def _may_be_out_of_range(text: str) -> bool:
    return text[0] != '"' and (len(text) > LONGEST_NUMBER or _HUGE_EXPONENT.search(text.encode()) is not None)


_text_decoder = msgspec.json.Decoder(str)


def moment_checks(domain: Domain) -> Sequence[Check]:
    widest = domain.widest_offset
    offsets = () if widest is None else (lambda values: _check_offsets(values, widest),)
    return (*_year_checks(domain), *offsets)


def _year_checks(domain: Domain) -> Sequence[Check]:
    return () if domain.years is None else (partial(_check_years, years=domain.years),)


def _check_years(values: list[Any], years: tuple[int, int]) -> None:
    """A date at the ends is left to the exact path, whatever its offset."""
    first, last = years
    if any(value is not None and not first < value.year < last for value in values):
        raise Refused


def _check_offsets(values: list[Any], widest: datetime.timedelta) -> list[Any] | None:
    """Return moments in UTC when an offset is wider than the store reads."""
    zones = set(map(attrgetter("tzinfo"), filter(None, values)))
    if all(zone is None or abs(zone.utcoffset(None)) <= widest for zone in zones):
        return None
    try:
        return [value.astimezone(datetime.UTC) if value and value.tzinfo else value for value in values]
    except OverflowError as error:
        raise Refused from error


def _check_binary(values: list[Any]) -> list[Any]:
    found = [None if value is None else from_base64(value) for value in values]
    if found.count(None) > values.count(None):
        raise Refused
    return found


def _check_times(values: list[Any]) -> None:
    # A column of type `time` has no place for an offset.
    if any(value is not None and value.utcoffset() for value in values):
        raise Refused
