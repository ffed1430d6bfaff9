"""A standard stream that is closed is told, and no file or connection takes its place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("name", ["tap-rest", "target-jsonl"])
@pytest.mark.parametrize(
    ("closed", "codes"),
    [("<&-", (65, 69)), ("</dev/null >&-", (74,)), ("</dev/null 2>&-", (65, 69)), ("<&- >&- 2>&-", (74,))],
)
def test_a_closed_stream_is_told(name: str, closed: str, codes: tuple[int, ...], tmp_path: Path) -> None:
    streams = [{"name": "r", "path": "/r", "schema": {"properties": {"id": {}}}}]
    tap = {"base_url": "http://127.0.0.1:9", "retries": {"tries": 1}, "streams": streams}
    target = {"destination_path": str(tmp_path / "out")}
    (tmp_path / "config").write_text(json.dumps(tap if name == "tap-rest" else target))
    done = subprocess.run(
        f"exec {BIN / name} --config {tmp_path / 'config'} {closed}",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in codes, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
