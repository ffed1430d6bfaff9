"""What a setting is in the config's JSON Schema: a group of others, a text, a name, a secret, a flag, a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["count", "flag", "group", "name", "names", "port", "seconds", "secret"]


def group(description: str, properties: dict[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    schema = {
        "type": "object",
        "description": description,
        "properties": properties,
        "additionalProperties": False,
    }
    return schema | {"required": list(required)} if required else schema


def name(description: str, **more: Any) -> dict[str, Any]:
    """A name, a word of several, a path or a URL: no secret, wherever it comes from."""
    return {"type": "string", "minLength": 1, "secret": False, "description": description, **more}


def names(description: str) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "secret": False,
        "description": description,
    }


def secret(description: str) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "secret": True, "description": description}


def flag(description: str, default: bool) -> dict[str, Any]:
    return {"type": "boolean", "default": default, "description": description}


def count(description: str, default: int, most: int, least: int = 1) -> dict[str, Any]:
    return {
        "type": "integer",
        "minimum": least,
        "maximum": most,
        "default": default,
        "description": description,
    }


def port(description: str, default: int) -> dict[str, Any]:
    return count(description, default, 65535)


def seconds(description: str, default: float) -> dict[str, Any]:
    return {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 86_400,
        "default": default,
        "description": description,
    }
