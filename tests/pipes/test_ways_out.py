"""What a sentence about a state advises works as it stands there, with a file and a target that keeps the state."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import json_reply, serving

BIN = Path(sys.executable).parent
ROWS = [{"id": 1, "at": "2026-01-01T00:00:00Z"}, {"id": 2, "at": "2026-01-02T00:00:00Z"}]


class Pipeline:
    def __init__(self, folder: Path, url: str, target: str, config: dict[str, Any]) -> None:
        self.folder, self.state = folder, folder / "state.json"
        stream = {"name": "rows", "path": "/rows", "replication_key": "at", "incremental": {"param": "since"}}
        stream |= {"primary_keys": ["id"], "pagination": {"type": "single"}}
        (folder / "tap.json").write_text(json.dumps({"base_url": url, "streams": [stream]}))
        (folder / "target.json").write_text(json.dumps(config))
        self.target = [str(BIN / target), "--config", "target.json"]

    def run(self, state: str = "state.json") -> tuple[int, int, str, str]:
        tap = [str(BIN / "tap-rest"), "--config", "tap.json", "--state", state]
        read = self.by_hand(*tap)
        load = self.by_hand(*self.target, "--state-file", "state.json", stdin=read.stdout)
        return read.returncode, load.returncode, last_words(read), last_words(load)

    def by_hand(self, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command, cwd=self.folder, input=stdin, capture_output=True, timeout=100, check=False
        )

    def spoil(self) -> None:
        value = json.loads(self.state.read_text())
        value["bookmarks"]["rows"]["replication_key_value"] = "the day before yesterday"
        self.state.write_text(json.dumps(value))

    def as_told(self, words: str, option: str) -> None:
        """Give the target the options that stand in the sentence."""
        (options,) = [one for one in re.findall(r"to which `([^`]+)` is added", words) if option in one]
        done = self.by_hand(*self.target, *shlex.split(options))
        assert done.returncode == 0, done.stderr


def last_words(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode().strip().splitlines()[-1]


@pytest.fixture(params=["target-postgres", "target-jsonl"])
def pipeline(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pipeline]:
    if request.param == "target-postgres":
        config = {"dsn": request.getfixturevalue("database")}
    else:
        config = {"destination_path": "out"}
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        made = Pipeline(tmp_path, api.url, request.param, config)
        assert made.run()[:2] == (0, 0)
        yield made


def test_a_spoilt_state_file_is_brought_to_what_is_committed(pipeline: Pipeline) -> None:
    right = json.loads(pipeline.state.read_text())["bookmarks"]
    pipeline.spoil()
    code, _, words, _ = pipeline.run()
    assert code == 78, words
    pipeline.as_told(words, "--last-state")
    assert json.loads(pipeline.state.read_text())["bookmarks"] == right
    assert pipeline.run()[:2] == (0, 0)


def test_a_stream_is_started_over_in_the_file_and_in_the_target(pipeline: Pipeline) -> None:
    pipeline.spoil()
    done = pipeline.by_hand(*pipeline.target, "--adopt", "state.json", "--pipeline", "tap-rest")
    assert done.returncode == 0, done.stderr
    code, _, words, _ = pipeline.run()
    assert code == 78, words
    pipeline.as_told(words, "--start-over")
    assert pipeline.run()[:2] == (0, 0)
    assert (
        json.loads(pipeline.state.read_text())["bookmarks"]["rows"]["replication_key_value"] == ROWS[1]["at"]
    )


def test_two_files_that_should_be_one_are_named(pipeline: Pipeline) -> None:
    for _ in range(2):
        code, refused, _, words = pipeline.run("other.json")
        assert (code, refused) == (0, 69), words
        assert (
            "run again; if this comes back, the tap's `--state other.json` and `--state-file state.json` are two files: "
            "name one file in both." in words
        )
    assert pipeline.run("./state.json")[:2] == (0, 0)


def test_a_pipeline_that_shares_its_name_gets_one_of_its_own(database: str, tmp_path: Path) -> None:
    """Two taps by others, each with a file of its own: what one has committed never replaces the file of the other.

    A folder of target-jsonl belongs to one pipeline anyway.
    """
    pipeline = Pipeline(tmp_path, "http://nowhere.test", "target-postgres", {"dsn": database})

    def load(stream: str, *numbers: int) -> tuple[int, str]:
        schema = {"properties": {"id": {"type": "integer"}}}
        lines: list[dict[str, Any]] = [
            {"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": []}
        ]
        lines += [{"type": "RECORD", "stream": stream, "record": {"id": number}} for number in numbers]
        lines.append({"type": "STATE", "value": {"bookmarks": {stream: {"id": numbers[-1]}}}})
        done = pipeline.by_hand(
            *pipeline.target,
            *("--state-file", f"{stream}.json"),
            stdin="".join(json.dumps(line) + "\n" for line in lines).encode(),
        )
        return done.returncode, last_words(done)

    config = json.loads((pipeline.folder / "target.json").read_text())
    assert [load("a", 1, 2)[0], load("b", 1, 2)[0]] == [0, 0]
    for _ in range(2):
        code, words = load("a", 3)
        assert (code, "of other streams than the tap's" in words) == (78, True), words
        assert json.loads((pipeline.folder / "a.json").read_text()) == {"bookmarks": {"a": {"id": 2}}}
    (advised,) = re.findall(r"go on from that state with `([^`]+)`, once", words)
    name, *options = shlex.split(advised.replace("NAME", "of_a"))
    assert name == Path(pipeline.target[0]).name
    done = pipeline.by_hand(pipeline.target[0], *options)
    assert done.returncode == 0, done.stderr
    (pipeline.folder / "target.json").write_text(json.dumps({**config, "pipeline": "of_a"}))
    assert load("a", 3)[0] == 0
    assert json.loads((pipeline.folder / "a.json").read_text()) == {"bookmarks": {"a": {"id": 3}}}
