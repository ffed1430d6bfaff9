"""The schema as a typed decoder: it accepts a line only if jsonschema would, and says nothing about the others.

Types, nullability, required properties and keys, lengths and integer bounds are checked in C while decoding; a
property with other keywords is decoded as it is and put to jsonschema alone. The keys of the decoded value are
counted and compared with those of the line: where a key came twice, or one is not in the schema, the counts differ.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, NotRequired, Required, TypedDict, Union, get_args, get_origin

import msgspec

from singerkit_catalog.compiled import Field, Inexpressible, Style, compiled
from singerkit_catalog.schema import may_take_long
from singerkit_check.schemas import Declared
from singerkit_check.values import keys_in
from singerkit_shell.signals import JUDGE_SECONDS, TooLong, stop_flag

__all__ = ["FastDecoder", "compile_fast"]

_TZ = msgspec.Meta(tz=True)
_FORMATS: dict[str, Any] = {"date-time": Annotated[datetime.datetime, _TZ], "date": datetime.date}
_CONSTRAINTS = frozenset(
    (
        *("$ref", "$dynamicRef", "$recursiveRef", "enum", "const", "pattern", "multipleOf", "divisibleBy"),
        *("minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains", "prefixItems"),
        *("minProperties", "maxProperties", "patternProperties", "propertyNames", "dependencies"),
        *("dependentRequired", "dependentSchemas", "if", "then", "else", "not", "allOf", "additionalItems"),
        *("unevaluatedProperties", "unevaluatedItems", "exclusiveMinimum", "exclusiveMaximum"),
        *("extends", "disallow", "anyOf", "oneOf"),
    )
)
"""Keywords that may say something about a whole record."""
_KEY_BEFORE_BLANK = re.compile(rb'"[ \t\r]+:')
_KEY_END, _QUOTED_KEY_END = b'":', b'\\":'


def _typed_dict(fields: Sequence[Field], _additional: Any) -> Any:
    """A dict: what is not among its fields is dropped, is missed when the keys are counted, and goes to jsonschema."""
    return TypedDict(  # type: ignore[operator]  # made from a dict
        "Object",
        {one.name: Required[one.type] if one.is_required else NotRequired[one.type] for one in fields},
    )


# A pattern may take long, and a float near a bound may have been rounded over it.
_PLAIN = Style(
    anything=Any,
    bounds=frozenset({"minLength", "maxLength", "minimum", "maximum"}),
    bounded_numbers=False,
    object_of=_typed_dict,
)
_TOP = replace(_PLAIN, formats=_FORMATS, below=_PLAIN)


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
    if set(schema) & _CONSTRAINTS or schema.get("type", "object") not in _OBJECT_TYPES:
        return None
    given = schema.get("properties", {})
    required = {*schema.get("required", ()), *declared.keys}
    fields: dict[str, Any] = {}
    nested: list[str] = []
    others: list[tuple[str, Any]] = []
    for name, value in given.items():
        typed = _property_type(declared, name, lenient, replication_key)
        if typed is None:
            if _is_date(value) and name not in lenient and name != replication_key:
                return None  # jsonschema passes over a format, which the closer look judges
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
        typed = compiled(schema, _PLAIN if is_plain else _TOP)
        if name in declared.keys:
            typed = _never_null(typed)
        msgspec.json.Decoder(typed)
    except (Inexpressible, TypeError, ValueError):
        return None
    return typed


def _is_date(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("format") in _FORMATS


def _may_nest(schema: Any) -> bool:
    text = str(schema)
    return "object" in text or "array" in text


def _never_null(typed: Any) -> Any:
    if typed is Any:
        raise Inexpressible
    if get_origin(typed) in (Union, UnionType):
        return reduce(or_, [part for part in get_args(typed) if part is not type(None)])
    return typed
