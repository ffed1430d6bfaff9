"""What a mistyped path names is not replaced by a state, nor read as one."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from state.state_tool import refusal

from singerkit_shell.errors import ConfigurationError
from singerkit_state import history, statefile
from singerkit_state.manifest import Manifest, write
from singerkit_state.nostate import CONFIG_KEYS, no_state
from tap_rest.tap import TapRest
from target_jsonl.target import TargetJsonl
from target_postgres.target import TargetPostgres

BIN = Path(sys.executable).parent
TAP = {"base_url": "http://127.0.0.1:9", "streams": [{"name": "rows", "path": "/rows"}]}
CATALOG = {"streams": [{"tap_stream_id": "rows", "stream": "rows", "schema": {}, "metadata": []}]}
STATE = '{"bookmarks":{"rows":{"replication_key_value":1}}}'
UNCERTAIN = {
    *("pipeline", "select", "start_date", "extra", "embedded"),
    *("atomic", "comments", "indexes", "map", "names", "role"),
    *("host", "port", "user", "database", "service"),  # two of them are certain
    *(
        "auth",
        "concurrency",
        "errors",
        "end_date",
        "time_zone",
        "streams",
        "headers",
        "params",
        "pagination",
        "hook",
        "infer",
        "limits",
        "retries",
        "timeout",
    ),
}
"""Settings that may be names of streams in the states of some taps; what they need beside them is certain."""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (json.dumps(TAP), "looks like a config"),
        ('{"dsn":"postgresql:///x"}', "looks like a config"),
        ('{"host":"db","user":"u"}', "looks like a config"),
        ('\ufeff {"destination_path":"."}', "looks like a config"),
        ('{"streams":["a"]}', "looks like a config"),
        ('{"password":"x"}', "looks like a config"),
        ('{"dsn":"postgresql:///x"}\n, or another one', "looks like a config"),
        ('{"base_url":"x","streams":[{"name":"rows","schema":{}}]}', "looks like a config"),
        ('{"streams":[{"stream":"rows","schema":{}}]}', "looks like a catalog"),
        ('{"streams":["x",{"metadata":[]}]}', "looks like a catalog"),
        (' {"version":1}\n { "type" : "RECORD" }\n', "holds Singer messages"),
        (json.dumps(CATALOG), "looks like a catalog"),
        (
            '{"type":"STATE","value":{}}\n{"type": "RECORD","stream":"a","record":{}}\n',
            "holds Singer messages",
        ),
        ("hello", "holds something else than a JSON object"),
        ("[1]", "holds something else than a JSON object"),
        ("null", "holds something else than a JSON object"),
        ("\0\0base_url: x", "holds something else than a JSON object"),
        ('{"pid":1,"host":"h","since":"s","pipeline":null}', "looks like the lock of a run"),
    ],
)
def test_what_is_certainly_no_state(text: str, found: str) -> None:
    assert no_state(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "\0\0\0",
        "{",
        "\0\0" + STATE[:20],
        STATE[:20],
        "\udcff\udcfe{\0",  # UTF-16, as some shells write what is redirected
        "{}",
        STATE,
        f"{STATE}\n{STATE}\n",
        '{"orders":"2024-01-01","users":7}',
        '{"start_date":"2024-01-01"}',
        '{"pid":1,"host":"h","since":"s"}',
        '{"pipeline":"2024-01-01","host":{"a":1}}',
        '{"singer_state":{},"base_url":"x"}',
        '{"bookmarks":{},"streams":[{"schema":1}],"dsn":1}',
        '{"type":"STATE","value":{"streams":[]}}',
    ],
)
def test_what_may_be_a_state_or_what_is_left_of_one(text: str) -> None:
    assert no_state(text) is None


def settings_of(plugin: Any) -> set[str]:
    schema = copy.deepcopy(plugin.config_jsonschema)
    plugin.append_builtin_config(schema)
    return set(schema["properties"])


def test_every_setting_is_known_and_there_are_no_others() -> None:
    ours = set().union(*map(settings_of, (TapRest, TargetPostgres, TargetJsonl)))
    assert ours - CONFIG_KEYS == UNCERTAIN
    assert CONFIG_KEYS - ours == {
        "api_key",
        "api_url",
        "access_token",
        "refresh_token",
        "client_secret",
        "private_key",
    }


def test_our_own_files_are_no_state_files(tmp_path: Path) -> None:
    write(tmp_path, Manifest("orders", state=STATE))
    history.append(tmp_path / "s.json", history.kept_now(STATE, "set", None))
    for path, words in (
        (tmp_path / "_singerkit_manifest.json", "manifest of target-jsonl"),
        (tmp_path / "s.json.history", "history of a state"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            statefile.read(path)


@pytest.mark.parametrize(
    "change",
    [
        ["reset", "--yes"],
        ["reset", "--yes", "--stream", "rows"],
        ["set", STATE],
        ["set", "--stream", "rows", '{"replication_key_value":1}'],
        ["show"],
        ["get"],
        ["diff"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("content", [json.dumps(TAP), "hello"])
def test_singerkit_state_leaves_other_files_alone(tmp_path: Path, change: list[str], content: str) -> None:
    path = tmp_path / "tap.json"
    path.write_text(content)
    given = [str(path)] * (2 if change == ["diff"] else 1)
    said = refusal(78, change[0], *given, *change[1:])
    assert "is no state: it " in said
    assert path.read_text() == content
    assert os.listdir(tmp_path) == ["tap.json"]


def test_a_config_is_no_value_to_set(tmp_path: Path) -> None:
    (tmp_path / "tap.json").write_text(json.dumps(TAP))
    said = refusal(78, "set", tmp_path / "s.json", f"@{tmp_path / 'tap.json'}")
    assert "tap.json is no state: it looks like a config; give one JSON object, the STATE value" in said
    assert not (tmp_path / "s.json").exists()


def run(folder: Path, *command: str, stdin: bytes = b"") -> tuple[int, str]:
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        input=stdin,
        capture_output=True,
        timeout=100,
        check=False,
        cwd=folder,
    )
    return done.returncode, done.stderr.decode().strip().splitlines()[-1]


STREAM = (
    b'{"type":"SCHEMA","stream":"rows","schema":{"properties":{"id":{}}},"key_properties":["id"]}\n'
    b'{"type":"RECORD","stream":"rows","record":{"id":1}}\n'
    b'{"type":"STATE","value":' + STATE.encode() + b"}\n"
)


@pytest.mark.parametrize(
    ("state_file", "words"),
    [
        ("tap.json", "tap.json is no state: it looks like a config; nothing was changed"),
        ("notes.txt", "notes.txt is no state: it holds something else than a JSON object"),
        ("target.json", "`--state-file target.json` is the file that `--config ./target.json` names"),
        ("out/rows.jsonl", "has the name of a file that this target writes itself"),
        ("out/_singerkit_manifest.json", "is no state: it looks like a manifest of target-jsonl"),
    ],
)
def test_a_target_replaces_no_file_that_is_no_state(tmp_path: Path, state_file: str, words: str) -> None:
    contents = {
        "tap.json": json.dumps(TAP),
        "notes.txt": "hello",
        "target.json": '{"destination_path":"out","pipeline":"p"}',
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    target = ("target-jsonl", "--config", "./target.json")
    assert run(tmp_path, *target, stdin=STREAM)[0] == 0
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for wish in ([], ["--last-state"], ["--start-over"]):
        code, said = run(tmp_path, *target, "--state-file", state_file, *wish, stdin=STREAM)
        assert (code, words in said) == (78, True), said
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_a_tap_reads_no_state_from_a_config_or_a_catalog(tmp_path: Path) -> None:
    (tmp_path / "tap.json").write_text(json.dumps(TAP))
    (tmp_path / "catalog.json").write_text(json.dumps(CATALOG))
    tap = ("tap-rest", "--config", "tap.json")
    code, said = run(tmp_path, *tap, "--state", "./tap.json")
    assert (code, "is the file that `--config tap.json` names" in said) == (78, True), said
    code, said = run(tmp_path, *tap, "--state", "catalog.json")
    assert (code, "catalog.json is no state: it looks like a catalog" in said) == (78, True), said
