"""From a schema of Avro to the JSON Schema of its values, and to what makes those of what fastavro reads.

fastavro reads by a schema without logical types, since it makes Python's dates and decimals of them, which end at year 9999 and at 28
digits. Each of several branches of a union is read as a record of one field, which has the same bytes and tells which it was.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any

from singerkit_wire.momenttexts import clock_text, day_text, moment_text
from tap_files.formats.contract import UnreadableFile

__all__ = ["ANY_JSON", "OddNumber", "Type", "type_of"]

Convert = Callable[[Any], Any]

ANY_JSON = ["null", "boolean", "number", "string", "array", "object"]
"""The types of a value that may be any JSON."""
_SMALLEST_NORMAL = 2.0**-126
"""Singles below it have fewer than six digits that they keep."""
_DEEPEST = 100
"""How many types may stand inside each other."""


class OddNumber(Exception):
    """A number is NaN or infinite, and such a one is not to be sent."""


class Type:
    """What values of one type are: ``read``, the schema by which fastavro reads them; ``schema``, what their JSON is; ``convert``, what makes it
    of what was read, None where that is JSON already."""

    __slots__ = ("convert", "read", "schema")

    def __init__(self, read: Any, schema: Mapping[str, Any], convert: Convert | None = None) -> None:
        self.read, self.schema, self.convert = read, schema, convert


def type_of(avro: Any, odd: Convert) -> Type:
    """Return what a schema of Avro says. ``odd`` is given each NaN and infinite number, and returns what is sent.

    Raises:
        UnreadableFile: it is none.
    """
    try:
        return _Types(odd).of(avro, "")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UnreadableFile(
            f"Expected a schema of Avro in the header, got one that is none ({type(error).__name__} at {str(error)[:100]}); have the file written anew."
        ) from None


class _Types:
    def __init__(self, odd: Convert) -> None:
        self._odd = odd
        self._named: dict[str, Type | None] = {}
        """The types that have a name; None: one that is still being read, which stands inside of itself."""
        self._branches = 0
        self._depth = 0

    def of(self, avro: Any, space: str) -> Type:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} types inside each other")
        try:
            return self._of(avro, space)
        finally:
            self._depth -= 1

    def _of(self, avro: Any, space: str) -> Type:
        if isinstance(avro, list):
            return self._union(avro, space)
        if isinstance(avro, str):
            return self._primitive(avro, {}) if avro in _PRIMITIVES else self._known(avro, space)
        kind = avro["type"]
        if isinstance(kind, dict | list):
            return self.of(kind, space)
        if kind in _PRIMITIVES:
            return self._primitive(kind, avro)
        if kind == "array":
            items = self.of(avro["items"], space)
            if _is_empty(items.read):
                raise ValueError("an array of values that take no bytes")
            schema = {"type": ["null", "array"], "items": items.schema}
            return Type({"type": "array", "items": items.read}, schema, _of_each(items.convert))
        if kind == "map":
            values = self.of(avro["values"], space)
            schema = {"type": ["null", "object"], "additionalProperties": values.schema}
            return Type({"type": "map", "values": values.read}, schema, _of_values(values.convert))
        if kind in ("record", "error"):
            return self._record(avro, space)
        if kind in ("enum", "fixed"):
            return self._simple_named(avro, kind, space)
        return self._known(kind, space)

    def _primitive(self, kind: str, said: Mapping[str, Any]) -> Type:
        if kind in ("float", "double"):
            return Type(kind, _PRIMITIVES[kind], self._single if kind == "float" else self._double)
        logical = said.get("logicalType")
        if kind == "bytes" and logical == "decimal":
            scale = int(said.get("scale", 0))
            if _is_decimal(said):
                return Type(kind, {"type": ["null", "number"]}, lambda value: _decimal(value, scale))
        schema, convert = _LOGICAL.get((kind, logical), (_PRIMITIVES[kind], None))
        return Type(kind, schema, convert)

    def _double(self, value: float) -> Any:
        return value if isfinite(value) else self._odd(value)

    def _single(self, value: float) -> Any:
        if not isfinite(value):
            return self._odd(value)
        least = 6 if abs(value) >= _SMALLEST_NORMAL else 1
        texts = (f"{value:.{digits}g}" for digits in range(least, 10))
        return next(float(text) for text in texts if _is_single(text, value))

    def _known(self, name: str, space: str) -> Type:
        full = name if "." in name or not space else f"{space}.{name}"
        full = full if full in self._named else name
        found = self._named[full]
        if found is not None:
            return Type(full, found.schema, found.convert)

        def convert(value: Any) -> Any:
            inside = self._named[full]
            return value if inside is None or inside.convert is None else inside.convert(value)

        return Type(full, {"type": ANY_JSON}, convert)

    def _record(self, avro: Mapping[str, Any], space: str) -> Type:
        full, space = _name_of(avro, space)
        self._named[full] = None
        fields = {str(field["name"]): self.of(field["type"], space) for field in avro["fields"]}
        if len(fields) < len(avro["fields"]):
            raise ValueError(f"two fields of `{full}` with one name")
        read = {
            "type": "record",
            "name": full,
            "fields": [{"name": name, "type": one.read} for name, one in fields.items()],
        }
        properties = {name: one.schema for name, one in fields.items()}
        changed = [(name, one.convert) for name, one in fields.items() if one.convert is not None]

        def convert(record: dict[str, Any]) -> dict[str, Any]:
            for name, make in changed:
                record[name] = make(record[name])
            return record

        made = Type(
            read, {"type": ["null", "object"], "properties": properties}, convert if changed else None
        )
        self._named[full] = made
        return made

    def _simple_named(self, avro: Mapping[str, Any], kind: str, space: str) -> Type:
        full, _ = _name_of(avro, space)
        if kind == "enum":
            made = Type({"type": "enum", "name": full, "symbols": avro["symbols"]}, _PRIMITIVES["string"])
        else:
            size = int(avro["size"])
            if not 0 < size < 1 << 24:
                raise ValueError(f"{size} bytes of `{full}`")
            schema, convert = self._of_fixed(avro, size)
            made = Type({"type": "fixed", "name": full, "size": size}, schema, convert)
        self._named[full] = made
        return made

    @staticmethod
    def _of_fixed(avro: Mapping[str, Any], size: int) -> tuple[Mapping[str, Any], Convert | None]:
        logical = avro.get("logicalType")
        if logical == "decimal" and _is_decimal(avro):
            scale = int(avro.get("scale", 0))
            return {"type": ["null", "number"]}, lambda value: _decimal(value, scale)
        if logical == "duration" and size == 12:
            return _TEXT, _months_days_millis
        if logical == "uuid" and size == 16:
            return {**_TEXT, "format": "uuid"}, lambda value: str(uuid.UUID(bytes=value))
        return _PRIMITIVES["bytes"], None

    def _union(self, avro: Sequence[Any], space: str) -> Type:
        branches = [self.of(branch, space) for branch in avro]
        telling = [branch for branch in branches if branch.read != "null"]
        if len(telling) == 1:
            only = telling[0]
            return Type([branch.read for branch in branches], only.schema, _or_null(only.convert))
        read: list[Any] = []
        converts: dict[str, Convert | None] = {}
        for branch in branches:
            if branch.read == "null":
                read.append("null")
                continue
            self._branches += 1
            name = f"singerkit_branch_{self._branches}"
            converts[name] = branch.convert
            read.append({"type": "record", "name": name, "fields": [{"name": name, "type": branch.read}]})

        def convert(value: Any) -> Any:
            if value is None:
                return None
            ((name, found),) = value.items()
            make = converts[name]
            return found if make is None else make(found)

        return Type(read, _either([branch.schema for branch in telling]), convert)


def _either(schemas: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    types = {kind for schema in schemas for kind in schema["type"]}
    types -= {"integer"} if "number" in types else set()
    if all(schema == schemas[0] for schema in schemas[1:]) and schemas:
        return schemas[0]
    order = ["null", "boolean", "integer", "number", "string", "array", "object"]
    return {"type": sorted({"null", *types}, key=order.index)}


def _name_of(avro: Mapping[str, Any], space: str) -> tuple[str, str]:
    name = str(avro["name"])
    if "." in name:
        return name, name.rpartition(".")[0]
    space = str(avro.get("namespace", space))
    return f"{space}.{name}" if space else name, space


def _is_empty(read: Any) -> bool:
    """Tell whether values of a type take no bytes, so that a file may claim any number of them."""
    if read == "null":
        return True
    return (
        isinstance(read, dict)
        and read["type"] == "record"
        and all(_is_empty(one["type"]) for one in read["fields"])
    )


def _is_decimal(said: Mapping[str, Any]) -> bool:
    """Tell whether scale and precision are those of a decimal; Avro takes others for the bytes that they stand in."""
    precision, scale = said.get("precision"), said.get("scale", 0)
    return isinstance(precision, int) and isinstance(scale, int) and 0 <= scale <= precision and precision > 0


def _decimal(value: bytes, scale: int) -> Decimal:
    return Decimal(f"{int.from_bytes(value, 'big', signed=True)}E-{scale}")


def _is_single(text: str, value: float) -> bool:
    try:
        found = struct.unpack("f", struct.pack("f", float(text)))[0]
    except OverflowError:
        return False
    return bool(found == value)


def _months_days_millis(value: bytes) -> str:
    months, days, millis = struct.unpack("<III", value)
    seconds = f"{millis // 1000}.{millis % 1000:03}".rstrip("0").rstrip(".")
    return f"P{months}M{days}DT{seconds}S"


def _of_each(convert: Convert | None) -> Convert | None:
    return None if convert is None else lambda values: [convert(value) for value in values]


def _of_values(convert: Convert | None) -> Convert | None:
    return (
        None if convert is None else lambda values: {name: convert(value) for name, value in values.items()}
    )


def _or_null(convert: Convert | None) -> Convert | None:
    return None if convert is None else lambda value: None if value is None else convert(value)


_TEXT: Mapping[str, Any] = {"type": ["null", "string"]}
_PRIMITIVES: Mapping[str, Mapping[str, Any]] = {
    "null": {"type": ["null"]},
    "boolean": {"type": ["null", "boolean"]},
    "int": {"type": ["null", "integer"]},
    "long": {"type": ["null", "integer"]},
    "float": {"type": ["null", "number"], "format": "double"},
    "double": {"type": ["null", "number"], "format": "double"},
    "bytes": {**_TEXT, "contentEncoding": "base64"},
    "string": _TEXT,
}


def _moments(unit: str, zone: str) -> tuple[Mapping[str, Any], Convert]:
    return {**_TEXT, "format": "date-time"}, lambda value: moment_text(value, unit) + zone


_LOGICAL: Mapping[tuple[str, Any], tuple[Mapping[str, Any], Convert | None]] = {
    ("string", "uuid"): ({**_TEXT, "format": "uuid"}, None),
    ("int", "date"): ({**_TEXT, "format": "date"}, day_text),
    ("int", "time-millis"): ({**_TEXT, "format": "time"}, lambda value: clock_text(value, "ms")),
    ("long", "time-micros"): ({**_TEXT, "format": "time"}, lambda value: clock_text(value, "us")),
    **{
        ("long", f"{local}timestamp-{name}"): _moments(unit, zone)
        for local, zone in (("", "Z"), ("local-", ""))
        for name, unit in (("millis", "ms"), ("micros", "us"), ("nanos", "ns"))
    },
}
