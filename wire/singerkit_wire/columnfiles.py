"""Parquet and Arrow files as JSON lines: every digit, NaN and moment as it stands in the file, columns that JSON has no value for refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import IO, Any

import msgspec

from singerkit_shell.errors import BadDataError, ConfigurationError

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from singerkit_wire.columnmoments import is_time_of_day, with_texts, within_a_day
except ImportError:
    raise ConfigurationError(
        "The tap sends Parquet or Arrow files, and pyarrow, which reads them, is not installed; what was committed is safe: "
        "install it with `pip install 'singerkit[arrow]'`, or let the tap write `jsonl`, then run again."
    ) from None

__all__ = ["ColumnFile"]

_ROWS = 4096
_BYTES = 1 << 20
_FILE_OF_ARROW = b"ARROW1"
_TOKENS = {
    text: msgspec.Raw(token)
    for text, token in (("nan", b"NaN"), ("inf", b"Infinity"), ("-inf", b"-Infinity"))
}
_encode = msgspec.json.Encoder(decimal_format="number").encode_lines


class ColumnFile:
    """An opened file of columns to be read as JSON lines; ``format`` is `parquet` or `arrow` (a stream or a file).

    Raises:
        BadDataError: it is none, or has a column that JSON has no value for.
    """

    def __init__(self, file: IO[bytes], format: str) -> None:
        self._batches = _told(_in_parts(_parquet(file) if format == "parquet" else _arrow(file)))

    def read(self, _size: int) -> bytes:
        """Return the next rows, a line each; nothing at the end."""
        batch = next(self._batches, None)
        return b"" if batch is None else _lines_of(batch)


def _told(batches: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from batches
    except (pa.ArrowException, OSError) as error:
        raise BadDataError(str(error).splitlines()[0]) from None


def _in_parts(batches: Iterator[Any]) -> Iterator[Any]:
    """Yield batches of as many rows as have about `_BYTES`, none without rows."""
    for batch in batches:
        rows = max(1, min(_ROWS, batch.num_rows * _BYTES // max(batch.nbytes, 1)))
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def _parquet(file: IO[bytes]) -> Iterator[Any]:
    yield from pq.ParquetFile(file).iter_batches(batch_size=_ROWS)


def _arrow(file: IO[bytes]) -> Iterator[Any]:
    is_file = file.read(len(_FILE_OF_ARROW)) == _FILE_OF_ARROW
    file.seek(0)
    if is_file:
        reader = pa.ipc.open_file(file)
        batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        batches = iter(pa.ipc.open_stream(file))
    yield from batches


def _lines_of(batch: Any) -> bytes:
    names = batch.schema.names
    if len(set(names)) < len(names):
        raise BadDataError("two of its columns have one name")
    columns = [_jsonable(name, column) for name, column in zip(names, batch.columns, strict=True)]
    try:
        rows = pa.RecordBatch.from_arrays(columns, names).to_pylist(maps_as_pydicts="strict")
        if any(map(_may_be_odd, (column.type for column in columns))):
            rows = [_with_tokens(row) for row in rows]
        for name in (
            name for name, column in zip(names, columns, strict=True) if _holds_documents(column.type)
        ):
            for row in rows:
                row[name] = _document(row[name])
        return bytes(_encode(rows))
    except (ValueError, OverflowError, KeyError, TypeError) as error:
        where = _first_without_values(names, columns)
        raise BadDataError(f"{where} holds a value that JSON has none for ({str(error)[:200]})") from None


def _first_without_values(names: list[str], columns: list[Any]) -> str:
    for name, column in zip(names, columns, strict=True):
        try:
            column.to_pylist(maps_as_pydicts="strict")
        except (ValueError, OverflowError, KeyError, TypeError):
            return f"its column `{name}`"
    return "it"


def _jsonable(name: str, column: Any) -> Any:
    """Return a column of what JSON has values for; moments finer than a microsecond, or beyond Python's years, are text.

    Raises:
        BadDataError: it is of another type.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _jsonable(name, column.dictionary_decode())
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        moments = column if kind.tz is None else column.cast(pa.timestamp("ns", "UTC"))
        return pc.replace_substring(moments.cast(pa.string()), " ", "T")
    if pa.types.is_time64(kind) and kind.unit == "ns":
        return column.cast(pa.string()) if within_a_day(column) else with_texts(column)
    if any(getattr(part, "unit", None) == "ns" for part in _parts(kind)):
        raise BadDataError(f"its column `{name}` has nanoseconds inside of `{kind}`: have them as text there")
    if any(
        is_time_of_day(leaf.type) and not within_a_day(leaf) for leaf in _leaves(column) if leaf is not column
    ):
        raise BadDataError(
            f"its column `{name}` has a time of day inside of `{kind}` that is of no day: have it as text there"
        )
    return with_texts(column)


def _leaves(column: Any) -> Iterator[Any]:
    """Yield a column that is made of no others, or those that it is made of."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        yield from _leaves(column.dictionary_decode())
    elif pa.types.is_map(kind):
        yield from _leaves(column.keys)
        yield from _leaves(column.items)
    elif pa.types.is_struct(kind):
        for part in column.flatten():
            yield from _leaves(part)
    elif kind.num_fields == 1:
        yield from _leaves(column.flatten())
    else:
        yield column


def _holds_documents(kind: Any) -> bool:
    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.json"


def _document(text: str | None) -> Any:
    """Return a document as it is written, in one line."""
    if text is None:
        return None
    whole = msgspec.json.decode(text, type=msgspec.Raw)
    return msgspec.Raw(msgspec.json.format(bytes(whole), indent=0)) if "\n" in text or "\r" in text else whole


def _parts(kind: Any) -> Iterator[Any]:
    """Yield a type and all that it is made of."""
    yield kind
    for index in range(kind.num_fields):
        yield from _parts(kind.field(index).type)


def _may_be_odd(kind: Any) -> bool:
    return any(pa.types.is_floating(part) for part in _parts(kind))


def _with_tokens(value: Any) -> Any:
    """Return a value with NaN and infinities as the tokens that the exact path has a policy for; the encoder would write null."""
    if isinstance(value, float) and not math.isfinite(value):
        return _TOKENS[str(value)]
    if isinstance(value, dict):
        return {name: _with_tokens(one) for name, one in value.items()}
    return [_with_tokens(one) for one in value] if isinstance(value, list) else value
