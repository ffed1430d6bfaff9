"""`make demo-log`: a shop in PostgreSQL changes while `tap-postgres | target-duckdb` follows its log, and both are killed.

What runs here is what a shell would run, with the config files beside this one:

    tap-postgres --config shop.json --state state.json | target-duckdb --config shop-duckdb.json --state-file state.json

Everything it makes is in `.demo-log/`, which each run makes anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import shop
import warehouses
from piping import PROJECT, DemoError, ended, pipeline, quiet, say

FOLDER = PROJECT / ".demo-log"
KINDS = ("inserted", "updated", "deleted")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=20, help="how long the shop is open (default: 20)")
    parser.add_argument(
        "--orders", type=int, default=100_000, help="how many it has at first (default: 100000)"
    )
    chosen = parser.parse_args()
    return ended("make demo-log", lambda: run_demo(chosen.seconds, chosen.orders), warehouses.StillOpen)


def run_demo(seconds: int, orders: int) -> None:
    say("Making a shop in a PostgreSQL of its own.")
    server = warehouses.Postgres(FOLDER, PROJECT)
    warehouses.make_anew(FOLDER, server)
    with shop.serving(server.folder) as uri:
        shop.build(uri, orders)
        at_first = {table: len(shop.rows_of(uri, table)) for table in shop.KEYS}
        environment = os.environ | {"SHOP_DSN": uri, **quiet(FOLDER, "tap-postgres", "target-duckdb")}
        with shop.Clerks(uri) as clerks:
            say(f"The shop is open for {seconds} s. Its tables are read while they change, then its log:")
            follow(environment, seconds / 2, killed=True)
            say("Both were killed (kill -9). The same command again goes on where they were:")
            follow(environment, seconds / 2, killed=False)
        say("The shop has closed. A last run fetches what has not come yet:")
        run_to_the_end(environment)
        held = {table: compare(uri, table) for table in shop.KEYS}
    print_table(at_first, clerks.changed, held)


def follow(environment: dict[str, str], seconds: float, *, killed: bool) -> None:
    """Let tap and target run for so long, and until a state is committed; then kill both, or end the tap."""
    before = state()
    commands = pipe("--config", "examples/demo/shop-follow.json")
    with pipeline(commands, environment) as processes:
        closing = time.monotonic() + seconds
        while time.monotonic() < closing or state() == before:
            if any(process.poll() is not None for process in processes):
                break
            time.sleep(0.05)
        if killed:
            for process in processes:
                process.kill()
        else:
            processes[0].terminate()
        codes = tuple(process.wait() for process in processes)
    expected = (-signal.SIGKILL, -signal.SIGKILL) if killed else (128 + signal.SIGTERM, 65)
    if codes != expected:
        raise DemoError(
            f"tap-postgres and target-duckdb ended with {codes}; their last lines above say why. Then run make demo-log again."
        )


def state() -> str:
    file = FOLDER / "state.json"
    return file.read_text("utf-8") if file.exists() else ""


def run_to_the_end(environment: dict[str, str]) -> None:
    with pipeline(pipe(), environment) as processes:
        codes = [process.wait() for process in processes]
    if any(codes):
        raise DemoError(
            f"the exit codes are {codes}; the last lines above say why. Then run make demo-log again."
        )


def pipe(*more: str) -> list[list[str]]:
    file = ".demo-log/state.json"
    commands = [
        ["tap-postgres", "--config", "examples/demo/shop.json", *more, "--state", file],
        ["target-duckdb", "--config", "examples/demo/shop-duckdb.json", "--state-file", file],
    ]
    say("  " + " | ".join(map(shlex.join, commands)))
    return commands


def compare(uri: str, table: str) -> int:
    """Return the number of rows, which are those of the source, value by value."""
    at_source, here = shop.rows_of(uri, table), rows_in_file(table)
    if at_source != here:
        raise DemoError(
            f"{table} has {len(at_source)} rows at the source and {len(here)} in the file, and they are not the same:"
            " a fault of singerkit, please report it."
        )
    return len(here)


def rows_in_file(table: str) -> list[dict[str, Any]]:
    """Return the rows in the order of the key, as `shop.rows_of` gives them."""
    with duckdb.connect(str(FOLDER / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(f"SELECT * FROM shop.{table} ORDER BY {', '.join(shop.KEYS[table])}")
        assert found.description is not None
        names = [name for name, *_ in found.description]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return [
        {name: as_at_source(name, value) for name, value in row.items() if not name.startswith("_sdc_")}
        for row in rows
    ]


def as_at_source(name: str, value: Any) -> Any:
    """DuckDB gives documents and lists as the text that they are."""
    if name in ("shipping", "tags") and value is not None:
        return json.loads(value)
    return Decimal(value) if name == "price" else value


def print_table(at_first: dict[str, int], changed: Counter[tuple[str, str]], held: dict[str, int]) -> None:
    print(
        f"\n{'table':<10}{'at first':>10}" + "".join(f"{kind:>10}" for kind in KINDS) + f"{'in DuckDB':>11}"
    )
    for table, rows in held.items():
        changes = "".join(f"{changed[table, kind]:>10,}" for kind in KINDS)
        print(f"{table:<10}{at_first[table]:>10,}{changes}{rows:>11,}")
    print("\nEach row of the file is that of the shop, value by value. To look at the data:\n")
    print(f"  {shlex.join(look())}\n")


def look() -> list[str]:
    query = "SELECT status, count(*), max(placed) AS latest FROM shop.orders GROUP BY ALL ORDER BY ALL"
    file = os.path.relpath(FOLDER / "warehouse.duckdb")
    code = f"import duckdb; duckdb.connect({file!r}, read_only=True).sql({query!r}).show()"
    return [os.path.relpath(sys.executable, Path.cwd()), "-c", code]


if __name__ == "__main__":
    sys.exit(main())
