"""Lines in which each column has its place: columns of texts, with the number, line and byte of each row; bad rows are set apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tap_files.formats.contract import Bytes, Spot
from tap_files.formats.encodings import Coding, NotDecoded
from tap_files.formats.textreader import Columns, TextReader
from tap_files.formats.textrows import Row, RowsOfText, long_line
from tap_files.settings.fixedwidth import FixedWidthSettings

__all__ = ["FixedWidthReader", "reader_of"]

_TRIMMED: dict[str, Callable[[str], str]] = {
    "both": lambda text: text.strip(" "),
    "left": lambda text: text.lstrip(" "),
    "right": lambda text: text.rstrip(" "),
    "none": str,
}


def reader_of(settings: FixedWidthSettings, content: Bytes, start: Spot) -> FixedWidthReader:
    """Return the reader of one file; see `formats.contract`.

    Raises:
        UnreadableFile: its encoding is not what the config says.
    """
    return FixedWidthReader(settings, content, start)


class FixedWidthReader(TextReader):
    """See `formats.contract.Reader`."""

    def __init__(self, settings: FixedWidthSettings, content: Bytes, start: Spot) -> None:
        self._settings = settings
        self._spans = settings.columns
        self._end = settings.columns[-1].end
        super().__init__(settings, "fixed_width", content, start)
        self._is_by_bytes = settings.measure == "bytes" and not self._coding.is_of_bytes

    @property
    def _said_names(self) -> Sequence[str]:
        return [span.name for span in self._spans]

    def _begin_rows(self) -> Sequence[str]:
        return self._said_names

    def _at_once(self, block: bytes) -> Columns | None:
        text = self._coding.text(block)
        if self._settings.comment is not None and self._settings.comment in text:
            return None
        if self._is_by_bytes and not (text.isascii() and self._coding.unit == 1):
            return None
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        lines = text.removesuffix("\n").split("\n")
        if {*map(len, lines)} != {self._end}:
            return None
        columns = [[line[span.begin : span.end] for line in lines] for span in self._spans]
        trimmed = _TRIMMED[self._settings.trim]
        return Columns([list(map(trimmed, column)) for column in columns], range(len(lines)), len(lines))

    def _rows(self, block: bytes, size: int) -> RowsOfText:  # noqa: ARG002 - a row is a line, and never goes on behind a block
        return _FixedRows(
            self._settings, self._coding, block, self._line, self._blocks.byte, self._is_by_bytes
        )

    def _judge(self, row: Row) -> None:
        """Nothing is left to do: the width of the line was seen when it was read."""


class _FixedRows(RowsOfText):
    """The rows of a block, each a line."""

    def __init__(
        self,
        settings: FixedWidthSettings,
        coding: Coding,
        block: bytes,
        line: int,
        byte: int,
        is_by_bytes: bool,
    ) -> None:
        super().__init__(settings, coding, block, line, byte)
        self._settings, self._coding, self._is_by_bytes = settings, coding, is_by_bytes
        self._trimmed = _TRIMMED[settings.trim]

    def _row(self, begin: int) -> Row:
        row = Row(begin, begin + 1, ())
        if self._lines.size(begin, begin + 1) > self._most:
            row.reason = long_line(self._most, self._line + begin + 1)
            return row
        text = self._lines.text(begin)
        line = text.rstrip("\r\n")
        try:
            self._cut(row, self._lines.raw(begin, text[len(line) :]) if self._is_by_bytes else line)
        except NotDecoded:
            row.reason = f"Expected columns that end where a character does, got half of one in line {self._line + begin + 1}"
        return row

    def _cut(self, row: Row, line: str | bytes) -> None:
        """Cut a line without its end into values, or say why it is bad."""
        end, measure, number = (
            self._settings.columns[-1].end,
            self._settings.measure,
            self._line + row.begin + 1,
        )
        if len(line) < end and self._settings.short_rows == "bad":
            row.reason = f"Expected a line of {end} {measure}, got {len(line)} in line {number}"
        elif self._settings.long_rows == "bad" and self._text(line[end:]).strip(" "):
            row.reason = f"Expected nothing behind {end} {measure}, got {len(line)} in line {number}"
        else:
            row.values = [
                self._trimmed(self._text(line[span.begin : span.end])) for span in self._settings.columns
            ]

    def _text(self, part: str | bytes) -> str:
        return part if isinstance(part, str) else self._coding.text(part)
