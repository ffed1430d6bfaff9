"""A state file and a manifest, as `singerkit-state` sees and changes them; and how a place is found by its name."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from singerkit_shell.errors import ConfigurationError, LockHeldError, UsageError
from singerkit_state import history, manifest
from singerkit_state.location import open_store
from singerkit_state.manifest import Manifest
from singerkit_state.postgres.store import RowStore
from singerkit_state.postgres.url import StateUrl
from singerkit_state.statefile import StateFileLock
from singerkit_state.store import Holder, Snapshot, Store
from singerkit_state.store_files import FileStore, ManifestStore

MARKED = '{"bookmarks":{"a":1.10},"_singerkit":{"run":"r7","pipeline":"orders","complete":true}}'
NEW = '{"bookmarks":{"a":2.50}}'
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "state.json"
    path.write_text(MARKED)
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a run of the pipeline `orders` has committed."""
    made = Manifest("orders", 4, MARKED, "r7", {"a.jsonl": 10}, 3, "2026-01-01T12:00:00.000+00:00")
    manifest.write(tmp_path, made)
    return tmp_path


@pytest.fixture(params=["file", "manifest"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Both kinds, with the same state in it."""
    request.getfixturevalue("file" if request.param == "file" else "folder")
    return FileStore(tmp_path / "state.json") if request.param == "file" else ManifestStore(tmp_path)


def lock_of(store: Store) -> Path:
    assert isinstance(store, FileStore | ManifestStore)
    return store._path


def to(text: str | None) -> Callable[[str | None], str | None]:
    def edit(former: str | None) -> str | None:
        assert former == MARKED
        return text

    return edit


# finding the place


def test_the_kinds_of_places(folder: Path, file: Path) -> None:
    for location in (folder, folder / manifest.NAME):
        found = open_store(str(location))
        assert isinstance(found, ManifestStore)
        assert found.snapshot().where == f"the folder {folder}"
    found = open_store(str(file))
    assert isinstance(found, FileStore)
    assert found.snapshot().where == f"the file {file}"
    assert isinstance(open_store(str(folder / "not there yet")), FileStore)


def test_a_url_is_a_row() -> None:
    found = open_store("postgresql://u@h/d?pipeline=p&schema=s&table=t")
    assert isinstance(found, RowStore)
    assert found.pipeline == "p"
    assert isinstance(found._url, StateUrl)
    assert (found._url.schema, found._url.table) == ("s", "t")


def test_a_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no manifest"):
        open_store(str(tmp_path)).snapshot()
    (tmp_path / "other.txt").touch()
    with pytest.raises(ConfigurationError, match="holds no manifest"):
        open_store(str(tmp_path))


# looking


def test_what_a_file_says(file: Path) -> None:
    assert FileStore(file).pipeline is None
    assert FileStore(file).snapshot() == Snapshot(
        f"the file {file}", "file", MARKED, "orders", None, None, "r7", NOON, None
    )
    assert FileStore(file).entries() == []


def test_a_file_by_another_tap_says_less(file: Path) -> None:
    file.write_text('\ufeff{"bookmarks":{}}', encoding="utf-8")
    found = FileStore(file).snapshot()
    assert (found.text, found.pipeline, found.run_id, found.mark) == ('{"bookmarks":{}}', None, None, None)


def test_no_file(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    assert FileStore(path).snapshot() == Snapshot(f"the file {path}", "file", None)
    assert FileStore(path).snapshot().value is None
    assert FileStore(path).snapshot().mark is None


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"is a folder; name a file"):
        FileStore(tmp_path).snapshot()


def test_bytes_that_are_no_text_are_kept(file: Path) -> None:
    file.write_bytes(b'{"a":"\xff"}')
    found = FileStore(file).snapshot()
    assert found.text is not None
    assert found.text.encode("utf-8", "surrogateescape") == b'{"a":"\xff"}'
    words = (
        rf"^The state in the file {file} .*; set another one .*singerkit-state set.*singerkit-state reset`\."
    )
    with pytest.raises(ConfigurationError, match=words):
        _ = found.value


@pytest.mark.parametrize("torn", ["", "{", '{"bookmarks":', "[1]", '{"_singerkit":5}'])
def test_a_torn_value_has_no_mark(file: Path, torn: str) -> None:
    assert Snapshot("", "file", torn).mark is None


def test_what_a_manifest_says(folder: Path) -> None:
    assert ManifestStore(folder).pipeline == "orders"
    assert ManifestStore(folder).snapshot() == Snapshot(
        f"the folder {folder}", "manifest", MARKED, "orders", 3, 4, "r7", NOON, None
    )
    assert ManifestStore(folder).entries() == []


def test_when_an_older_manifest_was_committed(folder: Path) -> None:
    path = folder / manifest.NAME
    for sequence, at in ((4, NOON), (0, None)):
        manifest.write(folder, Manifest("orders", sequence, None, "r7", {}, 3))
        os.utime(path, (NOON.timestamp(), NOON.timestamp()))
        assert ManifestStore(folder).snapshot().committed_at == at


def test_a_manifest_that_went_away(tmp_path: Path) -> None:
    store = ManifestStore(tmp_path)
    for look in (store.snapshot, lambda: store.change(lambda text: text, "set")):
        with pytest.raises(ConfigurationError, match=r"holds no manifest _singerkit_manifest\.json"):
            look()
    assert store.pipeline is None


def test_who_holds_the_lock(store: Store) -> None:
    assert store.snapshot().holder is None
    with StateFileLock(lock_of(store)):
        holder = store.snapshot().holder
    assert holder is not None
    assert (holder.pid, holder.host) == (os.getpid(), platform.node())
    assert holder.since is not None
    assert abs((datetime.now(UTC) - datetime.fromisoformat(holder.since)).total_seconds()) < 60


def test_a_holder_in_words() -> None:
    assert Holder() == Holder(None, None, None, None, None, None)
    assert str(Holder()) == "a run"
    assert str(Holder(run_id="r1")) == "the run r1"
    assert str(Holder(pid=5, host="h", since="then")) == "a run (pid 5 on host h, since then)"
    assert str(Holder(session=7, application="psql")) == "a run (`psql`, server process 7)"
    full = Holder(5, "h", "then", "r1", 7, "tap")
    assert str(full) == "the run r1 (`tap`, pid 5 on host h, since then)"
    assert str(Holder(pid=0, host="h", session=7)) == "a run (pid 0 on host h)"
    assert str(Holder(session=0)) == "a run (server process 0)"


# changing


def test_a_file_is_changed(file: Path) -> None:
    begun = datetime.now(UTC).timestamp()
    done = FileStore(file).change(to(NEW), "set")
    assert file.read_text() == NEW + "\n"
    assert done.number == 1
    assert done.before == Snapshot(f"the file {file}", "file", MARKED, "orders", None, None, "r7", NOON, None)
    assert (done.after.where, done.after.text, done.after.holder) == (f"the file {file}", NEW, None)
    assert done.after.committed_at is not None
    assert done.after.committed_at.timestamp() >= begun - 5
    (entry,) = FileStore(file).entries()
    assert (entry.why, entry.run_id, entry.epoch, entry.sequence) == ("set", "r7", None, None)
    assert entry.text == MARKED


def test_a_file_is_forgotten(file: Path) -> None:
    done = FileStore(file).change(to(None), "reset")
    assert not file.exists()
    assert (done.after.text, done.after.committed_at) == (None, None)
    assert [entry.why for entry in history.read(file)] == ["reset"]
    again = FileStore(file).change(lambda former: NEW if former is None else None, "set")
    assert (again.before.text, again.after.text, again.number) == (None, NEW, 2)


def test_a_manifest_is_changed(folder: Path) -> None:
    begun = datetime.now(UTC)
    done = ManifestStore(folder).change(to(NEW), "set")
    found = manifest.read(folder)
    assert found is not None
    assert (found.pipeline, found.files) == ("orders", {"a.jsonl": 10})
    assert (found.epoch, found.sequence, found.state) == (4, 5, NEW)
    assert found.run_id == history.by_hand("set")
    at = datetime.fromisoformat(found.committed_at or "")
    assert abs((at - begun).total_seconds()) < 60
    assert len(found.committed_at or "") == len("2026-01-01T12:00:00.000+00:00")
    where = f"the folder {folder}"
    assert done.before == Snapshot(where, "manifest", MARKED, "orders", 3, 4, "r7", NOON, None)
    assert done.after == Snapshot(where, "manifest", NEW, "orders", 4, 5, found.run_id, at, None)
    assert done.number == 1
    (entry,) = ManifestStore(folder).entries()
    assert (entry.why, entry.run_id, entry.epoch, entry.sequence) == ("set", "r7", 3, 4)
    assert entry.text == MARKED


def test_a_manifest_forgets_its_state_and_keeps_its_files(folder: Path) -> None:
    done = ManifestStore(folder).change(to(None), "reset")
    assert done.after.text is None
    found = manifest.read(folder)
    assert found is not None
    assert (found.state, found.files, found.epoch) == (None, {"a.jsonl": 10}, 4)


def test_a_change_that_is_refused_changes_nothing(store: Store) -> None:
    def refuse(text: str | None) -> str | None:
        raise UsageError("no")

    before = store.snapshot()
    with pytest.raises(UsageError):
        store.change(refuse, "set")
    assert store.snapshot() == before
    assert store.entries() == []
    assert not lock_of(store).with_name(f"{lock_of(store).name}.lock").exists(), "the lock is free"


def test_a_run_keeps_changes_out(store: Store) -> None:
    before = store.snapshot()
    with StateFileLock(lock_of(store)):
        for change in (lambda: store.change(to(NEW), "set"), lambda: store.unlock(lambda _: True)):
            with pytest.raises(LockHeldError, match=str(os.getpid())):
                change()
    assert store.snapshot() == before


def test_a_commit_in_progress_keeps_changes_of_a_manifest_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "HELD_SECONDS", 0)
    with manifest.held(folder), pytest.raises(LockHeldError, match="in the middle of a commit"):
        ManifestStore(folder).change(to(NEW), "set")
    assert ManifestStore(folder).snapshot().text == MARKED


def test_unlock_removes_remains(store: Store) -> None:
    path = lock_of(store)
    (path.parent / f"{path.name}.lock").touch()
    assert store.unlock(lambda _: False) is None
    assert not (path.parent / f"{path.name}.lock").exists()
    assert json.loads(store.snapshot().text or "")["bookmarks"] == {"a": 1.1}
