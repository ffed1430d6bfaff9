"""What a schema asks of a number besides its type: bounds, and of what it is a multiple; judged with every digit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from singerkit_catalog.compiled import Inexpressible
from singerkit_wire.domain import EXACT

__all__ = ["Bounds", "bounds_of"]

_BEYOND_DOUBLE = 10**308
_NEAR = 1e-12
_KEYWORDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_floats = msgspec.json.Decoder(list[float | None])


@dataclass(frozen=True)
class Bounds:
    """``least`` and ``most`` are admitted, ``above`` and ``below`` are not; numbers are multiples of ``multiple``."""

    least: Decimal | None = None
    most: Decimal | None = None
    above: Decimal | None = None
    below: Decimal | None = None
    multiple: Decimal | None = None

    def of_integers(self, lowest: int, highest: int) -> Any:
        """Return int within these bounds and [lowest, highest], which are of 64 bits.

        Raises:
            Inexpressible: there is none.
        """
        least, most = self._ends()
        least, most = max(least, lowest), min(most, highest)
        if least > most:
            raise Inexpressible("no value at all")
        step = self._step
        if step > highest:
            raise Inexpressible(step)
        return Annotated[int, Meta(ge=least, le=most, multiple_of=step if step > 1 else None)]

    def hold_integers(self, values: Sequence[int | None]) -> bool:
        """Tell whether all are within; null is."""
        found = [value for value in values if value is not None]
        if not found:
            return True
        least, most = self._ends()
        step = self._step
        return least <= min(found) and max(found) <= most and not (step > 1 and any(v % step for v in found))

    def _ends(self) -> tuple[float | int, float | int]:
        least = [math.ceil(self.least)] if self.least is not None else []
        least += [math.floor(self.above) + 1] if self.above is not None else []
        most = [math.floor(self.most)] if self.most is not None else []
        most += [math.ceil(self.below) - 1] if self.below is not None else []
        return max(least, default=-math.inf), min(most, default=math.inf)

    @property
    def _step(self) -> int:
        if self.multiple is None:
            return 1
        numerator, _ = self.multiple.as_integer_ratio()
        return numerator  # an integer is a multiple of 3/2 if it is one of 3

    def hold_numbers(self, texts: Sequence[Raw]) -> bool:
        """Tell whether numbers, as their JSON text, are within; null is.

        Raises:
            msgspec.MsgspecError, ArithmeticError: not to be told; one is beyond all doubles, for example.
        """
        return self._hold_ends(texts) and (self.multiple is None or self._hold_multiples(texts))

    def _hold_ends(self, texts: Sequence[Raw]) -> bool:
        """Doubles tell of nearly all numbers on which side of a bound they are; of those near to it the digits do."""
        lower = [(end, True) for end in (self.least, self.above) if end is not None]
        ends = lower + [(end, False) for end in (self.most, self.below) if end is not None]
        if not ends:
            return True
        floats = _floats.decode(b"[%b]" % b",".join(texts))
        numbers: list[Any] = [n for n in floats if n is not None] if None in floats else floats
        if not numbers:
            return True
        smallest, greatest = min(numbers), max(numbers)
        for end, is_lower in ends:
            bound = float(end)
            near = abs(bound) * _NEAR
            if smallest > bound + near if is_lower else greatest < bound - near:
                continue
            doubtful = {
                bytes(text)
                for text, number in zip(texts, floats, strict=True)
                if number is not None and (number <= bound + near if is_lower else number >= bound - near)
            }
            if not all(self._holds(Decimal(text.decode())) for text in doubtful):
                return False
        return True

    def _holds(self, number: Decimal) -> bool:
        return (
            (self.least is None or number >= self.least)
            and (self.most is None or number <= self.most)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )

    def _hold_multiples(self, texts: Sequence[Raw]) -> bool:
        multiple = self.multiple
        assert multiple is not None  # noqa: S101  the caller has looked
        joined = b"\n".join(texts)
        _, digits, exponent = multiple.normalize(EXACT).as_tuple()
        assert isinstance(exponent, int)  # noqa: S101  finite numbers have one
        if digits == (1,) and exponent <= 0 and b"e" not in joined and b"E" not in joined:
            # One of 0.01 has no other digits than zeros behind two; one of 1 has none behind the point.
            return re.search(rb"\.[0-9]{%d}0*[1-9]" % -exponent, joined) is None
        with localcontext(EXACT):
            return not any(Decimal(text.decode()) % multiple for text in set(joined.split(b"\n")) - {b"null"})


def bounds_of(schema: Mapping[str, Any]) -> Bounds:
    """Return the bounds of a scalar schema; other keywords are the caller's.

    Raises:
        Inexpressible: one is no number, or too great for a double.
    """
    given = [schema.get(keyword) for keyword in _KEYWORDS]
    least, most, above, below, multiple = map(_exact, given)
    if multiple is not None and multiple <= 0:
        raise Inexpressible(multiple)
    return Bounds(least, most, above, below, multiple)


def _exact(number: Any) -> Decimal | None:
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int | Decimal):
        raise Inexpressible(number)  # a float is not what the schema's text says
    exact = Decimal(number)
    if abs(exact) >= _BEYOND_DOUBLE:
        raise Inexpressible(number)
    return exact
