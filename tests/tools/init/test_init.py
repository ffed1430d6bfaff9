"""`singerkit init`: what it writes runs as it stands, by make and by the runner, and nothing is written over."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from click.testing import CliRunner
from faults.servers import open_folder

from singerkit_cli.command import cli
from singerkit_embedded import server as embedded
from singerkit_init.layout import WAREHOUSES, schema_name
from singerkit_run.planfile import read_plan
from singerkit_shell.errors import CannotWriteError, ConfigurationError, UsageError

BIN = Path(sys.executable).parent


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the account of root's server may enter, as those of pytest are not."""
    with open_folder() as place:
        yield place


def init(*words: str) -> str:
    """Return what is said."""
    done = CliRunner().invoke(cli, ["init", *words], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.output


ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
"""Without what `make test` gives to those that it starts: another make would take itself for a part of it."""
ENVIRONMENT["PATH"] = f"{BIN}:{os.environ['PATH']}"


def ran(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rows_of(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with embedded.start(folder / "postgres") as server:
        connection = psycopg2.connect(server.uri)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()
        finally:
            connection.close()


def test_it_runs_as_it_stands(folder):
    """tests/schedules/on_projects.py runs all of it, by make and for each target."""
    shop = folder / "My shop"
    said = init(str(shop))
    for command in ("singerkit run --dry-run", "singerkit run", "make -j4 all"):
        assert f"  {command}  " in said
    ran(shop, str(BIN / "singerkit"), "run", "orders")
    orders = "SELECT id, item FROM my_shop.orders ORDER BY id"
    assert rows_of(shop, orders) == [(1, "pen"), (2, "ink"), (3, "paper"), (4, "desk")]
    with contextlib.closing(sqlite3.connect(shop / "shop.db")) as source, source:
        source.execute("UPDATE orders SET item = 'quill', updated_at = '2026-02-01T00:00:00Z' WHERE id = 1")
    said = ran(shop, str(BIN / "singerkit"), "run", "orders")
    assert "`orders`: 1 row loaded" in said
    assert "WARNING" not in said
    assert rows_of(shop, orders)[0] == (1, "quill")


def test_make_knows_the_order_of_the_runner(tmp_path):
    init(str(tmp_path / "shop"), "--target", "jsonl")
    plan = read_plan(str(tmp_path / "shop" / "singerkit.yaml"))
    for name, pipeline in plan.pipelines.items():
        said = ran(tmp_path / "shop", "make", "-n", name).split("\n")[:-1]
        assert said == [f"singerkit run {one}" for one in (*pipeline.after, name)]
    assert len(ran(tmp_path / "shop", "make", "-n").split("\n")) == len(plan.pipelines) + 1


@pytest.mark.parametrize("kind", sorted(WAREHOUSES))
def test_what_it_writes_is_whole(tmp_path, kind):
    shop = tmp_path / "2nd"
    init(str(shop), "--target", kind)
    plan = read_plan(str(shop / "singerkit.yaml"))
    assert {pipeline.target.exec for pipeline in plan.pipelines.values()} == {f"target-{kind}"}
    for pipeline in plan.pipelines.values():
        for file in (*pipeline.tap.configs, *pipeline.target.configs):
            assert yaml.safe_load(Path(file).read_text())
    texts = [path.read_text() for path in shop.rglob("*") if path.is_file() and path.name != "shop.db"]
    assert len(texts) > 10
    assert not [text for text in texts if "@SCHEMA@" in text or "@POSTGRES@" in text or "@LOOK@" in text]
    workflow = yaml.safe_load((shop / ".github/workflows/pipelines.yaml").read_text())
    assert {"run": "make -j4 all"} in workflow["jobs"]["run"]["steps"]
    subprocess.run(["git", "init", "-q"], cwd=shop, check=True)
    left_out = [".env", "state/orders.json", "singerkit-report.html"]
    assert ran(shop, "git", "check-ignore", *left_out).split() == left_out
    assert ran(shop, "git", "status", "--porcelain", "-uall", "state").split()[-1] == "state/.gitkeep"


def test_nothing_is_written_over(tmp_path):
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "Makefile").write_text("mine")
    with pytest.raises(UsageError, match="Makefile already"):
        init(str(shop))
    assert [path.name for path in shop.iterdir()] == ["Makefile"]
    (shop / "Makefile").rename(shop / "notes")
    init(str(shop), "--target", "jsonl")
    assert (shop / "notes").read_text() == "mine"
    with pytest.raises(UsageError, match=r"and 1\d more already"):
        init(str(shop))


def test_it_says_what_it_lacks(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWriteError, match=r"cannot be written \(Not a directory\)"):
        init(str(tmp_path / "file" / "shop"))
    monkeypatch.setattr(embedded, "_WHEELS", ("no_such_wheel",))
    with pytest.raises(ConfigurationError, match="pip install"):
        init(str(tmp_path / "shop"))
    assert not (tmp_path / "shop").exists()


@pytest.mark.parametrize(
    ("name", "schema"), [("shop", "shop"), ("Läden & Co", "l_den_co"), ("2nd", "shop_2nd"), ("---", "shop")]
)
def test_a_schema_needs_no_quotes(name, schema):
    assert schema_name(name) == schema
