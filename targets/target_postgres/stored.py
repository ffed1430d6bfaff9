"""What the columns that are there make of a stream's values: the kinds in which they are given, and which keys they keep.

A text column keeps the text as it was sent, whatever its schema says of it, and however it came to be a text column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.decimals import as_text
from singerkit_sql_target.fitting import Fitting, is_mixed
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.stream import Stream
from target_postgres.ddl import ExistingColumn

__all__ = ["HEADER", "as_stored", "check_keys", "keeps_keys", "scale_of"]

_TEXT = frozenset({"text", "varchar", "bpchar", "citext"})
_CUTS = frozenset({"name", "char"})  # PostgreSQL's own types for names: longer text is cut without a word
_BY_LOCALE = "money"  # where a comma is the point, `12.34` is 1234
_CLOCKS: Mapping[str, Kind] = {
    "timestamptz": Kind.DATE_TIME,
    "timestamp": Kind.DATE_TIME,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "timetz": Kind.TIME,
}
_NUMBERS = frozenset({"numeric", "int2", "int4", "int8", "float4", "float8"})
HEADER = 4  # of a typmod: `varchar(5)` has 9
_INTEGERS = frozenset({"int2", "int4", "int8", "numeric"})
_KEEPS_KEYS: Mapping[Kind, frozenset[str]] = {
    Kind.INTEGER: _INTEGERS,
    Kind.BIG_INTEGER: _INTEGERS,
    Kind.NUMBER: frozenset({"numeric"}),
    Kind.BOOLEAN: frozenset({"bool"}),
    Kind.STRING: frozenset({"uuid"}),
    Kind.DATE_TIME: frozenset({"timestamptz", "timestamp"}),
    Kind.DATE: frozenset({"date", "timestamptz", "timestamp"}),
    Kind.TIME: frozenset({"time"}),
    Kind.UUID: frozenset({"uuid"}),
    Kind.BINARY: frozenset({"bytea"}),
    Kind.JSON: frozenset({"jsonb"}),
    Kind.ANY_TEXT: frozenset(),
}
"""Types besides text in which different keys stay different."""


def as_stored(fitting: Fitting, held: Mapping[str, ExistingColumn]) -> Stream:
    """Return the stream with the kinds that its columns take; ``held`` says by field which columns these are.

    Raises:
        BadDataError: a column is of a type that cuts text.
    """
    stream = fitting.stream
    columns = tuple(_as_stored(stream, column, held[column.name]) for column in stream.columns)
    if fitting.settings.appends(fitting.stream.name):  # every row is kept, whatever becomes of its key
        columns = tuple(replace(column, is_key=False) for column in columns)
    fitting.tell_of_mixed(columns)
    for declared, column in zip(stream.columns, columns, strict=True):
        if column.is_key and held[column.name].base in _TEXT:
            fitting.tell_of_key_in_text(declared, held[column.name].type)
    return replace(stream, columns=columns)


def _as_stored(stream: Stream, column: Column, held: ExistingColumn) -> Column:
    if held.base in _CUTS:
        raise BadDataError(
            f"Expected a column that keeps text whole for `{column.name}` of stream `{stream.name}`, got `{held.type}`, "
            "which PostgreSQL cuts; what is stored is untouched: choose `text`, then run again."
        )
    if held.base == _BY_LOCALE:
        raise BadDataError(
            f"Expected a column that keeps values for `{column.name}` of stream `{stream.name}`, got `{held.type}`, which "
            "PostgreSQL reads by the server's locale and rounds; what is stored is untouched: choose `numeric`, then run again."
        )
    if held.base in _TEXT:
        return replace(
            column,
            kind=as_text(column),
            number_in_text=False,
            longest=held.typmod - HEADER if held.typmod > HEADER else None,
            keeps_blanks=held.base != "bpchar",
        )
    if column.kind is Kind.BINARY and held.base != "bytea":
        column = replace(column, kind=Kind.STRING)
    return _as_read(column, held)


def _as_read(column: Column, held: ExistingColumn) -> Column:
    """Return the column with the kind as which its text is read here, and not by PostgreSQL.

    To that `now` is the moment of the load, a `timestamp` drops the offset that it is given, a `date` and a `time` the rest
    of a longer text, and a number is `1_000`, too.
    """
    kind = _CLOCKS.get(held.base)
    if kind in (Kind.DATE_TIME, Kind.TIME) and held.typmod >= 0:
        column = replace(column, second_digits=held.typmod)
    if column.kind is Kind.DATE and kind is Kind.DATE_TIME:
        return column
    if column.kind in (Kind.STRING, *_CLOCKS.values()) and kind is not None:
        return replace(column, kind=kind)
    if column.kind is Kind.STRING and held.base == "uuid":
        return replace(column, kind=Kind.UUID)
    if column.kind is Kind.STRING and held.base in _NUMBERS:
        return replace(column, kind=Kind.NUMBER, number_in_text=True)
    return column


def check_keys(fitting: Fitting, held: Mapping[str, ExistingColumn]) -> None:
    """See that two keys of the source never become one row: what a column rounds, folds or cuts is no key.

    Raises:
        BadDataError: a key column does.
    """
    for column in fitting.stream.columns:
        if not column.is_key or column.is_always_null or keeps_keys(column, held[column.name]):
            continue
        there = held[column.name]
        kind = f"`{there.type}`" + (
            "" if there.is_exact else " in a collation that takes different text to be equal"
        )
        raise fitting.merges_keys(column, kind)


def keeps_keys(column: Column, held: ExistingColumn) -> bool:
    """Tell whether different keys stay different there."""
    if held.base in _TEXT:
        return held.base != "citext" and held.is_exact and not is_mixed(column)
    if held.is_enum:
        return True
    if held.base == "numeric" and held.typmod >= 0:
        return column.kind in (Kind.INTEGER, Kind.BIG_INTEGER) and scale_of(held.typmod) >= 0
    if held.base in ("timestamptz", "timestamp", "time") and 0 <= held.typmod < 6:
        return False
    return held.base in _KEEPS_KEYS[column.kind]


def scale_of(typmod: int) -> int:
    """The digits after the point; in eleven bits since PostgreSQL 15, which has negative ones, too."""
    return ((typmod - HEADER) & 0x7FF ^ 0x400) - 0x400
