"""The compiled type accepts nothing that jsonschema refuses, and takes what ordinary schemas admit."""

from __future__ import annotations

import gc
import json
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries

from singerkit_catalog.compiled import Inexpressible, Style, compiled

STYLES = {
    "exact": Style(),
    "without bounds": Style(anything=Any, bounds=frozenset(), bounded_numbers=False),
}
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])
VALUES = st.recursive(
    st.sampled_from([None, True, 0, 3, -1.5, 1e300, "", "a", "abc", "2020-01-01"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def schemas(draw: st.DrawFn, depth: int = 2) -> Any:
    kind = draw(st.integers(0, 7))
    if kind == 0:
        return draw(
            st.sampled_from([True, False, {}, {"title": "any"}, {"enum": ["a", None]}, {"const": "a"}])
        )
    if kind == 1 and depth:
        branches = draw(st.lists(schemas(depth - 1), min_size=1, max_size=2))
        return {draw(st.sampled_from(["anyOf", "oneOf"])): branches}
    types = draw(st.lists(TYPES, min_size=1, max_size=2, unique=True))
    schema: dict[str, Any] = {"type": types if draw(st.booleans()) else types[0]}
    for keyword, values in (
        ("minLength", st.integers(0, 2)),
        ("maxLength", st.integers(0, 2)),
        ("pattern", st.sampled_from(["a", "^b", "[0-9]$"])),
        ("minimum", st.sampled_from([-1, 0, 3, 0.5, 10**400])),
        ("exclusiveMaximum", st.sampled_from([0, 3])),
        ("additionalProperties", st.booleans()),
        ("required", st.sampled_from([[], ["a"], ["z"]])),
        ("minItems", st.just(1)),
    ):
        if draw(st.integers(0, 5)) == 0:
            schema[keyword] = draw(values)
    if depth and draw(st.booleans()):
        schema["items"] = draw(schemas(depth - 1))
        schema["properties"] = draw(st.dictionaries(st.sampled_from("ab"), schemas(depth - 1), max_size=2))
    return schema


def accepts(schema: Any, value: Any, style: Style) -> bool | None:
    """Return whether the compiled type takes a value; None where there is no such type."""
    try:
        decoder = msgspec.json.Decoder(compiled(schema, style))
    except (Inexpressible, TypeError, ValueError):
        return None
    try:
        decoder.decode(json.dumps(value).encode())
    except msgspec.DecodeError:
        return False
    return True


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@given(schema=schemas(), value=VALUES)
@settings(max_examples=tries(80))
def test_what_is_accepted_is_valid(style: Style, schema: Any, value: Any) -> None:
    if accepts(schema, value, style):
        assert jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"anyOf": [{"type": "string", "maxLength": 2}, {"type": "null"}]}, ["ab", None], ["abc", 1]),
        ({"type": ["number", "integer", "null"]}, [1, 1.5, None], ["1"]),
        ({"enum": ["a", None]}, ["a", None], ["b", 1]),
        ({"type": "array", "items": {"type": "object", "required": ["a"], "properties": {"a": {}}}}, [[{"a": 1}]], [[{}]]),
        ({"properties": {"a": {"type": "integer"}}, "additionalProperties": False, "type": "object"}, [{"a": 1}], [{"b": 1}]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, [{"x": 1}], [{"x": "1"}]),
    ],
)  # fmt: skip
def test_ordinary_schemas_are_compiled(schema: Any, good: list[Any], bad: list[Any]) -> None:
    style = STYLES["exact"]
    assert [accepts(schema, value, style) for value in (*good, *bad)] == [True] * len(good) + [False] * len(
        bad
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},  # 1 would be both
        {"type": "string", "minItems": 1, "not": {}},
        {"type": "integer", "enum": [1, 2]},
        {"type": "object", "required": ["a"]},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "null"}},
        {"type": "number", "minimum": 10**400},
        {"type": ["string", "array"], "pattern": "a"},  # else see the next test
        {"anyOf": [{"type": "string", "pattern": "a"}, {"type": "object"}]},
        False,
    ],
)
def test_others_are_left_to_jsonschema(schema: Any) -> None:
    assert accepts(schema, 1, STYLES["exact"]) is None


def test_no_type_ends_the_process_when_its_decoder_goes() -> None:
    patterned = {"type": "string", "pattern": "a"}
    for schema in (
        patterned,
        {**patterned, "type": ["string", "integer", "null"]},
        {"type": "array", "items": patterned},
        {"type": "object", "properties": {"a": patterned, "b": {"type": ["array", "object"]}}},
        {**patterned, "type": ["string", "array", "object"]},
        {"anyOf": [patterned, {"type": "array"}]},
    ):
        for _ in range(300):
            accepts(schema, "a", STYLES["exact"])
        gc.collect()
