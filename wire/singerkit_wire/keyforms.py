"""One way to write the values of a key column: two texts that are one value to the column of their type become one.

A target compares keys as values of the column that the schema asks for: `1` and `1.0`, one instant in two zones, a UUID
in capitals. Text is compared as it is spelled, and so it stays, but for the escapes of JSON. Values that the type refuses
stay as they are: the target says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import msgspec

from singerkit_catalog.admitted import json_types, string_formats
from singerkit_wire.wording import any_value, in_order, moment_text, number_text

__all__ = ["KeyForm", "key_form"]

KeyForm = Callable[[Sequence[bytes]], Sequence[bytes]]
"""From the raw JSON values of a column to their one way to be written."""

_MOMENT = re.compile(rb'"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:[0-5]\d(?:\.\d*[1-9])?Z"')
_DAY = re.compile(rb'"\d{4}-\d\d-\d\d"')
_OF_NUMBERS = (b".", b"e", b"E", b"-0")
_OF_TEXT = (b"\\",)


def key_form(schema: object) -> KeyForm:
    """Return the form of a property; columns of whole numbers or text cost a look at each chunk, nothing per value."""
    if not isinstance(schema, Mapping):
        return _as_json
    types = json_types(schema) - {"null"}
    if types == {"string"}:
        formats = set(string_formats(schema))
        of_one = _OF_FORMAT.get(formats.pop()) if len(formats) == 1 else None
        return _unless_odd(_OF_TEXT) if of_one is None else lambda values: list(map(of_one, values))
    return _unless_odd(_OF_NUMBERS) if types and types <= {"integer", "number", "boolean"} else _as_json


def _unless_odd(marks: Sequence[bytes]) -> KeyForm:
    def form(values: Sequence[bytes]) -> Sequence[bytes]:
        joined = b",".join(values)
        return _as_json(values) if any(mark in joined for mark in marks) else values

    return form


def _as_json(values: Sequence[bytes]) -> Sequence[bytes]:
    try:
        return [in_order.encode(any_value.decode(value)) for value in values]
    except (msgspec.DecodeError, RecursionError, ValueError):
        return values  # a number of thousands of digits: as it is written


def _moment(value: bytes) -> bytes:
    if _MOMENT.fullmatch(value):
        return value  # nearly all are written so
    if _DAY.fullmatch(value):
        return value[:-1] + b'T00:00:00Z"'
    return _read(value, moment_text)


def _time(value: bytes) -> bytes:
    return _read(value, lambda text: moment_text(f"2000-01-01T{text}"))


def _uuid(value: bytes) -> bytes:
    return _read(value, lambda text: str(UUID(text)))


def _decimal(value: bytes) -> bytes:
    return _read(value, number_text)


def _read(value: bytes, reader: Callable[[str], str]) -> bytes:
    if value[:1] != b'"':
        return value
    try:
        return b'"%s"' % reader(any_value.decode(value).strip()).encode()
    except (ValueError, OverflowError):
        return value


_OF_FORMAT: Mapping[str, Callable[[bytes], bytes]] = {
    "date-time": _moment,
    "date": _moment,
    "time": _time,
    "uuid": _uuid,
    "singer.decimal": _decimal,
    "x-singer.decimal": _decimal,
}
