"""The types of a database that has decimals of a fixed scale: which one a new column gets, which existing ones keep a kind,
and how it is given then. A database supplies the names, as a `Types`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from singerkit_sql_target import decimals
from singerkit_sql_target.decimals import Digits
from singerkit_wire.domain import Numbers
from singerkit_wire.kinds import Column, Kind

__all__ = ["Types"]

_OF_DOUBLES: Digits = (308, 323)
_OF_SINGLES: Digits = (38, 45)
"""Digits beyond which a number is infinity there, or nothing."""
_TEXT = re.compile(r"VARCHAR ?\(\d+\)\Z")
_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC|DEC)(?: ?\((\d+)(?: ?, ?(\d+))?\))?\Z")
_NUMBERS = frozenset({Kind.INTEGER, Kind.BIG_INTEGER, Kind.NUMBER})


@dataclass(frozen=True)
class Types:
    """What a database calls its types, as its catalog writes them.

    ``table`` is the value table (DESIGN 6); its types of text, of documents and of UUIDs take what their kinds hold, that of
    `INTEGER` all integers of 64 bits. ``integers`` says how many digits each surely holds; ``clocks`` in which kind a type takes
    dates and times. ``double`` and ``single`` keep the nearest number that they have. ``most_digits`` are those of a ``decimal``,
    ``unsaid`` the precision and scale of one without them. ``aliases`` are what users may write besides.
    """

    store: str
    table: Mapping[Kind, str]
    integers: Mapping[str, int]
    clocks: Mapping[str, Kind]
    double: str
    single: str | None
    most_digits: int
    unsaid: Digits
    aliases: Mapping[str, str]
    decimal: str = "DECIMAL"

    @property
    def inexact(self) -> Mapping[str, Digits]:
        """The types that round."""
        return {self.double: _OF_DOUBLES} | ({self.single: _OF_SINGLES} if self.single else {})

    def digits_of(self, type_: str) -> Digits | None:
        """Return how many digits a type has before and after the point; None for one that is not exact."""
        if type_ in self.integers:
            return self.integers[type_], 0
        found = re.fullmatch(rf"{self.decimal}\((\d+),(\d+)\)", type_)
        if found is None:
            return None
        precision, scale = map(int, found.groups())
        return precision - scale, scale

    def new_type(self, column: Column, chosen: str | None, number_type: str) -> str:
        """Return the type for a new column: the chosen one, else the table's, with the scale that the schema tells.

        ``number_type`` is ``double`` where numbers are to be doubles whatever the schema says.

        Raises:
            ValueError: the chosen type is none that rows can be loaded into.
        """
        if chosen is not None:
            return self._known(chosen)
        if column.kind is not Kind.NUMBER:
            return self.table[column.kind]
        if (number_type == "double" and not column.number_in_text) or decimals.is_double(column):
            return self.double
        digits = decimals.declared(column, self.most_digits)
        return self.table[Kind.NUMBER] if digits is None else self._with(digits)

    def _with(self, digits: Digits) -> str:
        return f"{self.decimal}({sum(digits)},{digits[1]})"

    def _known(self, chosen: str) -> str:
        name = " ".join(chosen.upper().split())
        if _TEXT.match(name):
            return self.table[Kind.STRING]
        decimal = _DECIMAL.match(name)
        if decimal:
            before, after = self.unsaid
            precision, scale = (
                int(decimal[1] or before + after),
                int(decimal[2] or (0 if decimal[1] else after)),
            )
            if not 1 <= precision <= self.most_digits or scale > precision:
                raise ValueError(
                    f"`{chosen}` has more than {self.most_digits} digits, or more after the point than in all"
                )
            return self._with((precision - scale, scale))
        name = self.aliases.get(name, name)
        if name not in {*self.table.values(), *self.integers, *self.inexact, *self.clocks}:
            raise ValueError(f"`{chosen}` is not a type of {self.store} that rows are loaded into")
        return name

    def fitting(self, column: Column, found: str, wanted: str) -> str | None:
        """Return the type that keeps what a column of type ``found`` holds and every value of its kind; None if none does."""
        if found in (wanted, self.table[Kind.STRING]):
            return found
        has, whole = self.digits_of(found), self.table[Kind.INTEGER]
        if column.kind not in _NUMBERS or has is None:
            return None
        if found in self.integers and column.kind is Kind.INTEGER:
            return found if has[0] >= self.integers[whole] else whole
        if wanted in self.inexact:
            return None if found in self.integers else found
        if found not in self.integers and column.kind is not Kind.NUMBER and has[0] >= decimals.BIGINT_DIGITS:
            return found
        if found == whole:
            has = decimals.BIGINT_DIGITS, 0
        needs = (decimals.BIGINT_DIGITS, 0) if column.kind is Kind.INTEGER else self.digits_of(wanted)
        both = None if needs is None else decimals.joined(has, needs, self.most_digits)
        return None if both is None else self._with(both)

    def as_stored(self, column: Column, type_: str) -> Column | None:
        """Return the column with the kind, and the digits, in which a column of that type takes its values; None if it takes none."""
        kind = column.kind
        if type_ == self.table[Kind.STRING]:
            return replace(column, kind=decimals.as_text(column), number_in_text=False)
        if type_ == self.table[Kind.JSON]:
            return replace(column, kind=Kind.JSON, number_in_text=False)
        if type_ in self.clocks:
            may_be = kind is Kind.STRING or kind in self.clocks.values()
            return replace(column, kind=self.clocks[type_]) if may_be else None
        digits = self.digits_of(type_)
        if digits is not None or type_ in self.inexact:
            return self._as_number(column, type_, digits)
        if type_ == self.table[Kind.UUID] and kind is Kind.STRING:
            return replace(column, kind=Kind.UUID)
        return column if type_ == self.table[kind] else None

    def _as_number(self, column: Column, type_: str, digits: Digits | None) -> Column | None:
        if column.kind is Kind.INTEGER and type_ == self.table[Kind.INTEGER]:
            return column
        rounds = "" if type_ == self.double else f", or {self.double}, which rounds"
        others = f"{self.table[Kind.STRING]}, which keeps every digit{rounds}"
        numbers = Numbers(
            *(digits or self.inexact[type_]),
            holder=f"its column of type {type_} (`column_types` chooses another: {others})",
            counts_zeros=False,
            as_double=type_ == self.double and decimals.is_double(column),
            as_single=type_ == self.single,
        )
        if column.kind in (Kind.INTEGER, Kind.BIG_INTEGER):
            return replace(column, kind=Kind.BIG_INTEGER, numbers=numbers)
        if column.kind is Kind.NUMBER:
            return replace(column, numbers=numbers)
        return (
            replace(column, kind=Kind.NUMBER, number_in_text=True, numbers=numbers)
            if column.kind is Kind.STRING
            else None
        )
