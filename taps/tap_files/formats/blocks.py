"""Whole lines of a file, about a piece of them at a time, and how many bytes stand before them."""

from __future__ import annotations

from tap_files.formats.contract import PIECE_BYTES, Bytes
from tap_files.formats.encodings import Coding

__all__ = ["BLOCK_BYTES", "Blocks", "opened"]

BLOCK_BYTES = PIECE_BYTES // 4
"""Lines of so much content at a time: their texts stay in the cache of a processor, which makes all that is done with them faster by a third."""


class Blocks:
    """Reads ``content`` behind ``held``, which is of it, too; ``byte``: how many stand before.

    The last ``footer_lines`` lines of the file are never given.
    """

    def __init__(self, content: Bytes, coding: Coding, held: bytes, byte: int, footer_lines: int) -> None:
        self._content, self._coding, self._footer = content, coding, footer_lines
        self._held, self._is_at_end = held, False
        self.byte = byte

    def peek(self, size: int) -> bytes:
        """Return the lines of the next ``size`` bytes that have an end there; the last line of a file needs none."""
        self._read(size)
        if self._is_at_end and size >= len(self._held):
            return self._held[: self._end()]
        end = self._coding.end_of_lines(self._held[:size])
        return self._held[: self._without_footer(end)]

    def is_all(self, size: int) -> bool:
        """Tell whether nothing will ever come behind what `peek` gave for ``size``, in this run."""
        return self._is_at_end and size >= len(self._held)

    def is_rest(self, size: int) -> bool:
        """Tell whether what `peek` gave for ``size`` is the end of the file for good."""
        return self.is_all(size) and self._content.is_whole

    def shown(self) -> str:
        """Return the beginning of what is held, as a person may see it, in at most 10,000 characters."""
        return self._coding.shown(self._held[:40_000])[:10_000]

    def take(self, size: int) -> None:
        """Go on behind so many bytes."""
        self._held = self._held[size:]
        self.byte += size

    def take_line(self) -> bool:
        """Go on behind the end of a line that may not be held as a whole; return False where it has none yet, in a file that grows."""
        while not (size := self._first_line()):
            if self._is_at_end:
                return False
            tail = self._coding.unit + len(self._held) % self._coding.unit
            self.take(max(len(self._held) - tail, 0))
            self._read(BLOCK_BYTES)
        self.take(size)
        return True

    def _first_line(self) -> int:
        """Return the size of the first line; 0: it may go on."""
        size = len(next(iter(self._coding.lines(self._held)), b""))
        is_ended = size < len(self._held) or self._coding.end_of_lines(self._held) == size
        return size if is_ended or (self._is_at_end and self._content.is_whole) else 0

    def _end(self) -> int:
        """Return where the lines end that are all that is left."""
        whole = len(self._held) if self._content.is_whole else self._coding.end_of_lines(self._held)
        return self._without_footer(whole)

    def _without_footer(self, end: int) -> int:
        if not self._footer:
            return end
        return end - sum(map(len, self._coding.lines(self._held[:end])[-self._footer :]))

    def _read(self, size: int) -> None:
        parts, held = [self._held], len(self._held)
        while held < size and not self._is_at_end:
            data = self._content.read(max(size - held, 1))
            self._is_at_end = not data
            parts.append(data)
            held += len(data)
        if len(parts) > 1:
            self._held = b"".join(parts)


def opened(content: Bytes) -> bytes:
    """Return the first bytes of a file, at least eight of them where it has as many."""
    start = b""
    while len(start) < 8 and (data := content.read(BLOCK_BYTES)):
        start += data
    return start
