"""logfmt: `key=value key="quoted value"` on a line."""

from __future__ import annotations

import json
import re

__all__ = ["logfmt_pairs"]

_PAIR = re.compile(r'\s*+([^\s="]++)=(?:"((?:[^"\\]|\\.)*+)"|([^\s"]*+))(?=\s|$)')


def logfmt_pairs(text: str) -> dict[str, str]:
    """Return the texts of a row by their keys.

    Raises:
        ValueError: it is none; the sentence says what was expected.
    """
    found: dict[str, str] = {}
    at, end = 0, len(text.rstrip())
    while at < end:
        pair = _PAIR.match(text, at)
        if pair is None:
            raise ValueError(f"Expected `key=value`, got other text (character {at} of the row)")
        key, quoted, plain = pair.groups()
        if key in found:
            raise ValueError(f"Expected each key once, got one twice (character {pair.start(1)} of the row)")
        found[key] = plain if quoted is None else _unescaped(quoted)
        at = pair.end()
    return found


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    try:
        value: str = json.loads(f'"{text}"', strict=False)
    except ValueError:
        raise ValueError("Expected escapes of JSON in quotes, got others") from None
    return value
