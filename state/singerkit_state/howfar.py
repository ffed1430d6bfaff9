"""How far a stream was read, as it is told to people: its bookmark in a few characters, and how long ago that was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from singerkit_state.ahead import seconds_of

__all__ = ["bookmark_in", "lag_behind", "printable"]

_LONGEST = 40


def bookmark_in(state: Any, stream: str) -> str:
    """Return how far a stream was read, of a state in the shape of SDK taps; "": it does not say, or by partitions."""
    bookmarks = state.get("bookmarks") if isinstance(state, Mapping) else None
    part = bookmarks.get(stream) if isinstance(bookmarks, Mapping) else None
    value = _value_in(part) if isinstance(part, Mapping) else None
    if value is None or isinstance(value, Mapping | list | bool):
        return ""
    text = printable(str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _value_in(part: Mapping[str, Any]) -> Any:
    """Return the bookmark of a stream: as SDK taps have it, or, as taps over singer-python do, under the name of a field and by itself."""
    if "replication_key_value" in part or len(part) != 1:
        return part.get("replication_key_value")
    [(name, value)] = part.items()
    return (
        value if isinstance(value, str) and name != "replication_key" and not name.startswith("_") else None
    )


def printable(text: str) -> str:
    """Return a text that fits into a line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def lag_behind(bookmark: str) -> float | None:
    """Return the seconds from a bookmark until now; None where it is no time."""
    reached = seconds_of(bookmark)
    return None if reached is None else round(time.time() - reached, 1)
