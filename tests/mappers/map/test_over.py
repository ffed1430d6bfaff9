"""`constant` with `over`: a field that is there loses its own value, at any depth, and one that is not is made."""

from __future__ import annotations

from typing import Any

import pytest
from mappers.map.mapping import mapped

from singerkit_shell.errors import ConfigurationError

FIELDS: dict[str, Any] = {
    "id": {"type": "integer"},
    "ssn": {"type": "string"},
    "age": {"type": ["integer", "null"]},
    "home": {"type": ["object", "null"], "properties": {"city": {"type": "string"}}},
}
ROWS = [
    {"id": 1, "ssn": "123-45", "age": 41, "home": {"city": "Bonn"}},
    {"id": 2, "ssn": None, "age": None, "home": None},
    {"id": 3},
]


@pytest.mark.parametrize(
    ("field", "value", "schema", "found"),
    [
        ("ssn", "hidden", {"type": "string"}, ["hidden"] * 3),
        ("ssn", None, {"type": ["string", "null"]}, [None] * 3),
        ("age", 0, {"type": ["integer", "null"]}, [0] * 3),
        ("age", "none", {"type": "string"}, ["none"] * 3),
        ("source", "shop", {"type": "string"}, ["shop"] * 3),
    ],
)
def test_every_record_has_the_value(field: str, value: Any, schema: dict[str, Any], found: list[Any]) -> None:
    made = mapped([{"op": "constant", "field": field, "value": value, "over": True}], FIELDS, ROWS, ["id"])
    properties = made.schema["schema"]["properties"]
    assert properties[field] == schema
    assert [record[field] for record in made.records] == found
    assert [record["id"] for record in made.records] == [1, 2, 3]


def test_inside_an_object_that_is_there() -> None:
    made = mapped(
        [{"op": "constant", "field": "home.city", "value": "x", "over": True}], FIELDS, ROWS, ["id"]
    )
    assert [record.get("home", "missing") for record in made.records] == [{"city": "x"}, None, "missing"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"field": "id", "value": 0, "over": True}, "`id` is in the key"),
        ({"field": "gone", "value": None, "over": True}, "no field `gone`"),
        ({"field": "home.street", "value": 0, "over": True}, "no field `street`"),
        ({"field": "ssn", "value": 0}, "There is a field `ssn` already"),
        ({"field": "new", "value": None}, 'write `"over": true`'),
    ],
)
def test_what_it_cannot(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        mapped([{"op": "constant", **said}], FIELDS, ROWS, ["id"])


def test_a_record_that_is_set_aside_shows_the_value_and_not_what_was_there() -> None:
    operations = [
        {"op": "constant", "field": "ssn", "value": "hidden", "over": True},
        {"op": "cast", "field": "home", "to": "integer"},
    ]
    fields = {**FIELDS, "home": {"type": ["string", "null"]}}
    made = mapped(
        operations, fields, [{"id": 1, "ssn": "123-45", "home": "x"}], ["id"], on_error="quarantine"
    )
    [letter] = made.letters
    assert b"123-45" not in letter.record
    assert b"hidden" in letter.record
