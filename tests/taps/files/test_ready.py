"""Files that are not complete yet, and those from before the start, are left alone."""

from __future__ import annotations

import pytest
from taps.files.conftest import Folder

from singerkit_shell.errors import BadDataError
from singerkit_shell.walltime import wall_time


def test_f4_files_wait_for_the_marker_of_their_folder(folder: Folder):
    folder.stream |= {"path": "in/*/*", "format": "csv", "done_marker": "_SUCCESS"}
    folder.write("in/x/part-0", "id\n1\n")
    folder.write("in/y/part-0", "id\n2\n")
    folder.write("in/x/_SUCCESS", "")
    first = folder.sync()
    assert first.column("id") == [1]
    folder.write("in/y/_SUCCESS", "")
    assert folder.sync(first.state).column("id") == [2]


def test_f4_files_wait_for_the_marker_beside_them(folder: Folder):
    folder.stream |= {"path": "in/*", "format": "csv", "done_marker": ".done"}
    folder.write("in/a.csv", "id\n1\n")
    folder.write("in/b.csv", "id\n2\n")
    folder.write("in/b.csv.done", "")
    first = folder.sync()
    assert first.column("id") == [2]
    folder.write("in/a.csv.done", "")
    assert folder.sync(first.state).column("id") == [1]


def test_f4_files_wait_until_they_are_old_enough(folder: Folder, caplog):
    folder.write("in/a.csv", "id\n1\n", modified=1_000_000)
    folder.write("in/b.csv", "id\n2\n", modified=1_000_050)
    folder.stream["minimum_age"] = "2m"
    with caplog.at_level("INFO"), wall_time.replaced(lambda: 1_000_121.0, waits=False):
        first = folder.sync()
    assert first.column("id") == [1]
    assert "1 left to a later run, since they may not be complete yet" in caplog.text
    with wall_time.replaced(lambda: 1_000_171.0, waits=False):
        assert folder.sync(first.state).column("id") == [2]


@pytest.mark.parametrize("where", ["stream", "config"])
def test_f16_files_from_before_the_start_are_not_read(folder: Folder, where):
    folder.write("in/a.csv", "old\n1\n", modified=1_704_067_199)
    folder.write("in/b.csv", "id\n2\n", modified=1_704_067_200)
    start = "2024-01-01T01:00:00+01:00"
    if where == "stream":
        folder.stream["start_date"] = start
    else:
        folder.config["start_date"] = start
    assert folder.sync(file_columns=[]).rows() == [{"id": 2}]


def test_one_bad_file_does_not_hold_back_the_others(folder: Folder):
    folder.write("in/a.csv", b"id\n1\n\xff\n", modified=1_000_000)
    folder.write("in/b.csv", "id\n2\n", modified=2_000_000)
    folder.write("in/c.csv", b"\xff\n", modified=3_000_000)
    folder.write("in/d.csv", "id\n4\n", modified=4_000_000)
    folder.stream["on_error"] = "continue"
    with pytest.raises(BadDataError, match=r"in/a.csv.*2 files \(`in/a.csv`, `in/c.csv`\)"):
        folder.sync()
    first = folder.result()
    assert first.column("id") == [2, 4]
    assert not first.state["_singerkit"]["complete"]
    folder.write("in/a.csv", "id\n1\n", modified=5_000_000)
    folder.write("in/c.csv", "id\n3\n", modified=6_000_000)
    assert folder.sync(first.state).column("id") == [1, 3]
