"""The rows of a long answer as a sequence, of which no more than a piece is in memory."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate
from typing import overload

from msgspec import Raw

from tap_rest.http.storing import Span

__all__ = ["LongRows", "Pieces", "bytes_in_memory", "changed", "digest_of", "parts_of"]

Decode = Callable[[bytes], list[Raw]]
Change = Callable[[Sequence[Raw]], Sequence[Raw]]


@dataclass(slots=True)
class Pieces:
    """Where the pieces of some rows stand in a part of a file, and how each is decoded."""

    span: Span
    decode: Decode
    starts: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("q"))
    counts: array[int] = field(default_factory=lambda: array("q"))
    first: Raw | None = None

    def add(self, start: int, length: int, rows: Sequence[Raw]) -> None:
        """Note a piece, and the rows in it."""
        self.starts.append(start)
        self.lengths.append(length)
        self.counts.append(len(rows))
        if self.first is None and rows:
            self.first = Raw(bytes(rows[0]))  # it would hold the whole piece otherwise


class LongRows(Sequence[Raw]):
    """Rows on disk, in order; slices of it are lists.

    ``change`` makes of the rows of a piece what is read of them; ``counts``: how many that are in each, if they are not as many.
    ``skipped``: so many of the first are left out.
    """

    def __init__(
        self,
        pieces: Sequence[Pieces],
        change: Change | None = None,
        skipped: int = 0,
        counts: Sequence[int] | None = None,
    ) -> None:
        self._pieces, self._change, self._skipped = pieces, change, skipped
        self._places = [(group, number) for group in pieces for number in range(len(group.starts))]
        self._begins, self._left_out, left = array("q", [0]), array("q"), skipped
        for group, number in self._places:
            self._left_out.append(min(left, group.counts[number]))
            left -= self._left_out[-1]
            self._begins.append(self._begins[-1] + group.counts[number] - self._left_out[-1])
        if counts is not None:
            self._begins = array("q", accumulate(counts, initial=0))
        self._kept: tuple[int, Sequence[Raw]] = (-1, [])

    def __len__(self) -> int:
        return self._begins[-1]

    @overload
    def __getitem__(self, index: int) -> Raw: ...
    @overload
    def __getitem__(self, index: slice) -> list[Raw]: ...
    def __getitem__(self, index: int | slice) -> Raw | list[Raw]:
        if isinstance(index, int):
            number = index + len(self) if index < 0 else index
            if not 0 <= number < len(self):
                raise IndexError(index)
            return self._between(number, number + 1)[0]
        begin, end, step = index.indices(len(self))
        return self._between(begin, end)[::step] if step > 0 else list(self)[index]

    def __iter__(self) -> Iterator[Raw]:
        for part in self.parts():
            yield from part

    def __eq__(self, other: object) -> bool:
        if isinstance(other, LongRows):
            return len(self) == len(other) and all(
                one == another for one, another in zip(self, other, strict=True)
            )
        return isinstance(other, list) and len(self) == len(other) and list(self) == other

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def parts(self) -> Iterator[Sequence[Raw]]:
        """Yield the rows a piece at a time."""
        for number in range(len(self._places)):
            yield self._part(number)

    def changed(self, change: Change, *, is_one_each: bool = True) -> LongRows:
        """Return the rows with ``change`` made to them, too; ``is_one_each``: of each row it makes one."""
        before = self._change
        both = change if before is None else lambda rows: change(before(rows))
        counts = None if is_one_each else [len(change(part)) for part in self.parts()]
        return LongRows(self._pieces, both, self._skipped, counts)

    def behind(self, skipped: int) -> LongRows:
        """Return the rows without the first ``skipped``."""
        return LongRows(self._pieces, self._change, self._skipped + skipped)

    def _between(self, begin: int, end: int) -> list[Raw]:
        found: list[Raw] = []
        place = bisect_right(self._begins, begin) - 1
        while begin < end:
            part, first = self._part(place), self._begins[place]
            found += part[begin - first : end - first]
            begin, place = max(begin, self._begins[place + 1]), place + 1
        return found

    def _part(self, place: int) -> Sequence[Raw]:
        if self._kept[0] != place:
            group, number = self._places[place]
            found = group.decode(group.span.read(group.starts[number], group.lengths[number]))
            rows = found[self._left_out[place] :] if self._left_out[place] else found
            self._kept = place, rows if self._change is None else self._change(rows)
        return self._kept[1]


def parts_of(rows: Sequence[Raw]) -> Iterator[Sequence[Raw]]:
    """Yield rows in lists of which memory bears each."""
    if isinstance(rows, LongRows):
        yield from rows.parts()
    else:
        yield rows


def changed(rows: Sequence[Raw], change: Change, *, is_one_each: bool) -> Sequence[Raw]:
    """Return what ``change`` makes of rows, of long ones as they are read."""
    return rows.changed(change, is_one_each=is_one_each) if isinstance(rows, LongRows) else change(rows)


def digest_of(rows: Sequence[Raw]) -> int:
    """Return a number that is another one for other rows."""
    digest = blake2b(digest_size=8)
    for part in filter(None, parts_of(rows)):
        digest.update(b",".join(part))
        digest.update(b",")
    return int.from_bytes(digest.digest(), "big")


def bytes_in_memory(rows: Sequence[Raw]) -> int:
    return 0 if isinstance(rows, LongRows) else sum(map(len, rows))
