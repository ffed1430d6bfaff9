"""What the conformance suite must know of tap-sqlite."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from singerkit_check.suite.drivers import OurTap
from singerkit_check.suite.known import KNOWN, Row
from singerkit_check.suite.singer import parse
from singerkit_check.suite.sources import Held, Source

__all__ = ["DRIVER", "TapSqlite"]

_TABLES: Mapping[str, Mapping[str, str]] = {
    "orders": {
        "id": "INTEGER PRIMARY KEY",
        "updated_at": "DATETIME NOT NULL",
        "amount": "REAL",
        "big": "INTEGER",
        "note": "TEXT",
        "paid": "BOOLEAN",
        "discount": "NUMERIC",
    },
    "events": {"id": "INTEGER PRIMARY KEY", "updated_at": "DATETIME NOT NULL", "kind": "TEXT"},
    "countries": {"code": "TEXT NOT NULL PRIMARY KEY", "name": "TEXT", "area": "REAL"},
    "shops": {"id": "INTEGER PRIMARY KEY", "name": "TEXT"},
}
"""What a file holds of `KNOWN`: a table has no lists or objects, and none is read for the rows of another."""
_LARGEST = 2**63 - 1


class SqliteSource(Source):
    """The known streams as tables. ``orders`` is read by the index of its replication key, ``events`` has none."""

    def __init__(self, path: Path) -> None:
        config = {
            "path": str(path),
            "streams": [{"name": name, "replication_key": "updated_at"} for name in ("orders", "events")],
        }
        super().__init__(config, {name: KNOWN[name].facts for name in _TABLES})
        self._path = path
        self._lock: sqlite3.Connection | None = None
        with self._writing() as connection:
            for name, columns in _TABLES.items():
                declared = ", ".join(f"{column} {kind}" for column, kind in columns.items())
                connection.execute(f"CREATE TABLE {name} ({declared})")
            connection.execute("CREATE INDEX by_time ON orders (updated_at)")
        for name in _TABLES:
            self.put(name, *KNOWN[name].rows)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if self._lock is not None:
            yield self._lock
            return
        with closing(sqlite3.connect(self._path)) as connection, connection:
            yield connection

    def rows(self, stream: str) -> list[Row]:
        names = list(_TABLES[stream])
        order = "updated_at" if self.streams[stream].ascends else "rowid"
        with self._writing() as connection:
            found = connection.execute(f"SELECT {', '.join(names)} FROM {stream} ORDER BY {order}").fetchall()
        return [parse(json.dumps(dict(zip(names, row, strict=True)))) for row in found]

    def put(self, stream: str, *rows: Row) -> None:
        names = list(_TABLES[stream])
        marks = ", ".join("?" * len(names))
        with self._writing() as connection:
            connection.executemany(
                f"REPLACE INTO {stream} VALUES ({marks})",
                [[_storable(row.get(name)) for name in names] for row in rows],
            )

    @contextmanager
    def held(self, stream: str, rows: int) -> Iterator[Held]:
        """Lock the file, as a writer does: the whole stream is held."""
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            self._lock = connection

            def release() -> None:
                self._lock = None
                connection.execute("COMMIT")

            try:
                yield Held(0, lambda running: running.wait_for_error("Waiting for a writer"), release)
            finally:
                self._lock = None

    @contextmanager
    def ailing(self, stream: str) -> Iterator[None]:
        """Lock the file for a moment."""
        with closing(
            sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        ) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            timer = threading.Timer(1, connection.execute, ("COMMIT",))
            timer.start()
            yield
            timer.join()

    @contextmanager
    def broken(self, stream: str) -> Iterator[None]:
        """Put a view in the place of the table that SQLite cannot evaluate."""
        names = list(_TABLES[stream])
        with self._writing() as connection:
            connection.execute(f"ALTER TABLE {stream} RENAME TO whole")
            values = ", ".join(
                [*names[:-1], f"abs(-9223372036854775807 - (length({names[0]}) > -1)) AS {names[-1]}"]
            )
            connection.execute(f"CREATE VIEW {stream} AS SELECT {values} FROM whole")
        yield
        with self._writing() as connection:
            connection.execute(f"DROP VIEW {stream}")
            connection.execute(f"ALTER TABLE whole RENAME TO {stream}")

    @contextmanager
    def spoilt(self, stream: str, row: Row) -> Iterator[None]:
        """Put bytes into a text of the row that are not UTF-8."""
        facts = self.streams[stream]
        field, at = self.text_field(stream), [row[name] for name in facts.key]
        where = " AND ".join(f"{name} = ?" for name in facts.key)
        with self._writing() as connection:
            connection.execute(f"UPDATE {stream} SET {field} = CAST(x'FF' AS TEXT) WHERE {where}", at)
        yield
        self.put(stream, row)


def _storable(value: Any) -> Any:
    """SQLite has no decimals, and no integers beyond 64 bits."""
    if isinstance(value, int):
        return min(value, _LARGEST)
    return value if value is None or isinstance(value, str) else float(value)


class TapSqlite(OurTap):
    """tap-sqlite against a file of its own."""

    waivers: ClassVar[Mapping[str, str]] = {"T06": "a file is opened, and nobody is told a user agent"}
    code_of_unreachable = 78

    @contextmanager
    def source(self) -> Iterator[Source]:
        with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
            yield SqliteSource(Path(folder, "shop.db"))

    def unreachable(self, config: dict[str, Any]) -> dict[str, Any]:
        return config | {"path": config["path"] + ".gone"}


DRIVER = TapSqlite
