"""What a run has loaded, by stream: a table for who sits at a terminal, a line each for a log. What was rolled back is not in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from singerkit_shell.aligned import aligned
from singerkit_shell.words import counted
from singerkit_target.outcomes import Outcome

__all__ = ["NOTHING_KNOWN", "Ended", "bookmark_in"]

NOTHING_KNOWN: Mapping[str, Outcome] = MappingProxyType({})

_LONGEST = 40
_COUNTS = ("rows", "new", "changed", "deleted", "older", "set aside")
_HEADER = ("stream", *_COUNTS, "bookmark before", "bookmark after")


class Ended:
    """The end of a run: the counts of what is committed, the states before and after it, and what became of the rows where that is known."""

    def __init__(
        self,
        committed: Mapping[str, int],
        set_aside: Mapping[str, int],
        before: Any,
        after: Any,
        outcomes: Mapping[str, Outcome] = NOTHING_KNOWN,
    ) -> None:
        self._committed, self._set_aside = committed, set_aside
        self._before, self._after = before, after
        self._outcomes = outcomes

    def said(self) -> Iterator[str]:
        """Yield what is logged: one table on a terminal, else a line for each stream."""
        streams = sorted({*self._committed, *self._set_aside, *self._outcomes})
        if not streams:
            return
        if sys.stderr is not None and sys.stderr.isatty():
            rows = list(map(self._row, streams))
            yield "\n".join(["What was loaded:", *aligned(_HEADER, rows, _COUNTS)])
            return
        for stream in streams:
            if stream in self._committed or stream in self._outcomes:
                loaded = counted(self._committed.get(stream, 0), "row")
                yield f"Stream `{stream}`: {loaded} loaded{self._became(stream)}{self._moved(stream)}."

    def _row(self, stream: str) -> tuple[str, ...]:
        outcome = self._outcomes.get(stream, Outcome())
        return (
            stream,
            f"{self._committed.get(stream, 0):,}",
            *map(_unless_zero, outcome),
            _unless_zero(self._set_aside.get(stream, 0)),
            bookmark_in(self._before, stream),
            bookmark_in(self._after, stream),
        )

    def _became(self, stream: str) -> str:
        if stream not in self._outcomes:
            return ""
        outcome = self._outcomes[stream]
        parts = [f"{count:,} {what}" for what, count in outcome._asdict().items() if count]
        return f" ({', '.join(parts) or 'none new, none changed'})"

    def _moved(self, stream: str) -> str:
        before, after = bookmark_in(self._before, stream), bookmark_in(self._after, stream)
        if not after or after == before:
            return ""
        return (
            f"; its bookmark went from `{before}` to `{after}`" if before else f"; its bookmark is `{after}`"
        )


def _unless_zero(count: int) -> str:
    return f"{count:,}" if count else ""


def bookmark_in(state: Any, stream: str) -> str:
    """Return how far a stream was read, of a state in the shape of SDK taps; "": it does not say, or by partitions."""
    bookmarks = state.get("bookmarks") if isinstance(state, Mapping) else None
    part = bookmarks.get(stream) if isinstance(bookmarks, Mapping) else None
    value = part.get("replication_key_value") if isinstance(part, Mapping) else None
    if value is None or isinstance(value, Mapping | list | bool):
        return ""
    text = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
