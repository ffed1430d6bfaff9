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


def with_wholes_of(fitting: Fitting, there: Mapping[str, ExistingColumn]) -> Stream:
    """Return the stream of a table with the columns of documents that it has for objects that are taken apart."""
    stream, words = fitting.stream, fitting.words
    documents = {fold(name, words) for name, column in there.items() if column.type.lower() in _DOCUMENTS}
    found = [
        name
        for name in sorted(stream.apart - set(stream.column_names))
        if fold(words.column_name(fitting.column(name)), words) in documents
    ]
    if not found:
        return stream
    columns = tuple(Column(name, Kind.JSON, nullable=True, required=False) for name in found)
    properties = {**stream.schema["properties"], **{name: {} for name in found}}
    schema = {**stream.schema, "properties": properties}
    return replace(stream, schema=schema, columns=(*stream.columns, *columns))
