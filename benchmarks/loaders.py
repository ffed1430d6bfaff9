"""Everybody who loads a Singer file (or the CSV of the same rows) into a fresh table, by one signature."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from database import Database
from measure import Run, run
from orders import Files
from others import environment, our_environment, our_executable, version_of

__all__ = [
    "OURS",
    "PSQL",
    "RIVALS",
    "Loader",
    "dlt_settings",
    "meltanolabs_target",
    "our_target",
    "pipelinewise_target",
]


@dataclass(frozen=True)
class Loader:
    """``load(files, database, schema, folder)`` puts ``files`` into ``schema.orders`` and measures it.

    ``schema`` exists and is empty, or holds what the same loader put there before, where it ``upserts``; ``folder`` is for files.
    """

    name: str
    schema: str
    load: Callable[[Files, Database, str, Path], Run]
    version: Callable[[Database], str]
    is_exact: bool = False
    upserts: bool = True


def our_target(database: Database, schema: str, folder: Path) -> list[str | Path]:
    """Return the command line of our target."""
    config = _write(folder / "ours.json", _settings(database, schema))
    return [our_executable("target-postgres"), "--config", config]


def _settings(database: Database, schema: str) -> dict[str, Any]:
    """What our target and MeltanoLabs' call the same."""
    return {
        "host": database.host,
        "port": database.port,
        "user": database.user,
        "password": database.password,
        "database": database.name,
        "default_target_schema": schema,
        "add_record_metadata": False,
    }


def _our_load(files: Files, database: Database, schema: str, folder: Path) -> Run:
    command = our_target(database, schema, folder)
    return run(command, stdin=files.singer, stdout=folder / "ours.state")


def _psql_load(files: Files, database: Database, schema: str, folder: Path) -> Run:
    database.create_orders(schema, files.columns)
    return _psql(database, f"\\copy {schema}.orders from '{files.csv}' with (format csv)\n", folder)


def _hand_written_upsert(files: Files, database: Database, schema: str, folder: Path) -> Run:
    others = ", ".join(f'"{name}" = excluded."{name}"' for name in files.columns if name != "id")
    script = (
        "begin;\n"
        f"create temp table incoming (like {schema}.orders) on commit drop;\n"
        f"\\copy incoming from '{files.csv}' with (format csv)\n"
        f"insert into {schema}.orders select * from incoming on conflict (id) do update set {others};\n"
        "commit;\n"
    )
    return _psql(database, script, folder)


def _by_hand(files: Files, database: Database, schema: str, folder: Path) -> Run:
    """Load with ``\\copy`` the first time and with the hand-written upsert when the table is there."""
    exists = database.query("select to_regclass(%s) is not null", [f"{schema}.orders"])[0][0]
    return (_hand_written_upsert if exists else _psql_load)(files, database, schema, folder)


def _psql(database: Database, script: str, folder: Path) -> Run:
    path = folder / "script.sql"
    path.write_text(script, encoding="utf-8")
    options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", path]
    return run([database.psql, database.url, *options], env={"PGCLIENTENCODING": "UTF8"})


def meltanolabs_target(database: Database, schema: str, folder: Path) -> list[str | Path]:
    """Return the command line of MeltanoLabs' target."""
    config = _write(
        folder / "meltanolabs.json",
        _settings(database, schema) | {"activate_version": False, "use_copy": True},
    )
    return [environment(_MELTANOLABS) / "target-postgres", "--config", config]


def _meltanolabs_load(files: Files, database: Database, schema: str, folder: Path) -> Run:
    command = meltanolabs_target(database, schema, folder)
    return run(command, stdin=files.singer, stdout=folder / "meltanolabs.state")


def pipelinewise_target(database: Database, schema: str, folder: Path) -> list[str | Path]:
    """Return the command line of pipelinewise's target."""
    config = _write(
        folder / "pipelinewise.json",
        {
            "host": database.host,
            "port": database.port,
            "user": database.user,
            "password": database.password,
            "dbname": database.name,
            "default_target_schema": schema,
            "add_metadata_columns": False,
        },
    )
    return [environment(_PIPELINEWISE) / "target-postgres", "--config", config]


def _pipelinewise_load(files: Files, database: Database, schema: str, folder: Path) -> Run:
    command = pipelinewise_target(database, schema, folder)
    return run(command, stdin=files.singer, stdout=folder / "pipelinewise.state")


def _dlt_load(files: Files, database: Database, schema: str, folder: Path) -> Run:
    work = folder / f"dlt-{schema}"
    exists = database.query("select to_regclass(%s) is not null", [f"{schema}.orders"])[0][0]
    if not exists:
        shutil.rmtree(work, ignore_errors=True)
    script = Path(__file__).with_name("dlt_load.py")
    arguments = [files.singer, database.url, schema, work, "merge" if exists else "append"]
    return run([environment(_DLT) / "python", script, *arguments], env=dlt_settings(work))


def dlt_settings(work: Path) -> dict[str, str]:
    """The environment in which dlt says nothing, to anybody."""
    return {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR", "DLT_DATA_DIR": str(work)}


def _write(path: Path, config: dict[str, object]) -> Path:
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


_MELTANOLABS = "meltanolabs-target-postgres==0.8.1"
_PIPELINEWISE = "pipelinewise-target-postgres==2.1.2"
_DLT = "dlt[postgres]==1.31.0"

OURS = Loader(
    "singerkit target-postgres",
    "ours",
    _our_load,
    lambda _: version_of(our_environment(), "singerkit"),
    is_exact=True,
)
PSQL = Loader(
    "psql \\copy", "psql", _by_hand, lambda database: f"{database.version()} (of the wheel)", is_exact=True
)
MELTANOLABS = Loader(
    "MeltanoLabs target-postgres",
    "meltanolabs",
    _meltanolabs_load,
    lambda _: version_of(environment(_MELTANOLABS), "meltanolabs-target-postgres"),
)
PIPELINEWISE = Loader(
    "pipelinewise-target-postgres",
    "pipelinewise",
    _pipelinewise_load,
    lambda _: version_of(environment(_PIPELINEWISE), "pipelinewise-target-postgres"),
)
DLT = Loader("dlt", "dlt", _dlt_load, lambda _: version_of(environment(_DLT), "dlt"))
RIVALS = [MELTANOLABS, PIPELINEWISE, DLT]
