"""CSV: columns of texts, with the number, line and byte of each row; bad rows are set apart.

What a row is, Python's csv says, in its strict way. Most pieces are cut as a whole (`csvplain`), or read by one call of csv; the others are
read row by row (`csvrows`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import suppress

from singerkit_shell.secrets import redactor
from tap_files.formats.contract import Bytes, OtherSettings, Spot
from tap_files.formats.csvplain import cells_of
from tap_files.formats.csvrows import CUT, CsvRows, csv_reader
from tap_files.formats.textreader import Columns, TextReader
from tap_files.formats.textrows import Row
from tap_files.settings.csv import CsvSettings

__all__ = ["CsvReader", "reader_of"]

_SHOWN = 8
_OTHER_DELIMITERS = ";\t|,"


def reader_of(settings: CsvSettings, content: Bytes, start: Spot) -> CsvReader:
    """Return the reader of one file; see `formats.contract`.

    Raises:
        UnreadableFile: its encoding or its header is not what the config says.
    """
    return CsvReader(settings, content, start)


class CsvReader(TextReader):
    """See `formats.contract.Reader`."""

    def __init__(self, settings: CsvSettings, content: Bytes, start: Spot) -> None:
        self._settings = settings
        self._is_over_lines = False
        """Whether rows of the block before went over several lines."""
        super().__init__(settings, "csv", content, start)

    def _at_once(self, block: bytes) -> Columns | None:
        settings = self._settings
        data = self._coding.utf8(block)
        if settings.comment is not None and settings.comment.encode() in data:
            return None
        if self._is_over_lines:
            return self._parsed_over_lines(data.decode())
        if settings.escape is None:
            ended = data if data.endswith((b"\n", b"\r")) else data + b"\n"
            cells = cells_of(ended, len(self._names), settings.delimiter.encode(), settings.quote.encode())
            if cells is not None:
                return Columns(cells, range(cells.count), cells.count)
        return self._parsed(data.decode())

    def _parsed(self, text: str) -> Columns | None:
        """Return what csv makes of a text."""
        reader = csv_reader(self._settings, io.StringIO(text, newline=""))
        try:
            rows = list(reader)
        except csv.Error as error:
            return self._parsed_over_lines(text) if str(error) == CUT else None
        lengths = set(map(len, rows))
        if lengths - {0, len(self._names)}:
            return None
        if reader.line_num != len(rows):
            return self._parsed_over_lines(text)
        begins: Sequence[int] = range(len(rows))
        if 0 in lengths:
            begins = [number for number, row in enumerate(rows) if row]
            rows = [row for row in rows if row]
        return Columns(list(zip(*rows, strict=True)) or [()] * len(self._names), begins, reader.line_num)

    def _parsed_over_lines(self, text: str) -> Columns | None:
        """Return what csv makes of a text in which rows go over several lines, up to one that may go on behind it."""
        reader = csv_reader(self._settings, io.StringIO(text, newline=""))
        rows, begins = [], []
        line = 0
        with suppress(csv.Error):
            for row in reader:
                if row:
                    rows.append(row)
                    begins.append(line)
                line = reader.line_num
        self._is_over_lines = line > len(rows)
        if not rows or {*map(len, rows)} != {len(self._names)}:
            return None
        return Columns(list(zip(*rows, strict=True)), begins, line, is_all=False)

    def _rows(self, block: bytes, size: int) -> CsvRows:
        return CsvRows(
            self._settings,
            self._coding,
            block,
            self._line,
            self._blocks.byte,
            is_rest=self._blocks.is_rest(size),
            is_full=self._is_full(size),
        )

    def _judge(self, row: Row) -> None:
        width, count = len(self._names), len(row.values)
        if count < width and self._settings.short_rows == "pad":
            row.values = [*row.values, *[None] * (width - count)]
        elif count > width and self._settings.long_rows == "cut":
            row.values = row.values[:width]
        elif count != width:
            row.reason = f"Expected {width} fields, got {count} in line {self._line + row.begin + 1}"

    @property
    def _said_names(self) -> Sequence[str]:
        return self._settings.names

    def _begin_rows(self) -> Sequence[str]:
        rows, row = self._first_row()
        if row is None:
            return self._settings.names
        if self._settings.has_header:
            rows.take(row)
            self._blocks.take(rows.size)
            self._line += rows.lines
        return self._checked_names([str(value) for value in row.values])

    def _checked_names(self, values: Sequence[str]) -> Sequence[str]:
        """Return the names of the columns; ``values``: the first row of the file."""
        named = self._settings.names
        if not self._settings.has_header:
            if list(named) == values:
                raise OtherSettings(
                    'Expected a row, got the names of the columns; say that there is a header with `"header": "first"` in `csv`'
                )
            return named or [f"column_{number}" for number in range(1, len(values) + 1)]
        if named and len(named) != len(values):
            raise OtherSettings(
                f"Expected {len(named)} names in the header, as `csv.names` has, got {len(values)}"
            )
        if not named:
            self._look_at_names(values)
        return named or values

    def _look_at_names(self, names: Sequence[str]) -> None:
        way = 'name the columns yourself (`"names": [...], "header": "first"` in `csv`)'
        for number, name in enumerate(names, 1):
            if not name.strip():
                raise OtherSettings(
                    f"Expected a name for each column in the header, got none for column {number}; {way}"
                )
            if "\0" in name:
                raise OtherSettings(
                    f"Expected a name for column {number} in the header, got one with NUL; if the file is in UTF-16, say so in `csv.encoding`"
                )
            if name in names[: number - 1]:
                raise OtherSettings(f"Two columns of the header have the name {_shown([name])}; {way}")
        others = [char for char in _OTHER_DELIMITERS if len(names) == 1 and char in names[0]]
        if others and not self._settings.is_delimiter_said:
            fits, shown = (mark.replace("\t", "\\t") for mark in (others[0], self._settings.delimiter))
            raise OtherSettings(
                f'Expected `{shown}` between the names in the header, got one name with `{fits}` in it; set `"delimiter": "{fits}"` in `csv`'
            )


def _shown(names: Sequence[str]) -> str:
    shown = redactor.mask_foreign(", ".join(f"`{name[:40]}`" for name in names[:_SHOWN]))
    return f"{shown}, ..." if len(names) > _SHOWN else shown
