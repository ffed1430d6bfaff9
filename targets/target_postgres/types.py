"""The value table (DESIGN 6): one row per kind, with its column type and the existing types that keep its values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from singerkit_wire.kinds import Column, Kind
from target_postgres.ddl import ExistingColumn

__all__ = ["ORDERED", "VALUE_TABLE", "ColumnType", "column_type", "is_type_name", "keeps_values"]

_TEXT = frozenset({"text", "character varying"})
ORDERED = frozenset(
    {
        "int2",
        "int4",
        "int8",
        "numeric",
        "float4",
        "float8",
        "date",
        "timestamp",
        "timestamptz",
        "pg_lsn",
    }
)
"""Types whose order is that of what their values mean, by their own names."""
# What may stand in `x-sql-datatype` and `column_types`: a type name with optional numbers and brackets.
_SQL_TYPE = re.compile(
    r"[A-Za-z_][A-Za-z0-9_]*(?:[. ][A-Za-z_][A-Za-z0-9_]*)*(?:\([0-9]+(?:, ?[0-9]+)?\))?(?: [a-z ]+)?(?:\[\])?\Z"
)


@dataclass(frozen=True)
class ColumnType:
    """A PostgreSQL type as written in DDL; ``is_chosen`` when the user chose it, who then answers for its limits.

    ``is_default`` when that choice is for new columns (`number_type`).
    """

    sql: str
    is_chosen: bool = False
    is_default: bool = False


@dataclass(frozen=True)
class _Row:
    sql: str
    also_kept_by: frozenset[str]


VALUE_TABLE: Mapping[Kind, _Row] = {
    Kind.INTEGER: _Row("bigint", frozenset({"numeric"})),
    Kind.BIG_INTEGER: _Row("numeric", frozenset()),
    Kind.NUMBER: _Row("numeric", frozenset()),
    Kind.BOOLEAN: _Row("boolean", frozenset()),
    Kind.STRING: _Row("text", frozenset()),
    Kind.DATE_TIME: _Row("timestamp with time zone", frozenset()),
    Kind.DATE: _Row("date", frozenset()),
    Kind.TIME: _Row("time without time zone", frozenset()),
    Kind.UUID: _Row("uuid", frozenset()),
    Kind.BINARY: _Row("bytea", frozenset()),
    Kind.JSON: _Row("jsonb", frozenset({"json"})),
    Kind.ANY_TEXT: _Row("text", frozenset()),
}


def column_type(column: Column, chosen: str | None, number_type: str) -> ColumnType:
    """Return the type for a new column: the config's, else the schema's ``x-sql-datatype``, else the table's.

    Raises:
        ValueError: the chosen type is not the name of a type.
    """
    wanted = chosen or column.schema.get("x-sql-datatype")
    if wanted is not None:
        if not isinstance(wanted, str) or not is_type_name(wanted):
            raise ValueError(f"`{wanted}` is not the name of a PostgreSQL type")
        return ColumnType(wanted, is_chosen=True)
    if column.kind is Kind.NUMBER and number_type != "numeric":
        return ColumnType(number_type, is_chosen=True, is_default=True)
    return ColumnType(VALUE_TABLE[column.kind].sql)


def is_type_name(text: str) -> bool:
    """Tell whether a text may stand in `column_types`."""
    return bool(_SQL_TYPE.match(text))


def keeps_values(found: ExistingColumn, kind: Kind) -> bool:
    """Tell whether a column keeps every value of ``kind``.

    ``numeric(12,2)`` does not: PostgreSQL would round without a word.
    """
    row = VALUE_TABLE[kind]
    base = re.sub(r"\(.*\)", "", found.type)
    return found.type == row.sql or found.type in row.also_kept_by or base in _TEXT or found.is_citext
