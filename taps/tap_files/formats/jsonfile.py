"""JSON documents: the items of an array as they stand, of arrays of any length a piece at a time; or objects one behind the other."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence

from msgspec import Raw

from singerkit_shell.errors import BadDataError
from singerkit_wire.jsonwalk import Items, JsonWalker
from tap_files.formats.contract import PIECE_BYTES, BadRow, Bytes, OtherSettings, Piece, Spot, UnreadableFile
from tap_files.formats.encodings import coding_of
from tap_files.formats.jsonlines import object_fault
from tap_files.formats.wholelines import SHOWN
from tap_files.settings.jsonfile import JsonSettings

__all__ = ["JsonReader", "reader_of"]

_DOCUMENTS = 1000
"""So many of one record each make a piece."""
_LARGEST = 64 << 20
"""Bytes of a document that is one record: no target takes more."""
_IN_ARRAY, _BETWEEN = "in", "between"
"""`Spot.context`: between two items of the array in the first document; between two documents."""


class JsonReader:
    """See `formats.contract.Reader`."""

    fields = None

    def __init__(self, settings: JsonSettings, content: Bytes, start: Spot) -> None:
        self._names, self._start, self._rows = settings.names, start, start.row
        self._source = _Utf8(content, settings.encoding, start.byte)
        self._walker = JsonWalker(self._source.read, "the file", self._names, start.byte)
        self._documents = 0
        self._context: str | None = start.context
        self._behind = start.byte, 0
        """Byte and ends of lines behind the last records that came: what is looked through behind them is no place to go on at."""

    def pieces(self) -> Iterator[Piece]:
        """See `formats.contract.Reader.pieces`."""
        held: list[Items] = []
        size = 0
        try:
            for items in self._items():
                held.append(items)
                self._behind = self._walker.place, self._walker.lines
                size += len(items.text)
                if size > PIECE_BYTES // 4 or len(held) == _DOCUMENTS:
                    yield self._piece(held)
                    held, size = [], 0
        except BadDataError as error:
            if held:
                yield self._piece(held)
            line = self._start.line + self._walker.lines + 1
            raise UnreadableFile(f"{str(error).removesuffix('.')} in line {line}") from None
        if held:
            yield self._piece(held)

    def _items(self) -> Iterator[Items]:
        walker = self._walker
        if self._start.context == _IN_ARRAY:
            self._documents = 1
            yield from self._wanted(walker.rest_of_array())
        may_be_lines = not self._names
        while walker.has_document():
            self._documents += 1
            lines = walker.objects_a_line() if may_be_lines else None
            if lines is not None:
                yield from self._wanted(iter([lines]))
                self._documents += len(lines.rows) - 1
                continue
            may_be_lines = False
            yield from self._wanted(walker.next_document())
            if self._names not in walker.arrays:
                place = "".join(f".{name}" for name in self._names)
                raise OtherSettings(
                    f"Expected an array of records, or one record, at `${place}` of each JSON document, got none in document {self._documents}; say "
                    "where they are in `json.records`"
                )

    def _wanted(self, found: Iterator[Items]) -> Iterator[Items]:
        """Yield those items that are records, and note where a later run can go on behind them."""
        behind_it: list[Items] = []
        """An object is given when its document has ended: there a later run can go on."""
        for items in found:
            if items.names != self._names:
                continue
            if items.is_object and len(items.text) > _LARGEST:
                raise OtherSettings(
                    f"Expected a record of at most {_LARGEST} bytes, got a JSON document of {len(items.text)}; say where in it the records are in "
                    "`json.records`"
                )
            kind = _BETWEEN if items.is_object else _IN_ARRAY
            if self._documents == 1:
                self._context = kind
            elif kind == _IN_ARRAY or self._context != kind:
                self._context = None
            if items.is_object:
                behind_it.append(items)
            else:
                yield items
        yield from behind_it

    def _piece(self, held: Sequence[Items]) -> Piece:
        rows = [row for items in held for row in items.rows]
        first = self._rows + 1
        self._rows += len(rows)
        behind = None
        if self._context is not None and self._source.has_places:
            place, lines = self._behind
            behind = Spot(place, self._start.line + lines, self._rows, self._context)
        if all(memoryview(row)[0] == 0x7B for row in rows):
            return Piece(len(rows), range(first, first + len(rows)), None, rows, None, behind)
        records, numbers, bad = self._sifted(held, first)
        return Piece(len(records), numbers, None, records, None, behind, bad)

    def _sifted(self, held: Sequence[Items], first: int) -> tuple[list[Raw], list[int], list[BadRow]]:
        """Leave out items that are no objects."""
        records, numbers, bad = list[Raw](), list[int](), list[BadRow]()
        number = first - 1
        for items in held:
            for row, place in zip(items.rows, items.places(), strict=True):
                number += 1
                text = bytes(row)
                if text.startswith(b"{"):
                    records.append(row)
                    numbers.append(number)
                    continue
                line = self._start.line + items.lines + items.text.count(b"\n", 0, place) + 1
                fault = object_fault(text) or "Expected `object`, got another value"
                shown = text.decode("utf-8", "replace")[:SHOWN]
                bad.append(BadRow(number, line, items.start + place, fault, shown))
        return records, numbers, bad


class _Utf8:
    """A file as UTF-8, given from the front to the back. ``has_places``: its bytes are those of the file."""

    def __init__(self, content: Bytes, encoding: str | None, start: int) -> None:
        self._content, self._held, self._is_at_end = content, b"", False
        self._decoder: codecs.IncrementalDecoder | None = None
        if start:
            return  # only files of UTF-8 have places to start at
        while len(self._held) < 4 and (part := content.read(PIECE_BYTES)):
            self._held += part
        coding, bom = coding_of(encoding, self._held[:4], "json.encoding")
        self._codec = coding.codec
        if self._codec not in ("utf-8", "ascii"):
            self._decoder = codecs.getincrementaldecoder(self._codec)()
            self._held = self._held[bom:]

    @property
    def has_places(self) -> bool:
        return self._decoder is None

    def read(self, _at: int, size: int) -> bytes:
        """Return the next bytes; b"" at the end."""
        while not self._is_at_end:
            part, self._held = self._held or self._content.read(size), b""
            self._is_at_end = not part
            text = part if self._decoder is None else self._decoded(self._decoder, part)
            if text:
                return text
        return b""

    def _decoded(self, decoder: codecs.IncrementalDecoder, part: bytes) -> bytes:
        try:
            return decoder.decode(part, not part).encode()
        except UnicodeError:
            raise UnreadableFile(f"Expected `{self._codec}`, got other bytes") from None


def reader_of(settings: JsonSettings, content: Bytes, start: Spot) -> JsonReader:
    """See `formats.contract.Reader`."""
    return JsonReader(settings, content, start)
