"""What `singerkit init` writes, word by word as its README says, with each target."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.servers import open_folder

BIN = Path(sys.executable).parent


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the account of root's server may enter, as those of pytest are not."""
    with open_folder() as place:
        yield place


def sh(folder: Path, line: str) -> str:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def rows(said: str, stream: str) -> int:
    return sum(int(count) for count in re.findall(rf"Stream `{stream}`: (\d+) rows? loaded", said))


@pytest.mark.parametrize("target", ["postgres", "duckdb", "jsonl"])
def test_the_commands_of_its_readme(folder, target):
    tried = sh(folder, f"singerkit init shop --target {target}")
    commands = re.findall(r"^  (\S.*?)(?:  +#.*)?$", tried, re.MULTILINE)
    assert commands == ["cd shop", "singerkit run --dry-run", "singerkit run", "make -j4 all"]
    shop = folder / "shop"
    readme = re.findall(r"^    (\S.*?)(?:  +#.*)?$", (shop / "README.md").read_text(), re.MULTILINE)
    assert readme[:3] == commands[1:]
    dry, run, make, look, change, again = readme
    sh(shop, dry)
    first = sh(shop, run)
    assert [rows(first, one) for one in ("customers", "orders", "visits")] == [3, 4, 5]
    second = sh(shop, run)
    assert [rows(second, one) for one in ("customers", "orders", "visits")] == [0, 0, 5]
    made = sh(shop, make)
    assert [rows(made, one) for one in ("customers", "orders", "visits")] == [0, 0, 5]
    assert made.index("customers target") < made.index("orders begins.")
    assert "quill" not in sh(shop, look)
    sh(shop, change)
    assert rows(sh(shop, again), "orders") == 1
    assert "quill" in sh(shop, look)


def test_make_loads_all_at_once_into_an_empty_place(folder):
    sh(folder, "singerkit init shop")
    made = sh(folder / "shop", "make -j4 all")
    assert [rows(made, one) for one in ("customers", "orders", "visits")] == [3, 4, 5]
    said = sh(
        folder / "shop",
        "python3 -m singerkit_embedded --folder postgres sql 'SELECT count(*) FROM shop.visits'",
    )
    assert said.split()[-1] == "5"


def test_a_pipeline_that_fails_fails_make_and_the_workflow(folder):
    sh(folder, "singerkit init shop --target jsonl")
    with contextlib.closing(sqlite3.connect(folder / "shop" / "shop.db")) as source, source:
        source.execute("DROP TABLE visits")
    done = subprocess.run(
        ["make", "-j4", "-k", "all"],
        cwd=folder / "shop",
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
    )
    assert done.returncode == 2, done.stderr
    assert rows(done.stderr, "orders") == 4
