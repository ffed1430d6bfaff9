"""A schema whose objects are taken apart: what is inside them stands beside them, under the names of both."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_catalog.compiled import is_annotation
from singerkit_catalog.schema import is_nullable, or_null

__all__ = ["Part", "SameName", "asks_more", "parts_of", "taken_apart"]

_STRUCTURE = frozenset({"type", "properties", "required", "additionalProperties"})
_NULL: Mapping[str, Any] = {"type": "null"}


class SameName(Exception):
    """Two fields would have one name; ``path`` is that of the one inside an object."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(name)
        self.path = path
        self.name = name


@dataclass(frozen=True)
class Part:
    """An object that is taken apart, or the record itself, which has no ``name``.

    ``leaves`` are the fields that stay whole, by their name in the object, each with the name that it gets; ``objects`` those that are
    taken apart themselves. ``is_open``: it may have fields that nothing names.
    """

    name: str
    path: tuple[str, ...]
    schema: Mapping[str, Any]
    leaves: Mapping[str, str]
    objects: Mapping[str, Part]
    required: frozenset[str] = frozenset()
    is_open: bool = True

    def all_parts(self) -> Iterator[Part]:
        yield self
        for part in self.objects.values():
            yield from part.all_parts()


def asks_more(schema: Mapping[str, Any]) -> list[str]:
    """Return the keywords of a record's schema that ask more of it than of its single fields."""
    return sorted(key for key in schema if key not in _STRUCTURE and not is_annotation(key))


def parts_of(schema: Mapping[str, Any], keys: Collection[str], depth: int, separator: str) -> Part | None:
    """Return how a record is taken apart, ``depth`` objects deep; None where it has no object to take apart.

    Raises:
        SameName: two fields would have one name.
    """
    record = _part(schema, (), depth, separator, keys)
    if not record.objects:
        return None
    seen = set(schema.get("properties") or {})
    for part in record.all_parts():
        inner = part.leaves if part is not record else {}
        for key, name in [
            *inner.items(),
            *((key, one.name) for key, one in part.objects.items() if part is not record),
        ]:
            if name in seen:
                raise SameName(".".join((*part.path, key)), name)
            seen.add(name)
    return record


def _part(
    schema: Mapping[str, Any], path: tuple[str, ...], depth: int, separator: str, keys: Collection[str] = ()
) -> Part:
    leaves: dict[str, str] = {}
    objects: dict[str, Part] = {}
    for key, one in (schema.get("properties") or {}).items():
        inner = None if len(path) >= depth or (not path and key in keys) else _object_in(one)
        if inner is None:
            leaves[key] = separator.join((*path, key))
        else:
            objects[key] = _part(inner, (*path, key), depth, separator)
    return Part(
        separator.join(path),
        path,
        schema,
        leaves,
        objects,
        frozenset(schema.get("required") or ()),
        schema.get("additionalProperties") is not False,
    )


def _object_in(schema: Any) -> Mapping[str, Any] | None:
    """Return the schema of the object that a property may be, where its single fields are all that it asks of one."""
    if not isinstance(schema, Mapping):
        return None
    asked = {key for key in schema if not is_annotation(key) or key == "x-sql-datatype"}
    for keyword in ("anyOf", "oneOf"):
        if asked == {keyword}:
            found = [one for one in schema[keyword] if one != _NULL]
            return _object_in(found[0]) if len(found) == 1 else None
    properties = schema.get("properties")
    types = schema.get("type", "object")
    admits_objects = "object" in ([types] if isinstance(types, str) else types)
    if not admits_objects or not asked <= _STRUCTURE or not isinstance(properties, Mapping) or not properties:
        return None
    is_plain = schema.get("additionalProperties", True) in (True, False, {})
    return schema if is_plain and set(schema.get("required") or ()) <= set(properties) else None


def taken_apart(record: Part, whole: Collection[str] = ()) -> dict[str, Any]:
    """Return the schema of records that were taken apart; ``whole``: the objects that may stand there whole besides, by their names."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for key, one in record.schema["properties"].items():
        is_required = key in record.required
        part = record.objects.get(key)
        if part is None:
            properties[key] = one
            required += [key] if is_required else []
            continue
        inner = _inside(part, is_required and not is_nullable(one))
        properties |= inner
        required += inner if is_required else []
    for part in record.all_parts():
        if part.name in whole:
            properties[part.name] = or_null(_schema_of(record, part.path))
    flat = {key: value for key, value in record.schema.items() if key not in ("properties", "required")}
    return {**flat, "properties": properties} | ({"required": required} if required else {})


def _schema_of(record: Part, path: tuple[str, ...]) -> Any:
    part = record
    for key in path[:-1]:
        part = part.objects[key]
    return part.schema["properties"][path[-1]]


def _inside(part: Part, is_there: bool) -> dict[str, Any]:
    """Return the properties that come of an object; ``is_there``: none of those around it may be null, or left out."""
    found: dict[str, Any] = {}
    for key, one in part.schema["properties"].items():
        always = is_there and key in part.required
        inner = part.objects.get(key)
        if inner is None:
            found[part.leaves[key]] = one if always or not isinstance(one, Mapping) else or_null(one)
        else:
            found |= _inside(inner, always and not is_nullable(one))
    return found
