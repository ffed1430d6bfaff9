"""Which values a property admits, as far as storage is concerned: the one answer to what type its column has.

A target makes the column by it, and a tap tells by it which spellings of a key are one value there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["json_types", "string_formats"]

_ALL_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "object", "array"})


def json_types(prop: Mapping[str, Any]) -> frozenset[str]:
    """Return the JSON types a property schema admits, best effort over anyOf, oneOf, allOf, enum and const."""
    admitted = _ALL_TYPES
    if "type" in prop:
        declared = prop["type"]
        admitted = frozenset([declared] if isinstance(declared, str) else declared)
    if "const" in prop:
        admitted = _intersect(admitted, frozenset({_json_type(prop["const"])}))
    if "enum" in prop:
        admitted = _intersect(admitted, frozenset(_json_type(value) for value in prop["enum"]))
    for keyword in ("anyOf", "oneOf"):
        branches = [branch for branch in prop.get(keyword, ()) if isinstance(branch, Mapping)]
        if branches:
            union = frozenset[str]().union(*(json_types(branch) for branch in branches))
            admitted = _intersect(admitted, union)
    for branch in prop.get("allOf", ()):
        if isinstance(branch, Mapping):
            admitted = _intersect(admitted, json_types(branch))
    return admitted


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
