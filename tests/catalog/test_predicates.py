"""What a compiled schema says of a value is what jsonschema says of it."""

from __future__ import annotations

import json
from decimal import Decimal, localcontext
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft4Validator, Draft7Validator, Draft202012Validator
from jsonschema.validators import extend
from jsonschemas import schemas, values
from sampling import IS_SAMPLE, tries

from singerkit_catalog.compiled import Inexpressible
from singerkit_catalog.predicates import Unsure, predicate

_as_decoded = msgspec.json.Decoder(float_hook=Decimal)


def is_integer(_checker: Any, value: Any) -> bool:
    if isinstance(value, Decimal):
        return value == value.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


def oracle(schema: Any, value: Any, draft: Any = Draft7Validator) -> bool:
    checker = draft.TYPE_CHECKER.redefine("integer", is_integer)
    with localcontext(prec=5000):
        return bool(extend(draft, type_checker=checker)(schema).is_valid(value))


def read(value: Any) -> Any:
    """As it comes from the wire."""
    return json.loads(json.dumps(value), parse_float=Decimal)


@settings(
    max_examples=tries(120),
    deadline=None,
    derandomize=IS_SAMPLE,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(schemas(), values, values)
def test_a_predicate_says_what_jsonschema_says(schema: Any, one: Any, other: Any) -> None:
    schema = read(schema)
    judge = predicate(schema, Draft7Validator)
    for value in (one, other, {"a": one, "b1": other}, [one, other]):
        text = json.dumps(value)
        with localcontext(prec=5000):
            try:
                found = judge(_as_decoded.decode(text))
            except Unsure:
                continue
        assert found == oracle(schema, read(value)), text


NUMBERS = [
    "1",
    "1.0",
    "-0",
    "0.30",
    "1e2",
    "1e-2",
    "18446744073709551616",
    "123456789.123456789123456789",
    "true",
]
ASKED = [
    {"multipleOf": 0.1},
    {"multipleOf": 0.03},
    {"enum": [1, 0, 0.3]},
    {"const": 100},
    {"type": "integer"},
    {"not": {"type": "integer"}},
    {"minimum": 123456789.12345679},
    {"exclusiveMaximum": 18446744073709551616},
]


@pytest.mark.parametrize("text", NUMBERS)
@pytest.mark.parametrize("schema", ASKED, ids=str)
def test_numbers_are_judged_with_all_their_digits(schema: Any, text: str) -> None:
    schema = read(schema)
    value = json.loads(text, parse_float=Decimal)
    assert predicate(schema)(_as_decoded.decode(text)) == oracle(schema, value)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"contains": {}},
        {"items": [{}]},
        {"dependencies": {"a": ["b"]}},
        {"properties": {"a": {"contains": {}}}},
        {"minimum": 0.5},  # a float: not what a schema's text says
        {"pattern": "("},
        {"$schema": Draft4Validator.META_SCHEMA["$schema"], "if": {}},
        {"$schema": Draft202012Validator.META_SCHEMA["$schema"], "unevaluatedProperties": False},
    ],
    ids=str,
)
def test_what_is_not_known_is_left_to_jsonschema(schema: Any) -> None:
    with pytest.raises(Inexpressible):
        predicate(schema)


def test_a_newer_draft_has_its_own_keywords() -> None:
    newer = {
        "$schema": Draft202012Validator.META_SCHEMA["$schema"],
        "additionalItems": False,
        "items": {"type": "string"},
    }
    for value in ([], ["a"], [1]):
        assert predicate(newer)(value) == oracle(newer, value, Draft202012Validator)
