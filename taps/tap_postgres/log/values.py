"""A value as the log has it, its text, to the JSON that the snapshot has of it (`tap_postgres.types`).

Byte for byte what `row_to_json` makes of the same value on a server whose session is that of the log: DateStyle ISO, UTC, and so on.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from msgspec.json import encode

from tap_postgres.types import Kind, Types

__all__ = [
    "Make",
    "as_boolean",
    "as_document",
    "as_instant",
    "as_it_is",
    "as_local",
    "as_number",
    "as_plain_text",
    "as_text",
    "maker",
]

Make: TypeAlias = Callable[[bytes], bytes]
"""From the text of a value, in UTF-8, to its JSON."""

_DIGITS_OF_C = 2
_ONE_LINE = bytes.maketrans(b"\n\r", b"  ")


def maker(types: Types, oid: int) -> Make:
    """Return what makes JSON of the values of a column of a type."""
    kind = types.kind(oid)
    if kind is Kind.MONEY:
        return partial(_money, types.money_digits)
    made = _MAKERS.get(kind)
    return _inner(types, oid) if made is None else made


def _inner(types: Types, oid: int) -> Make:
    """Return the same for a value within another one, of which PostgreSQL makes JSON by itself."""
    kind = types.kind(oid)
    if kind is Kind.ARRAY:
        of = types.of(oid)
        return partial(_array, _inner(types, of.element), _delimiter(types, of.element))
    if kind is Kind.COMPOSITE:
        attributes = types.of(oid).attributes
        return partial(_composite, [(encode(name), _inner(types, of)) for name, of in attributes])
    return as_text if kind is Kind.BYTES else _MAKERS.get(kind, as_text)


def _delimiter(types: Types, element: int) -> bytes:
    of = types.of(element)
    return b";" if (of.schema, of.name) == ("pg_catalog", "box") else b","


def as_it_is(text: bytes) -> bytes:
    return text


def as_document(text: bytes) -> bytes:
    """Of JSON, which may have line ends between its values."""
    return text.translate(_ONE_LINE) if b"\n" in text or b"\r" in text else text


def as_text(text: bytes) -> bytes:
    return encode(text.decode())


def as_plain_text(text: bytes) -> bytes:
    """Of types whose texts need no escapes."""
    return b'"%b"' % text


def as_number(text: bytes) -> bytes:
    return text if text[-1:].isdigit() else as_plain_text(text)


def as_boolean(text: bytes) -> bytes:
    return b"true" if text == b"t" else b"false"


def as_local(text: bytes) -> bytes:
    return b'"%b"' % text.replace(b" ", b"T", 1) if text[:1].isdigit() else as_plain_text(text)


_OFFSET = re.compile(rb"[+-]\d\d(?= BC|$)")


def as_instant(text: bytes) -> bytes:
    if text[-3:] == b"+00":
        return b'"%b:00"' % text.replace(b" ", b"T", 1)
    return as_local(_OFFSET.sub(rb"\g<0>:00", text))


def _bytes(text: bytes) -> bytes:
    return as_plain_text(base64.b64encode(bytes.fromhex(text[2:].decode())))


def _money(digits: int, text: bytes) -> bytes:
    """Of `lc_monetary = C`, `-$1,234.50`: the point stands where that of the database does."""
    number = text.replace(b"$", b"").replace(b",", b"")
    if digits == _DIGITS_OF_C:
        return number
    sign = b"-" * number.startswith(b"-")
    units = number.lstrip(b"-").replace(b".", b"").lstrip(b"0").rjust(digits + 1, b"0")
    return sign + (units[:-digits] + b"." + units[-digits:] if digits else units)


# Texts of several values

_HSTORE = re.compile(rb'"((?:[^"\\]|\\.)*)"=>(?:NULL|"((?:[^"\\]|\\.)*)")', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def _unescaped(text: bytes) -> bytes:
    return _ESCAPED.sub(rb"\1", text) if b"\\" in text else text


def _hstore(text: bytes) -> bytes:
    parts = []
    for found in _HSTORE.finditer(text):
        name, value = found.groups()
        made = b"null" if value is None else as_text(_unescaped(value))
        parts.append(b"%b: %b" % (as_text(_unescaped(name)), made))
    return b"{%b}" % b", ".join(parts)


_BOUNDS = re.compile(rb"(?:\[[+-]?\d+:[+-]?\d+\])+=")
_ITEMS: Mapping[bytes, re.Pattern[bytes]] = {
    mark: re.compile(rb'([{}%b])|"((?:[^"\\]|\\.)*)"|((?:[^{}"%b\\]|\\.)+)' % (mark, mark), re.DOTALL)
    for mark in (b",", b";")
}


def _array(make: Make, delimiter: bytes, text: bytes) -> bytes:
    """Of `{1,NULL,"a b"}`; where its bounds begin is lost."""
    parts = []
    bounds = _BOUNDS.match(text)
    for found in _ITEMS[delimiter].finditer(text, bounds.end() if bounds else 0):
        mark, quoted, bare = found.groups()
        if mark is not None:
            parts.append({b"{": b"[", b"}": b"]"}.get(mark, b","))
        elif bare is not None and bare.upper() == b"NULL":
            parts.append(b"null")
        else:
            parts.append(make(_unescaped(bare if quoted is None else quoted)))
    return b"".join(parts)


_FIELD = re.compile(rb'((?:"(?:[^"\\]|\\.|"")*"|[^",\\)]|\\.)*)([,)])', re.DOTALL)
_PART = re.compile(rb'"((?:[^"\\]|\\.|"")*)"|((?:[^"\\]|\\.)+)', re.DOTALL)
_IN_QUOTES = re.compile(rb'\\(.)|""', re.DOTALL)


def _composite(attributes: Sequence[tuple[bytes, Make]], text: bytes) -> bytes:
    """Of `(1,"a b",)`: what is empty is null."""
    parts = []
    at = 1
    for name, make in attributes:
        found = _FIELD.match(text, at)
        if found is None:
            break
        at = found.end()
        parts.append(b"%b:%b" % (name, make(_field(found[1])) if found[1] else b"null"))
    return b"{%b}" % b",".join(parts)


def _field(text: bytes) -> bytes:
    if b'"' not in text:
        return _unescaped(text)
    return b"".join(
        _unescaped(bare) if quoted is None else _IN_QUOTES.sub(_unquoted, quoted)
        for quoted, bare in (found.groups() for found in _PART.finditer(text))
    )


def _unquoted(found: re.Match[bytes]) -> bytes:
    return found[1] if found[1] is not None else b'"'


_MAKERS: Mapping[Kind, Make] = {
    Kind.INTEGER: as_it_is,
    Kind.NUMBER: as_number,
    Kind.REAL: as_number,
    Kind.DOUBLE: as_number,
    Kind.BOOLEAN: as_boolean,
    Kind.DATE: as_plain_text,
    Kind.INSTANT: as_instant,
    Kind.LOCAL: as_local,
    Kind.TIME: as_plain_text,
    Kind.UUID: as_plain_text,
    Kind.BYTES: _bytes,
    Kind.JSON: as_document,
    Kind.HSTORE: _hstore,
    Kind.TEXT: as_text,
    Kind.FOREIGN: as_text,
}
