"""Long NDJSON and CSV: pieces of whole lines, and of whole rows."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from singerkit_shell.encoding import check_utf8
from singerkit_shell.errors import BadDataError
from singerkit_wire.encode import split_records
from tap_rest.formats.csvtext import CsvReader, CutRowError
from tap_rest.formats.lines import array_of_lines
from tap_rest.http.storing import PIECE, WHOLE, Span
from tap_rest.long.rows import Pieces

__all__ = ["pieces_of_csv", "pieces_of_lines"]


def pieces_of_lines(span: Span, stream: str, where: str) -> Pieces:
    """Note where pieces of NDJSON begin; ``where`` names the body.

    Raises:
        BadDataError: a line is no JSON, not UTF-8, or too long.
    """

    def decode(text: bytes, before: int = 0) -> list[Raw]:
        return split_records(array_of_lines(text, stream, before), where, is_utf8=True)

    pieces = Pieces(span, decode)
    at = before = 0
    while at < len(span):
        text = _whole_lines(span, at, PIECE)
        try:
            check_utf8(text)
        except UnicodeDecodeError:
            raise BadDataError(f"Expected UTF-8 in {where}, got other bytes; ask its makers.") from None
        pieces.add(at, len(text), decode(text, before))
        at, before = at + len(text), before + text.count(b"\n")
    return pieces


def pieces_of_csv(span: Span, reader: CsvReader, content_type: str) -> Pieces:
    """Note where pieces of CSV behind its header begin.

    Raises:
        BadDataError: see `CsvTable.array`.
    """
    table = reader.table(_whole_lines(span, 0, PIECE), content_type)

    def decode(text: bytes, rows: int = 0, lines: int = 0) -> list[Raw]:
        return msgspec.json.decode(table.array(text, rows, lines), type=list[Raw])

    pieces = Pieces(span, decode)
    at, size, rows, lines = table.begin, PIECE, 0, 0
    while at < len(span):
        text = _whole_lines(span, at, size)
        try:
            came = decode(text, rows, lines)
        except CutRowError:
            if at + len(text) >= len(span) or size > WHOLE:
                raise
            size *= 2  # a field with ends of lines in it goes on
            continue
        pieces.add(at, len(text), came)
        at, size, rows, lines = at + len(text), PIECE, rows + len(came), lines + text.count(b"\n")
    return pieces


def _whole_lines(span: Span, at: int, size: int) -> bytes:
    """Return the lines of about ``size`` bytes from ``at`` on, or one that is longer."""
    while True:
        text = span.read(at, size)
        if at + len(text) >= len(span):
            return text
        end = text.rfind(b"\n") + 1 or text.rfind(b"\r") + 1
        if end:
            return text[:end]
        if size > WHOLE:
            raise BadDataError(f"Expected lines of less than {WHOLE} bytes, got a longer one.")
        size *= 2
