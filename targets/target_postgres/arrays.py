"""Columns of arrays, as other loaders make them for JSON arrays: what they keep, and how a value is written for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_catalog.admitted import json_types
from singerkit_wire.kinds import Column, Kind
from target_postgres.ddl import ExistingColumn

__all__ = ["arrays_of", "keeps_arrays", "with_arrays"]

_HOLDS: Mapping[str, frozenset[str]] = {
    "_jsonb": frozenset({"object", "array", "string", "number", "integer", "boolean", "null"}),
    "_text": frozenset({"string", "null"}),
    "_int8": frozenset({"integer", "null"}),
    "_numeric": frozenset({"number", "integer", "null"}),
    "_bool": frozenset({"boolean", "null"}),
}
"""By the name of a type of arrays, what its elements may be in JSON."""

_elements = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)


def keeps_arrays(column: Column, found: ExistingColumn) -> bool:
    """Tell whether a column of arrays keeps every value of a property, which are arrays by its schema."""
    if column.kind is not Kind.JSON or found.base not in _HOLDS or found.typmod >= 0:
        return False
    items = column.schema.get("items")
    types = json_types(items) if isinstance(items, Mapping) else _HOLDS["_jsonb"]
    return json_types(column.schema) - {"null"} == {"array"} and types <= _HOLDS[found.base]


def arrays_of(columns: Iterable[Column], held: Mapping[str, ExistingColumn]) -> dict[str, str]:
    """Return the fields whose documents go to columns of arrays, with the names of their types."""
    return {
        one.name: held[one.name].base
        for one in columns
        if one.kind is Kind.JSON and held[one.name].base in _HOLDS
    }


def with_arrays(rows: Iterable[tuple[Any, ...]], arrays_at: Mapping[int, str]) -> list[tuple[Any, ...]]:
    """Return rows with JSON arrays as PostgreSQL writes its own; what is none, or has an element of another type, it refuses."""
    return [
        tuple(
            _literal(value, arrays_at[index]) if index in arrays_at and value is not None else value
            for index, value in enumerate(row)
        )
        for row in rows
    ]


def _literal(text: str, base: str) -> str:
    try:
        elements = [_element(str(raw, "utf-8"), base) for raw in _elements.decode(text)]
    except (msgspec.MsgspecError, ValueError):
        return f"[{text}"  # which is malformed as an array, whatever it is in JSON
    return f"{{{','.join(elements)}}}"


def _element(text: str, base: str) -> str:
    """Return an element as it stands in an array; raises ValueError when the type does not hold it as it is."""
    if base == "_jsonb":
        return _quoted(text)
    if text == "null":
        return "NULL"
    if base == "_text":
        return _quoted(_text.decode(text))
    if base == "_bool" and text in ("true", "false"):
        return text
    if base == "_bool" or not (text[0] == "-" or text[0].isdigit()):
        raise ValueError(text)
    if base == "_int8":
        number = Decimal(text)
        if number != number.to_integral_value() or number.adjusted() > 20:
            raise ValueError(text)
        return str(int(number))
    return text


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
