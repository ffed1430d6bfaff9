"""CSV: columns of texts, with the number, line and byte of each row; bad rows are set apart.

What a row is, Python's csv says, in its strict way. Most pieces are cut as a whole (`csvplain`), or read by one call of csv; a piece in
which a row is bad, goes over several lines or stands beside comments is read row by row (`csvrows`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from singerkit_shell.secrets import redactor
from tap_files.formats.blocks import Blocks, opened
from tap_files.formats.contract import PIECE_BYTES, BadRow, Bytes, Piece, Spot, UnreadableFile
from tap_files.formats.csvplain import columns_of
from tap_files.formats.csvrows import Row, Rows, csv_reader, long_line
from tap_files.formats.encodings import Coding, NotDecoded, coding_of
from tap_files.formats.meanings import Meanings, Unclear
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


class CsvReader:
    """See `formats.contract.Reader`."""

    def __init__(self, settings: CsvSettings, content: Bytes, start: Spot) -> None:
        self._settings = settings
        self._line, self._row = start.line, start.row
        self._has_suggested = False
        self._names: Sequence[str] = settings.names
        if start.byte:
            self._names = start.context["names"]
            self._coding = Coding(start.context["encoding"])
            self._blocks = Blocks(content, self._coding, b"", start.byte, settings.footer_lines)
        else:
            self._begin(content)
        self._context = {"names": list(self._names), "encoding": self._coding.codec}
        self._meanings = Meanings(settings, self._names, "csv")
        self.fields: Mapping[str, Mapping[str, Any] | None] | None = dict.fromkeys(self._names)

    def pieces(self) -> Iterator[Piece]:
        """See `formats.contract.Reader`."""
        size = PIECE_BYTES
        while self._names:
            before = self._blocks.byte
            piece = self._piece(self._blocks.peek(size), size)
            if self._blocks.byte == before:
                if self._blocks.is_all(size):
                    return
                if size <= self._settings.max_row_bytes:
                    size = self._more(size)
                    continue
                piece = self._piece_of_long_line()
                if not piece.bad:
                    return
            size = PIECE_BYTES
            if piece.count or piece.bad:
                yield piece

    def _more(self, size: int) -> int:
        """Return how many bytes to look at where in ``size`` no row ends: in the end more than a row may have."""
        return min(2 * size, self._settings.max_row_bytes + PIECE_BYTES)

    def _piece(self, block: bytes, size: int) -> Piece:
        """Return the rows of lines that were peeked at with ``size``, and go on behind them."""
        piece = self._piece_at_once(block) if len(block) <= self._settings.max_row_bytes else None
        return piece or self._piece_row_by_row(block, size)

    def _piece_at_once(self, block: bytes) -> Piece | None:
        """Return the rows of a block of which each is right and on a line of its own; None: there are others."""
        settings = self._settings
        try:
            text = self._coding.text(block)
        except NotDecoded:
            return None
        if settings.comment is not None and settings.comment in text:
            return None
        columns = None
        if settings.escape is None:
            ended = text if text.endswith(("\n", "\r")) else text + "\n"
            columns = columns_of(ended, len(self._names), settings.delimiter, settings.quote)
        lines: Sequence[int] = range(len(columns[0])) if columns else ()
        count = len(lines)
        if columns is None:
            parsed = self._parsed(text)
            if parsed is None:
                return None
            columns, lines, count = parsed
        try:
            meant = self._meanings.of(columns)
        except Unclear:
            return None
        first, line = self._row + 1, self._line + 1
        numbers = range(first, first + len(lines))
        self._row += len(lines)
        begun = range(line, line + count) if len(lines) == count else [line + number for number in lines]
        return self._gone_on(len(block), count, meant, numbers, begun, ())

    def _parsed(self, text: str) -> tuple[list[Sequence[str]], Sequence[int], int] | None:
        """Return what csv makes of a text: columns, the line of each row from 0, and how many lines there are."""
        reader = csv_reader(self._settings, io.StringIO(text, newline=""))
        try:
            rows = list(reader)
        except csv.Error:
            return None
        lengths = set(map(len, rows))
        if reader.line_num != len(rows) or lengths - {0, len(self._names)}:
            return None
        lines: Sequence[int] = range(len(rows))
        if 0 in lengths:
            lines = [number for number, row in enumerate(rows) if row]
            rows = [row for row in rows if row]
        columns: list[Sequence[str]] = list(zip(*rows, strict=True)) or [()] * len(self._names)
        return columns, lines, reader.line_num

    def _piece_row_by_row(self, block: bytes, size: int) -> Piece:
        rows = self._rows(block, size)
        good: list[Sequence[str | None]] = []
        numbers: list[int] = []
        lines: list[int] = []
        bad: list[BadRow] = []
        for row in rows:
            self._row += 1
            self._judge(row)
            if row.reason:
                self._suggest(row, block)
                bad.append(rows.bad_row(row, self._row))
                continue
            good.append(row.values)
            numbers.append(self._row)
            lines.append(self._line + row.begin + 1)
        columns: list[Sequence[str | None]] = list(zip(*good, strict=True)) or [()] * len(self._names)
        return self._gone_on(rows.size, rows.lines, self._meanings.of(columns), numbers, lines, bad)

    def _gone_on(
        self,
        size: int,
        count: int,
        columns: Sequence[Sequence[str | None]],
        numbers: Sequence[int],
        lines: Sequence[int],
        bad: Sequence[BadRow],
    ) -> Piece:
        """Go on behind ``count`` lines of ``size`` bytes, and return what is of them."""
        self._blocks.take(size)
        self._line += count
        return Piece(
            len(numbers),
            numbers,
            columns=dict(zip(self._names, columns, strict=True)),
            lines=lines,
            behind=Spot(self._blocks.byte, self._line, self._row, self._context),
            bad=bad,
        )

    def _judge(self, row: Row) -> None:
        """Say of a row whether it has as many fields as there are columns, and what they mean; or make it so, by policy."""
        width, count = len(self._names), len(row.values)
        if row.reason:
            return
        if count < width and self._settings.short_rows == "pad":
            row.values = [*row.values, *[None] * (width - count)]
        elif count > width and self._settings.long_rows == "cut":
            row.values = row.values[:width]
        elif count != width:
            row.reason = f"Expected {width} fields, got {count} in line {self._line + row.begin + 1}"
            return
        row.reason = self._meanings.unclear_in(row.values)

    def _suggest(self, row: Row, block: bytes) -> None:
        """Say once which encoding it may be."""
        if row.has_bad_bytes and not self._has_suggested:
            row.reason += self._coding.suggestion(block, "csv.encoding")
            self._has_suggested = True

    def _rows(self, block: bytes, size: int) -> Rows:
        return Rows(
            self._settings,
            self._coding,
            block,
            line=self._line,
            byte=self._blocks.byte,
            is_rest=self._blocks.is_rest(size),
            is_full=size > self._settings.max_row_bytes and not self._blocks.is_all(size),
        )

    def _piece_of_long_line(self) -> Piece:
        """Go on behind a line of which not all can be held; its piece has no bad row where the line has no end yet."""
        number, line, byte = self._row + 1, self._line + 1, self._blocks.byte
        shown = self._blocks.shown()
        bad: tuple[BadRow, ...] = ()
        if self._blocks.take_line():
            bad = (BadRow(number, line, byte, long_line(self._settings.max_row_bytes, line), shown),)
            self._row, self._line = number, line
        return self._gone_on(0, 0, [()] * len(self._names), (), (), bad)

    def _begin(self, content: Bytes) -> None:
        """Read what stands before the rows: a BOM, lines to skip, and the header."""
        held = opened(content)
        self._coding, bom = coding_of(self._settings.encoding, held[:4], "csv.encoding")
        self._blocks = Blocks(content, self._coding, held, 0, self._settings.footer_lines)
        self._blocks.take(bom)
        for _ in range(self._settings.skip_lines):
            self._line += self._blocks.take_line()
        rows, row = self._first_row()
        if row is None:
            return
        if self._settings.has_header:
            rows.take(row)
            self._blocks.take(rows.size)
            self._line += rows.lines
        self._names = self._checked_names(row)

    def _first_row(self) -> tuple[Rows, Row | None]:
        size = PIECE_BYTES
        while True:
            block = self._blocks.peek(size)
            rows = self._rows(block, size)
            row = next(iter(rows), None)
            if row is not None and row.reason:
                self._suggest(row, block)
                raise UnreadableFile(row.reason)
            if row is not None or self._blocks.is_all(size):
                return rows, row
            if size > self._settings.max_row_bytes:
                raise UnreadableFile(long_line(self._settings.max_row_bytes, self._line + 1))
            size = self._more(size)

    def _checked_names(self, row: Row) -> Sequence[str]:
        """Return the names of the columns; ``row``: the first one of the file."""
        values = [str(value) for value in row.values]
        named = self._settings.names
        if not self._settings.has_header:
            if list(named) == values:
                raise UnreadableFile(
                    'Expected a row, got the names of the columns; say that there is a header with `"header": "first"` in `csv`'
                )
            return named or [f"column_{number}" for number in range(1, len(values) + 1)]
        if named and len(named) != len(values):
            raise UnreadableFile(
                f"Expected {len(named)} names in the header, as `csv.names` has, got {len(values)}"
            )
        if not named:
            self._look_at_names(values)
        return named or values

    def _look_at_names(self, names: Sequence[str]) -> None:
        way = 'name the columns yourself (`"names": [...], "header": "first"` in `csv`)'
        for number, name in enumerate(names, 1):
            if not name.strip():
                raise UnreadableFile(
                    f"Expected a name for each column in the header, got none for column {number}; {way}"
                )
            if "\0" in name:
                raise UnreadableFile(
                    f"Expected a name for column {number} in the header, got one with NUL; if the file is in UTF-16, say so in `csv.encoding`"
                )
            if name in names[: number - 1]:
                raise UnreadableFile(f"Two columns of the header have the name {_shown([name])}; {way}")
        others = [char for char in _OTHER_DELIMITERS if len(names) == 1 and char in names[0]]
        if others and not self._settings.is_delimiter_said:
            fits = others[0].replace("\t", "\\t")
            shown = self._settings.delimiter.replace("\t", "\\t")
            raise UnreadableFile(
                f'Expected `{shown}` between the names in the header, got one name with `{fits}` in it; set `"delimiter": "{fits}"` in `csv`'
            )


def _shown(names: Sequence[str]) -> str:
    shown = redactor.mask_foreign(", ".join(f"`{name[:40]}`" for name in names[:_SHOWN]))
    return f"{shown}, ..." if len(names) > _SHOWN else shown
