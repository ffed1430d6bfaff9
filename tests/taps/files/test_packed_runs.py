"""Whole runs on packed files, archives and JSON: in the stream, in the state, in errors."""

from __future__ import annotations

import gzip
import json
import zipfile

import pytest

from singerkit_shell.errors import BadDataError, ConfigurationError


def zipped(folder, name, members):
    with zipfile.ZipFile(folder.path / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in members.items():
            archive.writestr(member, text)


def test_packed_files_come_once_and_name_themselves(folder):
    folder.write("in/a.csv.gz", gzip.compress(b"id\n1\n") + gzip.compress(b"2\n"))
    folder.write("in/b.csv", "id\n3\n")
    run = folder.sync(path="in/*.csv*", format="csv")
    assert [(row["_file"], row["_row"], row["id"]) for row in run.rows()] == [
        ("in/a.csv.gz", 1, 1),
        ("in/a.csv.gz", 2, 2),
        ("in/b.csv", 1, 3),
    ]
    assert folder.sync(run.state, path="in/*.csv*", format="csv").rows() == []
    folder.write("in/a.csv.gz", gzip.compress(b"id\n1\n")[:-4])
    with pytest.raises(BadDataError, match=r"end in the middle .*of the file in/a\.csv\.gz of stream `t`"):
        folder.sync(path="in/*.csv*", format="csv")


def test_members_of_a_zip_come_once_also_when_one_is_added(folder):
    settings = {"path": "in/*.zip", "members": "x/*.csv"}
    zipped(folder, "in/a.zip", {"x/1.csv": "id\n1\n", "readme.txt": "no"})
    run = folder.sync(**settings)
    assert [(row["_file"], row["id"]) for row in run.rows()] == [("in/a.zip!x/1.csv", 1)]
    zipped(folder, "in/a.zip", {"x/1.csv": "id\n1\n", "x/2.csv": "id\n2\n"})
    later = folder.sync(run.state, **settings)
    assert [(row["_file"], row["id"]) for row in later.rows()] == [("in/a.zip!x/2.csv", 2)]
    zipped(folder, "in/b.zip", {"../x.csv": "id\n1\n"})
    with pytest.raises(BadDataError, match="names that stay in the archive"):
        folder.sync(path="in/b.zip", members="*.csv")
    with pytest.raises(ConfigurationError, match=r"`streams\[0\]\.members` has no effect"):
        folder.sync(path="in/a.csv", members="*.csv")
    with pytest.raises(ConfigurationError, match="packed in a way that tap-files does not read"):
        folder.sync(path="in/*.csv.lz4", format="csv")


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_json_comes_to_the_last_digit_and_its_schema_widens(folder, ending):
    texts = ['{"id":1.10,"tags":["a"]}', '{"id":123456789012345678901234567890,"more":{"x":null}}']
    folder.write(f"in/a.{ending}", "\n".join(texts))
    run = folder.sync(path=f"in/*.{ending}")
    lines = [line for line in folder.written.buffer.getvalue().splitlines() if b'"RECORD"' in line]
    assert [text.encode() in lines[0] for text in ('"id":1.10', '"tags":["a"]')] == [True, True]
    assert b'"id":123456789012345678901234567890' in lines[1]
    assert [row["_row"] for row in run.rows()] == [1, 2]
    folder.write(f"in/b.{ending}", json.dumps({"id": "x", "new": 1}))
    later = folder.sync(run.state, path=f"in/*.{ending}")
    assert later.rows()[0]["new"] == 1
    assert {"id", "tags", "more", "new", "_file", "_row"} == {*later.properties()}
    assert "string" in later.properties()["id"]["type"]
    assert "array" in later.properties()["tags"]["type"]


def test_logs_are_told_by_their_section(folder):
    folder.write("in/a.log", '1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 -\n')
    with pytest.raises(ConfigurationError, match=r"Expected the key `streams\[0\]\.log`"):
        folder.sync(path="in/*.log")
    (row,) = folder.sync(path="in/*.log", log={"pattern": "common"}).rows()
    assert (row["status"], row["bytes"], row["path"]) == (200, None, "/")


def test_a_broken_archive_holds_no_other_file_back_and_takes_no_rows_with_it(folder):
    settings = {"path": "in/*.zip", "format": "csv", "on_error": "continue", "on_removed": "delete"}
    zipped(folder, "in/a.zip", {"1.csv": "id\n1\n", "2.csv": "id\n2\n"})
    run = folder.sync(**settings)
    whole = (folder.path / "in/a.zip").read_bytes()
    folder.write("in/a.zip", whole[:-20])
    zipped(folder, "in/b.zip", {"3.csv": "id\n3\n"})
    with pytest.raises(BadDataError, match=r"Expected a whole zip in in/a\.zip.*Not read to the end: 1 file"):
        folder.sync(run.state, **settings)
    broken = folder.result()
    assert [row["id"] for row in broken.rows()] == [3]
    assert broken.of_type("REPLACE") == []
    zipped(folder, "in/a.zip", {"1.csv": "id\n1\n"})
    mended = folder.sync(broken.state, **settings)
    assert mended.rows() == []
    assert [message["where"] for message in mended.of_type("REPLACE")] == [{"_file": "in/a.zip!2.csv"}]


def test_a_text_that_begins_like_something_packed_is_read_where_the_config_says_so(folder):
    folder.write("in/a.csv", b"PK\x03\x04,b\n1,2\n")
    with pytest.raises(BadDataError, match="got zip by the first bytes"):
        folder.sync()
    assert folder.sync(compression="none").rows()[0]["b"] == 2
