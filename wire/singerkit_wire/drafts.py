"""Older drafts of JSON Schema, brought to the form that both paths read (SINGER-RULES S11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["modern"]

_EXCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "dependentSchemas"})
_DATA = frozenset({"enum", "const", "default", "examples"})


def modern(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``schema`` with Draft 4's boolean exclusive bounds as numbers; many taps write them unmarked."""
    result = {key: _modern_value(key, value) for key, value in schema.items()}
    for exclusive, inclusive in _EXCLUSIVE.items():
        if isinstance(result.get(exclusive), bool):
            is_exclusive = result.pop(exclusive)
            if is_exclusive and inclusive in result:
                result[exclusive] = result.pop(inclusive)
    if "draft-04" in str(result.get("$schema", "")):
        del result["$schema"]
    return result


def _modern_value(key: str, value: Any) -> Any:
    if key in _DATA:
        return value
    if key in _NAMED_SCHEMAS and isinstance(value, Mapping):
        return {name: modern(item) if isinstance(item, Mapping) else item for name, item in value.items()}
    if isinstance(value, Mapping):
        return modern(value)
    if isinstance(value, list):
        return [modern(item) if isinstance(item, Mapping) else item for item in value]
    return value
