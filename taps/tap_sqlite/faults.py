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

__all__ = ["check_file", "fault", "is_busy"]

_MAGIC = b"SQLite format 3\0"
_NO_SHM = (sqlite3.SQLITE_READONLY_CANTINIT, sqlite3.SQLITE_READONLY_DIRECTORY)
"""A file in WAL mode, and nowhere to make what it needs beside it."""
_SAFE = "what was confirmed by the target is safe"
_DATABASE = "Give the path of a SQLite database at `path`; one that is encrypted has to be decrypted first."


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether a writer has locked the file for now."""
    return _code(error) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", None) or 0


def check_file(path: Path) -> None:
    """See that there is a database, before SQLite opens it: it says less of what is there.

    Raises:
        ConfigurationError: there is none, or it is of a newer version.
        NotAuthorisedError: it may not be read.
    """
    try:
        if path.exists() and not (
            path.is_file() or path.is_dir()
        ):  # opening a pipe would wait for who writes to it
            raise ConfigurationError(
                f"{path} is no file, but a pipe or a device; name a database file at `path`."
            )
        with path.open("rb") as file:
            head = file.read(100)
    except FileNotFoundError:
        raise ConfigurationError(f"There is no file {path}, and none was made; correct `path`.") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{path} is a folder; name the database file in it at `path`.") from None
    except PermissionError:
        raise NotAuthorisedError(
            f"The file {path} may not be read by this user; give it the right to."
        ) from None
    except OSError as error:
        raise RetryableError(f"The file {path} cannot be read ({error.strerror}); run again later.") from None
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


def fault(error: sqlite3.Error, path: Path, doing: str) -> SingerkitError:
    """Return what to raise for an error of SQLite; ``doing`` says what was done: `reading table x`."""
    code = _code(error)
    if code in _NO_SHM:
        code = sqlite3.SQLITE_CANTOPEN
    where = f"{path} while {doing}"
    if not code:  # of Python: the text stands in the message
        return BadDataError(f"Some text of {where} is not UTF-8; {_SAFE}: correct it at the source.")
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return RetryableError(
                f"A writer keeps {where} locked; {_SAFE}: run again later, or raise `busy_timeout`."
            )
        case sqlite3.SQLITE_NOTADB:
            return BadDataError(
                f"SQLite says that {where} is no database, or an encrypted one; {_SAFE}. {_DATABASE}"
            )
        case sqlite3.SQLITE_CORRUPT:
            return BadDataError(
                f"SQLite found {where} damaged ({error}); {_SAFE}: run `PRAGMA integrity_check` on it, and restore it from a "
                "backup or rebuild it with `.recover` of the sqlite3 shell."
            )
        case sqlite3.SQLITE_READONLY:
            return RetryableError(
                f"A writer has died in {where}, and what it left half done has to be undone by somebody who may write; {_SAFE}: "
                "start that program again, or run `PRAGMA user_version` in the sqlite3 shell, then run again."
            )
        case sqlite3.SQLITE_CANTOPEN:
            return NotAuthorisedError(
                f"SQLite cannot open {where}: a file in WAL mode needs its `-shm` file beside it, or the right to make it; "
                f"{_SAFE}: give this user the right to write to the folder, copy the file with its `-wal` to another one, or set "
                "`immutable` if nothing writes to it."
            )
        case sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return NotAuthorisedError(f"SQLite may not open {where} ({error}); {_SAFE}.")
        case sqlite3.SQLITE_FULL:
            return RetryableError(
                f"There is no room for what SQLite has to put aside for {where}; {_SAFE}: make room where SQLITE_TMPDIR points "
                "to (else /var/tmp or /tmp), then run again."
            )
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_NOMEM | sqlite3.SQLITE_PROTOCOL:
            return RetryableError(f"SQLite could not read {where} ({error}); {_SAFE}, run again later.")
        case _:
            return BadDataError(
                f"SQLite refused a query on {where} ({error}); {_SAFE}: if the table has been changed, make the catalog again "
                "with --discover and run again."
            )
