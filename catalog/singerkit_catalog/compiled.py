"""A JSON Schema as a msgspec type: the one answer to what can be judged in C while a value is decoded.

The type accepts what the schema accepts, or a little less, never more; jsonschema judges what it refuses. Who decodes says
in a `Style` what becomes of values, and which keywords its jsonschema is to judge all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from singerkit_catalog.admitted import json_types, types_of

__all__ = [
    "ANNOTATIONS",
    "BOUNDS",
    "Field",
    "Inexpressible",
    "Style",
    "compiled",
    "is_annotation",
    "literal",
    "struct",
    "within",
]

ANNOTATIONS = frozenset(
    (
        *("title", "description", "default", "examples", "example", "$comment", "$id", "id", "$schema"),
        *("selected", "inclusion", "format", "contentEncoding", "contentMediaType"),
        *("readOnly", "writeOnly", "deprecated", "nullable"),
    )
)
"""Keywords that say nothing about validity."""
BOUNDS: Mapping[str, str] = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
}
"""Keywords that msgspec has as well, under its own names."""
_OF_TEXT = ("minLength", "maxLength", "pattern")
_OF_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_STRUCTURE = frozenset({"type", "properties", "required", "additionalProperties", "items", "enum", "const"})
_BRANCHES = ("anyOf", "oneOf")
_BEYOND_DOUBLE = 10**308
_TYPES = 7


class Inexpressible(Exception):
    """msgspec has no type for this schema; jsonschema has to judge."""


@dataclass(frozen=True)
class Field:
    """A property of an object that is decoded."""

    name: str
    type: Any
    is_required: bool


def struct(fields: Sequence[Field], additional: Any) -> Any:
    """Return a Struct of the fields, with attributes ``f0``, ``f1`` and so on; one that is missing is UNSET.

    ``additional``: the schema's ``additionalProperties``, None where it says nothing.
    """
    if additional not in (None, True, False, {}):
        raise Inexpressible("additionalProperties")
    return msgspec.defstruct(
        "Object",
        [
            (f"f{i}", one.type) if one.is_required else (f"f{i}", one.type | UnsetType, UNSET)
            for i, one in enumerate(fields)
        ],
        rename={f"f{i}": one.name for i, one in enumerate(fields)},
        forbid_unknown_fields=additional is False,
        kw_only=True,
        gc=False,
    )


@dataclass(frozen=True)
class Style:
    """How values are decoded.

    ``anything``: the type of a value that may be any JSON. ``bounds``: the keywords of `BOUNDS` that msgspec may judge, of
    ``bounded_numbers`` also those of numbers, which it compares as floats. ``formats``: types of text that has a format.
    ``below``: the style of what lies inside, if it is another one. ``object_of`` makes the type of an object.
    """

    anything: Any = Raw
    bounds: frozenset[str] = frozenset(BOUNDS)
    bounded_numbers: bool = True
    formats: Mapping[str, Any] = field(default_factory=dict)
    below: Style | None = None
    object_of: Callable[[Sequence[Field], Any], Any] = struct

    @property
    def inside(self) -> Style:
        return self.below or self


def is_annotation(keyword: str) -> bool:
    return keyword in ANNOTATIONS or keyword.startswith("x-")


def compiled(schema: Any, style: Style) -> Any:
    """Return the type that accepts what ``schema`` accepts.

    Raises:
        Inexpressible: there is none. TypeError and ValueError come from msgspec, here or when its decoder is made, where a
            bound, a name or a pattern is none that it knows.
    """
    if schema is True:
        return style.anything
    if not isinstance(schema, Mapping):
        raise Inexpressible(schema)
    keywords = {key for key in schema if not is_annotation(key)}
    for keyword in _BRANCHES:
        if keywords == {keyword}:
            return _either(schema[keyword], style)
    if not keywords <= _STRUCTURE | style.bounds:
        raise Inexpressible(keywords)
    types = json_types(schema)
    if keywords & {"enum", "const"}:
        return _choice(schema, keywords, types)
    if keywords <= {"type"} and len(types) == _TYPES:
        return style.anything
    if "number" in types:
        types -= {"integer"}
    _check_patterns([schema], types)
    return _any_of(_alternative(name, schema, style) for name in sorted(types))


def _either(branches: Any, style: Style) -> Any:
    """Return the union of branches that have no JSON type in common: then anyOf and oneOf are the same."""
    seen: set[str] = set()
    for branch in branches:
        names = types_of(branch)
        if not names or names & seen:
            raise Inexpressible(branches)
        seen |= names | ({"integer", "number"} if names & {"integer", "number"} else set())
    _check_patterns(branches, seen)
    return _any_of(compiled(branch, style) for branch in branches)


def _check_patterns(schemas: Iterable[Any], types: Collection[str]) -> None:
    """msgspec (0.22) ends the process when a decoder goes whose text has a pattern and may be an array or object instead."""
    if not {"array", "object"}.isdisjoint(types) and any("pattern" in schema for schema in schemas):
        raise Inexpressible("a pattern beside an array or an object")


def _any_of(types: Iterable[Any]) -> Any:
    found = list(types)
    if not found:
        raise Inexpressible("no value at all")
    return reduce(or_, found)


def _choice(schema: Mapping[str, Any], keywords: set[str], types: frozenset[str]) -> Any:
    if not types <= {"string", "null"}:
        raise Inexpressible(keywords)
    chosen = literal(schema, keywords - {"type"})
    return chosen | None if "null" in types and None in schema.get("enum", [None]) else chosen


def literal(schema: Mapping[str, Any], keywords: set[str]) -> Any:
    """Return the type of text that is one of ``enum``, or ``const``."""
    if keywords not in ({"enum"}, {"const"}):
        raise Inexpressible(keywords)
    values = [schema["const"]] if "const" in schema else list(schema["enum"])
    known = [value for value in values if value is not None]
    if not known or not all(isinstance(value, str) for value in known):
        raise Inexpressible(values)
    return Literal[tuple(known)]


def _alternative(json_type: str, schema: Mapping[str, Any], style: Style) -> Any:
    match json_type:
        case "null":
            return type(None)  # not None, which stands for any JSON
        case "boolean":
            return bool
        case "integer":
            return _bounded(int, schema, _OF_NUMBERS)
        case "number":
            if not style.bounded_numbers and not schema.keys().isdisjoint(_OF_NUMBERS):
                raise Inexpressible("a float near the bound may have been rounded over it")
            return _bounded(float, schema, _OF_NUMBERS)
        case "string":
            return _text(schema, style)
        case "array":
            return list[compiled(schema.get("items", True), style.inside)]  # type: ignore[misc]  # made here
        case "object":
            return _object(schema, style)
        case _:
            raise Inexpressible(json_type)


def _text(schema: Mapping[str, Any], style: Style) -> Any:
    format_ = schema.get("format")
    special = style.formats.get(format_) if isinstance(format_, str) else None
    if special is None:
        return _bounded(str, schema, _OF_TEXT)
    if not schema.keys().isdisjoint(_OF_TEXT):
        raise Inexpressible("a format beside a bound")
    return special


def _bounded(base: Any, schema: Mapping[str, Any], keywords: Sequence[str]) -> Any:
    return within(base, {BOUNDS[key]: schema[key] for key in keywords if key in schema})


def within(base: Any, bounds: Mapping[str, Any]) -> Any:
    """Return ``base`` narrowed by the bounds of `Meta`."""
    if any(isinstance(bound, int) and abs(bound) >= _BEYOND_DOUBLE for bound in bounds.values()):
        raise Inexpressible("msgspec reads such a bound as a double, and trips over it")
    return Annotated[base, Meta(**bounds)] if bounds else base


def _object(schema: Mapping[str, Any], style: Style) -> Any:
    additional = schema.get("additionalProperties")
    properties = schema.get("properties") or {}
    required = set(schema.get("required", ()))
    if not isinstance(properties, Mapping) or not required <= set(properties):
        raise Inexpressible("required")
    if not properties:
        return dict[str, compiled(True if additional is None else additional, style.inside)]  # type: ignore[misc]  # made here
    fields = [Field(name, compiled(one, style.inside), name in required) for name, one in properties.items()]
    return style.object_of(fields, additional)
