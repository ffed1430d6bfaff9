"""``tap-sqlite | target-duckdb`` over a file that others write to while it is read, and a checker of both files.

The tables: ``items`` with a key, read as a whole; ``notes`` without one, read as a whole; ``changes``, read by a replication
key. Rows of the first two are deleted, too. Each row holds the number of the change that made it, so that none is like another.

    lost       a row that was in the target, and is in the source, has gone
    doubled    a key is there twice; a row without a key, after a load that is complete
    wrong      a row that never was in the source
    regressed  a key has an older row than before
    state      epoch or sequence go back; files and stdout as in `checker.py`

At the end nobody writes, and the tables must be equal.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from faults.torture.cases import STOPPED, TWICE, Planner, Sizes, planners_without_http, sites_without_http
from faults.torture.checker import Checker, State, Violation
from faults.torture.duckdb_cases import DuckCase
from faults.torture.duckdb_checker import DuckChecker, DuckPipeline, columns_of
from faults.torture.pipeline import PIPELINE, Outcome, Pipeline
from faults.torture.stirring import Stirred

__all__ = ["SqliteCase", "SqliteSource"]

TABLES = {
    "items": "id INTEGER PRIMARY KEY, n INTEGER NOT NULL, v TEXT",
    "notes": "id INTEGER, n INTEGER, v TEXT",
    "changes": "id INTEGER PRIMARY KEY, n INTEGER NOT NULL, v TEXT",
}
Row = tuple[int, int, str]
RESUMED = "the full load that was cut off goes on where it was"


class SqliteSource(Stirred):
    """A file of SQLite and all rows that it has ever had. ``stirring``: changes that come while a run is under way."""

    page_size, is_sorted = 10, True
    requests = struck = 0
    at_once = 3

    def __init__(self, roll: random.Random) -> None:
        self._roll = roll
        self._number = 0
        self._path: Path | None = None
        self.stirring = 0
        self.ever: dict[str, set[Row]] = {table: set() for table in TABLES}
        self.journal = SimpleNamespace(versions={}, by_seq={})

    def settle(self, path: Path) -> None:
        """Make the file."""
        self._path = path
        with self._open() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            for table, columns in TABLES.items():
                connection.execute(f"CREATE TABLE {table} ({columns})")

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        assert self._path is not None
        with closing(sqlite3.connect(self._path, timeout=30)) as connection, connection:
            yield connection

    def rows(self, table: str) -> Counter[Row]:
        with self._open() as connection:
            return Counter(connection.execute(f"SELECT id, n, v FROM {table}").fetchall())

    def emit(self, changes: int) -> None:
        """Write a transaction of so many changes; what may be read is noted before it is committed."""
        with self._open() as connection:
            for _ in range(changes):
                self._change(connection, self._roll.choice(sorted(TABLES)))

    def _change(self, connection: sqlite3.Connection, table: str) -> None:
        self._number += 1
        there = [row for (row,) in connection.execute(f"SELECT id FROM {table}")]
        kind = self._roll.random()
        key = self._roll.choice(there) if there and kind < 0.5 else self._number
        if key != self._number and kind < 0.25 and table != "changes":
            connection.execute(f"DELETE FROM {table} WHERE id = ?", [key])
            return
        row = key, self._number, f"{table} {self._number} é\n"
        self.ever[table].add(row)
        connection.execute(f"DELETE FROM {table} WHERE id = ?", [key])
        connection.execute(f"INSERT INTO {table} VALUES (?, ?, ?)", row)

    def close(self) -> None:
        """Nothing is open."""


class SqlitePipeline(DuckPipeline):
    """A pipeline from the file ``shop.db``."""

    tap = "tap-sqlite"
    source: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.source.settle(self.folder / "shop.db")

    def tap_config(self) -> dict[str, Any]:
        return {
            "path": str(self.folder / "shop.db"),
            "pipeline": PIPELINE,
            "state_every": 10,
            "streams": [{"name": "changes", "replication_key": "n"}],
        }

    def place(self) -> dict[str, Any]:
        self.lake.mkdir(exist_ok=True)
        return {"database": str(self.file), "add_record_metadata": True}

    def run(self, **options: Any) -> Outcome:
        with self.source.stirred():
            return super().run(**options)


class SqliteChecker(DuckChecker):
    """Checks one `SqlitePipeline`, after every run of it."""

    tap = "tap-sqlite"
    _pipeline: SqlitePipeline

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline)
        self._stored: dict[str, Counter[Row]] = {table: Counter() for table in TABLES}
        self._at = 0, 0

    def check(self, *outcomes: Outcome, complete: bool | None = None, **options: Any) -> None:
        """Check as `Checker.check` does; a load that is complete has each row without a key once.

        One that goes on where it was cut off need not equal the source: what changed before that place comes with the next.
        """
        if any(RESUMED in outcome.stderr for outcome in outcomes):
            complete = False
        super().check(*outcomes, complete=complete, **options)
        if len(outcomes) == 1 and outcomes[0].codes == "0|0":
            twice = [row for row, count in self._stored["notes"].items() if count > 1]
            for row in twice:
                self._find("doubled", f"notes: {row} is there {self._stored['notes'][row]} times")
            if twice:
                raise Violation(self._findings)

    def _read_now(self) -> tuple[State | None, dict[str, Counter[Any]]]:
        if not self._pipeline.file.exists():
            return None, {table: Counter() for table in TABLES}
        with self._connect() as connection:
            state, *at = self._read_state(connection)
            rows = {
                table: Counter(connection.execute(f"SELECT id, n, v FROM {table}").fetchall())
                for table in TABLES
                if columns_of(connection, table)
            }
        if at < list(self._at):
            self._find("state", f"epoch, sequence go back from {self._at} to {at}")
        self._at = at[0], at[1]
        for table in TABLES:
            self._check_table(table, rows.setdefault(table, Counter()))
        self._stored = rows
        return state, rows

    def _check_table(self, table: str, now: Counter[Row]) -> None:
        source, before = self._pipeline.source, self._stored[table]
        for row in now.keys() - source.ever[table]:
            self._find("wrong", f"{table} holds a row that never was: {row}")
        if table == "notes":
            gone = (before.keys() - now.keys()) & source.rows(table).keys()
            self._find_all("lost", table, gone)
            return
        keys = Counter(key for key, _, _ in now.elements())
        self._find_all("doubled", table, (key for key, count in keys.items() if count > 1))
        numbers = {key: number for key, number, _ in now}
        there = {key for key, _, _ in source.rows(table)}
        known = [(key, number) for key, number, _ in before]
        self._find_all("lost", table, (key for key, _ in known if key in there and key not in numbers))
        self._find_all(
            "regressed", table, (key for key, number in known if numbers.get(key, number) < number)
        )

    def _find_all(self, kind: str, table: str, found: Iterable[Any]) -> None:
        for each in found:
            self._find(kind, f"{table}: {each}")

    def _check_complete(self, rows: Mapping[str, Counter[Any]]) -> None:
        for table in TABLES:
            source = self._pipeline.source.rows(table)
            self._find_all("lost", table, (source - rows[table]).elements())
            self._find_all("doubled", table, (rows[table] - source).elements())


class SqliteCase(DuckCase):
    """A case from a file of SQLite that changes while it is read."""

    pipeline_kind: ClassVar[type[Pipeline] | None] = SqlitePipeline
    checker_kind: ClassVar[type[Checker]] = SqliteChecker
    planners: ClassVar[dict[str, Planner]] = planners_without_http(DuckCase)
    kinds: ClassVar[tuple[str, ...]] = (*planners, STOPPED, TWICE)
    sites: ClassVar[dict[str, tuple[str, ...]]] = sites_without_http(DuckCase)
    arguments: ClassVar[tuple[str, ...]] = ("--into duckdb", "--from sqlite")

    @staticmethod
    def new_source(name: str, roll: random.Random, *, is_installed: bool) -> Any:
        """Return the source of a case."""
        return SqliteSource(random.Random(f"sqlite {name} {roll.random()}"))

    def emit(self) -> None:
        """Let the source go on; no run is under way."""
        self.emitted += 1
        self.source.emit(self.roll.randrange(5, 60))

    def recover(self) -> None:
        """Run until one succeeds, and once more: it may have gone on with the load of a run that was cut off."""
        super().recover()
        super().recover()

    def sizes(self) -> Sizes:
        """Return about how much a run does: full loads send all rows."""
        rows = sum(self.source.rows(table).total() for table in TABLES)
        return Sizes(rows // 10 + 2, self.pipeline.resume == "url")
