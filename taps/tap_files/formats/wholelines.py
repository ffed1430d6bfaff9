"""Files that have a record a line: blocks of whole lines, as UTF-8, with the byte and the line where each begins.

A line ends with LF or CRLF. What cannot be read of a block is told line by line: bytes that are none of the encoding, lines that are too long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from singerkit_shell.encoding import check_utf8
from tap_files.formats.contract import PIECE_BYTES, Bytes, Spot
from tap_files.formats.encodings import Coding, coding_of

__all__ = ["SHOWN", "Block", "WholeLines"]

SHOWN = 10_000
"""Characters of a bad row that are shown."""
_BOM = 4


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of a file, with no end behind the last: ``texts``, as UTF-8.

    ``byte``, ``line``: so many bytes and lines stand before it; ``end``: the byte behind it. ``faults``: what is wrong with those of
    the lines that cannot be read, by their index in ``texts``; they are shown there as far as they can be.
    """

    texts: list[bytes]
    raw: bytes
    byte: int
    line: int
    end: int
    feed: bytes
    faults: dict[int, str] = field(default_factory=dict)

    def byte_of(self, index: int) -> int:
        """Return the byte where a line begins."""
        return self.byte + sum(map(len, cut_lines(self.raw, self.feed)[:index]))

    def spot(self, row: int, context: Any) -> Spot:
        """Return the place behind the block, where ``row`` rows stand before."""
        return Spot(self.end, self.line + len(self.texts), row, context)


def cut_lines(raw: bytes, feed: bytes) -> list[bytes]:
    """Return the lines of a block, each with its end, in an encoding whose LF is ``feed``."""
    lines, begin = [], 0
    while begin < len(raw):
        end = _behind_next(raw, feed, begin) or len(raw)
        lines.append(raw[begin:end])
        begin = end
    return lines


def _behind_next(raw: bytes, feed: bytes, at: int) -> int:
    """Return the byte behind the next LF; 0: there is none. Where a character has several bytes it begins at a multiple of them."""
    found = raw.find(feed, at)
    while found >= 0 and found % len(feed):
        found = raw.find(feed, found + 1)
    return 0 if found < 0 else found + len(feed)


class WholeLines:
    """Reads a file from ``start`` on.

    ``encoding``: what the config declares, at ``setting``; ``longest``: bytes that a line may have.

    Raises:
        UnreadableFile: see `coding_of`.
    """

    def __init__(self, content: Bytes, start: Spot, encoding: str | None, setting: str, longest: int) -> None:
        self._content, self._longest = content, longest
        self._byte, self._line = start.byte, start.line
        self._held = b""
        self._is_at_end = False
        self._too_long_fault = f"Expected a line of at most {longest} bytes, got a longer one"
        if start.context is not None:
            self.coding = Coding(start.context)
        else:
            self._fill(_BOM)
            self.coding, bom = coding_of(encoding, self._held[:_BOM], setting)
            self._held, self._byte = self._held[bom:], self._byte + bom
        self._feed = "\n".encode(self.coding.codec)

    @property
    def context(self) -> str:
        """What `Spot.context` has to be for a later start."""
        return self.coding.codec

    def blocks(self) -> Iterator[Block]:
        """Yield the file, about a piece of it at a time. A last line without an end is given where the file is whole."""
        while True:
            self._fill(PIECE_BYTES)
            end = self._end_of_last_line(len(self._held))
            while not end and not self._is_at_end and len(self._held) <= self._longest:
                known = len(self._held)
                self._fill(known + PIECE_BYTES)
                end = self._end_of_last_line(len(self._held), known)
            if end:
                yield self._block(self._held[:end])
                self._held = self._held[end:]
            elif len(self._held) > self._longest:
                yield from self._too_long()
            else:
                break
        if self._held and self._content.is_whole:
            yield self._block(self._held)
            self._held = b""

    def _block(self, raw: bytes) -> Block:
        byte, line = self._byte, self._line
        text, faults = self._decoded(raw)
        texts = text.split(b"\n")
        if raw.endswith(self._feed):
            texts.pop()
        self._byte, self._line = byte + len(raw), line + len(texts)
        for index in [index for index, one in enumerate(texts) if len(one) > self._longest]:
            faults[index] = self._too_long_fault
        return Block(texts, raw, byte, line, self._byte, self._feed, faults)

    def _decoded(self, raw: bytes) -> tuple[bytes, dict[int, str]]:
        """Return lines as UTF-8, and what is wrong with those that are none of the encoding."""
        codec = self.coding.codec
        try:
            if codec in ("utf-8", "ascii"):
                check_utf8(raw)
                return raw, {}
            return raw.decode(codec).encode(), {}
        except UnicodeError:
            pass
        faults, texts = dict[int, str](), []
        for index, line in enumerate(cut_lines(raw, self._feed)):
            try:
                texts.append(line.decode(codec))
            except UnicodeDecodeError as error:
                faults[index] = f"Expected `{codec}`, got other bytes (byte {error.start} of the line)"
                shown = line.decode(codec, "backslashreplace").replace("\n", "")
                texts.append(f"{shown}\n" if line.endswith(self._feed) else shown)
        return "".join(texts).encode("utf-8", "backslashreplace"), faults

    def _end_of_last_line(self, end: int, known: int = 0) -> int:
        """Return the byte behind the last LF; 0: there is none; ``known``: there is none in so many bytes."""
        unit = len(self._feed)
        lowest = max(known - unit, 0)
        found = self._held.rfind(self._feed, lowest, end)
        while found >= 0 and found % unit:
            found = self._held.rfind(self._feed, lowest, found + unit - 1)
        return 0 if found < 0 else found + unit

    def _too_long(self) -> Iterator[Block]:
        """Go behind a line that is longer than memory bears, and give the beginning of it as one that is bad."""
        shown = self._held[: 4 * SHOWN].decode(self.coding.codec, "replace").encode()
        byte, line = self._byte, self._line
        unit = len(self._feed)
        while not (end := _behind_next(self._held, self._feed, 0)) and not self._is_at_end:
            cut = max(len(self._held) - unit, 0) // unit * unit
            self._byte, self._held = self._byte + cut, self._held[cut:]
            self._fill(PIECE_BYTES)
        if not end:
            if not self._content.is_whole:
                self._held = b""
                return  # it is still being written
            end = len(self._held)
        self._byte, self._held, self._line = self._byte + end, self._held[end:], line + 1
        yield Block([shown], b"", byte, line, self._byte, self._feed, {0: self._too_long_fault})

    def _fill(self, size: int) -> None:
        if len(self._held) >= size or self._is_at_end:
            return
        parts, held = [self._held], len(self._held)
        while held < size:
            part = self._content.read(size - held)
            if not part:
                self._is_at_end = True
                break
            parts.append(part)
            held += len(part)
        self._held = b"".join(parts)
