"""Nothing tells anybody of a run: but for the driver, which goes to the database of the config, no target opens a connection or asks for a name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE, lines

WATCHED = """
import sys
def hook(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.sendto", "subprocess.", "os.system", "urllib.")):
        print("WENT OUT", event, arguments, file=sys.stderr)
sys.addaudithook(hook)
"""
RUN = "from {0}.target import main; sys.argv[0] = {1!r}; main()"
ROWS = [SCHEMA("s", {"id": {"type": "integer"}}, ["id"]), RECORD("s", {"id": 1}), STATE({"a": 1})]


def watched(script: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    words = [sys.executable, "-c", WATCHED + script, *arguments]
    return subprocess.run(words, input=lines(*ROWS), capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("name", ["postgres", "duckdb"])
def test_a_run_talks_to_its_store_alone(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    config: dict[str, Any] = {"database": str(tmp_path / "w.duckdb")}
    if name == "postgres":
        config = {"dsn": request.getfixturevalue("database")}
    place = tmp_path / "config.json"
    place.write_text(json.dumps(config))
    done = watched(RUN.format(f"target_{name}", f"target-{name}"), "--config", str(place))
    assert done.returncode == 0, done.stderr
    assert b"1 row in" in done.stderr
    assert b"WENT OUT" not in done.stderr


def test_who_goes_out_is_seen() -> None:
    out = "import socket\ntry: socket.create_connection(('127.0.0.1', 9), 1)\nexcept OSError: pass"
    assert b"WENT OUT socket.connect" in watched(out).stderr
