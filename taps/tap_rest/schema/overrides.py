"""What the user says of single fields of a schema, over what is inferred or declared of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from singerkit_catalog.admitted import types_of
from singerkit_catalog.compiled import Style
from singerkit_catalog.pagefit import decodable
from singerkit_catalog.schema import or_null
from singerkit_wire import jsonexact as exact
from singerkit_wire.encode import RawRecord
from tap_rest.schema.contract import listed

__all__ = ["Misfits", "overlaid"]

_logger = logging.getLogger("tap-rest")
_WHAT = ("type", "format", "enum", "const", "anyOf", "oneOf", "allOf", "contentEncoding", "contentMediaType")
"""Keywords that say what a value is: who names one of them means none of the others."""
_IMPLIED: Mapping[str, str] = {
    "properties": "object",
    "items": "array",
    **dict.fromkeys(("format", "contentEncoding", "pattern", "minLength", "maxLength"), "string"),
}


def overlaid(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with these properties over its own, field by field, and whole where it has none.

    At its top they are as they are said; what is inside others may be null besides, as whatever is inferred may.
    """
    if not properties:
        return dict(schema)  # without properties records are sent as they are
    known = schema.get("properties") or {}
    return {
        **schema,
        "properties": {
            **known,
            **{name: _over(known.get(name, {}), said) for name, said in properties.items()},
        },
    }


def _over(known: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    is_other = not said.keys().isdisjoint(set(_WHAT) - {"format"})
    kept = {key: value for key, value in known.items() if not (is_other and key in _WHAT)}
    merged: dict[str, Any] = {**kept, **said}
    if not is_other and types_of(known) <= {"null"}:
        implied = sorted({_IMPLIED[key] for key in said if key in _IMPLIED})
        merged |= {"type": ["null", *implied]} if implied else {}
    types = types_of(merged)
    for key, kind in (("properties", "object"), ("items", "array")):
        if types and kind not in types and key not in said:
            merged.pop(key, None)
    if isinstance(said.get("properties"), Mapping):
        merged["properties"] = _nullable_inside(known.get("properties"), said["properties"])
    if isinstance(said.get("items"), Mapping):
        inner = known.get("items")
        merged["items"] = or_null(_over(inner if isinstance(inner, Mapping) else {}, said["items"]))
    return merged


def _nullable_inside(known: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    found = known if isinstance(known, Mapping) else {}
    inside = {
        name: or_null(_over(found.get(name, {}), inner)) if isinstance(inner, Mapping) else inner
        for name, inner in said.items()
    }
    return {**found, **inside}


class Misfits:
    """Tells, once a field, of values that are of no type which the user has declared; a target is to judge them.

    ``properties`` are what somebody has declared of fields, ``said_by`` says where.
    """

    def __init__(self, stream: str, properties: Mapping[str, Any], said_by: str) -> None:
        self._stream, self._said_by = stream, said_by
        self._properties = dict(properties)
        self._fits = _checker_of(self._properties)

    def look(self, records: Sequence[RawRecord]) -> None:
        """Look at the records of a page."""
        if not self._properties or not records or self._fits(records):
            return
        for record in records:
            self._look_at(exact.loads(bytes(record)))
        self._fits = _checker_of(self._properties)

    def _look_at(self, record: Mapping[str, Any]) -> None:
        for name in self._properties.keys() & record.keys():
            misfit = next(_misfits(self._properties[name], record[name], name), None)
            if misfit is None:
                continue
            del self._properties[name]
            place, wanted, got = misfit
            _logger.warning(
                "Stream %s holds %s at %s, which %s declares as %s: it is sent as it is, and a target refuses it or sets it aside "
                "(`on_invalid`); declare both types if both are right.",
                self._stream,
                f"`{got}`",
                listed([place]),
                self._said_by,
                " or ".join(f"`{kind}`" for kind in wanted),
            )


def _misfits(schema: Any, value: Any, place: str) -> Iterator[tuple[str, list[str], str]]:
    """Yield where a value is of another type than its schema says, the types, and that of the value."""
    types, kind = types_of(schema), _type_of(value)
    if value is None:
        return  # whoever left it out says nothing of the type
    if types and kind not in types and not (kind == "integer" and "number" in types):
        yield place, sorted(types - {"null"}), kind
    elif isinstance(value, Mapping):
        properties = schema.get("properties")
        for name in value.keys() & (properties.keys() if isinstance(properties, Mapping) else ()):
            yield from _misfits(properties[name], value[name], f"{place}.{name}")
    elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        for item in value:
            yield from _misfits(schema["items"], item, f"{place}[]")


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, exact.ExactNumber):
        return "integer" if value.is_finite() and value == value.to_integral_value() else "number"
    names = {int: "integer", str: "string", list: "array", dict: "object", type(None): "null"}
    return names[type(value)]


def _checker_of(properties: Mapping[str, Any]) -> Callable[[Sequence[RawRecord]], bool]:
    """Return a function that tells, in C, whether all values are of the types that these properties have."""
    schema = {"type": "object", "properties": {name: _types_alone(one) for name, one in properties.items()}}
    return decodable(schema, Style(anything=Any))


def _types_alone(schema: Any) -> dict[str, Any]:
    types = types_of(schema)
    if not types:
        return {}
    alone: dict[str, Any] = {"type": sorted(types | {"null"})}
    if isinstance(schema.get("properties"), Mapping):
        alone["properties"] = {name: _types_alone(one) for name, one in schema["properties"].items()}
    if isinstance(schema.get("items"), Mapping):
        alone["items"] = _types_alone(schema["items"])
    return alone
