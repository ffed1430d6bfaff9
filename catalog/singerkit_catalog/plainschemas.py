"""Schemas that are valid at a glance: the usual ones, for which the whole of a draft's own schema need not be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

__all__ = ["is_plainly_valid"]

_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "object", "array"})
_DRAFTS = ("draft-06", "draft-07", "2019-09", "2020-12")


def is_plainly_valid(schema: Any) -> bool:
    """Tell whether a schema is certainly valid, in each draft since Draft 4; False says nothing."""
    if not isinstance(schema, Mapping):
        return False
    return all(_is_plain(keyword, value) for keyword, value in schema.items())


def _is_plain(keyword: str, value: Any) -> bool:
    judge = _KEYWORDS.get(keyword)
    return judge(value) if judge is not None else keyword.startswith("x-")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    """In Draft 4 a list of names is not empty."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(map(_is_text, value))
        and len(set(value)) == len(value)
    )


def _is_type(value: Any) -> bool:
    return value in _TYPES if isinstance(value, str) else _are_texts(value) and set(value) <= _TYPES


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_named(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(is_plainly_valid, value.values()))


def _are_branches(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_plainly_valid, value))


def _anything(_value: Any) -> bool:
    return True


_KEYWORDS: Mapping[str, Callable[[Any], bool]] = {
    "$schema": lambda value: isinstance(value, str) and any(draft in value for draft in _DRAFTS),
    **dict.fromkeys(("title", "description", "format", "contentEncoding", "contentMediaType"), _is_text),
    **dict.fromkeys(("default", "selected", "inclusion"), _anything),
    "type": _is_type,
    "properties": _are_named,
    "required": _are_texts,
    "additionalProperties": lambda value: isinstance(value, bool) or is_plainly_valid(value),
    "items": is_plainly_valid,
    **dict.fromkeys(("anyOf", "oneOf", "allOf"), _are_branches),
    "enum": _are_texts,
    "const": _anything,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_size),
}
