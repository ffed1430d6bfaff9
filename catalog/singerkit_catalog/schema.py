"""JSON Schemas of streams: references resolved, and the few questions the data path asks of a property.

Drafts 4 to 2020-12. A reference inside the document (``#/definitions/x``, ``#/$defs/x``, ``#/properties/y``,
an ``$id`` or ``$anchor`` of the same document) is replaced by what it names; one to another document is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from singerkit_catalog.admitted import types_of
from singerkit_shell.errors import ConfigurationError

__all__ = [
    "admitting_missing",
    "draft_of",
    "is_nullable",
    "may_take_long",
    "or_null",
    "properties_of",
    "resolve_refs",
]

_DEPTH_LIMIT = 100
_LEVELS_LIMIT = 200  # of nesting; what walks a schema after this may recurse
_NODES_LIMIT = 100_000  # objects of a schema whose references are written out
_HOLDERS = ("$defs", "definitions")
_SLOW = ("'pattern", "'uniqueItems'", "'$ref'")
"""What may take for ever on values that were made for it, as Python writes a schema."""
# Their values are data, not schemas: a "$ref" in there is a plain key.
_DATA_KEYWORDS = ("const", "enum", "default", "examples", "example")


def resolve_refs(schema: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return ``schema`` with every local ``$ref`` replaced and the holders of definitions left out.

    Keywords beside a ``$ref`` win over what it names. A schema that refers to itself has no finite form: the
    inner reference becomes ``{}``, which allows anything. ``where`` names the schema in errors.

    Raises:
        ConfigurationError: a reference leaves the document, names nothing, or nests deeper than 100; the schema
            nests deeper than 200 levels, or holds more than 100,000 objects when its references are written out.
    """
    return dict(_Resolver(schema, where).resolve(schema, (), 0))


def _anchors(node: Any, level: int = 0) -> Iterator[tuple[str, Any]]:
    if level > _LEVELS_LIMIT:
        return  # told when it is resolved
    if isinstance(node, Mapping):
        for keyword in ("$id", "id", "$anchor"):
            name = node.get(keyword)
            if isinstance(name, str):
                yield (f"#{name}" if keyword == "$anchor" else name), node
        for key, value in node.items():
            if key not in _DATA_KEYWORDS:
                yield from _anchors(value, level + 1)
    elif isinstance(node, list):
        for value in node:
            yield from _anchors(value, level + 1)


class _Resolver:
    """Writes out the references of one schema, and counts what that gives: a few lines may stand for billions."""

    def __init__(self, root: Mapping[str, Any], where: str) -> None:
        self._root = root
        self._where = where
        self._anchors = dict(_anchors(root))
        self._nodes = 0

    def resolve(self, node: Any, open_refs: tuple[str, ...], level: int) -> Any:
        if level > _LEVELS_LIMIT:
            raise ConfigurationError(
                f"The schema of {self._where} nests deeper than {_LEVELS_LIMIT} levels; describe the inner ones as "
                "an object or array without further detail."
            )
        if isinstance(node, list):
            return [self.resolve(item, open_refs, level + 1) for item in node]
        if not isinstance(node, Mapping):
            return node
        self._nodes += 1
        if self._nodes > _NODES_LIMIT:
            raise ConfigurationError(
                f"The schema of {self._where} stands for more than {_NODES_LIMIT:,} objects when its references are "
                "written out; refer to less."
            )
        reference = node.get("$ref")
        beside: dict[str, Any] = {}  # loops, since a comprehension is one more level of Python's stack
        for key, value in node.items():
            if key != "$ref" and key not in _HOLDERS:
                beside[key] = self._keyword(key, value, open_refs, level + 1)
        if not isinstance(reference, str):
            return beside if reference is None else beside | {"$ref": reference}
        if reference in open_refs:
            return beside
        if len(open_refs) >= _DEPTH_LIMIT:
            raise ConfigurationError(
                f"The schema of {self._where} nests references deeper than {_DEPTH_LIMIT}; write it out in place."
            )
        target = _target(reference, self._root, self._anchors, self._where)
        named = self.resolve(target, (*open_refs, reference), level)
        return named | beside if isinstance(named, dict) else beside or named

    def _keyword(self, key: str, value: Any, open_refs: tuple[str, ...], level: int) -> Any:
        if key in _DATA_KEYWORDS:
            return value
        if key in ("properties", "patternProperties", "dependentSchemas"):
            return self._members(value, open_refs, level)
        return self.resolve(value, open_refs, level)

    def _members(self, members: Any, open_refs: tuple[str, ...], level: int) -> Any:
        """Resolve a mapping of names to schemas, where a member called ``$ref`` or ``enum`` is a property."""
        if not isinstance(members, Mapping):
            return members
        resolved = {}
        for name, value in members.items():
            # `true` is the schema that allows anything, written short; nothing after this has to know.
            resolved[name] = {} if value is True else self.resolve(value, open_refs, level)
        return resolved


def _target(reference: str, root: Mapping[str, Any], anchors: Mapping[str, Any], where: str) -> Any:
    if reference == "#":
        return root
    if reference in anchors:
        return anchors[reference]
    if not reference.startswith("#"):
        raise ConfigurationError(
            f"The schema of {where} refers to `{reference}`, outside of itself; only local references are "
            "read, copy what it names into `$defs`."
        )
    node: Any = root
    for part in reference[1:].lstrip("/").split("/"):
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping) and name in node:
            node = node[name]
        elif isinstance(node, list) and re.fullmatch("[0-9]{1,9}", name) and int(name) < len(node):
            node = node[int(name)]
        else:
            raise ConfigurationError(
                f"The schema of {where} refers to `{reference}`, which names nothing in it; correct it."
            )
    return node


def properties_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of an object schema, with those of its ``allOf``/``anyOf``/``oneOf`` branches."""
    properties: dict[str, Any] = {}
    for keyword in ("allOf", "anyOf", "oneOf"):
        for branch in schema.get(keyword) or ():
            if isinstance(branch, Mapping):
                properties |= properties_of(branch)
    own = schema.get("properties")
    return properties | dict(own) if isinstance(own, Mapping) else properties


def may_take_long(schema: Any) -> bool:
    """Tell whether judging a value by ``schema`` can take for ever, so that it has to be done within a time."""
    text = str(schema)
    return any(word in text for word in _SLOW)


def admitting_missing(schema: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Return a resolved stream schema in which each property that a record may leave out may be null, ``keys`` not."""
    kept = {*schema.get("required", ()), *keys}
    properties = {
        name: prop if name in kept or not isinstance(prop, Mapping) else or_null(prop)
        for name, prop in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties}


def _admits_null(prop: Mapping[str, Any]) -> bool:
    return is_nullable(prop) and None in prop.get("enum", [None]) and prop.get("const") is None


def or_null(prop: Mapping[str, Any]) -> dict[str, Any]:
    """Return a property that admits null besides what it admits."""
    if _admits_null(prop):
        return dict(prop)
    declared = prop.get("type")
    if declared is None or not prop.keys().isdisjoint({"enum", "const", "anyOf", "oneOf", "allOf", "not"}):
        notes = {key: value for key, value in prop.items() if key.startswith("x-")}
        return {**notes, "anyOf": [dict(prop), {"type": "null"}]}
    return {**prop, "type": [*([declared] if isinstance(declared, str) else declared), "null"]}


def is_nullable(schema: Any) -> bool:
    """Tell whether null is allowed; a schema that does not say allows it."""
    types = types_of(schema)
    return not types or "null" in types


def draft_of(schema: Mapping[str, Any]) -> Any:
    """Return the validator class of the draft that ``$schema`` names; Draft 7, as in singer-sdk, where it names none."""
    from jsonschema import Draft7Validator
    from jsonschema.validators import validator_for

    try:
        return validator_for(schema, default=Draft7Validator)
    except (AttributeError, TypeError, ValueError):  # it is no text, or no URI
        return Draft7Validator
