"""What an error of PostgreSQL means to who reads or writes a state, and its wording (FAULTS D5, D6, D9)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg2
from psycopg2 import errorcodes

from singerkit_postgres.errors import first_line, kind_of
from singerkit_shell.errors import (
    BadDataError,
    CannotWriteError,
    ConfigurationError,
    LockHeldError,
    NotAuthorisedError,
    RetryableError,
    SingerkitError,
)

__all__ = ["error_of", "translated"]


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        raise error_of(error, what) from None


_ADVICE: dict[type[SingerkitError], str] = {
    NotAuthorisedError: "check user, password and grants",
    ConfigurationError: "check the connection settings, and the schema that is named",
    CannotWriteError: "what was committed is safe, make room or name the primary server and run again",
    LockHeldError: "what was committed is safe, end the session that is in the way and run again",
    RetryableError: "what was committed is safe, run again when the server can be reached",
    BadDataError: "what was committed is safe, the state table or its schema was dropped or altered by others: put it back, "
    "or let a run make it anew, and run again",
    SingerkitError: "what was committed is safe, please report this",
}
_CANCELLED = "what was committed is safe, run again, with a longer `statement_timeout` for this role if that is the cause"


def error_of(error: psycopg2.Error, what: str) -> SingerkitError:
    """Return the error of ours that a server's error is, by what the caller must do (FAULTS D5, D6, D9).

    ``what`` completes "Cannot ..."; then come the first line of the server's own message and the next step.
    """
    kind = kind_of(error)
    advice = _CANCELLED if error.pgcode == errorcodes.QUERY_CANCELED else _ADVICE[kind]
    return kind(f"Cannot {what} ({first_line(error)}); {advice}.")
