"""CSV in UTF-8: a header, then records; quotes as RFC 4180 has them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from tap_files.formats.contract import PIECE_BYTES, Bytes, Piece, Spot, UnreadableFile
from tap_files.settings.csv import CsvSettings

__all__ = ["reader_of"]

_LINE = 64 << 20
"""The longest record, in bytes."""


class CsvReader:
    """See `formats.contract.Reader`."""

    def __init__(self, settings: CsvSettings, content: Bytes, start: Spot) -> None:
        self._settings, self._content, self._at = settings, content, start
        self._rest = b""
        self._is_at_end = False
        names = start.context
        if names is None:
            header = self._header()
            names = header
        self._names: list[str] = list(names)
        self.fields: Mapping[str, Mapping[str, Any] | None] | None = dict.fromkeys(self._names)

    def _header(self) -> list[str]:
        lines = self._lines(1)
        if not lines:
            return []
        text = lines[0]
        self._at = Spot(len(text), 1, 0)
        found = next(csv.reader([text.decode("utf-8-sig")], delimiter=self._settings.delimiter), [])
        double = {name for name in found if found.count(name) > 1}
        if double or "" in found:
            what = f"`{min(double)}` twice" if double else "an empty one"
            raise UnreadableFile(
                f"Expected each column of the header (line 1) to have a name of its own, got {what}"
            )
        return found

    def _lines(self, most: int = 1 << 30) -> list[bytes]:
        """Return whole lines, about a piece of them, of which quotes are closed at the end."""
        while True:
            end = _end_of_records(self._rest)
            if end and (len(self._rest) >= PIECE_BYTES or self._is_at_end or most == 1):
                block, self._rest = self._rest[:end], self._rest[end:]
                lines = block.splitlines(keepends=True)
                if len(lines) > most:
                    self._rest = b"".join(lines[most:]) + self._rest
                return lines[:most]
            if self._is_at_end:
                break
            data = self._content.read(PIECE_BYTES)
            self._is_at_end = not data
            self._rest += data
            if len(self._rest) > _LINE:
                raise UnreadableFile(
                    f"Expected a record of at most {_LINE:,} bytes, got a longer one from line {self._at.line + 1} (byte {self._at.byte}) on: is a quote not closed?"
                )
        block, self._rest = self._rest, b""
        if block and not self._content.is_whole:
            return []
        return block.splitlines(keepends=True)

    def pieces(self) -> Iterator[Piece]:
        """See `formats.contract.Reader.pieces`."""
        while lines := self._lines():
            yield self._piece(lines)

    def _piece(self, lines: list[bytes]) -> Piece:
        block = b"".join(lines)
        try:
            text = block.decode()
        except UnicodeDecodeError as error:
            line = self._at.line + 1 + block.count(b"\n", 0, error.start)
            raise UnreadableFile(
                f"Expected UTF-8 in line {line}, got other bytes at byte {self._at.byte + error.start}"
            ) from None
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self._settings.delimiter, strict=True)
        rows, numbers = [], []
        line = self._at.line
        try:
            for row in reader:
                if row:
                    if len(row) != len(self._names):
                        raise UnreadableFile(
                            f"Expected {len(self._names)} values in line {line + 1}, got {len(row)}"
                        )
                    rows.append(row)
                    numbers.append(line + 1)
                line = self._at.line + reader.line_num
        except csv.Error as error:
            raise UnreadableFile(
                f"Expected CSV in line {line + 1}, got a record that is none: {error}"
            ) from None
        first = self._at.row + 1
        is_ended = block.endswith((b"\n", b"\r"))
        self._at = Spot(self._at.byte + len(block), line, self._at.row + len(rows), self._names)
        columns = [[value or None for value in column] for column in zip(*rows, strict=True)]
        return Piece(
            len(rows),
            range(first, first + len(rows)),
            dict(zip(self._names, columns or [[] for _ in self._names], strict=True)),
            lines=numbers,
            behind=self._at if is_ended else None,
        )


def _end_of_records(text: bytes) -> int:
    """Return where the last line ends that no quote is open behind; 0: none does."""
    end = text.rfind(b"\n") + 1
    if text.count(b'"', 0, end) % 2 == 0:
        return end
    while end and text.count(b'"', 0, end) % 2:
        end = text.rfind(b"\n", 0, end - 1) + 1
    return end


def reader_of(settings: CsvSettings, content: Bytes, start: Spot) -> CsvReader:
    """See `formats.contract.Reader`."""
    return CsvReader(settings, content, start)
