from __future__ import annotations

import pytest

from singerkit_catalog.admitted import types_of
from singerkit_catalog.schema import is_nullable, properties_of, resolve_refs
from singerkit_shell.errors import ConfigurationError


@pytest.mark.parametrize("holder", ["$defs", "definitions"])
def test_local_references_are_replaced_and_their_holders_dropped(holder):
    schema = {
        "properties": {
            "a": {"$ref": f"#/{holder}/money"},
            "b": {"type": "array", "items": {"$ref": "#/properties/a"}},
        },
        holder: {"money": {"type": "number", "multipleOf": 0.01}},
    }
    money = {"type": "number", "multipleOf": 0.01}
    assert resolve_refs(schema, "x") == {"properties": {"a": money, "b": {"type": "array", "items": money}}}


def test_references_by_id_anchor_pointer_escapes_and_index():
    schema = {
        "properties": {
            "a": {"$ref": "item.json"},
            "b": {"$ref": "#here"},
            "c": {"$ref": "#/$defs/a~1b%20c"},
            "d": {"$ref": "#/anyOf/0"},
        },
        "anyOf": [{"title": "first"}],
        "$defs": {
            "i": {"$id": "item.json", "title": "by id"},
            "h": {"$anchor": "here", "title": "by anchor"},
            "a/b c": {"title": "by pointer"},
        },
    }
    resolved = resolve_refs(schema, "x")["properties"]
    assert [resolved[name]["title"] for name in "abcd"] == ["by id", "by anchor", "by pointer", "first"]


def test_keywords_beside_a_reference_win():
    schema = {
        "properties": {"a": {"$ref": "#/$defs/t", "title": "mine"}},
        "$defs": {"t": {"type": "string", "title": "its"}},
    }
    assert resolve_refs(schema, "x")["properties"]["a"] == {"type": "string", "title": "mine"}


def test_a_schema_that_refers_to_itself_ends_in_anything():
    schema = {"properties": {"child": {"$ref": "#"}, "name": {"type": "string"}}}
    inner = resolve_refs(schema, "x")["properties"]["child"]["properties"]
    assert inner == {"child": {}, "name": {"type": "string"}}


def test_a_property_may_be_true():
    assert resolve_refs({"properties": {"a": True}}, "x") == {"properties": {"a": {}}}


def test_data_and_property_names_are_no_references():
    schema = {
        "properties": {"$ref": {"type": "string"}, "enum": {"type": "string"}, "$defs": {"type": "string"}},
        "default": {"$ref": "#/nowhere"},
        "enum": [{"$ref": "#/nowhere"}],
    }
    assert resolve_refs(schema, "x") == schema


@pytest.mark.parametrize("reference", ["http://example.com/a.json", "other.json#/a", "file:///etc/passwd"])
def test_remote_references_are_refused(reference):
    with pytest.raises(
        ConfigurationError, match=r"The schema of stream `s` refers to .* only local references"
    ):
        resolve_refs({"properties": {"a": {"$ref": reference}}}, "stream `s`")


def test_a_reference_to_nothing_is_refused():
    with pytest.raises(ConfigurationError, match=r"names nothing"):
        resolve_refs({"properties": {"a": {"$ref": "#/$defs/b"}}}, "x")


@pytest.mark.parametrize(
    ("schema", "types"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": ["null", "string"]}, {"null", "string"}),
        ({}, set()),
        (True, set()),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"string", "null"}),
        ({"oneOf": [{"type": "string"}, {}]}, set()),
        ({"allOf": [{"type": ["string", "null"]}, {"type": "string"}]}, {"string"}),
        (
            {"enum": [1, None, "a", True, 1.5, [], {}]},
            {"integer", "null", "string", "boolean", "number", "array", "object"},
        ),
        ({"const": "a"}, {"string"}),
        ({"type": ["string", "null"], "enum": ["a"]}, {"string"}),
        ({"type": [{"type": "string"}, "null"]}, {"null"}),
        ({"type": 5}, set()),
    ],
)
def test_types(schema, types):
    assert types_of(schema) == types


def test_nullable():
    assert is_nullable({"type": ["null", "string"]})
    assert is_nullable({})
    assert not is_nullable({"type": "string"})


def test_properties_of_branches():
    schema = {
        "properties": {"a": {}},
        "allOf": [{"properties": {"b": {}}}],
        "anyOf": [{"oneOf": [{"properties": {"c": {}}}]}],
    }
    assert set(properties_of(schema)) == {"a", "b", "c"}


@pytest.mark.parametrize("index", ["9" * 5000, "1", "²"])
def test_an_index_that_is_not_there_is_refused(index: str) -> None:
    schema = {"properties": {"a": {"$ref": f"#/anyOf/{index}"}}, "anyOf": [{"title": "first"}]}
    with pytest.raises(ConfigurationError, match="The schema of stream `s`"):
        resolve_refs(schema, "stream `s`")
