"""target-jsonl through pipes: what is committed is what the manifest says, whatever happened before."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from target_jsonl.names import file_name

EXECUTABLE = Path(sys.executable).with_name("target-jsonl")
SCHEMA = {
    "type": "SCHEMA",
    "stream": "users",
    "schema": {"properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}}},
    "key_properties": ["id"],
}


def record(number: int, stream: str = "users") -> dict:
    return {
        "type": "RECORD",
        "stream": stream,
        "record": {"id": number, "at": "2024-01-01 00:00:00.123456789+02:00"},
    }


def state(value: int) -> dict:
    return {"type": "STATE", "value": {"bookmarks": {"users": {"replication_key_value": value}}}}


def wire(*messages: dict) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def run(folder: Path, data: bytes, **settings) -> subprocess.CompletedProcess:
    config = folder.with_name("config.json")
    config.write_text(json.dumps({"destination_path": str(folder), **settings}))
    return subprocess.run(
        [EXECUTABLE, "--config", config], input=data, capture_output=True, timeout=60, check=False
    )


def rows(folder: Path, stream: str = "users") -> list[dict]:
    """What is committed: the bytes that the manifest counts."""
    size = json.loads((folder / "_singerkit_manifest.json").read_text())["files"].get(file_name(stream), 0)
    return [json.loads(line) for line in (folder / file_name(stream)).read_bytes()[:size].splitlines()]


def test_records_keep_their_text_and_order(tmp_path):
    text = b'{"type":"RECORD","stream":"users","record":{"id":123456789012345678901234567890,"at":"2024-01-01"}}\n'
    done = run(tmp_path / "out", wire(SCHEMA, record(2), record(1)) + text + wire(state(1)))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == state(1)["value"]
    lines = (tmp_path / "out/users.jsonl").read_text().splitlines()
    assert lines[0] == '{"id":2,"at":"2024-01-01 00:00:00.123456789+02:00"}'
    assert [json.loads(line)["id"] for line in lines] == [2, 1, 123456789012345678901234567890]


def test_a_date_that_is_none_is_text_whatever_is_unstorable(tmp_path):
    """As its reference says of `on_unstorable`."""
    wrong = {"type": "RECORD", "stream": "users", "record": {"id": 1, "at": "2020-02-30T00:00:00Z"}}
    done = run(tmp_path / "out", wire(SCHEMA, wrong, state(1)), on_unstorable="null")
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "out") == [wrong["record"]]


def test_a_second_run_appends(tmp_path):
    for number in (1, 2):
        assert run(tmp_path / "out", wire(SCHEMA, record(number), state(number))).returncode == 0
    assert [row["id"] for row in rows(tmp_path / "out")] == [1, 2]


def test_numbers_and_nested_values_stay_as_they_were(tmp_path):
    schema = {"type": "SCHEMA", "stream": "x", "schema": {"properties": {"n": {"type": "number"}, "o": {}}}}
    line = b'{"type":"RECORD","stream":"x","record":{"n":1.10,"o":{"a":[1.000,1e400,"\\u00e9"]}}}\n'
    done = run(tmp_path / "out", wire(schema) + line)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/x.jsonl").read_bytes() == b'{"n":1.10,"o":{"a":[1.000,1e400,"\\u00e9"]}}\n'


def test_a_cut_line_ends_the_run_and_keeps_what_a_state_covers(tmp_path):
    done = run(tmp_path / "out", wire(SCHEMA, record(1), state(1), record(2)) + b'{"type":"RECORD","str')
    assert done.returncode == 65
    assert b"ended in the middle of a message" in done.stderr.splitlines()[-1]
    assert [row["id"] for row in rows(tmp_path / "out")] == [1]
    assert (tmp_path / "out/users.jsonl").read_bytes().count(b"\n") == 1


def test_kill_leaves_nothing_that_counts(tmp_path):
    folder = tmp_path / "out"
    assert run(folder, wire(SCHEMA, record(1), state(1))).returncode == 0
    with subprocess.Popen(
        [EXECUTABLE, "--config", tmp_path / "config.json"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        assert process.stdin
        process.stdin.write(wire(SCHEMA, record(2), record(3)))
        process.stdin.flush()
        until(lambda: (folder / "users.jsonl").stat().st_size > 60)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        process.stdin.close()
    assert [row["id"] for row in rows(folder)] == [1]
    assert run(folder, wire(SCHEMA, record(2), record(3), state(3))).returncode == 0
    assert [json.loads(line)["id"] for line in (folder / "users.jsonl").read_text().splitlines()] == [1, 2, 3]


def test_a_second_run_at_once_is_refused(tmp_path):
    folder = tmp_path / "out"
    assert run(folder, wire(SCHEMA, state(0))).returncode == 0
    with subprocess.Popen(
        [EXECUTABLE, "--config", tmp_path / "config.json"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        assert process.stdin
        process.stdin.write(wire(SCHEMA))
        process.stdin.flush()
        until((folder / "_singerkit_manifest.json.lock").exists)
        second = run(folder, wire(SCHEMA, record(1)))
        process.stdin.close()
        assert process.wait(30) == 0
    assert second.returncode == 75
    assert f"pid {process.pid}".encode() in second.stderr.splitlines()[-1]


def test_the_folder_of_another_pipeline_is_refused(tmp_path):
    assert run(tmp_path / "out", wire(SCHEMA, record(1), state(1)), pipeline="one").returncode == 0
    done = run(tmp_path / "out", wire(SCHEMA, record(1), state(1)), pipeline="two")
    assert done.returncode == 78
    assert b"`one`" in done.stderr.splitlines()[-1]


def test_sigterm_keeps_what_a_state_covers(tmp_path):
    folder = tmp_path / "out"
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"destination_path": str(folder)}))
    with subprocess.Popen(
        [EXECUTABLE, "--config", config],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        process.stdin.write(wire(SCHEMA, record(1), state(1), record(2)))
        process.stdin.flush()
        until(lambda: (folder / "users.jsonl").exists() and (folder / "users.jsonl").stat().st_size > 60)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert json.loads(out) == state(1)["value"]
    assert [row["id"] for row in rows(folder)] == [1]


def test_rejected_records_go_to_their_file(tmp_path):
    bad = {"type": "RECORD", "stream": "users", "record": {"id": "x"}}
    done = run(tmp_path / "out", wire(SCHEMA, record(1), bad), on_invalid="quarantine")
    assert done.returncode == 0, done.stderr
    letter = json.loads((tmp_path / "out/_singerkit_rejects.jsonl").read_text())
    assert (letter["stream"], letter["line"], letter["path"]) == ("users", 3, "$.id")
    assert json.loads(letter["record"]) == bad


@pytest.mark.parametrize(
    "stream",
    [
        "../../x",
        "/etc/x",
        "CON",
        "con.txt",
        "a/b",
        "a\\b",
        "..",
        ".",
        "",
        " x ",
        "x" * 300,
        "é",
        "_singerkit_manifest",
        "%41",
    ],
)
def test_m18_stream_names_stay_under_the_root(tmp_path, stream):
    schema = {**SCHEMA, "stream": stream}
    done = run(tmp_path / "out", wire(schema, record(1, stream), state(1)))
    assert done.returncode == 0, done.stderr
    assert {path.parent for path in tmp_path.rglob("*.jsonl")} == {tmp_path / "out"}
    assert [row["id"] for row in rows(tmp_path / "out", stream)] == [1]


def test_m18_names_differ_when_streams_do():
    streams = ["a/b", "a%2Fb", "a b", "A", "CON", "%43ON", ".x", "%2Ex", "x" * 300, "x" * 301]
    assert len({file_name(stream) for stream in streams}) == len(streams)


def test_a_link_in_the_folder_is_not_followed(tmp_path):
    folder = tmp_path / "out"
    assert run(folder, wire(SCHEMA, record(1), state(1))).returncode == 0
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    (folder / "linked.jsonl").symlink_to(outside)
    done = run(folder, wire({**SCHEMA, "stream": "linked"}, record(1, "linked"), state(2)))
    assert done.returncode == 78, done.stderr
    assert outside.read_text() == "untouched"
    assert [row["id"] for row in rows(folder)] == [1]


def test_no_space_is_told_and_nothing_is_lost(tmp_path):
    folder = tmp_path / "out"
    assert run(folder, wire(SCHEMA, record(1), state(1))).returncode == 0
    limited = f"ulimit -f 4; exec {EXECUTABLE} --config {tmp_path / 'config.json'}"
    data = wire(SCHEMA, *map(record, range(2, 500)), state(2))
    done = subprocess.run(["bash", "-c", limited], input=data, capture_output=True, timeout=60, check=False)
    assert done.returncode == 74, done.stderr
    assert b"what was committed is safe" in done.stderr.splitlines()[-1]
    assert [row["id"] for row in rows(folder)] == [1]
    assert run(folder, data).returncode == 0
    assert [row["id"] for row in rows(folder)] == list(range(1, 500))


def until(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the awaited did not happen"
        time.sleep(0.01)
