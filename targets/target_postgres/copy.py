"""COPY a block into a table."""

from __future__ import annotations

import io
from collections.abc import Sequence

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier

from target_postgres.rows import COPY_OPTIONS

__all__ = ["copy_rows"]

_FEED_SIZE = 1 << 24  # bytes handed to libpq at a time


def copy_rows(cursor: Cursor, table: Identifier, columns: Sequence[str], csv: bytes) -> int:
    """COPY rows that `rows.as_csv` has encoded; return how many the server has stored."""
    names = SQL(", ").join([Identifier(column) for column in columns])
    statement = SQL("COPY {} ({}) FROM STDIN " + COPY_OPTIONS).format(table, names)
    cursor.copy_expert(statement, io.BytesIO(csv), _FEED_SIZE)
    return int(cursor.rowcount)
