"""Operations on values at work on a block: what is missing, what is null, each distinct value once, exact texts, bad values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mappers.map.operating import made
from msgspec import UNSET, Raw

from singerkit_map.block import Block, Place
from singerkit_map.contract import TEXT, BadValue, OfParts, OfValue, Shape
from singerkit_map.operations.table import OPERATIONS
from singerkit_shell.errors import BadDataError


def block_of(*texts, on_error="fail", **more):
    columns = {"a": [UNSET if text is None else Raw(text) for text in texts]}
    return Block(Place("s", on_error), columns | more, list(range(1, len(texts) + 1)))


def shown(block, name="a"):
    return [None if value is UNSET else bytes(value) for value in block.columns[name]]


def at_work(operation, block, schema=None, keys=()):
    operation.apply(block, Shape("s", {"a": schema or {}}, keys=keys))
    return block


def test_a_function_is_called_once_for_each_distinct_value_and_never_for_nothing():
    given = []

    def upper(value):
        given.append(value)
        return value.upper()

    operation = OfValue("map", "a", upper, dict, takes=TEXT)
    block = at_work(operation, block_of(b'"x"', None, b"null", b'"y"', b'"x"'))
    assert shown(block) == [b'"X"', None, b"null", b'"Y"', b'"X"']
    assert given == ["x", "y"]


@pytest.mark.parametrize(
    "text", [b"1.10", b"1E5", b'"\\u00e9\\/"', b"123456789012345678901234567890.5", b"NaN", b'"\\ud800"']
)
def test_a_value_that_stays_as_it_is_keeps_its_text(text):
    assert shown(at_work(OfValue("map", "a", lambda value: value, dict), block_of(text))) == [text]


def test_numbers_inside_others_keep_their_texts():
    def with_more(value):
        return {**value, "more": True}

    block = at_work(OfValue("map", "a", with_more, dict), block_of(b'{"n": 1.10, "m": 1E400}'))
    assert shown(block) == [b'{"n":1.10,"m":1E400,"more":true}']


def test_what_is_made_beside_leaves_the_field_as_it_is():
    block = at_work(OfValue("map", "a", len, dict, into="b"), block_of(b'"xyz"', None, b"null"))
    assert shown(block, "a") == [b'"xyz"', None, b"null"]
    assert shown(block, "b") == [b"3", None, b"null"]


def test_null_and_missing_are_filled_where_that_is_said():
    block = at_work(OfValue("map", "a", len, dict, null="none", missing=0), block_of(b'"xyz"', None, b"null"))
    assert shown(block) == [b"3", b"0", b'"none"']


OF_TEXTS = [
    one | {"field": "a", "as": "b"}
    for one in (
        {"op": "hmac"}, {"op": "hmac", "key_id": "k1"}, {"op": "truncate", "length": 1}, {"op": "truncate", "length": 4},
        {"op": "cast", "to": "text"}, {"op": "cast", "to": "integer"}, {"op": "cast", "to": "number"},
    )
]  # fmt: skip
TEXTS = [
    b'""', b'"x"', b'"a b c"', b'"a\\"b\\\\cdef"', '"a\u0308u\u0308o"'.encode(), '"\u6771\u4eac\u5009\u5eab"'.encode(), b'"ab\\ud83d\\ude00cd"',
    '"\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7"'.encode(), b'"ab\\r\\nc"', b'"\\ud800"', b'"\\u0000"', b'"\xff\xff\xff"', b"0", b"-0", b"-0.0", b"7",
    b"1.10", b"-1E+5", b"1e400", b"12345678901234567890", b"9" * 5000, b"true", b"false", b"null", b"NaN", b"-Infinity", b"{}", b"[1.0]", None,
    b'"7"', b'"07"', b'"-7"', b'"-0"', b'"0"', b'"+7"', b'" 7"', b'"7.10"', b'"-0.0"', b'"07.5"', b'"7."', b'".5"', b'"1e3"', b'"%d"' % 10**40, b'"-"',
]  # fmt: skip


@pytest.mark.parametrize("said", OF_TEXTS)
def test_what_is_made_of_texts_without_decoding_them_is_what_is_made_of_their_values(said):
    """Each by itself, all of them, all that are UTF-8, all that are there, and such as come again and again."""
    quick = made(**said)
    slow = replace(quick, of_texts=None)
    assert set(quick.of_texts([b'"x"', b'"7"'])) != {None}
    utf8 = [text for text in TEXTS if text != b'"\xff\xff\xff"']
    there = [text for text in utf8 if text is not None]
    plain = [b'"x"', b"7", b"1.10", b'"7"', b"0"]
    for texts in ([], *([text] for text in TEXTS), TEXTS, utf8, there, plain, plain * 9, [b"7", b"8.5"]):
        one, other = (at_work(each, block_of(*texts, on_error="quarantine")) for each in (quick, slow))
        assert shown(one, "b") == shown(other, "b")
        assert (shown(one), one.bad) == (shown(other), other.bad)


def _refuse(value):
    if value == "secret":
        raise BadValue("expected another text")
    return value


def test_a_bad_value_ends_the_run_with_its_line_and_never_with_itself():
    with pytest.raises(BadDataError) as told:
        at_work(OfValue("map.streams.s[0]", "a", _refuse, dict), block_of(b'"x"', b'"secret"'))
    assert "Expected another text at s.$.a (line 2), where `map.streams.s[0]` is at work" in str(told.value)
    assert "secret" not in str(told.value)


def test_a_bad_value_becomes_null_and_is_counted():
    block = at_work(OfValue("map", "a", _refuse, dict), block_of(b'"x"', b'"secret"', on_error="null"))
    assert shown(block) == [b'"x"', b"null"]
    assert block.place.nulled == {("s", "map", "a"): 1}


def test_a_key_is_never_made_null():
    with pytest.raises(BadDataError):
        at_work(OfValue("map", "a", _refuse, dict), block_of(b'"secret"', on_error="null"), keys=("a",))


@pytest.mark.parametrize(
    ("protects", "into", "a", "b"),
    [
        (False, None, b'"secret"', None),
        (True, None, b'"***"', None),
        (True, "b", b'"***"', b'"***"'),
        (False, "b", b'"secret"', b"null"),
    ],
)
def test_a_record_that_is_set_aside_shows_nothing_of_what_was_to_be_hidden(protects, into, a, b):
    operation = OfValue("map", "a", _refuse, dict, into=into, protects=protects)
    block = at_work(operation, block_of(b'"x"', b'"secret"', on_error="quarantine"))
    assert {row: bad.path for row, bad in block.bad.items()} == {1: "a"}
    assert shown(block)[1] == a
    assert into is None or shown(block, "b")[1] == b


def test_values_of_another_type_are_bad():
    with pytest.raises(BadDataError, match=r"Expected a text, got an integer at s.\$.a"):
        at_work(OfValue("map", "a", str.upper, dict, takes=TEXT), block_of(b"1"))


@pytest.mark.parametrize("on_error", ["quarantine", "null"])
def test_inside_lists_one_bad_value_is_dealt_with(on_error):
    operation = OfValue("map", "a[].m", _refuse, dict, protects=True)
    text = b'[{"m":"x"},{"m":"secret"},{}]'
    schema = {"type": "array", "items": {"properties": {"m": {}}}}
    block = at_work(operation, block_of(text, on_error=on_error), schema)
    assert shown(block) == [b'"***"' if on_error == "quarantine" else b'[{"m":"x"},{"m":null},{}]']


def test_parts_of_a_value_become_fields():
    operation = OfParts("map", "a.u", {"b": {}, "c": {}}, lambda text: text.split("-"))
    schema = {"type": "object", "properties": {"u": {"type": "string"}}}
    block = at_work(operation, block_of(b'{"u":"x-y"}', b'{"u":null}', b"{}", None, b"null"), schema)
    assert shown(block, "b") == [b'"x"', b"null", None, None, b"null"]
    assert shown(block, "c") == [b'"y"', b"null", None, None, b"null"]


CASTS = [
    ("integer", b'"12"', b"12"), ("integer", b"12.0", b"12"), ("integer", b'" -007 "', b"-7"), ("integer", b"true", b"1"),
    ("integer", b'"12a"', None), ("integer", b"1.5", None), ("integer", b"1e999999", None), ("integer", b"[]", None), ("integer", b'"\xd9\xa1"', None),
    ("number", b'"1.10"', b"1.10"), ("number", b'"+.5"', None), ("number", b'"1e3"', b"1e3"), ("number", b'""', None), ("number", b"1.10", b"1.10"),
    ("text", b"1.10", b'"1.10"'), ("text", b"true", b'"true"'), ("text", b'{"a": 1}', b'"{\\"a\\":1}"'), ("text", b'""', b'""'),
    ("boolean", b'"Yes"', b"true"), ("boolean", b"0", b"false"), ("boolean", b"2", None), ("boolean", b'""', None), ("boolean", b"null", b"null"),
]  # fmt: skip


@pytest.mark.parametrize(("to", "before", "after"), CASTS)
def test_casts(to, before, after):
    operation = OPERATIONS["cast"].made({"field": "a", "to": to}, "map")
    block = at_work(operation, block_of(before, on_error="quarantine"))
    assert (None if block.bad else shown(block)[0]) == after
    if after is not None:
        assert shown(at_work(operation, block))[0] == after
