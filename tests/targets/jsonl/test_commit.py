"""Units of commit in files, in process: what is on the disk after each call of the contract."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batches import batch

from singerkit_shell.errors import (
    BadDataError,
    CannotWriteError,
    ConfigurationError,
    FencedError,
    LockHeldError,
    SingerkitError,
)
from singerkit_state import manifest
from singerkit_state.edit import without_streams
from singerkit_target.contract import RowsGone, SafePoint
from singerkit_wire.batch import Reject
from singerkit_wire.stream import Stream, stream_of
from target_jsonl.files import Files
from target_jsonl.loader import REJECTS, JsonlLoader

LOG = logging.getLogger("jsonl")
POINT = SafePoint()
OLD, NEW = '{"bookmarks":{"a":1}}', '{"bookmarks":{"a":2}}'


def stream(name: str = "a", **more: Any) -> Stream:
    properties = {"n": {"type": "integer"}, **more}
    return stream_of(name, {"properties": properties}, (), keeps_text=True)


A = stream()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "out"


@pytest.fixture
def loader(folder: Path) -> Iterator[JsonlLoader]:
    made = begun(folder)
    yield made
    made.close()


def begun(folder: Path, pipeline: str = "orders", *, add_metadata: bool = False) -> JsonlLoader:
    made = JsonlLoader(folder, LOG, add_metadata=add_metadata)
    made.open()
    made.begin(pipeline)
    return made


def put(loader: JsonlLoader, *numbers: int, to: Stream = A) -> None:
    loader.declare(to)
    loader.write(to, batch(to, ["n"], [(number,) for number in numbers]))


def numbers(folder: Path, name: str = "a") -> list[int]:
    return [json.loads(line)["n"] for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def stored(folder: Path) -> Any:
    return json.loads((folder / manifest.NAME).read_text())


# a unit of commit


def test_it_is_a_log() -> None:
    assert (JsonlLoader.abilities.is_log, JsonlLoader.abilities.appends("s")) == (True, True)


def test_the_manifest_counts_what_was_committed_and_no_more(loader: JsonlLoader, folder: Path) -> None:
    put(loader, 1, 2)
    assert stored(folder)["files"] == {"a.jsonl": 0}
    loader.commit(OLD)
    size = (folder / "a.jsonl").stat().st_size
    assert (stored(folder)["files"], stored(folder)["state"]) == ({"a.jsonl": size}, OLD)
    put(loader, 3)
    assert stored(folder)["files"] == {"a.jsonl": size}
    loader.commit(None)
    assert (stored(folder)["sequence"], stored(folder)["state"]) == (2, OLD)
    assert numbers(folder) == [1, 2, 3]


def test_the_next_run_cuts_off_what_was_not_committed_and_goes_on(folder: Path) -> None:
    first = begun(folder)
    put(first, 1)
    first.commit(OLD)
    put(first, 2)
    put(first, 9, to=stream("b"))
    first.close()
    assert numbers(folder) == [1, 2]
    second = JsonlLoader(folder, LOG, add_metadata=False)
    second.open()
    assert second.begin("orders") == OLD
    assert numbers(folder) == [1]
    put(second, 3, to=stream("b"))
    assert numbers(folder, "b") == [3], "its uncommitted beginning is gone"
    put(second, 4)
    second.commit(NEW)
    second.close()
    assert (numbers(folder), numbers(folder, "b")) == ([1, 4], [3])
    assert second.run_id != first.run_id


def test_a_first_run_has_no_state(folder: Path) -> None:
    one = JsonlLoader(folder, LOG, add_metadata=False)
    one.open()
    one.open()
    assert one.begin("orders") is None
    one.close()
    one.close()


def test_a_stream_may_be_declared_again_and_again(loader: JsonlLoader, folder: Path) -> None:
    put(loader, 1)
    put(loader, 2)
    loader.commit(OLD)
    put(loader, 3)
    assert numbers(folder) == [1, 2, 3]


def test_a_stream_that_is_declared_late_cuts_nothing_of_others(loader: JsonlLoader, folder: Path) -> None:
    put(loader, 1)
    loader.commit(OLD)
    put(loader, 2)
    loader.declare(stream("b"))
    assert numbers(folder) == [1, 2]
    assert (folder / "b.jsonl").read_text() == ""


@pytest.mark.parametrize("again", [False, True])
def test_rollback_gives_up_what_was_not_committed(loader: JsonlLoader, folder: Path, again: bool) -> None:
    put(loader, 1)
    loader.commit(OLD)
    put(loader, 2)
    put(loader, 5, to=stream("b"))
    loader.mark_safe(POINT)
    (loader.recover if again else loader.rollback)()
    assert (numbers(folder), numbers(folder, "b")) == ([1], [])
    assert loader.back_to_safe() is None
    put(loader, 3)
    loader.commit(NEW)
    assert numbers(folder) == [1, 3]


def test_rollback_before_anything_was_written_touches_nothing(folder: Path) -> None:
    made = JsonlLoader(folder, LOG, add_metadata=False)
    made.open()
    made.rollback()
    made.close()
    assert list(folder.iterdir()) == []


def test_going_back_to_a_safe_point(loader: JsonlLoader, folder: Path) -> None:
    assert loader.back_to_safe() is None
    put(loader, 1)
    loader.mark_safe(POINT)
    put(loader, 2)
    put(loader, 5, to=stream("b"))
    assert loader.back_to_safe() is POINT
    loader.commit(OLD)
    assert (numbers(folder), numbers(folder, "b")) == ([1], [])
    assert loader.back_to_safe() is None, "the point went with the commit"


# others


def test_a_second_run_at_once_is_refused(loader: JsonlLoader, folder: Path) -> None:
    with pytest.raises(LockHeldError, match="`orders`"):
        begun(folder)
    loader.close()
    begun(folder).close()


def test_another_pipeline_is_refused_and_leaves_the_folder_free(folder: Path) -> None:
    begun(folder).close()
    other = JsonlLoader(folder, LOG, add_metadata=False)
    other.open()
    with pytest.raises(ConfigurationError):
        other.begin("customers")
    other.close()
    begun(folder).close()


def overtaken(loader: JsonlLoader, folder: Path) -> JsonlLoader:
    """A newer run in the same folder, as after the lock file was removed by hand."""
    put(loader, 1)
    loader.commit(OLD)
    put(loader, 2)
    (folder / f"{manifest.NAME}.lock").unlink()
    return begun(folder)


def test_a_run_that_was_overtaken_changes_nothing_more(
    loader: JsonlLoader, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newer = overtaken(loader, folder)
    put(newer, 3)
    newer.commit(NEW)
    for change in (lambda: loader.commit(OLD), lambda: loader.declare(stream("b"))):
        with pytest.raises(FencedError):
            change()
    loader.mark_safe(POINT)
    with pytest.raises(FencedError):
        loader.back_to_safe()
    loader.rollback()
    assert "has taken over" in caplog.text
    assert numbers(folder) == [1, 3]
    assert stored(folder)["state"] == NEW
    newer.close()


def test_somebody_who_writes_meanwhile_is_noticed(loader: JsonlLoader, folder: Path) -> None:
    put(loader, 1)
    with (folder / "a.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(FencedError, match=r"expected 8 bytes, found 11"):
        loader.commit(OLD)
    assert stored(folder)["state"] is None


def test_a_file_that_went_meanwhile_is_noticed(loader: JsonlLoader, folder: Path) -> None:
    put(loader, 1)
    (folder / "a.jsonl").unlink()
    with pytest.raises(BadDataError, match="No such file or directory"):
        loader.commit(OLD)
    assert stored(folder)["state"] is None


def test_a_file_that_went_between_runs_begins_anew_and_is_told(folder: Path, caplog: Any) -> None:
    first = begun(folder)
    put(first, 1)
    put(first, 1, to=stream("b"))
    first.commit(OLD)
    first.close()
    (folder / "a.jsonl").unlink()
    second = begun(folder)
    with pytest.raises(RowsGone, match=r"a\.jsonl has 0 bytes, and 8 were committed"):
        put(second, 2)
    put(second, 2, to=stream("b"))
    second.commit(OLD)
    assert stored(folder)["files"]["a.jsonl"] == 8, "the next run knows it, too"
    second.expect_gone_rows()
    assert not (folder / "a.jsonl").exists()
    put(second, 2)
    assert "a.jsonl has 0 bytes, and 8 were committed" in caplog.text
    second.commit(NEW)
    second.close()
    assert (numbers(folder), numbers(folder, "b")) == ([2], [1, 2])


def test_a_file_that_went_is_not_made_again_with_a_hole_in_it(folder: Path) -> None:
    first = begun(folder)
    put(first, 1)
    first.commit(OLD)
    first.close()
    (folder / "a.jsonl").unlink()
    second = begun(folder)
    put(second, 5, to=stream("b"))
    second.rollback()
    second.close()
    assert not (folder / "a.jsonl").exists()


def test_a_file_that_has_lost_rows_is_refused(folder: Path) -> None:
    first = begun(folder)
    put(first, 1, 2)
    first.commit(OLD)
    first.close()
    os.truncate(folder / "a.jsonl", 3)
    second = JsonlLoader(folder, LOG, add_metadata=False)
    second.open()
    second.begin("orders")
    torn = "has 3 bytes, and 16 were committed, and it ends in the middle of a row"
    with pytest.raises(ConfigurationError, match=torn):
        second.declare(A)
    for edit in (without_streams(["a"]), lambda _: None):  # starting over leads to the same file
        with pytest.raises(ConfigurationError, match=torn):
            second.change_state(edit, "by hand")
    with pytest.raises(ConfigurationError, match=torn):
        second.change_state(lambda text: text, "by hand", as_it_is=True)
    second.expect_gone_rows()
    with pytest.raises(ConfigurationError, match=torn):
        second.declare(A)
    assert stored(folder)["state"] == OLD
    second.rollback()
    second.close()
    assert (folder / "a.jsonl").stat().st_size == 3


def test_uncommitted_dead_letters_of_an_earlier_run_are_cut_off(folder: Path) -> None:
    first = begun(folder)
    first.reject([Reject("a", 1, "$", "lost", b"{}")])
    first.close()
    second = begun(folder)
    second.reject([Reject("a", 2, "$", "kept", b"{}")])
    second.commit(OLD)
    second.close()
    assert [json.loads(line)["line"] for line in (folder / REJECTS).read_text().splitlines()] == [2]


def test_the_manifest_names_the_run(loader: JsonlLoader, folder: Path) -> None:
    assert stored(folder)["run_id"] == loader.run_id


def test_a_loader_that_is_closed_leaves_nothing_open(folder: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    made = begun(folder)
    put(made, 1)
    made.commit(OLD)
    made.close()
    assert len(os.listdir("/proc/self/fd")) == before


# what is written


def test_values_stand_as_they_came(loader: JsonlLoader, folder: Path) -> None:
    one = stream(doc={"type": "object"}, text={"type": "string"})
    loader.declare(one)
    loader.write(one, batch(one, ["text", "n", "doc"], [("{}", 1, '{"a":1.50}'), ("x", 2, None)]))
    loader.commit(OLD)
    lines = (folder / "a.jsonl").read_text().splitlines()
    assert lines == ['{"text":"{}","n":1,"doc":{"a":1.50}}', '{"text":"x","n":2,"doc":null}']


@pytest.mark.parametrize("add_metadata", [False, True])
def test_records_without_a_schema_are_stored_whole(folder: Path, add_metadata: bool) -> None:
    loader = begun(folder, add_metadata=add_metadata)
    whole = stream_of("any", {}, (), keeps_text=True)
    loader.declare(whole)
    loader.write(whole, batch(whole, ["_record", "more"], [('{"b":2}', 1), ("{}", 2)]))
    loader.commit(OLD)
    loader.close()
    assert (folder / "any.jsonl").read_text() == '{"b":2}\n{}\n'


def test_metadata_is_added_when_asked_for(folder: Path) -> None:
    loader = begun(folder, add_metadata=True)
    put(loader, 1, 2)
    loader.commit(OLD)
    loader.close()
    rows = [json.loads(line) for line in (folder / "a.jsonl").read_text().splitlines()]
    assert [row["n"] for row in rows] == [1, 2]
    assert rows[1]["_sdc_sequence"] == rows[0]["_sdc_sequence"] + 1


def test_a_field_that_is_called_like_metadata_is_the_taps(folder: Path) -> None:
    loader = begun(folder, add_metadata=True)
    number = {"type": "integer"}
    own = stream_of("a", {"properties": {"n": number, "_sdc_sequence": number}}, (), keeps_text=True)
    loader.declare(own)
    loader.write(own, batch(own, ["n", "_sdc_sequence"], [(1, 5)]))
    loader.write(own, batch(own, ["n"], [(2,)], 2))
    loader.commit(OLD)
    loader.close()
    rows = [json.loads(line) for line in (folder / "a.jsonl").read_text().splitlines()]
    assert [row.get("_sdc_sequence") for row in rows] == [5, None]


def test_dead_letters_are_part_of_the_unit(loader: JsonlLoader, folder: Path) -> None:
    odd = Reject("a\ud800", 7, "$.n\ud800", "no\ud800", b'{"n":"\xff"}')
    loader.reject([odd, Reject("b", 8, "$", "bad", b"{}")])
    loader.commit(OLD)
    loader.reject([Reject("c", 9, "$", "lost", b"{}")])
    loader.rollback()
    letters = [json.loads(line) for line in (folder / REJECTS).read_text().splitlines()]
    assert letters == [
        {
            "run_id": loader.run_id,
            "stream": "a?",
            "line": 7,
            "path": "$.n?",
            "reason": "no?",
            "record": '{"n":"\ufffd"}',
        },
        {"run_id": loader.run_id, "stream": "b", "line": 8, "path": "$", "reason": "bad", "record": "{}"},
    ]
    assert REJECTS == "_singerkit_rejects.jsonl"
    assert stored(folder)["files"] == {REJECTS: (folder / REJECTS).stat().st_size}


def test_versions_are_told_of_and_kept(loader: JsonlLoader, folder: Path, caplog: Any) -> None:
    put(loader, 1)
    loader.activate_version(A, 7)
    loader.commit(OLD)
    assert "ACTIVATE_VERSION 7 of stream `a`" in caplog.text
    assert "each complete load adds all its rows to those that are there" in caplog.text
    assert numbers(folder) == [1]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWriteError, match="destination_path"):
        JsonlLoader(tmp_path / "file" / "out", LOG, add_metadata=False).open()


# the files


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    made = Files(tmp_path)
    yield made
    made.close()


def test_data_is_appended_and_counted(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    files.cut({"a": 3})
    files.append("a", b"12")
    files.append("a", b"345")
    files.append("b", b"")
    assert (tmp_path / "a").read_bytes() == b"old12345"
    assert files.sizes == {"a": 8, "b": 0}


def test_a_large_piece_is_written_whole(files: Files, tmp_path: Path, monkeypatch: Any) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:3])))
    files.append("a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_files_are_cut_to_their_lengths_and_never_made_longer(files: Files, tmp_path: Path) -> None:
    files.append("a", b"12345")
    files.append("b", b"12345")
    os.truncate(tmp_path / "b", 1)
    files.cut({"a": 2, "b": 4, "c": 0})
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == {"a": b"12", "b": b"1", "c": b""}
    assert files.sizes == {"a": 2, "b": 4, "c": 0}
    files.append("a", b"x")
    assert (tmp_path / "a").read_bytes() == b"12x"


def test_what_was_written_is_synced(files: Files, monkeypatch: Any) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}").rsplit("/")[-1])
    )
    files.append("a", b"1")
    files.cut({"b": 0})
    files.sync()
    assert sorted(synced) == ["a", "b"]


def test_data_is_durable_before_the_manifest_says_so(
    loader: JsonlLoader, folder: Path, monkeypatch: Any
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, os.replace

    def noted_sync(descriptor: int) -> None:
        steps.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def noted_rename(source: Any, target: Any) -> None:
        steps.append(f"rename {Path(target).name}")
        rename(source, target)

    put(loader, 1)
    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_rename)
    loader.commit(OLD)
    assert steps[0] == "a.jsonl"
    assert steps[2:] == [f"rename {manifest.NAME}", folder.name]


def fails(*_: Any) -> Any:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("call", ["write", "fsync", "ftruncate", "open"])
def test_a_disk_that_fails_is_told_with_the_file(tmp_path: Path, monkeypatch: Any, call: str) -> None:
    files = Files(tmp_path)
    if call != "open":
        files.append("a", b"1")
    monkeypatch.setattr(os, call, fails)
    steps = {
        "write": lambda: files.append("a", b"2"),
        "fsync": files.sync,
        "ftruncate": lambda: files.cut({"a": 0}),
        "open": lambda: files.cut({"a": 0}),
    }
    with pytest.raises(CannotWriteError, match="No space left on device") as caught:
        steps[call]()
    assert str(tmp_path / "a") in str(caught.value)
    if call == "open":
        with pytest.raises(CannotWriteError):
            files.append("a", b"1")
    assert files.sizes == ({} if call == "open" else {"a": 1})
    monkeypatch.undo()
    files.close()


def test_links_are_not_followed(files: Files, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("keep")
    (tmp_path / "a").symlink_to("elsewhere")
    with pytest.raises(SingerkitError):
        files.append("a", b"x")
    assert (tmp_path / "elsewhere").read_text() == "keep"


def test_a_new_file_has_the_mode_of_the_umask(files: Files, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files.append("a", b"x")
        os.umask(0o027)
        files.append("b", b"x")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o666, 0o640]


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    files = Files(tmp_path)
    for _ in range(3):
        files.append("a", b"x")
        files.append("b", b"x")
    assert len(os.listdir("/proc/self/fd")) == len(before) + 2, "one for each file"
    files.close()
    files.close()
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_folder_that_goes_is_told(folder: Path) -> None:
    made = begun(folder)
    put(made, 1)
    shutil.rmtree(folder)
    with pytest.raises(SingerkitError):
        made.commit(OLD)
    made.close()
