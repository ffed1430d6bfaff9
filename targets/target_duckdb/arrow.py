"""A batch as Arrow columns that DuckDB scans, and the expression that makes of each the type of its column.

DuckDB never reads JSON or infers a type. Its cast of text to a decimal rounds without a word, and is slow beyond 18 digits:
so only text that fits DECIMAL(18,9) by its look is cast there, and all other numbers are scaled here, exactly.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any

import nanoarrow as na

from singerkit_sql_target.dialect import ORDER, Field
from singerkit_wire.kinds import Kind
from target_duckdb.types import TYPES

__all__ = ["ROWS", "as_arrow"]

ROWS = "_singerkit_rows"
"""The name under which DuckDB scans a batch."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_TEN_DIGITS = b"0" * 10
_EXACT = Context(prec=1000, Emax=MAX_EMAX, Emin=MIN_EMIN)

Encoded = tuple[Any, Any, str]
"""Type and array for Arrow, and what DuckDB makes of the column ``{}``."""


def as_arrow(fields: Sequence[Field], columns: Sequence[Sequence[Any]], first: int) -> tuple[Any, str]:
    """Return what DuckDB can scan, and what to select from it; the rows are numbered from ``first``."""
    count = len(columns[0])
    encoded = [
        _ENCODERS[field.column.kind](values, field.type)
        for field, values in zip(fields, columns, strict=True)
    ]
    names = [f"c{index}" for index in range(len(encoded))]
    order = na.c_array_from_buffers(na.int64(), count, [None, array("q", range(first, first + count))])
    types = {name: type_ for name, (type_, _, _) in zip(names, encoded, strict=True)} | {ORDER: na.int64()}
    struct = na.c_array_from_buffers(
        na.struct(types), count, [None], children=[*(found for _, found, _ in encoded), order]
    )
    selected = [expression.format(name) for name, (_, _, expression) in zip(names, encoded, strict=True)]
    return na.Array(struct), ", ".join([*selected, ORDER])


def _plain(type_: Any) -> Callable[[Sequence[Any], str], Encoded]:
    return lambda values, _: (type_, na.c_array(values, type_), "{}")


def _spelt(spell: Callable[[Any], str]) -> Callable[[Sequence[Any], str], Encoded]:
    def encode(values: Sequence[Any], type_: str) -> Encoded:
        texts = [None if value is None else spell(value) for value in values]
        return na.string(), na.c_array(texts, na.string()), f"CAST({{}} AS {type_})"

    return encode


def _document(values: Sequence[Any], type_: str) -> Encoded:
    return na.string(), na.c_array(values, na.string()), f"CAST({{}} AS {type_})"


def _moments(values: Sequence[Any], type_: str) -> Encoded:
    # Written out: a call for each value would cost as much again.
    micros = [
        None
        if value is None
        else ((since := value - _EPOCH).days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        for value in values
    ]
    make = "make_timestamp" if type_ == "TIMESTAMP" else "make_timestamptz"
    return na.int64(), na.c_array(micros, na.int64()), f"{make}({{}})"


def _numbers(texts: Sequence[str | None], type_: str) -> Encoded:
    if type_ == "VARCHAR":  # a key of integers: `12.0` is `12`
        texts = [None if text is None else str(int(Decimal(text))) for text in texts]
    if type_ in TYPES.inexact or type_ == "VARCHAR":
        return na.string(), na.c_array(texts, na.string()), f"CAST({{}} AS {type_})"
    before, after = TYPES.digits_of(type_) or (0, 0)
    if before >= 9 and after >= 9 and _are_short(texts):
        cast = f"CAST(CAST({{}} AS DECIMAL(18,9)) AS {type_})"
        return na.string(), na.c_array(texts, na.string()), cast
    decimal = na.decimal128(38, after)
    return decimal, _scaled(texts, after, decimal), f"CAST({{}} AS {type_})"


def _are_short(texts: Sequence[str | None]) -> bool:
    """Whether no number has an exponent, or more than nine digits before or after the point."""
    joined = ",".join(filter(None, texts)).encode()
    return b"e" not in joined and b"E" not in joined and _TEN_DIGITS not in joined.translate(_ZEROS)


def _scaled(texts: Sequence[str | None], after: int, type_: Any) -> Any:
    """Decimals as the integers that Arrow keeps; ValueError when a digit would go."""
    whole = [0 if text is None else _scaled_one(text, after) for text in texts]
    data = b"".join([number.to_bytes(16, "little", signed=True) for number in whole])
    return na.c_array_from_buffers(type_, len(texts), [_validity(texts), data])


def _scaled_one(text: str, after: int) -> int:
    scaled = Decimal(text).scaleb(after, _EXACT)
    number = int(scaled)
    if number != scaled or abs(number) >= 10**38:
        raise ValueError("a number has more digits than its column")
    return number


def _validity(values: Sequence[Any]) -> bytes | None:
    """Arrow's bitmap of what is not null."""
    if None not in values:
        return None
    bits = "".join(["0" if value is None else "1" for value in values])[::-1]
    return int(bits, 2).to_bytes((len(values) + 7) // 8, "little")


_ENCODERS: Mapping[Kind, Callable[[Sequence[Any], str], Encoded]] = {
    Kind.INTEGER: _plain(na.int64()),
    Kind.BIG_INTEGER: _numbers,
    Kind.NUMBER: _numbers,
    Kind.BOOLEAN: _plain(na.bool_()),
    Kind.STRING: _plain(na.string()),
    Kind.ANY_TEXT: _plain(na.string()),
    Kind.DATE_TIME: _moments,
    Kind.DATE: _spelt(str),
    Kind.TIME: _spelt(str),
    Kind.UUID: _spelt(str),
    Kind.BINARY: _plain(na.binary()),
    Kind.JSON: _document,
}
