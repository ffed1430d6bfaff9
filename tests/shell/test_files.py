"""A file that a command line or a config names is read up to a limit, and a signal is heard meanwhile.

What stands in its place may be a pipe, as `<(...)` of a shell is one, or a device.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from singerkit_state.readas import ReadAs
from tap_rest.config import ApiSettings
from tap_rest.schema.cache import cache_file
from tap_rest.schema.inferred import InferredSchema
from tap_rest.schema.kept import KeptSchema
from tap_rest.settings.limits import InferSettings
from tap_rest.settings.stream import StreamSettings

BIN = Path(sys.executable).parent
SECONDS = 10.0  # on a machine under load; a second is enough on a quiet one
STREAM = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}


def config_of(folder: Path, name: str, **settings: Any) -> str:
    (folder / name).write_text(json.dumps(settings))
    return str(folder / name)


def tap(folder: Path, *arguments: str, **settings: Any) -> list[str]:
    config = config_of(
        folder, "tap.json", **{"base_url": "http://127.0.0.1:9", "streams": [STREAM], **settings}
    )
    return ["tap-rest", "--config", config, *arguments]


def target(folder: Path, *arguments: str) -> list[str]:
    (folder / "rows").mkdir()
    config = config_of(folder, "target.json", destination_path=str(folder / "rows"))
    return ["target-jsonl", "--config", config, *arguments]


READERS: dict[str, Callable[[Path, str], list[str]]] = {
    "config of a tap": lambda _, path: ["tap-rest", "--config", path],
    "state": lambda folder, path: tap(folder, "--state", path),
    "catalog": lambda folder, path: tap(folder, "--catalog", path),
    "a value": lambda folder, path: tap(folder, params={"key": {"file": path}}),
    "a schema": lambda folder, path: tap(folder, streams=[{**STREAM, "schema": path}]),
    "config of a target": lambda _, path: ["target-jsonl", "--config", path],
    "a state to adopt": lambda folder, path: target(folder, "--adopt", path, "--pipeline", "p"),
    "a state to show": lambda _, path: ["singerkit-state", "show", path],
    "a state to compare": lambda _, path: ["singerkit-state", "diff", path, path],
    "a value to set": lambda folder, path: ["singerkit-state", "set", str(folder / "s.json"), "@" + path],
}


def started(command: list[str], stdin: Any = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(BIN / command[0]), *command[1:]], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def ended(running: subprocess.Popen[bytes], stdin: bytes | None = None) -> str:
    """Return its last line once it has ended by itself."""
    try:
        _, stderr = running.communicate(stdin, timeout=SECONDS)
    finally:
        running.kill()
    return stderr.decode().rstrip().rpartition("\n")[2]


@pytest.mark.parametrize("what", READERS)
def test_a_pipe_that_says_nothing_is_left_at_a_signal(what: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    running = started(READERS[what](tmp_path, str(pipe)))
    writer = os.open(pipe, os.O_WRONLY)  # waits for the reader
    try:
        running.send_signal(signal.SIGTERM)
        ended(running)
        assert running.returncode in (143, -signal.SIGTERM)
    finally:
        os.close(writer)


@pytest.mark.parametrize("what", READERS)
def test_a_device_without_end_is_refused(what: str, tmp_path: Path) -> None:
    running = started(READERS[what](tmp_path, "/dev/zero"))
    sentence = ended(running)
    assert running.returncode == 78, sentence
    assert "it is larger than" in sentence


def test_a_value_on_stdin_without_end_is_refused() -> None:
    with Path("/dev/zero").open("rb") as zeros:
        running = started(["singerkit-state", "set", "s.json", "-"], zeros)
        assert "The value on stdin is larger than" in ended(running)
    assert running.returncode == 78


@pytest.mark.parametrize("what", ["a pipe", "a device"])
def test_a_state_file_that_is_none_is_refused_before_anything_is_read(what: str, tmp_path: Path) -> None:
    place = Path("/dev/null") if what == "a device" else tmp_path / "pipe"
    if what == "a pipe":
        os.mkfifo(place)
    running = started(target(tmp_path, "--state-file", str(place)), subprocess.PIPE)
    sentence = ended(running, b"no message at all\n")
    assert (running.returncode, "is not a regular file" in sentence) == (78, True), sentence
    assert not place.with_name(place.name + ".lock").exists()


def test_a_value_may_come_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    running = started(["singerkit-state", "set", str(tmp_path / "s.json"), f"@{pipe}"])
    pipe.write_text('{"bookmarks": {"rows": {"replication_key_value": 7}}}\n')
    ended(running)
    assert running.returncode == 0
    assert json.loads((tmp_path / "s.json").read_text())["bookmarks"]["rows"]["replication_key_value"] == 7


def test_a_schema_cache_that_says_nothing_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("singerkit_shell.configfile._SECONDS", 0.01)
    stream = StreamSettings("rows", "/rows")
    api = ApiSettings("http://x.example", (stream,), schema_cache=str(tmp_path))
    os.mkfifo(cache_file(stream, api))
    assert not InferredSchema(stream, KeptSchema(stream, api, ReadAs()), {}, (), InferSettings()).is_known
    assert "cannot be read and is made anew" in caplog.text
