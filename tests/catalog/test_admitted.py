"""Which JSON types a schema admits, where a branch is no object."""

from __future__ import annotations

from typing import Any

import pytest

from singerkit_catalog.admitted import json_types, types_of

ALL = frozenset({"null", "boolean", "integer", "number", "string", "object", "array"})
TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "types"),
    [
        ({"anyOf": [TEXT, True]}, ALL),
        ({"oneOf": [True, TEXT]}, ALL),
        ({"anyOf": [TEXT, False]}, {"string"}),
        ({"anyOf": [False]}, set()),
        ({"allOf": [TEXT, True]}, {"string"}),
        ({"allOf": [TEXT, False]}, set()),
        ({"type": ["string", "null"], "anyOf": [TEXT, True]}, {"string", "null"}),
        ({"anyOf": ["no schema", TEXT]}, {"string"}),
    ],
)
def test_true_admits_all_and_false_nothing(schema: dict[str, Any], types: set[str]) -> None:
    assert json_types(schema) == types
    assert types_of({"anyOf": [TEXT, True]}) == set()
