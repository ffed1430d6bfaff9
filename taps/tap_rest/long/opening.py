"""A long body, looked through once: what stands around its rows becomes the body, and the rows are read from disk from there on."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from singerkit_shell.encoding import check_utf8
from singerkit_shell.errors import BadDataError
from singerkit_wire.jsonwalk import JsonWalker, items_of
from tap_rest.answers.answer import Response
from tap_rest.formats.csvtext import CsvReader
from tap_rest.formats.looks import is_json, look_of
from tap_rest.formats.xmltext import XmlReader
from tap_rest.http.charsets import is_utf8, utf8_pieces
from tap_rest.http.storing import PIECE, Limits, Span, stored
from tap_rest.long.elements import pieces_of_xml
from tap_rest.long.lines import pieces_of_csv, pieces_of_lines
from tap_rest.long.rows import LongRows, Pieces

__all__ = ["Opening", "as_utf8", "pieces_of_json"]

Rows = dict[tuple[str, ...], LongRows]


def pieces_of_json(span: Span, where: str) -> tuple[bytes, dict[tuple[str, ...], Pieces]]:
    """Return what stands around the long arrays of a document, and where the pieces of each are.

    Raises:
        BadDataError: see `JsonWalker.document`.
    """
    walker = JsonWalker(span.read, where)
    arrays: dict[tuple[str, ...], Pieces] = {}
    for items in walker.document():
        if items.are_first:
            arrays[items.names] = Pieces(span, items_of)
        arrays[items.names].add(items.start, len(items.text), items.rows)
    for names in walker.arrays:
        arrays.setdefault(names, Pieces(span, items_of))
    return walker.around, arrays


class Opening:
    """Opens the long bodies of one stream; ``at``: where its records are, if that is known."""

    def __init__(
        self, stream: str, csv: CsvReader, xml: XmlReader, at: Sequence[str] | None, limits: Limits
    ) -> None:
        self._where = f"the answer for stream {stream}"
        self._stream, self._csv, self._xml, self._limits = stream, csv, xml, limits
        self._at = tuple(at or ())

    def open(
        self,
        response: Response,
        spans: Sequence[Span],
        kind: str,
        content_type: str,
        xml_charset: str | None,
    ) -> None:
        """Make the body what stands around the rows, and put those into `rows`; ``spans`` are files of UTF-8, all of one ``kind``.

        Raises:
            BadDataError: one is something else, or there are several that are no arrays.
        """
        if kind == "json":
            response.body, response.rows = self._json(spans)
        elif kind == "xml":
            found, response.body = pieces_of_xml(self._one(spans), self._xml, xml_charset, self._limits)
            response.rows = {self._at: LongRows([found])}
        elif kind == "csv":
            self._take_array(response, [pieces_of_csv(span, self._csv, content_type) for span in spans])
        else:
            self._take_array(response, [pieces_of_lines(span, self._stream, self._where) for span in spans])

    def _json(self, spans: Sequence[Span]) -> tuple[bytes, Rows]:
        found: list[Pieces] = []
        for span in spans:
            head = span.read(0, PIECE)
            look = look_of(head)
            if look.fits or not is_json(head):
                raise BadDataError(f"Expected JSON in {self._where}, got {look.words}{look.advice}.")
            around, arrays = pieces_of_json(span, self._where)
            check_utf8(around)
            if len(spans) == 1:
                return around, {names: LongRows([pieces]) for names, pieces in arrays.items()}
            if () not in arrays:
                raise self.several()
            found.append(arrays[()])
        return self._array(found)

    def _take_array(self, response: Response, found: Sequence[Pieces]) -> None:
        response.body, response.rows = self._array(found)

    @staticmethod
    def _array(found: Sequence[Pieces]) -> tuple[bytes, Rows]:
        first = next((pieces.first for pieces in found if pieces.first is not None), b"")
        return b"[" + bytes(first) + b"]", {(): LongRows(found)}

    def _one(self, spans: Sequence[Span]) -> Span:
        if len(spans) > 1:
            raise self.several()
        return spans[0]

    def several(self) -> BadDataError:
        """Word that a zip holds several documents whose rows cannot be put together."""
        return BadDataError(
            f"Expected one file in the zip for stream {self._stream}, or several of rows alone (CSV, a JSON value a line, JSON arrays), got "
            "several documents that are none; name one in `zip_members`."
        )


def as_utf8(span: Span, charset: str, shown: str, limits: Limits) -> Span | bytes:
    """Return a file as UTF-8; raises as `utf8_text`, but of UTF-8 that is none."""
    if not is_utf8(charset, shown):
        return stored(utf8_pieces(span.pieces(), charset, shown), limits)
    start = span.start
    while Span(span.disk, start, span.end).read(0, 3) == codecs.BOM_UTF8:
        start += 3
    return Span(span.disk, start, span.end)
