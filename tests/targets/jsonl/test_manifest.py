"""The manifest: fences zombies, keeps what each run began with, and is changed by hand under the same rules."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome, Running, run
from conformance.singer import RECORD, SCHEMA, STATE, lines
from state.state_tool import answer, tool
from waiting import wait_until

from singerkit_shell.errors import ConfigurationError, FencedError, LockHeldError
from singerkit_state import manifest

TARGET = str(Path(sys.executable).with_name("target-jsonl"))
ROWS = SCHEMA("rows", {"n": {"type": "integer"}})


def row(number: int) -> Any:
    return RECORD("rows", {"n": number})


def state(number: int) -> Any:
    return STATE({"bookmarks": {"rows": {"replication_key_value": number}}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with rows 1 and 2 in it."""
    (tmp_path / "config.json").write_text(
        json.dumps({"destination_path": str(tmp_path / "out"), "commit_rows": 1})
    )
    load(tmp_path / "out", ROWS, row(1), row(2), state(2)).expect(0)
    return tmp_path / "out"


def command(folder: Path) -> list[str]:
    return [TARGET, "--config", str(folder.with_name("config.json"))]


def load(folder: Path, *messages: Any) -> Outcome:
    return run(command(folder), stdin=lines(*messages))


@contextlib.contextmanager
def at_work(folder: Path, number: int = 3) -> Iterator[Running]:
    """A target that has committed row ``number`` and waits for more."""
    with Running(command(folder)) as target:
        target.send(lines(ROWS, row(number), state(number)))
        assert target.wait_for(lambda out: len(out) == 1)
        yield target


def rows(folder: Path) -> list[int]:
    """The rows that the manifest counts."""
    size = json.loads((folder / manifest.NAME).read_text())["files"]["rows.jsonl"]
    return [json.loads(line)["n"] for line in (folder / "rows.jsonl").read_bytes()[:size].splitlines()]


# fencing


def test_a_run_that_was_stopped_for_long_commits_nothing_and_cuts_nothing(folder: Path) -> None:
    """P8 for files: its lock file was removed by hand, a newer run came, and then it goes on."""
    with at_work(folder) as zombie:
        zombie.signal(signal.SIGSTOP)
        (folder / f"{manifest.NAME}.lock").unlink()
        load(folder, ROWS, row(4), state(4)).expect(0)
        zombie.signal(signal.SIGCONT)
        zombie.send(lines(row(5), state(5)))
        outcome = zombie.finish().expect(76)
    assert "has taken over" in outcome.last_words
    assert rows(folder) == [1, 2, 3, 4]
    load(folder, ROWS, row(6), state(6)).expect(0)
    assert [json.loads(line)["n"] for line in (folder / "rows.jsonl").read_text().splitlines()] == [
        1,
        2,
        3,
        4,
        6,
    ]


def test_what_a_zombie_writes_under_a_run_is_never_committed(folder: Path) -> None:
    with at_work(folder) as target:
        with (folder / "rows.jsonl").open("a") as file:
            file.write('{"n":99}\n')
        target.send(lines(row(4), state(4)))
        outcome = target.finish().expect(76)
    assert "Somebody else has written to" in outcome.last_words
    assert rows(folder) == [1, 2, 3]
    load(folder, ROWS, row(4), state(4)).expect(0)
    assert rows(folder) == [1, 2, 3, 4]


def test_a_file_that_goes_in_mid_run_is_missed(folder: Path) -> None:
    with at_work(folder) as target:
        (folder / "rows.jsonl").unlink()
        target.send(lines(row(4), state(4)))
        outcome = target.finish().expect(65)
    assert "is gone or out of reach" in outcome.last_words
    assert answer("get", folder, "rows") == {"replication_key_value": 3}


@pytest.mark.parametrize(("left", "code"), [(None, 69), ('{"n":1}', 78), ('{"n":1}\n', 69)])
def test_a_file_that_has_lost_rows_is_refused_and_holds_no_holes(
    folder: Path, left: str | None, code: int
) -> None:
    path = folder / "rows.jsonl"
    path.unlink()
    if left is not None:
        path.write_text(left)
    refused = load(folder, ROWS, row(3), state(3)).expect(code)
    assert f"has {len(left or '')} bytes, and 16 were committed" in refused.last_words
    assert (path.read_text() if path.exists() else None) == left


def test_dead_letters_of_a_run_that_was_killed_are_cut_off(folder: Path) -> None:
    listed = json.loads((folder / manifest.NAME).read_text())
    listed["files"]["_singerkit_rejects.jsonl"] = 0
    (folder / "_singerkit_rejects.jsonl").write_text("left over by a killed run\n")
    inode = (folder / "_singerkit_rejects.jsonl").stat().st_ino
    listed["at_work"]["_singerkit_rejects.jsonl"] = [0, f"inode {inode}"]
    (folder / manifest.NAME).write_text(json.dumps(listed))
    config = folder.with_name("config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | {"on_invalid": "quarantine"}))
    load(folder, ROWS, RECORD("rows", {"n": "x"}), row(3), state(3)).expect(0)
    letters = (folder / "_singerkit_rejects.jsonl").read_text().splitlines()
    assert [json.loads(letter)["path"] for letter in letters] == ["$.n"]


@pytest.mark.parametrize("name", ["others.jsonl", "_singerkit_rejects.jsonl"])
def test_a_file_that_the_manifest_does_not_list_is_left_alone(folder: Path, name: str) -> None:
    """It was cut to nothing."""
    (folder / name).write_text("rows of somebody else\n")
    config = folder.with_name("config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | {"on_invalid": "quarantine"}))
    others = SCHEMA("others", {"n": {"type": "integer"}})
    refused = load(folder, ROWS, RECORD("rows", {"n": "x"}), others, RECORD("others", {"n": 1}), state(3))
    assert f"The file {folder / name} is there already" in refused.expect(78).last_words
    assert (folder / name).read_text() == "rows of somebody else\n"
    (folder / name).rename(folder / "moved away")
    load(folder, ROWS, RECORD("rows", {"n": "x"}), others, RECORD("others", {"n": 1}), state(3)).expect(0)
    assert (folder / "others.jsonl").read_text() == '{"n":1}\n'


def test_the_beginning_of_a_file_that_a_killed_run_has_left_is_known_as_ours(folder: Path) -> None:
    others = SCHEMA("others", {"n": {"type": "integer"}})
    with Running(command(folder)) as target:
        target.send(lines(others, ROWS, RECORD("others", {"n": 1}), row(7)))
        wait_until(lambda: "others.jsonl" in json.loads((folder / manifest.NAME).read_text())["files"])
        target.signal(signal.SIGKILL)
    (folder / "others.jsonl").write_text('{"n":')  # as far as it came
    load(folder, others, RECORD("others", {"n": 2}), state(3)).expect(0)
    assert (folder / "others.jsonl").read_text() == '{"n":2}\n'


def test_a_manifest_that_is_a_link_is_replaced_and_not_written_through(folder: Path) -> None:
    outside = folder.with_name("outside.json")
    (folder / manifest.NAME).rename(outside)
    before = outside.read_text()
    (folder / manifest.NAME).symlink_to(outside)
    load(folder, ROWS, row(3), state(3)).expect(0)
    assert outside.read_text() == before
    assert rows(folder) == [1, 2, 3]


def test_epoch_and_sequence_fence(tmp_path: Path) -> None:
    first = manifest.begin(tmp_path, "p", "run-1")
    committed = manifest.commit(tmp_path, first, '{"a":1}', {"x": 1})
    assert (committed.epoch, committed.sequence, committed.state) == (1, 1, '{"a":1}')
    with pytest.raises(FencedError, match="`run-1` has taken over"):
        manifest.commit(tmp_path, first, '{"a":2}', {})
    second = manifest.begin(tmp_path, "p", "run-2")
    assert (second.epoch, second.sequence, second.files) == (2, 1, {"x": 1})
    with pytest.raises(FencedError, match="`run-2` has taken over") as caught:
        manifest.commit(tmp_path, committed, '{"a":2}', {})
    assert caught.value.exit_code == 76
    assert manifest.commit(tmp_path, second, None, {"x": 2}).state == '{"a":1}'
    (tmp_path / manifest.NAME).unlink()
    with pytest.raises(FencedError, match="is gone"), manifest.mine(tmp_path, second):
        pass


def test_a_process_stopped_in_mid_commit_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "HELD_SECONDS", 0.05)
    with manifest.held(tmp_path), pytest.raises(LockHeldError, match="in the middle of a commit"):
        manifest.begin(tmp_path, "p", "run-1")
    assert manifest.begin(tmp_path, "p", "run-2").epoch == 1


def test_a_manifest_of_an_older_version_goes_on(folder: Path) -> None:
    path = folder / manifest.NAME
    old = json.loads(path.read_text())
    del old["epoch"], old["committed_at"], old["ends"], old["at_work"]
    path.write_text(json.dumps(old))
    shown = answer("show", folder, "--json")
    assert (shown["epoch"], shown["sequence"]) == (0, 1)
    assert shown["committed_at"].startswith("20")
    load(folder, ROWS, row(3), state(3)).expect(0)
    assert rows(folder) == [1, 2, 3]
    assert answer("show", path, "--json")["epoch"] == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pipeline":"p","colour":1}'])
def test_a_manifest_that_is_none_is_refused_and_left_alone(folder: Path, text: str) -> None:
    (folder / manifest.NAME).write_text(text)
    assert "cannot be read" in load(folder, ROWS, row(3), state(3)).expect(78).last_words
    with pytest.raises(ConfigurationError):
        manifest.begin(folder, "default", "run-2")
    assert (folder / manifest.NAME).read_text() == text


# by hand


def test_show_set_and_back(folder: Path) -> None:
    shown = answer("show", folder, "--json")
    assert (shown["kind"], shown["pipeline"], shown["epoch"], shown["sequence"]) == (
        "manifest",
        "default",
        1,
        1,
    )
    done = answer("set", folder, '{"bookmarks":{"rows":{"replication_key_value":1.50}}}', "--json")
    assert (done["after"]["epoch"], done["after"]["sequence"], done["history"]) == (2, 2, 1)
    assert tool("get", folder, "rows").stdout == b'{"replication_key_value":1.50}\n'
    assert rows(folder) == [1, 2], "the files stay as they are"
    assert answer("show", folder, "--json")["run_id"].startswith("singerkit-state set by ")
    tool("history", folder, "--restore", 1)
    assert answer("get", folder, "rows") == {"replication_key_value": 2}
    assert [entry["why"] for entry in answer("history", folder, "--json")["entries"]] == ["restore", "set"]
    tool("reset", folder, "--yes")
    assert answer("show", folder, "--json")["state"] is None
    load(folder, ROWS, row(3), state(3)).expect(0)
    assert rows(folder) == [1, 2, 3]


def test_what_is_said_of_a_change_is_true_of_files(folder: Path) -> None:
    """Rows were said to be updated by key, and the command that was advised ended with 64."""
    said = tool("set", folder, "--stream", "rows", '{"replication_key_value":1}').stderr
    assert "`--last-state --state-file FILE --pipeline default`" in said
    state_file = folder.with_name("state.json")
    for more in (["--pipeline", "default"], []):
        run([*command(folder), "--last-state", "--state-file", str(state_file), *more]).expect(0)
        assert json.loads(state_file.read_text())["bookmarks"]["rows"] == {"replication_key_value": 1}
        state_file.unlink()
    said = tool("reset", folder, "--yes").stderr
    assert "what the next run reads again is there twice, with a key too, unless you move the files" in said
    (folder / "rows.jsonl").unlink()
    load(folder, ROWS, row(1), row(2), state(2)).expect(0)
    assert rows(folder) == [1, 2]


def test_the_pipeline_of_the_folder_is_kept(folder: Path) -> None:
    foreign = '{"bookmarks":{"a":1},"_singerkit":{"run":"r","pipeline":"theirs","complete":true}}'
    assert "`theirs`" in tool("set", folder, foreign, expect=[78]).last_words
    tool("set", folder, foreign, "--adopt")
    assert answer("get", folder)["_singerkit"]["pipeline"] == "default"


def test_a_run_at_work_keeps_changes_out(folder: Path) -> None:
    with at_work(folder) as target:
        for arguments in (["set", folder, '{"a":1}'], ["reset", folder, "--yes"], ["unlock", folder]):
            assert f"pid {target._process.pid}" in tool(*arguments, expect=[75]).last_words
        assert answer("show", folder, "--json")["lock"]["pid"] == target._process.pid
        target.send(lines(row(4), state(4)))
        target.finish().expect(0)
    assert rows(folder) == [1, 2, 3, 4]


# the history of runs


def test_each_run_keeps_what_it_began_with_once(folder: Path) -> None:
    load(folder, ROWS, row(3), state(3), row(4), state(4)).expect(0)
    load(folder, ROWS, state(4)).expect(0)
    load(folder, ROWS, state(4)).expect(0)
    entries = answer("history", folder, "--json")["entries"]
    assert [
        (entry["why"], entry["state"]["bookmarks"]["rows"]["replication_key_value"]) for entry in entries
    ] == [
        ("run", 4),
        ("run", 2),
    ]


def test_a_history_that_cannot_be_written_stops_no_run(folder: Path) -> None:
    (folder / f"{manifest.NAME}.history").mkdir()
    done = load(folder, ROWS, row(3), state(3)).expect(0)
    assert done.stderr.count("is not kept") == 1
    assert rows(folder) == [1, 2, 3]
    tool("set", folder, '{"bookmarks":{"a":1}}', expect=[78])
    shutil.rmtree(folder / f"{manifest.NAME}.history")
    tool("set", folder, '{"bookmarks":{"a":1}}')
