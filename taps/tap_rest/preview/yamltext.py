"""A config as YAML, laid out as the ready ones: a line for each setting of a stream, comments beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["literal", "yaml_of"]

_PLAIN = re.compile(r"[A-Za-z_/$.][\w/$.*@()+;=%-]*(?: [\w/$.*@()+;=%-]+)*")
_PLAIN_ALONE = re.compile(
    r"[A-Za-z_/$.](?:[\w/$.*@()+;=%\[\]{}?&,'-]|:(?! |$))*(?: [\w/$.*@()+;=%\[\]{}?&,'-]+)*"
)
"""What needs no quotes where it stands alone in a line."""
_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


def literal(text: str) -> str:
    """Return a text of somebody else for a config: what looks like a variable in it is none."""
    return text.replace("${", "$${")


def yaml_of(config: Mapping[str, Any], notes: Sequence[str], notes_of: Mapping[str, Sequence[str]]) -> str:
    """Return the config with ``notes`` at its top, and with those of each stream, by name, behind its settings."""
    lines = [f"# {line}" for note in notes for line in _one_line(note)]
    for key, value in config.items():
        if key != "streams":
            lines.append(f"{key}: {_flow(value, alone=True)}")
    lines.append("streams:")
    for stream in config["streams"]:
        mark = "- "
        for key, value in stream.items():
            lines.append(f"  {mark}{key}: {_flow(value, alone=True)}")
            mark = "  "
        lines += [f"    # {line}" for note in notes_of.get(stream["name"], ()) for line in _one_line(note)]
    return "\n".join(lines) + "\n"


def _one_line(note: str) -> Iterator[str]:
    yield " ".join("".join(char if char.isprintable() else " " for char in note).split())


def _flow(value: Any, *, alone: bool = False) -> str:
    if isinstance(value, str):
        plain = _PLAIN_ALONE if alone else _PLAIN
        is_plain = plain.fullmatch(value) and value.lower() not in _WORDS and not value.endswith(" ")
        return value if is_plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return json.dumps(value)
