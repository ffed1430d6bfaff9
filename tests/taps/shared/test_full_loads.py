"""Full loads: the version that says which rows are the stream now, and the place where one goes on that was cut off."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from singerkit_shell.errors import RetryableError
from singerkit_state.shards import Shard
from singerkit_tap.fullload import LOAD, FullLoad


def order(number: int) -> dict[str, Any]:
    return {"id": number, "at": None}


def versions(result: Any) -> set[int | None]:
    return {message.get("version") for message in result.of_type("RECORD")}


def load(state: dict[str, Any]) -> dict[str, Any]:
    return state["bookmarks"]["orders"].get(LOAD, {})


def full(example, **settings: Any) -> dict[str, Any]:
    return example.config(
        example.stream(**{"sends_versions": True, "resumes": True, **settings}), state_every=1
    )


@pytest.mark.parametrize("keys", [["id"], []])
def test_a_complete_load_activates_the_version_of_its_records(example, keys):
    example.pages([order(1)], [order(2)])
    first = example.sync(full(example, key_properties=keys))
    kinds = [message["type"] for message in first.messages]
    assert kinds[-3:] == ["ACTIVATE_VERSION", "STATE", "STATE"], "it goes with the STATE behind it"
    (activated,) = first.of_type("ACTIVATE_VERSION")
    assert activated["stream"] == "orders"
    assert versions(first) == {activated["version"]}
    assert load(first.state) == {"version": activated["version"]}, "a complete load has no place to go on"
    second = example.sync(full(example, key_properties=keys), first.state)
    assert second.ids == [1, 2]
    assert second.of_type("ACTIVATE_VERSION")[0]["version"] > activated["version"]


def test_a_version_grows_whatever_the_clock_says(example):
    example.pages([order(1)])
    first = example.sync(full(example))
    state = first.state
    state["bookmarks"]["orders"][LOAD]["version"] = 2**60
    assert example.sync(full(example), state).of_type("ACTIVATE_VERSION")[0]["version"] == 2**60 + 1


@pytest.mark.parametrize("keys", [["id"], []])
def test_a_load_that_is_cut_off_activates_nothing_and_goes_on_where_it_was(example, keys):
    config = full(example, key_properties=keys)
    example.pages([order(1)], [order(2)], b'"fail"', [order(3)])
    with pytest.raises(RetryableError):
        example.sync(config)
    first = example.what_was_written()
    assert first.of_type("ACTIVATE_VERSION") == []
    assert load(first.state)["position"] == 1
    example.pages([order(1)], [order(2)], b'"fail"', [order(3)])
    with pytest.raises(RetryableError):
        example.sync(config, first.state)
    assert example.what_was_written().ids == []
    example.pages([order(1)], [order(2)], [order(3)])
    last = example.sync(config, example.what_was_written().state)
    assert last.ids == [3]
    assert versions(first) == versions(last) == {last.of_type("ACTIVATE_VERSION")[0]["version"]}, (
        "one load, one version"
    )
    assert "position" not in load(last.state)


def test_a_place_that_is_not_known_any_more_begins_a_new_load(example):
    example.pages([order(1)], b'"fail"')
    with pytest.raises(RetryableError):
        example.sync(full(example))
    first = example.what_was_written()
    example.pages([order(1)], [order(2)])
    again = example.sync(full(example, resumes=False), first.state)
    assert again.ids == [1, 2]
    assert versions(again).isdisjoint(versions(first)), (
        "rows of the load that nobody goes on with are of another version"
    )


def test_no_state_stands_between_the_rows_of_a_page_and_its_place(example):
    """A commit of rows that the place does not cover would have them twice, where there is no key."""
    example.pages([order(1)], [order(2), 5])
    with pytest.raises(Exception, match="Expected"):
        example.sync(full(example, key_properties=[]))
    assert load(example.what_was_written().state)["position"] == 0


@pytest.mark.parametrize("settings", [{"replication_key": "id"}, {"sends_versions": False, "resumes": False}])
def test_other_streams_send_no_versions(example, settings):
    example.pages([order(1)])
    found = example.sync(full(example, **settings))
    assert versions(found) == {None}
    assert found.of_type("ACTIVATE_VERSION") == []
    assert load(found.state) == {}


def test_a_look_at_one_record_activates_nothing(example):
    example.pages([order(1)], [order(2)])
    shown = example.run(full(example), "--test")
    assert shown.ids == [1]
    assert shown.of_type("ACTIVATE_VERSION") == []


# Without a run


def stream(**more: Any) -> Any:
    facts = {"parent": None, "sends_versions": True, "doubts_small_loads": True, "name": "orders"} | more
    facts.setdefault("shard", None)
    return SimpleNamespace(**facts, can_resume=lambda position: True, logger=logging.getLogger("orders"))


CUT = {"version": 5, "position": 3}


@pytest.mark.parametrize(
    ("part", "facts", "goes_on"),
    [
        (CUT, {}, True),
        ({"position": 3}, {"sends_versions": False}, True),
        ({"position": 0, "version": 5}, {}, True),
        ({"version": 5}, {}, False),
        (CUT, {"parent": "teams"}, False),  # a place says nothing of whose rows it stands in
        (
            CUT,
            {"sends_versions": False},
            False,
        ),  # what came before would be of a version that nobody activates
        ({"position": 3}, {}, False),
        ({"version": "5", "position": 3, "rows": "7"}, {}, False),
    ],
)
def test_a_load_goes_on_where_all_of_it_is_of_one_kind(part, facts, goes_on, caplog):
    caplog.set_level("INFO")
    load = FullLoad(stream(**facts), {LOAD: part})
    assert load.position == (part["position"] if goes_on else None)
    if facts.get("sends_versions") is False:
        assert load.version is None
    else:
        assert (load.version == part.get("version")) == goes_on
        assert isinstance(load.version, int)
        assert goes_on or load.version > 1_700_000_000_000, "milliseconds, above what other taps have given"
    assert "rows" not in load.written()
    assert ("goes on where it was" in caplog.text) == goes_on


def test_only_where_answers_may_be_wrong_few_rows_are_doubted():
    assert FullLoad(stream(doubts_small_loads=False), {LOAD: {"rows": 99}}).end(0, None) is None
    load = FullLoad(stream(), {LOAD: {"rows": 3}})
    assert "it had no row at all" in str(load.end(0, None))
    assert load.written()["rows"] == 3, "no rows are nothing to hold the next load against"
    assert load.end(2, None) is None
    assert load.end(1, None) is None, "the half is no doubt"
    load = FullLoad(stream(), {LOAD: {"rows": 3}})
    assert "it had 1 row, and one before 3" in str(load.end(1, None))
    assert load.end(1, None) is None
    assert "does not say how many rows" in str(FullLoad(stream(), {LOAD: {"version": 1}}).end(1, None))
    assert FullLoad(stream(), {}).end(1, None) is None


@pytest.mark.parametrize(
    ("part", "rows", "doubt", "why", "rows_then", "few_then"),
    [
        ({"rows": 10}, 4, None, "it had 4 rows, and one before 10", 10, 4),
        ({"rows": 10, "few": 4}, 4, None, None, 4, 4),
        ({"rows": 10, "few": 4}, 3, None, None, 3, 3),
        ({"rows": 10, "few": 4}, 2, None, "it had 2 rows, and one before 10", 10, 2),  # half of those again
        ({"rows": 10, "few": "4"}, 4, None, "it had 4 rows", 10, 4),
        ({"rows": 10, "few": 4}, 9, None, None, 9, None),
        ({"rows": 10}, 4, "it was cut", "it was cut", 10, None),  # which says nothing of how many there are
        ({"rows": 10}, 12, "it was cut", "it was cut", 12, None),
        ({"rows": 10}, 0, None, "it had no row at all", 10, None),
        (
            {"version": 1},
            0,
            None,
            "it had no row at all",
            None,
            None,
        ),  # what was loaded before is still not known
    ],
)
def test_what_a_load_leaves_for_the_next_to_be_held_against(part, rows, doubt, why, rows_then, few_then):
    load = FullLoad(stream(), {LOAD: part})
    said = load.end(rows, doubt)
    assert (said is None) == (why is None)
    assert str(said).startswith(why or "None")
    assert (load.written().get("rows"), load.written().get("few")) == (rows_then, few_then)


def test_a_source_that_does_not_err_has_its_doubts_all_the_same():
    assert FullLoad(stream(doubts_small_loads=False), {}).end(5, "a row was skipped") == "a row was skipped"


def test_a_version_is_the_time_in_milliseconds_and_never_none(monkeypatch):
    clock = SimpleNamespace(now=lambda: 1764280000.5)
    monkeypatch.setattr("singerkit_tap.fullload.wall_time", clock)
    assert FullLoad(stream(), {}).version == 1764280000500
    clock.now = lambda: 0.0
    assert FullLoad(stream(), {}).version == 1
    assert FullLoad(stream(), {LOAD: {"version": 7}}).version == 8
    assert [FullLoad(stream(shard=Shard(number, 3)), {}).version for number in range(3)] == [3, 1, 2]
