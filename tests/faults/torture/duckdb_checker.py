"""``tap-rest | target-duckdb``, and a checker of what became of it: plain SQL over the file that is left."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
from faults.torture.checker import Checker, State
from faults.torture.jsonl_checker import JsonlPipeline
from faults.torture.pipeline import PIPELINE

__all__ = ["DuckChecker", "DuckPipeline", "TornFile", "columns_of"]

_TYPES = {"TIMESTAMP WITH TIME ZONE": "timestamp with time zone", "JSON": "json"}


class DuckPipeline(JsonlPipeline):
    """A pipeline into the file ``lake/w.duckdb``; the tap resumes from there, or from the state file that the target writes."""

    target = "target-duckdb"

    @property
    def file(self) -> Path:
        return self.lake / "w.duckdb"

    def resumes(self) -> tuple[list[str], list[str]]:
        """Return the options of tap and target that say where the state is."""
        if self.resume == "file":
            return super().resumes()
        return ["--state", f"duckdb://{self.file}?pipeline={PIPELINE}"], []

    def place(self) -> dict[str, Any]:
        self.lake.mkdir(exist_ok=True)
        # Amounts of the source have up to thirty digits behind the point.
        texts = {
            f"{stream}.{name}": "VARCHAR"
            for stream in ("orders", "events")
            for name in ("amount", "total", "rate", "big")
        }
        return {"database": str(self.file), "column_types": texts}


class TornFile(Exception):
    """DuckDB writes a block of its metadata anew in its place; half of that write, and the file cannot be opened any more."""


class DuckChecker(Checker):
    """Checks one `DuckPipeline`, after every run of it, by the invariants of `Checker`."""

    target = "target-duckdb"
    _pipeline: DuckPipeline

    def _connect(self) -> duckdb.DuckDBPyConnection:
        # Not read-only: what a killed run has left in the log beside the file is part of it.
        try:
            connection = duckdb.connect(str(self._pipeline.file))
        except duckdb.IOException as error:
            if "Corrupt database file" in str(error):
                raise TornFile(str(error)) from error
            raise
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    def _read_now(self) -> tuple[State | None, dict[str, Counter[int]]]:
        if not self._pipeline.file.exists():
            return None, {stream: Counter() for stream in self._journal.versions}
        with self._connect() as connection:
            return self._read(connection)

    def _read_committed(self) -> State | None:
        with self._connect() as connection:
            return self._read_state(connection)[0]

    def _read_letters(self, cursor: Any) -> Counter[int]:
        if not columns_of(cursor, "_singerkit_rejects"):
            return Counter()
        records = cursor.execute("SELECT record FROM _singerkit_rejects").fetchall()
        return Counter(json.loads(record)["record"]["seq"] for (record,) in records)

    def _read_state(self, cursor: Any) -> tuple[State | None, int, int]:
        if not columns_of(cursor, "_singerkit_state"):
            return None, 0, 0
        found = cursor.execute(
            "SELECT state, epoch, sequence FROM _singerkit_state WHERE pipeline = ?", [PIPELINE]
        ).fetchall()
        if not found:
            return None, 0, 0
        text, epoch, sequence = found[0]
        self._check_secrets("the committed state", text or "")
        return None if text is None else self._state_of(text, "the committed state"), epoch, sequence

    def _read_rows(self, cursor: Any, stream: str) -> Counter[int]:
        types = columns_of(cursor, stream)
        where = self._rows_now(cursor, stream, types)
        types = {name: type_ for name, type_ in types.items() if not name.startswith("_sdc_")}
        if not types:
            return Counter()
        shown = ", ".join(
            f"md5({name})" if name == "pad" else f"""CAST("{name}" AS VARCHAR)""" for name in types
        )
        found = cursor.execute(f"SELECT {shown} FROM {stream} {where}").fetchall()
        return self._versions_of(stream, types, found)


def columns_of(cursor: Any, table: str) -> dict[str, str]:
    """Return the types of the columns of a table by name; none: there is no such table."""
    found = cursor.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index",
        [table],
    ).fetchall()
    return {name: _TYPES.get(type_, type_.lower()) for name, type_ in found}
