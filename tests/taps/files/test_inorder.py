"""Files in the order in which they are read: as a list that is sorted, and in flat memory where they are very many (F17)."""

from __future__ import annotations

import random
import tempfile
import tracemalloc
from collections.abc import Iterator

import pytest
from taps.files.conftest import Folder

from singerkit_shell.errors import CannotWriteError
from tap_files import inorder
from tap_files.inorder import InOrder
from tap_files.places.contract import Found


def files(count: int) -> Iterator[Found]:
    chance = random.Random(17)
    for number in range(count):
        modified = chance.choice([None, 5, chance.randrange(10**15)])
        yield Found(f"in/{number:07} é\n.csv", number, modified, number, f"version {number}", f"1:{number}")


@pytest.mark.parametrize("held", [3, 5, 1000])
def test_what_is_written_down_comes_as_if_it_was_sorted_in_memory(monkeypatch: pytest.MonkeyPatch, held: int):
    monkeypatch.setattr(inorder, "HELD", held)
    ordered = InOrder(files(10))
    wanted = sorted(files(10), key=lambda one: (one.modified or 0, one.name))
    assert ([*ordered], [*ordered], len(ordered)) == (wanted, wanted, 10)
    assert not InOrder([])


def test_f17_very_many_files_take_no_more_memory_than_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inorder, "HELD", 200)
    peaks = []
    for count in (400, 2_000):
        tracemalloc.start()
        assert sum(1 for _ in InOrder(files(count))) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


def test_a_run_of_many_files_reads_each_once_in_its_order(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inorder, "HELD", 3)
    for number in range(10):
        folder.write(f"in/{number * 7 % 10}.csv", f"id\n{number}\n", modified=1_000_000 + number)
    run = folder.sync()
    assert run.column("id") == [*range(10)]
    assert folder.sync(run.state).rows() == []


def test_without_room_for_their_names_a_run_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inorder, "HELD", 3)
    with open("/dev/full", "w+b", buffering=0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
        with pytest.raises(CannotWriteError, match=r"No space left.*make room there.*TMPDIR"):
            InOrder(files(10))
