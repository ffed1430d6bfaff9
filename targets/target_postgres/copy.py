"""COPY a block into a table."""

from __future__ import annotations

import io
from collections.abc import Sequence

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier

from target_postgres.rows import COPY_OPTIONS, Csv

__all__ = ["copy_rows"]

_FEED_SIZE = 4 << 20  # bytes handed to libpq at a time, which takes room for as many


def copy_rows(cursor: Cursor, table: Identifier, columns: Sequence[str], csv: Csv) -> int:
    """COPY rows that `rows.as_csv` has encoded; return how many the server has stored."""
    names = SQL(", ").join([Identifier(column) for column in columns])
    statement = SQL("COPY {} ({}) FROM STDIN " + COPY_OPTIONS).format(table, names)
    cursor.copy_expert(statement, _Feed(csv) if isinstance(csv, bytearray) else io.BytesIO(csv), _FEED_SIZE)
    return int(cursor.rowcount)


class _Feed(io.RawIOBase):
    """What `io.BytesIO` is, without a copy of all of it."""

    def __init__(self, csv: bytearray) -> None:
        self._view, self._at = memoryview(csv), 0

    def read(self, size: int = -1) -> bytes:
        begin, self._at = self._at, self._at + size
        return bytes(self._view[begin : self._at])
