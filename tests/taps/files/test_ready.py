"""Files that are not complete yet, and those from before the start, are left alone."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from taps.files.conftest import Folder, cuts, loaded

from singerkit_shell.errors import BadDataError
from singerkit_shell.walltime import wall_time
from singerkit_tap.contract import Page
from tap_files import streams


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
    last = f"in/c{'c' * 80}.csv"
    folder.write("in/a.csv", b"id\n1\n\xff\n", modified=1_000_000)
    folder.write("in/b.csv", "id\n2\n", modified=2_000_000)
    folder.write(last, b"\xff\n", modified=3_000_000)
    folder.write("in/d.csv", "id\n4\n", modified=4_000_000)
    folder.stream["on_error"] = "continue"
    with pytest.raises(BadDataError, match=rf"in/a.csv.*2 files \(in/a.csv, {last}\)"):
        folder.sync()
    first = folder.result()
    assert first.column("id") == [2, 4]
    assert not first.state["_singerkit"]["complete"]
    folder.write("in/a.csv", "id\n1\n", modified=5_000_000)
    folder.write(last, "id\n3\n", modified=6_000_000)
    assert folder.sync(first.state).column("id") == [1, 3]


@pytest.mark.parametrize(
    ("settings", "bad"),
    [
        ({}, b"id\n8\n9\n\xff\n"),
        ({"schema": {"properties": {"id": {"type": "integer"}}}}, b"id\n8\n9\nx\n"),
        ({"path": "in/*.csv.gz"}, gzip.compress(b"id\n8\n9\n")[:-9]),
        ({"on_bad_row": "set_aside", "csv": {"max_row_bytes": 1 << 16}}, b"id,id\n1,2\n"),
    ],
    ids=["bytes", "type", "cut", "header"],
)
def test_a_changed_file_that_is_bad_is_left_as_it_was_and_the_others_are_read(
    folder: Folder, monkeypatch, settings: dict[str, Any], bad: bytes
):
    monkeypatch.setattr("tap_files.formats.textreader.BLOCK_BYTES", 4)
    folder.stream |= {"on_error": "continue", **settings}
    ending = folder.stream.get("path", "in/*.csv").removeprefix("in/*")

    def put(name: str, text: str, modified: int) -> None:
        data = text.encode()
        folder.write(f"in/{name}{ending}", gzip.compress(data) if "gz" in ending else data, modified=modified)

    for number, name in enumerate("abc"):
        put(name, f"id\n{number}\n", modified=number + 1)
    first = folder.sync()
    put("a", "id\n10\n", modified=11)
    folder.write(f"in/b{ending}", bad, modified=12)
    put("c", "id\n12\n", modified=13)
    put("d", "id\n13\n", modified=14)
    with pytest.raises(BadDataError, match=r"in/b\.csv.*what was loaded of it stays as it was.*1 file \("):
        folder.sync(first.state, state_every=1)
    second = folder.result()
    table = loaded(first.rows(), second.messages)
    assert sorted(row["id"] for row in table) == [1, 10, 12, 13]
    put("b", "id\n11\n", modified=15)
    third = folder.sync(second.state)
    assert sorted(row["id"] for row in loaded(table, third.messages)) == [10, 11, 12, 13]


@pytest.mark.parametrize("is_copied", [True, False])
def test_a_changed_file_that_is_overwritten_by_a_bad_one_while_it_is_sent_does_not_hold_back_the_others(
    folder: Folder, monkeypatch, is_copied: bool
):
    """It is sent from a copy of what was looked through; where there is none, nothing behind the last STATE is committed."""
    folder.stream["on_error"] = "continue"
    for number, name in enumerate("ab", 1):
        folder.write(f"in/{name}.csv", f"id\n{number}\n", modified=number)
    first = folder.sync()
    folder.write("in/a.csv", "id\n10\n", modified=11)
    folder.write("in/b.csv", "id\n20\n", modified=12)
    folder.write("in/c.csv", "id\n30\n", modified=13)
    replacing = streams.FileStream._replacing

    def overwriting(stream: streams.FileStream, file: str) -> Page:
        if file == "in/b.csv":
            folder.write("in/b.csv", b"id\n\xff\n", modified=14)
        return replacing(stream, file)

    monkeypatch.setattr(streams.FileStream, "_replacing", overwriting)
    if is_copied:
        folder.sync(first.state)
    else:
        monkeypatch.setattr("tap_files.copies.COPIED_BYTES", 1)
        with pytest.raises(BadDataError, match=r"in/b\.csv"):
            folder.sync(first.state)
    *_, (committed, state) = cuts(folder.result().messages)
    table = loaded(first.rows(), committed)
    assert sorted(row["id"] for row in table) == ([10, 20, 30] if is_copied else [2, 10])
    with pytest.raises(BadDataError, match=r"in/b\.csv.*stays as it was"):
        folder.sync(state)
    *_, (committed, _) = cuts(folder.result().messages)
    assert sorted(row["id"] for row in loaded(table, committed)) == (
        [10, 20, 30] if is_copied else [2, 10, 30]
    )


def test_what_was_read_before_a_changed_file_that_is_bad_is_safe(folder: Folder):
    folder.write("in/a.csv", "id\n1\n", modified=1)
    state = folder.sync().state
    folder.write("in/b.csv", "id\n2\n", modified=2)
    folder.write("in/a.csv", b"id\n\xff\n", modified=3)
    with pytest.raises(BadDataError, match=r"in/a\.csv"):
        folder.sync(state)
    second = folder.result()
    *_, (committed, _) = cuts(second.messages)
    assert loaded([], committed) == second.rows()
    assert folder.sync(second.state, on_changed="append", on_bad_row="set_aside").column("id") == []


def test_a_file_without_places_to_go_on_at_does_not_hold_back_the_others(folder: Folder):
    """Of JSON arrays one behind the other nothing is safe before the last one has ended."""
    folder.stream |= {"path": "in/*.json", "on_changed": "append", "on_error": "continue"}
    many = json.dumps([{"id": number, "text": "x" * 1000} for number in range(1500)])
    folder.write("in/a.json", f"{many}\n{many}\n[", modified=1)
    folder.write("in/b.json", '[{"id": -1}]', modified=2)
    with pytest.raises(BadDataError, match=r"in/a\.json.*1 file \("):
        folder.sync()
    first = folder.result()
    *_, (committed, _) = cuts(first.messages)
    assert loaded([], committed) == first.rows()
    assert first.column("id") == [*range(first.column("id").index(-1)), -1]
    folder.write("in/a.json", f"{many}\n{many}\n", modified=1)
    second = folder.sync(first.state)
    assert sorted(first.column("id") + second.column("id")) == sorted([-1, *range(1500), *range(1500)])
