"""The store of target-acme: rows, the state, and what was set aside, in one transaction.

TODO(acme): put the client of your store here. This one is made up, so that everything around it runs: documents in a
file of SQLite.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from singerkit_shell.errors import (
    BadDataError,
    CannotWriteError,
    ConfigurationError,
    FencedError,
    RetryableError,
)
from target_acme.rows import key_of, merged

__all__ = ["Saved", "Store"]

_TABLES = """
CREATE TABLE IF NOT EXISTS documents (stream TEXT NOT NULL, key TEXT, document TEXT NOT NULL, UNIQUE (stream, key));
CREATE TABLE IF NOT EXISTS keys (stream TEXT PRIMARY KEY, fields TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS set_aside (run_id TEXT, stream TEXT, line INTEGER, path TEXT, reason TEXT, record BLOB);
CREATE TABLE IF NOT EXISTS states (
    pipeline TEXT PRIMARY KEY, epoch INTEGER NOT NULL, run_id TEXT, sequence INTEGER NOT NULL, state TEXT,
    former TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Saved:
    """The row of a pipeline: its committed STATE, which run took it last, and digests of the states from before."""

    pipeline: str
    epoch: int = 0
    sequence: int = 0
    state: str | None = None
    former: tuple[str, ...] = ()


class Store:
    """A connection. Nothing is seen by others, or stays, before `commit`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._told():
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=10)
            self._connection.create_function("merged", 2, merged, deterministic=True)
            self._connection.create_function("key_of", 2, key_of, deterministic=True)
            self._connection.executescript(_TABLES)

    def pipelines(self) -> list[str]:
        with self._told():
            rows = self._connection.execute("SELECT pipeline FROM states WHERE state IS NOT NULL ORDER BY 1")
            return [name for (name,) in rows]

    def take(self, pipeline: str, run_id: str) -> Saved:
        """Take a pipeline for a run: with the new epoch each run before it is fenced."""
        with self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            row = self._connection.execute(
                "SELECT epoch, sequence, state, former FROM states WHERE pipeline = ?", (pipeline,)
            ).fetchone()
            epoch, sequence, state, former = row or (0, 0, None, "")
            self._connection.execute(
                "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?, ?, ?)",
                (pipeline, epoch + 1, run_id, sequence, state, former),
            )
            self._connection.execute("COMMIT")
        return Saved(pipeline, epoch + 1, sequence, state, tuple(former.split()))

    def has_rows(self, stream: str) -> bool:
        with self._told():
            found = self._connection.execute("SELECT 1 FROM documents WHERE stream = ? LIMIT 1", (stream,))
            return found.fetchone() is not None

    def declare(self, stream: str, key: Sequence[str]) -> None:
        """Be ready for rows with this key; those that are there get it, where they had another.

        Raises:
            BadDataError: two of them have the same.
        """
        self._begin()
        with self._told():
            found = self._connection.execute("SELECT fields FROM keys WHERE stream = ?", (stream,)).fetchone()
            fields = json.dumps(list(key))
            if found == (fields,):
                return
            self._connection.execute("UPDATE documents SET key = NULL WHERE stream = ?", (stream,))
            try:
                self._connection.execute(
                    "UPDATE documents SET key = key_of(document, ?) WHERE stream = ?", (fields, stream)
                )
            except sqlite3.IntegrityError:
                raise BadDataError(
                    f"Expected rows of stream `{stream}` that differ in the new key ({', '.join(key)}), got two that are the same "
                    "in it; what was committed is safe: give the stream a key that is unique, then run again."
                ) from None
            self._connection.execute("INSERT OR REPLACE INTO keys VALUES (?, ?)", (stream, fields))

    def put(self, stream: str, rows: Iterable[tuple[str | None, str]]) -> None:
        """Store rows; one with the key of another changes it, one without a key is another."""
        self._begin()
        with self._told():
            self._connection.executemany(
                "INSERT INTO documents VALUES (?, ?, ?) "
                "ON CONFLICT (stream, key) DO UPDATE SET document = merged(document, excluded.document)",
                ((stream, key, document) for key, document in rows),
            )

    def set_aside(self, letters: Sequence[tuple[str, str, int, str, str, bytes]]) -> None:
        self._begin()
        with self._told():
            self._connection.executemany("INSERT INTO set_aside VALUES (?, ?, ?, ?, ?, ?)", letters)

    def mark(self) -> None:
        """Remember what is written so far, to come back to by `back`."""
        self._begin()
        with self._told():
            self._connection.execute("SAVEPOINT safe")

    def back(self) -> None:
        with self._told():
            self._connection.execute("ROLLBACK TO safe")

    def commit(self, saved: Saved, *, epoch: int) -> None:
        """Make what was written, and the state, durable together, if the pipeline is still held under ``epoch``.

        Raises:
            FencedError: a newer run has taken it; nothing was committed.
        """
        self._begin()
        with self._told():
            changed = self._connection.execute(
                "UPDATE states SET epoch = ?, sequence = ?, state = ?, former = ? WHERE pipeline = ? AND epoch = ?",
                (
                    saved.epoch,
                    saved.sequence,
                    saved.state,
                    " ".join(saved.former),
                    saved.pipeline,
                    epoch,
                ),
            ).rowcount
            if not changed:
                raise FencedError(
                    f"A newer run has taken the pipeline `{saved.pipeline}` in {self._path}; what was committed before is "
                    "safe, the rest was rolled back: let the other run finish, then run again."
                )
            self._connection.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            with self._told():
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            with self._told():
                self._connection.execute("BEGIN IMMEDIATE")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """TODO(acme): what an error of your store means: wait and run again (69), no room (74), the config (78)."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY):
                raise CannotWriteError(
                    f"The store {self._path} cannot be written ({error}); what was committed is safe: make room or check "
                    "its permissions, then run again."
                ) from None
            if error.sqlite_errorcode == sqlite3.SQLITE_CANTOPEN:
                raise ConfigurationError(
                    f"The store {self._path} cannot be opened; nothing was read: check `path`, and that its folder is there."
                ) from None
            raise RetryableError(
                f"The store {self._path} is not available ({error}); what was committed is safe: run again later."
            ) from None
        except sqlite3.DatabaseError as error:
            raise ConfigurationError(
                f"The file {self._path} is no store of ours ({error}); nothing was changed: correct `path`."
            ) from None
