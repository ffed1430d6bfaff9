"""Of which streams a committed state says that rows were read: those rows have to be there (decision 14).

In the shape that most taps write, ``{"bookmarks": {stream: ...}}``, it says so for each stream. Other shapes name a
stream by any key, or as Airbyte does, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_state.readas import READ_AS
from singerkit_state.value import MARK_KEY, decode

__all__ = ["NOTHING", "Reached", "reached", "reaches"]

_BESIDE = frozenset({MARK_KEY, "currently_syncing"})
_SAYS_NO_ROWS = frozenset(
    {
        "replication_key",
        "replication_method",
        "context",
        "starting_replication_value",
        "version",
        "initial_full_table_complete",
        READ_AS,
    }
)
"""What stands beside a bookmark in the states of taps: full loads, which read everything again, say no more."""


@dataclass(frozen=True)
class Reached:
    """``named``: the streams that a state says were read. ``is_by_stream``: it says nothing of any other stream."""

    named: frozenset[str]
    is_by_stream: bool = True

    def names(self, stream: str) -> bool | None:
        """Whether the state says that rows of a stream were read; None when it may, and does not say of which."""
        if stream in self.named:
            return True
        if not self.is_by_stream or any(name.endswith((f"-{stream}", f".{stream}")) for name in self.named):
            return None  # `tap_stream_id` with the name of the database before it, as of taps of databases
        return False


NOTHING = Reached(frozenset())


def reached(state: str | None) -> Reached:
    """Return of which streams a committed state says that rows were read."""
    value = None if state is None else decode(state)
    if not isinstance(value, dict):
        return NOTHING
    bookmarks = value.get("bookmarks")
    if isinstance(bookmarks, dict) and bookmarks:
        return Reached(frozenset(name for name, bookmark in bookmarks.items() if reaches(bookmark)))
    others = {key: item for key, item in value.items() if key not in _BESIDE}
    return Reached(frozenset(_names_in(others)), is_by_stream=False) if reaches(others) else NOTHING


def reaches(bookmark: Any) -> bool:
    """Tell whether the part of a stream in a state says that rows were read, and not only how they are to be."""
    if isinstance(bookmark, Mapping):
        said = {key: item for key, item in bookmark.items() if key not in _SAYS_NO_ROWS}
        return any(map(reaches, said.values()))
    if isinstance(bookmark, list):
        return any(map(reaches, bookmark))
    return bookmark is not None and bookmark is not False


def _names_in(value: Any) -> Iterator[str]:
    """All that may be the name of a stream: the keys, and what Airbyte writes beside a stream's state."""
    if isinstance(value, dict):
        for key, item in value.items():
            if reaches(item):
                yield key
            yield from _names_in(item)
        named = (value.get("stream_descriptor"), value)
        for part, key in zip(named, ("name", "stream_name"), strict=True):
            if isinstance(part, dict) and isinstance(part.get(key), str):
                yield part[key]
    elif isinstance(value, list):
        for item in value:
            yield from _names_in(item)
