"""Files as they are: one record each, with size, media type, checksum, what pictures, sounds and texts show of themselves, and the content.

A file is read once, in parts; what is kept of it is its beginning.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tap_files.formats.contract import PIECE_BYTES, Bytes, Piece, Reader, Spot
from tap_files.formats.mediatypes import media_type
from tap_files.formats.shapes import duration, pixels
from tap_files.settings.binary import BinarySettings

__all__ = ["reader_of"]

_HEAD = 1 << 20
"""Bytes of the beginning in which a picture or a sound says what it is."""
_TEXT = {"type": ["null", "string"]}
_COUNT = {"type": ["null", "integer"]}
_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "size": {"type": "integer"},
    "media_type": {"type": "string"},
    "sha256": {"type": "string"},
    "width": _COUNT,
    "height": _COUNT,
    "duration": {"type": ["null", "number"]},
    "encoding": _TEXT,
    "characters": _COUNT,
    "content": {**_TEXT, "contentEncoding": "base64"},
}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_TEXT = bytes({*range(32)} - {*b"\t\n\r\f\x1b"})


def reader_of(settings: BinarySettings, content: Bytes, start: Spot) -> Reader:
    """Return what reads one file, whatever it is."""
    return _File(settings, content, start)


class _File:
    def __init__(self, settings: BinarySettings, content: Bytes, start: Spot) -> None:
        self.wanted: Collection[str] | None = None
        self.fields: Mapping[str, Mapping[str, Any] | None] | None = _FIELDS
        self._limit, self._content, self._is_read = settings.content_limit, content, start.row > 0

    def pieces(self) -> Iterator[Piece]:
        if self._is_read:
            return
        row = self._row()
        wanted = _FIELDS if self.wanted is None else self.wanted
        yield Piece(1, range(1, 2), {name: [value] for name, value in row.items() if name in wanted})

    def _row(self) -> dict[str, Any]:
        checksum, text = hashlib.sha256(), _Text()
        head, size = bytearray(), 0
        kept = max(self._limit + 1, _HEAD)
        while part := self._content.read(PIECE_BYTES):
            checksum.update(part)
            text.take(part)
            head += part[: kept - len(head)]
            size += len(part)
        beginning = bytes(head[:_HEAD])
        encoding, characters = text.found(size)
        kind = media_type(beginning, self._content.name, is_text=encoding is not None)
        width, height = pixels(beginning, kind) or (None, None)
        return {
            "size": size,
            "media_type": kind,
            "sha256": checksum.hexdigest(),
            "width": width,
            "height": height,
            "duration": duration(beginning, kind),
            "encoding": encoding,
            "characters": characters,
            "content": bytes(head) if size <= self._limit and self._limit else None,
        }


class _Text:
    """Tells whether a file is a text: UTF-8, or what its BOM says, without characters that no text has."""

    def __init__(self) -> None:
        self._encoding: str | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._characters = 0
        self._start = b""

    def take(self, part: bytes) -> None:
        """Look at the next part."""
        if self._encoding is None:
            self._start += part
            if len(self._start) < 4:
                return
            self._begin()
            return
        self._decode(part)

    def _begin(self, is_end: bool = False) -> None:
        self._encoding = next((name for bom, name in _BOMS if self._start.startswith(bom)), "utf-8")
        self._decoder = codecs.getincrementaldecoder(
            "utf-8-sig" if self._encoding == "utf-8" else self._encoding
        )()
        self._decode(self._start, is_end)
        self._start = b""

    def _decode(self, part: bytes, is_end: bool = False) -> None:
        if self._decoder is None:
            return
        if self._encoding == "utf-8" and len(part.translate(None, _NO_TEXT)) < len(part):
            self._decoder = None
            return
        try:
            text = self._decoder.decode(part, is_end)
        except UnicodeDecodeError:
            self._decoder = None
            return
        self._characters += len(text)
        if "\0" in text:
            self._decoder = None

    def found(self, size: int) -> tuple[str | None, int | None]:
        """Return the encoding, and how many characters there are; None: it is no text."""
        if not size:
            return None, None
        if self._encoding is None:
            self._begin(is_end=True)
        else:
            self._decode(b"", is_end=True)
        return (None, None) if self._decoder is None else (self._encoding, self._characters)
