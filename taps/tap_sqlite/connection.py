"""The file of a database, opened read-only: who waits for whom, and what ends a query."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from singerkit_shell.errors import ConfigurationError, RetryableError
from singerkit_shell.signals import stop_flag
from tap_sqlite.faults import check_file, fault, is_busy

__all__ = ["SqliteFile"]

_T = TypeVar("_T")

_OLDEST = (3, 37)
_LOOK_EVERY = 100_000  # steps of SQLite's machine between two looks at the stop flag: some milliseconds
_FIRST_WAIT = 0.01
_SAFE = "what was confirmed by the target is safe, run again to continue."


class SqliteFile:
    """A file and the one connection to it, which the first use opens."""

    def __init__(self, config: Mapping[str, Any], logger: logging.Logger) -> None:
        self.path = Path(config["path"])
        self._config, self._logger = config, logger
        self._open: sqlite3.Connection | None = None
        self._began = 0.0
        self.inode: int | None = None
        """That of the file that was opened last."""

    @property
    def connection(self) -> sqlite3.Connection:
        if self._open is None:
            if sqlite3.sqlite_version_info < _OLDEST:
                raise ConfigurationError(
                    f"The SQLite of this Python is {sqlite3.sqlite_version}; tap-sqlite needs 3.37 or newer: use another Python."
                )
            check_file(self.path)
            self.inode = self.path.stat().st_ino
            self._open = self._connected()
        return self._open

    def _connected(self) -> sqlite3.Connection:
        immutable = bool(self._config.get("immutable"))
        if immutable:
            self._check_no_wal()
        # A path may hold `?`, `#` and `%`, which mean something in a URI.
        uri = f"file:{quote(str(self.path.absolute()))}?mode=ro{'&immutable=1' * immutable}"
        connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)
        connection.set_progress_handler(self._is_to_end, _LOOK_EVERY)
        self._open = connection
        mode = self.run(lambda: connection.execute("PRAGMA journal_mode").fetchone()[0], "opening it")
        snapshot = self._config.get("snapshot", "auto")
        if snapshot == "run" or (snapshot == "auto" and mode == "wal"):
            # Each query is of this transaction from here on; else each one is a transaction of its own.
            self.run(lambda: connection.execute("BEGIN"), "beginning a transaction")
        return connection

    def _check_no_wal(self) -> None:
        wal = self.path.with_name(self.path.name + "-wal")
        if wal.exists() and wal.stat().st_size:
            raise ConfigurationError(
                f"The file {wal} holds rows that `immutable` would leave out; nothing was read. Leave `immutable` out, or have a "
                "program that may write close the database."
            )

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _is_to_end(self) -> bool:
        """Look, while a query runs, whether somebody wants it to end; signals are heard here, too."""
        return bool(stop_flag) or self._is_too_long()

    def _is_too_long(self) -> bool:
        limit = self._config.get("query_timeout")
        return limit is not None and time.monotonic() - self._began > limit

    def run(self, work: Callable[[], _T], doing: str) -> _T:
        """Return what ``work`` returns, waiting for a writer that is at it.

        Raises:
            SingerkitError: see `fault`.
        """
        until = time.monotonic() + self._config.get("busy_timeout", 60)
        wait = _FIRST_WAIT
        while True:
            stop_flag.raise_if_set(_SAFE)
            self._began = time.monotonic()
            try:
                return work()
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
                    stop_flag.raise_if_set(_SAFE)
                    raise RetryableError(
                        f"A query on {self.path} while {doing} took longer than `query_timeout`; what was confirmed by the "
                        "target is safe: raise it, or select less."
                    ) from None
                if not is_busy(error) or time.monotonic() > until:
                    raise fault(error, self.path, doing) from None
                if wait == _FIRST_WAIT:
                    self._logger.info("Waiting for a writer that has locked %s, while %s.", self.path, doing)
            stop_flag.wait(wait)
            wait = min(2 * wait, 0.25)
