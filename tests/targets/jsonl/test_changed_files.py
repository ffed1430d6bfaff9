"""Files that others have changed: nothing is cut that a run of ours has not written, and no file is filled up."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from targets.jsonl.test_commit import NEW, OLD, A, begun, numbers, put, stored, stream
from targets.jsonl.test_manifest import ROWS, at_work, load, row, state
from targets.jsonl.test_manifest import folder as folder_of_runs

from singerkit_shell.errors import ConfigurationError, FencedError
from singerkit_state import manifest
from singerkit_state.edit import without_streams
from singerkit_target.contract import RowsChanged, RowsCut, RowsGone, RowsUnclear, SafePoint
from singerkit_wire.batch import Reject
from target_jsonl import files
from target_jsonl.loader import REJECTS, JsonlLoader

runs = folder_of_runs
ONLY_B = '{"bookmarks":{"b":{"replication_key_value":1}}}'
BOTH = '{"bookmarks":{"a":{"replication_key_value":1},"b":{"replication_key_value":1}}}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the rows 1 and 2 of stream `a`, of a run that has ended well."""
    first = begun(tmp_path / "out")
    put(first, 1, 2)
    first.commit(OLD)
    first.close()
    return tmp_path / "out"


def killed(loader: JsonlLoader) -> None:
    """End a run as SIGKILL does: nothing is rolled back, nothing noted."""
    loader._leave = lambda: None  # type: ignore[method-assign]  # what a dead process does
    loader.close()


def rewritten(path: Path, change: Callable[[str], str]) -> bytes:
    path.write_text(change(path.read_text()))
    return path.read_bytes()


CHANGES: dict[str, Callable[[str], str]] = {
    "a line by hand": lambda text: text + '{"n":99}\n',
    "jq": lambda text: text.replace("}", ',"seen":true}'),
    "sed": lambda text: text.replace('{"n":', '{"masked":'),
    "unix2dos": lambda text: text.replace("\n", "\r\n"),
    "twice": lambda text: text * 2,
    "sort -r": lambda text: "".join(sorted(text.splitlines(keepends=True), reverse=True)),
    "other rows": lambda text: '{"foreign":1}\n' * 40,
}


@pytest.mark.parametrize(
    ("change", "is_killed"),
    [
        (name, is_killed)
        for name in CHANGES
        for is_killed in (False, True)
        if not (is_killed and name in ("a line by hand", "twice"))
    ],  # a run that died may have left those very bytes
)
def test_a_file_that_was_changed_is_refused_and_left_as_it_is(
    folder: Path, change: str, is_killed: bool
) -> None:
    """Longer files were cut to the committed length, in the middle of a row even."""
    if is_killed:
        killed(begun(folder))
    after = rewritten(folder / "a.jsonl", CHANGES[change])
    for _ in range(2):  # a run that was refused leaves nothing that makes the next one believe it
        second = begun(folder)
        with pytest.raises(RowsChanged, match=r"changed it (since|under or after a run)"):
            put(second, 3)
        second.rollback()
        second.close()
    assert (folder / "a.jsonl").read_bytes() == after
    third = begun(folder)
    third.change_state(lambda text: text, "adopt", as_it_is=True)
    third.close()
    fourth = begun(folder)
    put(fourth, 3)
    fourth.commit(NEW)
    fourth.close()
    assert (folder / "a.jsonl").read_bytes() == after + b'{"n":3}\n'


def test_only_the_stream_whose_file_was_changed_is_refused(folder: Path) -> None:
    after = rewritten(folder / "a.jsonl", CHANGES["a line by hand"])
    second = begun(folder)
    put(second, 5, to=stream("b"))
    second.commit(NEW)
    killed(second)
    third = begun(folder)
    with pytest.raises(RowsChanged):
        third.declare(A)
    third.close()
    assert (folder / "a.jsonl").read_bytes() == after
    assert numbers(folder, "b") == [5]


def test_a_changed_file_is_taken_as_it_is_where_the_state_says_nothing_of_it(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    after = rewritten(folder / "a.jsonl", CHANGES["jq"])
    second = begun(folder)
    second.expect_gone_rows()
    put(second, 3)
    second.rollback()
    assert (folder / "a.jsonl").read_bytes() == after
    put(second, 4)
    killed(second)
    assert "has 40 bytes, and 16 were committed; rows are appended to what is there" in caplog.text
    third = begun(folder)
    with pytest.raises(RowsChanged):  # what the dead run took was never committed, and its row 4 is gone
        third.declare(A)
    assert (folder / "a.jsonl").read_bytes() == after
    third.expect_gone_rows(always=True)
    put(third, 5)
    third.commit(NEW)
    third.close()
    assert (folder / "a.jsonl").read_bytes() == after + b'{"n":5}\n'
    assert stored(folder)["at_work"] == {}


def test_what_was_changed_after_a_kill_may_hold_uncommitted_rows_and_is_not_accepted(folder: Path) -> None:
    """`rows_gone: accept` took them for committed, and they came again."""
    first = begun(folder)
    put(first, 3)
    killed(first)
    after = rewritten(folder / "a.jsonl", CHANGES["jq"])
    second = begun(folder)
    second.expect_gone_rows(always=True)
    with pytest.raises(RowsChanged, match="rows may be in it that were not committed"):
        second.declare(A)
    second.change_state(lambda _: None, "start over")
    second.close()
    third = begun(folder)
    put(third, 1)
    third.commit(NEW)
    third.close()
    assert (folder / "a.jsonl").read_bytes() == after + b'{"n":1}\n'


def test_that_another_stream_starts_over_makes_no_uncommitted_rows_acceptable(tmp_path: Path) -> None:
    """It was forgotten that a run had been at work on the file, and `rows_gone: accept` took its rows for committed."""
    folder = tmp_path / "out"
    first = begun(folder)
    put(first, 1)
    put(first, 1, to=stream("b"))
    first.commit(BOTH)
    put(first, 2)
    killed(first)
    rewritten(folder / "a.jsonl", CHANGES["jq"])
    second = begun(folder)
    assert second.change_state(without_streams(["b"]), "start over") is not None
    second.close()
    third = begun(folder)
    third.expect_gone_rows(always=True)
    with pytest.raises(RowsUnclear):
        third.declare(A)
    third.close()


def test_a_file_that_was_moved_away_after_a_kill_is_accepted(folder: Path) -> None:
    first = begun(folder)
    put(first, 3)
    killed(first)
    (folder / "a.jsonl").rename(folder / "elsewhere")
    second = begun(folder)
    with pytest.raises(RowsGone):
        second.declare(A)
    second.expect_gone_rows(always=True)
    put(second, 4)
    second.commit(NEW)
    second.close()
    assert numbers(folder) == [4]


def test_what_a_killed_run_has_left_is_cut_off_and_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = begun(folder)
    put(first, 3)
    first.commit(NEW)
    put(first, 4)
    killed(first)
    begun(folder).close()
    assert numbers(folder) == [1, 2, 3]
    assert "What a run that died has left in" in caplog.text


@pytest.mark.parametrize("has_committed", [False, True])
def test_what_stands_in_the_place_of_the_file_of_a_first_run_that_was_killed_is_not_cut(
    tmp_path: Path, has_committed: bool
) -> None:
    """Behind nothing, any file is longer, and has the same end: the user's own was cut to nothing."""
    folder, mine = tmp_path / "out", b'{"my":"file"}\n'
    first = begun(folder)
    first.declare(A)
    if has_committed:
        first.commit(OLD)
    put(first, 1)
    killed(first)
    (folder / "a.jsonl").rename(folder / "left")
    (folder / "a.jsonl").write_bytes(mine)
    for _ in range(2):
        second = begun(folder)
        with pytest.raises(RowsUnclear, match="somebody has changed it under or after a run"):
            second.declare(A)
        second.rollback()
        second.close()
        assert (folder / "a.jsonl").read_bytes() == mine
    (folder / "a.jsonl").rename(folder / "mine")
    third = begun(folder)
    put(third, 1)
    killed(third)
    fourth = begun(folder)
    put(fourth, 1)
    fourth.commit(NEW)
    fourth.close()
    assert numbers(folder) == [1]


def test_what_a_first_run_that_was_killed_has_left_is_cut_off(tmp_path: Path) -> None:
    for _ in range(3):
        run = begun(tmp_path / "out")
        put(run, 1)
        killed(run)
    begun(tmp_path / "out").close()
    assert numbers(tmp_path / "out") == []


def as_the_former_version_left_it(folder: Path, **files: int) -> None:
    old = stored(folder)
    del old["ends"], old["at_work"]
    old["files"] |= files
    (folder / "_singerkit_manifest.json").write_text(json.dumps(old))


@pytest.mark.parametrize("is_killed", [False, True])
def test_what_a_killed_run_of_the_former_version_has_left_is_cut_off_once(
    folder: Path, is_killed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It was refused as changed by somebody; that of a first run, whose state says nothing, was kept and doubled."""
    as_the_former_version_left_it(folder, **{"b.jsonl": 0})
    rewritten(folder / "a.jsonl", CHANGES["a line by hand"])
    (folder / "b.jsonl").write_text('{"n":7}\n{"n"')
    if is_killed:  # before it has cut anything
        manifest.begin(folder, "orders", "killed")
    second = begun(folder)
    put(second, 3)
    put(second, 7, to=stream("b"))
    second.commit(NEW)
    second.close()
    assert (numbers(folder), numbers(folder, "b")) == ([1, 2, 3], [7])
    assert "a.jsonl is cut off, to 16 bytes" in caplog.text
    assert "b.jsonl is cut off, to 0 bytes" in caplog.text
    rewritten(folder / "a.jsonl", CHANGES["a line by hand"])
    third = begun(folder)
    with pytest.raises(RowsChanged):
        third.declare(A)
    third.close()


def test_a_file_of_the_former_version_that_is_shorter_is_refused_and_never_cut(folder: Path) -> None:
    as_the_former_version_left_it(folder)
    whole = (folder / "a.jsonl").read_bytes()
    os.truncate(folder / "a.jsonl", 8)
    second = begun(folder)
    with pytest.raises(RowsCut, match="has 8 bytes, and 16 were committed"):
        second.declare(A)
    second.close()
    (folder / "a.jsonl").write_bytes(whole * 2)
    third = begun(folder)
    with pytest.raises(RowsChanged):
        third.declare(A)
    third.close()
    assert (folder / "a.jsonl").read_bytes() == whole * 2
    (folder / "a.jsonl").write_bytes(whole)
    begun(folder).close()
    assert stored(folder)["at_work"] == {}


def test_only_the_end_of_a_file_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_END", 8)
    begun(folder).close()  # what was committed with another length of the end is another end
    second = begun(folder)
    with pytest.raises(
        RowsChanged, match="has the 16 bytes that were committed, and its last ones are others"
    ):
        second.declare(A)
    second.change_state(lambda text: text, "adopt", as_it_is=True)
    second.close()
    rewritten(folder / "a.jsonl", lambda text: text.replace("1", "7"))
    third = begun(folder)
    put(third, 3)
    third.commit(NEW)
    third.close()
    assert numbers(folder) == [7, 2, 3]


def test_dead_letters_that_were_changed_are_kept(folder: Path) -> None:
    first = begun(folder)
    first.reject([Reject("a", 1, "$", "lost", b"{}")])
    first.commit(OLD)
    first.close()
    after = rewritten(folder / REJECTS, CHANGES["jq"])
    second = begun(folder)
    second.reject([Reject("a", 2, "$", "lost", b"{}")])
    second.rollback()
    second.close()
    assert (folder / REJECTS).read_bytes() == after


def test_a_stream_starts_over_whatever_the_files_of_others_end_with(tmp_path: Path) -> None:
    """It was refused for the newline that another file lacks, which it does not append to."""
    folder = tmp_path / "out"
    first = begun(folder)
    put(first, 1)
    put(first, 1, to=stream("b"))
    first.reject([Reject("a", 1, "$", "lost", b"{}")])
    first.commit(BOTH)
    first.close()
    left = {name: rewritten(folder / name, lambda _: '{"edited":1}') for name in ("b.jsonl", REJECTS)}
    second = begun(folder)
    assert second.change_state(without_streams(["a"]), "start over") == ONLY_B
    with pytest.raises(ConfigurationError, match=r"b\.jsonl .* ends in the middle of a row"):
        second.change_state(without_streams(["b"]), "start over")
    (folder / "b.jsonl").unlink()
    second.close()
    third = begun(folder)
    assert third.change_state(lambda _: None, "start over") is None
    with pytest.raises(ConfigurationError, match=f"{REJECTS} .* ends in the middle of a row"):
        third.change_state(lambda text: text, "adopt", as_it_is=True)
    third.close()
    assert (folder / REJECTS).read_bytes() == left[REJECTS]


# while a run is at work


@pytest.mark.parametrize("length", [0, 4, 8])
@pytest.mark.parametrize("more", [(), (5,), (5, 6, 7, 8, 9)])
@pytest.mark.parametrize("end", ["rollback", "back", "commit"])
def test_a_file_that_is_cut_in_mid_run_is_not_filled_up(
    folder: Path, length: int, more: tuple[int, ...], end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The rollback padded it with NUL bytes up to the committed length."""
    second = begun(folder)
    put(second, 3)
    second.mark_safe(SafePoint(NEW))
    os.truncate(folder / "a.jsonl", length)
    put(second, *more)
    left = (folder / "a.jsonl").read_bytes()
    if end == "back":
        with pytest.raises(FencedError, match="Somebody else has written"):
            second.back_to_safe()
    elif end == "commit":
        with pytest.raises(FencedError, match="Somebody else has written"):
            second.commit(NEW)
    second.rollback()
    second.close()
    assert (folder / "a.jsonl").read_bytes() == left
    assert "it is left as it is, and the next run says what to do" in caplog.text
    third = begun(folder)
    with pytest.raises((RowsGone, ConfigurationError)):
        third.declare(A)
    third.close()
    assert (folder / "a.jsonl").read_bytes() == left


def test_a_line_of_somebody_else_in_mid_run_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    second = begun(folder)
    put(second, 3)
    with (folder / "a.jsonl").open("a") as file:
        file.write('{"n":99}\n')
    second.rollback()
    second.close()
    assert (
        "expected 24 bytes, found 33); what was not committed was cut off, whoever has written it"
        in caplog.text
    )
    assert numbers(folder) == [1, 2]


@pytest.mark.parametrize(("rest", "code"), [([row(4), "no JSON"], 65), ([row(4), state(4)], 76)])
def test_a_run_whose_file_is_cut_meanwhile_leaves_what_the_next_one_refuses(
    runs: Path, rest: list[Any], code: int
) -> None:
    with at_work(runs) as target:
        os.truncate(runs / "rows.jsonl", 0)
        target.send(
            "".join((part if isinstance(part, str) else json.dumps(part)) + "\n" for part in rest).encode()
        )
        target.finish().expect(code)
    left = (runs / "rows.jsonl").read_bytes()
    assert b"\0" not in left
    refused = load(runs, ROWS, row(5), state(5)).expect(69).last_words
    assert f"has {len(left)} bytes, and 24 were committed" in refused
    assert (runs / "rows.jsonl").read_bytes() == left
