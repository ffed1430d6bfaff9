"""Connection settings, and a connection whose session settings no server or role can change (FAULTS D10)."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import make_dsn, parse_dsn
from psycopg2.sql import SQL, Identifier

from singerkit_shell.certificates import authority_problem, file_problem
from singerkit_shell.errors import ConfigurationError, NotAuthorisedError
from singerkit_shell.signals import stop_flag
from singerkit_state.postgres.errors import connection_error, first_line
from singerkit_state.postgres.lock import is_pooled
from target_postgres.pem import file_of, is_pem
from target_postgres.ssh import is_asked_for

__all__ = [
    "NO_WISHES",
    "Connection",
    "Wishes",
    "certificate_problems",
    "connect",
    "dsn_of",
    "is_misquoted",
    "names_a_server",
    "pid_of",
    "server_problem",
    "where",
]

_FIELDS: Mapping[str, str] = {
    "host": "host",
    "port": "port",
    "user": "user",
    "password": "password",
    "database": "dbname",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "sslpassword": "sslpassword",
    "passfile": "passfile",
    "service": "service",
}
_FILES = ("sslrootcert", "sslcert", "sslkey")
_FILES_OF_ENVIRONMENT: Mapping[str, str] = {
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "passfile": "PGPASSFILE",
}
_PLACES = ("dsn", "host", "port", "database", "service")
_ENVIRONMENT = ("PGHOST", "PGHOSTADDR", "PGSERVICE")
"""What says where PostgreSQL is to every program that uses libpq."""
_KEEPALIVES: Mapping[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds until sent bytes that nobody acknowledges count as lost
}
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


def names_a_server(config: Mapping[str, Any]) -> bool:
    """Tell whether the config says where PostgreSQL is, or the environment, where the config does not ask for another one."""
    return any(config.get(name) is not None for name in _PLACES) or (
        not _asks_for_embedded(config) and any(os.environ.get(name) for name in _ENVIRONMENT)
    )


def _asks_for_embedded(config: Mapping[str, Any]) -> list[str]:
    return [key for key in ("embedded", "embedded_folder") if config.get(key)]


def server_problem(config: Mapping[str, Any], *, is_empty: bool) -> str | None:
    """Return what is wrong about where to load, None when it is clear.

    The embedded server is used when the config is empty or asks for it, and never because something is missing.
    """
    if config.get("embedded") is False and config.get("embedded_folder"):
        return (
            "`embedded_folder` asks for the embedded PostgreSQL, and `embedded` is false; remove one of them"
        )
    asks = _asks_for_embedded(config)
    named = [key for key in _FIELDS.keys() | {"dsn"} if config.get(key) is not None]
    named += ["ssh_tunnel"] if is_asked_for(config) else []
    if asks and named:
        return f"`{asks[0]}` asks for the embedded PostgreSQL, `{sorted(named)[0]}` for another one; remove one of them"
    if asks or names_a_server(config) or is_empty:
        return None
    return (
        'Expected `dsn`, `host` or `service`, which say where PostgreSQL is, or `"embedded": true` for one that the '
        "target starts by itself (or PGHOST or PGSERVICE in the environment)"
    )


def dsn_of(config: Mapping[str, Any]) -> str:
    """Return the libpq DSN of a config: single fields, or `dsn`, which fields complete.

    Raises:
        psycopg2.ProgrammingError: `dsn` is not a DSN.
    """
    fields = {libpq: config[ours] for ours, libpq in _FIELDS.items() if config.get(ours) is not None}
    fields |= {name: file_of(fields[name]) for name in _FILES if is_pem(fields.get(name))}
    given = parse_dsn(config["dsn"]) if config.get("dsn") else {}
    settings = {
        **_KEEPALIVES,
        "connect_timeout": config.get("connect_timeout", 10),
        "application_name": config.get("application_name", "target-postgres"),
        **given,
        **fields,
    }
    return str(make_dsn(**settings))


def certificate_problems(dsn: str) -> list[str]:
    """Return a sentence for each file of certificates or passwords that cannot be used.

    libpq goes on without a file of certificates that is not there, unless `sslmode` begins with `verify-`, and without one of passwords
    that others may read.
    """
    given = parse_dsn(dsn)
    elsewhere = {name: os.environ.get(variable, "") for name, variable in _FILES_OF_ENVIRONMENT.items()}
    parts = elsewhere | given
    checks = {
        "sslrootcert": authority_problem,
        "sslcert": file_problem,
        "sslkey": file_problem,
        "passfile": _passwords_problem,
    }
    if parts.get("sslrootcert") == "system":
        del checks["sslrootcert"]
    if ":" in parts.get("sslkey", ""):  # a key in an OpenSSL engine
        del checks["sslkey"]
    found = {name: check(parts[name]) for name, check in checks.items() if parts.get(name)}
    return [
        f"Expected a file that can be used at `{name if name in given else _FILES_OF_ENVIRONMENT[name]}`, got `{parts[name]}`: {problem}"
        for name, problem in found.items()
        if problem is not None
    ]


def _passwords_problem(path: str) -> str | None:
    problem = file_problem(path)
    if problem is None and os.stat(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return "others than its owner have access to it, so that libpq does not read it (`chmod 600`)"
    return problem


def is_misquoted(dsn: str) -> bool:
    """Tell whether libpq finds parts of a password elsewhere, where its own errors would print them."""
    parts = parse_dsn(dsn)
    elsewhere = [str(parts.get(name, "")) for name in ("host", "port", "dbname")]
    is_port = all(number.isdigit() for number in elsewhere[1].split(",") if number)
    return "://" in dsn and (not is_port or any("@" in text for text in elsewhere))


def where(dsn: str) -> str:
    """Return host, port and database of a DSN for messages, without user or password."""
    parts = parse_dsn(dsn)
    host = parts.get("host")
    service = parts.get("service") or os.environ.get("PGSERVICE")
    if service and not host:
        return f"the service `{service}`"
    host = host or os.environ.get("PGHOST") or os.environ.get("PGHOSTADDR") or "the local socket"
    port = parts.get("port") or os.environ.get("PGPORT") or "5432"
    return f"{host}:{port}/{parts.get('dbname') or os.environ.get('PGDATABASE', '')}"


@dataclass(frozen=True)
class Wishes:
    """What the config wants of each session besides: a role to be, and the longest time of a statement."""

    role: str | None = None
    statement_timeout_seconds: float | None = None


NO_WISHES = Wishes()


def connect(dsn: str, *, lock_timeout_seconds: float, wishes: Wishes = NO_WISHES) -> Connection:
    """Open a connection with fixed session settings.

    Raises:
        NotAuthorisedError, ConfigurationError, RetryableError: it cannot be opened; see `singerkit_state.postgres.errors`.
    """
    try:
        # libpq waits in C, where no signal is heard.
        connection: Connection = stop_flag.waiting_for(
            lambda: psycopg2.connect(dsn),
            "there was no connection to PostgreSQL yet, what was committed is safe.",
        )
        connection.set_client_encoding("UTF8")  # not SQL: psycopg2 would go on encoding statements as before
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, false)",
                [f"{int(min(lock_timeout_seconds * 1000, _LONGEST_MS))}ms"],
            )
            if wishes.statement_timeout_seconds is not None:
                _limit_statements(connection, cursor, wishes.statement_timeout_seconds)
            if wishes.role is not None:
                _take_role(connection, cursor, wishes.role)
        connection.commit()
    except psycopg2.Error as error:
        raise connection_error(error, f"PostgreSQL at {where(dsn)}") from None
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
