"""Loaders of others that read no Singer: each loads the CSV of the same rows, in the way that was found the fastest.

They are programs of their own, and not all of them can be had everywhere: what cannot be installed is left out of a run, and named.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

from database import Database
from loaders import Loader, dlt_settings
from measure import Run, run
from orders import Files
from others import environment, version_of

__all__ = ["INGESTR", "MORE_RIVALS", "QUIET", "SLING", "ingestr", "missing", "sling", "with_head"]

_SLING = "sling-linux-amd64==1.4.11"
_INGESTR = "ingestr==0.15.9"
_DLT = ("dlt[postgres,parquet]==1.31.0", "adbc-driver-postgresql==1.13.0", "adbc-driver-manager==1.13.0")
_PROGRAMS = {
    "Sling": "the package of its binary on PyPI ends with 1.4.11; sling 1.6.5 downloads it",
    "ingestr": "the package on PyPI holds the binary up to 0.15.9; 1.1.76 downloads it",
    "pgloader": "of Debian",
}
QUIET = {"SLING_DISABLE_TELEMETRY": "TRUE", "INGESTR_DISABLE_TELEMETRY": "true", "DISABLE_TELEMETRY": "true"}


def with_head(files: Files) -> Path:
    """The CSV with the names of its columns in the first line, made once."""
    path = files.csv.with_suffix(".head.csv")
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as to, files.csv.open("rb") as rows:
            to.write((",".join(files.columns) + "\n").encode())
            shutil.copyfileobj(rows, to, 1 << 22)
        unfinished.rename(path)
    return path


def _is_there(database: Database, schema: str) -> bool:
    return bool(database.query("select to_regclass(%s) is not null", [f"{schema}.orders"])[0][0])


def sling() -> Path:
    return next((environment(_SLING).parent / "lib").glob("python*/site-packages/*/bin/sling-linux-amd64"))


def _sling_load(files: Files, database: Database, schema: str, folder: Path) -> Run:
    mode = "incremental" if _is_there(database, schema) else "full-refresh"
    source = ["--src-stream", f"file://{with_head(files)}"]
    target = [
        "--tgt-conn",
        "BENCH",
        "--tgt-object",
        f"{schema}.orders",
        "--mode",
        mode,
        "--primary-key",
        "id",
    ]
    env = {**QUIET, "BENCH": f"{database.url}?sslmode=disable", "SLING_HOME_DIR": str(folder / "sling")}
    return run([sling(), "run", *source, *target], env=env)


def ingestr() -> Path:
    return environment(_INGESTR) / "ingestr"


def _ingestr_load(files: Files, database: Database, schema: str, folder: Path) -> Run:
    strategy = "merge" if _is_there(database, schema) else "replace"
    kinds = {"numeric": "decimal(38,9)", "timestamptz": "timestamp", "jsonb": "json"}
    columns = ",".join(f"{name}:{kinds.get(kind, kind)}" for name, kind in files.columns.items())
    source = ["--source-uri", f"csv://{with_head(files)}", "--source-table", "orders"]
    target = ["--dest-uri", f"{database.url}?sslmode=disable", "--dest-table", f"{schema}.orders"]
    more = ["--primary-key", "id", "--incremental-strategy", strategy, "--columns", columns]
    command = [ingestr(), "ingest", *source, *target, *more]
    return run([*command, "--yes", "--progress", "log", "--pipelines-dir", folder / "ingestr"], env=QUIET)


def _pgloader_load(files: Files, database: Database, schema: str, folder: Path) -> Run:
    database.create_orders(schema, files.columns)
    named = ", ".join(files.columns)
    read = ", ".join(f"{name} [null if blanks]" for name in files.columns)
    script = folder / "pgloader.load"
    script.write_text(
        f"LOAD CSV FROM '{files.csv}' WITH ENCODING UTF8 ({read})\n"
        f"INTO {database.url}\nTARGET TABLE {schema}.orders ({named})\n"
        "WITH fields terminated by ',', fields optionally enclosed by '\"', fields escaped by double-quote;\n"
    )
    return run([_pgloader(), "--root-dir", folder / "pgloader", script])


@cache
def _pgloader() -> str:
    if not shutil.which("pgloader"):
        subprocess.run(["apt-get", "install", "-y", "-qq", "pgloader"], capture_output=True, check=True)
    return shutil.which("pgloader") or "pgloader"


def _pgloader_version(_: Database) -> str:
    done = subprocess.run([_pgloader(), "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split('"')[1]


def _arrow_load(files: Files, database: Database, schema: str, folder: Path) -> Run:
    work = folder / f"dlt-{schema}"
    is_there = _is_there(database, schema)
    if not is_there:
        shutil.rmtree(work, ignore_errors=True)
    script = Path(__file__).with_name("dlt_arrow_load.py")
    arguments = [
        files.csv,
        json.dumps(files.columns),
        database.url,
        schema,
        work,
        "merge" if is_there else "append",
    ]
    return run([environment(*_DLT) / "python", script, *arguments], env=dlt_settings(work))


SLING = Loader("Sling", "sling", _sling_load, lambda _: version_of(environment(_SLING), "sling-linux-amd64"))
INGESTR = Loader("ingestr", "ingestr", _ingestr_load, lambda _: version_of(environment(_INGESTR), "ingestr"))
PGLOADER = Loader("pgloader", "pgloader", _pgloader_load, _pgloader_version, upserts=False)
DLT_ARROW = Loader(
    "dlt, Arrow by ADBC", "dlt_arrow", _arrow_load, lambda _: version_of(environment(*_DLT), "dlt")
)
MORE_RIVALS = [SLING, INGESTR, PGLOADER, DLT_ARROW]


@cache
def missing() -> dict[str, str]:
    """The loaders that cannot be had here, each with what was tried and what came of it."""
    tried: dict[str, Callable[[], object]] = {
        SLING.name: sling,
        INGESTR.name: lambda: environment(_INGESTR),
        PGLOADER.name: _pgloader,
        DLT_ARROW.name: lambda: environment(*_DLT),
    }
    found = {}
    for name, install in tried.items():
        try:
            install()
        except (SystemExit, OSError, StopIteration, subprocess.CalledProcessError) as error:
            why = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            found[name] = f"{why[0]} ({_PROGRAMS.get(name, 'from PyPI')})"
    return found
