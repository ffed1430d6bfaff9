"""One run at a time uses a state file, and the second is told who does."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from singerkit_shell.errors import CannotWriteError, ConfigurationError, LockHeldError
from singerkit_state import history
from singerkit_state.statefile import StateFileLock

HOLDER = """
import sys
from singerkit_state.statefile import LockHeldError, StateFileLock
try:
    with StateFileLock(sys.argv[1], "orders"):
        print("held", flush=True)
        sys.stdin.read()
except LockHeldError as error:
    print("refused", error, flush=True)
"""


@contextlib.contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that takes the lock and keeps it until its stdin ends."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_processes_race_and_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    with holder(path) as a, holder(path) as b:
        answers = sorted([said(a), said(b)])
    assert answers[0] == "held"
    assert answers[1].startswith("refused")


def test_the_second_is_told_who_where_since_when_and_for_what(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    with holder(path) as process:
        assert said(process) == "held"
        with pytest.raises(LockHeldError) as caught, StateFileLock(path, "orders"):
            pass
        sentence = str(caught.value)
        for part in (str(path), f"pid {process.pid}", f"host {platform.node()}", "since 20", "`orders`"):
            assert part in sentence
        assert caught.value.exit_code == 75
        about = json.loads((tmp_path / "orders.json.lock").read_text())
        assert about["pid"] == process.pid


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    with holder(path) as process:
        assert said(process) == "held"
        process.kill()
        process.wait()
        with StateFileLock(path, "orders"):
            assert json.loads((tmp_path / "orders.json.lock").read_text())["pid"] == os.getpid()


def test_the_lock_leaves_nothing_behind_and_can_be_taken_again(tmp_path: Path) -> None:
    lock = StateFileLock(tmp_path / "orders.json")
    for _ in range(2):
        with lock:
            assert os.listdir(tmp_path) == ["orders.json.lock"]
        assert os.listdir(tmp_path) == []


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyError), StateFileLock(tmp_path / "orders.json"):
        raise KeyError
    with StateFileLock(tmp_path / "orders.json"):
        pass


def test_two_names_of_one_file_share_one_lock(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("orders.json")
    with StateFileLock(tmp_path / "orders.json"), pytest.raises(LockHeldError):
        StateFileLock(tmp_path / "link.json").__enter__()


def test_a_lock_that_is_held_but_not_signed(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    with StateFileLock(path):
        (tmp_path / "orders.json.lock").write_text("")
        with pytest.raises(LockHeldError, match="only just started"), StateFileLock(path):
            pass


def test_never_two_at_once_though_the_lock_file_comes_and_goes(tmp_path: Path) -> None:
    """Many take and free it at the same time: a lock on a file that was removed is no lock."""
    path = tmp_path / "orders.json"
    inside, most, taken = [0], [0], [0]
    count = threading.Lock()

    def work() -> None:
        for _ in range(300):
            with contextlib.suppress(LockHeldError), StateFileLock(path):
                with count:
                    inside[0] += 1
                    taken[0] += 1
                    most[0] = max(most[0], inside[0])
                with count:
                    inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()
    assert most == [1]
    assert taken[0] > 10
    assert os.listdir(tmp_path) == []


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the second's open and its lock the first leaves and a third comes: its file is another one."""
    first, second, third = (StateFileLock(tmp_path / "orders.json") for _ in range(3))
    first.__enter__()
    flock = fcntl.flock

    def meanwhile(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        first.__exit__()
        third.__enter__()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", meanwhile)
    with pytest.raises(LockHeldError):
        second.__enter__()
    third.__exit__()
    with second:
        pass


def test_a_lock_file_that_somebody_removed_is_not_removed_twice(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    first = StateFileLock(path)
    with first:
        (tmp_path / "orders.json.lock").unlink()
        second = StateFileLock(path)
        second.__enter__()
    with pytest.raises(LockHeldError):
        StateFileLock(path).__enter__()
    second.__exit__()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no such folder" / "orders.json"
    with pytest.raises(ConfigurationError, match=str(path.parent)) as caught, StateFileLock(path):
        pass
    assert caught.value.exit_code == 78


def test_a_lock_file_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "orders.json.lock").mkdir()
    with pytest.raises(CannotWriteError, match=r"orders\.json\.lock cannot be written"):
        StateFileLock(tmp_path / "orders.json").__enter__()


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    names = [".orders.json.0123.tmp.keep", ".customers.json.0123456789ab.tmp", "orders.json.tmp", "x.tmp"]
    for name in [*names, ".orders.json.0123456789ab.tmp"]:
        (tmp_path / name).touch()
    with StateFileLock(tmp_path / "orders.json"):
        assert sorted(os.listdir(tmp_path)) == sorted([*names, "orders.json.lock"])


def test_a_platform_without_fcntl_imports_and_warns(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["fcntl"] = None
from singerkit_state import statefile
with statefile.StateFileLock(sys.argv[1]):
    statefile.write(sys.argv[1], '{"a":1}')
print(statefile.read(sys.argv[1]))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "orders.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "{'a': 1}\n"
    assert "no file locks" in done.stderr


def hostile_link(lock: Path, outside: Path) -> None:
    lock.symlink_to(outside)


def hostile_hard_link(lock: Path, outside: Path) -> None:
    os.link(outside, lock)


def same_name(lock: Path, outside: Path) -> None:
    """A state file `poetry` has a lock file that somebody else keeps, too."""
    lock.write_bytes(outside.read_bytes())


@pytest.mark.parametrize("make", [hostile_link, hostile_hard_link, same_name])
def test_a_lock_file_that_is_not_ours_is_neither_written_nor_removed(tmp_path: Path, make: Any) -> None:
    """What a link in its place points to was overwritten."""
    path, outside = tmp_path / "orders.json", tmp_path / "outside"
    outside.write_text("precious")
    lock = Path(f"{path}.lock")
    make(lock, outside)
    with pytest.raises(ConfigurationError, match="is no lock file of ours"), StateFileLock(path):
        pass
    assert outside.read_text() == "precious"
    assert lock.read_text() == "precious"


def test_a_link_to_a_lock_that_is_held_is_refused_without_waiting(tmp_path: Path) -> None:
    with holder(tmp_path / "a") as process:
        assert said(process) == "held"
        Path(tmp_path / "b.lock").symlink_to(tmp_path / "a.lock")
        with pytest.raises(ConfigurationError, match="no lock file of ours"), StateFileLock(tmp_path / "b"):
            pass
        assert json.loads((tmp_path / "a.lock").read_text())["pipeline"] == "orders"


def test_a_history_that_is_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    outside, path = tmp_path / "outside", tmp_path / "state.json"
    outside.write_text("")
    Path(f"{path}.history").symlink_to(outside)
    history.append(path, history.kept_now('{"a":1}', "set", None))
    assert outside.read_text() == ""
    assert [entry.text for entry in history.read(path)] == ['{"a":1}']
