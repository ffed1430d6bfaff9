"""The parts of a chunk in the order in which they are loaded: no STATE before a row that came before it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from singerkit_target.units import in_load_order, segments
from singerkit_wire.messages import Message, Run

NUMBER = 7
"""Line of the first part of every test."""


def run(stream: str, *rows: int, first: int = NUMBER) -> Run:
    return Run(stream, b"".join(b'{"n":%d}\n' % row for row in rows), len(rows), first)


def message(type_: str, stream: str | None = None, number: int = NUMBER) -> Message:
    return Message(type_, stream, b"{}", number)


def state(value: Any, number: int = NUMBER) -> Message:
    return Message("STATE", None, json.dumps({"type": "STATE", "value": value}).encode(), number)


GOOD, BETTER = state({"bookmarks": {"a": 1}}), state({"bookmarks": {"a": 2}}, NUMBER + 1)
EMPTY = state({}, NUMBER + 2)
A, B = run("a", 1, 2), run("b", 3)


def test_nothing_gives_nothing():
    assert list(segments([])) == []
    assert in_load_order([]) == []


def test_runs_and_states_stay_together_and_every_other_message_is_alone():
    schema, activate = message("SCHEMA", "a"), message("ACTIVATE_VERSION", "a")
    parts = [schema, activate, A, GOOD, B, schema, BETTER, activate, A]
    assert list(segments(parts)) == [
        [schema],
        [activate],
        [A, GOOD, B],
        [schema],
        [BETTER],
        [activate],
        [A],
    ]


def test_a_state_ends_its_segment_while_something_has_to_happen_there():
    waiting = iter([True, False])
    found = list(segments([A, GOOD, B, BETTER, A], lambda: next(waiting)))
    assert found == [[A, GOOD], [B, BETTER, A]]


def test_the_last_segment_needs_no_message_behind_it():
    assert list(segments([A, GOOD])) == [[A, GOOD]]
    assert list(segments([A, message("SCHEMA", "b")])) == [[A], [message("SCHEMA", "b")]]


def test_rows_before_the_last_state_come_before_it_and_rows_behind_it_after_it():
    later = run("a", 9, first=99)
    assert in_load_order([A, GOOD, B, BETTER, later]) == [A, B, BETTER, later]
    assert in_load_order([GOOD, A]) == [GOOD, A]
    assert in_load_order([A, B]) == [A, B]


def test_the_runs_of_a_stream_become_one_with_their_line_numbers():
    first, other, second = run("a", 1, 2, first=10), run("b", 5, first=12), run("a", 3, first=20)
    joined = in_load_order([first, GOOD, other, second, BETTER])
    assert joined == [
        Run("a", b'{"n":1}\n{"n":2}\n{"n":3}\n', 3, 10, (10, 11, 20)),
        other,
        BETTER,
    ]
    assert isinstance(joined[0], Run)
    assert [joined[0].line_number(index) for index in range(3)] == [10, 11, 20]


def test_rows_on_both_sides_of_the_state_are_not_joined():
    again = run("a", 8, first=30)
    assert in_load_order([A, GOOD, again]) == [A, GOOD, again]
    assert in_load_order([A, again]) == [Run("a", A.data + again.data, 3, A.first_line, (7, 8, 30))]


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ([GOOD], [GOOD]),
        ([GOOD, BETTER], [BETTER]),
        ([GOOD, EMPTY], [GOOD, EMPTY]),
        ([GOOD, BETTER, EMPTY, EMPTY], [BETTER, EMPTY]),
        ([EMPTY, GOOD], [GOOD]),
        ([EMPTY], [EMPTY]),
        ([EMPTY, state({}, 50)], [state({}, 50)]),
        ([GOOD, EMPTY, BETTER, EMPTY], [BETTER, EMPTY]),
    ],
)
def test_an_empty_state_never_takes_the_place_of_one_that_says_something(states, told):
    assert in_load_order([A, *states]) == [A, *told]


@pytest.mark.parametrize(
    "odd",
    [
        b'{"type":"STATE"}',
        b'{"type":"STATE","value":NaN}',
        b'{"type":"STATE","value":1e99999999999999999999}',
        b'{"type":"STATE","value":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"type":"STATE","value":"\xff"}',
        b'{"type":"STATE","value":"' + b"1" * 5000 + b'"}',
    ],
    ids=["missing", "NaN", "number", "deep", "utf-8", "text"],
)
def test_a_state_that_is_not_valid_is_passed_on_to_who_says_what_is_wrong(odd):
    broken = Message("STATE", None, odd, NUMBER)
    assert in_load_order([GOOD, broken]) == [broken]


def test_the_value_of_a_state_may_hold_any_character():
    assert in_load_order([state({"ключ": "日本 \U0001f600"}), EMPTY])[0] == state({"ключ": "日本 \U0001f600"})
