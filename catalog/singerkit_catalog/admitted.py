"""Which values a property admits: the one answer to which JSON types a schema has, and so to what type its column has.

A target makes the column by it, and a tap tells by it which spellings of a key are one value there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["json_types", "string_formats", "types_of"]

_ALL_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "object", "array"})


def json_types(prop: Mapping[str, Any]) -> frozenset[str]:
    """Return the JSON types a property schema admits, best effort over anyOf, oneOf, allOf, enum and const."""
    admitted = _declared(prop)
    if "const" in prop:
        admitted = _intersect(admitted, frozenset({_json_type(prop["const"])}))
    if "enum" in prop:
        admitted = _intersect(admitted, frozenset(_json_type(value) for value in prop["enum"]))
    for keyword in ("anyOf", "oneOf"):
        branches = [_types_of_branch(branch) for branch in prop.get(keyword, ()) if _is_schema(branch)]
        if branches:
            admitted = _intersect(admitted, frozenset[str]().union(*branches))
    for branch in prop.get("allOf", ()):
        if _is_schema(branch):
            admitted = _intersect(admitted, _types_of_branch(branch))
    return admitted


def _is_schema(branch: Any) -> bool:
    return isinstance(branch, Mapping | bool)


def _types_of_branch(branch: Mapping[str, Any] | bool) -> frozenset[str]:
    """Return the types of a schema; `true` admits all, `false` none."""
    if isinstance(branch, bool):
        return _ALL_TYPES if branch else frozenset()
    return json_types(branch)


def types_of(schema: Any) -> set[str]:
    """Return the JSON types that a schema names; the empty set means that it does not say, and admits all."""
    if not isinstance(schema, Mapping):
        return set()
    admitted = json_types(schema)
    names_all = isinstance(schema.get("type"), str | list) or "enum" in schema
    return set(admitted) if names_all or admitted != _ALL_TYPES else set()


def _declared(prop: Mapping[str, Any]) -> frozenset[str]:
    """Return the types that ``type`` names; what is no name of one, as in Draft 3, says nothing."""
    declared = prop.get("type")
    if isinstance(declared, str):
        return frozenset([declared])
    if not isinstance(declared, list | tuple):
        return _ALL_TYPES
    return frozenset(name for name in declared if isinstance(name, str))


def _intersect(left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    common = left & right
    for one, other in ((left, right), (right, left)):
        if "number" in one and "integer" in other:
            common |= {"integer"}
    return common


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {int: "integer", float: "number", str: "string", dict: "object", list: "array"}
    return names.get(type(value), "number")


def string_formats(prop: Mapping[str, Any]) -> Iterator[str]:
    """Yield every format a string value of the property may have; plain text counts as a format of its own."""
    branches = [
        branch
        for keyword in ("anyOf", "oneOf")
        for branch in prop.get(keyword, ())
        if isinstance(branch, Mapping) and "string" in json_types(branch)
    ]
    if "x-singer.decimal" in prop:
        yield "x-singer.decimal"
    elif prop.get("contentEncoding") == "base64":
        yield "base64"
    elif "format" in prop:
        yield str(prop["format"])
    elif branches:
        for branch in branches:
            yield from string_formats(branch)
    else:
        yield "text"
