"""`flatten`: the fields of an object become fields of the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from singerkit_catalog.admitted import types_of
from singerkit_catalog.schema import or_null, properties_of
from singerkit_map.block import HIDDEN, NULL, Bad, Block
from singerkit_map.contract import Impossible, Operation, Shape
from singerkit_map.jsontexts import loads, text_of
from singerkit_map.paths import Path
from singerkit_map.shape import check_kind
from singerkit_wire.stream import DELETED_AT

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": "The fields of an object become fields of the record, called after both: `address__city`. Lists stay as they are. "
    "A record of which two fields would have one name is a bad record.",
    "properties": {
        "field": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "The object, at the top of the record; default: all of which the SCHEMA names fields.",
        },
        "separator": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "default": "__",
            "description": "What stands between the names.",
        },
        "depth": {
            "type": "integer",
            "minimum": 1,
            "maximum": 20,
            "default": 1,
            "description": "How many levels of objects inside each other are taken apart.",
        },
    },
}

_raws = msgspec.json.Decoder(dict[str, Raw])


@dataclass(frozen=True)
class _Flatten:
    place: str
    field: str | None
    separator: str
    depth: int
    makes_others = True
    """Fields that no SCHEMA names, of objects in which there are such."""

    def outcome(self, shape: Shape) -> Shape:
        if self.field is not None:
            if self.field not in shape.fields:
                raise Impossible(f"the SCHEMA has no field `{self.field}` at the top")
            check_kind(shape.fields[self.field], {"object"}, self.field)
            if not properties_of(shape.fields[self.field]):
                raise Impossible(f"the SCHEMA names no fields inside `{self.field}`")
        for _ in range(self.depth):
            apart = self._apart(shape.fields) if shape is not None else []
            if not apart:
                break
            shape = self._level(shape, apart)
        return shape

    def _apart(self, fields: Mapping[str, Any]) -> list[str]:
        """Return the fields that are objects to be taken apart at one level."""
        prefix = None if self.field is None else self.field + self.separator
        return [
            name
            for name, schema in fields.items()
            if (prefix is None or name == self.field or name.startswith(prefix))
            and types_of(schema) - {"null"} == {"object"}
            and properties_of(schema)
        ]

    def _level(self, shape: Shape, apart: list[str]) -> Shape:
        fields: dict[str, Any] = {}
        for name, schema in shape.fields.items():
            if name not in apart:
                fields[name] = schema
                continue
            if name in shape.keys:
                raise Impossible(f"`{name}` is in the key of the stream")
            for inner, one in properties_of(schema).items():
                called = name + self.separator + inner
                shape.check_free(Path(called), "separator")
                if called in fields:
                    raise Impossible(f"two fields would be called `{called}`", "separator")
                fields[called] = or_null(one if isinstance(one, Mapping) else {})
        return shape.only(shape.fields.keys() - set(apart), "field").with_fields(fields)

    def apply(self, block: Block, before: Shape, /) -> None:
        for _ in range(self.depth):
            apart = self._apart(before.fields)
            if not apart:
                return
            for name in apart:
                self._take_apart(block, name, list(properties_of(before.fields[name])))
            before = self._level(before, apart)

    def _take_apart(self, block: Block, name: str, inner: list[str]) -> None:
        names = {one: name + self.separator + one for one in inner}
        texts = block.columns[name]
        none = [UNSET] * len(texts)
        columns: dict[str, list[Any]] = {
            called: list(block.columns.get(called, none)) for called in names.values()
        }
        whole: list[Any] = list(none)
        for row, text in enumerate(texts):
            for member, value in self._members(block, row, name, text, inner):
                called = names.get(member) or name + self.separator + member
                if called == DELETED_AT:
                    block.refuse(
                        row, Bad(called, "expected no field that tells of a deleted row", self.place)
                    )
                    continue
                if called not in columns:  # one that the SCHEMA does not name
                    columns[called] = list(block.columns.get(called, none))
                if columns[called][row] is UNSET:
                    columns[called][row] = value
                else:
                    block.refuse(row, Bad(called, "expected one field of this name, got two", self.place))
            if row in block.bad and not self._is_object(text):
                whole[row] = HIDDEN
        made: dict[str, Any] = {}
        for one, column in block.columns.items():
            if one == name:
                made |= columns
            elif one not in columns:
                made[one] = column
        if HIDDEN in whole:  # it may hold what is hidden once it is taken apart
            made[name] = whole
        block.columns = made

    def _is_object(self, text: Any) -> bool:
        return text is UNSET or bytes(text)[:1] in (b"{", b"n")

    def _members(
        self, block: Block, row: int, name: str, text: Any, inner: list[str]
    ) -> Iterator[tuple[str, Any]]:
        if text is UNSET:
            return
        if bytes(text) == b"null":
            yield from ((one, NULL) for one in inner)
            return
        try:
            yield from _object_of(bytes(text)).items()
        except ValueError:
            if block.nulled(row, Bad(name, "expected an object", self.place)):
                yield from ((one, NULL) for one in inner)


def _object_of(text: bytes) -> dict[str, Any]:
    try:
        return _raws.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = loads(text)
        if not isinstance(found, dict):
            raise ValueError from None
        return {name: Raw(text_of(value)) for name, value in found.items()}


def made(said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says."""
    return _Flatten(place, said.get("field"), said.get("separator", "__"), said.get("depth", 1))
