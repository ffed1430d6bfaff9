"""Random JSON Schemas that use most of what Draft 7 has, over a few names and values, so that many values are valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

__all__ = ["NAMES", "schemas", "values"]

NAMES = ["a", "b", "ab", 'say "c"']
TYPES = ["null", "boolean", "integer", "number", "string", "object", "array"]
TEXTS = ["", "a", "ab", "b1", "12", "é", "a\n"]
PATTERNS = ["^a", "b", "[0-9]$", "^.{0,1}$"]
NUMBERS = [0, 1, 2, -1, 7, 100, 0.5, 1.5, 0.01, 2**63, 10**20]

values = st.recursive(
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=5,
)
_NUMBER, _SIZE = st.sampled_from(NUMBERS), st.integers(0, 3)


def _keywords(inner: st.SearchStrategy[Any]) -> Mapping[str, st.SearchStrategy[Any]]:
    several = st.lists(inner, min_size=1, max_size=3)
    return {
        "type": st.sampled_from(TYPES)
        | st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True),
        "enum": st.lists(values, min_size=1, max_size=3),
        "const": values,
        "minimum": _NUMBER,
        "maximum": _NUMBER,
        "exclusiveMinimum": _NUMBER,
        "exclusiveMaximum": _NUMBER,
        "multipleOf": st.sampled_from([n for n in NUMBERS if n > 0]),
        "minLength": _SIZE,
        "maxLength": _SIZE,
        "pattern": st.sampled_from(PATTERNS),
        "items": inner,
        "minItems": _SIZE,
        "maxItems": _SIZE,
        "uniqueItems": st.booleans(),
        "required": st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
        "properties": st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
        "patternProperties": st.dictionaries(st.sampled_from(PATTERNS), inner, max_size=2),
        "additionalProperties": inner,
        "propertyNames": inner,
        "minProperties": _SIZE,
        "maxProperties": _SIZE,
        "anyOf": several,
        "oneOf": several,
        "allOf": several,
        "not": inner,
        "if": inner,
        "then": inner,
        "else": inner,
        "format": st.just("email"),
        "title": st.just("t"),
        "then-what": st.just(1),
    }


@st.composite
def schemas(draw: st.DrawFn, depth: int = 2) -> Any:
    """A schema; of more than one level as ``depth`` says."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.booleans())
    known = _keywords(schemas(depth - 1) if depth else st.booleans() | st.just({"type": "string"}))
    chosen = draw(st.lists(st.sampled_from(sorted(known)), max_size=3, unique=True))
    return {name: draw(known[name]) for name in chosen}
