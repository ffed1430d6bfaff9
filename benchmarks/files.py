"""Everybody who loads a Singer file into a DuckDB file, and everybody who reads a SQLite file.

Scripts run in the environment of the program that they belong to: a file of DuckDB is read by the version that wrote it.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from loaders import dlt_settings
from measure import ProcessFailed, Run, run
from orders import COLUMNS, Files
from others import environment, our_environment, our_executable, version_of
from readers import Reader

__all__ = [
    "COPY",
    "DUCK_RIVALS",
    "OUR_DUCK",
    "DuckLoader",
    "our_sqlite_tap",
    "sdk_sqlite_tap",
    "sqlite_limit",
    "to_sqlite",
    "wrong_sqlite_records",
]

_SCRIPT = Path(__file__).with_name("duck_copy.py")
_DLT = ("dlt[duckdb,parquet]==1.31.0",)
_JWILLS = ("target-duckdb==0.8.0", "duckdb==1.1.3")
"""With the DuckDB of its time: with 2.0.1 it takes the first row for the head of a CSV, and loses it."""
_SDK = "singer-sdk[sql]==0.54.9"
_SCHEMA = "bench"
_TYPES = {"numeric": "decimal(18,9)"}
"""Types of DuckDB where they are not those of PostgreSQL. With 38 digits its COPY takes ten times as long, which is no limit."""

# Into DuckDB


@dataclass(frozen=True)
class DuckLoader:
    """``load(files, database, folder)`` puts ``files`` into the table orders of the schema bench and measures it.

    The file ``database`` is not there; ``python`` belongs to the environment whose DuckDB writes it.
    """

    name: str
    load: Callable[[Files, Path, Path], Run]
    python: Callable[[], Path]
    package: str
    is_exact: bool = False

    def version(self) -> str:
        return version_of(self.python().parent, self.package)

    def differences(self, database: Path, files: Files, truth: Path) -> str:
        """Compare with ``truth``, into which DuckDB has copied the CSV: ``same rows``, or what is different."""
        said = truth.with_suffix(".differences")
        how = "exact" if self.is_exact else "values"
        try:
            run([self.python(), _SCRIPT, "compare", database, truth, _columns(files), how], stdout=said)
        except ProcessFailed as error:
            return str(error).strip().splitlines()[-1]
        return said.read_text(encoding="utf-8").strip()


def _columns(files: Files) -> str:
    return json.dumps({name: _TYPES.get(kind, kind) for name, kind in files.columns.items()})


def _our_python() -> Path:
    return our_environment() / "python"


def _our_load(files: Files, database: Path, folder: Path) -> Run:
    settings = {"database": str(database), "default_target_schema": _SCHEMA, "add_record_metadata": False}
    config = _write(folder / "ours-duckdb.json", settings)
    command = [our_executable("target-duckdb"), "--config", config]
    return run(command, stdin=files.singer, stdout=folder / "ours-duckdb.state")


def _copy(files: Files, database: Path, _folder: Path) -> Run:
    return run([_our_python(), _SCRIPT, "copy", database, files.csv, _columns(files)])


def _jwills_load(files: Files, database: Path, folder: Path) -> Run:
    settings = {"path": str(database), "default_target_schema": _SCHEMA, "add_metadata_columns": False}
    config = _write(folder / "jwills.json", settings)
    command = [environment(*_JWILLS) / "target-duckdb", "--config", config]
    return run(command, stdin=files.singer, stdout=folder / "jwills.state")


def _dlt_load(files: Files, database: Path, folder: Path) -> Run:
    script = Path(__file__).with_name("dlt_load.py")
    work = folder / "dlt-duckdb"
    arguments = [files.singer, f"duckdb:///{database}", _SCHEMA, work, "append"]
    return run([environment(*_DLT) / "python", script, *arguments], env=dlt_settings(work))


OUR_DUCK = DuckLoader("singerkit target-duckdb", _our_load, _our_python, "singerkit", is_exact=True)
COPY = DuckLoader("DuckDB's COPY FROM of the CSV", _copy, _our_python, "duckdb", is_exact=True)
DUCK_RIVALS = [
    DuckLoader("dlt", _dlt_load, lambda: environment(*_DLT) / "python", "dlt"),
    DuckLoader(
        "target-duckdb of others", _jwills_load, lambda: environment(*_JWILLS) / "python", "target-duckdb"
    ),
]

# Out of SQLite

_IN_SQLITE = {
    "bigint": "INTEGER",
    "text": "TEXT",
    "numeric": "REAL",
    "boolean": "INTEGER",
    "timestamptz": "TEXT",
}


def to_sqlite(files: Files) -> Path:
    """Return a SQLite file with the rows as the table orders; it is made if need be."""
    path = files.rows.with_suffix(".sqlite")
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        with closing(sqlite3.connect(unfinished)) as connection, connection:
            columns = ", ".join(f"{name} {_IN_SQLITE[kind]}" for name, kind in COLUMNS.items())
            connection.execute(
                f"create table orders ({columns.replace('INTEGER', 'INTEGER PRIMARY KEY', 1)})"
            )
            places = ", ".join("?" * len(COLUMNS))
            connection.executemany(f"insert into orders values ({places})", _rows(files))
        unfinished.rename(path)
    return path


def _rows(files: Files) -> Iterator[tuple[object, ...]]:
    with files.rows.open("rb") as lines:
        for line in lines:
            yield tuple(json.loads(line.rstrip(b",\n")).values())


def our_sqlite_tap(path: Path, folder: Path, *, with_catalog: bool) -> Reader:
    """Our tap; with a catalog it need not look at the values for their types."""
    tap = our_executable("tap-sqlite")
    command = [tap, "--config", _write(folder / "tap-sqlite.json", {"path": str(path)})]
    if with_catalog:
        catalog = folder / "tap-sqlite.catalog.json"
        run([*command, "--discover"], stdout=catalog)
        command += ["--catalog", catalog]
    name = f"singerkit tap-sqlite{', with a catalog' if with_catalog else ''}"
    return Reader(name, version_of(our_environment(), "singerkit"), command)


def sdk_sqlite_tap(path: Path, folder: Path) -> Reader:
    """The SDK's way to read a database, which is what a tap-sqlite by others is."""
    python = environment(_SDK) / "python"
    config = _write(folder / "sdk-sqlite.json", {"path": str(path)})
    command = [python, Path(__file__).with_name("sdk_sqlite_tap.py"), "--config", config]
    catalog = folder / "sdk-sqlite.catalog.json"
    run([*command, "--discover"], stdout=catalog)
    found = json.loads(catalog.read_text(encoding="utf-8"))
    for stream in found["streams"]:  # it selects none by itself
        next(one for one in stream["metadata"] if not one["breadcrumb"])["metadata"]["selected"] = True
    return Reader(
        "singer-sdk SQLStream tap",
        version_of(python.parent, "singer-sdk"),
        [*command, "--catalog", _write(catalog, found)],
    )


_READ_ALL = (
    "import sqlite3, sys\n"
    "rows = sqlite3.connect(sys.argv[1]).execute('select * from orders')\n"
    "while rows.fetchmany(1000):\n"
    "    pass\n"
)


def sqlite_limit(path: Path) -> Run:
    """Read all rows with a plain cursor: the physical limit."""
    return run([sys.executable, "-c", _READ_ALL, path])


def wrong_sqlite_records(output: Path, path: Path) -> str:
    """Compare the RECORD messages in ``output`` with the rows of the file: ``same rows``, or what is different."""
    found = differing = 0
    with closing(sqlite3.connect(path)) as connection, output.open("rb") as lines:
        rows = connection.execute("select * from orders order by id")
        names = [column[0] for column in rows.description]
        for line in lines:
            message = json.loads(line)
            if message["type"] == "RECORD":
                found += 1
                row = rows.fetchone()
                differing += row is None or message["record"] != dict(zip(names, row, strict=True))
        [(count,)] = connection.execute("select count(*) from orders")
    if found != count:
        return f"{found:,} rows instead of {count:,}"
    return f"{differing:,} rows differ" if differing else "same rows"


def _write(path: Path, config: dict[str, object]) -> Path:
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
