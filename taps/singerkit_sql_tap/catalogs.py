"""What a catalog declares of columns, held against what their values are where the types of a database are a promise.

A catalog may say less than the database (`text` in the place of a date), and adds what a target understands. What it says otherwise, as one
that another tap has made, would have a target refuse the values, or make something else of them.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from singerkit_catalog.admitted import json_types

__all__ = ["admits", "declared", "tell_of_redeclared"]

_NARROWING = frozenset(
    {
        "const",
        "enum",
        "maxItems",
        "maxLength",
        "maxProperties",
        "minItems",
        "minLength",
        "minProperties",
        "multipleOf",
        "not",
        "pattern",
    }
    | {
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maximum",
        "minimum",
        "required",
        "uniqueItems",
        "dependentRequired",
        "patternProperties",
    }
    | {
        "allOf",
        "anyOf",
        "oneOf",
        "if",
        "contains",
        "prefixItems",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords that are not weighed: one that the database does not declare in the same words may leave values out."""
_SAME = ("format", "contentEncoding", "contentMediaType")
"""Keywords that say what a text is, and may be left out."""


def declared(
    chosen: Mapping[str, Any], own: Mapping[str, Any], keys: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the schema ``chosen`` by a catalog, in which each column admits what it holds, and the columns that did not.

    ``keys`` are never NULL.
    """
    mine = {name: _not_null(schema) if name in keys else schema for name, schema in own["properties"].items()}
    theirs = dict(chosen.get("properties") or {})
    wrong = [name for name in theirs if name in mine and not admits(theirs[name], _not_null(mine[name]))]
    for name in wrong:
        theirs[name] = mine[name] | _for_targets(theirs[name])
    return {**chosen, "properties": theirs}, wrong


def tell_of_redeclared(columns: Sequence[str], stream: str, logger: logging.Logger) -> None:
    """Warn of the columns that `declared` has found."""
    if columns:
        logger.warning(
            "The catalog declares %s of stream `%s` otherwise than the values are, as that of another tap does; the SCHEMA says what they "
            "are. To hear no more of it, make the catalog again with --discover.",
            ", ".join(f"`{name}`" for name in columns),
            stream,
        )


def _for_targets(schema: Any) -> dict[str, Any]:
    return (
        {key: value for key, value in schema.items() if key.startswith("x-")}
        if isinstance(schema, Mapping)
        else {}
    )


def _not_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a column may be NULL a target hears from the values: a catalog that says no knows the key."""
    types = json_types(schema) - {"null"}
    return {**schema, "type": sorted(types)} if "type" in schema else dict(schema)


def admits(wide: Any, narrow: Mapping[str, Any]) -> bool:
    """Tell whether whatever is ``narrow`` is ``wide``, too; false where that is not seen."""
    if not isinstance(wide, Mapping):
        return wide is True
    if any(wide[key] != narrow.get(key) for key in wide.keys() & (_NARROWING | {*_SAME})):
        return False
    types = json_types(narrow)
    if not all(
        one in json_types(wide) or (one == "integer" and "number" in json_types(wide)) for one in types
    ):
        return False
    if "array" in types and "items" in wide and not admits(wide["items"], _part(narrow, "items")):
        return False
    return "object" not in types or _admits_members(wide, narrow)


def _admits_members(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    members, own = wide.get("properties") or {}, narrow.get("properties") or {}
    rest = wide.get("additionalProperties", True)
    return all(
        admits(members.get(name, rest), own.get(name, _part(narrow, "additionalProperties")))
        for name in {*members, *own}
    ) and admits(rest, _part(narrow, "additionalProperties"))


def _part(schema: Mapping[str, Any], keyword: str) -> Mapping[str, Any]:
    found = schema.get(keyword)
    return found if isinstance(found, Mapping) else {}
