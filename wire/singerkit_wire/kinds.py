"""What a property holds: JSON Schema reduced to one kind, as far as storage is concerned."""

from __future__ import annotations

import binascii
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from singerkit_catalog.admitted import json_types, string_formats
from singerkit_wire.domain import Numbers

__all__ = ["Column", "Kind", "classify", "columns_of", "from_base64"]


class Kind(enum.Enum):
    """One kind is one row of the value table (DESIGN 6): a decoder here, a column type in each target."""

    INTEGER = "integer"
    BIG_INTEGER = "big integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    STRING = "string"
    DATE_TIME = "date-time"
    DATE = "date"
    TIME = "time"
    UUID = "uuid"
    BINARY = "binary"
    JSON = "json"
    ANY_TEXT = "any value, as text"


_STRING_FORMATS = {
    "date-time": Kind.DATE_TIME,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "uuid": Kind.UUID,
    "singer.decimal": Kind.NUMBER,
    "x-singer.decimal": Kind.NUMBER,
}


@dataclass(frozen=True)
class Column:
    """A top-level property of a stream.

    ``number_in_text`` marks decimals that travel as JSON strings (``x-singer.decimal``). ``longest`` is the number of
    characters that the store's column holds; one that does not keep blanks at the end says so in ``keeps_blanks``.
    ``numbers`` are the decimals that it holds, where these are fewer than those of the store's `Domain`.
    ``second_digits`` is how many digits of a second it holds, which rounds more. ``is_declared`` is false of a field that no SCHEMA names (`extra: load`).
    ``variant_of`` is the field whose values stand here where its own column does not hold them; ``is_filler``: of these two it is the one that
    holds none of those that the schema admits.
    """

    name: str
    kind: Kind
    nullable: bool
    required: bool
    schema: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)
    number_in_text: bool = False
    is_key: bool = False
    longest: int | None = None
    keeps_blanks: bool = True
    second_digits: int = 6
    numbers: Numbers | None = None
    is_declared: bool = True
    variant_of: str | None = None
    is_filler: bool = False

    @property
    def is_always_null(self) -> bool:
        """Whether the schema admits null alone: what an inference says of a field that has had no value yet."""
        return json_types(self.schema) == {"null"}


def columns_of(schema: Mapping[str, Any], key_properties: tuple[str, ...]) -> tuple[Column, ...]:
    """Return the columns of a resolved stream schema in its order; keys are required and never null."""
    required = set(schema.get("required", ()))
    return tuple(
        _column(name, prop if isinstance(prop, Mapping) else {}, name in key_properties, name in required)
        for name, prop in (schema.get("properties") or {}).items()
    )


def _column(name: str, prop: Mapping[str, Any], is_key: bool, is_required: bool) -> Column:
    kind, nullable, number_in_text = classify(prop)
    return Column(
        name=name,
        kind=kind,
        nullable=nullable and not is_key,
        required=is_required or is_key,
        schema=prop,
        number_in_text=number_in_text,
        is_key=is_key,
    )


def classify(prop: Mapping[str, Any]) -> tuple[Kind, bool, bool]:
    """Return (kind, nullable, number_in_text) of a property schema.

    Several JSON types in one property have no common SQL type that keeps ``5`` and ``"5"`` apart, so they are
    stored as JSON; ``x-sql-datatype`` overrides the column type (docs/values.md).
    """
    types = json_types(prop)
    nullable = "null" in types
    types = types - {"null"}
    if types == {"string"}:
        kind = _string_kind(prop)
        return kind, nullable, kind is Kind.NUMBER
    if types == {"integer"}:
        return Kind.INTEGER, nullable, False
    if types in ({"number"}, {"number", "integer"}):
        return Kind.NUMBER, nullable, False
    if types == {"boolean"}:
        return Kind.BOOLEAN, nullable, False
    return Kind.JSON, nullable, False


def _string_kind(prop: Mapping[str, Any]) -> Kind:
    formats = set(string_formats(prop))
    if len(formats) == 1:
        (only,) = formats
        if only in _STRING_FORMATS:
            return _STRING_FORMATS[only]
        if only == "base64":
            return Kind.BINARY
    return Kind.STRING


def from_base64(text: str) -> bytes | None:
    """Return the bytes of text in base64, None where it is no such text, or would not come back as it is."""
    try:
        found = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # not ASCII, too
        return None
    return found if binascii.b2a_base64(found, newline=False) == text.encode() else None
