"""What rows carry of their parents, from one state to the next, without a run."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from singerkit_tap.copied import COPIED, CopiedFields

TEAMS = {number: {"id": number, "name": f"n{number}"} for number in range(1, 5)}


def read(
    part: dict[str, Any], teams: dict[int, dict[str, Any]], limit: int | None = 10, more: str | None = None
) -> tuple[dict[str, Any], list[int], list[str]]:
    """Return the part of the state after a read below ``teams``, those that have changed, and what is told."""
    stream: Any = SimpleNamespace(
        name="players",
        partition_limit=limit,
        copied=lambda context: teams[context["team"]],
        logger=logging.getLogger("players"),
        advice=SimpleNamespace(more_partitions=more),
    )
    fields = CopiedFields(stream, part.get(COPIED), replaces=True)
    changed = []
    for number in teams:
        if fields.has_changed({"team": number}):
            changed.append(number)
        fields.note({"team": number})
    return {COPIED: fields.written()}, changed, [*fields.finish()]


@pytest.mark.parametrize("limit", [None, 2])
def test_two_parents_that_have_changed_are_all_that_were_read(limit: int | None) -> None:
    before = read({}, {1: TEAMS[1], 2: TEAMS[2]}, limit)[0]
    now = {number: TEAMS[number] | {"name": "other"} for number in (1, 2)}
    after, changed, told = read(before, now, limit)
    assert changed == [1, 2]
    assert ["has changed in all 2 parents" in sentence for sentence in told] == [True]
    assert read(after, now, limit)[1:] == ([], [])


def test_a_parent_that_takes_the_place_of_another_is_known_as_it_is() -> None:
    before = read({}, {1: TEAMS[1]}, 1)[0]
    after, changed, told = read(before, {2: TEAMS[2]}, 1)
    assert (changed, told) == ([], [])
    assert read(after, {2: TEAMS[2]}, 1)[1] == []
    assert read(after, {2: TEAMS[2] | {"name": "other"}}, 1)[1] == [2]


@pytest.mark.parametrize("more", [None, "raise `it`"])
def test_a_source_without_a_setting_for_more_is_not_told_of_one(more: str | None) -> None:
    (sentence,) = read({}, {1: TEAMS[1], 2: TEAMS[2]}, 1, more)[2]
    way = "" if more is None else "raise `it`, or "
    assert f"rows below keep the former value: {way}copy no more than" in sentence
