"""A log of changes in a SQLite file: who writes to it, and what is true at any place of it. Shares no code with the engine.

Each transaction is a few entries with numbers that follow each other, so that a number is a position. Tables are what their
entries make of them, as they are asked for: at any place, as a snapshot is.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Entry", "LogFile", "delete", "put", "truncate"]

_TABLES = """
CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, tx INTEGER, stream TEXT, op TEXT, row TEXT, is_last INTEGER);
CREATE TABLE IF NOT EXISTS source (id TEXT, begins INTEGER);
CREATE TABLE IF NOT EXISTS calls (what TEXT, position INTEGER);
"""


@dataclass(frozen=True)
class Entry:
    """One line of the log. ``op``: put, delete or truncate. A put that leaves fields out keeps their values."""

    seq: int
    tx: int
    stream: str
    op: str
    row: dict[str, Any]
    is_last: bool

    @property
    def at(self) -> str:
        """When it was committed."""
        return f"2024-01-01T00:{self.tx // 60 % 60:02}:{self.tx % 60:02}Z"


def put(stream: str, **row: Any) -> tuple[str, str, dict[str, Any]]:
    return stream, "put", row


def delete(stream: str, **key: Any) -> tuple[str, str, dict[str, Any]]:
    return stream, "delete", key


def truncate(stream: str) -> tuple[str, str, dict[str, Any]]:
    return stream, "truncate", {}


class LogFile:
    """The log; opened by each process for itself."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(_TABLES)
        self._db.execute("INSERT INTO source SELECT 'log-1', 0 WHERE NOT EXISTS (SELECT 1 FROM source)")

    def close(self) -> None:
        self._db.close()

    def commit(self, *changes: tuple[str, str, dict[str, Any]]) -> int:
        """Add a transaction; return its position."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        (seq, tx), last = (
            db.execute("SELECT coalesce(max(seq), 0), coalesce(max(tx), 0) FROM log").fetchone(),
            len(changes),
        )
        db.executemany(
            "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)",
            [
                (seq + number, tx + 1, stream, op, json.dumps(row), number == last)
                for number, (stream, op, row) in enumerate(changes, 1)
            ],
        )
        db.execute("COMMIT")
        return int(seq) + last

    def entries(self, after: int = 0, upto: int | None = None, limit: int = -1) -> list[Entry]:
        found = self._db.execute(
            "SELECT seq, tx, stream, op, row, is_last FROM log WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            (after, self.end if upto is None else upto, limit),
        ).fetchall()
        return [
            Entry(seq, tx, stream, op, json.loads(row), bool(last))
            for seq, tx, stream, op, row, last in found
        ]

    @property
    def end(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(seq), 0) FROM log").fetchone()[0])

    @property
    def last_tx(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(tx), 0) FROM log").fetchone()[0])

    def rows(self, stream: str, keys: Sequence[str], upto: int | None = None) -> list[dict[str, Any]]:
        """What a table holds: the newest row of each key, or, without one, every row that was put."""
        return rows_of(self.entries(upto=upto), stream, keys)

    # What the source knows of those who read

    @property
    def id(self) -> str:
        return str(self._db.execute("SELECT id FROM source").fetchone()[0])

    def rename(self, name: str) -> None:
        self._db.execute("UPDATE source SET id = ?", (name,))

    @property
    def begins(self) -> int:
        """Where the log begins: what lies before it was acknowledged, or is lost."""
        return int(self._db.execute("SELECT begins FROM source").fetchone()[0])

    def forget(self, position: int) -> None:
        self._db.execute("UPDATE source SET begins = ?", (position,))

    def note(self, what: str, position: int | None = None) -> None:
        self._db.execute("INSERT INTO calls VALUES (?, ?)", (what, position))

    def calls(self, what: str) -> list[int | None]:
        found = self._db.execute(
            "SELECT position FROM calls WHERE what = ? ORDER BY rowid", (what,)
        ).fetchall()
        return [position for (position,) in found]


def rows_of(entries: Iterable[Entry], stream: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    rows: dict[Any, dict[str, Any]] = {}
    for entry in entries:
        if entry.stream != stream:
            continue
        key = tuple(entry.row.get(name) for name in keys) if keys else entry.seq
        if entry.op == "truncate":
            rows.clear()
        elif entry.op == "delete":
            if keys:
                rows.pop(key, None)
            else:
                rows = {seq: row for seq, row in rows.items() if row != entry.row}
        else:
            rows[key] = {**rows.get(key, {}), **entry.row}
    return list(rows.values())
