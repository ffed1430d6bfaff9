"""Everybody who reads a table of PostgreSQL: into a file of messages, or into another table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from database import Database
from loaders import dlt_settings, meltanolabs_target, our_target, pipelinewise_target
from measure import Run, pipe, run
from orders import Files
from otherloaders import INGESTR, QUIET, SLING, ingestr, sling
from others import environment, our_environment, our_executable, version_of

__all__ = [
    "MOVERS",
    "READERS",
    "Mover",
    "PostgresReader",
    "copy_lines",
    "copy_rows",
    "discoveries",
    "our_log_tap",
    "our_mover",
    "our_tap",
    "wrong_records",
]

MELTANOLABS = "meltanolabs-tap-postgres==0.10.0"
# It asks for a Python below 3.10, and runs with later ones.
PIPELINEWISE = ("pipelinewise-tap-postgres==2.1.0", "--ignore-requires-python")
_DLT = ("dlt[postgres]==1.31.0", "sqlalchemy==2.0.51", "pyarrow", "numpy")


@dataclass(frozen=True)
class PostgresReader:
    """A tap: ``command(database, schema, folder)`` reads all of ``schema.orders`` and writes Singer messages to stdout."""

    name: str
    version: Callable[[], str]
    command: Callable[[Database, str, Path], list[str | Path]]

    def read(self, database: Database, schema: str, folder: Path, output: Path) -> Run:
        return run(self.command(database, schema, folder), stdout=output)


@dataclass(frozen=True)
class Mover:
    """``move(database, source, schema, folder)`` copies ``source.orders`` to ``schema.orders``, which is not there yet."""

    name: str
    schema: str
    version: Callable[[Database], str]
    move: Callable[[Database, str, str, Path], Run]


def our_tap(database: Database, schema: str, folder: Path, **more: Any) -> list[str | Path]:
    config = {"dsn": database.url, "tables": [f"{schema}.*"], **more}
    return [our_executable("tap-postgres"), "--config", _write(folder / "tap-postgres.json", config)]


def our_log_tap(database: Database, schema: str, folder: Path, state: Path) -> list[str | Path]:
    streams = [{"name": f"{schema}.*", "replication_method": "LOG_BASED"}]
    return [*our_tap(database, schema, folder, streams=streams), "--state", state]


def _meltanolabs(database: Database, schema: str, folder: Path) -> list[str | Path]:
    config = {"sqlalchemy_url": database.url, "filter_schemas": [schema]}
    tap = environment(MELTANOLABS) / "tap-postgres"
    return [tap, "--config", _write(folder / "meltanolabs-tap.json", config)]


def _meltanolabs_tap(database: Database, schema: str, folder: Path) -> list[str | Path]:
    return _with_all_selected(_meltanolabs(database, schema, folder), folder / "meltanolabs-catalog.json")


def _pipelinewise(database: Database, schema: str, folder: Path) -> list[str | Path]:
    config = {
        "host": database.host,
        "port": str(database.port),
        "user": database.user,
        "password": database.password,
        "dbname": database.name,
        "filter_schemas": schema,
    }
    tap = environment(*PIPELINEWISE) / "tap-postgres"
    return [tap, "--config", _write(folder / "pipelinewise-tap.json", config)]


def _pipelinewise_tap(database: Database, schema: str, folder: Path) -> list[str | Path]:
    return _with_all_selected(_pipelinewise(database, schema, folder), folder / "pipelinewise-catalog.json")


def _with_all_selected(command: list[str | Path], catalog: Path) -> list[str | Path]:
    """Return the command with the catalog that it has discovered, in which every stream is selected, to be read as a whole."""
    run([*command, "--discover"], stdout=catalog)
    found = json.loads(catalog.read_text("utf-8"))
    for stream in found["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"] |= {"selected": True, "replication-method": "FULL_TABLE"}
    return [*command, "--catalog", _write(catalog, found)]


def our_version() -> str:
    return version_of(our_environment(), "singerkit")


READERS = [
    PostgresReader("singerkit tap-postgres", our_version, our_tap),
    PostgresReader(
        "MeltanoLabs tap-postgres",
        lambda: version_of(environment(MELTANOLABS), "meltanolabs-tap-postgres"),
        _meltanolabs_tap,
    ),
    PostgresReader(
        "pipelinewise-tap-postgres",
        lambda: version_of(environment(*PIPELINEWISE), "pipelinewise-tap-postgres"),
        _pipelinewise_tap,
    ),
]


def copy_lines(database: Database, schema: str, output: Path) -> Run:
    """Let the server make JSON of the rows, and psql write it to a file: the physical limit of a tap."""
    query = f"copy (select row_to_json(o) from {schema}.orders o order by id) to stdout"
    return run([database.psql, database.url, "-X", "-q", "-c", query], stdout=output)


def copy_rows(database: Database, source: str, schema: str, _folder: Path) -> Run:
    """Copy the table by two psql and a pipe into one with the same primary key."""
    psql = [database.psql, database.url, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c"]
    return pipe(
        [
            [*psql, f"copy {source}.orders to stdout"],
            [*psql, f"copy {schema}.orders from stdin"],
        ]
    )


def discoveries(database: Database, schema: str, folder: Path) -> dict[str, list[str | Path]]:
    """Return the commands that make a catalog of ``schema``, by the name of the tap."""
    commands = {
        READERS[0].name: our_tap(database, schema, folder),
        READERS[1].name: _meltanolabs(database, schema, folder),
        READERS[2].name: _pipelinewise(database, schema, folder),
    }
    return {name: [*command, "--discover"] for name, command in commands.items()}


def wrong_records(output: Path, files: Files) -> str:
    """Compare the RECORD messages in ``output`` with the rows of ``files``, as values: 12.50 is 12.5, moments are moments.

    Returns ``same rows`` or what is different.
    """
    with files.rows.open("rb") as rows:
        expected = {row["id"]: row for row in (_as_values(line.rstrip(b",\n")) for line in rows)}
    found = differing = 0
    with output.open("rb") as lines:
        for line in lines:
            if line.startswith(b'{"type":"RECORD"') or b'"type": "RECORD"' in line[:40]:
                found += 1
                record = _as_values(line, inside=True)
                differing += expected.get(record["id"]) != record
    if found != len(expected):
        return f"{found:,} rows instead of {len(expected):,}"
    return f"{differing:,} rows differ" if differing else "same rows"


_MOMENTS = ("created_at", "updated_at")


def _as_values(line: bytes, *, inside: bool = False) -> dict[str, Any]:
    row = json.loads(line, parse_float=Decimal)
    row = row["record"] if inside else row
    return {
        name: _moment(value) if name in _MOMENTS and value is not None else value
        for name, value in row.items()
        if not name.startswith("_sdc_")
    }


def _moment(text: str) -> str:
    """Write a moment of UTC in one way: seconds, six digits, no offset."""
    text = text.replace(" ", "T").removesuffix("Z").removesuffix("+00:00")
    whole, _, part = text.partition(".")
    return f"{whole}.{part:0<6}"


def _our_move(database: Database, source: str, schema: str, folder: Path) -> Run:
    names = {"table_name": "{table}", "schema_name": schema}
    target = our_target(database, schema, folder)
    more = _write(folder / "ours-names.json", names)
    return pipe(
        [our_tap(database, source, folder), [*target, "--config", more]],
        stdout=folder / "ours.state",
    )


our_mover = Mover(
    "singerkit tap-postgres | target-postgres", "moved_ours", lambda _: our_version(), _our_move
)


def _meltanolabs_move(database: Database, source: str, schema: str, folder: Path) -> Run:
    tap, target = (
        _meltanolabs_tap(database, source, folder),
        meltanolabs_target(database, schema, folder),
    )
    return _moved(database, schema, [tap, target], folder)


def _pipelinewise_move(database: Database, source: str, schema: str, folder: Path) -> Run:
    tap, target = (
        _pipelinewise_tap(database, source, folder),
        pipelinewise_target(database, schema, folder),
    )
    return _moved(database, schema, [tap, target], folder)


def _moved(database: Database, schema: str, commands: Sequence[list[str | Path]], folder: Path) -> Run:
    """Run the pipe, and give the table that it has made the name that is compared."""
    found = pipe(commands, stdout=folder / "rival.state")
    [(table,)] = database.query(
        "select quote_ident(tablename) from pg_tables where schemaname = %s and tablename like '%%orders%%'",
        [schema],
    )
    if table != "orders":
        database.query(f"alter table {schema}.{table} rename to orders")
    return found


def _sling_move(database: Database, source: str, schema: str, folder: Path) -> Run:
    command = [
        sling(),
        "run",
        *("--src-conn", "BENCH", "--src-stream", f"{source}.orders"),
        *("--tgt-conn", "BENCH", "--tgt-object", f"{schema}.orders"),
        *("--mode", "full-refresh", "--primary-key", "id"),
    ]
    env = {**QUIET, "BENCH": f"{database.url}?sslmode=disable", "SLING_HOME_DIR": str(folder / "sling")}
    return run(command, env=env)


def _ingestr_move(database: Database, source: str, schema: str, folder: Path) -> Run:
    url = f"{database.url}?sslmode=disable"
    command = [
        ingestr(),
        "ingest",
        *("--source-uri", url, "--source-table", f"{source}.orders"),
        *("--dest-uri", url, "--dest-table", f"{schema}.orders"),
        *("--primary-key", "id", "--incremental-strategy", "replace"),
        *("--yes", "--progress", "log", "--pipelines-dir", folder / "ingestr"),
    ]
    return run(command, env=QUIET)


def _dlt_move(database: Database, source: str, schema: str, folder: Path) -> Run:
    work = folder / f"dlt-{schema}"
    shutil.rmtree(work, ignore_errors=True)
    script = Path(__file__).with_name("dlt_postgres_load.py")
    command = [environment(*_DLT) / "python", script, database.url, source, schema, work]
    return run(command, env=dlt_settings(work))


MOVERS = [
    Mover(
        "MeltanoLabs tap-postgres | target-postgres",
        "moved_meltanolabs",
        lambda _: READERS[1].version(),
        _meltanolabs_move,
    ),
    Mover(
        "pipelinewise tap-postgres | target-postgres",
        "moved_pipelinewise",
        lambda _: READERS[2].version(),
        _pipelinewise_move,
    ),
    Mover("Sling", "moved_sling", SLING.version, _sling_move),
    Mover("dlt sql_database", "moved_dlt", lambda _: version_of(environment(*_DLT), "dlt"), _dlt_move),
    Mover("ingestr", "moved_ingestr", INGESTR.version, _ingestr_move),
]


def _write(path: Path, config: Any) -> Path:
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
