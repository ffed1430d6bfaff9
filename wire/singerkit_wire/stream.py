"""What a stream is on the wire: its name, schema, key and columns, as its last SCHEMA message declares them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_shell.errors import BadDataError
from singerkit_wire.kinds import Column, Kind, columns_of

__all__ = ["DELETED_AT", "EXTRACTED_AT", "VERSION", "WHOLE_RECORD", "Stream", "of_messages", "stream_of"]

WHOLE_RECORD = "_record"
EXTRACTED_AT, VERSION, DELETED_AT = "_sdc_extracted_at", "_sdc_table_version", "_sdc_deleted_at"

_NOT_TEXT = frozenset({Kind.BIG_INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.JSON})


@dataclass(frozen=True)
class Stream:
    """A stream as its last SCHEMA message declares it; ``schema`` has its local references resolved.

    ``inferred``: fields whose types are what some records show, which later ones may contradict; our taps name them.
    ``left_out``: fields that the target does not take, whatever records hold. ``apart``: columns of what
    is taken apart, for what of it has to stay whole. ``lists_of``: the stream whose lists have these elements; the last field of the key
    is their place, and a record that says that its row is gone takes those behind it along. ``is_unnamed``: no SCHEMA of that stream names
    these lists any more, and all that comes is which elements go. ``takes_masks``: the target
    takes rows that leave fields out in one batch (`masks.py`). ``order``: the field that tells which of two rows with one key is the newer, so
    that they are two until the target has compared them. ``needed``: the fields by whose values sets of rows are replaced, so that each row counts.
    """

    name: str
    schema: Mapping[str, Any]
    key_properties: tuple[str, ...]
    columns: tuple[Column, ...]
    inferred: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()
    apart: frozenset[str] = frozenset()
    takes_masks: bool = False
    order: str | None = None
    needed: tuple[str, ...] = ()
    lists_of: str | None = None
    is_unnamed: bool = False
    said: bytes = dataclasses.field(default=b"", compare=False, repr=False)
    """The SCHEMA message as it came."""

    @property
    def is_whole_record(self) -> bool:
        """A schema without properties: each record is stored whole in one JSON column (SINGER-RULES S08)."""
        return [column.name for column in self.columns] == [WHOLE_RECORD] and not self.schema.get(
            "properties"
        )

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its columns but variants, which no record has."""
        return tuple(column.name for column in self.columns if column.variant_of is None)


def of_messages(stream: Stream) -> tuple[Column, ...]:
    """The columns that RECORD messages have a value for, beside the record."""
    return tuple(column for column in _OF_MESSAGES if column.name not in stream.column_names)


_OF_MESSAGES = (
    Column(EXTRACTED_AT, Kind.DATE_TIME, nullable=True, required=False),
    Column(VERSION, Kind.INTEGER, nullable=True, required=False),
)


def stream_of(
    name: str,
    schema: Mapping[str, Any],
    key_properties: tuple[str, ...],
    *,
    keeps_text: bool = False,
    inferred: Iterable[Any] = (),
    apart: Iterable[Any] = (),
    lists_of: str | None = None,
    is_unnamed: bool = False,
) -> Stream:
    """Return the stream of a SCHEMA message with resolved references; ``keeps_text`` as in `Loader`.

    ``{}`` and an empty ``properties`` store records whole (SINGER-RULES S08); a schema that says something and leaves
    ``properties`` out is a mistake of the tap, as it is to singer-sdk.

    Raises:
        BadDataError: a key property is not among the properties, or there are none.
    """
    if "properties" not in schema and schema.keys() - {"$schema", "$id", "title", "description"}:
        raise BadDataError(
            f"Expected `properties` in the schema of stream `{name}`, which has none; what was committed is safe: fix "
            "the tap or its catalog, or send `{}` to have records stored whole, then run again."
        )
    columns = columns_of(schema, key_properties)
    if keeps_text:
        columns = tuple(dataclasses.replace(column, kind=_as_text(column)) for column in columns)
    missing = [key for key in key_properties if key not in {column.name for column in columns}]
    if missing:
        raise BadDataError(
            f"Expected the key property `{missing[0]}` among the properties of stream `{name}`, which has none of "
            "that name; what was committed is safe: fix the tap or its catalog, then run again."
        )
    if not columns:
        columns = (Column(WHOLE_RECORD, Kind.JSON, nullable=False, required=True, schema={"type": "object"}),)
    return Stream(
        name,
        schema,
        key_properties,
        columns,
        frozenset(map(str, inferred)),
        apart=frozenset(map(str, apart)),
        lists_of=lists_of,
        is_unnamed=is_unnamed,
    )


def _as_text(column: Column) -> Kind:
    if column.kind is Kind.INTEGER:
        return Kind.BIG_INTEGER
    return column.kind if column.kind in _NOT_TEXT and not column.number_in_text else Kind.STRING
