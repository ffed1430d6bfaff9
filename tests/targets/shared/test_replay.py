"""The unit in hand: what is held of it, how much, and for how long; the pauses between tries."""

from __future__ import annotations

from itertools import islice

import pytest

from singerkit_target import replay
from singerkit_target.replay import UnitInHand, waits
from singerkit_target.versions import Versions
from singerkit_wire.messages import Message, Run
from singerkit_wire.stream import Stream

A = Run("a", b"0123456789", 1, 1)
STATE, SCHEMA = Message("STATE", None, b"01234", 2), Message("SCHEMA", "a", b"01234", 3)


def test_what_was_written_is_held_in_its_order() -> None:
    unit = UnitInHand(100)
    for part in (SCHEMA, A, STATE):
        unit.add(part)
    assert unit.parts == [SCHEMA, A, STATE]
    assert unit.is_whole


@pytest.mark.parametrize(("limit", "is_whole"), [(25, True), (24, False), (10, False), (0, False)])
def test_beyond_the_limit_nothing_is_held_until_the_next_unit(limit: int, is_whole: bool) -> None:
    unit = UnitInHand(limit)
    for part in (A, A, STATE):
        unit.add(part)
    assert (unit.is_whole, unit.parts) == (is_whole, [A, A, STATE] if is_whole else [])
    unit.add(Message("STATE", None, b"", 9))
    assert unit.parts == ([A, A, STATE, Message("STATE", None, b"", 9)] if is_whole else [])
    unit.restart({}, [], Versions())
    assert (unit.is_whole, unit.parts) == (True, [])
    for part in (A, A, STATE):
        unit.add(part)
    assert unit.is_whole is is_whole, "the size is that of the unit"


def test_what_came_after_a_state_is_given_up() -> None:
    unit = UnitInHand(1000)
    later = Message("STATE", None, b"{}", 9)
    unit.back_to(STATE)
    assert unit.parts == []
    for part in (A, STATE, A, later, SCHEMA, A):
        unit.add(part)
    for _ in range(2):
        unit.back_to(later)
        assert unit.parts == [A, STATE, A, later]
    unit.back_to(STATE)
    assert unit.parts == [A, STATE], "not the newest, the one that is named"
    unit.restart({}, [], Versions())
    unit.add(SCHEMA)
    unit.add(A)
    unit.back_to(STATE)
    assert unit.parts == []


def test_the_next_unit_knows_how_its_streams_were_declared() -> None:
    declared, stream = {"a": b"{}"}, Stream("a", {}, (), ())
    unit = UnitInHand(10)
    assert (unit.declared, unit.streams) == ({}, {})
    versions = Versions({"a": 1}, {"a"})
    unit.restart(declared, [stream], versions)
    declared["b"] = b""
    versions.wait("a", 2)
    assert (unit.declared, unit.streams) == ({"a": b"{}"}, {"a": stream})
    assert unit.versions == Versions({"a": 1}, {"a"})


def test_two_units_share_nothing() -> None:
    first, second = UnitInHand(100), UnitInHand(100)
    first.add(A)
    assert (second.parts, second.declared, second.streams) == ([], {}, {})


def test_pauses_double_up_to_a_limit_and_differ_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(0 <= pause <= 5 for pause in islice(waits(), 20))
    assert len(set(islice(waits(), 20))) > 10
    monkeypatch.setattr(replay.backoff, "full_jitter", lambda seconds: seconds)
    assert list(islice(waits(), 8)) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5])
    assert list(islice(waits(0.3), 4)) == pytest.approx([0.1, 0.2, 0.3, 0.3])
