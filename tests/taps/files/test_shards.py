"""Files are divided into shards by their paths: each is read by one, whatever its rows have for a key, and stays of it."""

from __future__ import annotations

import pytest
from taps.files.conftest import Folder

from singerkit_shell.errors import ConfigurationError
from singerkit_state.dividing import divided
from singerkit_state.shards import Shard

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


def test_another_key_moves_no_file_and_another_number_of_shards_is_refused(folder: Folder):
    folder.write("in/a.csv", "id\n1\n")
    shards = [Shard(number, 2) for number in range(2)]
    states = {shard: folder.sync(shard=shard).state for shard in shards}
    assert folder.sync(states[shards[0]], shard=shards[0], primary_keys=["id"]).rows() == []
    with pytest.raises(ConfigurationError, match="file by file, which cannot be divided"):
        divided(states, "tap-files", 3)
