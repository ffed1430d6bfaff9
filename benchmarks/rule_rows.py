"""Row w: what five rules of quality (`checks`) take of a load, into PostgreSQL and into DuckDB."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from files import COPY, OUR_DUCK
from loaders import our_target
from measure import Run, run
from orders import Files
from others import our_environment, our_executable, version_of
from report import Goal, Measured
from rounds import FOLDER, Bench, medians, say, truth, truth_name

__all__ = ["row_w"]

RULES: dict[str, Any] = {
    "checks": {
        "orders": [
            {"rule": "not_null", "field": "customer"},
            {"rule": "range", "field": "price", "min": 0, "max": 100_000},
            {"rule": "accepted", "field": "quantity", "values": list(range(64))},
            {"rule": "length", "field": "customer", "min": 1, "max": 80},
            {"rule": "matches", "field": "order_no", "pattern": "S[OX]-[0-9a-f]{8}-[0-9]{9}"},
        ]
    }
}
_SCHEMA = "ruled"
Load = Callable[[Bench, Files, dict[str, Any]], tuple[Run, str]]


def row_w(bench: Bench) -> None:
    """Loads with rules and without, in turns; rules that are all kept, as on most days."""
    files = bench.files(bench.rows)
    loads: dict[str, Load] = {"target-postgres": _postgres, "target-duckdb": _duckdb}
    truth(bench, files)
    for name, load in loads.items():
        runs: dict[str, list[Run]] = {"": [], ", five rules": []}
        checks: dict[str, str] = {}
        for turn in range(bench.repeat):
            for how in [*runs][:: 1 if turn % 2 == 0 else -1]:
                found, check = load(bench, files, RULES if how else {})
                runs[how].append(found)
                if checks.get(how, "same rows") == "same rows":
                    checks[how] = check
                say(f"w: {name}{how}: {found.seconds:.2f} s, {_cpu(found):.2f} s of CPU, {check}")
        _keep(bench, name, files.count, runs, checks)


def _keep(bench: Bench, name: str, rows: int, runs: dict[str, list[Run]], checks: dict[str, str]) -> None:
    version = version_of(our_environment(), "singerkit")
    for how, found in runs.items():
        cpu, server = (
            median(getattr(one, which) for one in found) for which in ("cpu_seconds", "server_seconds")
        )
        title = f"singerkit {name}{how}"
        bench.measured.append(Measured("w", title, version, rows, *medians(found), checks[how], cpu, server))
    without, with_rules = ([_cpu(one) for one in found] for found in runs.values())
    more = [one - other for one, other in zip(with_rules, without, strict=True)]
    part = 100 * median(one / other for one, other in zip(more, without, strict=True))
    bench.goals.append(
        Goal(
            "w",
            f"{rows:,} rows into {name} under five rules",
            f"{median(more) / rows * 1e6:.2f} us of CPU a row",
            f"without {median(without) / rows * 1e6:.2f} us",
            part,
            3,
            "% of the load",
        )
    )


def _cpu(found: Run) -> float:
    """With that of PostgreSQL, where it has a part."""
    return found.cpu_seconds + (found.server_seconds if found.server_seconds == found.server_seconds else 0)


def _postgres(bench: Bench, files: Files, rules: dict[str, Any]) -> tuple[Run, str]:
    bench.database.fresh_schema(_SCHEMA)
    before = bench.database.cpu_seconds()
    command = [*our_target(bench.database, _SCHEMA, FOLDER), "--config", _write("rules", rules)]
    found = run(command, stdin=files.singer, stdout=FOLDER / "ruled.state")
    found = replace(found, server_seconds=bench.database.cpu_seconds() - before)
    return found, bench.database.differences(_SCHEMA, truth_name(files), files.columns, exact=True)


def _duckdb(_bench: Bench, files: Files, rules: dict[str, Any]) -> tuple[Run, str]:
    for left in FOLDER.glob("ruled.duckdb*"):
        left.unlink()
    database, loaded = FOLDER / "ruled.duckdb", FOLDER / f"truth-{files.count}.duckdb"
    if not loaded.exists():
        COPY.load(files, loaded, FOLDER)
    settings = {"database": str(database), "default_target_schema": "bench", "add_record_metadata": False}
    command: list[str | Path] = [
        our_executable("target-duckdb"),
        "--config",
        _write("ruled", settings | rules),
    ]
    found = run(command, stdin=files.singer, stdout=FOLDER / "ruled.state")
    return found, OUR_DUCK.differences(database, files, loaded)


def _write(name: str, config: dict[str, Any]) -> Path:
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
