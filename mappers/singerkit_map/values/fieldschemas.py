"""The schema of what an operation leaves in its field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_catalog.schema import is_nullable

__all__ = ["field_of", "nullable_field", "text_field"]

_KEPT = ("title", "description")
"""What is said of a field whatever it holds; formats, lengths, enums and column types are those of the values before."""


def field_of(schema: Mapping[str, Any], *kinds: str, **more: Any) -> dict[str, Any]:
    """Return the schema of a field that holds these JSON types from now on, and null where it was admitted before."""
    return _field(schema, [*kinds, "null"] if is_nullable(schema) else list(kinds), more)


def nullable_field(schema: Mapping[str, Any], *kinds: str, **more: Any) -> dict[str, Any]:
    """Return the schema of a field that holds these JSON types from now on, and may hold null."""
    return _field(schema, [*kinds, "null"], more)


def text_field(schema: Mapping[str, Any], *, may_be_null: bool = False, **more: Any) -> dict[str, Any]:
    """Return the schema of a field that holds text from now on, and null where it was admitted or ``may_be_null``."""
    return (nullable_field if may_be_null else field_of)(schema, "string", **more)


def _field(schema: Mapping[str, Any], kinds: list[str], more: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: schema[key] for key in _KEPT if key in schema}
    return {**kept, "type": kinds if len(kinds) > 1 else kinds[0], **more}
