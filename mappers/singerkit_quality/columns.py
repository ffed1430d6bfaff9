"""One column of a batch as rules look at it: as it stands there, which shows of most columns that all is well, and only then as values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_shell.encoding import holds
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.values import values_of
from singerkit_wire.wirecolumns import WireColumn

__all__ = ["ColumnView", "Texts", "as_kind"]

_NULL = Raw(b"null")
_NUMBERS = {Kind.INTEGER, Kind.BIG_INTEGER, Kind.NUMBER}
_SEEN_FIRST = 1_000
_SHORT = 15
"""Digits of numbers that are told apart when they are rounded to doubles."""
_QUOTES = 2
_decode_texts = msgspec.json.Decoder(list[str]).decode


@dataclass(frozen=True)
class Texts:
    """The texts of a column that are there: those of ``lines`` with a newline before each, all of them in quotes or none, and ``others``."""

    lines: str
    are_quoted: bool
    others: Sequence[str] = ()


class ColumnView:
    """The values of ``column`` in all rows of a batch, which has some; ``kind`` is what the schema of the field says, which the store may keep as another."""

    def __init__(self, column: Column, kind: Kind, on_wire: WireColumn) -> None:
        self._column, self._kind, self._on_wire = column, kind, on_wire
        self._is_raw = type(on_wire[0]) is Raw

    @cached_property
    def raw_lines(self) -> bytes | None:
        """All values as they stood on the wire, a newline before each; None: something else stands there by now."""
        try:
            return self._on_wire.lines if self._is_raw else None
        except TypeError:
            return None

    @cached_property
    def has_null(self) -> bool:
        if self.raw_lines is not None:
            return holds(self.raw_lines, b"\nnull")
        if type(self._on_wire[0]) is str and self._column.kind is Kind.STRING and all(self._on_wire):
            return False  # which takes a third of a look for None
        return None in self._on_wire or (Raw in set(map(type, self._on_wire)) and _NULL in self._on_wire)

    def nulls(self) -> Sequence[int]:
        return [place for place, value in enumerate(self._on_wire) if value is None or value == _NULL]

    @cached_property
    def texts(self) -> Texts | None:
        """None: not all that is there is text."""
        if self.raw_lines is not None and self._column.kind is Kind.STRING:
            return _in_quotes(self.raw_lines.replace(b"\nnull", b"") if self.has_null else self.raw_lines)
        there = self._there(self.values)
        try:
            lines = "\n".join(["", *there])
        except TypeError:
            return None
        if lines.count("\n") > len(there):
            return Texts("", are_quoted=False, others=list(there))
        return Texts(lines, are_quoted=False)

    def has_lengths(self, least: float, most: float) -> bool:
        """Whether all texts have so many characters, and all that are there are texts."""
        if least <= 1 and self.raw_lines is not None and self._column.kind is Kind.STRING:
            # A character takes a byte or more.
            is_none_empty = not least or not holds(self.raw_lines, b'\n""')
            if is_none_empty and max({*map(len, self._on_wire)}) <= most + _QUOTES:
                return True
        try:
            found = {*map(len, self._there(self.values))}
        except TypeError:
            return False
        return not found or (least <= min(found) and max(found) <= most)

    def has_short_numbers(self) -> bool:
        """Whether rounding the numbers, which stand there as on the wire, leaves them as far apart as they are."""
        lines = self.raw_lines
        return lines is not None and max(map(len, self._on_wire)) <= _SHORT and b"e" not in lines.lower()

    def has_numbers_of(self, reader: msgspec.json.Decoder[Any]) -> bool:
        """Whether ``reader`` takes the numbers, as a list, among them null; False where they do not stand there as on the wire."""
        if self.raw_lines is None:
            return False
        try:
            reader.decode(b"[%b]" % self.raw_lines[1:].replace(b"\n", b","))
        except msgspec.MsgspecError:
            return False
        return True

    def is_between(self, low: Any, high: Any) -> bool:
        """Whether all values that are there are, both ends among them; None is no end."""
        there = self._there(self.distinct())
        try:
            return not there or ((low is None or low <= min(there)) and (high is None or max(there) <= high))
        except (TypeError, InvalidOperation):  # something else than its schema says, or no number
            return False

    def is_within(self, values: Collection[Any], on_wire: Collection[bytes]) -> bool:
        """Whether it shows that the column has nothing but ``values``, of which ``on_wire`` is how they may stand there."""
        if self.raw_lines is not None:
            return {*self.raw_lines.split(b"\n")[1:]}.issubset(on_wire)
        try:
            return {*self._on_wire}.issubset(values)
        except TypeError:  # some of it is as it stood on the wire
            return False

    @cached_property
    def values(self) -> Sequence[Any]:
        """None is null; of the kind that the schema says."""
        values = values_of(self._column, self._on_wire)
        kinds = {self._column.kind, self._kind}
        if len(kinds) == 1 or kinds <= _NUMBERS:
            return values
        if self._column.kind is Kind.JSON:
            values = [None if value is None else msgspec.json.decode(value) for value in values]
        return [as_kind(self._kind, value) for value in values]

    def distinct(self) -> Collection[Any]:
        """Return all values, each once where many are the same."""
        first = self.values[:_SEEN_FIRST]
        return set(self.values) if len(set(first)) * 2 <= len(first) else self.values

    def _there(self, values: Collection[Any]) -> Collection[Any]:
        return [value for value in values if value is not None] if self.has_null else values


def _in_quotes(lines: bytes) -> Texts:
    """Texts as they stand on the wire, which are what they say but for those with escapes."""
    if b"\\" not in lines:
        return Texts(lines.decode(), are_quoted=True)
    plain, escaped = [b""], list[bytes]()
    for line in lines.split(b"\n")[1:]:
        (escaped if b"\\" in line else plain).append(line)
    return Texts(
        b"\n".join(plain).decode(), are_quoted=True, others=_decode_texts(b"[%b]" % b",".join(escaped))
    )


def as_kind(kind: Kind, value: Any) -> Any:
    """Return a value that the store keeps as another kind as its schema has it; as it is, where that is not to be had."""
    if value is None or isinstance(value, bool):
        return value
    try:
        match kind:
            case Kind.INTEGER | Kind.BIG_INTEGER | Kind.NUMBER:
                return value if isinstance(value, int | Decimal) else Decimal(value)
            case Kind.DATE:
                return date.fromisoformat(value) if isinstance(value, str) else value
            case Kind.DATE_TIME:
                found = datetime.fromisoformat(value) if isinstance(value, str) else value
                return found if not isinstance(found, datetime) or found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, InvalidOperation):
        return value
    return value
