"""Keys that are spelled in two ways and are one value to the column of their type, and those that are two."""

from __future__ import annotations

from typing import Any

import pytest

from singerkit_wire.keyforms import key_form


def text(form: str) -> dict[str, Any]:
    return {"type": ["null", "string"], "format": form}


ONE_VALUE = [
    (
        text("date-time"),
        [
            '"2026-01-01T00:00:00Z"',
            '"2026-01-01T01:00:00+01:00"',
            '"2026-01-01T00:00:00.000Z"',
            '"2026-01-01 00:00:00"',
            '"2026-01-01"',
            '"2025-12-31T24:00:00Z"',
            r'"2026\u002d01-01"',
        ],
    ),
    (
        {"anyOf": [{"type": "null"}, text("date-time")]},
        ['"2026-01-01T00:00:00Z"', '"2026-01-01T01:00:00+01:00"'],
    ),
    (text("date"), ['"2026-01-01"', '"2026-01-01T00:00:00Z"']),
    (text("time"), ['"12:00:00"', '"12:00:00.0"', '"12:00:00Z"']),
    (
        text("uuid"),
        [
            '"6f9619ff-8b86-d011-b42d-00c04fc964ff"',
            '"6F9619FF-8B86-D011-B42D-00C04FC964FF"',
            '"6f9619ff8b86d011b42d00c04fc964ff"',
        ],
    ),
    (
        {"oneOf": [{"type": "null"}, text("uuid")]},
        ['"6f9619ff-8b86-d011-b42d-00c04fc964ff"', '"6F9619FF8B86D011B42D00C04FC964FF"'],
    ),
    (
        text("date-time") | {"anyOf": [{"minLength": 1}]},
        ['"2026-01-01T00:00:00Z"', '"2026-01-01T01:00:00+01:00"'],
    ),
    *(
        (schema, ['"6f9619ff-8b86-d011-b42d-00c04fc964ff"', '"6F9619FF-8B86-D011-B42D-00C04FC964FF"'])
        for schema in (
            {"format": "uuid", "anyOf": [{"type": "string"}, {"type": "null"}]},
            {"type": ["string", "null"], "oneOf": [text("uuid"), {"type": "null"}]},
            {"format": "uuid", "allOf": [{"type": "string"}]},
        )
    ),
    (text("singer.decimal"), ['"1"', '"1.0"', '"10e-1"', '" 1 "']),
    ({"type": "string", "x-singer.decimal": True}, ['"1"', '"1.0"']),
    ({"type": "number"}, ["1", "1.0", "1e0", "1E0", "10e-1"]),
    ({"type": "integer"}, ["0", "-0", "0.0"]),
    ({"type": "string"}, ['"a"', r'"\u0061"']),
    ({"type": ["string", "integer"]}, ["1", "1.0"]),
    (None, ["1", "1.0"]),
    (True, ["1", "1.0"]),
    ({}, ['{"a": 1, "b": [1.0]}', '{"b":[1],"a":1}']),
]
TWO_VALUES = [
    ({"type": "string"}, ['"2026-01-01T00:00:00Z"', '"2026-01-01T01:00:00+01:00"']),
    ({"type": "string"}, ['"1"', '"1.0"']),
    ({"type": "string"}, ['"A"', '"a"']),
    ({"type": "string", "format": "email"}, ['"A@b"', '"a@b"']),
    (text("date-time"), ['"9999-12-31T23:59:59-14:00"', '"9999-12-31T23:59:59-13:00"', '"x"', "null"]),
    ({"type": "number"}, ["1", "1.5", "1e400", "1" * 9000, "1e1000000000000000000000"]),
    ({"type": ["string", "integer"]}, ["1", '"1"']),
    ({"anyOf": [text("date-time"), text("date")]}, ['"2026-01-01T00:00:00Z"', '"2026-01-01"']),
]


@pytest.mark.parametrize(("schema", "values"), ONE_VALUE)
def test_one_value_has_one_form(schema: Any, values: list[str]) -> None:
    form = key_form(schema)
    assert len({bytes(form([value.encode()])[0]) for value in values}) == 1
    assert len(set(form([value.encode() for value in values]))) == 1


@pytest.mark.parametrize(("schema", "values"), TWO_VALUES)
def test_two_values_stay_two(schema: dict[str, Any], values: list[str]) -> None:
    assert len(set(key_form(schema)([value.encode() for value in values]))) == len(values)


@pytest.mark.parametrize("kind", ["integer", "number", "string"])
def test_keys_in_their_one_form_are_given_back(kind: str) -> None:
    """They are nearly all; nothing is done for each value."""
    values = [b'"a"', b'"b"'] if kind == "string" else [b"1", b"12345678901234567890"]
    assert key_form({"type": ["null", kind]})(values) is values


@pytest.mark.parametrize(
    "odd", [b"[" * 200_000 + b"]" * 200_000, b"1" * 9000, b"{"], ids=["deep", "long", "torn"]
)
def test_what_cannot_be_read_stays_as_it_is_written(odd: bytes) -> None:
    assert key_form({})([odd, b"1.0"]) == [odd, b"1.0"]
