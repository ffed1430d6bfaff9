"""What a setting is in the config's JSON Schema: a group of others, a text, a name, a flag, a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["count", "flag", "group", "keys_for_type", "name", "names", "seconds", "text"]

_MOST = 10**15
"""The highest count that a setting takes; beyond it lie numbers that a machine does not count with."""


def group(description: str, properties: dict[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    schema = {
        "type": "object",
        "description": description,
        "properties": properties,
        "additionalProperties": False,
    }
    return schema | {"required": list(required)} if required else schema


def text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def name(description: str, **more: Any) -> dict[str, Any]:
    """A name, a path in an answer or of a file: no secret, wherever it comes from."""
    return text(description, secret=False, **more)


def flag(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "boolean", "description": description, **more}


def count(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": _MOST, "description": description, **more}


def seconds(description: str, default: float | None = None) -> dict[str, Any]:
    schema = {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 31_536_000,  # a year: an operating system's timer holds no more than some
        "description": description,
    }
    return schema if default is None else schema | {"default": default}


def names(description: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "secret": False, "description": description}


def keys_for_type(
    said: Mapping[str, Any], place: str, known: Sequence[str], needed: Sequence[str]
) -> list[str]:
    """Return what does not go with the `type` that a group says, or lacks with it."""
    kind = said["type"]
    strange = [key for key in said if key != "type" and key not in known]
    problems = [f"`{place}.{key}` does not go with `{place}.type` `{kind}`" for key in strange]
    problems += [
        f"Expected the key `{place}.{key}`, which `{kind}` needs" for key in needed if key not in said
    ]
    return problems
