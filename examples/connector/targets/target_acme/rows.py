"""A batch as the store takes it: a key and a JSON document a row, with each digit of a number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_wire.batch import Batch
from singerkit_wire.stream import Stream
from singerkit_wire.values import JsonText

__all__ = ["documents", "key_of", "merged"]

_encoder = msgspec.json.Encoder(decimal_format="number")
_raw_object = msgspec.json.Decoder(dict[str, Raw])


def documents(stream: Stream, batch: Batch) -> Iterator[tuple[str | None, str]]:
    """Yield (key, document) of each row; the key is JSON text, None where the stream has none.

    TODO(acme): make of a row what your store takes. `Batch.rows` gives values, `Batch.arrow` columns, and ``wire_rows`` is
    for encoders of JSON. A stream without properties has whole records (`Stream.is_whole_record`).
    """
    key = json.dumps(stream.key_properties)
    for row in batch.rows():
        if stream.is_whole_record:
            yield None, row[0]
            continue
        values = [Raw(value.encode()) if isinstance(value, JsonText) else value for value in row]
        document = _encoder.encode(dict(zip(batch.names, values, strict=True))).decode()
        yield key_of(document, key), document


def key_of(document: str, fields: str) -> str | None:
    """Return the key of a document: a list of the values of ``fields``, both as JSON; None where there are none."""
    names = json.loads(fields)
    if not names:
        return None
    raws = _raw_object.decode(document)
    return _encoder.encode([_one_form(bytes(raws[name]).decode()) for name in names]).decode()


def _one_form(text: str) -> Any:
    """A value of a key is one, however it is written on the wire: the number 1, 1.0 and 1e0."""
    if text[0] not in "-0123456789":
        return msgspec.json.decode(text)
    return Raw(format(Decimal(text).normalize(), "f").encode())


def merged(old: str, new: str) -> str:
    """Return a document as it was, with the fields of a new one: what a row leaves out keeps what is stored."""
    return _encoder.encode(_raw_object.decode(old) | _raw_object.decode(new)).decode()
