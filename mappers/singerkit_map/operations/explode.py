"""`explode`: a record becomes one for each element of a list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from singerkit_catalog.schema import or_null
from singerkit_map.block import NULL, Bad, Block
from singerkit_map.contract import Impossible, Operation, Shape
from singerkit_map.jsontexts import loads, text_of
from singerkit_map.paths import Path
from singerkit_map.shape import check_kind
from singerkit_wire.stream import DELETED_AT

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": "A record becomes one for each element of a list, which stands in the place of the list. Of a stream with a key `position` becomes a "
    "part of the key; elements that are gone when a record comes again stay in the target. "
    "A record of a deleted row, where no SCHEMA tells of them, is a bad record.",
    "required": ["field"],
    "properties": {
        "field": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "The field with the list, at the top of the record.",
        },
        "as": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "What the field of the element is called; default: as that of the list.",
        },
        "position": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "The field that gets the place of the element, counted from 0.",
        },
        "empty": {
            "type": "string",
            "secret": False,
            "enum": ["drop", "keep"],
            "default": "drop",
            "description": "What becomes of a record whose list is empty, null or left out: nothing, or a record with null, in place 0.",
        },
    },
}

_raws = msgspec.json.Decoder(list[Raw])


@dataclass(frozen=True)
class _Explode:
    place: str
    field: str
    into: str | None
    position: str | None
    keeps_empty: bool
    is_of_rows = True

    def outcome(self, shape: Shape) -> Shape:
        if self.field not in shape.fields:
            raise Impossible(f"the SCHEMA has no field `{self.field}` at the top")
        if self.field in shape.keys:
            raise Impossible(f"`{self.field}` is in the key of the stream")
        if DELETED_AT in shape.fields:
            raise Impossible("the stream tells of deleted rows, and not of which elements they had")
        if shape.keys and self.position is None:
            raise Impossible("the stream has a key: name a `position`, which tells its records apart", "")
        schema = shape.fields[self.field]
        check_kind(schema, {"array"}, self.field)
        if self.into is not None and self.into != self.field:
            shape.check_free(Path(self.into))
        if self.position is not None:
            shape.check_free(Path(self.position), "position")
        shape = shape.renamed({self.field: self.into or self.field})
        items = schema.get("items")
        fields = {
            **shape.fields,
            self.into or self.field: or_null(items if isinstance(items, Mapping) else {}),
        }
        if self.position is None:
            return shape.with_fields(fields, self.into or self.field)
        keys = (*shape.keys, self.position) if shape.keys else ()
        fields[self.position] = {"type": "integer"}
        return replace(shape.with_fields(fields, self.into or self.field), keys=keys)

    def apply(self, block: Block, _before: Shape, /) -> None:
        block.refuse_deleted(self.place)
        rows: list[int] = []
        elements: list[Any] = []
        places: list[Raw] = []
        for row, text in enumerate(block.columns[self.field]):
            found = self._elements(block, row, text)
            rows += [row] * len(found)
            elements += found
            places += [Raw(b"%d" % place) for place in range(len(found))]
        block.take(rows)
        name = self.into or self.field
        block.columns = {
            name if one == self.field else one: elements if one == self.field else column
            for one, column in block.columns.items()
        }
        if self.position is not None:
            block.columns[self.position] = places

    def _elements(self, block: Block, row: int, text: Any) -> list[Any]:
        if row in block.bad:
            return [text]
        if text is UNSET or bytes(text) == b"null":
            return [NULL] if self.keeps_empty else []
        try:
            found = _list_of(bytes(text))
        except ValueError:
            if block.nulled(row, Bad(self.field, "expected a list", self.place)):
                return [NULL] if self.keeps_empty else []
            return [text]
        return found or ([NULL] if self.keeps_empty else [])


def _list_of(text: bytes) -> list[Any]:
    try:
        return _raws.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = loads(text)
        if not isinstance(found, list):
            raise ValueError from None
        return [Raw(text_of(one)) for one in found]


def made(said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says."""
    return _Explode(place, said["field"], said.get("as"), said.get("position"), said.get("empty") == "keep")
