"""Of which streams a committed state says that rows were read: those rows have to be there (decision 14).

In the shape that most taps write, ``{"bookmarks": {stream: ...}}``, it says so for each stream, whose name there may be
written otherwise than in the messages. Other shapes name a stream by any key, or as Airbyte does, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from singerkit_shell.nesting import is_deep
from singerkit_state.readas import READ_AS
from singerkit_state.value import MARK_KEY, behind_map, decode

__all__ = ["NOTHING", "Reached", "may_be_of", "reached", "reaches"]

_LEVELS = 200  # what walks a state after this recurses
_BESIDE = frozenset({MARK_KEY, "currently_syncing"})
_SAYS_NO_ROWS = frozenset(
    {
        "replication_key",
        "replication_method",
        "last_replication_method",
        "context",
        "starting_replication_value",
        "version",
        "initial_full_table_complete",
        READ_AS,
    }
)
"""What stands beside a bookmark in the states of taps: full loads, which read everything again, say no more."""


_MID_FULL = ("xmin", "last_pk_fetched", "last_id_fetched", "ORA_ROWSCN")
"""Where a full load was interrupted, in the states of taps of databases: they go on from there."""


@dataclass(frozen=True)
class Reached:
    """What a state says of streams.

    ``named``: the streams that it says were read. ``others``: those that have a bookmark that does not say so. ``is_by_stream``:
    it says nothing of any other stream. ``is_ours``: its names are those of the messages, letter by letter.
    """

    named: frozenset[str]
    others: frozenset[str] = frozenset()
    is_by_stream: bool = True
    is_ours: bool = False

    def names(self, stream: str, loaded: Collection[str] | None = None) -> bool | None:
        """Whether the state says that rows of a stream were read; None when it may, and does not say of which.

        ``loaded``: the streams that have rows, where that is known. A bookmark that has the name of none of them is that of
        one that is called otherwise in the messages, as by a map of streams, and may be of this one.
        """
        if stream in self.named:
            return True
        if not self.is_by_stream:
            return None
        if self.is_ours or stream in self.others:
            return False
        unclear = _unclear(self.named, frozenset(loaded or ()))
        if _folded(stream) in unclear.endings:
            return None
        return False if loaded is None or unclear.are_met else None


NOTHING = Reached(frozenset())
_UNKNOWN = Reached(frozenset(), is_by_stream=False)
"""What a state says that no walk comes to the end of."""


@dataclass(frozen=True)
class _Unclear:
    """Bookmarks of which nobody knows the stream: what that may be called, and whether each may be of one that has rows."""

    endings: frozenset[str]
    are_met: bool


@lru_cache(maxsize=2)
def _unclear(named: frozenset[str], loaded: frozenset[str]) -> _Unclear:
    """Asked of each stream of a run, of which there may be thousands: what is the same for all of them is looked at once."""
    endings = [_endings(name) for name in named - loaded]
    met = frozenset(map(_folded, loaded)) if endings else frozenset()
    return _Unclear(frozenset().union(*endings), all(met & one for one in endings))


def _endings(name: str) -> frozenset[str]:
    """What a stream may be called of which a bookmark is: letters and digits count, and names of a database may stand before."""
    starts = (0, *(found.end() for found in re.finditer(r"[\W_]+", name)))
    return frozenset(_folded(name[start:]) for start in starts)


def may_be_of(bookmark: str, stream: str) -> bool:
    """Tell whether a bookmark of this name may be that of a stream, before whose name others of its database may stand."""
    return _folded(stream) in _endings(bookmark)


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold() or name


def reached(state: str | None) -> Reached:
    """Return of which streams a committed state says that rows were read."""
    try:
        value = None if state is None else decode(state)
    except ValueError:
        return _UNKNOWN
    value = behind_map(value)
    if not isinstance(value, dict):
        return NOTHING
    if is_deep(value, _LEVELS):
        return _UNKNOWN
    bookmarks = value.get("bookmarks")
    if isinstance(bookmarks, dict) and bookmarks:
        named = frozenset(name for name, bookmark in bookmarks.items() if reaches(bookmark))
        return Reached(named, frozenset(bookmarks) - named, is_ours=_is_of_ours(value))
    others = {key: item for key, item in value.items() if key not in _BESIDE}
    return Reached(frozenset(_names_in(others)), is_by_stream=False) if reaches(others) else NOTHING


def _is_of_ours(value: Mapping[str, Any]) -> bool:
    """Tell whether a tap of ours has written a state; a map marks those of others, too."""
    mark = value.get(MARK_KEY)
    return isinstance(mark, dict) and "run" in mark


def reaches(bookmark: Any) -> bool:
    """Tell whether the part of a stream in a state says that rows were read, and not only how they are to be."""
    if isinstance(bookmark, Mapping):
        if _is_full(bookmark):  # what stands beside is left from another method
            return any(reaches(bookmark.get(key)) for key in _MID_FULL)
        said = {key: item for key, item in bookmark.items() if key not in _SAYS_NO_ROWS}
        return any(map(reaches, said.values()))
    if isinstance(bookmark, list):
        return any(map(reaches, bookmark))
    return bookmark is not None and bookmark is not False


def _is_full(bookmark: Mapping[str, Any]) -> bool:
    return "FULL_TABLE" in (bookmark.get("last_replication_method"), bookmark.get("replication_method"))


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
