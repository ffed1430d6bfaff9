"""Rows that a REST API lists no more go from the targets, and those that may only have been missed stay."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from canaries import holds_secrets
from taps.rest.api_server import json_reply, page_of, serving
from targets.postgres.driver import read_table

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}}}


def run(program: str, config: dict[str, Any], sent: bytes, *options: str, folder: Path) -> bytes:
    (folder / "config.json").write_text(json.dumps(config))
    holds_secrets(folder / "config.json")
    command = [Path(sys.executable).with_name(program), "--config", folder / "config.json", *options]
    ended = subprocess.run(command, input=sent, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(("target", "keys"), [("target-postgres", ["id"]), ("target-duckdb", [])])
def test_rows_that_are_listed_no_more_go_from_the_target(
    target: str, keys: list[str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    file, rows = tmp_path / "w.duckdb", [1, 2, 3, 4, 5]
    place = (
        {"dsn": request.getfixturevalue("database")}
        if target == "target-postgres"
        else {"database": str(file)}
    )

    def stored() -> list[int]:
        if target == "target-postgres":
            return sorted(row["id"] for row in read_table(place["dsn"], "public", "t"))
        with duckdb.connect(str(file)) as connection:
            return [row for (row,) in connection.execute("SELECT id FROM t ORDER BY id").fetchall()]

    table = {"name": "t", "path": "/t", "primary_keys": keys, "schema": SCHEMA, "activate_version": True}
    with serving({"/t": lambda asked: json_reply(page_of([{"id": row} for row in rows], asked, 2))}) as api:
        tap: dict[str, Any] = {
            "base_url": api.url,
            "streams": [table | {"pagination": {"type": "page"}}],
            "allowed_addresses": ["127.0.0.0/8"],
        }
        # An empty list takes nothing away.
        for left, there in (([1, 2, 3, 4, 5], None), ([1, 3, 4], None), ([], [1, 3, 4])):
            rows[:] = left
            state = str(tmp_path / "state.json")
            sent = run("tap-rest", tap, b"", "--state", state, folder=tmp_path)
            run(target, place | {"add_record_metadata": True}, sent, "--state-file", state, folder=tmp_path)
            assert stored() == (there or left)
