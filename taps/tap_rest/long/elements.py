"""Long XML: its records are written to a file of their own, a JSON object a line, while the document is read."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_wire.encode import split_records
from tap_rest.formats.xmltext import XmlReader
from tap_rest.http.storing import Disk, Limits, Span, Store
from tap_rest.long.rows import Pieces

__all__ = ["pieces_of_xml"]

_RECORDS = 2000
_encoder = msgspec.json.Encoder()


def pieces_of_xml(span: Span, reader: XmlReader, charset: str | None, limits: Limits) -> tuple[Pieces, bytes]:
    """Return where the records are, and what stands around the first of them as JSON.

    Raises:
        BadDataError: see `Tree.feed`.
        TooLargeError: the records are larger than the document may be.
    """
    store, waiting = Store(limits), list[Raw]()
    pieces = Pieces(Span(Disk(BytesIO()), 0, 0), _records_in)

    def write() -> None:
        text = b",".join(waiting)
        pieces.add(store.size, len(text), waiting)
        store.write(text)
        waiting.clear()

    def keep(record: Any) -> None:
        waiting.append(Raw(_encoder.encode(record)))
        if len(waiting) == _RECORDS:
            write()

    tree = reader.tree(keep)
    for number, piece in enumerate(span.pieces()):
        tree.feed(piece if number else piece.lstrip(), charset, is_last=False)
    tree.feed(b"", charset, is_last=True)
    if waiting:
        write()
    whole = store.finish()
    pieces.span = whole if isinstance(whole, Span) else Span(Disk(BytesIO(whole)), 0, len(whole))
    first = [] if pieces.first is None else [pieces.first]
    return pieces, _encoder.encode(tree.document(first))


def _records_in(text: bytes) -> list[Raw]:
    return split_records(b"[" + text + b"]", "a long answer", is_utf8=True)
