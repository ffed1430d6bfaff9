"""Compare rows that arrived with rows that were sent, value by value, whatever type the target has given them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from database import Database
from psycopg2 import sql

__all__ = ["differences", "rows_of_duckdb", "rows_of_jsonl", "rows_of_table"]

Row = Mapping[str, Any]


def differences(sent: Iterable[Row], arrived: Iterable[Row], kinds: Mapping[str, str], key: str) -> str:
    """Return ``equal``, or how many rows differ and the place of the first difference.

    ``arrived`` may hold several rows with one key, as a target that appends has them: the last one counts.
    """
    expected = {row[key]: row for row in sent}
    found = {_plain(row[key], kinds[key]): row for row in arrived}
    if missing := expected.keys() - found.keys():
        return f"{len(missing)} rows are missing, one has {key} {min(missing)}"
    if extra := found.keys() - expected.keys():
        return f"{len(extra)} rows too many, one has {key} {min(extra)}"
    wrong = [
        (number, name, row[name], found[number].get(name))
        for number, row in expected.items()
        for name, kind in kinds.items()
        if _plain(row[name], kind) != _plain(found[number].get(name), kind)
    ]
    if not wrong:
        return "equal"
    number, name, before, after = wrong[0]
    return f"{len(wrong)} values differ, the first at {key} {number}, {name}: {before!r} became {after!r}"


def rows_of_table(database: Database, schema: str, table: str) -> list[dict[str, Any]]:
    """Read a whole table."""
    names = [
        name
        for (name,) in database.query(
            "select column_name from information_schema.columns where table_schema = %s and table_name = %s",
            [schema, table],
        )
    ]
    if not names:
        tables = database.query(
            "select table_name from information_schema.tables where table_schema = %s", [schema]
        )
        raise LookupError(f"there is no table {table} in {schema}, only {sorted(name for (name,) in tables)}")
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    rows = database.query(sql.SQL("select {} from {}").format(columns, sql.Identifier(schema, table)))
    return [dict(zip(names, row, strict=True)) for row in rows]


_TABLE_AS_JSON = """
import sys, duckdb
file, schema, table = sys.argv[1:]
connection = duckdb.connect(file, read_only=True)
connection.execute("SET TimeZone = 'UTC'")
for (row,) in connection.execute(f'SELECT to_json(t) FROM "{schema}"."{table}" AS t').fetchall():
    print(row)
"""


def rows_of_duckdb(python: Path, file: Path, schema: str, table: str) -> list[dict[str, Any]]:
    """Read a whole table with the DuckDB that ``python`` has: a file is read by the version that wrote it."""
    command = [python, "-c", _TABLE_AS_JSON, file, schema, table]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LookupError(f"{table} cannot be read from {file.name}: {done.stderr.strip()[-500:]}")
    return [json.loads(line, parse_float=Decimal) for line in done.stdout.splitlines()]


def rows_of_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines, numbers exactly."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line, parse_float=Decimal) for line in lines]


def _plain(value: Any, kind: str) -> Any:
    if value is None:
        return None
    match kind:
        case "integer":
            return int(value)
        case "number":
            # A float that came from two decimals has them as its shortest text.
            return Decimal(str(value)).normalize()
        case "boolean":
            return bool(value)
        case "date":
            return _date(value)
        case "time":
            return _time(value)
        case _:
            return value


def _date(value: Any) -> date:
    if isinstance(value, str):
        return datetime.fromisoformat(value).date()
    return value.date() if isinstance(value, datetime) else value


def _time(value: Any) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
