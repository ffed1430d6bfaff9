"""Former values beside a file: what an entry holds, how many stay, which one replaces which."""

from __future__ import annotations

import getpass
import json
import os
import platform
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from singerkit_shell.errors import CannotWriteError, ConfigurationError
from singerkit_state import history
from singerkit_state.history import Entry, append, kept_now, path_of, read, same_text, state_of
from singerkit_state.value import Mark, encode, with_mark

AT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def entry(number: int, text: str | None, **more: Any) -> Entry:
    return replace(Entry(number, AT, "set", "ann@host", 7, "run-1", 3, 4, text), **more)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def test_entries_come_back_newest_first(path: Path) -> None:
    assert read(path) == []
    assert append(path, entry(99, '{"a":1}')) == 1, "its number is given"
    assert (
        append(path, entry(0, '{"a":2.50}', why="reset", by=None, pid=None, epoch=None, sequence=None)) == 2
    )
    assert read(path) == [
        entry(2, '{"a":2.50}', why="reset", by=None, pid=None, epoch=None, sequence=None),
        entry(1, '{"a":1}'),
    ]
    lines = [json.loads(line) for line in (path.parent / "state.json.history").read_text().splitlines()]
    assert lines[0] == {
        "number": 1,
        "at": "2024-01-02T03:04:05+00:00",
        "why": "set",
        "by": "ann@host",
        "pid": 7,
        "run_id": "run-1",
        "epoch": 3,
        "sequence": 4,
        "state": {"a": 1},
    }


def test_times_are_kept_in_utc(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    append(path, entry(0, "{}", at=AT.astimezone(timezone(timedelta(hours=5)))))
    monkeypatch.undo()
    time.tzset()
    assert '"at":"2024-01-02T03:04:05+00:00"' in path_of(path).read_text()


@pytest.mark.parametrize(
    "text",
    [None, "{}", '{"a":1}', '{"a":"x y\u2028z\u0085"}', "{torn", '{"a":"\\ud800"}', "", "[1.0]", "\ud800"],
)
def test_any_text_is_kept_as_it_is(path: Path, text: str | None) -> None:
    append(path, entry(0, text))
    append(path, entry(0, '{"other":1}'))
    found = read(path)[1].text
    assert found == text or (text is not None and "\\ud800" in text and found is not None)


def test_a_value_that_is_no_json_is_told_from_none() -> None:
    assert state_of(entry(0, None)) == {"state": None}
    assert state_of(entry(0, "null")) == {"state": None}
    assert state_of(entry(0, "{torn")) == {"state": None, "torn": "{torn"}
    assert state_of(entry(0, '{"a":[1]}')) == {"state": {"a": [1]}}


def test_the_same_value_at_the_top_is_replaced(path: Path) -> None:
    append(path, entry(0, '{"a":1}'))
    append(path, entry(0, '{"a":2}'))
    assert append(path, entry(0, '{"a": 2}', why="again")) == 2
    assert [(one.number, one.why) for one in read(path)] == [(2, "again"), (1, "set")]
    assert append(path, entry(0, '{"a":1}')) == 3, "below the top it stays"
    assert [one.number for one in read(path)] == [3, 2, 1]


def test_the_oldest_ones_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert history.LIMIT == 100
    monkeypatch.setattr(history, "LIMIT", 3)
    for number in range(1, 6):
        assert append(path, entry(0, f'{{"a":{number}}}')) == number
    assert [one.number for one in read(path)] == [5, 4, 3]


def test_the_history_is_that_of_the_file_a_link_names(path: Path) -> None:
    link = path.parent / "link.json"
    link.symlink_to("state.json")
    append(link, entry(0, "{}"))
    assert path_of(link) == path_of(path)
    assert [item.name for item in path.parent.iterdir() if item != link] == ["state.json.history"]


@pytest.mark.parametrize(
    "line",
    ["nonsense", "[]", "{}", "null", '{"state":1}', '{"number":1,"at":"soon","why":"x","state":null}'],
)
def test_what_is_no_history_is_refused_with_its_line(path: Path, line: str) -> None:
    append(path, entry(0, '{"a":1}'))
    with path_of(path).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ConfigurationError, match="line 2") as caught:
        read(path)
    assert str(path_of(path)) in str(caught.value)
    with pytest.raises(ConfigurationError):
        append(path, entry(0, "{}"))


def test_an_entry_with_fields_of_a_later_version_is_refused(path: Path) -> None:
    append(path, entry(0, "{}"))
    path_of(path).write_text(path_of(path).read_text().replace('"why"', '"more":1,"why"'))
    with pytest.raises(ConfigurationError):
        read(path)


def test_a_history_that_cannot_be_read_or_written_is_named(path: Path) -> None:
    path_of(path).write_bytes(b"\xff\n")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(path)
    path_of(path).unlink()
    path_of(path).mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(path)
    with pytest.raises(CannotWriteError, match="The history "):
        append(path.parent / "no folder" / "state.json", entry(0, "{}"))


def test_an_entry_says_who_and_when() -> None:
    made = kept_now("{}", "set", "run-1", 5, 6)
    who = f"{getpass.getuser()}@{platform.node()}"
    assert timedelta(0) <= datetime.now(UTC) - made.at < timedelta(minutes=1)
    assert replace(made, at=AT) == Entry(0, AT, "set", who, os.getpid(), "run-1", 5, 6, "{}")
    bare = kept_now(None, "reset", None)
    assert (bare.epoch, bare.sequence, bare.text, bare.run_id) == (None, None, None, None)
    assert history.by_hand("set") == f"singerkit-state set by {who}"
    assert history.BY_HAND == "singerkit-state "


@pytest.mark.parametrize("error", [KeyError, OSError, ImportError])
def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def nameless() -> str:
        raise error("uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert history.user() == f"{os.getuid()}@{platform.node()}"
    monkeypatch.delattr(os, "getuid")
    assert history.user() == f"somebody@{platform.node()}"


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (None, None, True),
        (None, "{}", False),
        ("{}", None, False),
        ('{"a":1}', '{"a":1}', True),
        ('{"a":1}', '{"a":2}', False),
    ],
)
def test_texts_are_the_same_or_not(left: str | None, right: str | None, same: bool) -> None:
    assert same_text(left, right) is same


def test_the_mark_of_the_run_makes_no_difference() -> None:
    marks = [Mark("run-1", "orders", False), Mark("run-2", "orders", True, "file")]
    first, second = (encode(with_mark({"bookmarks": {"a": 1}}, mark)) for mark in marks)
    other = encode(with_mark({"bookmarks": {"a": 2}}, marks[0]))
    assert same_text(first, second)
    assert same_text(first, first.replace(":", " : ")) is False  # only the mark may be written differently
    assert same_text(first, '{"bookmarks":{"a":1}}')
    assert not same_text(first, other)
