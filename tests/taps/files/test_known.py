"""What the state keeps is bounded: the oldest names fall off, and what comes later is still read once."""

from __future__ import annotations

import random

import pytest
from taps.files.conftest import Folder, cuts, loaded

from singerkit_shell.errors import ConfigurationError
from tap_files import streams
from tap_files.known import Known
from tap_files.listing import Pattern
from tap_files.places.contract import Found
from tap_files.places.local import LocalPlace
from tap_files.settings.stream import stream_settings


def known(said=None, waits: str = "", **changes) -> Known:
    settings = stream_settings({"name": "t", "path": "*.csv", "remembered_files": 3, **changes})
    return Known(said, LocalPlace("gone"), settings, lambda found: found.name != waits, "-")


def file(name: str, appeared: int | None, version: str = "v", modified: int | None = None) -> Found:
    return Found(name, 10, appeared if modified is None else modified, appeared, version)


def read(memory: Known, *listed: Found) -> list[tuple[str, bool]]:
    """Read all that is to be read; return the names, and whether their rows are replaced."""
    found = []
    for turn in memory.turns(listed):
        found.append((turn.file, turn.replaces))
        memory.done(turn, None, 1, None, "")
    return found


def test_the_oldest_names_fall_off_and_their_files_are_still_known_to_be_read():
    files = [file(f"{n}.csv", n) for n in range(6)]
    memory = known()
    assert len(read(memory, *files)) == 6
    said = memory.position()
    assert (sorted(said["done"]), said["floor"], len(said["at_floor"])) == (["3.csv", "4.csv", "5.csv"], 2, 1)
    again = known(said)
    late, tie, new = file("late.csv", 4), file("tie.csv", 2), file("new.csv", 7)
    changed = file("0.csv", 8, "w")
    found = read(again, *files[1:], changed, late, tie, new, file("too late.csv", 1))
    assert found == [("tie.csv", True), ("late.csv", True), ("new.csv", True), ("0.csv", True)]
    assert read(known(again.position()), *files[1:], changed, late, tie, new) == []


def test_of_a_file_that_nobody_knows_any_more_a_run_says_what_it_cannot_know():
    memory = known(on_changed="append")
    read(memory, *(file(f"{n}.csv", n) for n in range(6)))
    again = known(memory.position(), on_changed="append")
    assert read(again, file("0.csv", 8, "w")) == [("0.csv", False)]
    assert again.unsure == 1


@pytest.mark.parametrize("why", ["pending", "failed", "waits"])
def test_no_name_falls_off_above_a_file_that_is_still_to_be_read(why):
    """Files are read by the time of their content, and one may lie there for longer than those that were read before it."""
    old = file("old.csv", 0, modified=100)
    memory = known(waits="old.csv" if why == "waits" else "")
    for turn in memory.turns([*(file(f"{n}.csv", n) for n in range(1, 9)), old]):
        if turn.file == "old.csv":
            memory.leave(turn.found)
            break
        memory.done(turn, None, 1, None, "")
        said = memory.position()
        assert [one.file for one in known(said).turns([old])] == ["old.csv"]
    if why == "failed":
        assert read(known(memory.position()), old) == [("old.csv", False)]


def test_a_run_says_each_time_that_rows_of_forgotten_files_stay(folder: Folder, caplog):
    for number in range(3):
        folder.write(f"in/{number}.csv", "id\n1\n")
    folder.stream |= {"on_removed": "delete", "remembered_files": 2}
    state = folder.sync().state
    told = "Rows of files of stream `t` whose names fell off stay"
    assert caplog.text.count(told) == 2  # and once more at the end
    caplog.clear()
    folder.sync(state)
    assert told in caplog.text
    caplog.clear()
    folder.sync(state, on_removed="keep")
    assert told not in caplog.text


def test_names_without_a_time_are_kept_or_the_run_says_so():
    memory = known()
    read(memory, *(file(f"{n}.csv", None) for n in range(3)))
    memory.position()
    read(memory, file("more.csv", None))
    with pytest.raises(ConfigurationError, match="`remembered_files` higher"):
        memory.position()


def test_wherever_runs_end_each_file_is_loaded_once_though_few_names_are_kept(folder: Folder, monkeypatch):
    """Files come, grow, change and go; runs are cut off at any STATE; `remembered_files` is 2."""
    monkeypatch.setattr(streams, "_LEAST_BYTES", 0)
    monkeypatch.setattr(streams, "_STATE_SHARE", 0)
    monkeypatch.setattr("tap_files.formats.textreader.BLOCK_BYTES", 8)
    chance = random.Random(15)
    table: list[dict] = []
    state: dict = {}
    contents: dict[str, str] = {}
    for _ in range(60):
        for _ in range(chance.randrange(3)):
            name = f"in/{chance.randrange(8)}.csv"
            rows = "".join(f"{chance.randrange(10**6)}\n" for _ in range(chance.randrange(1, 5)))
            content = contents[name] + rows if name in contents and chance.random() < 0.5 else "id\n" + rows
            contents[name] = content
            folder.write(name, content)
        result = folder.sync(state, state_every=1, remembered_files=2)
        points = [*cuts(result.messages)]
        committed, state = chance.choice(points) if chance.random() < 0.5 else points[-1]
        table = loaded(table, committed)
    result = folder.sync(state, remembered_files=2)
    table = loaded(table, result.messages)
    wanted = [
        (name, row + 1, int(text))
        for name, content in contents.items()
        for row, text in enumerate(content.split()[1:])
    ]
    assert sorted((row["_file"], row["_row"], row["id"]) for row in table) == sorted(wanted)
    assert len(result.state["bookmarks"]["t"]["_singerkit_position"]["done"]) == 2


def test_files_of_a_first_run_are_new_though_names_fall_off_in_it(folder: Folder, monkeypatch):
    """Each of those that came behind had a REPLACE and a STATE of its own: a first load of many files took hours."""
    monkeypatch.setattr(streams, "_LEAST_BYTES", 0)
    monkeypatch.setattr(streams, "_STATE_SHARE", 0)
    for number in range(9):
        folder.write(f"in/{number}.csv", f"id\n{number}\n", modified=1_000_000 + number)
    run = folder.sync(remembered_files=2)
    assert run.column("id") == [*range(9)]
    assert run.of_type("REPLACE") == []
    folder.write("in/9.csv", "id\n9\n")
    assert len(folder.sync(run.state, remembered_files=2).of_type("REPLACE")) == 1


def test_names_fall_off_where_no_state_is_due(folder: Folder):
    memory = known()
    for turn in memory.turns(file(f"{number:03}.csv", number) for number in range(100)):
        memory.done(turn, None, 1, None, "")
        assert len(memory._done) <= 7


def test_a_million_names_take_no_memory_but_for_those_that_are_new():
    """Of what is known no name is kept a second time."""
    memory = known({"done": {}, "floor": 10, "at_floor": []})
    pattern = Pattern("*.csv")
    count = 0

    class Many:
        def files(self, prefix, *, deep):
            nonlocal count
            for number in range(100_000):
                count += 1
                yield file(f"{number}.csv", 20 if number == 77 else 5)

    assert [turn.file for turn in memory.turns(pattern.files(Many()))] == ["77.csv"]  # type: ignore[arg-type]
    assert (count, len(memory._listed_known)) == (100_000, 0)
