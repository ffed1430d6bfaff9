"""What is called valid at a glance is valid by the drafts' own schemas."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
    SchemaError,
)
from jsonschemas import schemas, values
from sampling import IS_SAMPLE, tries

from singerkit_catalog import plainschemas
from singerkit_catalog.plainschemas import is_plainly_valid

DRAFTS = [Draft4Validator, Draft6Validator, Draft7Validator, Draft201909Validator, Draft202012Validator]
# In Draft 4 an exclusive bound is a flag, which `drafts.modern` has made a number.
KNOWN = sorted(plainschemas._KEYWORDS.keys() - {"$schema", "exclusiveMinimum", "exclusiveMaximum"})


def is_valid(schema: Any, draft: Any) -> bool:
    try:
        draft.check_schema(schema)
    except SchemaError:
        return False
    return True


def read(schema: Any) -> Any:
    return json.loads(json.dumps(schema), parse_float=Decimal)


@settings(
    max_examples=tries(120),
    deadline=None,
    derandomize=IS_SAMPLE,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.dictionaries(st.sampled_from(KNOWN), schemas() | values | st.lists(schemas(0), max_size=2), max_size=3)
)
def test_what_is_plainly_valid_is_valid(schema: Any) -> None:
    schema = read(schema)
    if is_plainly_valid(schema):
        assert [draft.__name__ for draft in DRAFTS if not is_valid(schema, draft)] == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["null", "string"], "format": "date-time", "x-note": 1},
        {
            "type": "object",
            "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9.5}},
            "required": ["a"],
        },
        {"anyOf": [{"type": "array", "items": {"type": "number", "multipleOf": 0.01}}, {"type": "null"}]},
        {"type": "string", "enum": ["a", "b"], "maxLength": 3, "default": None, "title": "t"},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "additionalProperties": False,
        },
    ],
    ids=str,
)
def test_usual_schemas_are(schema: Any) -> None:
    assert is_plainly_valid(read(schema))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "text"},
        {"type": []},
        {"type": ["null", "null"]},
        {"properties": {"a": 1}},
        {"properties": {"a": {"type": 3}}},
        {"required": True},
        {"minimum": True},
        {"maxLength": -1},
        {"multipleOf": 0},
        {"items": {"type": "x"}},
        {"anyOf": []},
        {"enum": ["a", "a"]},
        {"$schema": "http://json-schema.org/draft-03/schema#"},
        {"pattern": "("},
        {"unheard": 1},
        [],
    ],
    ids=str,
)
def test_these_are_not(schema: Any) -> None:
    assert not is_plainly_valid(read(schema))
