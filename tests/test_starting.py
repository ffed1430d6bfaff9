"""What `starting` forks behaves as what starts for real."""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import starting
from faults.torture.inject import NoCompilerError
from undoing import Undoing
from waiting import wait_until

from singerkit_shell.errors import BadDataError
from singerkit_shell.signals import stop_flag

BIN = Path(sys.executable).parent
SCHEMA = b'{"type":"SCHEMA","stream":"a","schema":{},"key_properties":[]}\n'
STATE = b'{"type":"STATE","value":{"n":1}}\n'

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.environ.get("SINGERKIT_START") == "real", reason="nothing is forked here"
)


@contextlib.contextmanager
def waiting(**more: Any) -> Any:
    """A target that waits for its input."""
    command = [str(BIN / "target-jsonl")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, **more) as process:
        yield process
        process.kill()


def is_forked(process: subprocess.Popen[bytes]) -> bool:
    return b"starting.py" in Path(f"/proc/{process.pid}/cmdline").read_bytes()


def test_it_ends_as_the_installed_executable_does(tmp_path: Path) -> None:
    """Exit code, output and words of runs that succeed and fail; folder, stdin and environment arrive."""
    (tmp_path / "config.json").write_text('{"destination_path": "rows"}')

    def outcomes() -> list[tuple[int, bytes, bytes]]:
        runs = [
            ("target-jsonl", SCHEMA + STATE, {}),
            ("target-jsonl", b"nonsense\n", {}),
            ("tap-rest", b"", {"TAP_REST_LOGLEVEL": "NONE"}),
        ]
        found = []
        for name, stdin, environment in runs:
            done = subprocess.run(
                [BIN / name, "--config", "config.json"],
                input=stdin,
                capture_output=True,
                check=False,
                cwd=tmp_path,
                env={**os.environ, **environment},
            )
            words = re.sub(rb"[\d.,:|-]+", b"", done.stderr.splitlines()[-1])  # times
            found.append((done.returncode, done.stdout, words))
        return found

    forked = outcomes()
    with starting.really():
        assert outcomes() == forked
    assert [code for code, _, _ in forked] == [0, 65, 78]
    assert forked[0][1] == b'{"n":1}\n'
    assert (tmp_path / "rows").is_dir()


def test_it_is_a_child_like_any_other() -> None:
    with waiting() as process:
        assert is_forked(process)
        assert int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL


def test_a_test_may_ask_for_a_real_start(really_started: None) -> None:
    with waiting() as process:
        assert not is_forked(process)


@pytest.mark.parametrize(
    "more",
    [{"start_new_session": True}, {"env": {**os.environ, "PYTHONIOENCODING": "latin-1"}}],
    ids=["session", "encoding"],
)
def test_what_a_fork_cannot_give_starts_for_real(more: dict[str, Any]) -> None:
    with waiting(**more) as process:
        assert not is_forked(process)


def test_what_a_run_of_pipelines_starts_is_forked_and_goes_when_that_is_killed(tmp_path: Path) -> None:
    tap = tmp_path / "tap.sh"
    tap.write_text("#!/bin/sh\nexec sleep 60\n")
    tap.chmod(0o755)
    (tmp_path / "target.json").write_text('{"destination_path": "rows"}')
    one = {"tap": {"exec": "./tap.sh"}, "target": {"exec": "target-jsonl", "config": "target.json"}}
    (tmp_path / "singerkit.json").write_text(json.dumps({"pipelines": {"one": one}}))

    def is_target(pid: int) -> bool:
        is_forked = b"starting.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
        return is_forked and os.getsid(pid) == pid and os.readlink(f"/proc/{pid}/cwd") == str(tmp_path)

    with subprocess.Popen([BIN / "singerkit", "run"], cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        targets = wait_until(
            lambda: [pid for pid in map(int, children.read_text().split()) if is_target(pid)]
        )
        process.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in targets))


def test_the_environment_of_the_test_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    with waiting() as process:
        assert not is_forked(process)


@pytest.mark.parametrize("once", [True, False], ids=["one fork", "two forks"])
def test_what_is_forked_belongs_to_who_adopts(once: bool) -> None:
    """Whether there is a compiler, for one fork, or none, and two are made."""
    fork = starting.fork_twice
    if once:
        try:
            fork = starting.one_fork()
        except NoCompilerError as error:
            pytest.skip(str(error))
    with starting.adopting():
        if (pid := fork()) == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_a_process_that_is_as_it_was_has_the_next_run(tmp_path: Path) -> None:
    """What the first has been told is not what the next one goes by."""
    (tmp_path / "config.json").write_text('{"destination_path": "rows"}')

    def run(**environment: str) -> tuple[int, bytes]:
        with subprocess.Popen(
            [BIN / "target-jsonl", "--config", "config.json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env={**os.environ, **environment},
        ) as process:
            _, said = process.communicate(SCHEMA + STATE)
            assert process.returncode == 0
            return process.pid, said

    pid, said = run(TARGET_JSONL_LOGLEVEL="ERROR")
    again, said_again = run()
    assert (pid, b"INFO" in said) == (again, False)
    assert b"INFO" in said_again
    with starting.alone():
        assert run()[0] not in (pid, run()[0])


def test_a_process_that_was_killed_has_no_other_run() -> None:
    with waiting() as first:
        first.kill()
        assert first.wait(10) == -signal.SIGKILL
    with waiting() as second:
        assert second.poll() is None
        assert second.pid != first.pid
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(0.01)


def told_by_a_fork(find: Callable[[], list[str]]) -> list[str]:
    """Call ``find`` in a process that ends with it."""
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            found = find()
        except BaseException as error:
            found = [repr(error)]
        os.write(writing, json.dumps(found).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        found = json.loads(pipe.read())
    os.waitpid(pid, 0)
    return found


MODULE = """
import functools, gc, logging, os, signal, threading, warnings
count, names, seen, by_name = 0, ["a"], {"a"}, {"a": [1]}
logger = logging.getLogger("tap_changed")
class Flag:
    raised, all = False, []
    def __init__(self): self.of = {}
flag, event = Flag(), threading.Event()
@functools.cache
def remembered(name): return [name]
def umask():
    now = os.umask(0)
    os.umask(now)
    return now
def all_that():
    things = (count, names, seen, by_name, globals().get("other"), Flag.raised, Flag.all, vars(flag), event.is_set(), remembered("a"), len)
    return repr((*things, logger.level, logger.filters, signal.getsignal(15), warnings.filters, gc.isenabled(), umask()))
"""
CHANGES = [
    "count = 1",
    "other = 1",
    "names.append(1)",
    "seen.clear()",
    "by_name['a'].append(2)",
    "Flag.raised = True",
    "Flag.all.append(1)",
    "flag.more = 1",
    "flag.of['a'] = 1",
    "event.set()",
    "remembered('a').append('b')",
    "logger.setLevel(50)",
    "logger.addFilter(print)",
    "__builtins__['len'] = None",
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "warnings.simplefilter('ignore', DeprecationWarning, 123)",
    "gc.disable()",
    "os.umask(0o123)",
]


def test_what_a_run_has_changed_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a module of ours and in what holds for the whole process."""
    module = types.ModuleType("tap_changed")
    monkeypatch.setitem(sys.modules, "tap_changed", module)
    exec(MODULE, vars(module))

    def find() -> list[str]:
        undoing, before, wrong = Undoing(), module.all_that(), []
        for change in CHANGES:
            exec(change, vars(module))
            if module.all_that() == before:
                wrong.append(f"{change} changes nothing that is looked at")
            undoing.undo("tap-changed")
            if module.all_that() != before:
                wrong.append(change)
        stop_flag.give_up(BadDataError("the run before"))
        undoing.undo("target-jsonl")
        return [*wrong, *(["the flag that all share"] if stop_flag._failure else [])]

    assert told_by_a_fork(find) == []


LEFT = {
    "a descriptor": lambda: os.open(os.devnull, os.O_RDONLY),
    "a call for the end": lambda: atexit.register(print),
    "a process": lambda: os.fork() or os._exit(0),
    "a thread": lambda: threading.Thread(target=time.sleep, args=[9], daemon=True).start(),
}


def test_a_run_that_leaves_something_behind_is_the_last_of_its_process() -> None:
    def find() -> list[str]:
        gc.collect()
        gc.disable()  # what other tests have left is no longer in the way
        undoing = Undoing()
        undoing.start()
        undoing.is_clean()  # nor what they have installed for signals, which is closed here
        found = []
        for name, leave in LEFT.items():
            undoing.start()
            was_clean = undoing.is_clean()
            leave()
            if was_clean and not undoing.is_clean():
                found.append(name)
            with contextlib.suppress(ChildProcessError):
                os.wait()
        return found

    assert told_by_a_fork(find) == [*LEFT]
