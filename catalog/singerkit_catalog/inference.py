"""A JSON Schema from records: every record of several pages counts, not the first few.

    inference = SchemaInference()
    for page in pages:
        inference.observe(page)
    schema = inference.schema(key_properties=["id"])

What comes out allows every record that went in. An integer that is a decimal elsewhere is a ``number``; other
types that disagree become a list of types. A ``format`` is given only when every value of the field has it, and there are
enough of them, since a column that is made for it takes nothing else:
``date-time`` (with an offset, so that the instant is certain), ``date``, ``time`` (without one), ``uuid`` (in lower
case, as databases print it). All but the keys may be null, since a sample never shows that a field cannot be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any, NoReturn

import msgspec

__all__ = ["FORMATS", "SchemaInference", "merge_schemas"]

DEPTH_LIMIT = 20
"""Objects and arrays below this depth are described by their type alone."""

MAP_SIZE = 200
"""A nested object with more different property names than this is a map: its properties are not listed."""

_ORDER = ("boolean", "integer", "number", "string", "array", "object")

_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?"
_FORMATS = {
    "date-time": re.compile(rf"{_DATE}[Tt]{_CLOCK}(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"),
    "date": re.compile(_DATE),
    "time": re.compile(_CLOCK),
    "uuid": re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"),
}

FORMATS = frozenset(_FORMATS)
"""Those that are given."""

_HALF = re.compile("[\ud800-\udfff]")
# Of a number only its type counts; by itself msgspec refuses one that is beyond all floats.
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=float)


class SchemaInference:
    """Collects what the fields of a stream's records look like."""

    def __init__(self) -> None:
        self._root = _Node()
        self.records = 0
        """Records seen."""

    def observe(self, records: Iterable[msgspec.Raw | bytes | bytearray | memoryview]) -> None:
        """Look at raw JSON records; what is no object, or no JSON, is left to the reader."""
        for record in records:
            value = _read(record)
            if isinstance(value, dict):
                self.records += 1
                self._root.add(value, 0)

    @property
    def names_without_text(self) -> set[str]:
        """Names of fields that hold half a character (a lone surrogate); they are in no schema."""
        return self._root.odd_names

    def schema(
        self,
        key_properties: Sequence[str] = (),
        *,
        format_values: int = 1,
        known: Mapping[str, Any] | None = None,
        formats_at_once: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Return the schema of an object; ``key_properties`` do not allow null.

        So many values of a field, ``format_values``, give it a format; one is enough for those of ``formats_at_once``, by field, and
        for a field that has a format in ``known``, the schema of records before these.
        """
        before = _inside(known, "properties")
        properties = {
            name: node.schema(
                format_values,
                before.get(name),
                formats_at_once.get(name, ()),
                is_nullable=name not in key_properties or node.is_null,
            )
            for name, node in self._root.properties.items()
        }
        return {"type": "object", "properties": properties}


def _read(record: msgspec.Raw | bytes | bytearray | memoryview) -> Any:
    """Decode a record; None where it is no JSON."""
    try:
        return _decoder.decode(record)
    except (msgspec.DecodeError, RecursionError):
        pass
    # Half a character, a number of thousands of digits: JSON that msgspec does not read, with fields like all others.
    try:
        return json.loads(bytes(record), parse_int=lambda _: 0, parse_float=float, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


class _Node:
    """What is known of the values at one place."""

    def __init__(self) -> None:
        self.is_null = False
        self.types: set[str] = set()
        self.formats: set[str] | None = None
        self.texts = 0
        self.properties: dict[str, _Node] = {}
        self.is_map = False
        self.items: _Node | None = None
        self.odd_names: set[str] = set()

    def add(self, value: Any, depth: int) -> None:
        if value is None:
            self.is_null = True
        elif isinstance(value, bool):
            self.types.add("boolean")
        elif isinstance(value, int):
            self.types.add("integer")
        elif isinstance(value, float):
            self.types.add("number")
        elif isinstance(value, str):
            self._add_text(value)
        elif isinstance(value, list):
            self._add_array(value, depth)
        else:
            self._add_object(value, depth)

    def _add_text(self, value: str) -> None:
        self.types.add("string")
        self.texts += 1
        candidates = _FORMATS if self.formats is None else self.formats
        self.formats = {name for name in candidates if _has_format(value, name)}

    def _add_array(self, values: list[Any], depth: int) -> None:
        self.types.add("array")
        if not values or depth >= DEPTH_LIMIT:
            return
        if self.items is None:
            self.items = _Node()
        for value in values:
            self.items.add(value, depth + 1)

    def _add_object(self, members: Mapping[str, Any], depth: int) -> None:
        self.types.add("object")
        if self.is_map or depth >= DEPTH_LIMIT:
            return
        for name, value in members.items():
            if not name.isascii() and _HALF.search(name):
                self.odd_names.add(name)
                continue
            self.properties.setdefault(name, _Node()).add(value, depth + 1)
        if depth and len(self.properties) > MAP_SIZE:
            self.is_map = True
            self.properties = {}

    def schema(
        self, format_values: int, known: Any, at_once: Collection[str] = (), *, is_nullable: bool = True
    ) -> dict[str, Any]:
        types = self.types - ({"integer"} if "number" in self.types else set())
        names = [name for name in _ORDER if name in types]
        schema: dict[str, Any] = {"type": _type_value(names, is_nullable=is_nullable)}
        if self.formats and types == {"string"}:
            found = min(self.formats)
            has_one = isinstance(known, Mapping) and "format" in known
            if has_one or self.texts >= format_values or found in at_once:
                schema["format"] = found
        if self.properties:
            before = _inside(known, "properties")
            schema["properties"] = {
                name: node.schema(format_values, before.get(name)) for name, node in self.properties.items()
            }
        if self.items is not None:
            schema["items"] = self.items.schema(format_values, _inside(known, "items"))
        return schema


def _inside(schema: Any, keyword: str) -> Mapping[str, Any]:
    found = schema.get(keyword) if isinstance(schema, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _type_value(names: Sequence[str], *, is_nullable: bool) -> str | list[str]:
    if is_nullable:
        return ["null", *names]
    return names[0] if len(names) == 1 else list(names)


def _has_format(value: str, name: str) -> bool:
    match = _FORMATS[name].fullmatch(value)
    if match is None:
        return False
    if name not in ("date", "date-time"):
        return True
    try:
        date(*map(int, match.groups()))
    except ValueError:
        return False
    return True


def merge_schemas(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that allows what either of two inferred schemas allows.

    For schemas of the shape `SchemaInference` gives (``type``, ``format``, ``properties``, ``items``); other
    keywords are those of ``first``.
    """
    if first == second or not second or _is_unknown(second):
        return dict(first or second)
    if not first or _is_unknown(first):
        return dict(second)
    types = {*_names(first), *_names(second)}
    merged: dict[str, Any] = {key: value for key, value in first.items() if key != "format"}
    merged["type"] = _merged_type(types)
    formats = {schema.get("format") for schema in (first, second) if "string" in _names(schema)}
    if len(formats) == 1 and None not in formats and types <= {"null", "string"}:
        merged["format"] = formats.pop()
    for keyword, combine in (("properties", _merge_properties), ("items", merge_schemas)):
        parts = [schema[keyword] for schema in (first, second) if isinstance(schema.get(keyword), Mapping)]
        if parts:
            merged[keyword] = combine(parts[0], parts[-1])
    return merged


def _merge_properties(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    names = {**first, **second}
    return {name: merge_schemas(first.get(name, {}), second.get(name, {})) for name in names}


def _is_unknown(schema: Mapping[str, Any]) -> bool:
    """Tell whether a field was never anything but null, so that any other sight of it says more."""
    return _names(schema) == ["null"]


def _names(schema: Mapping[str, Any]) -> list[str]:
    declared = schema.get("type", ())
    return [declared] if isinstance(declared, str) else list(declared)


def _merged_type(types: set[str]) -> str | list[str]:
    if "number" in types:
        types = types - {"integer"}
    names = [name for name in _ORDER if name in types]
    return _type_value(names, is_nullable="null" in types)
