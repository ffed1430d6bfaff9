"""Which files a path names, on a disk: wildcards, links, folders that are not there."""

from __future__ import annotations

import os
import re

import pytest
from taps.files.conftest import Folder

from singerkit_shell.errors import BadDataError, ConfigurationError
from tap_files.listing import Pattern
from tap_files.places.local import LocalPlace

NAMES = [
    "a.csv",
    "b.tsv",
    ".a.csv",
    "dt=1/a.csv",
    "dt=1/x/b.csv",
    "dt=2/.t/c.csv",
    "dt=2/a b.csv",
    "x[1].csv",
]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.csv", ["a.csv", "x[1].csv"]),
        ("?.{csv,tsv}", ["a.csv", "b.tsv"]),
        (".a.csv", [".a.csv"]),
        ("**/*.csv", ["a.csv", "dt=1/a.csv", "dt=1/x/b.csv", "dt=2/a b.csv", "x[1].csv"]),
        ("dt=*/*.csv", ["dt=1/a.csv", "dt=2/a b.csv"]),
        ("dt=1/**", ["dt=1/a.csv", "dt=1/x/b.csv"]),
        ("dt=[!1]/*", ["dt=2/a b.csv"]),
        ("x[[]1].csv", ["x[1].csv"]),
        ("dt=1/a.csv", ["dt=1/a.csv"]),
        ("nothing*", []),
    ],
)
def test_a_pattern_names_files_as_a_shell_does(folder: Folder, pattern, names):
    for name in NAMES:
        folder.write(f"in/{name}", "id\n1\n")
    found = Pattern(f"in/{pattern}").files(LocalPlace(str(folder.path)))
    assert sorted(one.name for one in found) == [f"in/{name}" for name in names]


@pytest.mark.parametrize("pattern", ["a/**b/*.csv", "a[b.csv", "{a,b.csv", "dt=*/dt=*/a.csv"])
def test_a_pattern_that_is_none_is_refused(pattern):
    with pytest.raises(ValueError, match="Expected"):
        Pattern(pattern)


@pytest.mark.parametrize("path", ["../in/*.csv", "in/../*.csv", "in//*.csv", "ftp://host/a.csv"])
def test_f14_a_path_that_leads_elsewhere_is_refused(folder: Folder, path):
    with pytest.raises(ConfigurationError, match=r"streams\[0\].path"):
        folder.tap(path=path)


def test_f14_links_are_followed_and_a_circle_once(folder: Folder):
    folder.write("in/sub/a.csv", "id\n1\n")
    folder.write("elsewhere/b.csv", "id\n2\n")
    os.symlink(folder.path / "in", folder.path / "in/sub/up")
    os.symlink(folder.path / "elsewhere", folder.path / "in/other")
    os.symlink("nowhere", folder.path / "in/dangling.csv")
    os.symlink("self.csv", folder.path / "in/self.csv")
    rows = folder.sync(path="in/**/*.csv").rows()
    assert sorted(row["_file"] for row in rows) == ["in/other/b.csv", "in/sub/a.csv"]


def test_a_name_that_is_no_text_is_refused(folder: Folder):
    with open(os.fsencode(folder.path / "in") + b"/\xff.csv", "wb") as file:
        file.write(b"id\n1\n")
    with pytest.raises(BadDataError, match=re.escape("in/\\xff.csv")):
        folder.sync()


def test_parts_of_the_path_become_columns(folder: Folder):
    folder.write("in/dt=2026-01-31/land=C%C3%B4te/a.csv", "id\n1\n", modified=1_000_000)
    folder.write("in/dt=__HIVE_DEFAULT_PARTITION__/land=7/b.csv", "id\n2\n", modified=2_000_000)
    rows = folder.sync(path="in/dt=*/land=*/*.csv", file_columns=["_modified"]).rows()
    assert rows == [
        {"id": 1, "dt": "2026-01-31", "land": "Côte", "_modified": "1970-01-12T13:46:40.000000Z"},
        {"id": 2, "dt": None, "land": "7", "_modified": "1970-01-24T03:33:20.000000Z"},
    ]


@pytest.mark.parametrize(
    ("part", "what"), [("dt=x", "`integer` in the part `dt=`"), ("dt=%FF", "percent signs")]
)
def test_a_part_of_the_path_that_says_nothing_good_is_told(folder: Folder, part, what):
    folder.write(f"in/{part}/a.csv", "id\n1\n")
    with pytest.raises(BadDataError, match=what):
        folder.sync(path="in/dt=*/*.csv", schema={"properties": {"dt": {"type": "integer"}}})


def test_f20_a_folder_that_is_not_there_is_an_error_and_an_empty_one_is_none(folder: Folder, caplog):
    with pytest.raises(ConfigurationError, match="gone is not there"):
        folder.sync(path="gone/*.csv")
    assert folder.sync().rows() == []
    assert "No file of stream `t` is there" in caplog.text


def test_an_absolute_path_names_files_so(folder: Folder):
    folder.write("in/a.csv", "id\n1\n")
    assert folder.sync(path=f"file://{folder.path}/in/*.csv").column("_file") == [f"{folder.path}/in/a.csv"]
