"""`constant`: a field that has one value in all records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from singerkit_catalog.schema import draft_of, or_null
from singerkit_map.block import Block
from singerkit_map.contract import ANY, OfValue, Operation, Schema, Shape
from singerkit_map.jsontexts import text_of
from singerkit_map.paths import Path, path_of, schema_at
from singerkit_shell.errors import ConfigurationError

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": "A field that has one value in all records: a new one, or with `over` one that is there.",
    "required": ["field", "value"],
    "properties": {
        "field": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "The field: a new one at the top of the record, with `over` one at any depth.",
        },
        "value": {
            "type": ["string", "integer", "number", "boolean", "null"],
            "description": "Its value; null with `over` alone, where it empties the field.",
        },
        "over": {
            "type": "boolean",
            "default": False,
            "description": "Whether a field that is there already gets the value, too: its own is gone, as behind `mask`. A key cannot.",
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


@dataclass(frozen=True)
class _Over:
    """Works on a field that is there as other operations on values do, and makes one that is not."""

    place: str
    field: str
    value: Any
    protects = True

    def outcome(self, shape: Shape) -> Shape:
        return self._on(shape).outcome(shape)

    def apply(self, block: Block, before: Shape) -> None:
        self._on(before).apply(block, before)

    def may_be_null(self, before: Shape) -> list[Path]:
        """Return the paths of what becomes null with `on_error: null`."""
        operation = self._on(before)
        return operation.may_be_null(before) if isinstance(operation, OfValue) else []

    def _on(self, shape: Shape) -> Operation:
        path = path_of(self.field, shape.fields)
        if path.top not in shape.fields and not path.is_nested and self.value is not None:
            return _Constant(self.place, self.field, self.value)
        schema_at(shape.fields, path)
        return OfValue(
            self.place,
            self.field,
            lambda _value: self.value,
            self._schema_of,
            takes=ANY,
            protects=True,
            null=self.value,
            missing=self.value,
        )

    def _schema_of(self, schema: Schema) -> Schema:
        if self.value is None:
            return or_null(schema)
        if draft_of(schema)(schema).is_valid(self.value):
            return schema
        return {"type": _TYPES.get(type(self.value), "number")}


def made(said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says.

    Raises:
        ConfigurationError: null would be the value of a new field.
    """
    if said.get("over"):
        return _Over(place, said["field"], said["value"])
    if said["value"] is None:
        raise ConfigurationError(
            f'Expected a value at `{place}.value`, got null, which empties fields that are there; nothing was read: write `"over": true` for that.'
        )
    return _Constant(place, said["field"], said["value"])
