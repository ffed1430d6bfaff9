"""What an error of PostgreSQL, or of the way to it, asks the caller to do (FAULTS D5, D6, D9)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import psycopg2

from singerkit_shell.errors import (
    BadDataError,
    CannotWriteError,
    ConfigurationError,
    LockHeldError,
    NotAuthorisedError,
    RetryableError,
    SingerkitError,
)

__all__ = ["connection_error", "first_line", "is_of_libpq", "kind_of", "lost"]

_MESSAGES: tuple[tuple[str, type[SingerkitError]], ...] = (
    # libpq gives no SQLSTATE for a connection that was refused: its words have to do.
    (r"authentication failed|no password supplied|no pg_hba\.conf entry", NotAuthorisedError),
    (r"role \".*\" does not exist|is not permitted to log in|permission denied", NotAuthorisedError),
    (r"must be superuser or replication role", NotAuthorisedError),
    (r"database \".*\" does not exist", ConfigurationError),
    (
        r"invalid (connection option|dsn|port|integer value|\w+ value)|could not match \d+ |definition of service",
        ConfigurationError,
    ),
    (
        r"does not support SSL|certificate|private key|SSL error",
        ConfigurationError,
    ),  # never an occasion to go without TLS
)


_CONNECTING: dict[type[SingerkitError], str] = {
    NotAuthorisedError: "Access to {where} was refused ({text}); nothing is lost: check user, password and grants.",
    ConfigurationError: "There is no connection to {where} ({text}); nothing is lost: check the connection settings, those of TLS "
    "(`sslmode`, certificates) among them.",
    RetryableError: "{where} cannot be reached ({text}); nothing is lost: check that it runs, then run again.",
}


def connection_error(error: psycopg2.Error, where: str) -> SingerkitError:
    """Return the error of ours that it is when a connection cannot be opened; ``where`` is "PostgreSQL at ..."."""
    kind = kind_of(error)
    kind = kind if kind in _CONNECTING else RetryableError
    return kind(_CONNECTING[kind].format(where=where, text=first_line(error).rstrip(".")))


def kind_of(error: psycopg2.Error) -> type[SingerkitError]:
    code = error.pgcode or ""
    if not code:
        text = str(error)
        found = next((kind for pattern, kind in _MESSAGES if re.search(pattern, text)), None)
        return found or (RetryableError if is_of_libpq(error) else SingerkitError)
    if code == "55P03":  # lock_not_available: another session is in the way for longer than LOCK_TIMEOUT
        return LockHeldError
    if code in {"42501", "0LP01"} or code.startswith("28"):
        return NotAuthorisedError
    if code in {"25006", "53100"}:  # a read-only standby, a full disk
        return CannotWriteError
    if code in {"3D000", "42939"}:  # a name that PostgreSQL keeps for itself
        return ConfigurationError
    if code[:2] in {"08", "25", "40", "53", "57", "58", "XX"} or code == "55006":
        return RetryableError
    return BadDataError  # our statements suit the table as we make it: it is gone, or altered


def first_line(error: psycopg2.Error) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].removeprefix("FATAL:").strip()


@contextlib.contextmanager
def lost() -> Iterator[None]:
    """Pass over that the connection is gone."""
    try:
        yield
    except psycopg2.Error as error:
        if not is_of_libpq(error):
            raise


def is_of_libpq(error: psycopg2.Error) -> bool:
    """Tell whether an error is not the server's but of the way to it.

    psycopg2 raises a plain DatabaseError for a connection that libpq has lost and does not know yet to be bad.
    """
    is_of_connection = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    return is_of_connection or (type(error) is psycopg2.DatabaseError and not error.pgcode)
