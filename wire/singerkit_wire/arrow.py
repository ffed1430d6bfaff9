"""A batch as Arrow columns, each made the cheapest way for its kind; no number passes through a float or is rounded.

Numbers are one buffer, the JSON text of all of them, which a kernel of Arrow reads as decimals: it raises where a digit
would get lost. Text without escapes is such a buffer, too. pyarrow, and none of the lighter carriers, because of that
kernel (docs/decisions/0030-columns-are-pyarrows.md).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Any

from msgspec import Raw

from singerkit_shell.errors import ConfigurationError
from singerkit_wire.fit import DoesNotFit, Misfit
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.values import number_texts, values_of
from singerkit_wire.wirecolumns import WireColumns

try:
    import pyarrow as pa
    import pyarrow.compute as pc
except ImportError:
    raise ConfigurationError(
        "This target loads rows in columns, and pyarrow, which makes them, is not installed; what was committed is safe: "
        "install it with `pip install 'singerkit[arrow]'`, then run again."
    ) from None

__all__ = ["DECIMAL", "WIDE_INTEGER", "arrow_schema", "arrow_type", "as_arrow"]

DECIMAL = (38, 9)
"""Precision and scale of a column of numbers whose `Column.numbers` says nothing else."""
WIDE_INTEGER = (38, 0)
"""The same for integers beyond 64 bits."""

_WIDEST_128, _WIDEST_256 = 38, 76  # digits
_NULL = pa.scalar("null")
_NO_TEXT = pa.scalar(None, pa.string())

_TYPES: Mapping[Kind, Any] = {
    Kind.INTEGER: pa.int64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.STRING: pa.string(),
    Kind.DATE_TIME: pa.timestamp("us", "UTC"),
    Kind.DATE: pa.date32(),
    Kind.TIME: pa.time64("us"),
    Kind.UUID: pa.uuid(),
    Kind.BINARY: pa.binary(),
    Kind.JSON: pa.json_(),
    Kind.ANY_TEXT: pa.string(),
}


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the schema of the record batches of these columns.

    int64 (`INTEGER`), decimal (`NUMBER`: of the digits of `Column.numbers`, else `DECIMAL`; `BIG_INTEGER` likewise, else
    `WIDE_INTEGER`), bool, string (`STRING`, `ANY_TEXT`), timestamp[us, UTC], date32, time64[us], binary, and the
    extension types arrow.uuid and arrow.json, which DuckDB and Parquet read as UUID and JSON. All admit null.
    """
    return pa.schema([(column.name, arrow_type(column)) for column in columns])


def arrow_type(column: Column) -> pa.DataType:
    """Return the type of one column.

    Raises:
        ValueError: no decimal of Arrow has the digits of `Column.numbers`.
    """
    if column.kind not in (Kind.NUMBER, Kind.BIG_INTEGER):
        return _TYPES[column.kind]
    precision, scale = WIDE_INTEGER if column.kind is Kind.BIG_INTEGER else DECIMAL
    if column.numbers is not None:
        precision, scale = column.numbers.before + column.numbers.after, column.numbers.after
    if precision > _WIDEST_256:
        raise ValueError(f"no decimal of Arrow has {precision} digits")
    return (pa.decimal128 if precision <= _WIDEST_128 else pa.decimal256)(precision, scale)


def as_arrow(columns: Sequence[Column], rows: WireColumns) -> pa.RecordBatch:
    """Return rows as the decoder left them as a record batch.

    Raises:
        DoesNotFit: a number has more digits than its column.
    """
    schema = arrow_schema(columns)
    on_wire = rows.make(len(columns))
    misfits: list[Misfit] = []
    arrays = []
    for column, type_, values in zip(columns, schema.types, on_wire, strict=True):
        try:
            arrays.append(_ENCODERS.get(column.kind, _plain)(column, type_, values))
        except DoesNotFit as error:
            misfits.extend(error.misfits)
    if misfits:
        raise DoesNotFit(misfits)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain(column: Column, type_: pa.DataType, on_wire: Sequence[Any]) -> pa.Array:
    return pa.array(values_of(column, on_wire), type_)


def _numbers(column: Column, type_: pa.DataType, on_wire: Sequence[Any]) -> pa.Array:
    try:
        text, joined = _raw_text(on_wire)
    except TypeError:  # not all of them are `Raw`
        text = pa.array(number_texts(on_wire), pa.string())
    else:
        if b"n" in joined:
            text = pc.if_else(pc.equal(text, _NULL), _NO_TEXT, text)
    try:
        return pc.cast(text, type_)
    except (
        pa.ArrowInvalid
    ):  # which value it was, and whether only zeros were too many, is looked at one by one
        return _numbers_one_by_one(column, type_, on_wire)


def _numbers_one_by_one(column: Column, type_: pa.DataType, on_wire: Sequence[Any]) -> pa.Array:
    values: list[Decimal | None] = []
    misfits = []
    for index, text in enumerate(number_texts(on_wire)):
        value = None if text is None else _within(Decimal(text), type_)
        if text is not None and value is None:
            reason = f"Expected a number that decimal({type_.precision},{type_.scale}) can hold, got one out of range"
            misfits.append(Misfit(index, column.name, reason))
        values.append(value)
    if misfits:
        raise DoesNotFit(misfits)
    return pa.array(values, type_)


def _within(value: Decimal, type_: pa.DataType) -> Decimal | None:
    """Return the same number with digits that pyarrow takes, None where there are too many."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101  finite numbers have one
    text = "".join(map(str, digits)).rstrip("0")
    if not text:
        return Decimal(0)
    exponent += len(digits) - len(text)
    if -exponent > type_.scale or len(text) + exponent > type_.precision - type_.scale:
        return None
    return Decimal((sign, tuple(map(int, text)), exponent))


def _texts(column: Column, type_: pa.DataType, on_wire: Sequence[Any]) -> pa.Array:
    if set(map(type, on_wire)) != {Raw}:
        return _plain(column, type_, on_wire)
    text, joined = _raw_text(on_wire)
    plain = pc.ascii_trim(text, '"')  # without escapes there are quotes at the ends only
    if b"null" in joined:
        plain = pc.if_else(pc.equal(text, _NULL), _NO_TEXT, plain)
    if b"\\" not in joined:
        return plain
    has_escapes = pc.match_substring(text, "\\")
    escaped = [value for value, is_one in zip(on_wire, has_escapes.to_pylist(), strict=True) if is_one]
    return pc.replace_with_mask(plain, has_escapes, pa.array(values_of(column, escaped), type_))


def _uuids(_column: Column, type_: pa.DataType, on_wire: Sequence[Any]) -> pa.Array:
    stored = [None if value is None else value.bytes for value in on_wire]
    return pa.ExtensionArray.from_storage(type_, pa.array(stored, type_.storage_type))


def _documents(_column: Column, type_: pa.DataType, on_wire: Sequence[Any]) -> pa.Array:
    return pa.ExtensionArray.from_storage(type_, pa.array(on_wire, type_.storage_type))


_ENCODERS: Mapping[Kind, Callable[[Column, pa.DataType, Sequence[Any]], pa.Array]] = {
    Kind.NUMBER: _numbers,
    Kind.BIG_INTEGER: _numbers,
    Kind.STRING: _texts,
    Kind.UUID: _uuids,
    Kind.JSON: _documents,
}


def _raw_text(values: Sequence[Raw]) -> tuple[pa.Array, bytes]:
    """Return the text of values as it stood on the wire, without a Python object for each."""
    joined = b"".join(values)
    offsets = array("i", accumulate(map(len, values), initial=0))
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(joined)]
    return pa.Array.from_buffers(pa.string(), len(values), buffers), joined
