"""`drop`: fields are left out, and what they held is in no dead letter either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_map.block import Block
from singerkit_map.contract import Impossible, Operation, Shape
from singerkit_map.onvalues import change_inside
from singerkit_map.paths import Path, path_of, schema_at, without_schema_at
from singerkit_map.shape import TELLS_DELETIONS
from singerkit_wire.stream import DELETED_AT

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": "Fields are left out.",
    "required": ["fields"],
    "properties": {
        "fields": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "secret": False},
            "minItems": 1,
            "description": "The fields, at any depth.",
        },
        "if_there": {
            "type": "boolean",
            "default": False,
            "description": "A field that the SCHEMA of a stream does not name is no mistake: for globs that stand for many streams.",
        },
    },
}


@dataclass(frozen=True)
class _Drop:
    place: str
    fields: tuple[str, ...]
    if_there: bool
    hides = True

    def outcome(self, shape: Shape) -> Shape:
        if DELETED_AT in self.fields:  # records may have it where no SCHEMA names it
            raise Impossible(TELLS_DELETIONS, "fields")
        for path in self._paths(shape):
            if path.is_nested:
                shape.check_may_change(path, "fields")
                shape = shape.with_fields(without_schema_at(shape.fields, path))
            else:
                shape = shape.only(shape.fields.keys() - {path.top}, "fields")
        return shape

    def _paths(self, shape: Shape) -> Iterator[Path]:
        for field in self.fields:
            path = path_of(field, shape.fields)
            try:
                schema_at(shape.fields, path, "fields")
            except Impossible:
                if self.if_there:
                    continue
                raise
            yield path

    def may_be_null(self, before: Shape) -> list[Path]:
        """Return the paths of what becomes null with `on_error: null`."""
        return [parent for path in self._paths(before) for parent in path.to_parents()]

    def apply(self, block: Block, before: Shape, /) -> None:
        for field in self.fields:
            path = path_of(field, before.fields)
            if not path.is_nested:
                block.columns.pop(path.top, None)  # of one that only records have, too
            elif path.top in block.columns:
                change_inside(block, path, _without, self.place, before.keys, hides=True)


def _without(within: dict[str, Any], name: str) -> None:
    within.pop(name, None)


def made(said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says."""
    return _Drop(place, tuple(said["fields"]), said.get("if_there", False))
