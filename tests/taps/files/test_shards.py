"""Files are divided into shards by their paths: each is read by one, whatever its rows have for a key, and stays of it."""

from __future__ import annotations

from typing import Any

from taps.files.conftest import Folder, loaded

from singerkit_state.dividing import divided
from singerkit_state.shards import WHOLE, Shard

OF = 3


def test_each_file_is_of_one_shard_and_gone_files_are_those_of_it(folder: Folder):
    names = [f"in/{number}.csv" for number in range(12)]
    for number, name in enumerate(names):
        folder.write(name, f"id\n{number}\nx,y\n")
    folder.stream |= {"on_bad_row": "set_aside", "on_removed": "delete"}
    shards = [Shard(number, OF) for number in range(OF)]
    results = [folder.sync(shard=shard) for shard in shards]
    assert sorted(one for result in results for one in result.column("_file")) == sorted(names)
    assert sorted(one for result in results for one in result.column("_file", "t__bad_rows")) == sorted(names)
    assert all(2 <= len(result.rows()) <= 6 for result in results)
    gone = results[0].column("_file")[0]
    (folder.path / gone).unlink()
    folder.write("in/new.csv", "id\n12\n")
    seconds = [folder.sync(result.state, shard=shard) for shard, result in zip(shards, results, strict=True)]
    assert [one for result in seconds for one in result.column("id")] == [12]
    replaced = [
        (n, one["where"]) for n, second in enumerate(seconds) for one in second.of_type("REPLACE", "t")
    ]
    assert replaced == [(0, {"_file": gone})]


def test_another_key_moves_no_file(folder: Folder):
    folder.write("in/a.csv", "id\n1\n")
    shards = [Shard(number, 2) for number in range(2)]
    states = {shard: folder.sync(shard=shard).state for shard in shards}
    assert folder.sync(states[shards[0]], shard=shards[0], primary_keys=["id"]).rows() == []


class Divided:
    """The files of a folder, read by one number of shards after the other, into one table."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        folder.stream |= {"on_removed": "delete", "primary_keys": []}
        self._states: dict[Shard, Any] = {WHOLE: None}
        self.table: list[dict[str, Any]] = []
        self.files: dict[str, str] = {}

    def write(self, name: str, *ids: int, columns: str = "id,x") -> None:
        more = "," * columns.count(",")
        self._write(name, f"{columns}\n" + "".join(f"{one}{more}\n" for one in ids))

    def grow(self, name: str, one: int) -> None:
        columns = self.files[name].partition("\n")[0]
        self._write(name, f"{self.files[name]}{one}{',' * columns.count(',')}\n")

    def _write(self, name: str, text: str) -> None:
        self.files[name] = text
        self._folder.write(name, text)

    def remove(self, name: str) -> None:
        del self.files[name]
        (self._folder.path / name).unlink()

    def run(self, only: int | None = None) -> int:
        """Run all shards, or one; return how many rows came."""
        count = 0
        for shard in [one for one in self._states if only in (None, one.number)]:
            result = self._folder.sync(self._states[shard], shard=None if shard == WHOLE else shard)
            self._states[shard] = result.state
            self.table = loaded(self.table, result.messages)
            count += len(result.rows())
        return count

    def divide(self, into: int) -> None:
        self._states, again = divided(self._states, "tap-files", into)
        assert again == []

    def is_as_the_files_are(self) -> bool:
        rows = [
            (name, number, int(line.partition(",")[0]))
            for name, text in self.files.items()
            for number, line in enumerate(text.splitlines()[1:], 1)
        ]
        return sorted(rows) == sorted((row["_file"], row["_row"], row["id"]) for row in self.table)


def test_files_are_gone_on_with_by_another_number_of_shards(folder: Folder):
    """Also by one whose shards have not all run since they were divided before; without a key any row that came again would be there twice."""
    state = Divided(folder)
    for number in range(8):
        state.write(f"in/{number}.csv", number, number + 100, columns="id,x" if number % 2 else "id,x,y")
    assert state.run() == 16
    state.divide(3)
    assert state.run() == 0
    state.grow("in/0.csv", 200)
    state.grow("in/1.csv", 201)
    state.write("in/8.csv", 8)
    state.write("in/2.csv", 22)
    state.remove("in/3.csv")
    assert state.run() == 4
    assert state.is_as_the_files_are()
    state.divide(2)
    for name in state.files:
        state.grow(name, 300)
    assert 0 < state.run(only=0) < 8
    state.divide(5)
    assert state.run() + state.run() < 8
    assert state.is_as_the_files_are()
    state.divide(1)
    assert state.run() == 0
    state.grow("in/8.csv", 400)
    assert (state.run(), state.is_as_the_files_are()) == (1, True)


def test_what_some_shards_have_forgotten_is_read_again_by_others_and_replaced(folder: Folder):
    state = Divided(folder)
    folder.stream |= {"remembered_files": 2}
    for number in range(8):
        state.write(f"in/{number}.csv", number)
    for into in (2, 3, 1):
        state.run()
        state.divide(into)
    state.run()
    assert state.is_as_the_files_are()
