"""A second database on the shared room, as small as it can be: PostgreSQL by psycopg2, read as a whole or by numbers and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import psycopg2
from psycopg2 import errors

from singerkit_shell.errors import SingerkitError
from singerkit_sql_tap.config import SQL_SETTINGS
from singerkit_sql_tap.contract import Database, KeyOrder
from singerkit_sql_tap.database import SqlDatabase
from singerkit_sql_tap.faults import locked, refused
from singerkit_sql_tap.looks import AsStored
from singerkit_sql_tap.queries import Query
from singerkit_sql_tap.tables import Column, Table, by_table
from singerkit_sql_tap.tap import SqlTap

_SCHEMAS: dict[str, dict[str, Any]] = {
    "bigint": {"type": ["null", "integer"]},
    "numeric": {"type": ["null", "number"]},
    "boolean": {"type": ["null", "boolean"]},
    "text": {"type": ["null", "string"]},
    "USER-DEFINED": {"type": ["null", "string"]},  # citext
}
_COLUMNS = (
    "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' "
    "ORDER BY table_name, ordinal_position"
)
_KEYS = (
    "SELECT u.table_name, u.column_name FROM information_schema.table_constraints AS c "
    "JOIN information_schema.key_column_usage AS u USING (constraint_schema, constraint_name) "
    "WHERE c.constraint_type = 'PRIMARY KEY' AND c.table_schema = 'public' ORDER BY u.ordinal_position"
)


class PostgresErrors:
    """See `singerkit_sql_tap.waiting.DriverErrors`."""

    ERRORS: type[Exception] = psycopg2.Error

    def is_locked(self, error: Exception) -> bool:
        return isinstance(error, errors.LockNotAvailable)

    def is_ended(self, error: Exception) -> bool:
        return isinstance(error, errors.QueryCanceled)

    def fault(self, error: Exception, place: str, doing: str) -> SingerkitError:
        if self.is_locked(error):
            return locked(f"{place} while {doing}", "lock_timeout")
        return refused("PostgreSQL", f"{place} while {doing}", error)


class PostgresDatabase(SqlDatabase[Any]):
    """See `singerkit_sql_tap.contract.Database`."""

    placeholder = "%s"

    def connected(self) -> Any:
        return psycopg2.connect(self.config["dsn"])

    def begin(self, connection: Any) -> None:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '20ms'")
            cursor.execute(f"SET statement_timeout = {int(1000 * self.config.get('query_timeout', 0))}")

    def listed_tables(self) -> list[Table]:
        columns, keys = (
            by_table(self.taken(Query(sql), lambda batches: [row for rows in batches for row in rows], "x"))
            for sql in (_COLUMNS, _KEYS)
        )
        return [
            Table(
                name,
                tuple(Column(column, kind, _SCHEMAS[kind]) for column, kind in columns[name]),
                primary_key=(key := tuple(column for (column,) in keys[name])),
                chunk_key=tuple(map(self.column, key)),
                schema_name="public",
            )
            for name in list(columns)
        ]

    def type_of(self, column: Column) -> str:
        return "'text'" if _is_text(column) else "'integer'"

    def compared(self, table: Table, name: str) -> str:
        """By code point, however a type of texts compares; numbers have one order."""
        return f'{self.column(name)}::text COLLATE "C"' if _is_text(table.column(name)) else self.column(name)

    def key_order(self, table: Table, column: str, told: str | None) -> KeyOrder:
        return super().key_order(table, column, told) if _is_text(table.column(column)) else AsStored()

    def is_utf8(self) -> bool:
        return True

    def fill_spool(self, name: str, key: str, columns: Sequence[str], query: Query, doing: str) -> str:
        connection = self.connection

        def fill() -> None:
            with connection.cursor() as cursor:
                numbered = f"SELECT row_number() OVER () AS {key}, q.* FROM ({query.sql}) AS q"
                cursor.execute(f"CREATE TEMP TABLE {name} AS {numbered}", query.parameters)

        self.run(fill, doing)
        return "pg_temp"

    def fingerprint(self, table: Table) -> str:
        return table.name

    def changes(self) -> object:
        return None


def _is_text(column: Column) -> bool:
    return column.sql_type in ("text", "USER-DEFINED")


class TapPostgresOfTests(SqlTap):
    """Reads the tables and views of `public`."""

    name = "tap-postgres-of-tests"
    config_jsonschema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": ["dsn"],
        "properties": {"dsn": {"type": "string"}, "lock_timeout": {"type": "number"}, **SQL_SETTINGS},
    }

    def connected(self) -> Database:
        wait = self.config.get("lock_timeout", 0)
        return PostgresDatabase(self.place(), PostgresErrors(), self.config, self.logger, longest_wait=wait)

    def place(self) -> str:
        return f"database {psycopg2.extensions.parse_dsn(self.config['dsn'])['dbname']}"
