"""Older drafts of JSON Schema, brought to the form that both paths read (SINGER-RULES S11)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

__all__ = ["modern"]

_EXCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "dependentSchemas"})
_SIZES = frozenset(
    {*(f"{end}{of}" for end in ("min", "max") for of in ("Length", "Items", "Properties", "Contains"))}
)
"""Whole numbers, which since Draft 6 may be written as `1.0`."""
_DATA = frozenset({"enum", "const", "default", "examples"})


def modern(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``schema`` with Draft 4's boolean exclusive bounds as numbers; many taps write them unmarked."""
    result = {key: _modern_value(key, value) for key, value in schema.items()}
    for exclusive, inclusive in _EXCLUSIVE.items():
        if isinstance(result.get(exclusive), bool):
            is_exclusive = result.pop(exclusive)
            if is_exclusive and inclusive in result:
                result[exclusive] = result.pop(inclusive)
    for size in _SIZES & result.keys():
        if isinstance(result[size], Decimal) and result[size] == int(result[size]):
            result[size] = int(result[size])
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
