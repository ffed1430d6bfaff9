from __future__ import annotations

import json

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries

from singerkit_catalog.inference import MAP_SIZE, SchemaInference, merge_schemas


def infer(*records, keys=()):
    inference = SchemaInference()
    inference.observe(
        record if isinstance(record, bytes) else json.dumps(record).encode() for record in records
    )
    return inference.schema(keys)


def field(*values):
    return infer(*({"a": value} for value in values))["properties"]["a"]


@pytest.mark.parametrize(
    ("values", "schema"),
    [
        ([1, 2], {"type": ["null", "integer"]}),
        ([1, 2.5], {"type": ["null", "number"]}),
        ([1, None], {"type": ["null", "integer"]}),
        ([True, False], {"type": ["null", "boolean"]}),
        ([True, 1], {"type": ["null", "boolean", "integer"]}),
        (["a", 1], {"type": ["null", "integer", "string"]}),
        (
            ["2024-01-01T00:00:00Z", "2024-01-01t10:00:00.5+02:00"],
            {"type": ["null", "string"], "format": "date-time"},
        ),
        (["2024-01-01T00:00:00Z", "soon"], {"type": ["null", "string"]}),
        (["2024-01-01T00:00:00"], {"type": ["null", "string"]}),
        (["2024-02-30T00:00:00Z"], {"type": ["null", "string"]}),
        (["2024-01-01", None], {"type": ["null", "string"], "format": "date"}),
        (["2024-02-30"], {"type": ["null", "string"]}),
        (["10:00:00"], {"type": ["null", "string"], "format": "time"}),
        (["25:00:00"], {"type": ["null", "string"]}),
        (["00000000-0000-4000-8000-00000000000a"], {"type": ["null", "string"], "format": "uuid"}),
        (["00000000-0000-4000-8000-00000000000A"], {"type": ["null", "string"]}),
        (["2024-01-01", 5], {"type": ["null", "integer", "string"]}),
        ([[]], {"type": ["null", "array"]}),
        ([[], [1], [None]], {"type": ["null", "array"], "items": {"type": ["null", "integer"]}}),
        ([{}], {"type": ["null", "object"]}),
        (
            [{"x": 1}, {"y": [{"z": "t"}]}],
            {
                "type": ["null", "object"],
                "properties": {
                    "x": {"type": ["null", "integer"]},
                    "y": {
                        "type": ["null", "array"],
                        "items": {
                            "type": ["null", "object"],
                            "properties": {"z": {"type": ["null", "string"]}},
                        },
                    },
                },
            },
        ),
    ],
)
def test_fields(values, schema):
    assert field(*values) == schema


def test_number_text_decides_between_integer_and_number():
    assert infer(b'{"a":1.0,"b":1e3,"c":123456789012345678901234567890}')["properties"] == {
        "a": {"type": ["null", "number"]},
        "b": {"type": ["null", "number"]},
        "c": {"type": ["null", "integer"]},
    }


def test_a_field_that_was_never_anything_but_null_says_so_until_it_has_a_value():
    nothing = infer({"id": 1, "v": None}, keys=["id"])
    assert nothing["properties"]["v"] == {"type": ["null"]}
    for value in (1, 1.5, "a", True, [], {}):
        something = infer({"id": 1, "v": value}, keys=["id"])
        assert merge_schemas(nothing, something) == merge_schemas(something, nothing) == something


def test_keys_do_not_allow_null_and_optional_fields_are_kept():
    schema = infer({"id": 1}, {"id": 2, "late": "x"}, keys=["id"])
    assert schema["properties"] == {"id": {"type": "integer"}, "late": {"type": ["null", "string"]}}


def test_an_object_used_as_a_map_lists_no_properties():
    assert field(*({f"k{number}": 1} for number in range(MAP_SIZE + 1))) == {"type": ["null", "object"]}


def test_odd_records_do_not_crash():
    deep = b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"
    schema = infer(b"5", b"[]", b"{", deep, b'{"a":"\\ud800"}', {"b": 1})
    assert schema["properties"]["b"] == {"type": ["null", "integer"]}


def test_records_that_only_pythons_own_reader_takes():
    """Half a character, and a number of 5,000 digits: their fields are fields like all others."""
    schema = infer(
        b'{"a":"\\ud800","b":1}', b'{"c":' + b"9" * 5000 + b',"d":{"e":1.5,"\\udc00":2}}', keys=["b"]
    )
    assert schema["properties"] == {
        "a": {"type": ["null", "string"]},
        "b": {"type": "integer"},
        "c": {"type": ["null", "integer"]},
        "d": {"type": ["null", "object"], "properties": {"e": {"type": ["null", "number"]}}},
    }


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["2024-01-01", "2024-01-01T00:00:00Z", "10:00:00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(st.sampled_from("abcd"), JSON, max_size=4), max_size=6)


@settings(max_examples=tries(30), deadline=None)
@given(RECORDS, RECORDS)
def test_what_comes_out_allows_all_that_went_in(first, second):
    schema = infer(*map(msgspec.json.encode, first + second))
    merged = merge_schemas(infer(*map(msgspec.json.encode, first)), infer(*map(msgspec.json.encode, second)))
    for validator in map(jsonschema.Draft202012Validator, (schema, merged)):
        assert all(map(validator.is_valid, first + second))


def test_merging_is_what_observing_all_at_once_gives():
    first, second = {"id": 1, "a": "2024-01-01", "n": None}, {"id": 2, "a": "x", "b": [1.5], "n": "t"}
    assert merge_schemas(infer(first), infer(second)) == infer(first, second)
    assert merge_schemas({}, infer(first)) == infer(first)
    assert merge_schemas(infer(first), {}) == infer(first)


def test_numbers_beyond_all_exponents_are_numbers():
    """Decimal refuses them, and a float has no room: neither ends the run."""
    record = b'{"a": 1e1000000000000000000000, "b": -1e-1000000000000000000000, "c": 1e400, "d": "\\ud800"}'
    properties = infer(record)["properties"]
    assert [properties[name]["type"] for name in "abc"] == [["null", "number"]] * 3


def test_a_format_wants_enough_values_but_where_it_was_known_before() -> None:
    day, moment = "2026-01-02", "2026-01-02T00:00:00Z"
    few = SchemaInference()
    records = [{"a": day, "in": [{"b": moment}], "key": moment, "odd": day}] * 4 + [{"odd": "x"}]
    few.observe(json.dumps(record).encode() for record in records)
    text = {"type": ["null", "string"]}
    assert few.schema(format_values=5)["properties"]["a"] == text
    assert few.schema(format_values=4)["properties"]["a"] == text | {"format": "date"}
    inside = few.schema(format_values=5)["properties"]["in"]["items"]["properties"]["b"]
    assert inside == text
    known = few.schema(format_values=4)
    assert few.schema(format_values=5, known=known) == known
    at_once = few.schema(format_values=5, formats_at_once={"key": {"date-time"}, "a": {"date-time"}})[
        "properties"
    ]
    assert (at_once["key"], at_once["a"]) == (text | {"format": "date-time"}, text)
    assert few.schema(known={"properties": {"odd": text | {"format": "date"}}})["properties"]["odd"] == text
