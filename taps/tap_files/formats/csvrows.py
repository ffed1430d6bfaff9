"""CSV row by row: what each row is, or why it is none, and where the next one begins."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tap_files.formats.contract import BadRow
from tap_files.formats.encodings import Coding, NotDecoded
from tap_files.settings.csv import CsvSettings

__all__ = ["Row", "Rows", "csv_reader", "long_line"]

csv.field_size_limit(2**31 - 1)
_CUT = "unexpected end of data"
_SHOWN = 10_000
"""Characters of a bad row that are kept."""


def csv_reader(settings: CsvSettings, lines: Any) -> Any:
    """Return what Python reads the rows of ``lines`` with: strictly, so that what stands behind a closing quote is an error."""
    return csv.reader(
        lines,
        delimiter=settings.delimiter,
        quotechar=settings.quote or None,
        quoting=csv.QUOTE_MINIMAL if settings.quote else csv.QUOTE_NONE,
        escapechar=settings.escape,
        strict=True,
    )


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


class Rows:
    """The rows of a block of whole lines, one after the other.

    ``line``, ``byte``: what stands before the block. ``is_rest``: nothing comes behind it. ``is_full``: it shows more than a row may have, so
    that its first row is not waited for. A row that does not end in the block is not given.
    """

    def __init__(
        self,
        settings: CsvSettings,
        coding: Coding,
        block: bytes,
        *,
        line: int,
        byte: int,
        is_rest: bool,
        is_full: bool,
    ) -> None:
        self._settings, self._coding = settings, coding
        self._lines = _Lines(coding, coding.lines(block))
        self._line, self._byte = line, byte
        self._is_rest, self._is_full = is_rest, is_full
        self.lines = 0
        """Lines that are read, those that are no rows among them."""
        self.size = 0
        """Bytes of these."""

    def __iter__(self) -> Iterator[Row]:
        reader = csv_reader(self._settings, self._lines)
        while self.lines < self._lines.count:
            if self._is_no_row(self.lines):
                self._take(self.lines + 1)
                continue
            row = self._read(reader)
            if row is None:
                return
            yield row
            self.take(row)

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
        comment = self._settings.comment
        if comment is None and self._lines.size(number, number + 1) > 2 * self._coding.unit:
            return False
        text = self._lines.text(number)
        return text in ("\n", "\r\n", "\r") or (comment is not None and text.startswith(comment))

    def _read(self, reader: Iterator[list[str]]) -> Row | None:
        begin = self._lines.next = self.lines
        try:
            row = Row(begin, begin, next(reader))
        except csv.Error as error:
            is_cut = str(error) == _CUT
            if is_cut and self._goes_on(begin):
                return None
            is_long = is_cut and not self._is_rest
            row = self._too_long(begin) if is_long else self._not_closed(begin, is_cut)
        else:
            row.end = self._lines.next
        if self._lines.size(begin, self._lines.next) > self._settings.max_row_bytes:
            row = self._too_long(begin)
        return self._with_bad_bytes(row)

    def _goes_on(self, begin: int) -> bool:
        """Tell whether the end of a row may stand behind the block."""
        if self._is_rest or (self._is_full and not begin):
            return False
        return self._lines.size(begin, self._lines.count) <= self._settings.max_row_bytes

    def _not_closed(self, begin: int, is_cut: bool) -> Row:
        """Return a row in which a quote is closed wrongly, or never: what stands behind the line of that quote is for the rows behind it."""
        end = self._lines.next
        wrong = begin + self._first_wrong_line(begin, end)
        opened, seen = self._line + wrong + 1, self._line + end
        if is_cut:
            reason = f"Expected a `{self._settings.quote}` that closes the field which begins with one in line {opened}, got the end of the file"
        elif wrong == end - 1:
            reason = f"Expected the end of a field behind the `{self._settings.quote}` that closes it, got other text in line {opened}"
        else:
            reason = (
                f"Expected the end of a field behind the `{self._settings.quote}` that closes the one which begins in line {opened}, got other "
                f"text in line {seen}"
            )
        return Row(begin, wrong + 1, (), reason)

    def _too_long(self, begin: int) -> Row:
        most = self._settings.max_row_bytes
        within = begin
        size = 0
        while within < self._lines.count and (size := size + self._lines.size(within, within + 1)) <= most:
            within += 1
        if within == begin:
            return Row(begin, begin + 1, (), long_line(most, self._line + begin + 1))
        wrong = begin + self._first_wrong_line(begin, within)
        reason = (
            f"Expected a `{self._settings.quote}` that closes the field which begins with one in line {self._line + wrong + 1}, got none within "
            f"{most:,} bytes (`max_row_bytes`)"
        )
        return Row(begin, wrong + 1, (), reason)

    def _first_wrong_line(self, begin: int, end: int) -> int:
        """Return in which line of a row the first field begins that does not end rightly, counted from its first."""
        texts = [self._lines.text(number) for number in range(begin, end)]
        settings = self._settings
        right = _right_fields(settings.delimiter, settings.quote, settings.escape or "").match("".join(texts))
        left = right.end() if right else 0
        for number, text in enumerate(texts):
            left -= len(text)
            if left < 0:
                return number
        return len(texts) - 1

    def _with_bad_bytes(self, row: Row) -> Row:
        for number in range(row.begin, row.end):
            start = self._lines.bad_bytes.get(number)
            if start is not None:
                byte = self._byte + self._lines.size(0, number) + start
                reason = f"Expected `{self._coding.codec}`, got bytes that are not in line {self._line + number + 1} (byte {byte})"
                return Row(row.begin, row.end, (), reason, has_bad_bytes=True)
        return row


def long_line(most: int, line: int) -> str:
    """Return why a row of one line is bad that has more than ``most`` bytes."""
    return f"Expected a row of at most {most:,} bytes (`max_row_bytes`), got a longer one in line {line}"


class _Lines:
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

    def size(self, begin: int, end: int) -> int:
        return sum(map(len, self._raw[begin:end]))

    def shown(self, begin: int, end: int) -> str:
        data = b""
        for line in self._raw[begin:end]:
            data += line[: _SHOWN * 4]
            if len(data) > _SHOWN * 4:
                break
        return self._coding.shown(data)[:_SHOWN]


@cache
def _right_fields(delimiter: str, quote: str, escape: str) -> re.Pattern[str]:
    """Match all fields of a row that end in a delimiter, up to the first one that does not."""
    delimiter, quote, escape = map(re.escape, (delimiter, quote, escape))
    escaped = f"{escape}.|" if escape else ""
    plain = f"(?:{escaped}[^{delimiter}{escape}\\r\\n])*+{delimiter}"
    if not quote:
        return re.compile(f"(?s)(?:{plain})*+")
    quoted = f"{quote}(?:{escaped}[^{quote}{escape}]|{quote}{quote})*+{quote}{delimiter}"
    return re.compile(f"(?s)(?:{quoted}|(?!{quote}){plain})*+")
