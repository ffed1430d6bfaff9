"""One column of a batch as rules look at it: first as it stands on the wire, which shows most of it, and only then as values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_wire.kinds import Column, Kind
from singerkit_wire.values import values_of

__all__ = ["ColumnView", "as_kind"]

_NULL = Raw(b"null")
_NEVER_RAW = frozenset({Kind.INTEGER, Kind.BOOLEAN, Kind.DATE, Kind.DATE_TIME, Kind.TIME, Kind.UUID})
_NUMBERS = {Kind.INTEGER, Kind.BIG_INTEGER, Kind.NUMBER}
_SEEN_FIRST = 1_000


class ColumnView:
    """The values of ``column`` in all rows of a batch; ``kind`` is what the schema of the field says, which the store may keep as another."""

    def __init__(self, column: Column, kind: Kind, on_wire: list[Any]) -> None:
        self._column, self._kind, self._on_wire = column, kind, on_wire

    def __len__(self) -> int:
        return len(self._on_wire)

    @cached_property
    def raw_lines(self) -> bytes | None:
        """All values as they stood on the wire, a newline before each; None: something else stands there by now."""
        try:
            return b"\n" + b"\n".join(self._on_wire)
        except TypeError:
            return None

    @cached_property
    def has_null(self) -> bool:
        if self._column.kind in _NEVER_RAW:
            return None in self._on_wire
        lines = self.raw_lines
        if lines is not None:
            return b"\nnull" in lines
        return None in self._on_wire or (Raw in set(map(type, self._on_wire)) and _NULL in self._on_wire)

    def nulls(self) -> Sequence[int]:
        return [place for place, value in enumerate(self._on_wire) if value is None or value == _NULL]

    @cached_property
    def ascii_lines(self) -> str | None:
        """All texts in their quotes, a newline before each, where no character is beyond ASCII or escaped; None: that does not show on the wire."""
        lines = self.raw_lines
        return lines.decode("ascii") if lines is not None and lines.isascii() and b"\\" not in lines else None

    def has_none_longer(self, most: float) -> bool:
        """Whether the wire shows that no text has more characters: there each of them is a byte or more, between quotes."""
        try:
            return max(map(len, self._on_wire)) <= most
        except (TypeError, ValueError):
            return False

    def has_none_shorter(self, least: float) -> bool:
        """Whether the wire shows that no text has fewer characters."""
        return (
            self.ascii_lines is not None and not self.has_null and min(map(len, self._on_wire)) - 2 >= least
        )

    def has_numbers_between(self, low: float, high: float, reader: msgspec.json.Decoder[Any]) -> bool:
        """Whether the wire shows that all numbers, rounded, are more than one and less than the other; ``reader`` takes a list of such alone, and of null."""
        numbers = self._on_wire
        try:
            if type(numbers[0]) is Raw:
                reader.decode(b"[%b]" % b",".join(numbers))
                return True
            numbers = [number for number in numbers if number is not None] if None in numbers else numbers
            return bool(low < min(numbers) and max(numbers) < high)
        except (TypeError, ValueError, IndexError, msgspec.MsgspecError):
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
