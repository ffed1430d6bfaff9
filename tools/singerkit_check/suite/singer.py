"""Write and read Singer messages, sharing no code with what is tested."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

__all__ = [
    "MARK",
    "RECORD",
    "SCHEMA",
    "STATE",
    "instant",
    "line",
    "lines",
    "parse",
    "parse_line",
    "without_mark",
    "written",
]

MARK = "_singerkit"
"""The key our taps put into every STATE; targets by others pass it through."""


def SCHEMA(
    stream: str, properties: Mapping[str, Any], key: Sequence[str] = (), **more: Any
) -> dict[str, Any]:
    """Return a SCHEMA message of an object with these properties."""
    schema = {"type": "object", "properties": dict(properties)}
    return {"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": list(key)} | more


def RECORD(stream: str, record: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "RECORD", "stream": stream, "record": dict(record)} | more


def STATE(value: Any) -> dict[str, Any]:
    return {"type": "STATE", "value": value}


def line(message: Any) -> bytes:
    """Return one line; bytes and text pass through, for what `json` would never write."""
    if isinstance(message, bytes):
        data = message
    else:
        data = (message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)).encode()
    return data if data.endswith(b"\n") else data + b"\n"


def lines(*messages: Any) -> bytes:
    return b"".join(map(line, messages))


def _refuse_constant(word: str) -> Any:
    raise AssertionError(f"{word} is not JSON")


def parse(text: str | bytes) -> Any:
    """Return the value in ``text`` with numbers as int or Decimal; NaN and Infinity are refused."""
    return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)


def written(value: Any) -> str:
    """Return the JSON text of what `parse` gives, with each digit of a decimal."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {written(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def parse_line(text: bytes) -> dict[str, Any]:
    """Return the JSON object of one line.

    Raises:
        AssertionError: the line is something else.
    """
    try:
        value = parse(text)
    except ValueError as error:
        raise AssertionError(f"not a JSON line ({error}): {text[:200]!r}") from None
    if not isinstance(value, dict):
        raise AssertionError(f"not a JSON object: {text[:200]!r}")
    return value


def without_mark(state: Any) -> Any:
    """Return a STATE value as it was before a tap of ours marked it."""
    if not isinstance(state, dict):
        return state
    return {key: value for key, value in state.items() if key != MARK}


def instant(text: str) -> dt.datetime:
    """Return the instant an RFC 3339 text names; without a zone it is UTC, as our rule says."""
    value = dt.datetime.fromisoformat(text)
    return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
