"""`keep`: all other fields are left out, those that only records have among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_map.block import Block
from singerkit_map.contract import Impossible, Operation, Shape
from singerkit_map.paths import path_of, schema_at
from singerkit_wire.stream import DELETED_AT

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": "All other fields are left out. Keys have to be among those that stay. What tells of a deleted row (`_sdc_deleted_at`) stays in any case: "
    "where the SCHEMA names it, it is to be among them.",
    "required": ["fields"],
    "properties": {
        "fields": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "secret": False},
            "minItems": 1,
            "description": "The fields that stay, at the top of the records.",
        },
    },
}


@dataclass(frozen=True)
class _Keep:
    place: str
    fields: frozenset[str]
    hides = True

    def outcome(self, shape: Shape) -> Shape:
        for field in self.fields:
            path = path_of(field, shape.fields)
            if path.is_nested:
                raise Impossible(
                    f"`{field}` is no field at the top: `keep` keeps those whole, `drop` takes away inside",
                    "fields",
                )
            schema_at(shape.fields, path, "fields")
        return shape.only(self.fields, "fields")

    def apply(self, block: Block, _before: Shape, /) -> None:
        kept = self.fields | {DELETED_AT}  # of which targets know what it says where no SCHEMA names it
        block.columns = {name: column for name, column in block.columns.items() if name in kept}


def made(said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says."""
    return _Keep(place, frozenset(said["fields"]))
