"""Files that come late, with an earlier time or the same one; that grow; and that change."""

from __future__ import annotations

import pytest
from taps.files.conftest import Folder

from singerkit_shell.errors import BadDataError


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


@pytest.mark.parametrize(
    "after", ["id\n1\n3\n4\n", "id\n1\n", "id\n9\n2\n3\n"], ids=["end", "shorter", "begin"]
)
def test_a_file_that_has_changed_ends_the_run_or_comes_again(folder: Folder, after):
    folder.write("in/a.csv", "id\n1\n2\n")
    state = folder.sync().state
    folder.write("in/a.csv", after)
    with pytest.raises(BadDataError, match=r"in/a.csv was read before \(2 rows\) and has changed since"):
        folder.sync(state)
    assert folder.sync(state, on_changed="append").column("id") == list(map(int, after.split()[1:]))


def test_a_file_whose_last_line_had_no_end_has_changed_when_it_grows(folder: Folder):
    """The last value may have been a part of one."""
    folder.write("in/a.csv", "id\n1\n2")
    state = folder.sync().state
    folder.append("in/a.csv", "3\n")
    with pytest.raises(BadDataError, match="has changed since"):
        folder.sync(state)
