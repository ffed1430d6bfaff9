"""A property's schema as the type that its value is decoded to: scalars narrowed by their keywords, and nested values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

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

__all__ = ["bounded_integer", "bounds_numbers", "constrained", "nested_type"]

_NUMERIC_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_TEXT_BOUNDS = frozenset({"minLength", "maxLength", "pattern"})
_NESTED = Style()


def constrained(base: Any, schema: Mapping[str, Any]) -> Any:
    """Return ``base`` narrowed by the keywords of a scalar property schema.

    Raises:
        Inexpressible: a keyword has no counterpart.
    """
    keywords = {key for key in schema if not is_annotation(key)} - {"type"}
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches and keywords <= {"anyOf", "oneOf"}:
        return _one_constrained_branch(base, branches)
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
    if all(not ({*branch} - {"type"} - ANNOTATIONS) for branch in telling):
        return base
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
