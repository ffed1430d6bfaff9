"""Records by which an API says that a row is gone delete or mark it in the targets, and take nothing else with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import json_reply, serving
from targets.duckdb.driver import read_duckdb
from targets.postgres.driver import read_table

NOTES = {
    "name": "notes",
    "path": "/notes",
    "primary_keys": ["id"],
    "replication_key": "at",
    "deletes": {"field": "deleted", "equals": True},
}


def run(program: str, config: dict[str, Any], sent: bytes, folder: Path, *options: str) -> bytes:
    (folder / "config.json").write_text(json.dumps(config))
    command = [Path(sys.executable).with_name(program), "--config", folder / "config.json", *options]
    ended = subprocess.run(command, input=sent, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("hard_delete", [True, False])
def test_a_row_that_is_gone(hard_delete: bool, database: str, tmp_path: Path) -> None:
    file, state = tmp_path / "w.duckdb", tmp_path / "state.json"
    targets: dict[str, dict[str, Any]] = {
        "target-postgres": {"dsn": database, "hard_delete": hard_delete},
        "target-duckdb": {"database": str(file), "hard_delete": hard_delete},
    }
    first = [{"id": n, "at": f"2026-01-0{n}", "text": "a"} for n in (1, 2, 3)]
    second = [{"id": 2, "at": "2026-01-04", "deleted": True}, {"id": 1, "at": "2026-01-05", "text": None}]
    for rows in (first, second):
        with serving({"/notes": lambda _, rows=rows: json_reply(rows)}) as api:
            tap = {"base_url": api.url, "streams": [NOTES], "pipeline": "p", "schema_cache": str(tmp_path)}
            options = ["--state", str(state)] if state.exists() else []
            sent = run("tap-rest", tap, b"", tmp_path, *options)
        for target, config in targets.items():
            out = run(target, config, sent, tmp_path)
        state.write_bytes(out.splitlines()[-1])
    for found in (read_table(database, "public", "notes"), read_duckdb(file, "notes")):
        stored = sorted((row["id"], row["text"], row["_sdc_deleted_at"] is not None) for row in found)
        marked = [] if hard_delete else [(2, "a", True)]
        assert stored == [(1, None, False), *marked, (3, "a", False)]
