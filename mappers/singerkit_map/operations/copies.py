"""`copy`: a field, or one inside an object, once more at the top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_catalog.schema import or_null
from singerkit_map.block import Block
from singerkit_map.contract import ANY, Impossible, OfParts, Operation, Shape
from singerkit_map.onvalues import spread
from singerkit_map.paths import Path, path_of, schema_at

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": "A field once more, at the top of the record.",
    "required": ["from", "to"],
    "properties": {
        "from": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "The field, inside objects too.",
        },
        "to": {"type": "string", "minLength": 1, "secret": False, "description": "The new field."},
    },
}


@dataclass(frozen=True)
class _Copy:
    place: str
    field: str
    to: str

    def outcome(self, shape: Shape) -> Shape:
        path = path_of(self.field, shape.fields)
        if path.in_lists:
            raise Impossible(f"`{self.field}` is in a list: which element is meant?", "from")
        schema = schema_at(shape.fields, path, "from")
        shape.check_free(Path(self.to), "to")
        return shape.with_fields({**shape.fields, self.to: or_null(schema) if path.is_nested else schema})

    def apply(self, block: Block, before: Shape, /) -> None:
        path = path_of(self.field, before.fields)
        if path.is_nested:
            spread(block, path, OfParts(self.place, self.field, {self.to: {}}, lambda value: (value,), ANY))
        else:
            block.columns[self.to] = block.columns[path.top]


def made(said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says."""
    return _Copy(place, said["from"], said["to"])
