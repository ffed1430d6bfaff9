"""tap-files into a database: what comes, grows, changes, turns out to be of another type and goes; a file with a key and one without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from targets.duckdb.driver import read_duckdb

BIN = Path(sys.executable).parent


class Pipe:
    """tap-files into target-duckdb, with one state for both."""

    def __init__(self, folder: Path, **stream: Any) -> None:
        self.folder = folder
        (folder / "in").mkdir()
        (folder / "tap.json").write_text(
            json.dumps({"streams": [{"name": "t", "path": "in/*.csv", **stream}]})
        )
        (folder / "target.json").write_text(json.dumps({"database": "rows.duckdb"}))

    def write(self, name: str, content: str) -> None:
        (self.folder / "in" / name).write_text(content)

    def run(self) -> str:
        """Run the pipe to its end; return what both say."""
        read = [str(BIN / "tap-files"), "--config", "tap.json", "--state", "state.json"]
        load = [str(BIN / "target-duckdb"), "--config", "target.json", "--state-file", "state.json"]
        with subprocess.Popen(read, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tap:
            target = subprocess.run(
                load, cwd=self.folder, stdin=tap.stdout, capture_output=True, timeout=60, check=False
            )
            assert tap.stdout is not None
            assert tap.stderr is not None
            tap.stdout.close()
            told = tap.stderr.read().decode() + target.stderr.decode()
            assert (tap.wait(60), target.returncode) == (0, 0), told
        return told

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        found = read_duckdb(self.folder / "rows.duckdb", "t")
        return sorted(tuple(row[name] for name in columns) for row in found)


def test_a_folder_that_is_empty_at_first_is_loaded_by_its_key_later(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path, primary_keys=["id"])
    pipe.run()
    pipe.write("a.csv", "id,x\n1,a\n")
    pipe.run()
    pipe.write("b.csv", "id,x\n1,b\n2,c\n")
    pipe.run()
    assert pipe.rows("id", "x") == [(1, "b"), (2, "c")]


@pytest.mark.parametrize("columns", [["_file", "_row"], ["_file"]], ids=["with a key", "without"])
def test_each_row_is_loaded_once_whatever_becomes_of_its_file(tmp_path: Path, columns: list[str]) -> None:
    pipe = Pipe(tmp_path, file_columns=columns, on_removed="delete")
    pipe.write("a.csv", "id,zip\n1,8000\n2,8001\n")
    pipe.write("b.csv", "id,zip\n3,8002\n")
    pipe.write("c.csv", "id,zip\n4,8003\n")
    assert "each run sends its rows again" not in pipe.run()
    pipe.write("a.csv", "id,zip\n1,8000\n2,8001\n5,007\n")
    pipe.write("b.csv", "id,zip\n3,9\n")
    (tmp_path / "in/c.csv").unlink()
    for _ in range(2):
        pipe.run()
        assert pipe.rows("id", "zip") == [(1, "8000"), (2, "8001"), (3, "9"), (5, "007")]


def test_versions_of_a_file_stay_beside_each_other_and_their_bad_rows_do(tmp_path: Path) -> None:
    """By the default key, which has the version in it."""
    pipe = Pipe(tmp_path, on_changed="append", on_bad_row="set_aside")
    pipe.write("a.csv", "id,x\n1,a\n2,b\n3\n")
    pipe.run()
    pipe.write("a.csv", "id,x\n9,short\n3\n4\n")
    pipe.run()
    assert pipe.rows("id", "x") == [(1, "a"), (2, "b"), (9, "short")]
    aside = read_duckdb(tmp_path / "rows.duckdb", "t__bad_rows")
    assert sorted(row["_row"] for row in aside) == [2, 3, 3]
