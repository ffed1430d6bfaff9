"""Rows that are lines already leave as they would if each had been looked into; where less than all of them is sent, each is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from singer_sdk.singerlib import SelectionMask

from singerkit_shell.encoding import count_lines, holds
from singerkit_wire.columnlines import NumberTexts, rows_of_columns
from singerkit_wire.encode import RecordEncoder, picked
from singerkit_wire.readyrows import ReadyRows

NAMES = ("id", 'say "hi"', "v")
PLAIN = ("id", "w", "v")
AT = "2026-01-01T00:00:00.000000Z"
texts = st.text('a"\\\n\u2028é\U0001f600', max_size=4)
values = (
    st.none()
    | st.integers()
    | texts
    | st.lists(texts, max_size=2)
    | st.dictionaries(texts, texts, max_size=2)
)


def encoder(names: tuple[str, ...] = NAMES, **selected: bool) -> RecordEncoder:
    mask = {(): True, **{("properties", name): selected.get(name, True) for name in names}}
    return RecordEncoder("s", {"properties": {name: {} for name in names}}, SelectionMask(mask))


def ready(rows: list[dict[str, Any]], *, names: tuple[str, ...] = NAMES) -> ReadyRows:
    lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    return ReadyRows("".join(line + "\n" for line in lines).encode("utf-8", "surrogatepass"), names)


@given(rows=st.lists(st.tuples(texts, st.none() | texts, st.integers().map(str)), max_size=5))
def test_the_keys_of_columns_are_those_that_stand_in_their_lines(rows: list[tuple[Any, ...]]) -> None:
    of_texts, of_more, of_numbers = ([row[number] for row in rows] for number in range(3))
    made = rows_of_columns({"id": of_texts, "w": of_more, "v": NumberTexts(of_numbers)}, len(rows))
    ours, again = encoder(PLAIN), ReadyRows(made.block, made.names)
    for name in PLAIN:
        assert [*ours.key_values(made, name)] == [*ours.key_values(again, name)]
        assert [*ours.key_values(made[1:], name)] == [*ours.key_values(again[1:], name)]


@pytest.mark.parametrize("names", [NAMES, PLAIN])
@given(rows=st.lists(st.tuples(values, values, values), max_size=5), version=st.sampled_from([None, 7]))
def test_they_leave_as_rows_that_were_looked_into(
    names: tuple[str, ...], rows: list[tuple[Any, ...]], version: int | None
) -> None:
    ours, block = encoder(names), ready([dict(zip(names, row, strict=True)) for row in rows], names=names)
    looked_into = ours.decode([*block])
    sent = ours.decode(block, {"id": 1})
    assert sent is block
    assert len(sent) == len(rows)
    assert ours.lines(sent, AT, version) == ours.lines(looked_into, AT, version)
    others = ready([dict.fromkeys(names, 8)], names=names)
    for name in (*names, *names):  # each of them alone, then beside the others, and of other rows in between
        assert ours.column(sent, name) == ours.column(looked_into, name)
        assert [*map(bytes, ours.column(others, name))] == [b"8"]
    assert ours.hashes(sent) == ours.hashes(looked_into)
    assert ours.lines(sent[1:3], AT) == ours.lines(looked_into[1:3], AT)
    numbers = range(len(rows))[::2]
    assert ours.lines(picked(sent, numbers), AT) == ours.lines(picked(looked_into, numbers), AT)


@pytest.mark.parametrize("names", [NAMES[::-1], NAMES[:2]])
def test_rows_of_other_fields_are_looked_into(names: tuple[str, ...]) -> None:
    block = ready([dict.fromkeys(names, 1)], names=names)
    assert encoder().decode(block) is not block


def test_what_is_not_selected_is_not_sent() -> None:
    block = ready([{"id": 1, 'say "hi"': 2, "v": 3}])
    some = encoder(v=False)
    line = json.loads(some.lines(some.decode(block), AT))
    assert line["record"] == {"id": 1, 'say "hi"': 2}


@given(st.binary(max_size=40), st.binary(min_size=1, max_size=3))
def test_looks_at_blocks_find_what_python_finds(block: bytes, text: bytes) -> None:
    assert holds(block, text) == (text in block)
    assert count_lines(block) == block.count(b"\n")
