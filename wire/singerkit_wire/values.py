"""What stands in `Batch.wire_rows` as Python values: one type for each kind, from whichever path a row has come."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_wire.kinds import Column, Kind

__all__ = ["JsonText", "number_texts", "plain_values", "values_of"]


class JsonText(str):
    """The value of a JSON column: a document as the text that was sent, not a string of the source."""

    __slots__ = ()


def values_of(column: Column, on_wire: Sequence[Any]) -> Sequence[Any]:
    """Return the values of one column of a batch."""
    read = _READERS.get(column.kind)
    return on_wire if read is None else read(on_wire)


def plain_values(column: Column, on_wire: Sequence[Any]) -> Sequence[Any]:
    """Return the values of one column as they cost least, for whoever makes arrays of them.

    As `values_of`, but numbers (`NUMBER`, `BIG_INTEGER`) are their JSON text as bytes, ``null`` among them; a moment without an
    offset is as it came, and in UTC; a document is plain text.
    """
    match column.kind:
        case Kind.NUMBER | Kind.BIG_INTEGER:
            is_raw = set(map(type, on_wire)) == {Raw}
            return on_wire if is_raw else [(text or "null").encode() for text in number_texts(on_wire)]
        case Kind.DATE_TIME | Kind.JSON:
            return on_wire
        case _:
            return values_of(column, on_wire)


def number_texts(on_wire: Sequence[Any]) -> list[str | None]:
    """Return numbers as JSON text, None for null; they may be `Raw`, int, or the text of an `x-singer.decimal`."""
    try:
        texts: list[Any] = b"\n".join(on_wire).decode().split("\n") if on_wire else []
    except TypeError:  # not all of them are `Raw`
        return [None if value is None else _number_text(value) for value in _without_null(on_wire)]
    return [None if text == "null" else text for text in texts] if "null" in texts else texts


def _number_text(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value, "utf-8")
    return value if isinstance(value, str) else str(Decimal(value))  # Python writes no int of 5,000 digits


_NULL = Raw(b"null")


def _without_null(on_wire: Sequence[Any]) -> Sequence[Any]:
    return [None if value == _NULL else value for value in on_wire]


def _numbers(on_wire: Sequence[Any]) -> Sequence[Any]:
    return [None if text is None else Decimal(text) for text in number_texts(on_wire)]


def _integers(on_wire: Sequence[Any]) -> Sequence[Any]:
    """Those beyond 64 bits are int on the fast path, and `Raw` where the exact path has read them."""
    return [
        int(Decimal(str(value, "utf-8"))) if isinstance(value, Raw) else value
        for value in _without_null(on_wire)
    ]


def _texts(on_wire: Sequence[Any]) -> Sequence[Any]:
    kinds = set(map(type, on_wire))
    if Raw not in kinds:
        return on_wire
    # Then all are, text that the fast path has left as it stood; but for fields that were missing and are null.
    raws = on_wire if len(kinds) == 1 else [_NULL if value is None else value for value in on_wire]
    return _texts_decoder.decode(b"[%b]" % b",".join(raws))


_texts_decoder = msgspec.json.Decoder(list[str | None])


def _moments(on_wire: Sequence[Any]) -> Sequence[Any]:
    """One without an offset is in UTC (docs/values.md)."""
    return [
        value if value is None or value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
        for value in on_wire
    ]


def _times(on_wire: Sequence[Any]) -> Sequence[Any]:
    """Both paths take only those in UTC or without an offset."""
    return [
        value if value is None or value.tzinfo is None else value.replace(tzinfo=None) for value in on_wire
    ]


def _documents(on_wire: Sequence[Any]) -> Sequence[Any]:
    return [None if value is None else JsonText(value) for value in on_wire]


_READERS: Mapping[Kind, Callable[[Sequence[Any]], Sequence[Any]]] = {
    Kind.BIG_INTEGER: _integers,
    Kind.NUMBER: _numbers,
    Kind.STRING: _texts,
    Kind.DATE_TIME: _moments,
    Kind.TIME: _times,
    Kind.JSON: _documents,
}
