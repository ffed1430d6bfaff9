"""What a config says of a map, as JSON Schema; what each operation says is in its own module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["CONFIG_SCHEMA", "DEFAULTS", "MAP", "MAP_SETTINGS"]

MAP_SETTINGS: Mapping[str, Any] = {
    "streams": {
        "type": "object",
        "description": "What is done to the records of each stream, by its name or a glob (`*` stands for any letters), of which the most exact one "
        "counts: a list of operations, one after the other.",
        "additionalProperties": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["op"],
                "properties": {
                    "op": {
                        "type": "string",
                        "secret": False,
                        "description": "The name of the operation, which says what stands beside it.",
                    }
                },
                "additionalProperties": True,
            },
        },
    },
    "on_error": {
        "type": "string",
        "enum": ["fail", "quarantine", "null"],
        "default": "fail",
        "description": "What becomes of a value that an operation cannot work on: the run ends, its record is set aside with the reason, or null "
        "takes its place (in keys never) and the end of the run says how many.",
    },
    "on_map_change": {
        "type": "string",
        "enum": ["warn", "fail"],
        "default": "warn",
        "description": "What to do where the state says that its rows went through another map than this one, or through none: rows that are there "
        "stay as they are.",
    },
}

MAP: Mapping[str, Any] = {
    "type": "object",
    "description": "Named operations on the records before they are stored (docs/singerkit-map.md): the same as in the config of `singerkit-map`.",
    "required": ["streams"],
    "properties": MAP_SETTINGS,
}

DEFAULTS = {name: said["default"] for name, said in MAP_SETTINGS.items() if "default" in said}


CONFIG_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["streams"],
    "properties": {
        **MAP_SETTINGS,
        "dead_letters": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "The file to which records are written that are set aside (`on_error: quarantine`), a line of JSON each, as the operations have left "
            "them: what was to be hidden is hidden. Lines are added to those that are there; a run that reads a record again adds it again.",
        },
        "quarantine_limit": {
            "type": "integer",
            "minimum": 1,
            "default": 1000,
            "description": "The run fails when more records than this are set aside.",
        },
        "max_line_bytes": {
            "type": "integer",
            "minimum": 1,
            "default": 64 << 20,
            "description": "The longest line that is accepted, in bytes.",
        },
    },
}
"""The config of `singerkit-map`: a map, and what is said of the pipe."""
