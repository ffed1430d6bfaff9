"""Columns of objects that are taken apart (`nested`): a table has one where some object had to stay whole, or from before they were taken apart.

Such a column is one of the stream: in a row whose object is taken apart it has null, so that no row says two things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from singerkit_sql_target.dialect import ExistingColumn
from singerkit_sql_target.fitting import Fitting
from singerkit_sql_target.names import fold
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.stream import Stream

__all__ = ["with_wholes_of"]

_DOCUMENTS = frozenset({"json", "jsonb"})
_NULL = {"type": ["null"]}
"""What goes to a column of another type: nothing, where it is taken apart; what is no object brings a SCHEMA with its own."""


def _of_others(fitting: Fitting, there: Mapping[str, ExistingColumn]) -> frozenset[str]:
    """The columns of elements of lists that no SCHEMA names any more: their rows are told by their place, and one that comes has nothing of the one that was there."""
    if fitting.stream.lists_of is None:
        return frozenset()
    return frozenset(
        name
        for name, column in there.items()
        if not (name.startswith("_sdc_") or column.comment or column.has_default)
        and fitting.words.column_name(fitting.column(name)) == name
    )


def with_wholes_of(fitting: Fitting, there: Mapping[str, ExistingColumn]) -> Stream:
    """Return the stream of a table with the columns that it has for objects that are taken apart: of documents, or of what they were before."""
    stream, words = fitting.stream, fitting.words
    types = {fold(name, words): column.type.lower() for name, column in there.items()}
    found = {
        name: types[short]
        for name in sorted((stream.apart | _of_others(fitting, there)) - set(stream.column_names))
        if (short := fold(words.column_name(fitting.column(name)), words)) in types
    }
    if not found:
        return stream
    schemas = {name: {} if type_ in _DOCUMENTS else _NULL for name, type_ in found.items()}
    columns = tuple(
        Column(name, Kind.JSON, nullable=True, required=False, schema=schema)
        for name, schema in schemas.items()
    )
    properties = {**stream.schema["properties"], **schemas}
    schema = {**stream.schema, "properties": properties}
    return replace(stream, schema=schema, columns=(*stream.columns, *columns))
