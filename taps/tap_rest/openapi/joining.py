"""A documented schema beside what records show: the document counts for what they do not show, and where all of them fit it.

Documents are wrong now and then, and records are not: where a value is none of what a document says, it says nothing of that field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from singerkit_catalog.admitted import types_of

__all__ = ["contradictions", "filled", "joined"]

Schema = Mapping[str, Any]


def joined(found: Schema, documented: Schema) -> dict[str, Any]:
    """Return the schema of records that were looked at, with what a document says of them."""
    properties = {**_fields(documented), **_fields(found)}
    for name in _fields(found).keys() & _fields(documented).keys():
        properties[name] = _joined(_fields(found)[name], _fields(documented)[name])
    return {**found, "properties": properties}


def filled(known: Schema, documented: Schema) -> dict[str, Any]:
    """Return what is known, with the fields of a document that it lacks or has never seen a value of."""
    properties = dict(_fields(documented))
    for name, prop in _fields(known).items():
        if types_of(prop) - {"null"} or name not in properties:
            properties[name] = prop
    return {**known, "properties": properties}


def contradictions(found: Schema, documented: Schema) -> Iterator[tuple[str, str, str]]:
    """Yield the fields whose values are none of what a document says, with what they are and what it says."""
    for name in _fields(found).keys() & _fields(documented).keys():
        shown, said = _fields(found)[name], _fields(documented)[name]
        if not _fits(shown, said):
            yield name, _word(shown), _word(said)


def _joined(found: Schema, documented: Schema) -> dict[str, Any]:
    if not types_of(found) - {"null"}:
        return {**documented, "type": _nullable(documented, like=found)}
    if not _fits(found, documented):
        return dict(found)
    result: dict[str, Any] = {**documented, **found, "type": _nullable(documented, like=found)}
    if types_of(documented) - {"null"} != {"string"}:
        result.pop("format", None)
    if "properties" in documented and "properties" in found:
        result["properties"] = joined(found, documented)["properties"]
    if "items" in documented and "items" in found:
        result["items"] = _joined(found["items"], documented["items"])
    return result


def _nullable(prop: Schema, *, like: Schema) -> str | list[str]:
    said = prop["type"]
    types = [name for name in ([said] if isinstance(said, str) else said) if name != "null"]
    if "null" in types_of(like):
        return ["null", *types]
    return types[0] if len(types) == 1 else types


def _fits(found: Schema, documented: Schema) -> bool:
    """Tell whether the values that were seen are of the documented types; what is inside is judged by itself."""
    types, said = types_of(found) - {"null"}, types_of(documented)
    missing = types - said - ({"integer"} if "number" in said else set())
    return not missing and (
        "format" not in documented or not types or found.get("format") == documented["format"]
    )


def _fields(schema: Schema) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _word(schema: Schema) -> str:
    types = sorted(types_of(schema) - {"null"})
    return str(schema.get("format") or " or ".join(types))
