"""Where in a record an operation works."""

from __future__ import annotations

import pytest

from singerkit_map.paths import BadValue, Impossible, change_at, path_of, schema_at, value_at, with_schema_at

FIELDS = {
    "mail": {"type": "string"},
    "a.b": {"type": "integer"},
    "address": {"type": ["object", "null"], "properties": {"city": {"type": "string"}}},
    "items": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
    "either": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"x": {"type": "number"}}}]},
    "open": {"type": "object"},
}


@pytest.mark.parametrize("text", ["mail", "address.city", "items[].sku", "tags[]", "rows[][].x"])
def test_a_path_is_written_as_it_was(text):
    assert str(path_of(text)) == text


def test_a_field_whose_name_has_dots_is_that_field():
    assert path_of("a.b", FIELDS).top == "a.b"
    assert path_of("a.b").steps == ("b",)


@pytest.mark.parametrize(
    ("text", "kind"), [("address.city", "string"), ("items[].sku", "string"), ("either.x", "number")]
)
def test_the_schema_of_a_path(text, kind):
    assert schema_at(FIELDS, path_of(text)) == {"type": kind}


def test_a_schema_is_changed_in_its_place_or_beside_it():
    changed = with_schema_at(FIELDS, path_of("items[].sku"), lambda _: {"type": "integer"}, "number")
    assert changed["items"]["items"]["properties"] == {
        "sku": {"type": "string"},
        "number": {"type": "integer"},
    }
    assert FIELDS["items"]["items"]["properties"] == {"sku": {"type": "string"}}
    either = with_schema_at(FIELDS, path_of("either.x"), lambda _: {"type": "string"})["either"]
    assert either["anyOf"][1]["properties"]["x"] == {"type": "string"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mial", "no field `mial`; did you mean `mail`?"),
        ("address.cty", "no field `cty`; did you mean `city`?"),
        ("items.sku", "write `[]` behind its name"),
        ("mail[]", "says nothing of elements"),
        ("open.x", "names no field `x`"),
        ("a..b", "Expected a path"),
    ],
)
def test_a_path_that_leads_nowhere_is_told(text, sentence):
    with pytest.raises(Impossible) as told:
        schema_at(FIELDS, path_of(text))
    assert sentence in str(told.value)


def _upper(within, name):
    if within.get(name) is not None:
        within[name] = within[name].upper()


@pytest.mark.parametrize(
    ("text", "value", "after"),
    [
        ("address.city", {"city": "rome", "zip": 1}, {"city": "ROME", "zip": 1}),
        ("address.city", {"zip": 1}, {"zip": 1}),
        ("address.city", None, None),
        ("items[].sku", [{"sku": "a"}, {}, None, {"sku": None}], [{"sku": "A"}, {}, None, {"sku": None}]),
        ("tags[]", ["a", None, ""], ["A", None, ""]),
        ("rows[][].x", [[{"x": "a"}], []], [[{"x": "A"}], []]),
    ],
)
def test_a_value_is_changed_where_the_path_leads(text, value, after):
    before = repr(value)
    assert change_at(value, path_of(text).steps, _upper) == after
    assert repr(value) == before


@pytest.mark.parametrize(
    ("text", "value"), [("address.city", "rome"), ("items[].sku", {"sku": "a"}), ("items[].sku", [1])]
)
def test_what_is_no_object_on_the_way_is_a_bad_value(text, value):
    with pytest.raises(BadValue) as told:
        change_at(value, path_of(text).steps, _upper)
    assert "rome" not in str(told.value)


def test_a_value_inside_is_read():
    assert value_at({"a": {"b": 1}}, ("a", "b"), "missing") == 1
    assert value_at({"a": {}}, ("a", "b"), "missing") == "missing"
    assert value_at({"a": None}, ("a", "b"), "missing") is None
