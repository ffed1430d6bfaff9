"""What a store can hold. Each target states its own `Domain`, and both paths judge values by it: one way for all.

What a value has too much of for the domain is unstorable: `on_unstorable` decides (docs/values.md).
"""

from __future__ import annotations

import datetime
import re
import struct
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from math import inf, isfinite

from singerkit_shell.words import counted

__all__ = ["DIGITS", "EXACT", "Domain", "Numbers", "levels"]

_DIGITS_OF_DOUBLES, _DIGITS_OF_SINGLES = 15, 6
"""Numbers of so many digits differ as doubles, and come back as they were; and as floats of 32 bits."""
_SINGLE = struct.Struct("f")

DIGITS = 200_000
"""The digits with which the exact path computes."""
EXACT = Context(prec=DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""In it `multipleOf` divides without rounding."""


@dataclass(frozen=True)
class Numbers:
    """The decimals that a store or one of its columns holds with every digit.

    ``before`` and ``after`` are digits before the point and after it; ``holder`` is its name in sentences. A column of a
    fixed scale holds `1.500` where it holds `1.5`: it says False for ``counts_zeros``. ``as_double``: a column of doubles, which
    holds a number if the double nearest to it is that number, or is written with its digits, as each that was a double before.
    ``as_single``: the same of a column of floats of 32 bits.
    """

    before: int
    after: int
    holder: str
    counts_zeros: bool = True
    as_double: bool = False
    as_single: bool = False

    @classmethod
    def fixed(cls, precision: int, scale: int) -> Numbers:
        """Those of a column ``decimal(precision, scale)``."""
        return cls(precision - scale, scale, f"decimal({precision},{scale})", counts_zeros=False)

    def refusal(self, value: Decimal) -> str:
        """Say why a number that is not held is not."""
        return f"Expected a number that {self.holder} can hold, got {self._excess(value)}"

    def _excess(self, value: Decimal) -> str:
        if self.as_double:
            return "one that a double rounds" if isfinite(float(value)) else "one out of range"
        if self.as_single:
            return "one that 32 bits round" if isfinite(_single(float(value))) else "one out of range"
        if value.adjusted() >= self.before:
            return "one out of range"
        return f"one with more than {counted(self.after, 'digit')} after the point"

    @property
    def sure(self) -> int:
        """As many characters, without an exponent, are a number that is held; as many may stand behind `0.`, or before no point."""
        if self.as_single:
            return _DIGITS_OF_SINGLES
        return _DIGITS_OF_DOUBLES if self.as_double else min(self.before, self.after + 2)

    def hold_text(self, text: str) -> bool:
        """`hold` of what a text says."""
        return (self.as_double and repr(float(text)) == text) or self.hold(Decimal(text))

    def hold(self, value: Decimal) -> bool:
        """Tell whether a finite number keeps all its digits."""
        if self.as_double:
            double = float(value)
            return Decimal(repr(double)) == value or (isfinite(double) and Decimal(double) == value)
        if self.as_single:
            return _single_holds(value)
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)  # noqa: S101  finite numbers have one
        if not self.counts_zeros:
            if not value:
                return True
            zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
            digits, exponent = digits[: len(digits) - zeros], exponent + zeros
        return len(digits) + exponent <= self.before and -exponent <= self.after


def _single_holds(value: Decimal) -> bool:
    single = _single(float(value))
    if not isfinite(single):
        return False
    written = (f"{single:.{digits}g}" for digits in range(1, 10))
    shortest = next(text for text in written if _single(float(text)) == single)
    return Decimal(single) == value or Decimal(shortest) == value


def _single(number: float) -> float:
    try:
        [nearest] = _SINGLE.unpack(_SINGLE.pack(number))
    except OverflowError:
        return inf
    return float(nearest)


@dataclass(frozen=True)
class Domain:
    """What a store can hold; a column may be narrower (`Column.numbers`, ``longest``, ``second_digits``).

    ``wide_integers`` names the type that a column of integers takes for one beyond 64 bits; None: it cannot, and such
    an integer is out of range. ``widest_offset`` is that of a date-time: with a wider one it is given in UTC.
    ``years`` are the first and the last one of its dates and, in UTC, date-times; None: all that can be written.
    ``nesting`` is how many levels of objects and arrays a document may have. ``holds_nul``: text may have NUL characters. ``columns`` is how many a table may have, ``name_bytes`` how many
    bytes of UTF-8 a name: the target shortens longer ones. None: no limit.
    """

    numbers: Numbers = Numbers(DIGITS // 2, DIGITS // 2, "this run")
    wide_integers: str | None = "wider"
    widest_offset: datetime.timedelta | None = None
    years: tuple[int, int] | None = None
    nesting: int | None = None
    holds_nul: bool = False
    columns: int | None = None
    name_bytes: int | None = None

    def holds_year_of(self, moment: datetime.date) -> bool:
        """Tell whether a date, or a date-time that is in UTC where it has no offset, lies in ``years``."""
        if self.years is None:
            return True
        if isinstance(moment, datetime.datetime) and moment.tzinfo is not None:
            try:
                moment = moment.astimezone(datetime.UTC)
            except OverflowError:
                return False
        return self.years[0] <= moment.year <= self.years[1]


_TEXT_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def levels(document: str) -> int:
    """Return how many levels of objects and arrays JSON text has."""
    deepest = level = 0
    for bracket in _TEXT_OR_BRACKET.findall(document):
        if bracket in ("[", "{"):
            level += 1
            deepest = max(deepest, level)
        elif bracket in ("]", "}"):
            level -= 1
    return deepest
