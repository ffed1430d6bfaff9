"""States of other taps and of other configs: recognised, or refused by name."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from singerkit_state.others import StateError, bookmarks_of_others, recognised_part, unwrapped

OURS = {"bookmarks": {"m": {"replication_key": "u", "replication_key_value": "2026-01-01"}}}


@pytest.mark.parametrize(
    "state",
    [
        OURS,
        {"singer_state": OURS},
        {"type": "STATE", "value": OURS},
        {"completed": {"singer_state": OURS}},
        {"completed": {"singer_state": {"bookmarks": {"m": {}}}}, "partial": {"singer_state": OURS}},
        {"completed": {}, "partial": {"singer_state": OURS}},
    ],
)
def test_what_is_around_a_state_is_taken_off(state: dict[str, Any]) -> None:
    assert unwrapped(state, ["m"]) == OURS


def test_a_partial_state_goes_over_the_completed_one_stream_by_stream() -> None:
    completed = {"singer_state": {"bookmarks": {"a": {"x": 1}, "b": {"x": 1}}}}
    partial = {"singer_state": {"bookmarks": {"b": {"x": 2}}}}
    merged = unwrapped({"completed": completed, "partial": partial}, [])
    assert merged == {"bookmarks": {"a": {"x": 1}, "b": {"x": 2}}}


def test_what_belongs_to_no_stream_is_kept() -> None:
    state = {**OURS, "currently_syncing": "m", "note": "of another"}
    assert unwrapped(state, ["m"]) == state
    assert unwrapped({}, ["m"]) == {}
    assert unwrapped({"currently_syncing": "m"}, ["m"]) == {"currently_syncing": "m"}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"m": "2026-01-01"}, "has `m` at its top level"),
        ({**OURS, "m": "2026-01-01"}, "has `m` at its top level"),
        ({"last": "2026-01-01"}, "has no `bookmarks`.* `last`"),
        ({"bookmarks": ["m"]}, "`bookmarks` of the state is not an object"),
        ({"singer_state": "x"}, "`singer_state` of the state is not an object"),
    ],
)
def test_a_state_of_no_known_shape_is_refused(state: dict[str, Any], said: str) -> None:
    with pytest.raises(StateError, match=said):
        unwrapped(state, ["m"])


OWN = {"replication_key": "u", "replication_key_value": 5}


@pytest.mark.parametrize(
    ("part", "same"),
    [
        (OWN, OWN),
        (None, {}),
        ({}, {}),
        ({"u": 5}, OWN),
        ({"u": Decimal("5"), "offset": {"page": 2}}, {**OWN, "offset": {"page": 2}}),
        ({"u": None}, {}),
        ({"replication_key_value": 5}, {"replication_key_value": 5}),
        ({**OWN, "version": 1, "last_replication_method": "INCREMENTAL"},) * 2,
        ({"last_replication_method": "FULL_TABLE", "version": 1},) * 2,
        ({"progress_markers": {"Note": "x"}, "starting_replication_value": None},) * 2,
        ({"_singerkit_driven": {}},) * 2,
        ({"partitions": [{"context": {"a": 1}, **OWN}]},) * 2,
        ({"partitions": [{"context": {"a": 1}, "u": 5}]}, {"partitions": [{"context": {"a": 1}, **OWN}]}),
    ],
)
def test_a_part_is_read_whoever_wrote_it(part: Any, same: Any) -> None:
    assert recognised_part(part, "u") == same


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("2026-01-01", "its part is not an object; write it as"),
        ({"replication_key": "t", "replication_key_value": 5}, "is by `t`, the config says `u`"),
        ({"t": "2026-01-01"}, r"no bookmark by `u`, and what is there is not understood \(`t`\)"),
        ({"lsn": 5, "version": 1}, "`lsn`"),
        ({"u": {"since": 5}}, "its bookmark by `u` is neither text nor a number"),
        ({"u": True}, "its bookmark by `u` is neither"),
        ({"replication_key": "u", "replication_key_value": [5]}, "its bookmark by `u` is neither"),
        ({"partitions": [{"context": {"a": 1}, "t": 5}]}, "no bookmark by `u`"),
        ({"partitions": [5]}, "one of its partitions is not an object"),
    ],
)
def test_a_part_that_is_not_understood_is_refused(part: Any, said: str) -> None:
    with pytest.raises(StateError, match=said):
        recognised_part(part, "u")


def test_a_stream_that_is_read_as_a_whole_keeps_what_it_has() -> None:
    assert recognised_part({"t": 5}, None) == {"t": 5}
    assert bookmarks_of_others({"t": 5, "u": None, "version": 1, "_singerkit_x": 2}) == ["t"]
    with pytest.raises(StateError, match=r"its part is not an object$"):
        recognised_part(5, None)
