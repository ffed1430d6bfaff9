"""The row of ``make bench`` about `singerkit-map`: what passes through, five operations in the pipe and in a target, and others.

Processor time of the mapper is what it takes for all rows less what it takes for the SCHEMA alone, which is its start; of `map` in a target
it is what the target takes with it less what it takes without.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

from files import to_sqlite
from loaders import dlt_settings, our_target
from measure import ProcessFailed, Run, pipe, run
from orders import Files
from others import environment, our_environment, our_executable, version_of
from psycopg2 import sql
from report import Goal, Measured
from rounds import FOLDER, Bench, in_cpu, in_seconds, medians, ratio, say

__all__ = ["row_v"]

KEY = "00112233445566778899aabbccddeeff"
NOTHING: dict[str, Any] = {"streams": {"nowhere": [{"op": "drop", "fields": ["x"]}]}}
FIVE: dict[str, Any] = {
    "streams": {
        "orders": [
            {"op": "drop", "fields": ["coupon_id"]},
            {"op": "rename", "from": "order_no", "to": "number"},
            {"op": "hmac", "field": "customer", "key": KEY},
            {"op": "truncate", "field": "note", "length": 40},
            {"op": "cast", "field": "price", "to": "text"},
        ]
    }
}
_SDK = ("meltano-map-transform==0.12.3",)
_SDK_FIVE = {
    "stream_maps": {
        "orders": {
            "coupon_id": None,
            "number": "order_no",
            "order_no": None,
            "customer": "sha256(config['key'] + customer) if customer else None",
            "note": "note[:40] if note else None",
            "price": "str(price)",
        }
    },
    "stream_map_config": {"key": KEY},
}
_PIPELINEWISE = ("pipelinewise-transform-field==2.3.0", "setuptools==80.9.0")
_PIPELINEWISE_FIVE = {
    "transformations": [
        {"tap_stream_name": "orders", "field_id": field, "type": kind}
        for field, kind in (
            ("coupon_id", "SET-NULL"),
            ("order_no", "MASK-STRING-SKIP-ENDS-2"),
            ("customer", "HASH"),
            ("note", "MASK-HIDDEN"),
            ("price", "MASK-NUMBER"),
        )
    ]
}
_DLT = ("dlt[duckdb,parquet]==1.31.0",)
_SCHEMA = "mapped"
Records = Callable[[Files], Iterator[dict[str, Any]]]


@dataclass(frozen=True)
class Mapper:
    """A program that reads messages and writes other ones; ``records`` are what it should write, None: not compared."""

    name: str
    version: Callable[[], str]
    command: Callable[[], list[str | Path]]
    records: Records | None = None
    is_ours: bool = False


def row_v(bench: Bench) -> None:
    """`singerkit-map` by itself, between tap and target, and inside a target."""
    passed, mapped = _by_themselves(bench)
    _goal(bench, "pass-through, in the pipe", bench.rows, passed, 1_000_000)
    _goal(bench, "five operations, in the pipe", bench.rows, mapped, 150_000)
    _in_a_pipe(bench)
    _in_a_target(bench)


def _goal(bench: Bench, what: str, rows: int, cpu: list[float], goal: float) -> None:
    value, shown = rows / median(cpu), f"{median(cpu):.2f} s of CPU"
    found = Goal(
        "v", f"{rows:,} rows: {what}", shown, "", value, goal, "rows/s of CPU", larger_is_better=True
    )
    say(f"v: {' | '.join(found.cells())}")
    bench.goals.append(found)


# By themselves


def _by_themselves(bench: Bench) -> tuple[list[float], list[float]]:
    """Measure everybody on messages from a file into a file; return what ours takes of processor time, without its start."""
    files, few = bench.files(bench.rows), bench.files(bench.rival_rows)
    start = _schema_alone(files)
    ours = [
        Mapper(
            "singerkit-map, no operation", _our_version, lambda: _ours(NOTHING, "nothing"), _as_they_are, True
        ),
        Mapper("singerkit-map, five operations", _our_version, lambda: _ours(FIVE, "five"), _of_five, True),
    ]
    others = [
        Mapper("meltano-map-transformer, no operation", lambda: _version(_SDK), lambda: _sdk({}, "nothing")),
        Mapper(
            "meltano-map-transformer, five expressions",
            lambda: _version(_SDK),
            lambda: _sdk(_SDK_FIVE, "five"),
        ),
        Mapper("pipelinewise-transform-field, five", lambda: _version(_PIPELINEWISE), _pipelinewise),
    ]
    used: dict[str, list[float]] = {one.name: [] for one in ours}
    runs: dict[str, list[Run]] = {one.name: [] for one in (*ours, *others)}
    checks: dict[str, str] = {}
    for turn in range(bench.repeat):
        for one in (*ours, *others)[:: 1 if turn % 2 == 0 else -1]:
            read = files if one.is_ours else few
            output = FOLDER / "mapped.singer"
            try:
                found = run(one.command(), stdin=read.singer, stdout=output)
            except ProcessFailed as error:
                if one.is_ours:
                    raise
                checks[one.name] = str(error).splitlines()[-1]
                continue
            runs[one.name].append(found)
            if one.is_ours:
                used[one.name].append(found.cpu_seconds - run(one.command(), stdin=start).cpu_seconds)
            if one.name not in checks:
                checks[one.name] = _check(output, read, one.records)
            say(
                f"v: {one.name}: {read.count:,} rows, {found.seconds:.2f} s, {found.cpu_seconds:.2f} s of CPU, {checks[one.name]}"
            )
    for one in (*ours, *others):
        rows = files.count if one.is_ours else few.count
        _keep(bench, one.name, one.version(), rows, runs[one.name], checks[one.name])
    return used[ours[0].name], used[ours[1].name]


def _keep(bench: Bench, name: str, version: str, rows: int, runs: list[Run], check: str) -> None:
    runs = runs or [Run(nan, nan)]
    cpu = median(one.cpu_seconds for one in runs)
    bench.measured.append(Measured("v", name, version, rows, *medians(runs), check, cpu))


def _schema_alone(files: Files) -> Path:
    path = files.singer.with_suffix(".schema")
    with files.singer.open("rb") as lines:
        path.write_bytes(next(lines))
    return path


def _ours(config: dict[str, Any], name: str) -> list[str | Path]:
    return [our_executable("singerkit-map"), "--config", _write(f"map-{name}", config)]


def _sdk(config: dict[str, Any], name: str) -> list[str | Path]:
    config = {"stream_maps": {}, **config}
    return [environment(*_SDK) / "meltano-map-transform", "--config", _write(f"sdk-map-{name}", config)]


def _pipelinewise() -> list[str | Path]:
    config = _write("transformations", _PIPELINEWISE_FIVE)
    return [environment(*_PIPELINEWISE) / "transform-field", "--config", config]


def _version(requirements: tuple[str, ...]) -> str:
    return version_of(environment(*requirements), requirements[0].partition("==")[0].partition("[")[0])


def _our_version() -> str:
    return version_of(our_environment(), "singerkit")


# What is written against what should be


def _as_they_are(files: Files) -> Iterator[dict[str, Any]]:
    with files.singer.open("rb") as lines:
        for line in lines:
            message = json.loads(line, parse_float=str)
            if message["type"] == "RECORD":
                yield message["record"]


def _of_five(files: Files) -> Iterator[dict[str, Any]]:
    key = KEY.encode()
    for record in _as_they_are(files):
        del record["coupon_id"]
        record["number"] = record.pop("order_no")
        if record["customer"] is not None:
            record["customer"] = hmac.new(key, record["customer"].encode(), hashlib.sha256).hexdigest()
        record["note"] = record["note"] and record["note"][:40]
        yield record


def _check(output: Path, files: Files, records: Records | None) -> str:
    """Compare the records in a file with those that should be there: ``same rows``, or what is different."""
    found = differing = 0
    expected = records(files) if records is not None else None
    with output.open("rb") as lines:
        for line in lines:
            message = json.loads(line, parse_float=str)
            if message["type"] == "RECORD":
                found += 1
                differing += expected is not None and message["record"] != next(expected, None)
    if found != files.count:
        return f"{found:,} rows instead of {files.count:,}"
    if differing:
        return f"{differing:,} rows differ"
    return "same rows" if records is not None else "as many rows"


# Between tap and target, and inside a target


def _in_a_pipe(bench: Bench) -> None:
    """A tap into PostgreSQL, with the mapper between them and without."""
    source = to_sqlite(bench.files(bench.rows))
    config = _write("map-tap", {"path": str(source), "activate_version": False})
    tap: list[str | Path] = [our_executable("tap-sqlite"), "--config", config]
    mappers: dict[str, list[list[str | Path]]] = {
        "without a mapper": [],
        "with singerkit-map": [_ours(NOTHING, "nothing")],
    }
    runs: dict[str, list[Run]] = {name: [] for name in mappers}
    checks: dict[str, str] = {}
    for turn in range(bench.repeat):
        for name in [*mappers][:: 1 if turn % 2 == 0 else -1]:
            bench.database.fresh_schema(_SCHEMA)
            before = bench.database.cpu_seconds()
            target = our_target(bench.database, _SCHEMA, FOLDER)
            found = pipe([tap, *mappers[name], target], stdout=FOLDER / "mapped.state")
            runs[name].append(replace(found, server_seconds=bench.database.cpu_seconds() - before))
            checks[name] = _count(bench)
            say(
                f"v: tap-sqlite into target-postgres {name}: {found.seconds:.2f} s, {found.cpu_seconds:.2f} s of CPU, {checks[name]}"
            )
    without, with_it = runs.values()
    for name in mappers:
        cpu, server = (
            median(getattr(one, which) for one in runs[name]) for which in ("cpu_seconds", "server_seconds")
        )
        title = f"singerkit tap-sqlite into target-postgres {name}"
        bench.measured.append(
            Measured("v", title, _our_version(), bench.rows, *medians(runs[name]), checks[name], cpu, server)
        )
    bench.goals.append(
        Goal(
            "v",
            f"{bench.rows:,} rows by tap-sqlite through a mapper",
            in_seconds(with_it),
            f"without {in_seconds(without)}",
            ratio(with_it, without),
            1.15,
            "x",
        )
    )


def _count(bench: Bench) -> str:
    [found] = bench.database.query(
        sql.SQL("select count(*), count(distinct id) from {}").format(sql.Identifier(_SCHEMA, "orders"))
    )
    return "same rows" if found == (bench.rows, bench.rows) else f"{found} rows, and of them different ones"


def _in_a_target(bench: Bench) -> None:
    """target-duckdb with `map` and without, and dlt with the same in Python."""
    files, few = bench.files(bench.rows), bench.files(bench.rival_rows)
    loads: dict[str, tuple[Files, Callable[[Files, Path], Run]]] = {
        "singerkit target-duckdb": (files, lambda read, file: _duckdb(read, file, {})),
        "singerkit target-duckdb, five operations": (
            files,
            lambda read, file: _duckdb(read, file, {"map": FIVE}),
        ),
        "dlt, five operations in Python": (few, _dlt),
    }
    runs: dict[str, list[Run]] = {name: [] for name in loads}
    checks: dict[str, str] = {}
    for turn in range(bench.repeat):
        for name, (read, load) in [*loads.items()][:: 1 if turn % 2 == 0 else -1]:
            for left in FOLDER.glob("mapped.duckdb*"):
                left.unlink()
            found = load(read, FOLDER / "mapped.duckdb")
            runs[name].append(found)
            checks.setdefault(
                name,
                _check_duckdb(
                    FOLDER / "mapped.duckdb",
                    read,
                    is_ours=name.startswith("singerkit"),
                    is_mapped="five" in name,
                ),
            )
            say(
                f"v: {name}: {read.count:,} rows, {found.seconds:.2f} s, {found.cpu_seconds:.2f} s of CPU, {checks[name]}"
            )
    plain, mapped, _ = runs.values()
    for name, (read, _load) in loads.items():
        version = _version(_DLT) if name.startswith("dlt") else _our_version()
        _keep(bench, name, version, read.count, runs[name], checks[name])
    cost = [one.cpu_seconds - other.cpu_seconds for one, other in zip(mapped, plain, strict=True)]
    _goal(bench, "five operations, in target-duckdb", files.count, cost, 250_000)
    say(f"v: the whole load with five operations: {in_cpu(mapped)}, without {in_cpu(plain)}")


_TEXTS = (
    "import duckdb, sys\n"
    "database, output, fields = sys.argv[1:]\n"
    "rows = duckdb.connect(database, read_only=True)\n"
    "rows.execute(f\"copy (select {fields} from bench.orders order by id) to '{output}' (format json)\")\n"
)


def _check_duckdb(database: Path, files: Files, *, is_ours: bool, is_mapped: bool) -> str:
    """Compare the texts of the table, which are what the operations touch, with those that should be there."""
    fields = ["id", "number" if is_mapped else "order_no", "customer", "note"]
    output = FOLDER / "mapped.rows"
    python = environment(*_DLT) if not is_ours else our_environment()
    run([python / "python", "-c", _TEXTS, database, output, ", ".join(fields)])
    expected = _of_five(files) if is_mapped else _as_they_are(files)
    found = differing = 0
    with output.open("rb") as lines:
        for line in lines:
            found += 1
            row, record = json.loads(line), next(expected, {})
            differing += any(row.get(field) != record.get(field) for field in fields)
    if found != files.count:
        return f"{found:,} rows instead of {files.count:,}"
    return f"{differing:,} rows differ" if differing else "same rows"


def _duckdb(files: Files, file: Path, more: dict[str, Any]) -> Run:
    settings = {"database": str(file), "default_target_schema": "bench", "add_record_metadata": False, **more}
    command = [our_executable("target-duckdb"), "--config", _write("map-duckdb", settings)]
    return run(command, stdin=files.singer, stdout=FOLDER / "mapped.state")


def _dlt(files: Files, file: Path) -> Run:
    script, work = Path(__file__).with_name("dlt_map_load.py"), FOLDER / "dlt-mapped"
    arguments = [files.singer, f"duckdb:///{file}", "bench", work]
    return run([environment(*_DLT) / "python", script, *arguments], env=dlt_settings(work))


def _write(name: str, config: dict[str, Any]) -> Path:
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
