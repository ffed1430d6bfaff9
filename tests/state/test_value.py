"""The STATE value keeps numbers exact, and tolerates marks that are not ours."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singerkit_state import value as value_module
from singerkit_state.value import (
    MARK_KEY,
    Mark,
    decode,
    encode,
    is_empty,
    read_mark,
    with_mark,
    without_mark,
)

MARK = Mark(run="r-1", pipeline="orders", complete=False)


def test_the_mark_is_the_last_key_and_the_value_given_is_not_changed() -> None:
    value = {MARK_KEY: {"run": "old", "pipeline": "orders", "complete": True}, "bookmarks": {"a": 1}}
    marked = with_mark(value, MARK)
    assert list(marked) == ["bookmarks", MARK_KEY]
    assert marked[MARK_KEY] == {"run": "r-1", "pipeline": "orders", "complete": False}
    assert value[MARK_KEY]["run"] == "old"
    assert read_mark(marked) == MARK
    assert without_mark(marked) == {"bookmarks": {"a": 1}}


@pytest.mark.parametrize(
    "mark",
    [None, "x", [], {}, {"run": "r"}, {"run": 1, "pipeline": "p", "complete": True}]
    + [{"run": "r", "pipeline": "p", "complete": odd} for odd in (1, 0, "true", None)],
)
def test_a_malformed_mark_is_no_mark(mark: Any) -> None:
    assert read_mark({MARK_KEY: mark}) is None


@pytest.mark.parametrize("value", [None, [], "text", 1, {}])
def test_a_value_without_a_mark_has_none(value: Any) -> None:
    assert read_mark(value) is None


def test_a_mark_of_a_later_version_with_more_keys_is_read() -> None:
    assert read_mark({MARK_KEY: {"run": "r-1", "pipeline": "orders", "complete": False, "more": 1}}) == MARK


@pytest.mark.parametrize(
    "value", [None, {}, with_mark({}, MARK), {"bookmarks": {}}, {"bookmarks": None}, {MARK_KEY: None}]
)
def test_empty(value: Any) -> None:
    assert is_empty(value)
    assert is_empty(with_mark(value or {}, MARK))


@pytest.mark.parametrize(
    "value", [{"bookmarks": {"a": {}}}, {"bookmarks": {}, "currently_syncing": "a"}, {"a": None}, 0, "", []]
)
def test_not_empty(value: Any) -> None:
    assert not is_empty(value)


NUMBERS = ["1.10", "0.1000", "-0.0", "1E+400", "1e-400", "1e400", "-7", "0", "9" * 4000, "0." + "1" * 1000]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_survive_exactly(number: str) -> None:
    value = decode(f'{{"n": [{number}]}}')["n"][0]
    again = decode(encode({"n": [value]}))["n"][0]
    assert not isinstance(value, float)
    assert (type(again), again) == (type(value), value)
    assert Decimal(value) == Decimal(number)
    if isinstance(value, Decimal):
        assert str(again) == str(Decimal(number)), "trailing zeros are kept"


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec=None)), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON_VALUES)
def test_encode_gives_one_line_of_utf8_that_decodes_to_an_equal_value(value: Any) -> None:
    text = encode(value)
    assert len(text.splitlines()) == 1 or "\n" not in text
    text.encode("utf-8")
    assert decode(text) == value
    json.loads(text)


def _one_by_one(value: Any) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(value_module, "_plain_text", lambda _: None)
        return encode(value)


@settings(deadline=None)
@given(JSON_VALUES)
def test_what_is_written_at_once_is_what_is_written_one_by_one(value: Any) -> None:
    assert encode(value) == _one_by_one(value)


@pytest.mark.parametrize(
    "value",
    [
        {"in/a.csv": ["k", 1, None, True, 10**30, 'é\x00\x7f\u2028"\\/'], "b": []},
        {"half \ud800": [1]},
        {"a": ["half \ud800"], "b": ["é"]},
        {"a": [1], "b": {"c": [1, Decimal("1.10")]}},
        {"a": [1, [2]], "b": [3]},
        [],
        {},
    ],
)
def test_lists_of_scalars_are_written_as_all_else(value: Any) -> None:
    assert encode(value) == _one_by_one(value)


def test_a_key_that_is_no_text_is_refused_beside_lists() -> None:
    with pytest.raises(TypeError, match="as a key"):
        encode({1: ["a"]})


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_written_so_that_they_read_back(number: float) -> None:
    assert float(decode(encode(number))) == number


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")]
)
def test_what_is_not_a_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="no JSON form"):
        encode({"a": [value]})


@pytest.mark.parametrize("value", [{1: "a"}, {"a": {1, 2}}, {"a": b"x"}])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        encode(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        '{"a":NaN}',
        '{"a":-Infinity}',
        "{} {}",
        "[" * 100_000,
        "1" * 5000,
        "1e99999999999999999999",
    ],
)
def test_text_that_is_not_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode(text)


def test_a_value_nested_too_deeply_is_a_value_error() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueError, match="too deeply"):
        encode(value)
