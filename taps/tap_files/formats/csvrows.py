"""CSV row by row, where a piece is not read at once: a row that is bad, or goes over several lines."""

from __future__ import annotations

import csv
import re
from functools import cache
from typing import Any

from tap_files.formats.encodings import Coding
from tap_files.formats.textrows import Row, RowsOfText, long_line
from tap_files.settings.csv import CsvSettings

__all__ = ["CUT", "CsvRows", "csv_reader"]

csv.field_size_limit(2**31 - 1)
CUT = "unexpected end of data"
"""What csv says of a text that ends in the middle of a row."""


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


class CsvRows(RowsOfText):
    """The rows of a block of CSV.

    ``is_rest``: nothing comes behind it. ``is_full``: it shows more than a row may have, so that its first row is not waited for.
    """

    def __init__(
        self,
        settings: CsvSettings,
        coding: Coding,
        block: bytes,
        line: int,
        byte: int,
        *,
        is_rest: bool,
        is_full: bool,
    ) -> None:
        super().__init__(settings, coding, block, line, byte)
        self._settings = settings
        self._is_rest, self._is_full = is_rest, is_full
        self._reader = csv_reader(settings, self._lines)

    def _row(self, begin: int) -> Row | None:
        self._lines.next = begin
        try:
            row = Row(begin, begin, next(self._reader))
        except csv.Error as error:
            is_cut = str(error) == CUT
            if is_cut and self._goes_on(begin):
                return None
            is_long = is_cut and not self._is_rest
            row = self._too_long(begin) if is_long else self._not_closed(begin, is_cut)
        else:
            row.end = self._lines.next
        if self._lines.size(begin, self._lines.next) > self._most:
            row = self._too_long(begin)
        return row

    def _goes_on(self, begin: int) -> bool:
        """Tell whether the end of a row may stand behind the block."""
        if self._is_rest or (self._is_full and not begin):
            return False
        return self._lines.size(begin, self._lines.count) <= self._most

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
        most = self._most
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
