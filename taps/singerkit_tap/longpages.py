"""Which keys of a page come twice, where the page has more rows than memory bears keys: their hashes are kept on disk."""

from __future__ import annotations

import tempfile
import weakref
from array import array
from collections import Counter
from collections.abc import Iterable
from typing import BinaryIO, cast

__all__ = ["HashesOfKeys"]

_PARTS = 64
_HELD = 200_000
"""Hashes in memory, of 64 bits."""


class HashesOfKeys:
    """The hashes of the keys of one page, in parts by their last bits, so that one part after the other can be looked at."""

    def __init__(self) -> None:
        self._held = [array("q") for _ in range(_PARTS)]
        self._count = 0
        self._written: list[list[tuple[int, int]]] = [[] for _ in range(_PARTS)]
        """Of each part where in the file some of it stands, and how many bytes."""
        self._file: BinaryIO | None = None
        self._has_no_disk = False

    def add(self, hashes: Iterable[int]) -> None:
        """Take those of further rows."""
        held = self._held
        for number in hashes:
            held[number % _PARTS].append(number)
            self._count += 1
        if self._count > _HELD and not self._has_no_disk:
            self._write()

    def doubled(self) -> set[int]:
        """Return those that came more than once."""
        found: set[int] = set()
        for part, held in enumerate(self._held):
            numbers = array("q", held)
            for begin, size in self._written[part]:
                assert self._file is not None  # noqa: S101  it was written to
                self._file.seek(begin)
                numbers.frombytes(self._file.read(size))
            if len(set(numbers)) < len(numbers):
                found.update(number for number, times in Counter(numbers).items() if times > 1)
        return found

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = cast("BinaryIO", tempfile.TemporaryFile(prefix="singerkit-keys-"))  # noqa: SIM115  as long as the page
                weakref.finalize(self, self._file.close)
            begin = self._file.seek(0, 2)
            for part, held in enumerate(self._held):
                data = held.tobytes()
                self._file.write(data)
                self._written[part].append((begin, len(data)))
                begin += len(data)
        except OSError:  # no disk, or none that has room: 8 bytes a row stay in memory then
            self._has_no_disk = True
            return
        self._held = [array("q") for _ in range(_PARTS)]
        self._count = 0
