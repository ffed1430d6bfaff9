"""Rows as Arrow that DuckDB scans, and the expression that makes of each array the type of its column.

DuckDB never reads JSON or infers a type. Its cast of text to a decimal rounds without a word, and is slow beyond 18 digits:
so only text that fits DECIMAL(18,9) by its look is cast there, and all other numbers are scaled before, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from singerkit_sql_target.arrays import (
    Array,
    are_short,
    array_of,
    as_decimals,
    as_numbers,
    as_text,
    number_texts,
    numbered,
    place,
)
from singerkit_sql_target.field import ORDER, Field
from singerkit_wire.kinds import Kind
from target_duckdb.types import TYPES

__all__ = ["ROWS", "Rows", "arrays_of", "as_arrow", "as_rows"]

ROWS = "_singerkit_rows"
"""The name under which DuckDB scans rows."""

_TEXT = "nullif({}, 'null')"
"""What a number is written as."""
_SHORT = 9
"""Digits before the point, and after it, of a number whose cast by DuckDB is exact and quick."""


@dataclass(frozen=True)
class Rows:
    """``count`` rows, and what to select from them; where that is the same, they may stand in one stream."""

    array: Array
    count: int
    selected: str


def as_arrow(fields: Sequence[Field], columns: Sequence[Sequence[Any]], first: int) -> Rows:
    """Return rows as Arrow, numbered from ``first``."""
    return as_rows(*arrays_of(fields, columns), len(columns[0]), first)


def arrays_of(
    fields: Sequence[Field], columns: Sequence[Sequence[Any]]
) -> tuple[Sequence[Array], Sequence[str]]:
    """Return an array for each column, and what DuckDB makes of the column ``{}``."""
    arrays, expressions = zip(*map(_encoded, fields, columns), strict=True)
    return arrays, expressions


def as_rows(arrays: Sequence[Array], expressions: Sequence[str], count: int, first: int) -> Rows:
    """Return ``count`` rows of what `arrays_of` has returned, numbered from ``first``."""
    selected = [expression.format(place(index)) for index, expression in enumerate(expressions)]
    return Rows(numbered(arrays, count, first), count, ", ".join([*selected, ORDER]))


def _encoded(field: Field, values: Sequence[Any]) -> tuple[Array, str]:
    """An array, and what DuckDB makes of the column ``{}``."""
    kind, type_ = field.column.kind, field.type
    if kind in (Kind.NUMBER, Kind.BIG_INTEGER):
        return _number(values, type_)
    # Not cast to a clock without a zone: what a moment is there would depend on the zone of the session.
    moment = f"CAST({{}} AS {TYPES.table[Kind.DATE_TIME]})"
    is_local = kind is Kind.DATE_TIME and type_ == "TIMESTAMP"
    return array_of(
        kind, values
    ), f"make_timestamp(epoch_us({moment}))" if is_local else f"CAST({{}} AS {type_})"


def _number(texts: Sequence[bytes], type_: str) -> tuple[Array, str]:
    cast = f"CAST({{}} AS {type_})"
    if type_ == TYPES.table[Kind.STRING]:  # a key of integers: `12.0` is `12`
        return as_text(
            [None if text is None else str(int(Decimal(text))) for text in number_texts(texts)]
        ), cast
    digits = TYPES.digits_of(type_)
    if digits is None:
        return as_numbers(texts), f"CAST({_TEXT} AS {type_})"
    if min(digits) >= _SHORT and are_short(texts, _SHORT):
        return as_numbers(texts), f"CAST(CAST({_TEXT} AS DECIMAL(18,{_SHORT})) AS {type_})"
    return as_decimals(texts, digits), cast
