"""What readers of rows of text have in common: whole lines in, pieces of columns of texts out, bad rows apart.

Most pieces are read at once. One in which a row is bad, goes over several lines or stands beside comments is read row by row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tap_files.formats.blocks import BLOCK_BYTES, Blocks, opened
from tap_files.formats.cells import CellColumns, Cells
from tap_files.formats.contract import BadRow, Bytes, OtherSettings, Piece, Spot, UnreadableFile
from tap_files.formats.encodings import NotDecoded, coding_behind, coding_of
from tap_files.formats.meanings import Meanings, Unclear
from tap_files.formats.textrows import Row, RowsOfText, long_line
from tap_files.settings.lines import LineSettings

__all__ = ["Columns", "TextReader"]


class Columns(NamedTuple):
    """What is read at once: the columns; the line of each row, counted from 0 in its block; how many lines are read, and whether these are all."""

    values: Sequence[Sequence[str]] | Cells
    begins: Sequence[int]
    lines: int
    is_all: bool = True


class TextReader:
    """See `formats.contract.Reader`. ``section``: the one of the config that ``settings`` are."""

    wanted: Collection[str] | None = None

    def __init__(self, settings: LineSettings, section: str, content: Bytes, start: Spot) -> None:
        self._text, self._section = settings, section
        self._line, self._row = start.line, start.row
        self._has_suggested = False
        if start.byte:
            self._coding = coding_behind(start.context["encoding"], settings.encoding)
            self._blocks = Blocks(content, self._coding, b"", start.byte, settings.footer_lines)
            self._names: Sequence[str] = start.context["names"]
            self._look_at_former(self._names)
        else:
            self._begin(content)
            self._names = self._begin_rows()
        self._context = {"names": list(self._names), "encoding": self._coding.codec}
        self._meanings = Meanings(settings, self._names, section)
        self.fields: Mapping[str, Mapping[str, Any] | None] | None = dict.fromkeys(self._names)

    def _look_at_former(self, names: Sequence[str]) -> None:
        """Refuse other names of columns than the beginning of the file was read with."""
        if self._said_names and list(self._said_names) != list(names):
            raise OtherSettings(
                f"Expected the names of columns with which the beginning of the file was read, got others in `{self._section}`; take them back, or "
                "start the stream over"
            )

    @property
    def _said_names(self) -> Sequence[str]:
        """The names of columns that the config says; none: the file does."""
        raise NotImplementedError

    def _begin(self, content: Bytes) -> None:
        held = opened(content)
        self._coding, bom = coding_of(self._text.encoding, held, f"{self._section}.encoding")
        self._blocks = Blocks(content, self._coding, held, 0, self._text.footer_lines)
        self._blocks.take(bom)
        for _ in range(self._text.skip_lines):
            self._line += self._blocks.take_line()

    def _begin_rows(self) -> Sequence[str]:
        """Go on behind what stands before the rows, and return the names of the columns; none: no row can come."""
        raise NotImplementedError

    def _at_once(self, block: bytes) -> Columns | None:
        """Return the rows of whole lines, where each is right; None: there are others.

        Raises:
            NotDecoded: some bytes are none of the encoding.
        """
        raise NotImplementedError

    def _rows(self, block: bytes, size: int) -> RowsOfText:
        """Return the rows of lines that were peeked at with ``size``."""
        raise NotImplementedError

    def _judge(self, row: Row) -> None:
        """Make a row have as many values as there are columns, by policy, or say why it is bad."""
        raise NotImplementedError

    def pieces(self) -> Iterator[Piece]:
        """See `formats.contract.Reader`."""
        size = BLOCK_BYTES
        while self._names:
            before = self._blocks.byte
            piece = self._piece(self._blocks.peek(size), size)
            if self._blocks.byte == before:
                if self._blocks.is_all(size):
                    return
                if size <= self._text.max_row_bytes:
                    size = self._more(size)
                    continue
                piece = self._piece_of_long_line()
                if not piece.bad:
                    return
            size = BLOCK_BYTES
            if piece.count or piece.bad:
                yield piece

    def _more(self, size: int) -> int:
        """Return how many bytes to look at where in ``size`` no row ends: in the end more than a row may have."""
        return min(2 * size, self._text.max_row_bytes + BLOCK_BYTES)

    def _is_full(self, size: int) -> bool:
        """Tell whether ``size`` shows more than a row may have."""
        return size > self._text.max_row_bytes and not self._blocks.is_all(size)

    def _piece(self, block: bytes, size: int) -> Piece:
        """Return the rows of lines that were peeked at with ``size``, and go on behind them."""
        end = self._blocks.byte + len(block)
        piece = self._piece_at_once(block) if len(block) <= self._text.max_row_bytes else None
        piece = piece or self._piece_row_by_row(block, size)
        is_last = self._blocks.is_rest(size) and self._blocks.byte == end
        if is_last and not self._coding.is_ended(block):
            piece.behind = None  # who goes on behind half a line reads the other half as a whole one
        return piece

    def _piece_at_once(self, block: bytes) -> Piece | None:
        try:
            columns = self._at_once(block) if block else None
            values = None if columns is None else self._meant(columns.values)
        except (NotDecoded, Unclear):
            return None
        if columns is None or values is None:
            return None
        first, line, count = self._row + 1, self._line + 1, len(columns.begins)
        lines = (
            range(line, line + count) if columns.lines == count else [line + one for one in columns.begins]
        )
        self._row += count
        size = len(block) if columns.is_all else sum(map(len, self._coding.lines(block)[: columns.lines]))
        return self._gone_on(size, columns.lines, values, range(first, first + count), lines, ())

    def _meant(self, values: Sequence[Sequence[str]] | Cells) -> Mapping[str, Sequence[str | None]]:
        """Return what the columns of rows mean, by name.

        Raises:
            Unclear: see there.
        """
        if isinstance(values, Cells):
            nulls = self._meanings.nulls_alone
            if nulls is not None:
                return CellColumns(self._names, values, nulls)
            values = [values.texts(number) for number in range(values.width)]
        return dict(zip(self._names, self._meanings.of(values), strict=True))

    def _piece_row_by_row(self, block: bytes, size: int) -> Piece:
        rows = self._rows(block, size)
        good: list[Sequence[str | None]] = []
        numbers: list[int] = []
        lines: list[int] = []
        bad: list[BadRow] = []
        for row in rows:
            self._row += 1
            if not row.reason:
                self._judge(row)
            row.reason = row.reason or self._meanings.unclear_in(row.values)
            if row.reason:
                self._suggest(row, block)
                bad.append(rows.bad_row(row, self._row))
                continue
            good.append(row.values)
            numbers.append(self._row)
            lines.append(self._line + row.begin + 1)
        columns = list(zip(*good, strict=True)) or [()] * len(self._names)
        meant = dict(zip(self._names, self._meanings.of(columns), strict=True))
        return self._gone_on(rows.size, rows.lines, meant, numbers, lines, bad)

    def _gone_on(
        self,
        size: int,
        count: int,
        columns: Mapping[str, Sequence[str | None]],
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
            columns=columns,
            lines=lines,
            behind=Spot(self._blocks.byte, self._line, self._row, self._context),
            bad=bad,
        )

    def _piece_of_long_line(self) -> Piece:
        """Go on behind a line of which not all can be held; its piece has no bad row where the line has no end yet."""
        number, line, byte = self._row + 1, self._line + 1, self._blocks.byte
        shown = self._blocks.shown()
        bad: tuple[BadRow, ...] = ()
        if self._blocks.take_line():
            bad = (BadRow(number, line, byte, long_line(self._text.max_row_bytes, line), shown),)
            self._row, self._line = number, line
        return self._gone_on(0, 0, dict.fromkeys(self._names, ()), (), (), bad)

    def _first_row(self) -> tuple[RowsOfText, Row | None]:
        """Return the first row, which may be a header, and those that it is one of; None: there is none yet.

        Raises:
            UnreadableFile: it is bad.
        """
        size = BLOCK_BYTES
        while True:
            block = self._blocks.peek(size)
            rows = self._rows(block, size)
            row = next(iter(rows), None)
            if row is not None and row.reason:
                self._suggest(row, block)
                raise (OtherSettings if row.has_bad_bytes else UnreadableFile)(row.reason)
            if row is not None or self._blocks.is_all(size):
                return rows, row
            if size > self._text.max_row_bytes:
                raise UnreadableFile(long_line(self._text.max_row_bytes, self._line + 1))
            size = self._more(size)

    def _suggest(self, row: Row, block: bytes) -> None:
        """Say once which encoding it may be."""
        if row.has_bad_bytes and not self._has_suggested:
            row.reason += self._coding.suggestion(block, f"{self._section}.encoding")
            self._has_suggested = True
