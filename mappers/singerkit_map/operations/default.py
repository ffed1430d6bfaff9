"""`default`: what stands where there is nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_catalog.schema import draft_of
from singerkit_map.contract import Impossible, OfValue
from singerkit_map.operations.words import ON_VALUE

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": (
        "What stands in the place of null. A field that a record leaves out is left out still, as taps do that mean `as it is stored`, unless `missing` says otherwise."
    ),
    "properties": {
        "field": ON_VALUE["field"],
        "value": {"description": "What stands there: a value that the schema of the field admits."},
        "missing": {
            "type": "boolean",
            "default": False,
            "description": "Whether it stands for a field that is left out, too.",
        },
    },
    "required": ["field", "value"],
    "examples": [
        {
            "said": {"op": "default", "field": "country", "value": "DE"},
            "before": {"country": None},
            "after": {"country": "DE"},
        }
    ],
}


def made(said: Mapping[str, Any], place: str) -> OfValue:
    stand_in = said["value"]

    def schema_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
        if not draft_of(schema)(schema).is_valid(stand_in):
            raise Impossible(f"the schema of `{said['field']}` does not admit the default", "value")
        return schema

    return OfValue(
        place,
        said["field"],
        lambda value: value,
        schema_of,
        null=stand_in,
        missing=stand_in if said.get("missing") else ...,
    )
