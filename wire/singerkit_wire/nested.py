"""A property's schema as the type that its value is decoded to: scalars narrowed by their keywords, and nested values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_catalog.admitted import json_types
from singerkit_catalog.compiled import (
    ANNOTATIONS,
    BOUNDS,
    Inexpressible,
    Style,
    compiled,
    is_annotation,
    literal,
    within,
)
from singerkit_wire.bounds import Bounds, bounds_of

__all__ = ["bounded", "bounds_numbers", "constrained", "nested_type"]

_NUMERIC_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_TEXT_BOUNDS = frozenset({"minLength", "maxLength", "pattern"})
_NESTED = Style()


def constrained(base: Any, schema: Mapping[str, Any]) -> Any:
    """Return ``base`` narrowed by the keywords of a scalar property schema.

    Raises:
        Inexpressible: a keyword has no counterpart.
    """
    schema = telling_branch(schema)
    keywords = {key for key in schema if not is_annotation(key)} - {"type"}
    if keywords & {"enum", "const"}:
        if base is not str:
            raise Inexpressible("the text of a parsed value")
        return literal(schema, keywords)
    if not keywords <= (_NUMERIC_BOUNDS | _TEXT_BOUNDS):
        raise Inexpressible(keywords)
    if base is bool:
        return base
    applicable = _NUMERIC_BOUNDS if base in (int, float) else _TEXT_BOUNDS
    if base not in (int, float, str) and keywords & applicable:
        raise Inexpressible("the text of a parsed value")
    return within(base, {BOUNDS[key]: schema[key] for key in keywords & applicable})


def bounded(schema: Mapping[str, Any]) -> Bounds:
    """Return what a scalar schema asks of numbers besides their type.

    Raises:
        Inexpressible: it asks for something else, too.
    """
    schema = telling_branch(schema)
    if (
        not {key for key in schema if not is_annotation(key)}
        <= {"type", "multipleOf"} | _NUMERIC_BOUNDS | _TEXT_BOUNDS
    ):
        raise Inexpressible(schema)
    return bounds_of(schema)


def telling_branch(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a scalar schema asks of values that are not null.

    ``anyOf: [{type: string, ...}, {type: null}]`` is the usual way to write a nullable property.

    Raises:
        Inexpressible: there are several, and they ask for more than a type.
    """
    keywords = {key for key in schema if not is_annotation(key)} - {"type"}
    branches = schema.get("anyOf") or schema.get("oneOf")
    if not (branches and keywords <= {"anyOf", "oneOf"}):
        return schema
    telling = [
        branch for branch in branches if isinstance(branch, Mapping) and json_types(branch) != {"null"}
    ]
    if len(telling) == 1:
        return telling_branch(telling[0])
    if all(not ({*branch} - {"type"} - ANNOTATIONS) for branch in telling):
        return {}
    raise Inexpressible(branches)


def nested_type(schema: Mapping[str, Any]) -> Any:
    """Return the msgspec type that admits what a nested schema admits, or None when it admits any JSON.

    Raises:
        Inexpressible: msgspec has none.
    """
    type_ = compiled(schema, _NESTED)
    return None if type_ is _NESTED.anything else type_


def bounds_numbers(schema: Any) -> bool:
    """Tell whether `nested_type` has a number with a bound, which is compared as a float."""
    if isinstance(schema, Mapping):
        is_one = bool(_NUMERIC_BOUNDS & schema.keys()) and "number" in json_types(schema)
        return is_one or any(map(bounds_numbers, schema.values()))
    return isinstance(schema, list) and any(map(bounds_numbers, schema))
