"""A connection whose session settings no server or role can change (FAULTS D10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import connection as Connection
from psycopg2.sql import SQL, Identifier

from singerkit_postgres.address import where
from singerkit_postgres.errors import connection_error, first_line
from singerkit_postgres.pooling import is_pooled
from singerkit_shell.errors import ConfigurationError, NotAuthorisedError
from singerkit_shell.signals import stop_flag

__all__ = ["NO_WISHES", "Connection", "Wishes", "connect", "pid_of"]

_LONGEST_MS = 2**31 - 1
_SESSION = """
    SET timezone TO 'UTC'; SET datestyle TO 'ISO, MDY'; SET intervalstyle TO 'iso_8601';
    SET standard_conforming_strings TO on; SET bytea_output TO 'hex';
    SET default_transaction_isolation TO 'read committed'; SET default_transaction_deferrable TO off;
    SET extra_float_digits TO 3; SET quote_all_identifiers TO off; SET temp_buffers TO '64MB'; SET idle_in_transaction_session_timeout TO 0;
    SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog',
        NULLIF(pg_catalog.current_setting('search_path'), '')), false);
    SELECT pg_catalog.set_config(name, '1s', false) FROM pg_catalog.pg_settings
        WHERE name = 'client_connection_check_interval' AND pg_catalog.version() LIKE '%linux%';
"""
# The last one (PostgreSQL 14; elsewhere a server may refuse it): the lock of a run that was killed goes with it,
# not with the end of the statement that its session is in.


@dataclass(frozen=True)
class Wishes:
    """What the config wants of each session besides: a role to be, and the longest time of a statement."""

    role: str | None = None
    statement_timeout_seconds: float | None = None


NO_WISHES = Wishes()


def connect(dsn: str, *, lock_timeout_seconds: float, wishes: Wishes = NO_WISHES) -> Connection:
    """Open a connection with fixed session settings.

    Raises:
        NotAuthorisedError, ConfigurationError, RetryableError: it cannot be opened; see `singerkit_postgres.errors`.
    """
    try:
        # libpq waits in C, where no signal is heard; behind a pooler the first statement is what waits for a session.
        connection: Connection = stop_flag.waiting_for(
            lambda: _with_settings(psycopg2.connect(dsn), lock_timeout_seconds),
            "there was no connection to PostgreSQL yet, what was committed is safe.",
        )
        with connection.cursor() as cursor:
            if wishes.statement_timeout_seconds is not None:
                _limit_statements(connection, cursor, wishes.statement_timeout_seconds)
            if wishes.role is not None:
                _take_role(connection, cursor, wishes.role)
        connection.commit()
    except psycopg2.Error as error:
        raise connection_error(error, f"PostgreSQL at {where(dsn)}") from None
    return connection


def _with_settings(connection: Connection, lock_timeout_seconds: float) -> Connection:
    connection.set_client_encoding("UTF8")  # not SQL: psycopg2 would go on encoding statements as before
    with connection.cursor() as cursor:
        cursor.execute(_SESSION)
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, false)",
            [f"{int(min(lock_timeout_seconds * 1000, _LONGEST_MS))}ms"],
        )
    return connection


def _limit_statements(connection: Connection, cursor: Any, seconds: float) -> None:
    """Have each statement of the session end after a time.

    Raises:
        ConfigurationError: a pooler may give the next transaction another session.
    """
    milliseconds = int(min(seconds * 1000, _LONGEST_MS))
    if is_pooled(connection, cursor):
        raise ConfigurationError(
            "`statement_timeout_seconds` holds for a session, and a connection pooler may give each transaction another one; nothing was "
            f"written: connect to the server itself, or have it done there: ALTER ROLE ... SET statement_timeout TO '{milliseconds}ms'."
        )
    cursor.execute(f"SET statement_timeout TO {milliseconds}")


def _take_role(connection: Connection, cursor: Any, role: str) -> None:
    """Be another role for the rest of the session.

    Raises:
        ConfigurationError: there is none, or a pooler may give the next transaction another session.
        NotAuthorisedError: this one may not be it.
    """
    if is_pooled(connection, cursor):
        raise ConfigurationError(
            f"`role` holds for a session, and a connection pooler may give each transaction another one; nothing was written: connect to the "
            f"server itself, or have it done there: ALTER ROLE ... SET role TO {role}."
        )
    try:
        cursor.execute(SQL("SET ROLE {}").format(Identifier(role)))
    except psycopg2.Error as error:
        kind = NotAuthorisedError if error.pgcode == errorcodes.INSUFFICIENT_PRIVILEGE else ConfigurationError
        raise kind(
            f"The session cannot become the role `{role}` of the setting `role` ({first_line(error)}); nothing was written: correct it, or "
            "grant that role to the user that connects."
        ) from None


def pid_of(connection: Connection) -> int:
    """Ask the server: behind a pooler the driver knows another number."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_backend_pid()")
        return int((cursor.fetchone() or (0,))[0])
