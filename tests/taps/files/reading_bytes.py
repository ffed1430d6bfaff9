"""Reads bytes by a format, in process: what comes out of a reader, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tap_files.formats.contract import BadRow, Bytes, Piece, Reader, Spot


class Held:
    """Content that is held in memory; given in parts of at most ``step`` bytes."""

    def __init__(self, data: bytes, *, is_whole: bool = True, step: int = 1 << 30) -> None:
        self._data, self._at, self._step = data, 0, step
        self.is_whole = is_whole

    def read(self, size: int, /) -> bytes:
        part = self._data[self._at : self._at + min(size, self._step)]
        self._at += len(part)
        return part

    def to_disk(self) -> str:
        raise AssertionError("text is read as it comes")


Open = Callable[[Bytes, Spot], Reader]


def pieces_of(
    open_reader: Open, data: bytes, start: Spot | None = None, *, is_whole: bool = True, step: int = 1 << 30
) -> Iterator[Piece]:
    """Yield the pieces of a file, from ``start`` on."""
    at = start or Spot()
    yield from open_reader(Held(data[at.byte :], is_whole=is_whole, step=step), at).pieces()


def rows_of(pieces: Iterator[Piece] | list[Piece]) -> list[tuple[Any, ...]]:
    """Return all rows in their order, each as number, line and values by name; of bad ones the `BadRow`."""
    found: list[tuple[int, int, Any]] = []
    for piece in pieces:
        assert piece.columns is not None
        assert piece.lines is not None
        names = list(piece.columns)
        assert {len(column) for column in piece.columns.values()} <= {piece.count}
        assert len(piece.numbers) == len(piece.lines) == piece.count
        values = list(zip(*piece.columns.values(), strict=True))
        found += [
            (number, line, dict(zip(names, row, strict=True)))
            for number, line, row in zip(piece.numbers, piece.lines, values, strict=True)
        ]
        found += [(bad.row, bad.line, _without_guess(bad)) for bad in piece.bad]
    return sorted(found, key=lambda row: row[0])


def _without_guess(bad: BadRow) -> BadRow:
    """Return a bad row without the encoding that is guessed once a reader."""
    return BadRow(bad.row, bad.line, bad.byte, bad.reason.partition("; say the encoding")[0], bad.text)
