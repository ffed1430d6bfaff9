"""`singerkit-state divide`: states of one number of shards become those of another, and nothing is passed by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from singerkit_shell.errors import ConfigurationError
from singerkit_state import statefile
from singerkit_state.bookmarks import context_key
from singerkit_state.dividing import divided, division_of, lowest
from singerkit_state.shardfiles import check_files
from singerkit_state.shards import Shard, is_of, owner_of
from singerkit_state.value import Mark, encode, read_mark, with_mark

READ = {"fields": {"id": "integer"}}


def state(shard: Shard, bookmarks: dict[str, Any], *split: str, complete: bool = True) -> dict[str, Any]:
    return with_mark(
        {"bookmarks": bookmarks}, Mark("r", shard.called("p"), complete, divided=dict.fromkeys(split) or None)
    )


def by(value: Any, **more: Any) -> dict[str, Any]:
    return {"replication_key": "at", "replication_key_value": value, "_singerkit_read": READ, **more}


def a_set(of: int, values: list[Any], **owned: Any) -> dict[Shard, dict[str, Any]]:
    return {
        shard: state(
            shard,
            {"t": by(values[shard.number], _singerkit_seen={"at": 1}), **owned.get(f"o{shard.number}", {})},
            "t",
        )
        for shard in (Shard(number, of) for number in range(of))
    }


def test_each_new_shard_begins_where_all_former_ones_have_been() -> None:
    owner = owner_of("whole", 3)
    other = (owner + 1) % 3
    owned = {f"o{owner}": {"whole": by(8, _singerkit_seen={"at": 8})}, f"o{other}": {"whole": by(2)}}
    new, again = divided(a_set(3, [7, 5, 9], **owned), "p", 2)
    assert again == []
    assert [*new] == [Shard(0, 2), Shard(1, 2)]
    for shard, value in new.items():
        # What was remembered at one shard's bookmark says nothing of the rows of the others.
        assert value["bookmarks"]["t"] == by(5)
        # A stream that one shard has read goes on with all that it knows, whoever reads it now.
        assert value["bookmarks"]["whole"] == by(8, _singerkit_seen={"at": 8})
        mark = read_mark(value)
        assert mark is not None
        assert (mark.pipeline, mark.complete, mark.divided) == (shard.called("p"), True, None)


def test_where_a_shard_has_no_bookmark_all_is_read_again() -> None:
    new, again = divided(a_set(2, [7, None]), "p", 4)
    assert again == ["t"]
    assert new[Shard(3, 4)]["bookmarks"]["t"] == {"_singerkit_read": READ}


def test_a_partition_goes_to_the_shard_that_reads_it() -> None:
    entries = [
        {"context": {"id": number}, "replication_key": "at", "replication_key_value": number}
        for number in range(40)
    ]
    former = {
        shard: state(
            shard,
            {"c": {"partitions": [one for one in entries if is_of(shard, context_key(one["context"]))]}},
            "c",
        )
        for shard in (Shard(0, 2), Shard(1, 2))
    }
    new, _ = divided(former, "p", 3)
    found = [one for value in new.values() for one in value["bookmarks"]["c"]["partitions"]]
    assert sorted(one["context"]["id"] for one in found) == list(range(40))
    for shard, value in new.items():
        assert all(is_of(shard, context_key(one["context"])) for one in value["bookmarks"]["c"]["partitions"])
    back, _ = divided(new_set(new, "c"), "p", 1)
    assert len(back[Shard(0, 1)]["bookmarks"]["c"]["partitions"]) == 40


def new_set(states: dict[Shard, dict[str, Any]], *split: str) -> dict[Shard, dict[str, Any]]:
    """The states after a run of each shard."""
    return {shard: state(shard, value["bookmarks"], *split) for shard, value in states.items()}


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([3, 1, 2], 1),
        (["2026-01-02T00:00:00Z", "2026-01-02T00:30:00+01:00"], "2026-01-02T00:30:00+01:00"),
        (["b", "b"], "b"),
        (["b", "a"], None),
        ([1, "1"], None),
        ([1, None], None),
    ],
)
def test_the_lowest_of_some_bookmarks_where_it_is_known(values: list[Any], found: Any) -> None:
    assert lowest(values) == found


def test_a_set_that_is_not_complete_is_left() -> None:
    states = a_set(3, [1, 2, 3])
    del states[Shard(1, 3)]
    with pytest.raises(ConfigurationError, match="has been read to its end: `p#1/3`; nothing was changed"):
        divided(states, "p", 2)
    states[Shard(1, 3)] = state(Shard(1, 3), {"t": by(2)}, "t", complete=False)
    with pytest.raises(ConfigurationError, match="`p#1/3`"):
        divided(states, "p", 2)
    with pytest.raises(ConfigurationError, match="of 2 and of 3 shards"):
        divided({**a_set(2, [1, 2]), **a_set(3, [1, 2, 3])}, "p", 4)
    with pytest.raises(ConfigurationError, match="The state of a tap of others does not tell"):
        divided({Shard(0, 1): {"bookmarks": {"t": by(1)}}}, "p", 2)


@pytest.mark.parametrize("cut", [None, 1, 3, 4])
def test_files_are_divided_though_it_is_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int | None
) -> None:
    path = str(tmp_path / "p.json")
    for shard, value in a_set(2, [4, 6]).items():
        statefile.write(shard.file_of(path), encode(value))
    with pytest.raises(ConfigurationError, match=r"singerkit-state divide .*p\.json --into 3"):
        check_files(Shard(0, 3).file_of(path), Shard(0, 3))
    if cut is not None:
        done = iter(range(cut))
        write, remove = statefile.write, statefile.remove
        monkeypatch.setattr(statefile, "write", lambda *given: (next(done), write(*given)))
        monkeypatch.setattr(statefile, "remove", lambda *given: (next(done), remove(*given)))
        with pytest.raises(StopIteration):
            division_of(path, 3).carry_out()
        monkeypatch.undo()
    division_of(path, 3).carry_out()
    assert sorted(one.name for one in tmp_path.glob("*.json")) == [
        f"p.{number}-of-3.json" for number in range(3)
    ]
    found = statefile.read(Shard(2, 3).file_of(path), "p#2/3")
    assert found is not None
    assert found["bookmarks"]["t"] == by(4)
    check_files(Shard(0, 3).file_of(path), Shard(0, 3))
    with pytest.raises(ConfigurationError, match="a set of 3 shards of this pipeline"):
        division_of(path, 3)
