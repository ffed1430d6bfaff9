"""What goes wrong with files, each by the executable itself: one sentence that names file, line and byte, and the exit code (docs/faults.md)."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conformance.processes import Outcome
from taps.files.conftest import Folder

ROWS = "id,name\n1,a\n2,b\n"


def refused(folder: Folder, code: int, *words: str, **settings: Any) -> None:
    """See that a run ends so, and that what it says has the words."""
    done = folder.run(**settings)
    assert (done.code, "Traceback" in done.stderr) == (code, False), done.stderr
    assert [word for word in words if word not in done.last_words] == [], done.last_words


def ids(done: Outcome) -> list[Any]:
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    return [one["record"]["id"] for one in messages if one["type"] == "RECORD"]


def go_on(folder: Folder, done: Outcome | None, **settings: Any) -> Outcome:
    """Run from the state that a run has left."""
    options = []
    if done is not None:
        states = [line for line in done.stdout.splitlines() if b'"STATE"' in line]
        options = ["--state", folder.file("state.json", json.loads(states[-1])["value"])]
    done = folder.run(*options, **settings)
    assert done.code == 0, done.stderr
    return done


@pytest.mark.fault("F4", exit=[0], main=True)
def test_f04_a_file_that_is_uploaded_by_and_by_waits_for_its_marker(folder: Folder) -> None:
    file = folder.write("in/a.csv", ROWS[:-3])
    first = go_on(folder, None, done_marker=".done")
    assert ids(first) == []
    file.write_text(ROWS)
    folder.write("in/a.csv.done", "")
    assert ids(go_on(folder, first, done_marker=".done")) == [1, 2]


@pytest.mark.fault("F6", exit=[65], main=True)
def test_f06_bytes_that_are_none_of_the_encoding(folder: Folder) -> None:
    folder.write("in/a.csv", ROWS.encode() + "3,ä\n".encode("latin-1"))
    refused(folder, 65, "`utf-8`", "line 4", "byte 18", "in/a.csv")


@pytest.mark.fault("F7", exit=[65], main=True)
def test_f07_a_quote_that_is_never_closed(folder: Folder) -> None:
    folder.write("in/a.csv", ROWS + '3,"c\n4,d\n')
    refused(folder, 65, "closes the field", "line 4", "in/a.csv", "`set_aside`")


@pytest.mark.fault("F10", exit=[65], main=True)
@pytest.mark.parametrize(
    ("content", "word"),
    [(gzip.compress(ROWS.encode())[:-9], "byte 27"), (gzip.compress(ROWS.encode()) + b"x", "behind")],
    ids=["cut", "rubbish"],
)
def test_f10_gzip_that_is_cut_or_has_something_behind_its_end(
    folder: Folder, content: bytes, word: str
) -> None:
    folder.write("in/a.csv.gz", content)
    refused(folder, 65, "gzip", word, "in/a.csv.gz", path="in/*.csv.gz")


@pytest.mark.fault("F11", exit=[65], main=True)
def test_f11_another_delimiter_than_is_said(folder: Folder) -> None:
    folder.write("in/a.csv", ROWS.replace(",", ";"))
    refused(folder, 65, "delimiter", "in/a.csv")


def renamed(log: str) -> None:
    os.rename(log, f"{log}.1")


def copied(log: str) -> None:
    shutil.copyfile(log, f"{log}.1")
    os.truncate(log, 0)


def packed(log: str) -> None:
    with open(log, "rb") as file:
        data = file.read()
    os.unlink(log)
    with gzip.open(f"{log}.1.gz", "wb") as file:
        file.write(data)


@pytest.mark.fault("F12", exit=[0], main=True)
@pytest.mark.parametrize("rotate", [renamed, copied, packed])
def test_f12_a_log_is_rotated_between_two_runs(folder: Folder, rotate: Callable[[str], None]) -> None:
    folder.stream |= {"path": "in/app.log*", "format": "log", "log": {"expression": "(?P<id>.*)"}}
    folder.write("in/app.log", "1\n")
    first = go_on(folder, None)
    folder.append("in/app.log", "2\n")
    rotate(str(folder.path / "in/app.log"))
    folder.append("in/app.log", "3\n")
    assert ids(first) + ids(go_on(folder, first)) == [1, 2, 3]


@pytest.mark.fault("F13", exit=[65], main=True)
def test_f13_a_cell_with_an_error_and_a_workbook_that_is_locked(folder: Folder) -> None:
    file, book = io.BytesIO(), openpyxl.Workbook()
    for row in (["id", "n"], [1, 5], [2, "#DIV/0!"]):
        book.active.append(row)
    book.save(file)
    folder.write("in/a.xlsx", file.getvalue())
    refused(folder, 65, "cell B3", "#DIV/0!", "in/a.xlsx", path="in/*.xlsx")
    folder.write("in/a.xlsx", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600))
    refused(folder, 65, "in/a.xlsx", path="in/*.xlsx")


def bomb() -> bytes:
    return gzip.compress(ROWS.encode() + b"3,c\n" * 50_000)


def archive(*names: str, locked: bool = False) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for name in names:
            written.writestr(name, ROWS)
    data = bytearray(file.getvalue())
    if locked:
        data[6] |= 1
        data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


@pytest.mark.fault("F14", exit=[65, 78], main=True)
@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.csv.gz", bomb, "unpacked_limit"),
        ("a.zip", lambda: archive("a.csv", "../b.csv"), "names that stay in the archive"),
        ("a.zip", lambda: archive("a.csv", locked=True), "password"),
        ("../a.csv", None, "`..`"),
    ],
    ids=["bomb", "names", "password", "path"],
)
def test_f14_what_would_fill_disks_or_lead_elsewhere(
    folder: Folder, name: str, content: Callable[[], bytes] | None, word: str
) -> None:
    if content is not None:
        folder.write(f"in/{name}", content())
    refused(folder, 65 if content else 78, word, path=f"in/{name}", format="csv", unpacked_limit=100_000)


@pytest.mark.fault("F18", exit=[65], main=True)
def test_f18_parquet_of_a_newer_version(folder: Folder) -> None:
    """It is packed in a way that no reader of today knows."""
    file = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2, 3]}), file, compression="snappy", use_dictionary=False)
    whole = file.getvalue()
    codec = whole.rindex(b"\x15\x02\x16")
    folder.write("in/a.parquet", whole[: codec + 1] + b"\x2a" + whole[codec + 2 :])
    refused(folder, 65, "newer version", "row group 1", "in/a.parquet", path="in/*.parquet")


@pytest.mark.fault("F20", exit=[78, 0], main=True)
def test_f20_a_folder_that_is_not_there_is_an_error_and_an_empty_one_is_none(folder: Folder) -> None:
    assert ids(go_on(folder, None)) == []
    refused(folder, 78, "gone is not there", path="gone/*.csv")
