"""The row groups of a Parquet file as pieces of JSON lines."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from singerkit_shell.errors import BadDataError
from singerkit_wire.columnjson import lines_of, tokens_of
from singerkit_wire.readyrows import ReadyRows
from tap_files.formats.arrowtypes import schema_of_fields
from tap_files.formats.contract import PIECE_BYTES, OtherSettings, Piece, Spot, UnreadableFile
from tap_files.formats.oldmoments import OldMoments
from tap_files.settings.parquet import ParquetSettings

__all__ = ["RowGroups"]

logger = logging.getLogger(__name__)

_MOST_ROWS = 8192
_PEEKED = 64
"""So many rows of a row group show how long they are."""
_BUFFER = 1 << 18
"""Bytes of a column that are read of the disk at once."""
_ODD = pa.array(["nan", "inf", "-inf"])
_NOTHING = pa.scalar(None, pa.string())


class RowGroups:
    """See `contract.Reader`. ``rows_before``: records that are passed over."""

    def __init__(self, settings: ParquetSettings, path: str, rows_before: int) -> None:
        self.wanted: Collection[str] | None = None
        self._settings, self._rows_before = settings, rows_before
        self._nulled = 0
        with _told("its footer"):
            self._file = pq.ParquetFile(
                path, pre_buffer=False, buffer_size=_BUFFER, page_checksum_verification=True
            )
            schema = self._file.schema_arrow
        self._names = list(schema.names)
        self.fields: Mapping[str, Mapping[str, Any] | None] | None = schema_of_fields(list(schema))
        self._old = OldMoments(self._file, path)

    def pieces(self) -> Iterator[Piece]:
        before = 0
        for number in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(number).num_rows
            if before + rows > self._rows_before:
                yield from self._of_group(number, before)
            before += rows
        if self._nulled:
            logger.warning(
                "%d numbers that are NaN or infinite were sent as null (`parquet.infinity`).", self._nulled
            )

    def _of_group(self, number: int, before: int) -> Iterator[Piece]:
        group = self._file.metadata.row_group(number)
        chunk = group.column(0)
        byte = chunk.dictionary_page_offset or chunk.data_page_offset
        with _told(
            f"row group {number + 1} (rows {before + 1} to {before + group.num_rows}, from byte {byte} on)"
        ):
            for batch in self._batches(number):
                batch.validate(full=True)
                passed = min(max(self._rows_before - before, 0), batch.num_rows)
                for start, part in _parts(batch.slice(passed)):
                    yield self._piece(part, before + passed + start)
                before += batch.num_rows

    def _batches(self, number: int) -> Iterator[Any]:
        columns = None if self.wanted is None else [name for name in self._names if name in self.wanted]
        rows = self._rows_at_once(number, columns)
        batches = self._file.iter_batches(rows, row_groups=[number], columns=columns, use_threads=False)
        return self._old.repaired(batches, rows, number, columns)

    def _rows_at_once(self, number: int, columns: Sequence[str] | None) -> int:
        rows = min(_PEEKED, self._file.metadata.row_group(number).num_rows)
        first = next(
            self._file.iter_batches(max(rows, 1), row_groups=[number], columns=columns, use_threads=False),
            None,
        )
        longest = 1 if first is None else max(first.nbytes // max(first.num_rows, 1), 1)
        return max(1, min(_MOST_ROWS, PIECE_BYTES // longest))

    def _piece(self, batch: Any, before: int) -> Piece:
        after = before + batch.num_rows
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        where = f"rows {before + 1} to {after}"

        def as_rows(fields: Mapping[str, bytes | Sequence[int] | None]) -> ReadyRows:
            chosen = {
                name: columns[name] if said is None else said if isinstance(said, bytes) else pa.array(said)
                for name, said in fields.items()
            }
            with _told(where):
                return ReadyRows(lines_of(chosen, batch.num_rows, self._odd_floats), tuple(fields))

        return Piece(
            count=batch.num_rows,
            numbers=range(before + 1, after + 1),
            columns=_Columns(columns, self, where),
            behind=Spot(row=after),
            as_rows=as_rows,
        )

    def raws(self, name: str, column: Any, where: str) -> list[msgspec.Raw | None]:
        """Return the JSON of each value of a column."""
        with _told(where):
            texts = tokens_of(name, column, self._odd_floats)
        return [None if text is None else msgspec.Raw(text) for text in texts]

    def _odd_floats(self, texts: Any) -> Any:
        if self._settings.infinity == "fail":
            raise BadDataError(
                'a number that is NaN or infinite, which JSON does not have: set `"infinity": "null"` in `parquet`, or do not select the column'
            )
        is_odd = pc.is_in(texts, _ODD)
        self._nulled += pc.sum(is_odd).as_py() or 0
        return pc.if_else(is_odd, _NOTHING, texts)


class _Columns(Mapping[str, Sequence[Any]]):
    """The values of a piece by column, made when they are asked for."""

    def __init__(self, columns: Mapping[str, Any], reader: RowGroups, where: str) -> None:
        self._columns, self._reader, self._where = columns, reader, where

    def __getitem__(self, name: str) -> Sequence[Any]:
        return self._reader.raws(name, self._columns[name], self._where)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def _parts(batch: Any) -> Iterator[tuple[int, Any]]:
    """Yield parts of a batch, of about `PIECE_BYTES` each, with the rows before them."""
    rows = max(1, batch.num_rows * PIECE_BYTES // max(batch.nbytes, 1))
    for start in range(0, batch.num_rows, rows):
        yield start, batch.slice(start, rows)


class _told:
    """Says of what Arrow refuses where it stands, and what to do."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, UnreadableFile):
            return
        if isinstance(error, BadDataError):
            raise OtherSettings(f"Expected values of JSON in {self._where}: {error}.") from None
        if isinstance(error, pa.ArrowException | OSError):
            raise UnreadableFile(_sentence(str(error).splitlines()[0], error, self._where)) from None


def _sentence(said: str, error: BaseException, where: str) -> str:
    if "file size is" in said or "magic bytes" in said:
        return "Expected a Parquet file, got one without the end that each has (`PAR1`): it is empty, cut or of another format; have it written anew."
    if "encrypted" in said or "decryption" in said:
        return "Expected Parquet that is not encrypted, got one whose keys tap-files does not have; have it written without encryption."
    if isinstance(error, pa.ArrowNotImplementedError) or "unsupported" in said.lower():
        return (
            f"Expected Parquet that pyarrow {pa.__version__} reads, got one of a newer version or another kind in {where} ({said[:200]}); "
            "install a newer pyarrow, or have it written for an older reader."
        )
    return f"Expected Parquet, got damage in {where} ({said[:200]}); have it written or copied anew."
