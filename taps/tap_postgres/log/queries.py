"""The connection beside the log, on which questions are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from singerkit_postgres.errors import first_line, is_of_libpq, kind_of
from singerkit_shell.errors import NotAuthorisedError, RetryableError, SingerkitError
from singerkit_sql_tap.faults import SAFE

__all__ = ["Queries", "Statement"]

Statement = str | sql.Composable
_COLUMNS = "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass(%s) AND attnum > 0 AND NOT attisdropped"


class Queries:
    """Asks, on a connection that is opened when it is needed, and again where it was lost."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None

    def ask(
        self, statement: Statement, parameters: Sequence[Any] = (), *, doing: str
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, which may be run twice: where the connection is lost it is asked again, once.

        Raises:
            NotAuthorisedError, RetryableError: ``doing`` what failed.
        """
        try:
            return self._asked(statement, parameters)
        except psycopg2.Error as error:
            if not is_of_libpq(error):
                raise failure(error, doing) from None
        self.close()
        try:
            return self._asked(statement, parameters)
        except psycopg2.Error as error:
            raise failure(error, doing) from None

    def _asked(self, statement: Statement, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self.opened().cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

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


def failure(error: psycopg2.Error, doing: str) -> SingerkitError:
    """Return the error of ours that it is when the database refuses something."""
    kind, text = kind_of(error), first_line(error).rstrip(".")
    if issubclass(kind, NotAuthorisedError):
        return NotAuthorisedError(
            f"PostgreSQL does not allow {doing} ({text}); {SAFE}: grant that to the role that connects."
        )
    if issubclass(kind, RetryableError):
        return kind(f"PostgreSQL has failed {doing} ({text}); {SAFE}: run again.")
    return kind(f"PostgreSQL has refused {doing} ({text}); {SAFE}.")
