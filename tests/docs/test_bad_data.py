"""docs/bad-data.md shows what a run of examples/bad-data makes of six kinds of bad data: the page is held against the run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from docs.shown import check_page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "bad-data.md"
EXAMPLE = ROOT / "examples" / "bad-data"
COLUMNS = {
    "weather": "origin, hour, temp, time_hour",
    "flights": "carrier, flight, origin, dest",
    "planes": "tailnum, year, manufacturer, model",
    "stations": "id, name, city",
    "suppliers": "id, name, phone, country, since",
}
_NOT_OF_THE_RUN = re.compile(r"^[0-9-]+ [0-9:,]+ \| (\w+) +\| [\w.-]+ +\| ")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of the example behind a run, and what its target said."""
    folder = tmp_path_factory.mktemp("bad") / "bad-data"
    shutil.copytree(EXAMPLE, folder)
    script = (EXAMPLE / "run.sh").read_text()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, [
        _NOT_OF_THE_RUN.sub(r"\1 ", line) for line in done.stderr.splitlines() if "| target-duckdb" in line
    ]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def as_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = [list(names), *([_shown(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def rows_of(folder: Path, stream: str) -> str:
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        key = COLUMNS[stream].split(",")[0]
        found = connection.execute(
            f"set timezone = 'UTC'; select {COLUMNS[stream]} from {stream} order by {key}, 2, 3"
        )
        names = [column[0] for column in found.description]
        return as_table(names, found.fetchall())


def part_of_config(which: str, stream: str) -> str:
    if which == "tap":
        [said] = [
            one for one in json.loads((EXAMPLE / "tap.json").read_text())["streams"] if one["name"] == stream
        ]
        return json.dumps(said, ensure_ascii=False)
    config = json.loads((EXAMPLE / "target.json").read_text())
    listed = (config["map"]["streams"] if which == "map" else config["checks"])[stream]
    lines = ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in listed)
    return f'"{stream}": [\n{lines}\n]'


def said_of(lines: Sequence[str], words: str) -> str:
    """What the summary says of a stream; of rules, whose names it shares with nothing else, what it says of one."""
    found = [line.split(" ", 1)[1] for line in lines if f"`{words}`" in line and line.startswith("WARNING")]
    return "\n".join(line for line in found if " is broken by " in line or " set aside in the table " in line)


def set_aside(folder: Path, _words: str) -> str:
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        return as_table(
            ("stream", "reason"),
            connection.execute(
                "select distinct stream, reason from _singerkit_rejects order by 1, 2"
            ).fetchall(),
        )


def test_the_page_shows_what_a_run_makes_of_the_files(ran: tuple[Path, list[str]]) -> None:
    folder, lines = ran
    made = {
        "part": lambda words: ("json", part_of_config(*words.split())),
        "rows": lambda words: ("text", rows_of(folder, words)),
        "aside": lambda words: ("text", set_aside(folder, words)),
        "said": lambda words: ("text", said_of(lines, words)),
    }
    check_page(PAGE, made, least=15)
