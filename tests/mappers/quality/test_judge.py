"""The judge of rows: what shows on the wire comes to the same as a look at each value."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries

from singerkit_quality.judge import Judge, key_of
from singerkit_quality.matching import _Walk
from singerkit_quality.rules import rules_of
from singerkit_wire.blocks import BlockDecoder, Judgement
from singerkit_wire.lines import Chunk
from singerkit_wire.messages import Run, Splitter
from singerkit_wire.stream import Stream, stream_of

TYPES: dict[str, dict[str, Any]] = {
    "i": {"type": ["integer", "null"]},
    "n": {"type": ["number", "null"]},
    "t": {"type": ["string", "null"]},
    "s": {"type": "string"},
    "d": {"type": ["string", "null"], "format": "date"},
    "m": {"type": ["string", "null"], "format": "date-time"},
    "b": {"type": ["boolean", "null"]},
}


WAYS = {"block": {}, "texts": {"reads_texts": True}, "exact": {"always_exact": True}}
"""How rows come to the judge: as a target takes them that copies texts as they stand, as one that takes values, and each record by itself."""


def broken(rule: dict[str, Any], values: Sequence[Any], way: str = "block") -> list[int]:
    """Return the places of the values, of records of their own, that break a rule; a text that begins with `#` is a number as it is written."""
    field = rule["field"]
    stream = stream_of("s", {"properties": {"id": {"type": "integer"}, field: TYPES[field]}}, ("id",))
    judge = Judge(rules_of({"s": [{"on": "quarantine", **rule}]}))
    judge.declare(stream)
    how = WAYS[way]
    decoder = BlockDecoder(
        stream,
        Judgement(sets_aside=True, reads_texts="reads_texts" in how),
        lambda one: one,
        logging.getLogger(),
        always_exact="always_exact" in how,
    )
    batches, rejects = decoder.decode(
        _run([_line(place, field, value) for place, value in enumerate(values)])
    )
    assert not rejects
    verdict = judge.judge(decoder.stream, batches)
    assert sum(verdict.judged.values()) == len(values)
    return [one.line - 1 for one in verdict.rejects]


def _line(place: int, field: str, value: Any) -> bytes:
    text = (
        value[1:]
        if isinstance(value, str) and value.startswith("#")
        else json.dumps(value, ensure_ascii=place % 2 == 0)
    )
    return b'{"type": "RECORD", "stream": "s", "record": {"id": %d, "%s": %s}}\n' % (
        place,
        field.encode(),
        text.encode(),
    )


def _run(lines: Sequence[bytes]) -> Run:
    [part] = Splitter().split(Chunk(b"".join(lines), len(lines), 1, 0))
    assert isinstance(part, Run)
    return part


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("rule", "values", "expected"),
    [
        ({"rule": "not_null", "field": "t"}, ["a", None, "null", ""], [1]),
        ({"rule": "not_null", "field": "n"}, ["#1.5", None, "#0"], [1]),
        ({"rule": "not_null", "field": "i"}, [1, None], [1]),
        ({"rule": "not_null", "field": "d"}, ["2026-01-01", None], [1]),
        ({"rule": "range", "field": "i", "min": 0, "max": 9}, [0, 9, -1, 10, None], [2, 3]),
        ({"rule": "range", "field": "n", "min": 0}, ["#-0", "#-0.0", "#-1e-400", "#1e300", None], [2]),
        ({"rule": "range", "field": "n", "max": 0.1}, ["#0.1", "#0.1000000000000000000001", "#0.10"], [1]),
        (
            {"rule": "range", "field": "n", "max": 9007199254740993},
            ["#9007199254740993", "#9007199254740994"],
            [1],
        ),
        ({"rule": "range", "field": "d", "min": "2026-01-01"}, ["2026-01-01", "2025-12-31", None], [1]),
        (
            {"rule": "range", "field": "m", "max": "2026-01-01T00:00:00Z"},
            ["2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00", "2026-01-01T00:00:00-01:00"],
            [2],
        ),
        (
            {"rule": "accepted", "field": "t", "values": ["a", 'q"', "\u00e4"]},
            ["a", "A", "a ", 'q"', "\u00e4", None],
            [1, 2],
        ),
        ({"rule": "accepted", "field": "t", "values": ["null"]}, ["null", None, "nul"], [2]),
        ({"rule": "accepted", "field": "n", "values": [1, 0]}, ["#1.00", "#-0", "#1.01"], [2]),
        ({"rule": "accepted", "field": "n", "values": [1, 0]}, [None, "#1.00", "#2"], [2]),
        ({"rule": "accepted", "field": "b", "values": [True]}, [True, False, None], [1]),
        (
            {"rule": "length", "field": "t", "min": 1, "max": 3},
            ["", "abc", "abcd", "\U0001f600\U0001f600\U0001f600", "e\u0301e\u0301", None, "a\\b", "   "],
            [0, 2, 4],
        ),
        ({"rule": "length", "field": "s", "max": 2}, ["ab", "abc"], [1]),
        (
            {"rule": "matches", "field": "t", "pattern": "[a-c]+"},
            ["abc", "abd", "ABC", "", "a\n", None],
            [1, 2, 3, 4],
        ),
        ({"rule": "matches", "field": "t", "pattern": "[a-c]+"}, ["ab\nab", "ab"], [0]),
        ({"rule": "matches", "field": "t", "pattern": ".[^x]{4,}"}, ["b", "bcdef"], [0]),
        ({"rule": "matches", "field": "t", "pattern": "[\ud800-\udfff]|a"}, ["a", "b"], [1]),
        (
            {"rule": "type", "field": "t", "type": "integer"},
            ["1", "-0", "01", "+1", "1.0", " 1", "1e3", "\u0661"],
            [2, 3, 4, 5, 6, 7],
        ),
        (
            {"rule": "type", "field": "t", "type": "number"},
            ["1", "-0.50", "1e3", ".5", "NaN", "1_0", "1."],
            [3, 4, 5, 6],
        ),
        (
            {"rule": "type", "field": "t", "type": "date"},
            ["2024-02-29", "2023-02-29", "2026-04-31", "20260101", "1900-02-29"],
            [1, 2, 3, 4],
        ),
        (
            {"rule": "encoding", "field": "t"},
            [
                "M\u00fcller",
                "M\u00c3\u00bcller",
                "M\ufffdller",
                "a\u0080",
                "\u201cAMANH\u00c3\u201d",
                "\u00e2\u20ac\u2122",
            ],
            [1, 2, 3, 5],
        ),
    ],
)
def test_a_rule_is_broken_by_these_values(
    rule: dict[str, Any], values: list[Any], expected: list[int], way: str
) -> None:
    assert broken(rule, values, way) == expected
    kept = [value for place, value in enumerate(values) if place not in expected]
    assert broken(rule, kept, way) == []  # as a whole column shows it, too
    assert way == "exact" or broken(rule, kept * 600, way) == []  # where values are looked at once each


_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "i": st.integers(-3, 12),
    "n": st.decimals(-2, 11, places=2).map("#{}".format)
    | st.sampled_from(
        ["#0", "#9.5", "#9.50000000000000000001", "#9.4999999999999999999", "#-1e-400", "#1e1", "#95e-1"]
    ),
    "t": st.text('abc\u00e4\U0001f600\\"\n ', max_size=4) | st.sampled_from(["ab", "aab", "abcab"]),
    "m": st.datetimes(datetime(2025, 12, 31), datetime(2026, 1, 2)).map(lambda one: f"{one.isoformat()}Z"),
}
_RULES: list[tuple[str, dict[str, Any], Callable[[Any], object]]] = [
    ("i", {"rule": "range", "min": 0, "max": 9}, lambda one: 0 <= one <= 9),
    ("i", {"rule": "accepted", "values": [0, 1, 2.5, 3]}, lambda one: one in (0, 1, 3)),
    ("n", {"rule": "range", "min": 0, "max": 9.5}, lambda one: 0 <= Decimal(one[1:]) <= Decimal("9.5")),
    ("n", {"rule": "accepted", "values": [0, 9.5]}, lambda one: Decimal(one[1:]) in (0, Decimal("9.5"))),
    ("t", {"rule": "length", "min": 1, "max": 3}, lambda one: 1 <= len(one) <= 3),
    ("t", {"rule": "length", "min": 3}, lambda one: len(one) >= 3),
    (
        "t",
        {"rule": "accepted", "values": ["", "ab", 'a"', "\u00e4"]},
        lambda one: one in ("", "ab", 'a"', "\u00e4"),
    ),
    # Of the first the next character tells how it goes on, of the second it does not.
    ("t", {"rule": "matches", "pattern": "[ab]*c?[^a]*"}, re.compile("[ab]*c?[^a]*").fullmatch),
    ("t", {"rule": "matches", "pattern": "(a|ab)*.b?"}, re.compile("(a|ab)*.b?").fullmatch),
    ("m", {"rule": "range", "min": "2026-01-01T00:00:00Z"}, lambda one: one >= "2026"),
]


@settings(max_examples=tries(150), deadline=None)
@given(st.data(), st.sampled_from(_RULES), st.sampled_from(list(WAYS)))
def test_what_a_column_shows_is_what_the_values_say(
    data: st.DataObject, asked: tuple[str, dict[str, Any], Callable[[Any], object]], way: str
) -> None:
    field, rule, keeps = asked
    values = data.draw(st.lists(st.none() | _VALUES[field], min_size=1, max_size=8))
    expected = [place for place, value in enumerate(values) if value is not None and not keeps(value)]
    assert broken({"field": field, **rule}, values, way) == expected


def test_a_pattern_is_followed_once_for_all_texts_that_it_does_not_tell_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    followed: list[str] = []
    matches = _Walk.matches
    monkeypatch.setattr(_Walk, "matches", lambda walk, text: followed.append(text) or matches(walk, text))
    mails = [f"{name}{number}@example.org" for name in ("anna", "\u0142uk") for number in range(10, 99)]
    rule = {"rule": "matches", "field": "t", "pattern": r"[^@ ]+@[^@ ]+\.[a-z]{2,}"}
    for way in ("block", "texts"):
        assert broken(rule, mails, way) == []
        assert len(followed) == 2, followed
        followed.clear()


def test_a_key_is_shown_on_one_line_and_not_all_of_a_long_one() -> None:
    stream = stream_of("s", {"properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}, ("a", "b"))
    batch = _decoded(stream, '{"a": "x\\n\\u001b[1m", "b": 2}')
    assert key_of(stream, batch, 0) == "a = x\\x0a\\x1b[1m, b = 2"
    assert len(key_of(stream, _decoded(stream, json.dumps({"a": "x" * 500, "b": 1})), 0)) == 80


def _decoded(stream: Stream, record: str) -> Any:
    decoder = BlockDecoder(stream, Judgement(), lambda one: one, logging.getLogger())
    line = f'{{"type": "RECORD", "stream": "s", "record": {record}}}\n'.encode()
    return decoder.decode(_run([line]))[0][0]
