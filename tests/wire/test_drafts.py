"""Draft 4 schemas, marked or not (SINGER-RULES S11)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from singerkit_wire.drafts import modern


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"minimum": 0, "exclusiveMinimum": True}, {"exclusiveMinimum": 0}),
        ({"maximum": 9, "exclusiveMaximum": True}, {"exclusiveMaximum": 9}),
        ({"maximum": 9, "exclusiveMaximum": False}, {"maximum": 9}),
        ({"exclusiveMaximum": True}, {}),
        ({"exclusiveMaximum": 9}, {"exclusiveMaximum": 9}),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "type": "object"}, {"type": "object"}),
        (
            {"properties": {"maximum": {"type": "integer", "maximum": 9, "exclusiveMaximum": True}}},
            {"properties": {"maximum": {"type": "integer", "exclusiveMaximum": 9}}},
        ),
        (
            {"anyOf": [{"minimum": 1, "exclusiveMinimum": True}, {"type": "null"}]},
            {"anyOf": [{"exclusiveMinimum": 1}, {"type": "null"}]},
        ),
        (
            {"items": {"minimum": 1, "exclusiveMinimum": True}},
            {"items": {"exclusiveMinimum": 1}},
        ),
        ({"minLength": Decimal("1.0"), "maxItems": Decimal("2e1")}, {"minLength": 1, "maxItems": 20}),
        ({"minLength": Decimal("1.5")}, {"minLength": Decimal("1.5")}),
        ({"default": {"exclusiveMinimum": True}}, {"default": {"exclusiveMinimum": True}}),
    ],
)
def test_boolean_bounds_become_numbers(old, new):
    assert modern(old) == new
