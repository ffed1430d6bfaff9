"""Values that are not of the type of their column: what becomes of them (docs/decisions/0056).

A field may have two columns: its own, and a *variant* of text beside it, in which a value stands as it came where the own one
cannot hold it. A row has a value in at most one of them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from singerkit_catalog.admitted import json_types
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.stream import Stream

__all__ = ["Conflicts", "OnConflict", "admits", "odd_fields", "pairs", "policies", "with_variant"]


class OnConflict(enum.Enum):
    """What becomes of a value that is not of the type of its column, where no wider type holds both."""

    VARIANT = "variant"
    WIDEN = "widen"
    QUARANTINE = "quarantine"
    FAIL = "fail"


@dataclass(frozen=True)
class Conflicts:
    """`on_type_conflict` of a run: what it says of a field of a stream; None: such a record is refused as any that is invalid.

    ``takes_unstorable``: nobody has said by `on_unstorable` what becomes of values of the right type that their column cannot
    hold, such as dates that do not exist; ``takes_no_json``: somebody has said by `on_type_conflict` what becomes of NaN and infinities.
    """

    of: Callable[[str, str], OnConflict | None] = lambda _stream, _field: None
    takes_unstorable: bool = False
    takes_no_json: bool = False


def policies(stream: Stream, conflicts: Conflicts) -> dict[str, OnConflict]:
    """Return what is said of each field that is no part of the key."""
    if stream.is_whole_record:
        return {}
    fields = [column.name for column in stream.columns if column.variant_of is None]
    found = {name: conflicts.of(stream.name, name) for name in fields if name not in stream.key_properties}
    return {name: policy for name, policy in found.items() if policy is not None}


_NAMES = frozenset({"null", "boolean", "integer", "number", "string", "object", "array"})


def odd_fields(stream: Stream, fields: Collection[str]) -> dict[str, frozenset[str]]:
    """Return the JSON types that the schema names of each of ``fields``, but of those of which it names none."""
    found = {column.name: json_types(column.schema) for column in stream.columns if column.name in fields}
    return {name: types for name, types in found.items() if types and types <= _NAMES}


def admits(types: frozenset[str], value: Any) -> bool:
    """Tell whether a value is of one of the JSON types."""
    match value:
        case None:
            return "null" in types
        case bool():
            return "boolean" in types
        case str():
            return "string" in types
        case dict():
            return "object" in types
        case list():
            return "array" in types
        case int():
            return bool(types & {"integer", "number"})
        case Decimal():
            is_whole = value.is_finite() and value == value.to_integral_value()
            return "number" in types or ("integer" in types and is_whole)
    return "number" in types


def with_variant(stream: Stream, field: str, name: str, *, takes_all: bool = False) -> Stream:
    """Return the stream with a column ``name`` for the values of ``field`` that its own does not hold, or for all of them."""
    [home] = [column for column in stream.columns if column.name == field]
    variant = Column(name, Kind.ANY_TEXT, nullable=True, required=False, variant_of=field, is_filler=True)
    if takes_all:
        variant = replace(
            home, name=name, kind=Kind.ANY_TEXT, number_in_text=False, variant_of=field, is_filler=False
        )
    variant = replace(variant, is_declared=home.is_declared)
    columns = [
        replace(column, is_filler=takes_all) if column.name == field else column
        for column in stream.columns
        if column.variant_of != field
    ]
    return replace(stream, columns=(*columns, variant))


def pairs(stream: Stream) -> dict[str, tuple[int, int]]:
    """Return the places of the own column and the variant of each field that has both."""
    places = {column.name: place for place, column in enumerate(stream.columns)}
    return {
        column.variant_of: (places[column.variant_of], place)
        for place, column in enumerate(stream.columns)
        if column.variant_of is not None
    }
