"""A folder of target-jsonl keeps the state itself: `--state` of a tap reads it there, and no file is needed besides."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


def test_the_next_run_goes_on_from_the_manifest(tmp_path: Path) -> None:
    rows = [{"id": 1, "at": 1}, {"id": 2, "at": 2}]
    out = tmp_path / "out"
    with serving({"/rows": lambda _: json_reply(rows)}) as api:
        configs = {
            "tap": {"base_url": api.url, "allowed_addresses": ["127.0.0.0/8"], "streams": [STREAM]},
            "target": {"destination_path": str(out)},
        }
        for name, config in configs.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(config))

        def load() -> list[int]:
            tap = [BIN / "tap-rest", "--config", tmp_path / "tap.json", "--state", out]
            sent = subprocess.run(tap, capture_output=True, timeout=SECONDS, check=True).stdout
            target = [BIN / "target-jsonl", "--config", tmp_path / "target.json"]
            subprocess.run(target, input=sent, capture_output=True, timeout=SECONDS, check=True)
            return [json.loads(line)["id"] for line in (out / "orders.jsonl").read_text().splitlines()]

        assert load() == [1, 2]
        rows.append({"id": 3, "at": 3})
        assert load() == [1, 2, 3], "nothing comes twice, though files are only appended to"
