"""JSON Schema keywords as msgspec types: what msgspec can check in C. Anything else is `Unsupported`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from singerkit_catalog.admitted import json_types

__all__ = ["Unsupported", "bounded_integer", "bounds_numbers", "constrained", "nested_type"]

# Keywords that say nothing about validity, or that are handled by name below.
_ANNOTATIONS = frozenset(
    {
        "title",
        "description",
        "default",
        "examples",
        "example",
        "$comment",
        "$id",
        "id",
        "selected",
        "inclusion",
    }
    | {"format", "contentEncoding", "contentMediaType", "readOnly", "writeOnly", "deprecated", "nullable"}
)
_STRUCTURE = frozenset({"type", "properties", "required", "additionalProperties", "items", "enum", "const"})
_BOUNDS: Mapping[str, str] = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
}
_NUMERIC_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_TEXT_BOUNDS = frozenset({"minLength", "maxLength", "pattern"})

_BEYOND_DOUBLE = 10**308


class Unsupported(Exception):
    """msgspec cannot express this schema; jsonschema has to judge."""


def _is_annotation(keyword: str) -> bool:
    return keyword in _ANNOTATIONS or keyword.startswith("x-")


def constrained(base: Any, schema: Mapping[str, Any]) -> Any:
    """Return ``base`` narrowed by the keywords of a scalar property schema.

    Raises:
        Unsupported: a keyword has no counterpart.
    """
    keywords = {key for key in schema if not _is_annotation(key)} - {"type"}
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches and keywords <= {"anyOf", "oneOf"}:
        return _one_constrained_branch(base, branches)
    if keywords & {"enum", "const"}:
        if base is not str:
            raise Unsupported("the text of a parsed value")
        return _literal(schema, keywords)
    if not keywords <= (_NUMERIC_BOUNDS | _TEXT_BOUNDS):
        raise Unsupported(keywords)
    if base is bool:
        return base
    applicable = _NUMERIC_BOUNDS if base in (int, float) else _TEXT_BOUNDS
    if base not in (int, float, str) and keywords & applicable:
        raise Unsupported("the text of a parsed value")
    bounds = {_BOUNDS[key]: schema[key] for key in keywords & applicable}
    return _within(base, bounds)


def bounded_integer(schema: Mapping[str, Any], lowest: int, highest: int) -> Any:
    """Return int within the schema's bounds and [lowest, highest]."""
    narrowed = constrained(int, schema)
    if narrowed is int:
        return Annotated[int, Meta(ge=lowest, le=highest)]
    (meta,) = narrowed.__metadata__
    given = {
        name: getattr(meta, name) for name in ("ge", "gt", "le", "lt") if getattr(meta, name) is not None
    }
    if not {"ge", "gt"} & set(given):
        given["ge"] = lowest
    if not {"le", "lt"} & set(given):
        given["le"] = highest
    return Annotated[int, Meta(**given)]


def _one_constrained_branch(base: Any, branches: list[Any]) -> Any:
    """``anyOf: [{type: string, ...}, {type: null}]`` is the usual way to write a nullable property."""
    telling = [
        branch for branch in branches if isinstance(branch, Mapping) and json_types(branch) != {"null"}
    ]
    if len(telling) == 1:
        return constrained(base, telling[0])
    if all(not ({*branch} - {"type"} - _ANNOTATIONS) for branch in telling):
        return base
    raise Unsupported(branches)


def _literal(schema: Mapping[str, Any], keywords: set[str]) -> Any:
    values = [schema["const"]] if "const" in schema else list(schema["enum"])
    if keywords not in ({"enum"}, {"const"}):
        raise Unsupported(keywords)
    known = [value for value in values if value is not None]
    if not known or not all(isinstance(value, str) for value in known):
        raise Unsupported(values)
    return Literal[tuple(known)]


def nested_type(schema: Mapping[str, Any]) -> Any:
    """Return the msgspec type that admits what a nested schema admits, or None when it admits any JSON.

    Raises:
        Unsupported: msgspec cannot express it.
    """
    types = json_types(schema)
    if not ({key for key in schema if not _is_annotation(key)} - {"type"}) and _admits_all(types):
        return None
    return _type_of(schema)


def bounds_numbers(schema: Any) -> bool:
    """Tell whether `nested_type` has a number with a bound, which is compared as a float."""
    if isinstance(schema, Mapping):
        is_one = bool(_NUMERIC_BOUNDS & schema.keys()) and "number" in json_types(schema)
        return is_one or any(map(bounds_numbers, schema.values()))
    return isinstance(schema, list) and any(map(bounds_numbers, schema))


def _admits_all(types: frozenset[str]) -> bool:
    return len(types) >= 7


def _type_of(schema: Any) -> Any:
    if schema is True or schema == {}:
        return Raw
    if not isinstance(schema, Mapping):
        raise Unsupported(schema)
    keywords = {key for key in schema if not _is_annotation(key)}
    if not keywords <= (_STRUCTURE | frozenset(_BOUNDS)):
        raise Unsupported(keywords)
    types = json_types(schema)
    if keywords & {"enum", "const"}:
        if not types <= {"string", "null"}:
            raise Unsupported(keywords)
        literal = _literal(schema, keywords & {"enum", "const"})
        return literal | None if "null" in types and None in schema.get("enum", [None]) else literal
    if _admits_all(types) and keywords <= {"type"}:
        return Raw
    return reduce(or_, [_alternative(name, schema) for name in sorted(types)])


def _alternative(json_type: str, schema: Mapping[str, Any]) -> Any:
    match json_type:
        case "null":
            return type(None)  # not None, which stands for any JSON
        case "boolean":
            return bool
        case "integer":
            return _bounded(int, schema, _NUMERIC_BOUNDS)
        case "number":
            return _bounded(float, schema, _NUMERIC_BOUNDS)
        case "string":
            return _bounded(str, schema, _TEXT_BOUNDS)
        case "array":
            return list[_type_of(schema["items"])] if "items" in schema else list[Raw]  # type: ignore[misc]
        case _:
            return _object_type(schema)


def _bounded(base: Any, schema: Mapping[str, Any], keywords: frozenset[str]) -> Any:
    bounds = {_BOUNDS[key]: schema[key] for key in keywords if key in schema}
    return _within(base, bounds)


def _object_type(schema: Mapping[str, Any]) -> Any:
    additional = schema.get("additionalProperties", True)
    properties = schema.get("properties") or {}
    required = set(schema.get("required", ()))
    if not required <= set(properties):
        raise Unsupported("required")
    if not properties:
        return dict[str, Raw if additional in (True, {}) else _type_of(additional)]  # type: ignore[misc]
    if additional not in (True, False, {}):
        raise Unsupported("additionalProperties")
    fields = [
        (f"f{i}", _type_of(prop)) if name in required else (f"f{i}", _or_unset(_type_of(prop)), UNSET)
        for i, (name, prop) in enumerate(properties.items())
    ]
    return msgspec.defstruct(
        "Nested",
        fields,
        rename={f"f{i}": name for i, name in enumerate(properties)},
        forbid_unknown_fields=additional is False,
        kw_only=True,
        gc=False,
    )


def _or_unset(type_: Any) -> Any:
    return type_ | UnsetType


def _within(base: Any, bounds: Mapping[str, Any]) -> Any:
    for bound in bounds.values():
        if (
            isinstance(bound, int) and abs(bound) >= _BEYOND_DOUBLE
        ):  # msgspec reads it as a double, and trips over it
            raise Unsupported(bound)
    return Annotated[base, Meta(**bounds)] if bounds else base
