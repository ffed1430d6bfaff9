"""Rows of a block by column, as they stand on the wire: what looks at a column finds it as the one before has made it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any

__all__ = ["WireColumn", "WireColumns", "lines_of"]


class WireColumn(list[Any]):
    """The values of one column, in the order of their rows."""

    @cached_property
    def lines(self) -> bytes:
        """All values, a newline before each.

        Raises:
            TypeError: not all of them are as they stood on the wire.
        """
        return b"\n".join([b"", *self])


def lines_of(values: Sequence[Any]) -> bytes:
    """Return values with a newline before each; those of a `WireColumn` are joined once.

    Raises:
        TypeError: not all of them are as they stood on the wire.
    """
    return values.lines if isinstance(values, WireColumn) else b"\n".join([b"", *values])


class WireColumns:
    """The columns of ``rows``, which nobody changes."""

    def __init__(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self.rows = rows
        self._made: dict[int, Sequence[Any]] = {}

    @classmethod
    def of(cls, columns: Sequence[Sequence[Any]]) -> WireColumns:
        """Return columns, of which there is one at least, with the rows that they make."""
        made = cls(list(zip(*columns, strict=True)))
        made._made = dict(enumerate(columns))
        return made

    def __getitem__(self, place: int) -> WireColumn:
        found = self._made.get(place)
        if not isinstance(found, WireColumn):
            found = WireColumn(map(itemgetter(place), self.rows) if found is None else found)
            self._made[place] = found
        return found

    def make(self, count: int) -> Sequence[Sequence[Any]]:
        """Return all ``count`` columns: to make them together takes less than to make each."""
        if len(self._made) * 2 < count:
            self._made = {**dict(enumerate(zip(*self.rows, strict=True))), **self._made}
        return [self._made[place] if place in self._made else self[place] for place in range(count)]
