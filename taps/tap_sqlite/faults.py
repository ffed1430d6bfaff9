"""What an error of SQLite means to the user."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from singerkit_shell.errors import (
    BadDataError,
    ConfigurationError,
    NotAuthorisedError,
    RetryableError,
    SingerkitError,
)
from singerkit_sql_tap.faults import (
    SAFE,
    could_not_read,
    head_of_file,
    locked,
    may_not_open,
    no_utf8,
    refused,
)

__all__ = ["ERRORS", "check_file", "fault", "is_ended", "is_locked"]

ERRORS: type[Exception] = sqlite3.Error
_MAGIC = b"SQLite format 3\0"
_NO_SHM = (sqlite3.SQLITE_READONLY_CANTINIT, sqlite3.SQLITE_READONLY_DIRECTORY)
"""A file in WAL mode, and nowhere to make what it needs beside it."""
_DATABASE = "Give the path of a SQLite database at `path`; one that is encrypted has to be decrypted first."


def is_locked(error: Exception) -> bool:
    return _code(error) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_ended(error: Exception) -> bool:
    return _code(error) == sqlite3.SQLITE_INTERRUPT


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", None) or 0


def check_file(path: Path) -> None:
    """See that there is a database, before SQLite opens it: it says less of what is there.

    Raises:
        ConfigurationError: there is none, or it is of a newer version.
        NotAuthorisedError: it may not be read.
    """
    head = head_of_file(path, 100)
    if not head:
        return  # SQLite takes an empty file for an empty database
    if head[:16] != _MAGIC:
        raise BadDataError(
            f"The file {path} is no SQLite database, or an encrypted one; nothing was read. {_DATABASE}"
        )
    if head[19] > 2 or int.from_bytes(head[44:48]) > 4:
        raise ConfigurationError(
            f"The file {path} is of a newer format than SQLite {sqlite3.sqlite_version}, which this Python has, can read; nothing "
            "was read. Use a Python with a newer SQLite."
        )


def fault(error: Exception, place: str, doing: str) -> SingerkitError:
    """Return what to raise for an error of SQLite; ``doing`` says what was done: `reading table x`."""
    code = _code(error)
    if code in _NO_SHM:
        code = sqlite3.SQLITE_CANTOPEN
    where = f"{place} while {doing}"
    if not code:  # of Python: the text stands in the message
        return no_utf8(where)
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return locked(where, "busy_timeout")
        case sqlite3.SQLITE_NOTADB:
            return BadDataError(
                f"SQLite says that {where} is no database, or an encrypted one; {SAFE}. {_DATABASE}"
            )
        case sqlite3.SQLITE_CORRUPT:
            return BadDataError(
                f"SQLite found {where} damaged ({error}); {SAFE}: run `PRAGMA integrity_check` on it, and restore it from a "
                "backup or rebuild it with `.recover` of the sqlite3 shell."
            )
        case sqlite3.SQLITE_READONLY:
            return RetryableError(
                f"A writer has died in {where}, and what it left half done has to be undone by somebody who may write; {SAFE}: "
                "start that program again, or run `PRAGMA user_version` in the sqlite3 shell, then run again."
            )
        case sqlite3.SQLITE_CANTOPEN:
            return NotAuthorisedError(
                f"SQLite cannot open {where}: a file in WAL mode needs its `-shm` file beside it, or the right to make it; "
                f"{SAFE}: give this user the right to write to the folder, copy the file with its `-wal` to another one, or set "
                "`immutable` if nothing writes to it."
            )
        case sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return may_not_open("SQLite", where, error)
        case sqlite3.SQLITE_FULL:
            return RetryableError(
                f"There is no room for what SQLite has to put aside for {where}; {SAFE}: make room where SQLITE_TMPDIR points "
                "to (else /var/tmp or /tmp), then run again."
            )
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_NOMEM | sqlite3.SQLITE_PROTOCOL:
            return could_not_read("SQLite", where, error)
        case _:
            return refused("SQLite", where, error)
