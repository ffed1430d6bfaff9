"""A stream that fails beside others: their rows are committed, both ends of the pipe say that it is not whole, and the next run mends it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from taps.rest.api_server import json_reply, serving
from targets.postgres.driver import read_table

BIN = Path(sys.executable).parent


def test_what_could_be_read_is_committed(database: str, tmp_path: Path) -> None:
    refused = {"/b": json_reply({"message": "no"}, 403)}
    good = json_reply([{"id": 1}])
    with serving({f"/{name}": lambda asked: refused.get(asked.path, good) for name in "abc"}) as api:
        streams = [{"name": name, "path": f"/{name}", "primary_keys": ["id"]} for name in "abc"]
        (tmp_path / "tap.json").write_text(json.dumps({"base_url": api.url, "streams": streams}))
        (tmp_path / "target.json").write_text(json.dumps({"dsn": database}))
        codes, words = pipe(tmp_path)
        assert codes == (77, 65)
        assert "Not read as a whole: stream `b`; all else was read" in words[0]
        assert "The input ended before the tap had finished, whose own last line says why" in words[1]
        assert [len(read_table(database, "public", name)) for name in ("a", "c")] == [1, 1]
        refused.clear()
        assert pipe(tmp_path)[0] == (0, 0)
        assert len(read_table(database, "public", "b")) == 1


def pipe(folder: Path) -> tuple[tuple[int, int], tuple[str, str]]:
    """Run the pipe once; return exit codes and last words of both ends."""

    def run(*command: str, sent: bytes = b"") -> Any:
        path = [BIN / command[0], *command[1:]]
        return subprocess.run(path, input=sent, cwd=folder, capture_output=True, timeout=60, check=False)

    tap = run("tap-rest", "--config", "tap.json", "--state", "state.json")
    target = run("target-postgres", "--config", "target.json", "--state-file", "state.json", sent=tap.stdout)
    last = [one.stderr.decode().strip().splitlines()[-1] for one in (tap, target)]
    return (tap.returncode, target.returncode), (last[0], last[1])
