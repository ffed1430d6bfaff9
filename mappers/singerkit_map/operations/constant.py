"""`constant`: a field that has one value in all records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from singerkit_map.block import Block
from singerkit_map.contract import Operation, Shape
from singerkit_map.jsontexts import text_of
from singerkit_map.paths import Path

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": "A new field that has one value in all records.",
    "required": ["field", "value"],
    "properties": {
        "field": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "The new field, at the top of the record.",
        },
        "value": {
            "type": ["string", "integer", "number", "boolean"],
            "description": "Its value.",
        },
    },
}

_TYPES: Mapping[type, str] = {str: "string", bool: "boolean", int: "integer"}


@dataclass(frozen=True)
class _Constant:
    place: str
    field: str
    value: Any

    def outcome(self, shape: Shape) -> Shape:
        shape.check_free(Path(self.field), "field")
        return shape.with_fields(
            {**shape.fields, self.field: {"type": _TYPES.get(type(self.value), "number")}}
        )

    def apply(self, block: Block, _before: Shape, /) -> None:
        block.columns[self.field] = [Raw(text_of(self.value))] * len(block)


def made(said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says."""
    return _Constant(place, said["field"], said["value"])
