"""The schema as a typed decoder: it accepts a line only if jsonschema would, and says nothing about the others.

Types, nullability, required properties and keys, lengths and integer bounds are checked in C while decoding; a
property with other keywords is decoded as it is and put to jsonschema alone. The keys of the decoded value are
counted and compared with those of the line: where a key came twice, or one is not in the schema, the counts differ.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, NotRequired, Required, TypedDict, Union, get_args, get_origin

import msgspec

from singerkit_catalog.admitted import types_of
from singerkit_catalog.schema import may_take_long
from singerkit_check.schemas import Declared
from singerkit_check.values import keys_in
from singerkit_shell.signals import JUDGE_SECONDS, TooLong, stop_flag

__all__ = ["FastDecoder", "compile_fast"]

_INT64 = range(-(2**63), 2**63)
_TZ = msgspec.Meta(tz=True)
_FORMATS: dict[str, Any] = {"date-time": Annotated[datetime.datetime, _TZ], "date": datetime.date}
_CONSTRAINTS = frozenset(
    (
        *("$ref", "$dynamicRef", "$recursiveRef", "enum", "const", "pattern", "multipleOf", "divisibleBy"),
        *("minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains", "prefixItems"),
        *("minProperties", "maxProperties", "patternProperties", "propertyNames", "dependencies"),
        *("dependentRequired", "dependentSchemas", "if", "then", "else", "not", "allOf", "additionalItems"),
        *("unevaluatedProperties", "unevaluatedItems", "exclusiveMinimum", "exclusiveMaximum"),
        *("extends", "disallow"),
    )
)
_OF_TYPES = frozenset(
    (
        *("properties", "required", "additionalProperties", "items"),
        *("minLength", "maxLength", "minimum", "maximum"),
    )
)
_KEY_BEFORE_BLANK = re.compile(rb'"[ \t\r]+:')
_KEY_END, _QUOTED_KEY_END = b'":', b'\\":'


class _Inexpressible(Exception):
    """A schema that no msgspec type accepts exactly."""


@dataclass(frozen=True)
class FastDecoder:
    """``nested`` names properties that may hold objects, ``others`` properties that jsonschema looks at, ``may_take_long``
    when a value can make it look for ever."""

    decoder: msgspec.json.Decoder[Any]
    nested: tuple[str, ...]
    others: tuple[tuple[str, Any], ...]
    may_take_long: bool

    def decode(self, line: bytes) -> dict[str, Any] | None:
        """Return the message of a RECORD line that is in order, None for one that needs a closer look."""
        try:
            message: dict[str, Any] = self.decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError):
            return None
        record: dict[str, Any] = message["record"]
        keys = len(message) + len(record)
        for name in self.nested:
            value = record.get(name)
            if value.__class__ is dict or value.__class__ is list:
                keys += keys_in(value)
        if (b" :" in line or b"\t:" in line or b"\r:" in line) and _KEY_BEFORE_BLANK.search(line):
            return None
        found = line.count(_KEY_END)
        if found != keys and found - line.count(_QUOTED_KEY_END) != keys:
            return None
        return message if self._is_valid(record) else None

    def _is_valid(self, record: dict[str, Any]) -> bool:
        def judge() -> bool:
            return all(validator.is_valid(record[name]) for name, validator in self.others if name in record)

        if not self.may_take_long:
            return judge()
        try:
            return stop_flag.within(JUDGE_SECONDS, judge, "the stream was being checked.")
        except TooLong:
            return False  # the closer look says so


def compile_fast(
    declared: Declared,
    *,
    envelope: Collection[str],
    extra: Collection[str],
    lenient: Collection[str],
    replication_key: str | None,
) -> FastDecoder | None:
    """Return the decoder of a stream's RECORD lines, None where its schema has no such form.

    ``envelope`` and ``extra`` name further keys that messages and records are known to have, ``lenient`` the dates
    that are known not to be in order. The value of ``replication_key`` stays as it is written.
    """
    if declared.validator is None or declared.is_draft_3:
        return None
    schema = declared.schema
    if (set(schema) & (_CONSTRAINTS | {"anyOf", "oneOf"})) or schema.get(
        "type", "object"
    ) not in _OBJECT_TYPES:
        return None
    given = schema.get("properties", {})
    required = {*schema.get("required", ()), *declared.keys}
    fields: dict[str, Any] = {}
    nested: list[str] = []
    others: list[tuple[str, Any]] = []
    for name, value in given.items():
        typed = _property_type(declared, name, lenient, replication_key)
        if typed is None:
            others.append((name, _validator_of(declared, name)))
            typed = Any
        if typed is Any or _may_nest(value):
            nested.append(name)
        fields[name] = Required[typed] if name in required else NotRequired[typed]
    if not required <= set(given):
        return None
    if schema.get("additionalProperties", True) is True:
        fields |= {name: NotRequired[Any] for name in extra if name not in fields}
        nested += [name for name in extra if name not in given]
    return _made(fields, envelope, nested, others)


_OBJECT_TYPES = ("object", ["object"], ["object", "null"], ["null", "object"])


def _made(
    fields: dict[str, Any], envelope: Collection[str], nested: list[str], others: list[tuple[str, Any]]
) -> FastDecoder | None:
    message = {
        "type": Required[str],
        "stream": Required[str],
        "record": Required[TypedDict("Record", fields)],  # type: ignore[operator]
        "time_extracted": NotRequired[Annotated[datetime.datetime, _TZ] | None],
        "version": NotRequired[int | None],
    } | {name: NotRequired[str | int | float | bool | None] for name in envelope}
    try:
        decoder = msgspec.json.Decoder(TypedDict("Message", message), float_hook=Decimal)  # type: ignore[operator]
    except (TypeError, ValueError):
        return None
    is_slow = any(may_take_long(one.schema) for _, one in others)
    return FastDecoder(decoder, tuple(nested), tuple(others), is_slow)


def _validator_of(declared: Declared, name: str) -> Any:
    schema = declared.schema["properties"][name]
    is_key = name in declared.keys
    return declared.validator.evolve(
        schema={"allOf": [schema, {"not": {"type": "null"}}]} if is_key else schema
    )


def _property_type(
    declared: Declared, name: str, lenient: Collection[str], replication_key: str | None
) -> Any:
    """Return the type of a property, None where jsonschema has to look at it."""
    schema = declared.schema["properties"][name]
    if name == replication_key and "number" in str(schema):
        return None  # as a float it would lose digits, and bookmarks are compared with it
    is_plain = name in lenient or name == replication_key
    try:
        typed = _type_of(schema, {} if is_plain else _FORMATS)
        if name in declared.keys:
            typed = _never_null(typed)
        msgspec.json.Decoder(typed)
    except (_Inexpressible, TypeError, ValueError):
        return None
    return typed


def _may_nest(schema: Any) -> bool:
    text = str(schema)
    return "object" in text or "array" in text


def _never_null(typed: Any) -> Any:
    if typed is Any:
        raise _Inexpressible
    if get_origin(typed) in (Union, UnionType):
        return _union([part for part in get_args(typed) if part is not type(None)])
    return typed


def _union(parts: list[Any]) -> Any:
    if not parts:
        raise _Inexpressible
    made = parts[0]
    for part in parts[1:]:
        made = made | part
    return made


def _type_of(schema: Any, formats: Mapping[str, Any]) -> Any:
    """Return the msgspec type that accepts what ``schema`` accepts, or a little less, never more.

    ``formats`` has the types of text with a format; only those of top-level properties are looked at.

    Raises:
        _Inexpressible: there is none.
    """
    if schema is True:
        return Any
    if not isinstance(schema, Mapping) or set(schema) & _CONSTRAINTS:
        raise _Inexpressible
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return _either(schema, keyword, formats)
    types = schema.get("type")
    if types is None:
        if set(schema) & _OF_TYPES:
            raise _Inexpressible
        return Any
    names = [types] if isinstance(types, str) else list(dict.fromkeys(types))
    if "number" in names and "integer" in names:
        names.remove("integer")
    return _union([_one_type(name, schema, formats) for name in names])


def _either(schema: Mapping[str, Any], keyword: str, formats: Mapping[str, Any]) -> Any:
    """Return the union of branches that have no JSON type in common: then anyOf and oneOf are the same."""
    if "type" in schema or set(schema) & (_OF_TYPES | {"anyOf", "oneOf"} - {keyword}):
        raise _Inexpressible
    seen: set[str] = set()
    parts = []
    for branch in schema[keyword]:
        names = types_of(branch)
        if not names or names & seen:
            raise _Inexpressible
        seen |= names | ({"integer", "number"} if names & {"integer", "number"} else set())
        parts.append(_type_of(branch, formats))
    return _union(parts)


def _one_type(name: str, schema: Mapping[str, Any], formats: Mapping[str, Any]) -> Any:
    match name:
        case "null":
            return type(None)
        case "boolean":
            return bool
        case "integer":
            return _integer(schema)
        case "number":
            if "minimum" in schema or "maximum" in schema:
                raise _Inexpressible  # a float near the bound may have been rounded over it
            return float
        case "string":
            return _string(schema, formats)
        case "array":
            return _array(schema)
        case "object":
            return _object(schema)
        case _:
            raise _Inexpressible


def _integer(schema: Mapping[str, Any]) -> Any:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and high is None:
        return int
    if any(bound is not None and (type(bound) is not int or bound not in _INT64) for bound in (low, high)):
        raise _Inexpressible
    return Annotated[int, msgspec.Meta(ge=low, le=high)]


def _string(schema: Mapping[str, Any], formats: Mapping[str, Any]) -> Any:
    shortest, longest = schema.get("minLength"), schema.get("maxLength")
    form = schema.get("format")
    special = formats.get(form) if isinstance(form, str) else None
    if shortest is None and longest is None:
        return str if special is None else special
    if special is not None or any(type(size) not in (int, type(None)) for size in (shortest, longest)):
        raise _Inexpressible
    return Annotated[str, msgspec.Meta(min_length=shortest, max_length=longest)]


def _array(schema: Mapping[str, Any]) -> Any:
    items = schema.get("items", True)
    if isinstance(items, list):
        raise _Inexpressible
    item: Any = _type_of(items, {})
    return list[item]


def _object(schema: Mapping[str, Any]) -> Any:
    properties, required = schema.get("properties") or {}, set(schema.get("required", ()))
    more = schema.get("additionalProperties", True)
    if not isinstance(properties, Mapping) or not required <= set(properties):
        raise _Inexpressible
    if not properties:
        value: Any = _type_of(more, {})
        return dict[str, value]
    # What is not in `properties` is dropped here, is missed when the keys are counted, and goes to jsonschema.
    fields = {
        name: Required[_type_of(value, {})] if name in required else NotRequired[_type_of(value, {})]
        for name, value in properties.items()
    }
    return TypedDict("Object", fields)  # type: ignore[operator]
