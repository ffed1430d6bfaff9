"""The connection beside the log, on which questions are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from tap_postgres.faults import fault
from tap_postgres.stopping import unless_stopped

__all__ = ["Queries", "Statement"]

Statement = str | sql.Composable
_COLUMNS = "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass(%s) AND attnum > 0 AND NOT attisdropped"


class Queries:
    """Asks, on a connection that is opened when it is needed, and again where it was lost; ``place`` is shown in errors."""

    def __init__(self, connect: Callable[[], Connection], place: str) -> None:
        self._connect, self.place = connect, place
        self._connection: Connection | None = None

    def ask(
        self, statement: Statement, parameters: Sequence[Any] = (), *, doing: str
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, which may be run twice: where the connection is lost it is asked again, once.

        Raises:
            SingerkitError: see `tap_postgres.faults`; ``doing`` what failed.
        """
        try:
            return self._asked(statement, parameters)
        except psycopg2.Error as error:
            if not _is_of_connection(error):
                raise fault(error, self.place, doing) from None
        self.close()
        try:
            return self._asked(statement, parameters)
        except psycopg2.Error as error:
            raise fault(error, self.place, doing) from None

    def _asked(self, statement: Statement, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        connection = self.opened()

        def asked() -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters or None)
                return cursor.fetchall() if cursor.description else []

        return unless_stopped(connection, asked)

    def columns(self, schema: str, table: str) -> set[str]:
        """Return the columns that a table has now."""
        name = sql.Identifier(schema, table).as_string(self.opened())
        return {
            column for (column,) in self.ask(_COLUMNS, [name], doing=f"looking at table `{schema}.{table}`")
        }

    def opened(self) -> Connection:
        """Return the connection, on which each statement is a transaction."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            self._connection.autocommit = True
        return self._connection

    @property
    def version(self) -> int:
        """The server's, as 150018."""
        return self.opened().server_version

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _is_of_connection(error: psycopg2.Error) -> bool:
    """Tell whether the connection has gone, by itself or since the server ended it (57P01 and so on); not that it was waited for too long."""
    return not error.pgcode or error.pgcode.startswith("57P")
