"""The file of a database, opened read-only."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from singerkit_shell.errors import ConfigurationError
from tap_sqlite.faults import check_file

__all__ = ["open_file"]

_OLDEST = (3, 37)


def open_file(path: Path, *, immutable: bool) -> sqlite3.Connection:
    """Return a connection to a file.

    Raises:
        ConfigurationError, NotAuthorisedError, BadDataError: that cannot be.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        raise ConfigurationError(
            f"The SQLite of this Python is {sqlite3.sqlite_version}; tap-sqlite needs 3.37 or newer: use another Python."
        )
    check_file(path)
    if immutable:
        _check_no_wal(path)
    # A path may hold `?`, `#` and `%`, which mean something in a URI.
    uri = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' * immutable}"
    return sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)


def _check_no_wal(path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise ConfigurationError(
            f"The file {wal} holds rows that `immutable` would leave out; nothing was read. Leave `immutable` out, or have a "
            "program that may write close the database."
        )
