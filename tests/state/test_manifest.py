"""The manifest of a target without transactions: what counts, who may change it, and what is refused."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from singerkit_shell.errors import CannotWriteError, ConfigurationError, FencedError, LockHeldError
from singerkit_state import history, manifest
from singerkit_state.manifest import NAME, Manifest

OLD, NEW = '{"bookmarks":{"a":1}}', '{"bookmarks":{"a":2}}'


def stored(folder: Path) -> Any:
    return json.loads((folder / NAME).read_text())


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    assert manifest.read(tmp_path) is None
    one = Manifest("orders", 3, OLD, "run-1", {"a.jsonl": 17}, 5, "2024-01-01T00:00:00.000+00:00")
    manifest.write(tmp_path, one)
    assert manifest.read(tmp_path) == one
    assert stored(tmp_path) == {
        "pipeline": "orders",
        "sequence": 3,
        "state": OLD,
        "run_id": "run-1",
        "files": {"a.jsonl": 17},
        "epoch": 5,
        "committed_at": "2024-01-01T00:00:00.000+00:00",
        "former": [],
        "ends": {},
        "at_work": {},
    }
    assert NAME == "_singerkit_manifest.json"


def test_a_manifest_of_an_older_version_has_no_epoch(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"pipeline":"orders"}')
    assert manifest.read(tmp_path) == Manifest("orders", 0, None, None, {}, 0, None)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pipeline":"a","odd":1}', "{}", '"x"'])
def test_a_manifest_that_is_torn_or_not_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(ConfigurationError, match="nothing was written") as caught:
        manifest.begin(tmp_path, "orders", "run-1")
    assert str(tmp_path / NAME) in str(caught.value)
    assert (tmp_path / NAME).read_text() == text


def test_a_manifest_that_is_no_text_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"\xff")
    with pytest.raises(ConfigurationError):
        manifest.read(tmp_path)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    with pytest.raises(ConfigurationError):
        manifest.read(tmp_path)


def test_each_run_begins_an_epoch_and_each_commit_a_sequence(tmp_path: Path) -> None:
    first = manifest.begin(tmp_path, "orders", "run-1")
    assert first == Manifest("orders", 0, None, "run-1", {}, 1, None)
    assert manifest.read(tmp_path) == first
    one = manifest.commit(tmp_path, first, OLD, {"a.jsonl": 10})
    assert manifest.read(tmp_path) == one
    assert (one.sequence, one.state, one.files, one.epoch, one.run_id) == (
        1,
        OLD,
        {"a.jsonl": 10},
        1,
        "run-1",
    )
    two = manifest.commit(tmp_path, one, None, {"a.jsonl": 10, "b.jsonl": 5})
    assert (two.sequence, two.state, two.files) == (2, OLD, {"a.jsonl": 10, "b.jsonl": 5}), "the state stays"
    second = manifest.begin(tmp_path, "orders", "run-2")
    assert (second.sequence, second.state, second.files) == (2, OLD, two.files)
    assert (second.epoch, second.run_id) == (2, "run-2")
    assert second.committed_at == two.committed_at
    assert two.committed_at is not None
    assert datetime.now(UTC) - datetime.fromisoformat(two.committed_at) < timedelta(minutes=1)
    assert len(two.committed_at) == len("2024-01-01T00:00:00.000+00:00")


def test_the_folder_of_another_pipeline_is_refused(tmp_path: Path) -> None:
    manifest.begin(tmp_path, "orders", "run-1")
    with pytest.raises(ConfigurationError, match=r"`orders`.*`customers`"):
        manifest.begin(tmp_path, "customers", "run-2")
    assert stored(tmp_path)["run_id"] == "run-1"


@pytest.mark.parametrize("change", [{"epoch": 2}, {"sequence": 1}, {"epoch": 2, "sequence": 1}])
def test_a_run_that_was_overtaken_is_fenced(tmp_path: Path, change: dict[str, Any]) -> None:
    mine = manifest.begin(tmp_path, "orders", "run-1")
    (tmp_path / NAME).write_text(json.dumps({**stored(tmp_path), "run_id": "run-2", **change}))
    with pytest.raises(FencedError, match="`orders` is fenced, `run-2` has taken over"):
        manifest.commit(tmp_path, mine, OLD, {})
    assert stored(tmp_path)["state"] is None
    with pytest.raises(FencedError), manifest.mine(tmp_path, mine):
        pytest.fail("the block must not run")


def test_a_manifest_that_is_gone_fences_too(tmp_path: Path) -> None:
    mine = manifest.begin(tmp_path, "orders", "run-1")
    (tmp_path / NAME).unlink()
    with pytest.raises(FencedError, match="is gone"):
        manifest.commit(tmp_path, mine, OLD, {})
    assert not (tmp_path / NAME).exists()


def test_the_files_of_a_commit_are_a_copy(tmp_path: Path) -> None:
    files = {"a": 1}
    one = manifest.commit(tmp_path, manifest.begin(tmp_path, "p", "r"), OLD, files)
    files["a"] = 2
    assert one.files == {"a": 1}


def test_the_folder_is_held_while_it_is_changed_and_free_after(tmp_path: Path) -> None:
    inside, order = threading.Event(), []

    def other() -> None:
        inside.wait(20)
        with manifest.held(tmp_path):
            order.append("other")

    thread = threading.Thread(target=other)
    thread.start()
    with manifest.held(tmp_path):
        inside.set()
        thread.join(0.2)
        order.append("first")
    thread.join(20)
    assert order == ["first", "other"]
    with pytest.raises(KeyError), manifest.held(tmp_path):
        raise KeyError
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free
    os.close(descriptor)


def test_a_folder_that_stays_held_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(manifest, "HELD_SECONDS", 0.2)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(LockHeldError, match=str(tmp_path)), manifest.held(tmp_path):
            pytest.fail("the block must not run")
    finally:
        os.close(descriptor)
    with manifest.held(tmp_path):
        pass


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with manifest.held(tmp_path):
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_system_without_locks_is_worked_on_all_the_same(tmp_path: Path, monkeypatch: Any) -> None:
    def refuses(*_: Any) -> None:
        raise OSError("no locks")

    monkeypatch.setattr(fcntl, "flock", refuses)
    mine = manifest.begin(tmp_path, "orders", "run-1")
    manifest.commit(tmp_path, mine, OLD, {})
    assert stored(tmp_path)["state"] == OLD
    monkeypatch.setattr(manifest, "fcntl", None)
    manifest.begin(tmp_path, "orders", "run-2")
    assert stored(tmp_path)["epoch"] == 2


# the state that a run begins with is kept


def test_what_a_run_begins_with_goes_into_the_history(tmp_path: Path) -> None:
    first = manifest.begin(tmp_path, "orders", "run-1")
    assert history.read(tmp_path / NAME) == []
    manifest.commit(tmp_path, first, OLD, {})
    manifest.begin(tmp_path, "orders", "run-2")
    kept = history.read(tmp_path / NAME)
    assert [(one.why, one.run_id, one.epoch, one.sequence, one.text) for one in kept] == [
        ("run", "run-2", 1, 1, OLD)
    ]
    third = manifest.begin(tmp_path, "orders", "run-3")
    assert [one.run_id for one in history.read(tmp_path / NAME)] == ["run-2"], "the same value is kept once"
    manifest.commit(tmp_path, third, NEW, {})
    manifest.begin(tmp_path, "orders", "run-4")
    assert [one.text for one in history.read(tmp_path / NAME)] == [NEW, OLD]


def test_a_history_that_cannot_be_kept_stops_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = manifest.begin(tmp_path, "orders", "run-1")
    manifest.commit(tmp_path, first, OLD, {})
    (tmp_path / f"{NAME}.history").write_text("nonsense\n")
    manifest.begin(tmp_path, "orders", "run-2")
    (tmp_path / f"{NAME}.history").unlink()
    (tmp_path / f"{NAME}.history").mkdir()
    assert manifest.begin(tmp_path, "orders", "run-3").epoch == 3
    assert sum(record.levelno == logging.WARNING for record in caplog.records) == 2


def test_a_history_that_cannot_be_written_stops_no_run(tmp_path: Path, monkeypatch: Any, caplog: Any) -> None:
    first = manifest.begin(tmp_path, "orders", "run-1")
    manifest.commit(tmp_path, first, OLD, {})

    def fails(*_: Any) -> Any:
        raise CannotWriteError("no room")

    monkeypatch.setattr(history, "append", fails)
    assert manifest.begin(tmp_path, "orders", "run-2").epoch == 2
    assert "no room" in caplog.text


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path) -> None:
    mine = manifest.begin(tmp_path, "orders", "run-1")
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    with pytest.raises(ConfigurationError):
        manifest.write(tmp_path, mine)
    with pytest.raises(CannotWriteError, match="The manifest "):
        manifest.write(tmp_path / "no folder", mine)


def test_a_platform_without_fcntl_works_on_without_locks(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
sys.modules["fcntl"] = None
from singerkit_state import manifest
folder = Path(sys.argv[1])
manifest.commit(folder, manifest.begin(folder, "orders", "run-1"), "{}", {})
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert stored(tmp_path)["sequence"] == 1
