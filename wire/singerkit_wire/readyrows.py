"""Records in the form in which they are sent already: a block of lines, of which nothing is decoded unless somebody asks.

A database that makes JSON of its rows gives them so (`singerkit_tap.contract.Page`). Where a stream sends all that stands in
them, a block becomes RECORD lines without a look at any row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

from singerkit_shell.encoding import count_lines

__all__ = ["JsonColumn", "ReadyRows"]


@dataclass(frozen=True, slots=True)
class JsonColumn:
    """Values as JSON, in UTF-8 and with no line end; ``quote``: what is to stand around each."""

    values: Sequence[bytes]
    quote: bytes = b""

    def whole(self) -> Sequence[bytes]:
        """Return the values with what stands around them."""
        return [b'"%b"' % value for value in self.values] if self.quote else self.values


class ReadyRows(Sequence[bytes]):
    """JSON objects of the fields ``names``, all of them, in this order, each ended by a newline and with none inside; in UTF-8.

    ``columns``: those of which the values are known besides; ``count``: how many rows they are, where that is known.
    """

    def __init__(
        self,
        block: bytes,
        names: Sequence[str],
        columns: Mapping[str, JsonColumn] | None = None,
        count: int | None = None,
    ) -> None:
        self.block, self.names = block, tuple(names)
        self._columns, self._known = columns or {}, count

    def known(self, name: str) -> Sequence[bytes] | None:
        """Return the values of a column as they stand; None: nobody knows without a look."""
        column = self._columns.get(name)
        return None if column is None else column.whole()

    @cached_property
    def _rows(self) -> list[bytes]:
        return self.block.split(b"\n")[:-1]

    @cached_property
    def _count(self) -> int:
        return count_lines(self.block) if self._known is None else self._known

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> ReadyRows: ...
    def __getitem__(self, at: int | slice) -> bytes | ReadyRows:
        if isinstance(at, int):
            return self._rows[at]
        return self._of(self._rows[at])

    def picked(self, numbers: Iterable[int]) -> ReadyRows:
        """Return some of them."""
        return self._of([self._rows[number] for number in numbers])

    def _of(self, rows: Iterable[bytes]) -> ReadyRows:
        return ReadyRows(b"".join(row + b"\n" for row in rows), self.names)
