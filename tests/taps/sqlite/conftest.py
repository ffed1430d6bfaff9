"""Files of SQLite to read from, and tap-sqlite on them: in this process, or as a process of its own."""

from __future__ import annotations

import io
import json
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome, Running, run
from taps.written import Result

from singerkit_state.shards import Shard
from singerkit_state.value import decode, encode
from tap_sqlite.tap import TapSqlite

TAP = str(Path(sys.executable).with_name("tap-sqlite"))


@dataclass
class Shop:
    """A database file, and a config for it."""

    folder: Path
    name: str = "shop.db"
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / self.name

    def execute(self, *statements: str, rows: Sequence[Sequence[Any]] | None = None) -> None:
        """Run statements, the last one for each of ``rows`` if given."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            for statement in statements[:-1]:
                connection.execute(statement)
            if rows is None:
                connection.execute(statements[-1])
            else:
                connection.executemany(statements[-1], rows)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(statement).fetchall()

    def found_types(self, name: str) -> Mapping[str, Any]:
        """Return what the database finds in the values of a table."""
        database = self.tap().database
        try:
            table = next(table for table in database.tables() if table.name == name)
            return database.found_types(table, table.column_names, [])
        finally:
            database.close()

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {"path": str(self.path), **self.config, **changes}

    def by(self, key: str | None, **more: Any) -> None:
        """Read streams incrementally by ``key`` from now on."""
        self.config["streams"] = [{"name": "*", "replication_key": key, **more}]

    def tap(
        self, state: Any = None, catalog: Any = None, shard: Shard | None = None, **changes: Any
    ) -> TapSqlite:
        tap = TapSqlite(config=self.settings(**changes), state=state or {}, catalog=catalog)
        if shard is not None:
            tap.take_shard(shard)
        return tap

    def sync(self, state: Any = None, catalog: Any = None, **changes: Any) -> Result:
        """Sync in this process; what was written stays in ``written``, also of a run that fails."""
        self.written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with redirect_stdout(self.written):
            self.tap(state, catalog, **changes).sync()
        return self.result()

    def result(self) -> Result:
        lines = self.written.buffer.getvalue().splitlines()  # type: ignore[attr-defined]  it is a BytesIO
        return Result([decode(line.decode()) for line in lines], "t")

    def discover(self, **changes: Any) -> dict[str, Any]:
        return self.tap(**changes).catalog_dict

    def entry(self, stream: str = "t", **changes: Any) -> dict[str, Any]:
        return next(one for one in self.discover(**changes)["streams"] if one["stream"] == stream)

    def command(self, *options: str, **changes: Any) -> list[str]:
        (self.folder / "config.json").write_text(json.dumps(self.settings(**changes)))
        return [TAP, "--config", str(self.folder / "config.json"), *options]

    def run(self, *options: str, **changes: Any) -> Outcome:
        return run(self.command(*options, **changes))

    def running(self, *options: str, **changes: Any) -> Running:
        return Running(self.command(*options, **changes))

    def file(self, name: str, content: Any) -> str:
        (self.folder / name).write_text(encode(content))
        return str(self.folder / name)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)
