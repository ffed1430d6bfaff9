"""What the targets' `--about` promises about delivery is what a kill after COMMIT leaves behind.

The target commits, and is killed before it has told anybody: the state that the next run starts from is the one of
the run before. Then an operator runs again, in the way that the promise is about, until a run ends with 0.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome, run
from conformance.singer import MARK
from faults.loads import command, lines, query
from faults.pipeline import KEYS, run_of
from faults.test_process import needs_strace
from waiting import wait_until

from singerkit_state.value import encode

FIRST, LAST = 30, 60
FILE, STDOUT, OTHERS = "state file", "stdout", "a tap by others"
"""Where the next run's state comes from; the last two save it from stdout."""
OTHERS_FILE = "a tap by others, state file"
AGAIN = "a tap that sends rows again"
JSONL = str(Path(sys.executable).with_name("target-jsonl"))


def about(executable: str, *arguments: str) -> list[dict[str, str]]:
    outcome = run(
        [str(Path(sys.executable).with_name(executable)), "--about", "--format", "json", *arguments]
    )
    delivery: list[dict[str, str]] = json.loads(outcome.expect(0).stdout)["delivery"]
    return delivery


@dataclass
class Setting:
    """A target with its config, and how to read what it has committed."""

    command: list[str]
    rows: Callable[[str], list[dict[str, Any]]]
    state: Callable[[], int]

    def load(self, messages: Iterable[Any], *arguments: str) -> Outcome:
        return run([*self.command, *arguments], stdin=lines(*messages))


def postgres(database: str, folder: Path, **config: Any) -> Setting:
    def rows(stream: str) -> list[dict[str, Any]]:
        return [row for (row,) in query(database, f"SELECT to_jsonb(t) FROM {stream} t")]

    def state() -> int:
        return int(query(database, "SELECT state ->> 'at' FROM _singerkit_state")[0][0])

    return Setting(command(folder, database, config), rows, state)


def jsonl(folder: Path) -> Setting:
    config = folder / "config.json"
    config.write_text(json.dumps({"destination_path": str(folder / "out")}))
    manifest = folder / "out" / "_singerkit_manifest.json"

    def rows(stream: str) -> list[dict[str, Any]]:
        size = json.loads(manifest.read_text())["files"][f"{stream}.jsonl"]
        committed = (folder / "out" / f"{stream}.jsonl").read_bytes()[:size]
        return [json.loads(line) for line in committed.splitlines()]

    def state() -> int:
        return int(json.loads(json.loads(manifest.read_text())["state"])["at"])

    return Setting([JSONL, "--config", str(config)], rows, state)


def killed_before_it_told(setting: Setting, way: str, state_file: Path) -> None:
    """A run to FIRST, then one to LAST that commits and is killed before the state file is renamed or a STATE printed."""
    arguments = ["--state-file", str(state_file)] if way == FILE else []
    marked = way != OTHERS
    setting.load(run_of(0, FIRST, marked=marked), *arguments).expect(0)
    words = [*setting.command, *arguments]
    if way == FILE:
        # target-jsonl renames its history, then its manifest twice at the beginning (the epoch, the files it is at work on)
        # and at the commit; then comes the state file.
        kill = f"inject=rename:signal=KILL:when={5 if setting.command[0] == JSONL else 1}"
        words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", kill, *words]
        run(words, stdin=lines(*run_of(FIRST, LAST))).expect(-9, 137)
        assert json.loads(state_file.read_text())["at"] == FIRST
    else:
        killed_while_printing(setting, words, lines(*run_of(FIRST, LAST, marked=marked)))
    assert setting.state() == LAST


def killed_while_printing(setting: Setting, words: list[str], messages: bytes) -> None:
    first = json.loads(messages.splitlines()[0])
    # What a tap of ours starts from is printed before anything is committed; now just that fits into the pipe.
    opening = len(encode(first["value"]).encode()) + 1 if MARK in first.get("value", {}) else 0
    read_end, write_end = os.pipe()
    size = fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    assert os.write(write_end, b"x" * (size - opening)) == size - opening
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=write_end, stderr=subprocess.DEVNULL)
    os.close(write_end)
    assert process.stdin is not None
    process.stdin.write(messages)
    process.stdin.close()
    wait_until(lambda: setting.state() == LAST, "the commit")
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    os.close(read_end)


def run_again(setting: Setting, way: str, state_file: Path) -> None:
    """What an operator does: run until it is done, each time from the state that there is."""
    start = FIRST
    for _ in range(3):
        arguments = ["--state-file", str(state_file)] if way == FILE else []
        outcome = setting.load(run_of(start, LAST, marked=way != OTHERS), *arguments).expect(0, 69)
        if outcome.code == 0:
            return
        told = state_file.read_text() if way == FILE else outcome.stdout.splitlines()[-1]
        start = json.loads(told)["at"]
    raise AssertionError("it never completes")


def found(setting: Setting, stream: str, *, upserts: bool) -> str:
    """The word for what is there: nothing may be lost, and of a key only the newest version may stand."""
    rows = setting.rows(stream)
    if stream == "keyed" and upserts:
        assert {row["id"]: row["n"] for row in rows} == {n % KEYS: n for n in range(1, LAST + 1)}
        assert len(rows) == KEYS
        return "effectively_once"
    times = Counter(row["n"] for row in rows)
    assert times.keys() == set(range(1, LAST + 1)), "a row is lost"
    return "exactly_once" if set(times.values()) == {1} else "at_least_once"


SETTINGS = {
    "upsert": lambda database, folder: postgres(database, folder),
    "append-only": lambda database, folder: postgres(database, folder, load_method="append-only"),
    "jsonl": lambda _database, folder: jsonl(folder),
}


@pytest.mark.parametrize("way", [pytest.param(FILE, marks=needs_strace), STDOUT, OTHERS])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_promise_is_what_a_kill_leaves_behind(database: str, tmp_path: Path, name: str, way: str) -> None:
    setting = SETTINGS[name](database, tmp_path)
    state_file = tmp_path / "state.json"
    killed_before_it_told(setting, way, state_file)
    run_again(setting, way, state_file)
    config = setting.command[setting.command.index("--config") + 1]
    promised = about(Path(setting.command[0]).name, "--config", config)
    upserts = name == "upsert"
    assert found(setting, "log", upserts=upserts) == promise(promised, way, "without a key")
    keyed = promise(promised, way, "with a key")
    # Of a row that replaces itself nobody can tell how often it came: both words are seen alike.
    assert found(setting, "keyed", upserts=upserts) == ("effectively_once" if upserts else keyed)
    assert not upserts or keyed in ("exactly_once", "effectively_once")


@pytest.mark.parametrize("end", ["complete", "state"])
@pytest.mark.parametrize("name", ["upsert", "jsonl"])
def test_a_promise_is_what_a_tap_by_others_leaves_behind_that_dies(
    database: str, tmp_path: Path, name: str, end: str
) -> None:
    """Between two lines, so that nothing tells its end from a good one."""
    setting = SETTINGS[name](database, tmp_path)
    config = Path(setting.command[setting.command.index("--config") + 1])
    config.write_text(json.dumps(json.loads(config.read_text()) | {"end_of_input": end}))
    state_file = ["--state-file", str(tmp_path / "state.json")]
    *cut, _state = run_of(0, LAST, marked=False)
    outcome = setting.load(cut, *state_file).expect(65 if end == "state" else 0)
    assert end == "complete" or "behind its last STATE" in outcome.last_words
    start = json.loads((tmp_path / "state.json").read_text())["at"]
    assert start == setting.state() == LAST - 10
    setting.load(run_of(start, LAST, marked=False), *state_file).expect(0)
    promised = about(Path(setting.command[0]).name, "--config", str(config))
    upserts = name == "upsert"
    assert found(setting, "log", upserts=upserts) == promise(promised, OTHERS_FILE, "without a key")
    keyed = promise(promised, OTHERS_FILE, "with a key")
    assert keyed == ("exactly_once" if end == "state" else "effectively_once" if upserts else "at_least_once")


@pytest.mark.parametrize("name", SETTINGS)
def test_a_promise_is_what_a_tap_leaves_behind_that_sends_rows_again(
    database: str, tmp_path: Path, name: str
) -> None:
    """As ours does of a stream with a key, beyond what it can remember."""
    setting = SETTINGS[name](database, tmp_path)
    setting.load(run_of(0, FIRST)).expect(0)
    start, *whole = run_of(FIRST, LAST)
    again = [one for one in run_of(0, FIRST) if one.get("stream") == "keyed" and one["type"] == "RECORD"]
    first_record = next(number for number, one in enumerate(whole) if one["type"] == "RECORD")
    setting.load([start, *whole[:first_record], *again, *whole[first_record:]]).expect(0)
    config = setting.command[setting.command.index("--config") + 1]
    promised = about(Path(setting.command[0]).name, "--config", config)
    upserts = name == "upsert"
    word = "effectively_once" if upserts else promise(promised, AGAIN, "with a key")
    assert found(setting, "keyed", upserts=upserts) == word


def promise(promised: list[dict[str, str]], way: str, streams: str) -> str:
    """The guarantee that is printed for a way to resume and a kind of stream."""
    named = "--state-file" if way in (FILE, OTHERS_FILE) else "saved from stdout"
    fitting = [
        each
        for each in promised
        if named in each["configuration"]
        and ("by others" in each["configuration"]) == (way in (OTHERS, OTHERS_FILE))
    ]
    fitting = [each for each in fitting if ("effectively_once" in each["configuration"]) == (way == AGAIN)]
    if len(fitting) > 1:
        fitting = [each for each in fitting if streams in each["configuration"]]
    (one,) = fitting
    return one["guarantee"]


def test_with_a_state_file_only_what_holds_with_it_is_printed() -> None:
    for executable in ("target-postgres", "target-jsonl"):
        first, *others = about(executable, "--state-file", "state.json")
        assert first["guarantee"] == "exactly_once"
        assert "stdout" not in str([first, *others])


@pytest.mark.parametrize("output_format", ["text", "markdown"])
@pytest.mark.parametrize("executable", ["tap-rest", "target-postgres", "target-jsonl"])
def test_every_format_of_about_says_it(executable: str, output_format: str) -> None:
    words = [str(Path(sys.executable).with_name(executable)), "--about"]
    shown = (
        run(words + (["--format", output_format] if output_format != "text" else []))
        .expect(0)
        .stdout.decode()
    )
    assert "Delivery" in shown
    assert "exactly_once" in shown
    assert "at_least_once" in shown
