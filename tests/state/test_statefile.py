"""A state file holds the old state or the new one whatever happens, or says how to get out."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from singerkit_shell.errors import CannotWriteError, ConfigurationError, RetryableError
from singerkit_state import history, manifest, statefile
from singerkit_state.value import Mark, encode, with_mark

OLD = {"bookmarks": {"orders": {"replication_key_value": "2026-01-01T00:00:00Z"}}}
NEW = {"bookmarks": {"orders": {"replication_key_value": "2026-02-02T00:00:00Z"}}}
BIG = {"bookmarks": {"orders": {"replication_key_value": "x" * 100_000}}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state file that holds OLD, alone in its folder."""
    file = tmp_path / "state" / "orders.json"
    file.parent.mkdir()
    file.write_text(encode(OLD) + "\n")
    return file


def others(path: Path) -> list[str]:
    """What else is in the folder of the state file."""
    return sorted(item.name for item in path.parent.iterdir() if item != path)


# reading


def test_a_missing_file_is_a_first_run(tmp_path: Path) -> None:
    assert statefile.read(tmp_path / "state.json") is None
    with pytest.raises(ConfigurationError, match=r"no folder of the state file .* does not exist"):
        statefile.read(tmp_path / "no folder" / "state.json", "orders")


@pytest.mark.parametrize("text", ['{"a":1}', '{"a":1}\n', '\ufeff{"a":1}\r\n', ' {\n "a": 1\n}\n'])
def test_a_json_object_is_read_in_any_form(tmp_path: Path, text: str) -> None:
    file = tmp_path / "state.json"
    file.write_bytes(text.encode())
    assert statefile.read(file) == {"a": 1}


@pytest.mark.parametrize("name", ["state.json", "state.json.history", manifest.NAME])
def test_a_disk_that_does_not_answer_is_no_wrong_path(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/proc/self/mem")  # of which no first byte can be read: EIO
    reads: dict[str, Callable[[], Any]] = {
        "state.json": lambda: statefile.read(tmp_path / name),
        "state.json.history": lambda: history.read(tmp_path / "state.json"),
        manifest.NAME: lambda: manifest.read(tmp_path),
    }
    with pytest.raises(
        RetryableError, match=f"{name} cannot be read .Input/output error.; nothing was read"
    ) as caught:
        reads[name]()
    assert caught.value.exit_code == 69


def test_a_file_torn_at_any_byte_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    whole = encode(with_mark(OLD | {"é\ud800": [1.5, {}]}, Mark("r", "orders", True))).encode()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(ConfigurationError, match=re.escape(str(file)) + ".*--last-state"):
            statefile.read(file)
        assert file.read_bytes() == whole[:length]
    file.write_bytes(whole)
    assert statefile.read(file) is not None


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\0" * 4096, "is empty"),  # what some file systems leave after a power failure
        (b"not json", "holds something else than a JSON object"),
        (b'{"bookmarks":{"a":{"n":1}},"bookmarks":{}}', "has the key `bookmarks` twice in one object"),
        (b'{"a": NaN}', "is torn or not JSON"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"[]", "holds something else than a JSON object"),
        (b"null", "holds something else than a JSON object"),
        (b"1.5", "holds something else than a JSON object"),
        (b'{"a":1}\n{"a":2}\n', "holds 2 states, one a line, keep the last one"),
        (b'{"a":1}\n{"a":2', "is torn"),
        (b'{"type":"STATE","value":{"a":1}}', "keep what stands under its key `value`"),
    ],
)
def test_what_is_not_a_state_is_refused_with_the_way_out(
    tmp_path: Path, content: bytes, finding: str
) -> None:
    file = tmp_path / "state.json"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=finding) as caught:
        statefile.read(file)
    assert str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.exit_code == 78


def test_a_path_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{tmp_path} is a folder; name a file"):
        statefile.read(tmp_path)


def test_state_of_another_pipeline_is_refused_showing_both(path: Path) -> None:
    statefile.write(path, encode(with_mark(OLD, Mark("r", "customers", True))))
    with pytest.raises(ConfigurationError, match=r"`customers`.*`orders`"):
        statefile.read(path, "orders")
    assert statefile.read(path, "customers") == statefile.read(path)


def test_state_without_a_mark_is_anybodys(path: Path) -> None:
    assert statefile.read(path, "orders") == OLD


# writing


def test_a_write_is_read_back_and_leaves_nothing_else(path: Path) -> None:
    assert statefile.write(path, encode(NEW))
    assert statefile.read(path) == NEW
    assert path.read_bytes().endswith(b"}\n")
    assert others(path) == []


def test_the_first_write_makes_the_file_as_the_umask_says(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        assert statefile.write(tmp_path / "state.json", encode(NEW))
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o400])
def test_mode_and_owner_are_kept(path: Path, mode: int) -> None:
    path.chmod(mode)
    owner = (1234, 5678) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(path, *owner)
    statefile.write(path, encode(NEW))
    found = path.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (mode, *owner)


def test_a_symbolic_link_stays_one_and_its_target_is_written(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(Path("state") / "orders.json")
    statefile.write(link, encode(NEW))
    assert link.is_symlink()
    assert json.loads(path.read_text()) == NEW
    assert sorted(os.listdir(tmp_path)) == ["link.json", "state"]


def test_a_link_to_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("state.json")
    statefile.write(tmp_path / "link.json", encode(NEW))
    assert (tmp_path / "link.json").is_symlink()
    assert statefile.read(tmp_path / "state.json") == NEW


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "a b\nc.json", "-rf", ".hidden"])
def test_any_legal_file_name(tmp_path: Path, name: str) -> None:
    for state in (OLD, NEW):
        statefile.write(tmp_path / name, encode(state))
        assert statefile.read(tmp_path / name) == state
    assert os.listdir(tmp_path) == [name]


def test_a_path_relative_to_the_folder_of_now(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    statefile.write("orders.json", encode(NEW))
    assert statefile.read("orders.json") == NEW


@pytest.mark.parametrize("empty", [{}, None, {"bookmarks": {}}, with_mark({}, Mark("r", "orders", True))])
def test_an_empty_state_never_erases_a_good_one(path: Path, empty: Any) -> None:
    assert not statefile.write(path, encode(empty))
    assert statefile.read(path) == OLD
    path.write_text("{torn")
    assert not statefile.write(path, encode(empty))
    assert path.read_text() == "{torn"


def test_an_empty_state_may_replace_an_empty_one_and_be_the_first(tmp_path: Path) -> None:
    assert statefile.write(tmp_path / "state.json", "{}")
    assert statefile.write(tmp_path / "state.json", '{"bookmarks":{}}')
    assert statefile.read(tmp_path / "state.json") == {"bookmarks": {}}


def test_text_that_is_not_json_is_never_written(path: Path) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        statefile.write(path, '{"bookmarks"')
    assert statefile.read(path) == OLD
    assert others(path) == []


@pytest.mark.parametrize("device", ["/dev/null", "/dev/full"])
def test_a_device_is_never_replaced_by_a_file(device: str) -> None:
    with pytest.raises(ConfigurationError, match="not a regular file"):
        statefile.write(device, encode(NEW))
    assert stat.S_ISCHR(os.stat(device).st_mode)


def test_a_device_holds_no_state() -> None:
    with pytest.raises(ConfigurationError, match="/dev/null is a device that holds nothing"):
        statefile.read("/dev/null")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CannotWriteError, match="No such file or directory"):
        statefile.write(tmp_path / "no" / "state.json", encode(NEW))


# failing disks: real ones where the machine lets us, the kernel's own limit for the rest

CHILD = """
import contextlib, os, sys
from singerkit_shell.errors import SingerkitError
from singerkit_state import statefile
try:
    statefile.write(sys.argv[1], open(sys.argv[2]).read())
except SingerkitError as error:
    with contextlib.suppress(OSError):  # some of these tests fail every write from then on
        print(error, flush=True)
    os._exit(error.exit_code)
"""


def write_in_child(path: Path, state: Any, *before: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Write ``state`` in a process of its own, run by ``before`` (strace and its options)."""
    text = path.parent.parent / "text.json"
    text.write_text(encode(state))
    command = [*before, sys.executable, "-c", CHILD, str(path), str(text)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def test_no_space_left_by_a_file_size_limit(path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = write_in_child(path, BIG, preexec_fn=limit)
    assert done.returncode == 74, done.stderr
    assert "it holds the state from before" in done.stdout
    assert statefile.read(path) == OLD
    assert others(path) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Any:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("this machine allows no mount; the file size limit above stands for the full disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_no_space_left_on_a_full_disk(tiny_disk: Path) -> None:
    path = tiny_disk / "state.json"
    statefile.write(path, encode(OLD))
    with pytest.raises(CannotWriteError, match="No space left on device"):
        statefile.write(path, encode(BIG))
    assert statefile.read(path) == OLD
    assert others(path) == []
    (tiny_disk / "filler").write_bytes(b"x" * 40_000)
    assert statefile.write(path, encode(NEW))


needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace (Debian: apt-get install strace; .ci/run does it)"
)
TOUCHING = {
    "openat",
    "fstat",
    "newfstatat",
    "fchown",
    "fchmod",
    "write",
    "fsync",
    "close",
    "rename",
    "unlink",
}


def strace(tmp_path: Path, *rules: str) -> list[str]:
    return ["strace", "-f", "-qq", "-o", str(tmp_path / "trace"), *rules]


def steps_of_a_write(path: Path, tmp_path: Path) -> list[tuple[str, int]]:
    """The calls with which one good write touches the disk, in their order, from the temporary file on.

    Each with its number among the calls of its name in the whole process, as strace's ``when=`` counts them.
    """
    done = write_in_child(path, NEW, *strace(tmp_path, "-e", "trace=" + ",".join(TOUCHING)))
    assert done.returncode == 0, done.stderr + done.stdout
    path.write_text(encode(OLD) + "\n")
    seen: dict[str, int] = {}
    steps: list[tuple[str, int]] = []
    for line in (tmp_path / "trace").read_text().splitlines():
        match = re.match(r"\d+ +(\w+)\(", line)
        if match is None:
            continue
        call = match[1]
        seen[call] = seen.get(call, 0) + 1
        if steps or (call == "openat" and ".tmp" in line):
            steps.append((call, seen[call]))
        if len(steps) > 1 and call == "close" and [name for name, _ in steps].count("fsync") == 2:
            return steps
    raise AssertionError("the write never synced file and folder")


@needs_strace
def test_the_steps_of_a_write_are_those_that_make_it_durable(path: Path, tmp_path: Path) -> None:
    steps = [call for call, _ in steps_of_a_write(path, tmp_path)]
    order = [call for call in steps if call in {"openat", "write", "fsync", "close", "rename"}]
    assert order == ["openat", "write", "fsync", "close", "rename", "openat", "fsync", "close"]


@needs_strace
def test_killed_at_any_step_the_file_holds_the_old_state_or_the_new(path: Path, tmp_path: Path) -> None:
    found = []
    for call, number in steps_of_a_write(path, tmp_path):
        path.write_text(encode(OLD) + "\n")
        done = write_in_child(path, NEW, *strace(tmp_path, "-e", f"inject={call}:signal=KILL:when={number}"))
        assert done.returncode == -signal.SIGKILL, (call, number, done)
        found.append(statefile.read(path))
        assert found[-1] in (OLD, NEW), (call, number)
        with statefile.StateFileLock(path):  # the next run clears what the killed one left
            assert others(path) == ["orders.json.lock"], (call, number)
        assert others(path) == []
    assert found[0] == OLD
    assert found[-1] == NEW
    assert found == sorted(found, key=lambda state: state == NEW), "old up to the rename, new from there"


@needs_strace
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("again", ["", "+"], ids=["once", "from then on"])
def test_any_step_may_fail(path: Path, tmp_path: Path, error: str, again: str) -> None:
    renamed = False
    for call, number in steps_of_a_write(path, tmp_path):
        if call in {"fstat", "newfstatat", "fchown"}:
            continue  # these do not fail on a disk that fails
        path.write_text(encode(OLD) + "\n")
        rule = f"inject={call}:error={error}:when={number}{again}"
        done = write_in_child(path, NEW, *strace(tmp_path, "-e", rule))
        assert done.returncode == 74, (call, number, done)
        assert statefile.read(path) == (NEW if renamed else OLD), (call, number, done.stdout)
        if not (call == "write" and again):  # else the sentence cannot be written either
            assert str(path) in done.stdout
            assert ("cannot be synced" in done.stdout) == renamed
        assert others(path) == [], (call, number)
        renamed = renamed or call == "rename"


@needs_strace
def test_a_failed_fsync_is_never_tried_again(path: Path, tmp_path: Path) -> None:
    rules = ("-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1")
    done = write_in_child(path, NEW, *strace(tmp_path, *rules))
    assert done.returncode == 74
    assert "Input/output error" in done.stdout
    assert (tmp_path / "trace").read_text().count("fsync(") == 1
    assert statefile.read(path) == OLD
