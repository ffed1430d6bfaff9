"""A target keeps the state with its rows: `--state` of a tap reads it there, and no file is needed besides."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
from conformance.processes import SECONDS
from taps.rest.api_server import json_reply, serving

BIN = Path(sys.executable).parent
STREAM = {
    "name": "orders",
    "path": "/rows",
    "primary_keys": ["id"],
    "replication_key": "at",
    "replication_key_format": "number",
    "pagination": {"type": "single"},
    "schema": {"properties": {"id": {"type": "integer"}, "at": {"type": "integer"}}},
}


def pipe(folder: Path, api: str, state: str, target: str, config: dict[str, str]) -> tuple[int, int]:
    """Run both at once, as a shell does."""
    tap_config = {"base_url": api, "allowed_addresses": ["127.0.0.0/8"], "pipeline": "p", "streams": [STREAM]}
    (folder / "tap.json").write_text(json.dumps(tap_config))
    (folder / "target.json").write_text(json.dumps(config))
    tap = [str(BIN / "tap-rest"), "--config", "tap.json", "--state", state]
    with subprocess.Popen(tap, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as sending:
        load = [str(BIN / target), "--config", "target.json"]
        loaded = subprocess.run(
            load, cwd=folder, stdin=sending.stdout, capture_output=True, timeout=SECONDS, check=False
        )
    return sending.returncode, loaded.returncode


def test_the_next_run_goes_on_from_the_manifest(tmp_path: Path) -> None:
    rows = [{"id": 1, "at": 1}, {"id": 2, "at": 2}]
    with serving({"/rows": lambda _: json_reply(rows)}) as api:

        def load() -> list[int]:
            assert pipe(tmp_path, api.url, "out", "target-jsonl", {"destination_path": "out"}) == (0, 0)
            lines = (tmp_path / "out" / "orders.jsonl").read_text().splitlines()
            return [json.loads(line)["id"] for line in lines]

        assert load() == [1, 2]
        rows.append({"id": 3, "at": 3})
        assert load() == [1, 2, 3], "nothing comes twice, though files are only appended to"


def test_the_next_run_goes_on_from_the_file_of_duckdb(tmp_path: Path) -> None:
    rows = [{"id": 1, "at": 1}, {"id": 2, "at": 2}]
    config = {"database": "w.duckdb", "load_method": "append-only"}
    with serving({"/rows": lambda _: json_reply(rows)}) as api:

        def load(url: str = "duckdb://w.duckdb?pipeline=p") -> tuple[int, int]:
            return pipe(tmp_path, api.url, url, "target-duckdb", config)

        assert load() == (0, 0)
        rows.append({"id": 3, "at": 3})
        assert load() == (0, 0)
        # Where the URL names another place than the target loads into, the run is refused.
        assert load("duckdb://other.duckdb?pipeline=p")[1] == 69
        assert load("duckdb://w.duckdb?pipeline=p&schema=other")[1] == 69
    with duckdb.connect(str(tmp_path / "w.duckdb"), read_only=True) as connection:
        found = connection.execute("SELECT id FROM orders ORDER BY id").fetchall()
    assert found == [(1,), (2,), (3,)], "nothing comes twice, though rows are only appended"
