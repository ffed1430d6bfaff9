"""The rows of a block of whole lines, one after the other: what each is, or why it is none, and where the next one begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tap_files.formats.contract import BadRow
from tap_files.formats.encodings import Coding, NotDecoded
from tap_files.settings.lines import LineSettings

__all__ = ["Lines", "Row", "RowsOfText", "long_line"]

_SHOWN = 10_000
"""Characters of a bad row that are kept."""


@dataclass(slots=True)
class Row:
    """A row: the lines from ``begin`` up to ``end``, counted from 0 in the block. ``reason``: why it is bad; "": it is not.

    ``has_bad_bytes``: what is wrong is the encoding.
    """

    begin: int
    end: int
    values: Sequence[str | None]
    reason: str = ""
    has_bad_bytes: bool = False


class RowsOfText:
    """The rows of a block; ``line``, ``byte``: what stands before it. A row that does not end in the block is not given."""

    def __init__(self, settings: LineSettings, coding: Coding, block: bytes, line: int, byte: int) -> None:
        self._comment, self._most, self._unit = settings.comment, settings.max_row_bytes, coding.unit
        self._codec = coding.codec
        self._lines = Lines(coding, coding.lines(block))
        self._line, self._byte = line, byte
        self.lines = 0
        """Lines that are read, those that are no rows among them."""
        self.size = 0
        """Bytes of these."""

    def __iter__(self) -> Iterator[Row]:
        while self.lines < self._lines.count:
            if self._is_no_row(self.lines):
                self._take(self.lines + 1)
                continue
            row = self._row(self.lines)
            if row is None:
                return
            yield self._with_bad_bytes(row)
            self.take(row)

    def _row(self, begin: int) -> Row | None:
        """Return the row that begins in a line; None: it goes on behind the block."""
        raise NotImplementedError

    def bad_row(self, row: Row, number: int) -> BadRow:
        """Return what is told of a bad row, before the next one is asked for; ``number``: of all rows of the file, from 1."""
        line = self._line + row.begin + 1
        byte = self._byte + self.size
        return BadRow(number, line, byte, row.reason, self._lines.shown(row.begin, row.end))

    def take(self, row: Row) -> None:
        """Go on behind a row."""
        self._take(row.end)

    def _take(self, end: int) -> None:
        self.size += self._lines.size(self.lines, end)
        self.lines = end

    def _is_no_row(self, number: int) -> bool:
        if self._comment is None and self._lines.size(number, number + 1) > 2 * self._unit:
            return False
        text = self._lines.text(number)
        return text in ("\n", "\r\n", "\r") or (self._comment is not None and text.startswith(self._comment))

    def _with_bad_bytes(self, row: Row) -> Row:
        for number in range(row.begin, row.end):
            start = self._lines.bad_bytes.get(number)
            if start is not None:
                byte = self._byte + self._lines.size(0, number) + start
                line = self._line + number + 1
                reason = f"Expected `{self._codec}`, got bytes that are not in line {line} (byte {byte})"
                return Row(row.begin, row.end, (), reason, has_bad_bytes=True)
        return row


def long_line(most: int, line: int) -> str:
    """Return why a row of one line is bad that has more than ``most`` bytes."""
    return f"Expected a row of at most {most:,} bytes (`max_row_bytes`), got a longer one in line {line}"


class Lines:
    """The lines of a block, as csv takes them: ``next`` is the one that it is given next. ``bad_bytes``: where a line was not decoded."""

    def __init__(self, coding: Coding, raw: Sequence[bytes]) -> None:
        self._coding, self._raw = coding, raw
        self.count = len(raw)
        self.next = 0
        self.bad_bytes: dict[int, int] = {}

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.next == self.count:
            raise StopIteration
        self.next += 1
        return self.text(self.next - 1)

    def text(self, number: int) -> str:
        try:
            return self._coding.text(self._raw[number])
        except NotDecoded as error:
            self.bad_bytes[number] = error.start
            return self._coding.shown(self._raw[number])

    def raw(self, number: int, end: str) -> bytes:
        """Return a line as it stands, without ``end``, which it ends in."""
        data = self._raw[number]
        return data[: len(data) - len(end.encode(self._coding.codec))]

    def size(self, begin: int, end: int) -> int:
        return sum(map(len, self._raw[begin:end]))

    def shown(self, begin: int, end: int) -> str:
        data = b""
        for line in self._raw[begin:end]:
            data += line[: _SHOWN * 4]
            if len(data) > _SHOWN * 4:
                break
        return self._coding.shown(data)[:_SHOWN]
