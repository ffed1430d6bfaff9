"""Columns as JSON lines: each row is what msgspec makes of it, whatever texts stand in it."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerkit_wire.columnlines import JsonColumn, NumberTexts, json_of_texts, rows_of_columns

PLAIN = st.lists(st.text(alphabet="aü\u2028😀 \x7f"), min_size=3, max_size=3)
TEXTS = st.lists(st.one_of(st.none(), st.text()), min_size=3, max_size=3)
VALUES = st.lists(
    st.one_of(st.none(), st.booleans(), st.integers(), st.just(msgspec.Raw(b"1.10"))), min_size=3, max_size=3
)


@given(st.dictionaries(st.text(), st.one_of(PLAIN, TEXTS, VALUES), max_size=4))
def test_rows_are_what_an_encoder_makes_of_them(columns):
    block = rows_of_columns(columns, 3).block
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)] or [{}] * 3
    assert block == msgspec.json.Encoder().encode_lines(rows)


def test_rows_are_joined_at_a_time_without_a_seam():
    for count in (1, 63, 64, 65, 128, 130):
        columns = {"a": [str(number) for number in range(count)], "b": JsonColumn([b"1"] * count)}
        rows = [{"a": str(number), "b": 1} for number in range(count)]
        assert rows_of_columns(columns, count).block == msgspec.json.Encoder().encode_lines(rows)


@pytest.mark.parametrize("char", ["\0", "\x1f", '"', "\\", "\r"])
def test_what_json_escapes_is_escaped(char: str):
    by_bytes = json_of_texts([char.encode(), b"b"], frozenset([b"b"]), is_escaped=False)
    lines = [*rows_of_columns({"a": [char, "b"]}, 2), *rows_of_columns({"a": by_bytes}, 2)]
    assert [json.loads(line)["a"] for line in lines] == [char, "b", char, None]


def test_numbers_counts_and_what_all_rows_have():
    columns = {"n": NumberTexts(["1.10", None, ""]), "row": range(7, 10), "file": b'"a.csv"'}
    assert rows_of_columns(columns, 3).block == (
        b'{"n":1.10,"row":7,"file":"a.csv"}\n{"n":null,"row":8,"file":"a.csv"}\n{"n":null,"row":9,"file":"a.csv"}\n'
    )
    assert rows_of_columns({}, 0).block == b""
