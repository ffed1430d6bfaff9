"""Raw records to RECORD lines: both layouts give the same, and no value changes."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries
from singer_sdk.singerlib import SelectionMask

from singerkit_shell.errors import BadDataError
from singerkit_wire.encode import RecordEncoder, _Dicts, split_records

NOW = "2024-01-01T00:00:00.000000Z"


def encoder(
    *names: str,
    deselected: tuple[tuple[str, ...], ...] = (),
    partial: bool = False,
    required: tuple[str, ...] = (),
) -> RecordEncoder:
    schema = {"properties": {name: {} for name in names}, "required": list(required)}
    mask = SelectionMask(dict.fromkeys(deselected, False))
    return RecordEncoder('a "stream"', schema, mask, partial=partial)


def records_of(lines: bytes) -> list[object]:
    return [json.loads(line, parse_float=Decimal)["record"] for line in lines.splitlines()]


def test_a_line_is_a_record_message():
    lines = encoder("a").lines(encoder("a").decode([b'{"a":1.50}']), NOW)
    assert lines == (
        b'{"type":"RECORD","stream":"a \\"stream\\"","record":{"a":1.50},"time_extracted":"'
        + NOW.encode()
        + b'"}\n'
    )
    assert encoder("a").lines([], NOW) == b""


OTHERS = {
    "the same": encoder("a", "b"),
    "fewer fields": encoder("a"),
    "in another order": encoder("b", "a"),
    "partial": encoder("a", "b", partial=True),
    "a required field": encoder("a", "b", required=("b",)),
    "deselected inside": encoder("a", "b", deselected=(("properties", "a", "properties", "c"),)),
    "whole": RecordEncoder("s", {}, SelectionMask()),
    "odd names": encoder("a", "b", 'c"'),
}
RAW = [msgspec.Raw(text) for text in (b'{"a":{"c":1.50,"d":2},"b":"x","e":1}', b'{"a":\n2}', b'{"b":null}')]


@pytest.mark.parametrize("constants", [None, {"b": "of the parent"}], ids=["alone", "with a constant"])
@pytest.mark.parametrize("now", OTHERS)
@pytest.mark.parametrize("before", OTHERS)
def test_what_was_decoded_before_gives_the_same_lines(before, now, constants):
    """By whatever encoder: what another one would leave out, fill in or cut is decoded anew."""
    known = OTHERS[before].decoded(RAW)
    by = OTHERS[now]
    expected = by.lines(by.decode(RAW, constants), NOW)
    assert by.lines(by.decode(RAW, constants, known), NOW) == expected
    others = RAW[1:]
    known = OTHERS[before].decoded(RAW)
    assert by.decode(others, constants, known) == by.decode(others, constants)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["id", "a b", "é:!?", "", "class", "f0", "x"])
exact = msgspec.json.Encoder(decimal_format="number")


@settings(max_examples=tries(60), deadline=None)
@given(st.booleans(), st.lists(st.dictionaries(NAMES, VALUES, max_size=5), min_size=1, max_size=5))
def test_both_layouts_give_the_same_and_keep_every_value(partial, records):
    raws = split_records(exact.encode(records), "here")
    names = ("id", "a b", "é:!?", "", "class", "f0")
    required = ("a b",)
    fast, complete = (encoder(*names, partial=partial, required=required) for _ in range(2))
    filled = set() if partial else {name for name in names if name not in required}
    complete._layout = _Dicts(names, {}, filled)
    constants = {"id": 5, "f0": "x", "unknown": 1}
    lines = fast.lines(fast.decode(raws, constants), NOW)
    assert records_of(lines) == records_of(complete.lines(complete.decode(raws, constants), NOW))
    assert lines.count(b"\n") == len(records)
    expected = [
        dict.fromkeys(filled)
        | {"id": 5, "f0": "x"}
        | {key: value for key, value in record.items() if key in names}
        for record in records
    ]
    assert records_of(lines) == json.loads(exact.encode(expected), parse_float=Decimal)
    for name in names:
        assert fast.column(fast.decode(raws), name) == complete.column(complete.decode(raws), name)


@pytest.mark.parametrize("name", ['say "hi"; --', "back\\slash", "tab\there"])
def test_names_that_need_escapes(name):
    odd = encoder(name, "id")
    body = json.dumps([{name: 1, "id": 2, "other": 3}]).encode()
    assert records_of(odd.lines(odd.decode(split_records(body, "here")), NOW)) == [{name: 1, "id": 2}]


def test_selection_below_the_top_level():
    path = ("properties", "a", "properties", "b", "properties", "c")
    nested = encoder("a", "id", deselected=(path, ("properties", "a", "properties", "z")))
    raws = [
        b'{"a":{"b":{"c":1,"d":2.50},"z":1},"id":1}',
        b'{"a":[1]}',
        b'{"a":null}',
        b'{"a":{"b":7}}',
        b"{}",
    ]
    assert nested.lines(nested.decode(raws), NOW).count(b'{"b":{"d":2.50}}') == 1
    assert records_of(nested.lines(nested.decode(raws), NOW))[1:] == [
        {"a": [1], "id": None},
        {"a": None, "id": None},
        {"a": {"b": 7}, "id": None},
        {"a": None, "id": None},
    ]


def test_a_property_that_is_left_out_is_null_unless_records_are_partial():
    raws = [b'{"a":1}', b'{"b":null}', b"{}"]
    whole, partial = encoder("a", "b", "c", required=("c",)), encoder("a", "b", "c", partial=True)
    assert records_of(whole.lines(whole.decode(raws), NOW)) == [
        {"a": 1, "b": None},
        {"a": None, "b": None},
        {"a": None, "b": None},
    ]
    assert records_of(partial.lines(partial.decode(raws), NOW)) == [{"a": 1}, {"b": None}, {}]


@pytest.mark.parametrize(
    "text",
    [
        r'"\ud800"',
        r'"\udc00\ud800"',
        r'"\\ud800 \ud83d\ude00 \uDBFF"',
        r'["\ud800", 1.10]',
        r'{"k": "\ud800"}',
    ],
)
def test_lone_surrogates_leave_as_they_came(text):
    raws = split_records(f'[{{"a":{text}}}]'.encode(), "here")
    assert json.loads(encoder("a").lines(encoder("a").decode(raws), NOW))["record"]["a"] == json.loads(text)
    straight = [f'{{"a":{text}}}'.encode()]
    assert f'{{"a":{text}}}'.encode() in encoder("a").lines(encoder("a").decode(straight), NOW)


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        (b"{}", "Expected `array`, got `object` in page 1"),
        (b"<html>", "Expected JSON in page 1, got text that is not"),
        (b"", "Expected JSON in page 1"),
        (b'["\xff"]', "Expected UTF-8 in page 1"),
        (b"[" * 100_000, "nested too deeply"),
        (b'["\\ud800",}', "Expected JSON in page 1"),
    ],
)
def test_what_is_no_page(body, finding):
    with pytest.raises(BadDataError) as error:
        split_records(body, "page 1")
    assert finding in str(error.value)


@pytest.mark.parametrize("record", [b"5", b"null", b"[]", b'{"a":}', b'{"a":NaN}'])
def test_what_is_no_record(record):
    with pytest.raises(BadDataError, match=r"a record of stream `a \"stream\"`"):
        encoder("a").decode([b'{"a":1}', record])
