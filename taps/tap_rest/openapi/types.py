"""Schemas of a document in the words that inference has: `type`, `format`, `properties`, `items`, and all may be null.

What only limits values is left out (`enum`, `required`, bounds): a document that is older than its API would refuse rows that are right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from singerkit_catalog.inference import FORMATS, merge_schemas
from singerkit_shell.errors import ConfigurationError
from tap_rest.openapi.document import Document, Node

__all__ = ["fields_of", "merged_node", "types_in"]

_LEVELS = 8
"""Objects and arrays below are described by their type alone."""
_MOST_FIELDS = 2_000
"""Of a record, those inside others counted: a level that leads beyond them is not written out."""
_MOST_PARTS = 1_000
"""Parts (`allOf`) of one schema."""
_TYPES = ("boolean", "integer", "number", "string", "array", "object")
_PYTHON = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
)

Schema = dict[str, Any]


class _TooMuch(Exception):
    """There are more fields than are written out."""


def fields_of(document: Document, node: Any, keys: Sequence[str] = ()) -> Schema:
    """Return the schema of an object by a node of the document; ``keys`` may not be null. Fields of no known type are left out.

    Levels are written out as far as there is room, at least the first: documents refer to each other's objects without end.

    Raises:
        ConfigurationError: a schema holds others that deep that it cannot be read.
    """
    try:
        found = _as_far_as_there_is_room(document, node)
    except RecursionError:
        raise ConfigurationError(
            f"A schema in the OpenAPI document {document.file} is nested too deeply."
        ) from None
    properties = {
        name: _less_null(prop) if name in keys else prop for name, prop in found.get("properties", {}).items()
    }
    return {"type": "object", "properties": properties}


def _as_far_as_there_is_room(document: Document, node: Any) -> Schema:
    found = _Writer(document, 1, None).schema(node, 0)
    for levels in range(2, _LEVELS + 1):
        try:
            deeper = _Writer(document, levels, _MOST_FIELDS).schema(node, 0)
        except _TooMuch:
            break
        if deeper == found:
            break
        found = deeper
    return found


@contextmanager
def _refused_if_too_deep(document: Document) -> Iterator[None]:
    try:
        yield
    except RecursionError:
        raise ConfigurationError(
            f"A schema in the OpenAPI document {document.file} is nested too deeply."
        ) from None


def types_in(document: Document, node: Any) -> set[str]:
    """Return the types that a node of the document may be of; none where nobody says. Errors as of `fields_of`."""
    with _refused_if_too_deep(document):
        return set(_Writer(document, 0, None).schema(node, 0).get("type", ()))


class _Writer:
    """Writes out so many levels of a schema."""

    def __init__(self, document: Document, levels: int, most: int | None) -> None:
        self._document, self._levels, self._most = document, levels, most
        self._fields = 0
        self._known: dict[tuple[int, int], tuple[Schema, int]] = {}

    def schema(self, node: Any, level: int) -> Schema:
        """Return what a value at this level is; the empty schema where nobody says."""
        part = self._document.resolved(node)
        if not part:
            return {}
        here = (id(part), level)  # of the document, which stays
        known = self._known.get(here)
        if known is not None:
            self._count(known[1])
            return known[0]
        self._known[here] = {}, 0  # what is one of its own branches says nothing
        before = self._fields
        found = self._written(merged_node(self._document, node), level)
        self._known[here] = found, self._fields - before
        return found

    def _count(self, fields: int) -> None:
        self._fields += fields
        if self._most is not None and self._fields > self._most:
            raise _TooMuch

    def _written(self, merged: Node, level: int) -> Schema:
        found = self._branches(merged, level)
        types = _types_of(merged)
        if not types:
            return found
        own: Schema = {"type": ["null", *(name for name in _TYPES if name in types)]}
        if types == {"string"} and merged.get("format") in FORMATS:
            own["format"] = merged["format"]
        if "object" in types and level < self._levels:
            properties = self._properties(merged.get("properties"), level)
            own |= {"properties": properties} if properties else {}
        if "array" in types and level < self._levels:
            items = self.schema(merged.get("items"), level + 1)
            own |= {"items": items} if items else {}
        return merge_schemas(own, found) if found else own

    def _branches(self, merged: Node, level: int) -> Schema:
        """Return what values are that are of one of several schemas; nobody says, where one of these says nothing."""
        found: Schema = {}
        for branch in [*merged.get("oneOf", ()), *merged.get("anyOf", ())]:
            if isinstance(branch, Mapping) and branch.get("type") == "null":
                continue
            one = self.schema(branch, level)
            if not one:
                return {}
            found = merge_schemas(found, one) if found else one
        return found

    def _properties(self, properties: Any, level: int) -> Schema:
        found: Schema = {}
        for name, prop in properties.items() if isinstance(properties, Mapping) else ():
            self._count(1)
            if isinstance(name, str) and not self._document.resolved(prop).get("writeOnly"):
                schema = self.schema(prop, level + 1)
                found |= {name: schema} if schema else {}
        return found


def merged_node(document: Document, node: Any) -> Node:
    """Return a schema with all that it is a combination of (`$ref`, `allOf`) written into it; keywords of its own count first."""
    merged: dict[str, Any] = {}
    parts = [node]
    seen: set[int] = set()
    while parts and len(seen) < _MOST_PARTS:
        part = document.resolved(parts.pop(0))
        if id(part) in seen:
            continue  # it is a part of itself
        seen.add(id(part))
        for key, value in part.items():
            if key == "properties" and isinstance(value, Mapping):
                merged["properties"] = {**value, **merged.get("properties", {})}
            elif key in ("oneOf", "anyOf") and isinstance(value, list):
                merged[key] = [*merged.get(key, []), *value]
            elif key != "allOf":
                merged.setdefault(key, value)
        inside = part.get("allOf")
        parts += inside if isinstance(inside, list) else []
    return merged


def _types_of(merged: Node) -> set[str]:
    """Return the types that a schema names, or means by its other keywords."""
    said = merged.get("type")
    if isinstance(said, str | list):
        return {name for name in ([said] if isinstance(said, str) else said) if name in _TYPES}
    values = (
        merged["enum"]
        if isinstance(merged.get("enum"), list)
        else [merged[key] for key in ("const",) if key in merged]
    )
    if values:
        return {
            next(name for kind, name in _PYTHON if isinstance(value, kind))
            for value in values
            if value is not None
        }
    if isinstance(merged.get("properties"), Mapping) or "additionalProperties" in merged:
        return {"object"}
    if "items" in merged:
        return {"array"}
    return {"string"} if merged.get("format") in FORMATS else set()


def _less_null(prop: Schema) -> Schema:
    types = [name for name in prop["type"] if name != "null"]
    return {**prop, "type": types[0] if len(types) == 1 else types}
