"""What an error of PostgreSQL means to the user while tables are read."""

from __future__ import annotations

import psycopg2
from psycopg2 import errorcodes

from singerkit_postgres.errors import first_line, kind_of
from singerkit_shell.errors import BadDataError, NotAuthorisedError, RetryableError, SingerkitError
from singerkit_sql_tap.faults import could_not_read, locked, may_not_open, refused

__all__ = ["ERRORS", "fault", "is_ended", "is_locked"]

ERRORS: type[Exception] = psycopg2.Error


def is_locked(error: Exception) -> bool:
    return getattr(error, "pgcode", None) == errorcodes.LOCK_NOT_AVAILABLE


def is_ended(error: Exception) -> bool:
    return getattr(error, "pgcode", None) == errorcodes.QUERY_CANCELED


def fault(error: Exception, place: str, doing: str) -> SingerkitError:
    """Return what to raise for an error of PostgreSQL; ``doing`` says what was done: `reading table x`."""
    where = f"{place} while {doing}"
    if is_locked(error):
        return locked(where, "lock_timeout_seconds")
    assert isinstance(error, psycopg2.Error)  # noqa: S101  `ERRORS`
    text = psycopg2.Error(first_line(error))
    kind = kind_of(error)
    if kind is NotAuthorisedError:
        return may_not_open("PostgreSQL", where, text)
    if kind is BadDataError:
        return refused("PostgreSQL", where, text)
    return (
        could_not_read("PostgreSQL", where, text)
        if issubclass(kind, RetryableError)
        else refused("PostgreSQL", where, text)
    )
