"""What a run has loaded, by stream: a table for who sits at a terminal, a line each for a log. What was rolled back is not in it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from singerkit_shell.aligned import aligned
from singerkit_shell.words import counted

__all__ = ["Ended", "bookmark_in"]

_LONGEST = 40
_HEADER = ("stream", "rows", "set aside", "bookmark before", "bookmark after")


class Ended:
    """The end of a run: the counts of what is committed, and the states before and after it."""

    def __init__(
        self, committed: Mapping[str, int], set_aside: Mapping[str, int], before: Any, after: Any
    ) -> None:
        self._committed, self._set_aside = committed, set_aside
        self._before, self._after = before, after

    def said(self) -> Iterator[str]:
        """Yield what is logged: one table on a terminal, else a line for each stream."""
        if not self._committed:
            return
        if sys.stderr is not None and sys.stderr.isatty():
            yield "\n".join(["What was loaded:", *self._table()])
            return
        for stream, rows in sorted(self._committed.items()):
            yield f"Stream `{stream}`: {counted(rows, 'row')} loaded{self._moved(stream)}."

    def _table(self) -> list[str]:
        rows = [
            (
                stream,
                f"{self._committed.get(stream, 0):,}",
                f"{self._set_aside[stream]:,}" if self._set_aside.get(stream) else "",
                bookmark_in(self._before, stream),
                bookmark_in(self._after, stream),
            )
            for stream in sorted(_those(self._committed, self._set_aside))
        ]
        return aligned(_HEADER, rows, ("rows", "set aside"))

    def _moved(self, stream: str) -> str:
        before, after = bookmark_in(self._before, stream), bookmark_in(self._after, stream)
        if not after or after == before:
            return ""
        return (
            f"; its bookmark went from `{before}` to `{after}`" if before else f"; its bookmark is `{after}`"
        )


def _those(committed: Mapping[str, int], set_aside: Iterable[str]) -> set[str]:
    return {*committed, *set_aside}


def bookmark_in(state: Any, stream: str) -> str:
    """Return how far a stream was read, of a state in the shape of SDK taps; "": it does not say, or by partitions."""
    bookmarks = state.get("bookmarks") if isinstance(state, Mapping) else None
    part = bookmarks.get(stream) if isinstance(bookmarks, Mapping) else None
    value = part.get("replication_key_value") if isinstance(part, Mapping) else None
    if value is None or isinstance(value, Mapping | list | bool):
        return ""
    text = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
