"""A run that ends anywhere is gone on with at the byte of its last STATE: nothing is lost and nothing comes twice, with and without keys."""

from __future__ import annotations

import pytest
from taps.files.conftest import Folder, cuts, loaded

from singerkit_shell.errors import ConfigurationError
from tap_files import streams
from tap_files.formats import textreader

FILES = {
    "in/a.csv": ["id,note", *(f"{n},a{n}" for n in range(7))],
    "in/b.csv": ["note,id", *(f'"b\n{n}",{n}' for n in range(5))],
    "in/empty.csv": [],
    "in/header.csv": ["id,note"],
    "in/unended.csv": ["id,note", "1,x", "2,y"],
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Two or three rows a piece, and a place to go on behind each."""
    monkeypatch.setattr(textreader, "BLOCK_BYTES", 16)
    monkeypatch.setattr(streams, "_LEAST_BYTES", 0)
    monkeypatch.setattr(streams, "_STATE_SHARE", 0)


def fill(folder: Folder) -> None:
    for at, (name, lines) in enumerate(FILES.items()):
        end = "" if "unended" in name else "\n" * bool(lines)
        folder.write(name, "\n".join(lines) + end, modified=1_000_000 + at)


@pytest.mark.parametrize("columns", [["_file", "_row"], []], ids=["with a key", "without"])
def test_wherever_a_run_is_killed_the_next_one_sends_the_rest(folder: Folder, columns):
    fill(folder)
    folder.stream["file_columns"] = columns
    whole = folder.sync(state_every=1)
    assert len(whole.rows()) == 14
    states = list(cuts(whole.messages))
    assert len(states) > 8
    for committed, state in states:
        rest = folder.sync(state, state_every=1)
        assert [*(one["record"] for one in committed), *rest.rows()] == whole.rows()
        assert folder.sync(rest.state).rows() == []


def test_rows_are_numbered_in_their_file_and_a_run_with_nothing_new_sends_none(folder: Folder):
    fill(folder)
    first = folder.sync()
    assert first.of_type("SCHEMA")[0]["key_properties"] == ["_file", "_row"]
    assert first.column("_row") == [*range(1, 8), *range(1, 6), 1, 2]
    assert [*dict.fromkeys(first.column("_file"))] == ["in/a.csv", "in/b.csv", "in/unended.csv"]
    again = folder.sync(first.state)
    assert (again.rows(), again.state["bookmarks"]) == ([], first.state["bookmarks"])


@pytest.mark.parametrize("columns", [["_file", "_row"], []], ids=["replaced", "gone on with"])
def test_no_state_stands_behind_rows_that_no_position_covers(folder: Folder, columns):
    """Rows of a file that is damaged further on come again with the next run, whether they have a key or not."""
    folder.stream["file_columns"] = columns
    lines = [f"{n},a{n}".encode() for n in range(20)]
    folder.write("in/a.csv", b"\n".join([b"id,note", *lines, b"21,\xff", b""]))
    with pytest.raises(Exception, match="line 22"):
        folder.sync(state_every=1)
    result = folder.result()
    state = result.state
    kinds = [one["type"] for one in result.messages]
    assert kinds[-1] == "STATE"
    folder.write("in/a.csv", b"\n".join([b"id,note", *lines, b"20,x", b""]))
    assert [row["id"] for row in loaded(result.rows(), folder.sync(state).messages)] == [*range(21)]


@pytest.mark.parametrize("wrong", ["number", "encoding"])
def test_a_place_that_no_reader_has_said_is_refused(folder: Folder, wrong: str):
    folder.write("in/a.csv", "id\n1\n")
    state = folder.sync().state
    position = state["bookmarks"]["t"]["_singerkit_position"]
    if wrong == "number":
        position["done"]["in/a.csv"][7] = 55
    else:
        position["contexts"][0]["encoding"] = "nope"
    folder.append("in/a.csv", "2\n")
    with pytest.raises(ConfigurationError, match=r"in/a\.csv of stream `t` cannot be understood, the place"):
        folder.sync(state)


def test_a_position_that_is_none_is_refused(folder: Folder):
    fill(folder)
    state = folder.sync().state
    state["bookmarks"]["t"]["_singerkit_position"] = {"done": ["a.csv"]}
    with pytest.raises(ConfigurationError, match="cannot be understood"):
        folder.sync(state)
