"""Parquet and Arrow files as JSON lines: every digit, NaN and moment as it stands in the file, columns that JSON has no value for refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from singerkit_shell.errors import BadDataError, ConfigurationError

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from singerkit_wire.columnjson import lines_of
except ImportError:
    raise ConfigurationError(
        "The tap sends Parquet or Arrow files, and pyarrow, which reads them, is not installed; what was committed is safe: "
        "install it with `pip install 'singerkit[arrow]'`, or let the tap write `jsonl`, then run again."
    ) from None

__all__ = ["ColumnFile"]

_ROWS = 4096
_BYTES = 1 << 20
_FILE_OF_ARROW = b"ARROW1"
_TOKENS = (("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity"))


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
    return lines_of(dict(zip(names, batch.columns, strict=True)), batch.num_rows, _as_tokens)


def _as_tokens(texts: Any) -> Any:
    """Return NaN and infinities as the tokens that the exact path has a policy for."""
    for text, token in _TOKENS:
        texts = pc.replace_with_mask(texts, pc.fill_null(pc.equal(texts, text), False), pa.scalar(token))
    return texts
