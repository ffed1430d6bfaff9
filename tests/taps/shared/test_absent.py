"""Parents below which a child was not found, as far as the state can name them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from singerkit_tap.absent import ABSENT, ABSENT_RUNS, AbsentParents

STREAM: Any = SimpleNamespace(
    name="items",
    remembered=dict,
    recalled=dict,
    asked_by=lambda _: {},
    way_to_all_parents="",
    logger=SimpleNamespace(info=print),
)


def test_more_than_are_remembered_are_told_of_and_let_the_next_run_ask_for_all() -> None:
    absent = AbsentParents(STREAM, {}, limit=2)
    for number in range(3):
        absent.begin({"id": number})
        absent.note({"id": number}, is_there=False)
    assert absent.has_lost
    assert "below more than 2 parents; the next run asks" in next(absent.finish())
    assert [entry["context"] for entry in absent.written()] == [{"id": 0}, {"id": 1}]
    again = AbsentParents(STREAM, {ABSENT: absent.written()}, limit=2)
    assert not again.has_lost
    assert list(again.left()) == [{"id": 0}, {"id": 1}]
    again.begin({"id": 0})
    again.note({"id": 0}, is_there=True)
    assert list(again.left()) == [{"id": 1}]
    again.note({"id": 1}, is_there=False)
    assert again.written() == [{"context": {"id": 1}, "runs": 2}]


def test_one_that_stays_away_is_given_up() -> None:
    part: dict[str, Any] = {ABSENT: [{"context": {"id": 1}, "runs": 1}]}
    for runs in range(2, ABSENT_RUNS + 1):
        absent = AbsentParents(STREAM, part)
        absent.note({"id": 1}, is_there=False)
        assert list(absent.finish()) == []
        part = {ABSENT: absent.written()}
        assert part[ABSENT][0]["runs"] == runs
    absent = AbsentParents(STREAM, part)
    absent.note({"id": 1}, is_there=False)
    assert len(list(absent.finish())) == 1
    assert absent.written() == []


def test_a_parent_that_has_come_is_not_asked_for_by_what_was_copied_of_it_before() -> None:
    stream = SimpleNamespace(**{**vars(STREAM), "recalled": lambda kept: {"id": kept["id"]}})
    part = {ABSENT: [{"context": {"id": 1, "name": "as it was"}, "runs": 1}]}
    absent = AbsentParents(stream, part)  # type: ignore[arg-type]
    assert list(absent.left()) == [{"id": 1}]
    absent.begin({"id": 1})
    assert list(absent.left()) == []


def test_of_two_parents_with_one_key_the_next_run_asks_for_all() -> None:
    asked = iter([{"slug": "a"}, {"slug": "b"}])
    stream = SimpleNamespace(**{**vars(STREAM), "asked_by": lambda _: next(asked)})
    absent = AbsentParents(stream, {})  # type: ignore[arg-type]
    absent.note({"id": 1}, is_there=False)
    assert not absent.has_lost
    absent.note({"id": 1}, is_there=True)
    assert absent.has_lost
    assert list(absent.finish()) == []


def test_what_is_edited_by_hand_cannot_be_asked_for() -> None:
    for said in ("x", [1], [{"context": {"id": 1}}], [{"context": 1, "runs": 1}]):
        assert AbsentParents(STREAM, {ABSENT: said}).is_torn
    assert not AbsentParents(STREAM, {}).is_torn
