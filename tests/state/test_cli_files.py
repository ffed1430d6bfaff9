"""`singerkit-state` over state files: old or new, never torn, never under the hands of a run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conformance.processes import run
from state.state_tool import TOOL, answer, refusal, tool

from singerkit_shell.errors import ConfigurationError
from singerkit_state import history, statefile
from singerkit_state.ahead import ahead_of_now
from singerkit_state.history import LIMIT, kept_now, same_text
from singerkit_state.statefile import StateFileLock, holder_of

STRACE = shutil.which("strace")
MARK = {"run": "r7", "pipeline": "orders", "complete": True}
STATE = (
    '{"bookmarks": {"orders": {"replication_key": "at", "replication_key_value": "2026-01-01T00:00:00Z"},\n'
    ' "items": {"partitions": [{"context": {"order": 1}, "n": 1.10}, {"context": {"order": 2}, "n": 5}]}},\n'
    ' "currently_syncing": null, "_singerkit": {"run": "r7", "pipeline": "orders", "complete": true}}'
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state file of the pipeline `orders`, alone in its folder."""
    file = tmp_path / "orders.json"
    file.write_text(STATE)
    return file


@contextlib.contextmanager
def at_work(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that holds the lock of the file until its stdin ends."""
    code = (
        "import sys\nfrom singerkit_state.statefile import StateFileLock\n"
        "with StateFileLock(sys.argv[1], 'orders'):\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


def former(path: Path) -> list[Any]:
    return [entry["state"] for entry in answer("history", path, "--json")["entries"]]


# looking


def test_show_for_people(path: Path) -> None:
    os.utime(path, (1767225600, 1767225600))
    assert tool("show", path).stdout.decode() == (
        f"pipeline   orders\n"
        f"where      the file {path}\n"
        "run        r7\n"
        "committed  2026-01-01 00:00:00+00:00\n"
        "complete   yes\n"
        "lock       free\n"
        "\n"
        "stream               bookmark\n"
        "orders               at = 2026-01-01T00:00:00Z\n"
        "items                2 partitions\n"
        "(currently_syncing)  null\n"
    )


def test_show_of_what_a_source_has_left(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    left = {
        "events": {"whole": {"token": "abc", "of": "5f0c"}},
        "plans": {"partitions": {"a": {"etag": "1"}}},
    }
    parts = {name: {"_singerkit_continuation": said} for name, said in left.items()}
    file.write_text(json.dumps({"bookmarks": parts}))
    shown = tool("show", file).stdout.decode().splitlines()
    assert shown[-2:] == ["events  token = abc", "plans   goes on below 1 partition"]


def test_show_for_scripts(path: Path) -> None:
    shown = answer("show", path, "--json")
    assert shown.pop("committed_at").startswith("20")
    assert shown == {
        "where": f"the file {path}",
        "kind": "file",
        "pipeline": "orders",
        "epoch": None,
        "sequence": None,
        "run_id": "r7",
        "complete": True,
        "lock": None,
        "state": json.loads(STATE, parse_float=Decimal),
    }


def test_get_prints_the_value_or_a_part_of_it_and_nothing_else(path: Path) -> None:
    assert answer("get", path) == json.loads(STATE, parse_float=Decimal)
    done = tool("get", path, "items")
    assert done.stdout == b'{"partitions":[{"context":{"order":1},"n":1.10},{"context":{"order":2},"n":5}]}\n'
    assert done.stderr == ""
    assert "no stream `x`; its streams: `orders`, `items`" in tool("get", path, "x", expect=[64]).last_words


def test_what_a_terminal_would_act_on_is_escaped(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text(json.dumps({"bookmarks": {"a\x1b[2J": {"replication_key_value": "\x9b31m\n"}}}))
    shown = tool("show", file).stdout.decode()
    assert "a\\u001b[2J" in shown
    assert "\\u009b31m\\u000a" in shown


def test_no_file_is_no_state(tmp_path: Path) -> None:
    assert "No state yet" in tool("show", tmp_path / "state.json", expect=[78]).stdout.decode()
    path = tmp_path / "state.json"
    (tmp_path / "other.json").write_text('{"bookmarks":{"a":{"n":1}}}')
    for command in (
        ["get", path],
        ["show", path, "--json"],
        ["history", path],
        ["reset", path, "--yes"],
        ["diff", path, tmp_path / "other.json"],
        ["diff", tmp_path / "other.json", path],
    ):
        assert "There is no state yet" in tool(*command, expect=[78]).last_words
    assert [found.name for found in tmp_path.iterdir()] == ["other.json"]
    assert "holds no manifest" in tool("show", tmp_path, expect=[78]).last_words


def test_the_empty_state_that_a_first_run_makes_is_no_state_yet(path: Path) -> None:
    path.write_text(json.dumps({"bookmarks": {}, "_singerkit": MARK}))
    shown = tool("show", path).stdout.decode()
    assert "pipeline   orders" in shown
    assert "No state yet" in shown


# changing


def test_set_replaces_the_value_and_keeps_the_former_one_and_whose_it_is(path: Path) -> None:
    done = tool("set", path, '{"bookmarks":{"orders":{"replication_key_value":2.50}}}')
    assert done.stdout == b""
    assert "  - replication_key_value: 2026-01-01T00:00:00Z\n  + replication_key_value: 2.50\n" in done.stderr
    assert "has the last word" in done.stderr
    assert path.read_text() == (
        '{"bookmarks":{"orders":{"replication_key_value":2.50}},"_singerkit":{"run":"r7","pipeline":"orders",'
        '"complete":true}}\n'
    )
    assert former(path) == [json.loads(STATE, parse_float=Decimal)]
    assert names(path) == ["orders.json", "orders.json.history"]


def test_a_value_from_stdin_or_a_file(path: Path, tmp_path: Path) -> None:
    value = b'\xef\xbb\xbf{"bookmarks":{"orders":{"replication_key_value":"\xc3\xa9"}}}\r\n'
    given = tmp_path / "given.json"
    given.write_bytes(value)
    tool("set", path, "-", stdin=value)
    assert answer("get", path, "orders") == {"replication_key_value": "é"}
    tool("set", path, f"@{given}", "--json")
    assert "cannot be read" in tool("set", path, f"@{tmp_path / 'none'}", expect=[78]).last_words
    assert "not UTF-8" in tool("set", path, "-", stdin=b"\xff", expect=[78]).last_words


def test_set_of_one_stream_leaves_the_rest(path: Path) -> None:
    tool("set", path, "--stream", "orders", '{"replication_key_value":3}')
    refused = refusal(64, "set", path, "--stream", "order", '{"replication_key_value":4}')
    assert "no stream `order`; did you mean `orders`? Its streams: `orders`, `items`." in refused
    assert "give `--new`" in refused
    tool("set", path, "--new", "--stream", "new", '{"replication_key_value":4}')
    value = json.loads(STATE, parse_float=Decimal)
    value["bookmarks"] |= {"orders": {"replication_key_value": 3}, "new": {"replication_key_value": 4}}
    assert answer("get", path) == value


def test_set_of_one_stream_keeps_how_it_was_read(path: Path) -> None:
    """It was forgotten, and with it that a field was not sent of the rows that are there."""
    read, rows = {"fields": {"id": "integer"}}, {"at": 1}
    state = {"bookmarks": {"orders": {"at": 1, "_singerkit_read": read, "_singerkit_seen": rows}}}
    path.write_text(json.dumps(state))
    tool("set", path, "--stream", "orders", '{"at":3}')
    assert answer("get", path, "orders") == {"at": 3, "_singerkit_read": read}, (
        "other rows stand at the new bookmark"
    )
    tool("set", path, "--stream", "orders", '{"at":3,"_singerkit_read":{}}')
    assert answer("get", path, "orders") == {"at": 3, "_singerkit_read": {}}, "what is given counts"


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ("{}", 64, "use `singerkit-state reset`"),
        ('{"bookmarks":{}}', 64, "use `singerkit-state reset`"),
        ('{"bookmarks":', 78, "torn or not JSON"),
        ("[1]", 78, "holds something else than a JSON object"),
        ('{"a":NaN}', 78, "torn or not JSON"),
        ('{"type":"STATE","value":{}}', 78, "whole STATE message"),
        ("", 64, "`VALUE|-|@FILE` is empty"),
        ("@", 64, "Expected the path of a file behind `@`"),
        ('{"a":1,"_singerkit":{"run":"r","pipeline":"other","complete":true}}', 78, "`other`"),
    ],
)
def test_what_is_no_state_is_refused(path: Path, value: str, code: int, words: str) -> None:
    assert words in refusal(code, "set", path, value)
    assert path.read_text() == STATE
    assert names(path) == ["orders.json"]


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [("{}", 64, "use `singerkit-state reset`"), ("1", 78, "not an object"), ("{", 78, "is not JSON")],
)
def test_what_is_no_part_of_a_stream_is_refused(path: Path, value: str, code: int, words: str) -> None:
    assert words in refusal(code, "set", path, "--stream", "orders", value)
    assert path.read_text() == STATE


@pytest.mark.parametrize(
    "arguments",
    [
        ["set"],
        ["set", "{path}"],
        ["set", "{path}", "{}", "--from-history", "1"],
        ["set", "{path}", "--from-history", "1", "--stream", "orders"],
        ["diff", "{path}", "{path}", "--history", "1"],
        ["diff", "{path}"],
        ["history", "{path}", "--limit", "0"],
        ["nonsense"],
        ["show", "{path}", "--nonsense"],
    ],
)
def test_a_wrong_command_line_is_64(path: Path, arguments: list[str]) -> None:
    given = [str(path) if argument == "{path}" else argument for argument in arguments]
    assert refusal(64, *given)


def test_reset_of_a_file_removes_it_and_can_be_taken_back(path: Path) -> None:
    assert "give `--yes`" in tool("reset", path, expect=[64]).last_words
    assert "as `--state` and as `--state-file` starts over" in tool("reset", path, "--yes").stderr
    assert names(path) == ["orders.json.history"]
    tool("history", path, "--restore", 1)
    assert answer("get", path) == json.loads(STATE, parse_float=Decimal)


@pytest.mark.parametrize(
    ("value", "is_told"),
    [
        (9_999_999_999, True),
        ("9999999999", True),
        (9_999_999_999_999, True),
        ("2286-11-20T17:46:39Z", True),
        ("Wed, 20 Nov 2286 17:46:39 GMT", True),
        (1_700_000_000, False),
        (99_999_999_999_999_999, False),
        (12345, False),
        ("2024-01-01", False),
        ("any text", False),
    ],
)
def test_a_bookmark_in_the_future_is_told(value: object, is_told: bool) -> None:
    """An epoch of the year 2286 was set and adopted without a word, and nothing was read any more."""
    parts = [{"context": {"id": 1}, "replication_key_value": value}]
    for part in ({"replication_key_value": value}, {"partitions": parts}):
        assert bool(ahead_of_now({"bookmarks": {"a": part}})) is is_told


def test_a_bookmark_in_the_future_is_told_when_it_is_set(path: Path) -> None:
    said = tool("set", path, "--stream", "orders", '{"replication_key_value":9999999999}').stderr
    assert "The bookmark of stream `orders`, `9999999999`, is ahead of the clock" in said


@pytest.mark.parametrize(
    ("value", "is_told"),
    [
        ({"replication_key_value": 4, "_singerkit_seen": ["x"]}, True),
        ({"replication_key_value": 5}, True),
        ({"replication_key_value": 6}, True),
        ({"replication_key_value": "6", "_singerkit_seen": ["x"]}, True),
        ({"replication_key_value": 6, "_singerkit_seen": ["x"]}, False),
        ({"replication_key_value": 5, "_singerkit_seen": ["x"], "more": 1}, False),
    ],
)
def test_rows_that_are_read_again_are_told(path: Path, value: dict[str, Any], is_told: bool) -> None:
    """Rows of a stream without a key came twice behind a `set`, which did not say so, as `reset` does."""
    path.write_text('{"bookmarks":{"a":{"replication_key_value":5,"_singerkit_seen":["x"]}}}')
    said = tool("set", path, "--stream", "a", json.dumps(value)).stderr
    assert ("it comes twice in streams without one" in said) is is_told


def test_reset_of_the_last_stream_leaves_no_state(path: Path) -> None:
    path.write_text('{"bookmarks":{"a":1,"b":2}}')
    tool("reset", path, "--yes", "--stream", "a")
    assert answer("get", path) == {"bookmarks": {"b": 2}}
    tool("reset", path, "--yes", "--stream", "b")
    assert names(path) == ["orders.json.history"]


@pytest.mark.parametrize("torn", [b'{"bookmarks":{"orders"', b"", b'{"a":"\xff"}'])
def test_a_torn_file_is_told_kept_and_replaced(path: Path, torn: bytes) -> None:
    path.write_bytes(torn)
    assert "singerkit-state set" in refusal(78, "show", path)
    assert "singerkit-state set" in refusal(78, "get", path)
    assert "set a whole value" in refusal(78, "set", path, "--stream", "a", '{"b":1}')
    assert path.read_bytes() == torn
    tool("set", path, '{"bookmarks":{"orders":{"replication_key_value":1}}}')
    assert answer("get", path, "orders") == {"replication_key_value": 1}
    (entry,) = answer("history", path, "--json")["entries"]
    assert entry["torn"].encode("utf-8", "surrogateescape") == torn
    assert "take another entry" in refusal(78, "history", path, "--restore", 1)


def test_a_file_keeps_its_mode_and_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    path.chmod(0o640)
    link = tmp_path / "link.json"
    link.symlink_to(path.name)
    tool("set", link, '{"bookmarks":{"a":1}}')
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(path) == ["link.json", "orders.json", "orders.json.history"]
    assert len(former(path)) == 1


# the history


def test_the_history_is_bounded(path: Path) -> None:
    for number in range(LIMIT + 5):
        history.append(path, kept_now(json.dumps({"bookmarks": {"n": number}}), "set", None))
    found = history.read(path)
    assert [entry.number for entry in found] == list(range(LIMIT + 5, 5, -1))
    assert found[0].text == '{"bookmarks":{"n":104}}'
    assert len(answer("history", path, "--json", "--limit", 3)["entries"]) == 3


def test_an_entry_that_announced_what_never_happened_is_replaced(path: Path) -> None:
    history.append(path, kept_now(STATE, "set", None))  # and then it was killed
    tool("set", path, '{"bookmarks":{"a":1}}')
    assert former(path) == [json.loads(STATE, parse_float=Decimal)]


def test_a_history_that_is_none_is_left_alone(path: Path) -> None:
    (path.parent / "orders.json.history").write_text('{"number":1}\n')
    assert "holds no entry at line 1" in tool("history", path, expect=[78]).last_words
    tool("set", path, '{"bookmarks":{"a":1}}', expect=[78])
    assert path.read_text() == STATE


def test_values_are_the_same_but_for_the_mark() -> None:
    marked = '{"bookmarks": {"a": 1} , "_singerkit": {"run": "%s", "pipeline": "p", "complete": true}}'
    assert same_text(marked % "r1", marked % "r2")
    assert not same_text(marked % "r1", marked.replace("1", "2") % "r1")
    assert same_text(None, None)
    assert not same_text(None, marked)


# diff


def test_diff_between_files(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    value = json.loads(STATE)
    value["bookmarks"]["items"]["partitions"] = [
        {"context": {"order": 2}, "n": 6},
        {"context": {"order": 1}, "n": 1.1},
        {"context": {"order": 3}, "n": None},
    ]
    value["_singerkit"]["run"] = "r8"
    other.write_text(json.dumps(value))
    assert tool("diff", path, path).stdout == b""
    done = tool("diff", path, other, expect=[1])
    assert done.stdout.decode() == (
        "items\n  - partitions[order=2].n: 5\n  + partitions[order=2].n: 6\n"
        '  + partitions[order=3]: {"context":{"order":3},"n":null}\n'
    )
    assert answer("diff", other, path, "--json", expect=[1])["streams"] == {
        "items": {
            "added": {},
            "removed": {"partitions[order=3]": {"context": {"order": 3}, "n": None}},
            "changed": {"partitions[order=2].n": {"from": 6, "to": 5}},
        }
    }


# at work at the same time


def test_a_run_at_work_keeps_changes_out(path: Path) -> None:
    with at_work(path) as process:
        who = f"pid {process.pid} on host {platform.node()}"
        for command in (["set", path, '{"a":1}'], ["reset", path, "--yes"], ["unlock", path, "--yes"]):
            assert who in tool(*command, expect=[75]).last_words
        lock = answer("show", path, "--json")["lock"]
        assert (lock["pid"], lock["host"]) == (process.pid, platform.node())
        assert path.read_text() == STATE
        assert (path.parent / "orders.json.lock").exists()


def test_unlock_removes_what_a_dead_run_has_left(path: Path) -> None:
    with at_work(path) as process:
        (path.parent / ".orders.json.0123456789ab.tmp").touch()
        process.kill()
        process.wait()
    assert "orders.json.lock" in names(path)
    assert answer("show", path, "--json")["lock"] is None
    assert "The lock is free." in tool("unlock", path).stderr
    assert names(path) == ["orders.json"]


def test_who_only_looks_keeps_no_run_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking takes the lock for an instant; a run that begins in that instant looks again."""
    looker = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(looker, fcntl.LOCK_SH)
    leaves = SimpleNamespace(sleep=lambda _: fcntl.flock(looker, fcntl.LOCK_UN))
    monkeypatch.setattr(statefile, "time", leaves)  # the threads of others sleep, too
    with StateFileLock(path):
        assert holder_of(path) is not None
    os.close(looker)
    assert holder_of(path) is None


def test_sets_at_once_are_all_done_or_refused(path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        values = [json.dumps({"bookmarks": {"n": number}}) for number in range(8)]
        done = list(pool.map(lambda value: tool("set", path, value, expect=[0, 75]), values))
    made = [number for number, outcome in enumerate(done) if outcome.code == 0]
    kept = [value["bookmarks"].get("n") for value in former(path)]
    assert made
    assert sorted([*kept[:-1], answer("get", path)["bookmarks"]["n"]]) == made
    assert kept[-1] is None, "the first one"


@pytest.mark.skipif(STRACE is None, reason="needs strace (Debian: apt-get install strace; .ci/run does it)")
@pytest.mark.parametrize("call", ["fsync", "rename", "write", "unlink"])
def test_killed_at_any_call_it_leaves_the_old_or_the_new(path: Path, call: str) -> None:
    assert STRACE
    old, deaths = answer("get", path), 0
    for count in range(1, 30):
        new = {"bookmarks": {"n": count}, "_singerkit": MARK}
        inject = f"inject={call}:signal=KILL:when={count}"
        done = subprocess.run(
            [
                STRACE,
                "-f",
                "-o",
                os.devnull,
                "-e",
                f"trace={call}",
                "-e",
                inject,
                TOOL,
                "set",
                path,
                json.dumps(new),
            ],
            capture_output=True,
            timeout=60,
            check=False,
        )
        found = json.loads(path.read_text(), parse_float=Decimal)
        assert found in (old, new)
        entries = history.read(path)
        if found != old:
            assert json.loads(entries[0].text or "null", parse_float=Decimal) == old, (
                "the former value is kept"
            )
            old = found
        if done.returncode == 0:
            break
        deaths += 1
    assert done.returncode == 0
    assert deaths >= (0 if call == "write" else 1)
    assert names(path) == ["orders.json", "orders.json.history"], "the next one cleans up"


# the process


def test_output_that_cannot_be_printed(path: Path) -> None:
    script = f"{TOOL} get {path} > /dev/full"
    done = run(["bash", "-c", script])
    assert done.code == 74
    assert "cannot be printed (No space left on device)" in done.last_words
    assert done.stderr.count("\n") == 1


def test_no_space_leaves_the_old_value(path: Path) -> None:
    value = json.dumps({"bookmarks": {"a": "x" * 5000}})
    done = run(["bash", "-c", f"ulimit -f 4; exec {TOOL} set {path} '{value}'"])
    assert done.code == 74, done.stderr
    assert path.read_text() == STATE


def test_reset_asks_on_a_terminal(path: Path) -> None:
    pty = pytest.importorskip("pty")
    for said, is_there in (("n\n", True), ("y\n", False)):
        main, side = pty.openpty()
        try:
            with subprocess.Popen(
                [TOOL, "reset", path], stdin=side, stderr=subprocess.PIPE, text=True
            ) as process:
                os.write(main, said.encode())
                _, err = process.communicate(timeout=60)
        finally:
            os.close(main)
            os.close(side)
        assert process.returncode == 0, err
        assert f"Forget everything in the file {path}, pipeline `orders`?" in err
        assert path.exists() is is_there


def test_a_history_of_another_shape_is_an_error(path: Path) -> None:
    (path.parent / "orders.json.history").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="move it away"):
        history.read(path)
