"""Rows of a block that another process has decoded, and has made ready for the store: here they become rows only where somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

__all__ = ["AheadRows", "told_of", "values_in", "widened"]

Row = tuple[Any, ...]


class AheadRows(Sequence[Row]):
    """``count`` rows as `Batch.wire_rows` has them; ``decode`` returns them.

    ``ready`` is what has been made of them for ``fields``, ``added`` are the columns behind those. ``known``: the values of some columns, by place.
    ``told``: what a look at them there has shown, where there was one.
    """

    def __init__(
        self,
        count: int,
        ready: Any,
        fields: Sequence[Any],
        decode: Callable[[], Sequence[Row]],
        known: Mapping[int, Collection[Any]],
        added: Sequence[Sequence[Any]] = (),
        told: Any = None,
    ) -> None:
        self._count, self._decode = count, decode
        self.ready, self.fields, self.known, self.added = ready, tuple(fields), known, tuple(added)
        self.told = told

    def with_more(self, columns: Sequence[Sequence[Any]]) -> AheadRows:
        """Return them with columns behind the others."""
        return AheadRows(
            self._count,
            self.ready,
            self.fields,
            self._decode,
            self.known,
            [*self.added, *columns],
            self.told,
        )

    @cached_property
    def _rows(self) -> Sequence[Row]:
        rows = self._decode()
        if not self.added:
            return rows
        return [(*row, *more) for row, more in zip(rows, zip(*self.added, strict=True), strict=True)]

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | Sequence[Row]:
        return self._rows[at]


def widened(rows: Sequence[Row], constants: Row, first: int | None = None) -> Sequence[Row]:
    """Return rows with the same values behind each, and with their numbers from ``first`` on."""
    if isinstance(rows, AheadRows):
        numbers = [] if first is None else [range(first, first + len(rows))]
        return rows.with_more([*([value] * len(rows) for value in constants), *numbers])
    if first is None:
        return [(*row, *constants) for row in rows]
    return [(*row, *constants, first + index) for index, row in enumerate(rows)]


def told_of(rows: Sequence[Row]) -> Any:
    """Return what a look at rows where they were decoded has shown; None: there was none."""
    return rows.told if isinstance(rows, AheadRows) else None


def values_in(rows: Sequence[Row], place: int) -> Collection[Any]:
    """Return the values of a column, each at least once."""
    if isinstance(rows, AheadRows) and place in rows.known:
        return rows.known[place]
    return [row[place] for row in rows]
