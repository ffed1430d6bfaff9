"""Moments of the type INT96, which Spark, Hive and Impala have written: nanoseconds of any year, of which 64 bits hold 584 years.

pyarrow reads them as nanoseconds, and begins anew where these end: 9999-12-31 becomes a day of 1816, without a word. So they are
read a second time, as microseconds, by which it is seen, and mended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from singerkit_wire.momenttexts import moment_text
from tap_files.formats.contract import UnreadableFile

__all__ = ["OldMoments"]

_WRAP = 1 << 64


class OldMoments:
    """The columns of that type in one file.

    Raises:
        UnreadableFile: one stands inside of another.
    """

    def __init__(self, file: Any, path: str) -> None:
        schema = file.metadata.schema
        leaves = [schema.column(number) for number in range(len(schema))]
        paths = [leaf.path for leaf in leaves if leaf.physical_type == "INT96"]
        self._names = [name for name in file.schema_arrow.names if name in paths]
        inside = sorted({*paths} - {*self._names})
        if inside:
            raise UnreadableFile(
                f"Expected moments of the type TIMESTAMP, got the old INT96 inside of another column (`{inside[0]}`); do not select it, or have it "
                "written as TIMESTAMP (Spark: `spark.sql.parquet.outputTimestampType=TIMESTAMP_MICROS`)."
            )
        self._coarse = (
            pq.ParquetFile(path, pre_buffer=False, coerce_int96_timestamp_unit="us") if self._names else None
        )

    def repaired(
        self, batches: Iterator[Any], rows: int, group: int, columns: Sequence[str] | None
    ) -> Iterator[Any]:
        """Yield the batches with the moments that were meant; ``rows`` are those of a batch."""
        names = self._names if columns is None else [name for name in self._names if name in columns]
        if self._coarse is None or not names:
            yield from batches
            return
        coarse = self._coarse.iter_batches(rows, row_groups=[group], columns=names, use_threads=False)
        for batch, micros in zip(batches, coarse, strict=True):
            mended = batch
            for name in names:
                place = batch.schema.get_field_index(name)
                mended = mended.set_column(place, name, _mended(batch.column(place), micros.column(name)))
            yield mended


def _mended(nanos: Any, micros: Any) -> Any:
    if pc.all(pc.equal(nanos.cast(micros.type, safe=False), micros)).as_py() is not False:
        return nanos
    texts = [
        None if wrapped is None else moment_text(micro * 1000 + (wrapped - micro * 1000) % _WRAP, "ns")
        for wrapped, micro in zip(
            nanos.view(pa.int64()).to_pylist(), micros.view(pa.int64()).to_pylist(), strict=True
        )
    ]
    return pa.array(texts, pa.string())
