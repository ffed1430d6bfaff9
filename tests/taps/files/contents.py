"""Bytes of a file in memory, for tests of formats."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

from tap_files.formats.contract import Bytes, Piece, Reader, Spot


class Data(io.BytesIO):
    """Gives at most ``most`` bytes at once."""

    def __init__(self, data: bytes, is_whole: bool = True, most: int = 1 << 20) -> None:
        super().__init__(data)
        self.is_whole, self._most = is_whole, most

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size > 0
        return super().read(min(size, self._most))

    def to_disk(self) -> str:
        raise AssertionError("no file is needed")


def read_all(reader: Reader) -> list[Piece]:
    return list(reader.pieces())


def records_of(pieces: Iterable[Piece]) -> list[bytes]:
    return [bytes(record) for piece in pieces for record in piece.records or ()]  # type: ignore[arg-type]


def numbers_of(pieces: Iterable[Piece]) -> list[int]:
    return [number for piece in pieces for number in piece.numbers]


def faults_of(pieces: Iterable[Piece]) -> list[tuple[int, int, int, str]]:
    return [(bad.row, bad.line, bad.byte, bad.reason) for piece in pieces for bad in piece.bad]


def rows_of(pieces: Iterable[Piece]) -> list[dict[str, Any]]:
    found = []
    for piece in pieces:
        columns = piece.columns or {}
        assert {len(column) for column in columns.values()} <= {piece.count}
        found += [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return found


def continued_everywhere(
    make: Callable[[Bytes, Spot], Reader], data: bytes, take: Callable[[Iterable[Piece]], list[Any]]
) -> None:
    """Hold what is read behind each spot of a file against the rest of what is read in one go."""
    pieces = read_all(make(Data(data), Spot()))
    all_of_it, all_numbers = take(pieces), numbers_of(pieces)
    before: list[Piece] = []
    for piece in pieces:
        before.append(piece)
        if piece.behind is None:
            continue
        later = read_all(make(Data(data[piece.behind.byte :]), piece.behind))
        assert take(before) + take(later) == all_of_it
        assert numbers_of(before) + numbers_of(later) == all_numbers
        assert faults_of(before) + faults_of(later) == faults_of(pieces)
        lines = [line for one in (*before, *later) for line in one.lines or ()]
        assert lines == [line for one in pieces for line in one.lines or ()]
