"""Files that come late, with an earlier time or the same one; that grow; and that change."""

from __future__ import annotations

import contextlib
import gzip
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from taps.files.conftest import Folder, cuts, loaded

from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError, RetryableError
from singerkit_state.shards import Shard
from tap_files import streams
from tap_files.formats.rowgroups import RowGroups
from tap_files.places import local


def test_f1_a_file_that_comes_late_with_an_earlier_time_is_read(folder: Folder):
    folder.write("in/b.csv", "id\n1\n", modified=2_000_000)
    first = folder.sync()
    folder.write("in/a.csv", "id\n2\n", modified=1_000_000)
    assert folder.sync(first.state).column("id") == [2]


def test_f2_two_files_of_one_time_are_both_read(folder: Folder):
    folder.write("in/b.csv", "id\n1\n", modified=2_000_000)
    first = folder.sync()
    folder.write("in/c.csv", "id\n2\n", modified=2_000_000)
    assert folder.sync(first.state).column("id") == [2]


def test_a_file_that_has_grown_is_gone_on_with_at_its_end(folder: Folder):
    folder.write("in/a.csv", "id\n1\n2\n")
    first = folder.sync()
    folder.append("in/a.csv", "3\n")
    second = folder.sync(first.state)
    assert [(row["id"], row["_row"]) for row in second.rows()] == [(3, 3)]
    folder.append("in/a.csv", "4\n")
    assert folder.sync(second.state).column("_row") == [4]


AFTER = pytest.mark.parametrize(
    "after",
    ["id\n1\n3\n4\n", "id\n1\n", "id\n9\n2\n3\n", "id\n", ""],
    ids=["end", "shorter", "begin", "no row", "empty"],
)


@AFTER
def test_a_file_that_has_changed_replaces_its_rows_in_one_commit(folder: Folder, after, monkeypatch):
    monkeypatch.setattr("tap_files.formats.textreader.BLOCK_BYTES", 4)
    folder.write("in/a.csv", "id\n1\n2\n")
    folder.write("in/b.csv", "id\n7\n")
    first = folder.sync()
    folder.write("in/a.csv", after)
    second = folder.sync(first.state, state_every=1)
    wanted = sorted([*map(int, after.split()[1:]), 7])
    assert sorted(row["id"] for row in loaded(first.rows(), second.messages)) == wanted
    kinds = [one["type"] for one in second.messages if one["type"] != "SCHEMA"]
    assert (
        kinds
        == ["STATE", "REPLACE", *["RECORD"] * (len(wanted) - 1), "STATE", "STATE", "STATE"][: len(kinds)]
    )
    assert folder.sync(second.state).of_type("REPLACE") == []


@AFTER
def test_a_file_that_has_changed_ends_the_run_or_comes_again_where_it_is_said(folder: Folder, after):
    folder.write("in/a.csv", "id\n1\n2\n")
    state = folder.sync().state
    folder.write("in/a.csv", after)
    with pytest.raises(
        BadDataError, match=r"in/a.csv of stream `t` was read before \(2 rows\) and has changed since"
    ):
        folder.sync(state, on_changed="fail")
    assert folder.sync(state, on_changed="append").column("id") == list(map(int, after.split()[1:]))


def test_without_the_name_of_the_file_a_file_that_has_changed_ends_the_run_after_the_others(folder: Folder):
    folder.write("in/a.csv", "id\n1\n")
    folder.stream |= {"file_columns": [], "on_error": "continue"}
    state = folder.sync().state
    folder.write("in/a.csv", "id\n2\n", modified=1_000_000)
    folder.write("in/b.csv", "id\n3\n")
    with pytest.raises(BadDataError, match=r"in/a\.csv"):
        folder.sync(state)
    assert folder.result().column("id") == [3]
    with pytest.raises(ConfigurationError, match="needs `_file`"):
        folder.sync(on_changed="replace")


def test_a_file_whose_last_line_had_no_end_has_changed_when_it_grows(folder: Folder):
    """The last value may have been a part of one."""
    folder.write("in/a.csv", "id\n1\n2")
    first = folder.sync()
    folder.append("in/a.csv", "3\n")
    second = folder.sync(first.state)
    assert [row["id"] for row in loaded(first.rows(), second.messages)] == [1, 23]


def set_back(file: Path, before: os.stat_result) -> None:
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("policy", ["replace", "fail"])
def test_other_times_alone_bring_nothing_again_and_another_content_with_the_same_times_does(
    folder: Folder, policy
):
    """`touch` and `chmod` change nothing, and `cp -p` of a file of the same size and time does; the middle of it counts, too."""
    rows = [f"{n:04}x\n" for n in range(2000)]
    file = folder.write("in/a.csv", "id\n" + "".join(rows))
    folder.stream["on_changed"] = policy
    before = file.stat()
    state = folder.sync().state
    file.chmod(0o600)
    second = folder.sync(state)
    os.utime(file)
    third = folder.sync(second.state)
    assert (second.rows(), third.rows()) == ([], [])
    assert folder.sync(third.state).state["bookmarks"] == third.state["bookmarks"]
    rows[1000] = "other\n"
    folder.write("in/a.csv", "id\n" + "".join(rows))
    set_back(file, before)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    if policy == "fail":
        with pytest.raises(BadDataError, match="has changed since"):
            folder.sync(third.state)
    else:
        assert folder.sync(third.state).column("id") == [row.strip() for row in rows]


def test_f3_a_file_that_is_overwritten_with_its_times_set_back_while_it_is_read_is_read_again(
    folder: Folder, monkeypatch
):
    monkeypatch.setattr("tap_files.formats.textreader.BLOCK_BYTES", 6)
    file = folder.write("in/a.csv", "id\n10\n20\n30\n")
    before = file.stat()

    def overwritten():
        folder.write("in/a.csv", "id\n11\n22\n33\n")
        set_back(file, before)

    state = folder.sync(path="in/none*.csv").state
    Motion(monkeypatch, read2=overwritten)
    assert [row["id"] for row in loaded([], folder.sync(state).messages)] == [11, 22, 33]


def test_a_file_that_is_moved_away_while_it_is_read_is_read_to_its_end(folder: Folder, monkeypatch):
    monkeypatch.setattr("tap_files.formats.textreader.BLOCK_BYTES", 6)
    file = folder.write("in/a.csv", "id\n10\n20\n30\n")
    state = folder.sync(path="in/none*.csv").state
    Motion(monkeypatch, read2=lambda: file.rename(folder.path / "a.csv"))
    assert folder.sync(state).column("id") == [10, 20, 30]


def test_a_file_that_was_changed_in_its_middle_and_got_longer_has_not_only_grown(folder: Folder):
    """Its beginning and what stood at its end are what they were; the second time, too, after it has grown once."""
    rows = [f"{n:04}x\n" for n in range(2000)]
    folder.write("in/a.csv", "id\n" + "".join(rows))
    first = folder.sync()
    rows.append("2000x\n")
    folder.write("in/a.csv", "id\n" + "".join(rows))
    second = folder.sync(first.state)
    assert second.column("id") == ["2000x"]
    rows[1000] = "other\n"
    rows.append("2001x\n")
    folder.write("in/a.csv", "id\n" + "".join(rows))
    third = folder.sync(second.state)
    assert [row["id"] for row in loaded([*first.rows(), *second.rows()], third.messages)] == [
        row.strip() for row in rows
    ]


def test_a_file_that_was_read_in_part_and_changed_in_its_middle_has_not_only_grown(
    folder: Folder, monkeypatch
):
    """Found by `make torture ARGS='--from files'`: of a file that ended at a bad row two digests alone were compared."""
    monkeypatch.setattr("tap_files.formats.textreader.BLOCK_BYTES", 256)
    rows = [f"{n:04}x\n" for n in range(600)]
    folder.write("in/a.csv", "id\n" + "".join(rows) + "bad,row\n")
    with pytest.raises(BadDataError, match="601"):
        folder.sync()
    first = folder.result()
    rows[300] = "other\n"
    rows += ["0600x\n", "0601x\n"]
    folder.write("in/a.csv", "id\n" + "".join(rows))
    second = folder.sync(first.state)
    assert [row["id"] for row in loaded(first.rows(), second.messages)] == [row.strip() for row in rows]
    folder.write("in/a.csv", "id\n" + "".join(rows) + "bad,row\n")
    with pytest.raises(BadDataError, match="603"):
        folder.sync(second.state)
    folder.write("in/a.csv", "id\n" + "".join([*rows, "0602x\n"]))
    assert folder.sync(folder.result().state).column("id") == ["0602x"]


def test_no_state_stands_behind_each_of_many_files_that_have_changed(folder: Folder):
    """As it names all files, and a run that is killed just then reads those again."""
    for number in range(20):
        folder.write(f"in/{number}.csv", f"id\n{number}\n")
    first = folder.sync(state_every=1)
    for number in range(20):
        folder.write(f"in/{number}.csv", f"id\n{number + 100}\n")
    second = folder.sync(first.state, state_every=1)
    assert len(second.of_type("REPLACE")) == 20
    assert len(second.of_type("STATE")) < 5
    assert sorted(row["id"] for row in loaded(first.rows(), second.messages)) == [*range(100, 120)]


class Motion:
    """Changes files while they are read: before what a run reads, by its number, counted over all files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **changes: Callable[[], object]) -> None:
        self.changes, self.count = changes, 0
        read = local._LocalContent.read

        def moved(content, size):
            change = self.changes.get(f"read{self.count}")
            self.count += 1
            if change is not None:
                change()
            return read(content, min(size, 6))

        monkeypatch.setattr(local._LocalContent, "read", moved)


def test_a_log_that_is_emptied_while_it_is_read_says_that_the_next_run_has_the_rest(
    folder: Folder, monkeypatch
):
    """A key is no way out, which the sentence named: no row of a file comes twice by its position."""
    monkeypatch.setattr("tap_files.formats.wholelines.PIECE_BYTES", 6)
    log = folder.write("in/a.log", "a 10\na 20\n")
    folder.write("in/u.csv", "id\n1\n")
    stream = {"name": "t", "path": "in/*.log*", "format": "log", "log": {"expression": "a (?P<n>.*)"}}
    monkeypatch.setattr(folder, "settings", lambda: {"streams": [stream, {"name": "u", "path": "in/*.csv"}]})
    state = folder.sync().state
    folder.append("in/a.log", "a 30\na 40\n")
    Motion(monkeypatch, read13=lambda: log.write_text("a 5\n"))
    with pytest.raises(RetryableError, match=r"nobody can tell.*they come again with the next run\.$"):
        folder.sync(state)


@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("after", ["id\n11\n12\n13\n", "id\n1\n", "id\n10\n20\n30\n40\n"])
def test_f3_no_part_of_a_version_is_taken_for_the_whole(folder: Folder, monkeypatch, at, after):
    """Wherever a file is overwritten while it is read, and wherever the run ends: what is loaded in the end is the last version."""
    monkeypatch.setattr("tap_files.formats.textreader.BLOCK_BYTES", 6)
    monkeypatch.setattr(streams, "_LEAST_BYTES", 0)
    monkeypatch.setattr(streams, "_STATE_SHARE", 0)
    file = folder.write("in/a.csv", "id\n10\n20\n30\n", modified=1_000_000)
    motion = Motion(monkeypatch, **{f"read{at}": lambda: file.write_text(after)})
    with contextlib.suppress(BadDataError):
        folder.sync(state_every=1)
    motion.changes.clear()
    wanted = list(map(int, after.split()[1:])) if file.read_text() == after else [10, 20, 30]
    for committed, state in cuts(folder.result().messages):
        rest = folder.sync(state)
        assert [row["id"] for row in loaded(loaded([], committed), rest.messages)] == wanted


@pytest.mark.parametrize("at", [0, 1, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize(
    "after", ["id\n11\n21\n31\n41\n", "id,v\n1,1\n2,2\n3,3\n4,4\n", "id\n10\n20\n30\n40\n"]
)
def test_f3_a_longer_version_that_is_written_in_its_place_does_not_mix_with_the_former_one(
    folder: Folder, monkeypatch, at, after
):
    """It was taken for the file grown, and the seam for a bad row. (Between opening a file and its first byte, 2, nobody can tell.)"""
    monkeypatch.setattr("tap_files.formats.textreader.BLOCK_BYTES", 6)
    monkeypatch.setattr(streams, "_LEAST_BYTES", 0)
    monkeypatch.setattr(streams, "_STATE_SHARE", 0)
    file = folder.write("in/a.csv", "id\n10\n20\n30\n", modified=1_000_000)
    state = folder.sync(path="in/none*.csv").state
    Motion(monkeypatch, **{f"read{at}": lambda: file.write_text(after)})
    run = folder.sync(state, state_every=1)
    rows = [row["id"] for row in loaded([], run.messages)]
    assert rows in ([10, 20, 30], [int(line.split(",")[0]) for line in after.split()[1:]])


@pytest.mark.parametrize("is_moved", [False, True])
def test_f3_a_parquet_file_that_is_written_anew_while_it_is_read_is_read_again(
    folder: Folder, monkeypatch, is_moved: bool
):
    """It is read by its path, and nothing looked whether that is still the file that was listed."""
    file = folder.write("in/a.parquet", "")
    pq.write_table(pa.table({"id": [1, 2]}), file)
    pieces = RowGroups.pieces

    def overwritten(reader: RowGroups):
        yield from pieces(reader)
        monkeypatch.setattr(RowGroups, "pieces", pieces)
        new = file.with_suffix(".new") if is_moved else file
        pq.write_table(pa.table({"id": [3, 4, 5]}), new)
        new.replace(file)

    monkeypatch.setattr(RowGroups, "pieces", overwritten)
    run = folder.sync(path="in/*.parquet")
    assert [row["id"] for row in loaded([], run.messages)] == [3, 4, 5]
    assert folder.sync(run.state, path="in/*.parquet").rows() == []


@pytest.mark.parametrize("at", range(12))
def test_f3_a_longer_file_that_is_moved_to_the_place_of_one_is_not_that_one_grown(
    folder: Folder, monkeypatch, at
):
    """Found by `make torture ARGS='--from files'`: of logs that rotated between listing and reading another one was read, and a line came twice."""
    file = folder.write("in/a.csv", "id\n10\n20\n")
    first = folder.sync()
    folder.append("in/a.csv", "30\n")
    new = folder.write("new", "id\n11\n21\n31\n41\n")
    motion = Motion(monkeypatch, **{f"read{at}": lambda: new.replace(file)})
    second = folder.sync(first.state)
    motion.changes.clear()
    if new.exists():
        new.replace(file)
    third = folder.sync(second.state)
    table = loaded(loaded(first.rows(), second.messages), third.messages)
    assert [row["id"] for row in table] == [11, 21, 31, 41]


def test_f3_a_file_that_never_rests_ends_the_run(folder: Folder, monkeypatch):
    folder.write("in/a.csv", "id\n10\n20\n", modified=1_000_000)
    folder.write("in/b.csv", "id\n5\n")
    changes = {
        f"read{n}": lambda n=n: folder.write("in/a.csv", f"id\n{10 + n}\n20\n", modified=1_000_001 + n)
        for n in range(50)
    }
    Motion(monkeypatch, **changes)
    with pytest.raises(BadDataError, match="changes as often as it is read"):
        folder.sync()


def test_a_file_that_goes_away_before_it_is_read_is_told(folder: Folder, monkeypatch):
    folder.write("in/a.csv", "id\n1\n", modified=1_000_000)
    file = folder.write("in/b.csv", "id\n2\n")
    state = folder.sync(path="in/c*.csv").state
    Motion(monkeypatch, read0=file.unlink)
    with pytest.raises(BadDataError, match=r"in/b\.csv of stream `t` was listed, and went away"):
        folder.sync(state)
    assert folder.sync(folder.result().state).rows() == []


def test_rows_of_files_that_are_gone_go_where_it_is_said(folder: Folder, caplog):
    for name in "abc":
        folder.write(f"in/{name}.csv", f"id\n{name}\n")
    first = folder.sync()
    (folder.path / "in/a.csv").unlink()
    assert folder.sync(first.state).of_type("REPLACE") == []
    second = folder.sync(first.state, on_removed="delete")
    assert [row["id"] for row in loaded(first.rows(), second.messages)] == ["b", "c"]
    folder.write("in/a.csv", "id\na\n")
    third = folder.sync(second.state, on_removed="delete")
    assert third.column("id") == ["a"]
    for name in "abc":
        (folder.path / f"in/{name}.csv").unlink()
    assert folder.sync(third.state, on_removed="delete").of_type("REPLACE") == []
    assert "looks like a folder that is not mounted" in caplog.text


def test_no_row_goes_of_a_file_that_is_there_and_left_out(folder: Folder):
    folder.write("in/a.csv", "id\n1\n", modified=1_000_000)
    folder.write("in/b.csv", "id\n2\n")
    folder.stream["on_removed"] = "delete"
    first = folder.sync()
    for left_out in ({"path": "in/b*.csv"}, {"start_date": "2000-01-01T00:00:00Z"}):
        assert folder.sync(first.state, **left_out).of_type("REPLACE") == []
    (folder.path / "in/a.csv").unlink()
    for left_out in ({"path": "in/b*.csv"}, {"start_date": "2000-01-01T00:00:00Z"}):
        assert len(folder.sync(first.state, **left_out).of_type("REPLACE")) == 1


def test_no_row_goes_while_a_file_could_not_be_listed(folder: Folder, monkeypatch):
    folder.write("in/x/a.csv", "id\n1\n")
    folder.write("in/y/b.csv", "id\n2\n")
    folder.stream |= {"path": "in/**/*.csv", "on_removed": "delete"}
    state = folder.sync().state
    (folder.path / "in/x/a.csv").unlink()

    def refused(path: str, real=os.scandir):
        if path.endswith("y/"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(NotAuthorisedError, match="in/y"):
        folder.sync(state)
    assert folder.result().of_type("REPLACE") == []


def test_a_run_says_what_became_of_the_files(folder: Folder, caplog):
    caplog.set_level("INFO")
    for name in "abcd":
        folder.write(f"in/{name}.csv", "id\n1\n2\n")
    state = folder.sync().state
    assert "Looked at 4 files of stream `t`: 4 new." in caplog.text
    caplog.clear()
    folder.write("in/a.csv", "id\n1\n3\n4\n")
    folder.append("in/b.csv", "3\n")
    folder.write("in/new.csv", "id\n1\n")
    state = folder.sync(state).state
    assert (
        "5 files of stream `t`: 1 new, 1 grown or gone on with, 1 changed and read anew (in/a.csv), 2 with nothing new."
        in caplog.text
    )
    caplog.clear()
    folder.sync(state)
    assert "Looked at 5 files of stream `t`: 5 with nothing new." in caplog.text
    for name in ("e", "f"):
        folder.write(f"in/{name}.csv", b"\xff\n")
    for on_error, left in (("fail", "1 new, 6 not come to, or"), ("continue", "2 new, 5")):
        caplog.clear()
        with pytest.raises(BadDataError):
            folder.sync(state, on_error=on_error)
        assert f"Looked at 7 files of stream `t`: {left} with nothing new." in caplog.text


CUT_OTHERWISE = pytest.mark.parametrize(
    ("before", "now", "whole"),
    [
        ({}, {"csv": {"delimiter": ";"}}, [("1,a", None), ("2,b", None)]),
        ({}, {"csv": {"header": "first", "names": ["v", "id"]}}, [("a", "1"), ("b", "2")]),
        ({"csv": {"header": "none"}}, {}, [("1", "a"), ("2", "b")]),
        (
            {},
            {
                "format": "fixed_width",
                "fixed_width": {"columns": [{"name": "id", "width": 1}], "long_rows": "cut"},
            },
            [("i", None), ("1", None), ("2", None)],
        ),
    ],
    ids=["delimiter", "names", "header", "format"],
)


@CUT_OTHERWISE
def test_a_file_that_grows_is_read_again_where_settings_find_its_columns_elsewhere(
    folder: Folder, before, now, whole
):
    schema = {"properties": {name: {"type": ["null", "string"]} for name in ("id", "v", "id,v")}}
    header = "id,v\n"
    folder.write("in/a.csv", header + "1,a\n")
    first = folder.sync(schema=schema, **before)
    folder.append("in/a.csv", "2,b\n")
    second = folder.sync(first.state, schema=schema, **now)
    rows = loaded(first.rows(), second.messages)
    assert [(row.get("id") or row.get("id,v"), row.get("v")) for row in rows] == whole
    folder.append("in/a.csv", "3,c\n")
    third = folder.sync(second.state, schema=schema, **now)
    assert (len(third.rows()), third.of_type("REPLACE")) == (1, [])


@pytest.mark.parametrize("on_changed", ["replace", "append", "fail"])
def test_a_file_that_was_begun_is_not_gone_on_with_by_settings_that_find_its_columns_elsewhere(
    folder: Folder, monkeypatch, on_changed
):
    monkeypatch.setattr("tap_files.formats.textreader.BLOCK_BYTES", 8)
    folder.write("in/a.csv", "id,v\n1,a\n2,b\n3\n")
    with pytest.raises(BadDataError, match="Expected 2 fields"):
        folder.sync(on_changed=on_changed)
    first = folder.result()
    assert first.column("id") == [1, 2]
    now = {"csv": {"header": "first", "names": ["v", "id"], "short_rows": "pad"}, "on_changed": on_changed}
    if on_changed == "fail":
        with pytest.raises(BadDataError, match=r"was begun \(2 rows\) with other settings of its format"):
            folder.sync(first.state, **now)
        assert folder.result().rows() == []
        return
    second = folder.sync(first.state, **now)
    assert second.column("v") == ["1", "2", "3"]
    assert len(second.of_type("REPLACE")) == (on_changed == "replace")


_OTHERWISE = " set otherwise than for the run before."


def test_files_that_were_read_stay_where_settings_are_others_and_the_run_says_so_once(folder: Folder, caplog):
    told = (
        f"`csv.delimiter`, `csv.nulls` of stream `t` are{_OTHERWISE} What was loaded before of 2 files stays as it was read then: if it should come again, "
        "run `singerkit-state reset STATE --stream t` and run again. This is said once."
    )
    folder.write("in/a.csv", "id,v\n1,a\n")
    folder.write("in/b.csv", "id,v\n2,b\n")
    first = folder.sync()
    same = folder.sync(first.state, csv={"delimiter": ",", "header": "first"})
    assert (same.rows(), _OTHERWISE in caplog.text) == ([], False)
    second = folder.sync(same.state, csv={"delimiter": ";", "nulls": ["-"]})
    assert (second.rows(), caplog.text.count(told)) == ([], 1)
    folder.sync(second.state, csv={"delimiter": ";", "nulls": ["-"]})
    assert caplog.text.count(told) == 1


@pytest.mark.parametrize(
    ("news", "now", "said"),
    [
        ("id,v\n2,-\n", {"csv": {"nulls": ["-"]}}, f"`csv.nulls` of stream `t` is{_OTHERWISE} 1 file was read anew by it. This"),
        ("id,v\n1,a\n2,-\n", {"csv": {"nulls": ["-"]}}, f"{_OTHERWISE} What was loaded before of 1 file stays"),
        ("id,v\n1,a\n2,-\n", {"csv": {"header": "first", "names": ["n", "m"]}}, f"`csv.header`, `csv.names` of stream `t` are{_OTHERWISE} 1 file was read anew by them. This"),
        ('{"id": 1}', {"format": "jsonl"}, f"`format` of stream `t` is{_OTHERWISE} 1 file was read anew by it. This"),
    ],
    ids=["changed", "grown", "grown and cut otherwise", "format"],
)  # fmt: skip
def test_of_settings_that_are_others_a_run_says_what_came_of_them(folder: Folder, caplog, news, now, said):
    folder.write("in/a.csv", "id,v\n1,a\n")
    first = folder.sync()
    folder.write("in/a.csv", news)
    folder.sync(first.state, **now)
    assert said in caplog.text


@pytest.mark.parametrize("on_changed", ["replace", "fail"])
def test_what_mends_a_bad_row_has_the_rest_of_its_file_come(folder: Folder, monkeypatch, on_changed):
    monkeypatch.setattr("tap_files.formats.textreader.BLOCK_BYTES", 8)
    folder.write("in/a.csv", "id,v\n1,a\n2,b\n3\n")
    with pytest.raises(BadDataError, match="Expected 2 fields"):
        folder.sync(on_changed=on_changed)
    second = folder.sync(folder.result().state, on_changed=on_changed, csv={"short_rows": "pad"})
    assert (second.column("id"), second.of_type("REPLACE")) == ([3], [])


def test_a_compression_that_the_name_tells_anyway_is_no_other_setting(
    folder: Folder, caplog: pytest.LogCaptureFixture
):
    folder.write("in/a.csv.gz", gzip.compress(b"id\n1\n"))
    first = folder.sync(path="in/*.csv.gz")
    folder.write("in/a.csv.gz", gzip.compress(b"id\n1\n") + gzip.compress(b"2\n"))
    second = folder.sync(first.state, path="in/*.csv.gz", compression="gzip")
    assert (second.column("id"), second.of_type("REPLACE")) == ([2], [])
    assert _OTHERWISE not in caplog.text


def test_what_texts_mean_may_change_in_the_middle_of_a_file(folder: Folder, caplog):
    folder.write("in/a.csv", "id,v\n1,a\n")
    first = folder.sync()
    folder.append("in/a.csv", "2,-\n")
    second = folder.sync(first.state, csv={"nulls": ["-"]})
    assert [(row["id"], row["v"]) for row in second.rows()] == [(2, None)]
    assert (second.of_type("REPLACE"), _OTHERWISE in caplog.text) == ([], True)


def test_a_state_that_does_not_say_how_files_were_cut_is_gone_on_with(folder: Folder):
    folder.write("in/a.csv", "id\n1\n")
    state = folder.sync().state
    position = state["bookmarks"]["t"]["_singerkit_position"]
    del position["cuts"]
    position["done"] = {name: entry[:-1] for name, entry in position["done"].items()}
    folder.append("in/a.csv", "2\n")
    assert folder.sync(state).column("id") == [2]


@pytest.mark.parametrize(
    ("keys", "is_told"), [(["id"], True), (["_file", "id"], False), (None, False), ([], False)]
)
def test_where_files_may_share_keys_a_run_that_takes_rows_away_says_so(
    folder: Folder, caplog: pytest.LogCaptureFixture, keys: list[str] | None, is_told: bool
):
    """A row of an older file, whose place one of a newer file took, is in no table when that one goes."""
    folder.stream = {"primary_keys": keys, "schema": {"properties": {"id": {"type": "integer"}}}}
    folder.write("in/a.csv", "id\n1\n2\n", modified=1)
    folder.write("in/b.csv", "id\n2\n3\n", modified=2)
    first = folder.sync()
    assert "goes over files" not in caplog.text
    folder.write("in/b.csv", "id\n3\n")
    second = folder.sync(first.state)
    assert ("are taken from the target, and its key (`id`) goes over files" in caplog.text) == is_told
    caplog.clear()
    folder.write("in/late.csv", "id\n3\n", modified=3)
    folder.sync(second.state)
    assert ("(`in/late.csv`), and its key (`id`) goes over files" in caplog.text) == is_told
    folder.sync(shard=Shard(0, 2))
    assert ("several shards read them" in caplog.text) == is_told


def test_members_of_one_archive_may_share_keys(folder: Folder, caplog: pytest.LogCaptureFixture):
    folder.stream = {"path": "in/a.zip", "members": "*.csv", "primary_keys": ["id"]}

    def pack(**texts: str) -> None:
        with zipfile.ZipFile(folder.path / "in/a.zip", "w") as archive:
            for name, text in texts.items():
                archive.writestr(f"{name}.csv", text)

    pack(a="id\n1\n", b="id\n1\n2\n")
    first = folder.sync()
    pack(a="id\n1\n", b="id\n2\n")
    folder.sync(first.state)
    assert "goes over files" in caplog.text


def test_a_path_that_is_written_otherwise_is_refused_since_its_files_would_come_again(
    folder: Folder, caplog: pytest.LogCaptureFixture
):
    folder.write("in/a.csv", "id\n1\n")
    first = folder.sync()
    for alike in ("in/[a-c].csv", "./in/*.csv", "file://in/*.csv"):
        assert folder.sync(first.state, path=alike).rows() == []
    assert _OTHERWISE not in caplog.text
    absolute = f"{folder.path}/in/*.csv"
    with pytest.raises(
        ConfigurationError, match=r"like `in/a\.csv`, and its `path` is absolute now.*as it was"
    ):
        folder.sync(first.state, path=absolute)
    assert folder.result().rows() == []
    second = folder.sync(first.state, path=absolute, on_removed="delete")
    assert [row["_file"] for row in loaded(first.rows(), second.messages)] == [f"{folder.path}/in/a.csv"]
    with pytest.raises(ConfigurationError, match=r"its `path` is relative now"):
        folder.sync(second.state)


@pytest.mark.parametrize("now", ["in/b.csv", "other/a.csv"])
def test_a_file_that_was_moved_is_told_of_since_its_rows_are_there_twice(
    folder: Folder, caplog: pytest.LogCaptureFixture, now: str
):
    file = folder.write("in/a.csv", "id\n1\n")
    first = folder.sync(path="{in,other}/*.csv")
    (folder.path / "other").mkdir()
    file.rename(folder.path / now)
    second = folder.sync(first.state, path="{in,other}/*.csv")
    assert f"{now} those of in/a.csv" in caplog.text
    table = loaded(first.rows(), second.messages)
    assert len(table) == 2
    caplog.clear()
    third = folder.sync(second.state, path="{in,other}/*.csv", on_removed="delete")
    assert [row["_file"] for row in loaded(table, third.messages)] == [now]
    assert "those of in/a.csv" not in caplog.text


@pytest.mark.parametrize(
    ("written", "rest", "settings"),
    [
        ("id,na", "me\n1,a\n", {}),
        ('id,"na\nm', 'e"\n1,a\n', {}),
        ("\ufeffid,name\n1", "2,a\n", {}),
        ('{"id": 1}\n{"id": "x', '", "more": 1}\n', {"path": "in/*.jsonl"}),
    ],
    ids=["header", "header of two lines", "row", "json"],
)
def test_of_a_file_that_grows_no_line_is_taken_for_whole_that_has_no_end_yet(
    folder: Folder, caplog: pytest.LogCaptureFixture, written: str, rest: str, settings: dict[str, str]
):
    """Neither by the look at its beginning, which makes the first SCHEMA, nor by the read."""
    caplog.set_level("INFO")
    name = f"in/a.{settings.get('path', 'csv').rpartition('.')[2]}"
    folder.write(name, written)
    first = folder.sync(grows=True, **settings)
    folder.append(name, rest)
    second = folder.sync(first.state, grows=True, **settings)
    folder.write(name, written + rest)
    whole = folder.sync(grows=True, **settings)
    rows = [{"more": None, **row} for row in first.rows() + second.rows()]
    assert rows == [{"more": None, **row} for row in whole.rows()]
    assert {*first.properties(), *second.properties()} == {*whole.properties()}
    assert "changed and read anew" not in caplog.text


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        ({}, ["_file", "_row", "_etag"]),
        ({"primary_keys": ["id"]}, ["id"]),
        ({"primary_keys": []}, None),
        ({"file_columns": ["_file", "_row"]}, None),
        ({"primary_keys": ["_file", "_row"]}, "refused"),
        ({"file_columns": ["_file", "_line"], "primary_keys": ["_file", "_line"]}, "refused"),
    ],
)
def test_versions_that_stay_beside_each_other_never_share_keys(
    folder: Folder, settings: dict[str, list[str]], keys: list[str] | str | None
):
    folder.stream = {"on_changed": "append", **settings}
    folder.write("in/a.csv", "id\n1\n")
    if keys == "refused":
        with pytest.raises(ConfigurationError, match=r"`append` keeps each version.*add `_etag` to"):
            folder.sync()
        return
    [schema] = folder.sync().of_type("SCHEMA")
    assert schema.get("key_properties") == (keys or [])
