"""What the conformance suite must know of target-duckdb."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import duckdb

from singerkit_check.suite.drivers import Destination, Services, TargetDriver
from singerkit_check.suite.known import Row
from singerkit_check.suite.singer import parse

__all__ = ["DRIVER", "TargetDuckDB", "read_duckdb"]


class TargetDuckDB(TargetDriver):
    """target-duckdb into a file of its own, read back by DuckDB as PostgreSQL would show it."""

    deletes = True
    refuses: ClassVar[Mapping[str, str]] = {"s17": "`Name` and `name`"}
    scale = 9
    commits_often: ClassVar[Mapping[str, Any]] = {"commit_rows": 1}

    @contextmanager
    def without_config(self, folder: Path) -> Iterator[Destination]:
        """The file in the folder it is started in."""
        place = folder / "without-config"
        place.mkdir()
        yield Destination({}, lambda stream: read_duckdb(place / "singerkit.duckdb", stream), folder=place)

    def destination(self, folder: Path, services: Services, **settings: Any) -> Destination:
        place = folder / f"{uuid.uuid4().hex[:12]}.duckdb"
        config = {"database": str(place)} | settings
        return Destination(config, lambda stream: read_duckdb(place, stream), "--state-file")


def read_duckdb(file: Path, stream: str) -> list[Row]:
    """Return the rows of a table as JSON values with exact numbers; [] where there is no such table."""
    if not file.exists():
        return []
    try:
        connection = duckdb.connect(str(file), read_only=True)
    except duckdb.IOException:  # a run has it open, and what it has committed is read from a copy
        copy = file.with_suffix(".copy")
        for suffix in ("", ".wal"):
            if Path(f"{file}{suffix}").exists():
                shutil.copyfile(f"{file}{suffix}", f"{copy}{suffix}")
        connection = duckdb.connect(str(copy))
    with connection:
        known = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [stream]).fetchall()
        if not known:
            return []
        quoted = '"' + stream.replace('"', '""') + '"'
        columns = connection.execute(f"DESCRIBE {quoted}").fetchall()
        shown = [
            _SHOWN_AS.get(type_, "{}").format('"' + name.replace('"', '""') + '"')
            for name, type_, *_ in columns
        ]
        rows = connection.execute(f"SELECT {', '.join(shown)} FROM {quoted}").fetchall()
    return [
        _with_variants(
            {name: _as_json(value, type_) for (name, type_, *_), value in zip(columns, row, strict=True)}
        )
        for row in rows
    ]


def _with_variants(row: dict[str, Any]) -> Row:
    """A number with more digits than its column, or what is none in JSON, stands beside it, as it came."""
    beside = {name: text for name in row if (text := row.get(f"{name}__text")) is not None}
    own = {name: value for name, value in row.items() if not name.endswith("__text")}
    return own | {name: text if text == "NaN" else parse(text) for name, text in beside.items()}


_SHOWN_AS = {
    "TIMESTAMP WITH TIME ZONE": "epoch_us({})",
    "UUID": "CAST({} AS VARCHAR)",
    "TIME": "CAST({} AS VARCHAR)",
}


def _as_json(value: Any, type_: str) -> Any:
    """The value as PostgreSQL's `row_to_json` shows it."""
    if value is None:
        return None
    if type_ == "TIMESTAMP WITH TIME ZONE":
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)).isoformat()
    if type_ == "JSON":
        return parse(value)
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    return value.isoformat() if isinstance(value, date) else value


DRIVER = TargetDuckDB
