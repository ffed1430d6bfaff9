"""A state file in process: the order of its steps, what is left when one of them fails, who holds its lock."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from singerkit_shell.errors import CannotWriteError, ConfigurationError, LockHeldError
from singerkit_state import statefile
from singerkit_state.statefile import StateFileLock, holder_of, remove, replace_file, write

OLD, NEW = '{"bookmarks":{"a":1}}', '{"bookmarks":{"a":2}}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "orders.json"
    file.write_text(OLD + "\n")
    return file


def others(path: Path) -> list[str]:
    return sorted(item.name for item in path.parent.iterdir() if item != path)


def name_of(descriptor: int) -> str:
    return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name


Patch = Callable[[str, Callable[..., Any]], None]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that touch the disk, in their order."""
    made: list[str] = []
    real = {name: getattr(os, name) for name in ("open", "write", "fsync", "close", "replace", "unlink")}

    def noted(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            about = ".tmp" if ".tmp" in str(arguments[0]) else ""
            if name in ("write", "fsync", "close"):
                about = ".tmp" if ".tmp" in name_of(arguments[0]) else "folder" if name == "fsync" else ""
            made.append(f"{name} {about}".strip())
            return real[name](*arguments, **options)

        return call

    for name in real:
        monkeypatch.setattr(os, name, noted(name))
    return made


def test_a_write_is_durable_before_it_is_seen_and_its_name_after(path: Path, steps: list[str]) -> None:
    assert write(path, NEW) is True
    seen = [step for step in steps if not step.startswith("close") or ".tmp" in step]
    assert seen == [
        "open .tmp",
        "write .tmp",
        "fsync .tmp",
        "close .tmp",
        "replace .tmp",
        "open",
        "fsync folder",
    ]
    assert path.read_text() == NEW + "\n"


def test_a_newline_ends_the_file_once(path: Path) -> None:
    replace_file(path, b"x\n", "history")
    assert path.read_bytes() == b"x\n"
    replace_file(path, b"x", "history")
    assert path.read_bytes() == b"x\n"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EINVAL])
@pytest.mark.parametrize("step", ["open", "write", "fsync", "fchmod", "replace"])
def test_a_step_that_fails_leaves_the_old_file_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(os, step, fails)
        with pytest.raises(CannotWriteError, match=os.strerror(number)) as caught:
            write(path, NEW)
    assert f"The state file {path} cannot be written" in str(caught.value)
    assert path.read_text() == OLD + "\n"
    assert others(path) == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_fails_first_is_told_though_tidying_fails_too(path: Path, monkeypatch: Any) -> None:
    def fails(number: int) -> Callable[..., Any]:
        def call(*_: Any) -> Any:
            raise OSError(number, os.strerror(number))

        return call

    monkeypatch.setattr(os, "fsync", fails(errno.EIO))
    monkeypatch.setattr(os, "unlink", fails(errno.EROFS))
    with pytest.raises(CannotWriteError, match="Input/output error"):
        write(path, NEW)


def test_an_error_without_words_is_named_by_its_class(path: Path, monkeypatch: Any) -> None:
    def fails(*_: Any) -> Any:
        raise TimeoutError

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(CannotWriteError, match=r"\(TimeoutError\)"):
        write(path, NEW)


@pytest.mark.parametrize(
    ("number", "is_told"),
    [(errno.EIO, True), (errno.ENOSPC, True), (errno.EINVAL, False), (errno.EBADF, False)],
)
def test_a_folder_that_cannot_be_synced(path: Path, monkeypatch: Any, number: int, is_told: bool) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    before = len(os.listdir("/proc/self/fd"))
    if is_told:
        with pytest.raises(CannotWriteError, match=f"folder cannot be synced .{os.strerror(number)}"):
            write(path, NEW)
        with pytest.raises(CannotWriteError, match="state file"):
            remove(path)
    else:
        assert write(path, NEW) is True
    assert len(os.listdir("/proc/self/fd")) == before
    assert not path.exists() if is_told else path.read_text() == NEW + "\n"


def test_a_disk_that_takes_a_little_at_a_time(path: Path, monkeypatch: Any) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:5])))
    write(path, NEW)
    assert path.read_text() == NEW + "\n"


def test_on_windows_folders_are_not_synced(path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "name", "nt")
    monkeypatch.delattr(os, "O_DIRECTORY")
    statefile.sync_folder(str(path.parent))
    monkeypatch.delattr(os, "fchown")
    statefile._adopt(-1, os.stat(path))


# owner and mode


def test_the_new_file_belongs_to_whom_the_old_one_did(path: Path, monkeypatch: Any) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _, uid, gid: given.append((uid, gid)))
    write(path, NEW)
    assert given == [], "it is ours already"
    real = os.stat

    def of_another(target: Any, **options: Any) -> Any:
        found = list(real(target, **options))
        found[4], found[5] = 12345, 54321
        return os.stat_result(found)

    monkeypatch.setattr(os, "stat", of_another)
    write(path, OLD)
    assert given == [(12345, 54321)]


@pytest.mark.parametrize(("error", "is_told"), [(PermissionError, False), (OSError, True)])
def test_only_root_may_give_files_away(path: Path, monkeypatch: Any, error: Any, is_told: bool) -> None:
    def fchown(*_: Any) -> Any:
        raise error(errno.EPERM if error is PermissionError else errno.EIO, "refused")

    monkeypatch.setattr(os, "fchown", fchown)
    real = os.stat

    def of_another(target: Any, **options: Any) -> Any:
        found = list(real(target, **options))
        found[5] = 54321
        return os.stat_result(found)

    monkeypatch.setattr(os, "stat", of_another)
    if is_told:
        with pytest.raises(CannotWriteError, match="refused"):
            write(path, NEW)
    else:
        assert write(path, NEW)


# removing


def test_removing_is_durable_and_may_be_done_twice(path: Path, steps: list[str]) -> None:
    remove(path)
    assert [step for step in steps if step != "close"] == ["unlink", "open", "fsync folder"]
    assert not path.exists()
    steps.clear()
    remove(path)
    assert steps == []


def test_removing_follows_links_and_refuses_what_is_no_file(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(path)
    remove(link)
    assert link.is_symlink()
    assert not path.exists()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigurationError, match="not a regular file"):
        remove(tmp_path / "folder")


def test_an_empty_state_is_no_reason_to_write(path: Path, steps: list[str]) -> None:
    assert write(path, "{}") is False
    assert [step for step in steps if "tmp" in step] == []
    path.write_text('{"bookmarks":{}}')
    assert write(path, "{}") is True


# the lock


def test_the_holder_is_known_to_others(path: Path) -> None:
    assert holder_of(path) is None
    with StateFileLock(path, "orders"):
        about = holder_of(path)
        assert about is not None
        assert (about["pid"], about["pipeline"]) == (os.getpid(), "orders")
        assert about.keys() == {"pid", "host", "since", "pipeline"}
        link = path.parent / "link.json"
        link.symlink_to(path)
        assert holder_of(link) == about
        for unsigned in ("", "torn", "[]", '{"pid":1}', "\xff"):
            Path(f"{path}.lock").write_bytes(unsigned.encode("latin-1"))
            assert holder_of(path) == {}
    assert holder_of(path) is None
    Path(f"{path}.lock").write_text('{"pid":7')
    assert holder_of(path) is None


def test_looking_for_the_holder_leaves_nothing_open_and_takes_nothing(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with StateFileLock(path):
        holder_of(path)
    Path(f"{path}.lock").write_text('{"pid":7')
    holder_of(path)
    assert len(os.listdir("/proc/self/fd")) == before
    with StateFileLock(path):
        pass


def test_without_locks_nobody_holds_one(path: Path, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setattr(statefile, "fcntl", None)
    assert holder_of(path) is None
    with StateFileLock(path):
        assert others(path) == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_what_a_killed_run_has_left_is_overwritten(path: Path) -> None:
    Path(f"{path}.lock").write_text('{"pid":7,"host":"' + "x" * 5000)
    with StateFileLock(path):
        content = Path(f"{path}.lock").read_text()
        assert json.loads(content)["pipeline"] is None
        assert content.endswith("}\n")
        assert len(json.loads(content)["since"]) == len("2024-01-01T00:00:00+00:00")


def test_the_sentence_about_the_holder(path: Path) -> None:
    with StateFileLock(path):
        with pytest.raises(LockHeldError) as caught, StateFileLock(path):
            pass
        assert "pipeline `" not in str(caught.value)
        assert f"another run (pid {os.getpid()} on host" in str(caught.value)
        for unsigned in ('{"pid":1}', "[]", "5", '{"pid":1,"host":"h","since":"s"}', "\xff"):
            Path(f"{path}.lock").write_bytes(unsigned.encode("latin-1"))
            with pytest.raises(LockHeldError, match="only just started"), StateFileLock(path):
                pass


def test_no_descriptor_is_left_by_a_lock(path: Path, monkeypatch: Any) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with StateFileLock(path):
        for _ in range(2):
            with pytest.raises(LockHeldError), StateFileLock(path):
                pass
        assert len(os.listdir("/proc/self/fd")) == before + 1

    def fails(*_: Any) -> Any:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fails)
    with pytest.raises(CannotWriteError, match=os.strerror(errno.ENOLCK)), StateFileLock(path):
        pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_lock_that_cannot_be_signed_is_let_go(path: Path, monkeypatch: Any) -> None:
    def fails(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", fails)
        with pytest.raises(CannotWriteError, match="No space left"), StateFileLock(path):
            pass
    assert others(path) == []
    with StateFileLock(path):
        pass


def test_litter_that_cannot_be_removed_stops_nobody(path: Path) -> None:
    (path.parent / ".orders.json.0123456789ab.tmp").mkdir()
    with StateFileLock(path):
        pass
    assert others(path) == [".orders.json.0123456789ab.tmp"]


def test_temporary_files_are_told_apart_by_the_name_of_their_file() -> None:
    assert statefile._temporary_prefix("/x/orders.json") == ".orders.json."
    assert statefile._temporary_prefix("/x/" + "é" * 120) == "." + "é" * 100 + "."
    assert statefile._temporary_prefix("/x/" + "a" * 199 + "é") == "." + "a" * 199 + "."


# reading


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        (" \t\r\n\0", "is empty"),
        ("{", "is torn or not JSON"),
        ("{}\n{}", "holds 2 states, one a line"),
        ("{}\n{}\n\n", "holds 2 states, one a line"),
        ("{}\n{", "is torn or not JSON"),
        ("{x", "is torn or not JSON; restore it from a copy, or let the target write what it has"),
        ("5", "holds something else than a JSON object"),
        ('{"type":"STATE","value":{}}', "whole STATE message"),
    ],
)
def test_what_is_wrong_with_a_file(path: Path, text: str, sentence: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=sentence):
        statefile.read(path)


@pytest.mark.parametrize("text", ['{"type":"STATE"}', '{"value":1}', '{"type":"state","value":1}'])
def test_a_state_may_have_keys_like_those_of_a_message(path: Path, text: str) -> None:
    path.write_text(text)
    assert statefile.read(path) == json.loads(text)


def test_a_file_that_is_no_text(path: Path) -> None:
    path.write_bytes(b'{"a":"\xff"}')
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        statefile.read(path)
    with pytest.raises(ConfigurationError, match="is a folder; name a file"):
        statefile.read(path.parent)


def test_text_that_was_no_utf_8_where_it_was_read_is_refused() -> None:
    """`singerkit-state set` reads its stdin so, whatever the locale."""
    text = b'{"a":"\xff"}'.decode(errors="surrogateescape")
    with pytest.raises(ConfigurationError, match=r"The value is not UTF-8 text; try again\."):
        statefile.state_object(text, "value", None, "try again")


def test_a_path_through_a_file_is_told(path: Path) -> None:
    below = path / "state.json"
    for change in (
        lambda: write(below, NEW),
        lambda: replace_file(below, b"x", "state file"),
        lambda: remove(below),
    ):
        with pytest.raises(CannotWriteError, match="Not a directory") as caught:
            change()
        assert f"The state file {below} cannot be written" in str(caught.value)
    assert path.read_text() == OLD + "\n"


def test_a_byte_order_mark_before_an_empty_state_makes_it_no_better(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf{}")
    assert write(path, '{"bookmarks":{}}') is True


def test_new_files_have_the_mode_that_the_umask_says(path: Path) -> None:
    path.unlink()
    before = os.umask(0)
    try:
        write(path, NEW)
        with StateFileLock(path):
            modes = [file.stat().st_mode & 0o777 for file in (path, Path(f"{path}.lock"))]
    finally:
        os.umask(before)
    assert modes == [0o666, 0o666]


def test_the_lock_is_what_its_block_is_given(path: Path, monkeypatch: Any) -> None:
    lock = StateFileLock(path)
    with lock as given:
        assert given is lock
    monkeypatch.setattr(statefile, "fcntl", None)
    with lock as given:
        assert given is lock


def test_a_lock_file_that_goes_between_open_and_lock_leaves_nothing_open(
    path: Path, monkeypatch: Any
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    flock = fcntl.flock

    def once(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        os.unlink(f"{path}.lock")
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", once)
    with StateFileLock(path):
        assert len(os.listdir("/proc/self/fd")) == before + 1
        assert others(path) == ["orders.json.lock"]


@pytest.mark.parametrize(("times", "is_held"), [(2, False), (3, True)])
def test_who_only_looks_at_a_lock_keeps_nobody_out(
    path: Path, monkeypatch: Any, times: int, is_held: bool
) -> None:
    flock, left, slept = fcntl.flock, [times], []

    def busy(descriptor: int, operation: int) -> None:
        if left[0]:
            left[0] -= 1
            raise BlockingIOError
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", busy)
    monkeypatch.setattr(
        statefile, "time", SimpleNamespace(sleep=slept.append)
    )  # the threads of others sleep, too
    if is_held:
        with pytest.raises(LockHeldError), StateFileLock(path):
            pass
    else:
        with StateFileLock(path):
            pass
    assert slept == [statefile._LOOK_SECONDS] * 2


def test_a_lock_file_that_cannot_be_removed_does_no_harm(path: Path, monkeypatch: Any) -> None:
    def fails(*_: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched, StateFileLock(path):
        patched.setattr(os, "unlink", fails)
    assert len(os.listdir("/proc/self/fd")) == before
    with StateFileLock(path):
        pass
