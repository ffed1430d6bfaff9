"""What a file of pipelines may say, as JSON Schema (docs/run.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_run.durations import DURATION, RANGE
from singerkit_signals.settings import SCHEMA as SIGNALS

__all__ = ["SCHEMA"]

_SHORT_TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1, "secret": False}
_DURATION: Mapping[str, Any] = {
    "type": ["string", "number"],
    "pattern": DURATION,
    "says": "a length of time, as in `90s`, `15m` or `1h30m`",
    "exclusiveMinimum": 0,
    "secret": False,
}

_PROGRAM: Mapping[str, Any] = {
    "type": "object",
    "required": ["exec"],
    "properties": {
        "exec": {
            **_SHORT_TEXT,
            "description": "The executable: a name that is looked for in PATH, or a path.",
        },
        "config": {
            "type": ["string", "array"],
            "minLength": 1,
            "items": _SHORT_TEXT,
            "secret": False,
            "description": "Its config file, or several, of which the last counts.",
        },
        "catalog": {**_SHORT_TEXT, "description": "A catalog file, given as `--catalog`."},
        "properties": {**_SHORT_TEXT, "description": "The same for old taps, given as `--properties`."},
        "args": {
            "type": "array",
            "items": _SHORT_TEXT,
            "description": "More arguments. A secret does not belong here: others see them.",
        },
        "env": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Variables of its environment, beside those that there are.",
        },
    },
}
_MAPPER: Mapping[str, Any] = {
    **_PROGRAM,
    "properties": {key: _PROGRAM["properties"][key] for key in ("exec", "config", "args", "env")},
    "description": "What stands between the two in the pipe, as `singerkit-map`.",
}
_RETRIES: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "times": {
            "type": "integer",
            "minimum": 0,
            "maximum": 100,
            "default": 3,
            "description": "How often a pipe is tried again.",
        },
        "on": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1, "maximum": 255},
            "default": [69, 75],
            "description": "The exit codes after which it is.",
        },
        "wait": {
            "type": ["string", "number"],
            "pattern": RANGE,
            "says": "a length of time, or two, as in `30s..10m`",
            "default": "30s..10m",
            "secret": False,
            "description": "How long it waits before: twice as long each time, from the first length to the second.",
        },
    },
}
_SHARED: Mapping[str, Any] = {
    "retries": _RETRIES,
    "timeout": {
        **_DURATION,
        "description": "How long a try may take before all of it is stopped (`90s`, `2h`): it ends with 69.",
    },
    "late_after": {
        **_DURATION,
        "description": "How long it may be from the beginning of one good run to that of the next (`26h`): then the report calls the pipeline late.",
    },
}
_PIPELINE: Mapping[str, Any] = {
    "type": "object",
    "required": ["tap", "target"],
    "properties": {
        "tap": _PROGRAM,
        "mapper": _MAPPER,
        "target": _PROGRAM,
        "after": {
            "type": "array",
            "items": _SHORT_TEXT,
            "description": "Pipelines that have to end well before this one begins.",
        },
        "state": {**_SHORT_TEXT, "description": "The state file; by default `NAME.json` in `state_folder`."},
        "after_commit": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["run"],
                "properties": {
                    "run": {"type": "string", "minLength": 1, "description": "A command of the shell."},
                    "when": {
                        "type": "string",
                        "enum": ["committed", "success"],
                        "default": "committed",
                        "description": "`committed`: where the state or rows have changed; `success`: whenever the pipe has ended well.",
                    },
                    "timeout": {**_DURATION, "default": "1h"},
                },
            },
            "description": "What is run, one after the other, when the pipe has ended well.",
        },
        **_SHARED,
    },
}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["pipelines"],
    "properties": {
        "pipelines": {"type": "object", "minProperties": 1, "additionalProperties": _PIPELINE},
        "state_folder": {
            **_SHORT_TEXT,
            "default": "state",
            "description": "Where state files are kept; made if missing.",
        },
        "jobs": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1000,
            "default": 1,
            "description": "How many pipelines run at a time.",
        },
        "run_history_days": {
            "type": "number",
            "minimum": 0,
            "maximum": 36_500,
            "default": 90,
            "description": "How long what a run has come to is kept beside its state file; 0: it is not noted there.",
        },
        "signals": SIGNALS,
        "on_failure": {
            "type": "object",
            "required": ["exec"],
            "properties": {
                "exec": _SHORT_TEXT,
                "args": {"type": "array", "items": _SHORT_TEXT},
                "timeout": {**_DURATION, "default": "1m"},
            },
            "description": "What is run for each pipeline that has failed, with what there is to say as JSON on stdin.",
        },
        **_SHARED,
    },
}
"""What a file may say, by its own JSON Schema."""
