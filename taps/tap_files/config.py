"""The config of tap-files: one JSON Schema (docs are generated from it) and typed settings made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tap_files.badrows import ENDING
from tap_files.settings.storage import STORAGE, storage_problems
from tap_files.settings.stream import STREAM, StreamSettings, stream_problems, stream_settings

__all__ = ["CONFIG_SCHEMA", "config_conflicts", "streams_of"]

CONFIG_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["streams"],
    "properties": {
        "streams": {
            "type": "array",
            "minItems": 1,
            "items": STREAM,
            "description": "What to read.",
        },
        "storage": STORAGE,
    },
}


def config_conflicts(config: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each thing that a JSON Schema cannot say about the config."""
    streams = config["streams"]
    names = [stream["name"] for stream in streams]
    problems = [f"There are two streams named `{name}`" for name in {*names} if names.count(name) > 1]
    problems += storage_problems(config.get("storage", {}))
    aside = {stream["name"] + ENDING for stream in streams if stream.get("on_bad_row") == "set_aside"}
    problems += [
        f"There is a stream named `{name}`, as that in which bad rows are set aside"
        for name in sorted(aside & {*names})
    ]
    for number, stream in enumerate(streams):
        problems += stream_problems(stream, f"streams[{number}]")
    return problems


def streams_of(config: Mapping[str, Any]) -> list[StreamSettings]:
    """Return the streams of a config that is valid."""
    of_all = {"start_date": config["start_date"]} if "start_date" in config else {}
    return [stream_settings(of_all | stream) for stream in config["streams"]]
