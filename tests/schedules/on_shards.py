"""examples/shards with a real Dask over local processes: each row of a table once, and states for all shards."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import venv
from contextlib import closing
from pathlib import Path

from faults.loads import query

ROOT = Path(__file__).parents[2]
DASK = ROOT / ".envs" / "dask"


def dask_python() -> str:
    python = DASK / "bin" / "python"
    if not python.exists():
        venv.create(DASK, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "dask[distributed]==2026.8.0"], check=True)
    return str(python)


def test_dask_runs_the_shards_of_a_pipeline(tmp_path: Path, database: str) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(ROOT / "examples" / "shards", folder)
    with closing(sqlite3.connect(folder / "shop.db")) as connection, connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, updated_at TEXT)")
        rows = [(number, f"2026-01-01T00:00:{number % 60:02}Z") for number in range(5000)]
        connection.executemany("INSERT INTO orders VALUES (?, ?)", rows)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [dask_python(), "with_dask.py", str(folder / "singerkit.yaml"), "orders", "4"]
    environment = {**os.environ, "PATH": path, "WAREHOUSE_DSN": database}
    for _ in range(2):
        run = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr[-3000:]
    assert query(database, "SELECT count(*), count(DISTINCT id) FROM shop.orders") == [(5000, 5000)]
    names = query(database, "SELECT pipeline FROM shop._singerkit_state ORDER BY 1")
    assert names == [(f"orders#{number}/4",) for number in range(4)]
    state = json.loads((folder / "state" / "orders.3-of-4.json").read_text())
    assert state["_singerkit"]["complete"]
