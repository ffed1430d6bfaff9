"""`rename`: a field is called otherwise, in keys and bookmarks too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_map.block import Block
from singerkit_map.contract import Operation, Shape
from singerkit_map.onvalues import change_inside
from singerkit_map.paths import Path, path_of, schema_at, with_schema_at, without_schema_at

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": "A field is called otherwise; keys and bookmarks follow it.",
    "required": ["from", "to"],
    "properties": {
        "from": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "The field, at any depth.",
        },
        "to": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "Its new name, in the same object.",
        },
    },
}


@dataclass(frozen=True)
class _Rename:
    place: str
    field: str
    to: str

    def outcome(self, shape: Shape) -> Shape:
        path = path_of(self.field, shape.fields)
        schema = schema_at(shape.fields, path, "from")
        shape.check_free(path.beside(self.to), "to")
        if not path.is_nested:
            return shape.renamed({path.top: self.to})
        shape.check_may_change(path, "from")
        fields = with_schema_at(shape.fields, path, lambda _: schema, self.to)
        return shape.with_fields(without_schema_at(fields, path))

    def may_be_null(self, before: Shape) -> list[Path]:
        """Return the paths of what becomes null with `on_error: null`."""
        return path_of(self.field, before.fields).to_parents()

    def apply(self, block: Block, before: Shape, /) -> None:
        path = path_of(self.field, before.fields)
        if path.is_nested:
            change_inside(block, path, self._move, self.place, before.keys)
            return
        block.columns = {
            self.to if name == path.top else name: column for name, column in block.columns.items()
        }

    def _move(self, within: dict[str, Any], name: str) -> None:
        if name in within:
            within[self.to] = within.pop(name)


def made(said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says."""
    return _Rename(place, said["from"], said["to"])
