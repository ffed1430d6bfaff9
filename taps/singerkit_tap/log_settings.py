"""The settings of a tap with log-based streams: where a run ends, and when the source may forget its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["LOG_SETTINGS", "LogSettings"]

LOG_SETTINGS: dict[str, Any] = {
    "log": {
        "type": "object",
        "additionalProperties": False,
        "title": "Log",
        "description": "How log-based streams are read.",
        "properties": {
            "end": {
                "type": "string",
                "enum": ["start_of_run", "follow"],
                "default": "start_of_run",
                "title": "End",
                "description": "Where a run ends: where the log ended when the run began, or never, so that it goes on until a signal.",
            },
            "max_seconds": {
                "type": "integer",
                "minimum": 1,
                "title": "Longest time",
                "description": "End a run after so many seconds, where a transaction ends; the next one goes on from there.",
            },
            "acknowledge": {
                "type": "string",
                "enum": ["next_run", "while_running"],
                "default": "next_run",
                "title": "Acknowledge",
                "description": "When the source may forget its log: at the beginning of the next run, up to the state that it is "
                "given, or while this one runs, too, up to what is read back from where `--state` points.",
            },
            "keep_alive_seconds": {
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 10,
                "title": "Keep alive",
                "description": "Answer the source, and read back what is committed, at least every so many seconds.",
            },
        },
    }
}
"""What a tap with log-based streams adds to the properties of its config."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`LOG_SETTINGS` of a config."""

    follows: bool = False
    max_seconds: float | None = None
    acknowledges: bool = False
    keep_alive_seconds: float = 10

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> LogSettings:
        said = config.get("log") or {}
        return cls(
            said.get("end") == "follow",
            said.get("max_seconds"),
            said.get("acknowledge") == "while_running",
            said.get("keep_alive_seconds", 10),
        )
