"""The rows of ``make bench`` about tap-files: CSV and Parquet into messages, CSV into PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

from database import Database
from loaders import PSQL, Loader, our_target
from measure import ProcessFailed, Run, pipe, run
from orders import Files, json_schema
from otherloaders import MORE_RIVALS, with_head
from others import environment, our_environment, version_of
from postgres_readers import wrong_records
from report import Goal, Measured
from rounds import (
    FOLDER,
    Bench,
    goal_of_cpu,
    in_cpu,
    in_seconds,
    into_cache,
    keep_of_cpu,
    medians,
    ratio,
    say,
    truth,
    truth_name,
)
from textfiles import text_file, text_schema, wrong_text_records

__all__ = ["row_s", "row_t", "row_u"]

_SPREADSHEETS = ("tap-spreadsheets==1.1.2",)
_ALL_BY_CSV = (
    "import csv, sys\n"
    "with open(sys.argv[1], newline='', encoding='utf-8') as file:\n"
    "    for row in csv.reader(file):\n"
    "        pass\n"
)
_ALL_BY_PYARROW = (
    "import sys, pyarrow.parquet as parquet\n"
    "for batch in parquet.ParquetFile(sys.argv[1]).iter_batches(65536):\n"
    "    batch.to_pylist()\n"
)
_TO_PARQUET = (
    "import sys, pyarrow as pa, pyarrow.csv as csv, pyarrow.parquet as parquet\n"
    "texts = csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)\n"
    "table = csv.read_csv(sys.argv[1], parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=texts)\n"
    "parquet.write_table(table, sys.argv[2], compression='zstd', row_group_size=100_000)\n"
)


@dataclass(frozen=True)
class FileReader:
    """A tap: ``command(file, folder)`` reads all of ``file`` and writes Singer messages to stdout."""

    name: str
    version: Callable[[], str]
    command: Callable[[Path, Path], list[str | Path]]


def _ours(extra: str, format_: str) -> Callable[[Path, Path], list[str | Path]]:
    return partial(_our_tap, extra, format_)


def _our_tap(extra: str, format_: str, file: Path, folder: Path) -> list[str | Path]:
    stream = _plain_stream(file, format_)
    if format_ == "csv":
        stream["schema"] = json_schema(nested=False)
    config = _write(folder / "tap-files.json", {"streams": [stream]})
    return [our_environment(extra) / "tap-files", "--config", config]


def _plain_stream(file: Path, format_: str) -> dict[str, Any]:
    """Rows as they stand, without columns of ours, so that they are the rows of everybody else."""
    return {
        "name": "orders",
        "path": str(file),
        "format": format_,
        "primary_keys": [],
        "file_columns": [],
        "on_changed": "fail",
    }


def _spreadsheets_tap(file: Path, folder: Path) -> list[str | Path]:
    overrides = {
        name: {"type": schema["type"]} for name, schema in json_schema(nested=False)["properties"].items()
    }
    stream = {
        "path": str(file),
        "format": "csv",
        "table_name": "orders",
        "primary_keys": ["id"],
        "delimiter": ",",
        "quotechar": '"',
        "schema_overrides": overrides,
    }
    config = _write(folder / "tap-spreadsheets.json", {"files": [stream]})
    return [environment(*_SPREADSHEETS) / "tap-spreadsheets", "--config", config]


def _our_version() -> str:
    return version_of(our_environment(), "singerkit")


_OURS = "singerkit tap-files"
SPREADSHEETS = FileReader(
    "tap-spreadsheets", lambda: version_of(environment(*_SPREADSHEETS), "tap-spreadsheets"), _spreadsheets_tap
)
PARQUET = FileReader("singerkit[arrow] tap-files, Parquet", _our_version, _ours("arrow", "parquet"))


def row_s(bench: Bench) -> None:
    """CSV files as messages in a file: twelve columns with numbers, booleans and points in time, and eight of texts."""
    fewer = bench.files(bench.rival_rows)
    full, texts = _orders(bench.files(bench.rows)), _texts(bench.rows)
    runs: dict[str, list[Run]] = {source.name: [] for source in (full, texts)}
    limits: dict[str, list[Run]] = {source.name: [] for source in (full, texts)}
    rival: list[Run] = []
    checks: dict[str, str] = {}
    for turn in range(bench.repeat):
        say(f"s: round {turn + 1} of {bench.repeat}")
        for source in (full, texts):
            for step in ("limit", "ours") if turn % 2 == 0 else ("ours", "limit"):
                if step == "limit":
                    python = our_environment() / "python"
                    found = run([python, "-c", _ALL_BY_CSV, source.file], stdout=FOLDER / "no.out")
                    limits[source.name].append(found)
                else:
                    found, checks[source.name] = _made(source)
                    runs[source.name].append(found)
        if turn == 0:
            found, checks[SPREADSHEETS.name] = _read_by_rival(SPREADSHEETS, _head(fewer), fewer)
            rival.append(found)
    for source in (full, texts):
        name = f"{_OURS}, {source.name}"
        keep_of_cpu(bench, "s", name, _our_version(), bench.rows, runs[source.name], checks[source.name])
        name = f"csv of Python, {source.name}, rows only"
        keep_of_cpu(bench, "s", name, "", bench.rows, limits[source.name], "")
        shown = f"csv of Python {in_cpu(limits[source.name])}"
        what = f"{bench.rows:,} rows of CSV, {source.name}"
        goal_of_cpu(bench, "s", what, bench.rows, runs[source.name], shown, 500_000)
    version = SPREADSHEETS.version()
    keep_of_cpu(bench, "s", SPREADSHEETS.name, version, bench.rival_rows, rival, checks[SPREADSHEETS.name])


@dataclass(frozen=True)
class _Source:
    """A CSV file with the names in its first line, what its columns are, and what compares messages with it."""

    name: str
    file: Path
    schema: dict[str, Any]
    wrong: Callable[[Path], str]


def _orders(files: Files) -> _Source:
    return _Source(
        "12 columns", _head(files), json_schema(nested=False), lambda found: wrong_records(found, files)
    )


def _texts(rows: int) -> _Source:
    path = text_file(FOLDER, rows)
    into_cache(path)
    return _Source("8 of text", path, text_schema(), lambda found: wrong_text_records(found, path))


def _made(source: _Source) -> tuple[Run, str]:
    """Read a file by our tap, which needs no extra for CSV."""
    stream = _plain_stream(source.file, "csv") | {"schema": source.schema}
    config = _write(FOLDER / "tap-files.json", {"streams": [stream]})
    return _compared(_OURS, [our_environment() / "tap-files", "--config", config], source.wrong)


def row_t(bench: Bench) -> None:
    """A CSV file into a table, against \\copy of it."""
    full, fewer = bench.files(bench.rows), bench.files(bench.rival_rows)
    for files in (full, fewer):
        truth(bench, files)
    rivals = [loader for loader in MORE_RIVALS if loader in bench.rivals]
    pair = [_OUR_PIPE, PSQL]
    runs: dict[str, list[Run]] = {loader.name: [] for loader in [*pair, *rivals]}
    checks: dict[str, str] = {}
    for turn in range(bench.repeat):
        say(f"t: round {turn + 1} of {bench.repeat}")
        for loader in [*(pair if turn % 2 == 0 else pair[::-1]), *(rivals if turn == 0 else [])]:
            files = fewer if loader in rivals else full
            found, checks[loader.name] = _load(bench, loader, files)
            runs[loader.name].append(found)
    for loader in [*pair, *rivals]:
        count = bench.rival_rows if loader in rivals else bench.rows
        found = runs[loader.name]
        cpu, on_server = (
            median(getattr(one, what) for one in found) for what in ("cpu_seconds", "server_seconds")
        )
        version = loader.version(bench.database)
        bench.measured.append(
            Measured("t", loader.name, version, count, *medians(found), checks[loader.name], cpu, on_server)
        )
    ours, limit = runs[_OUR_PIPE.name], runs[PSQL.name]
    what = f"{bench.rows:,} rows of CSV into PostgreSQL"
    shown = f"psql \\copy {in_seconds(limit)}"
    bench.goals.append(Goal("t", what, in_seconds(ours), shown, ratio(ours, limit), 1.3, "x"))


def row_u(bench: Bench) -> None:
    """A Parquet file as messages in a file, against pyarrow's own way to Python."""
    full = bench.files(bench.rows)
    parquet = _parquet(full)
    runs: list[Run] = []
    limit: list[Run] = []
    check = ""
    for turn in range(bench.repeat):
        say(f"u: round {turn + 1} of {bench.repeat}")
        for step in ["limit", "ours"] if turn % 2 == 0 else ["ours", "limit"]:
            if step == "limit":
                python = our_environment("arrow") / "python"
                limit.append(run([python, "-c", _ALL_BY_PYARROW, parquet], stdout=FOLDER / "no.out"))
            else:
                found, check = _read(PARQUET, parquet, full)
                runs.append(found)
    keep_of_cpu(bench, "u", PARQUET.name, PARQUET.version(), bench.rows, runs, check)
    version = version_of(our_environment("arrow"), "pyarrow")
    keep_of_cpu(bench, "u", "pyarrow, to_pylist only", version, bench.rows, limit, "")
    what = f"{bench.rows:,} rows of Parquet"
    shown = f"to_pylist {in_cpu(limit)}"
    reached = median(theirs.cpu_seconds / ours.cpu_seconds for ours, theirs in zip(runs, limit, strict=True))
    bench.goals.append(
        Goal("u", what, in_cpu(runs), shown, reached, 0.5, "of its rate", larger_is_better=True)
    )


def _read(reader: FileReader, file: Path, files: Files) -> tuple[Run, str]:
    return _compared(reader.name, reader.command(file, FOLDER), lambda output: wrong_records(output, files))


def _compared(name: str, command: list[str | Path], wrong: Callable[[Path], str]) -> tuple[Run, str]:
    output = FOLDER / "tap.out"
    found = run(command, stdout=output)
    check = wrong(output)
    output.unlink()
    say(f"   {name}: {found.seconds:.2f} s, {found.cpu_seconds:.2f} s of CPU, {check}")
    return found, check


def _read_by_rival(reader: FileReader, file: Path, files: Files) -> tuple[Run, str]:
    try:
        return _read(reader, file, files)
    except ProcessFailed as error:
        say(f"   {reader.name}: {error}")
        return Run(nan, nan), str(error).splitlines()[0].rstrip(":")


def _load(bench: Bench, loader: Loader, files: Files) -> tuple[Run, str]:
    database = bench.database
    database.fresh_schema(loader.schema)
    before = database.cpu_seconds()
    try:
        found = loader.load(files, database, loader.schema, FOLDER)
    except ProcessFailed as error:
        if loader in (_OUR_PIPE, PSQL):
            raise
        say(f"   {loader.name}: {error}")
        return Run(nan, nan), str(error).splitlines()[0].rstrip(":")
    found = replace(found, server_seconds=database.cpu_seconds() - before)
    check = database.differences(loader.schema, truth_name(files), files.columns, exact=loader.is_exact)
    say(f"   {loader.name}: {files.count:,} rows, {found.seconds:.2f} s, {check}")
    return found, check


def _our_load(files: Files, database: Database, schema: str, folder: Path) -> Run:
    config = json.loads(_our_tap_config(files, folder).read_text("utf-8"))
    config["streams"][0]["primary_keys"] = ["id"]
    tap = [
        our_environment("arrow") / "tap-files",
        "--config",
        _write(folder / "tap-files-keyed.json", config),
    ]
    return pipe([tap, our_target(database, schema, folder)], stdout=folder / "ours.state")


def _our_tap_config(files: Files, folder: Path) -> Path:
    return Path(_our_tap("arrow", "csv", _head(files), folder)[-1])


_OUR_PIPE = Loader(
    "singerkit tap-files | target-postgres", "files_ours", _our_load, lambda _: _our_version(), True
)


def _head(files: Files) -> Path:
    path = with_head(files)
    into_cache(path)
    return path


def _parquet(files: Files) -> Path:
    path = files.csv.with_suffix(".parquet")
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        python = our_environment("arrow") / "python"
        run([python, "-c", _TO_PARQUET, with_head(files), unfinished], stdout=FOLDER / "no.out")
        unfinished.rename(path)
    into_cache(path)
    return path


def _write(path: Path, config: Any) -> Path:
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
