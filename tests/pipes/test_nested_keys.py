"""A key that stands inside a field of the source arrives as the key of the table, in each of our targets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from taps.rest.api_server import json_reply, serving
from targets.duckdb.driver import read_duckdb
from targets.postgres.driver import read_table

ISSUES = {"name": "issues", "path": "/issues", "primary_keys": ["info.id"], "replication_key": "info.at"}


def run(program: str, config: dict[str, Any], sent: bytes, folder: Path) -> bytes:
    (folder / "config.json").write_text(json.dumps(config))
    command = [Path(sys.executable).with_name(program), "--config", folder / "config.json"]
    ended = subprocess.run(command, input=sent, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_rows_replace_each_other_by_a_key_from_inside(database: str, tmp_path: Path) -> None:
    file, folder = tmp_path / "w.duckdb", tmp_path / "lines"
    targets: dict[str, dict[str, Any]] = {
        "target-postgres": {"dsn": database},
        "target-duckdb": {"database": str(file)},
        "target-jsonl": {"destination_path": str(folder)},
    }
    for state in ("open", "closed"):
        rows = [{"info": {"id": 7, "at": "2026-01-01T00:00:00Z"}, "state": state}]
        with serving({"/issues": lambda _, rows=rows: json_reply(rows)}) as api:
            tap = {"base_url": api.url, "streams": [ISSUES], "pipeline": "p"}
            sent = run("tap-rest", tap, b"", tmp_path)
        for target, config in targets.items():
            run(target, config, sent, tmp_path)
    for found in (read_table(database, "public", "issues"), read_duckdb(file, "issues")):
        assert [(row["info_id"], row["state"]) for row in found] == [(7, "closed")]
    lines = "".join(path.read_text() for path in folder.rglob("issues*.jsonl"))
    assert [json.loads(line)["info_id"] for line in lines.splitlines()] == [7, 7]
