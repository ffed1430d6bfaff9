"""What a target holds, read with plain SQL: tables of a PostgreSQL, or of a file of DuckDB, every value as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from faults.torture.checker import State
from faults.torture.duckdb_checker import columns_of
from psycopg2.sql import SQL, Identifier

__all__ = ["DELETED", "InDuck", "InPostgres", "Stored"]

DELETED = "_sdc_deleted_at"


@dataclass
class Stored:
    """The rows of one table of the target, every value as text."""

    types: Mapping[str, str] = field(default_factory=dict)
    rows: list[dict[str, str | None]] = field(default_factory=list)

    @property
    def alive(self) -> list[dict[str, str | None]]:
        return [row for row in self.rows if row.get(DELETED) is None]


Read = tuple[State | None, int, int, dict[str, Stored]]
"""The committed state, epoch, sequence, and the tables."""


class InPostgres:
    """Reads the database of a PostgreSQL that is the target; for a `Checker`."""

    def _read_tables(self: Any, places: Mapping[str, str]) -> Read:
        """Return all of one moment; ``places``: what each table is called in the target."""
        connection = self._pipeline.bench.server.connect(self._pipeline.database)
        try:
            with connection.cursor() as cursor:
                cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                state = self._read_state(cursor)
                return *state, {name: self._rows_of(cursor, place) for name, place in places.items()}
        finally:
            connection.close()

    @staticmethod
    def _rows_of(cursor: Any, name: str) -> Stored:
        cursor.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [f'public."{name}"'],
        )
        types = dict(cursor.fetchall())
        if not types:
            return Stored()
        shown = SQL(", ").join(SQL("{}::text").format(Identifier(column)) for column in types)
        cursor.execute(SQL("SELECT {} FROM public.{}").format(shown, Identifier(name)))
        return Stored(types, [dict(zip(types, row, strict=True)) for row in cursor.fetchall()])


class InDuck:
    """Reads a file of DuckDB that is the target; for a `DuckChecker`."""

    def _read_tables(self: Any, places: Mapping[str, str]) -> Read:
        """Return all of one moment; ``places``: what each table is called in the target."""
        if not self._pipeline.file.exists():
            return None, 0, 0, {name: Stored() for name in places}
        with self._connect() as connection:
            state = self._read_state(connection)
            return *state, {name: self._rows_of(connection, place) for name, place in places.items()}

    @staticmethod
    def _rows_of(connection: Any, name: str) -> Stored:
        types = columns_of(connection, name)
        if not types:
            return Stored()
        shown = ", ".join(f'CAST("{column}" AS VARCHAR)' for column in types)
        found = connection.execute(f'SELECT {shown} FROM "{name}"').fetchall()
        return Stored(types, [dict(zip(types, row, strict=True)) for row in found])
