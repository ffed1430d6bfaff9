"""What a run has loaded, by stream: a table for who sits at a terminal, a line each for a log. What was rolled back is not in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from singerkit_shell.aligned import aligned
from singerkit_shell.words import counted
from singerkit_state.howfar import bookmark_in, printable
from singerkit_target.outcomes import Outcome, Outcomes

__all__ = ["Ended"]

_MOST_COLUMNS = 5
_NUMBERS = ("rows", "new", "changed", "deleted", "older", "set aside", "seconds", "rows/s")
_HEADER = ("stream", *_NUMBERS, "bookmark before", "bookmark after", "columns added")


class Ended:
    """The end of a run: the counts of what is committed, the states before and after it, what became of the rows where that is known, and
    the seconds that each stream took.
    """

    def __init__(
        self,
        committed: Mapping[str, int],
        set_aside: Mapping[str, int],
        before: Any,
        after: Any,
        outcomes: Outcomes,
        seconds: Mapping[str, float],
    ) -> None:
        self._committed, self._set_aside = committed, set_aside
        self._before, self._after = before, after
        self._outcomes, self._columns, self._seconds = outcomes.known(), outcomes.columns, seconds

    def said(self) -> Iterator[str]:
        """Yield what is logged: one table on a terminal, else a line for each stream."""
        streams = sorted({*self._committed, *self._set_aside, *self._outcomes, *self._columns})
        if not streams:
            return
        if sys.stderr is not None and sys.stderr.isatty():
            rows = list(map(self._row, streams))
            yield "\n".join(["What was loaded:", *aligned(_HEADER, rows, _NUMBERS)])
            return
        for stream in streams:
            if stream in self._committed or stream in self._outcomes or stream in self._columns:
                loaded = counted(self._committed.get(stream, 0), "row")
                took = f" in {self._seconds[stream]:.1f} s" if stream in self._seconds else ""
                more = f"{self._moved(stream)}{self._widened(stream)}"
                yield f"Stream `{stream}`: {loaded} loaded{self._became(stream)}{took}{more}."

    def _row(self, stream: str) -> tuple[str, ...]:
        outcome, rows = self._outcomes.get(stream), self._committed.get(stream, 0)
        seconds = self._seconds.get(stream)
        return (
            stream,
            f"{rows:,}",
            *_counts(outcome),
            _unless_zero(self._set_aside.get(stream, 0)),
            "" if seconds is None else f"{seconds:.1f}",
            _unless_zero(int(rows / seconds)) if seconds else "",
            bookmark_in(self._before, stream),
            bookmark_in(self._after, stream),
            _named(self._columns.get(stream, ())),
        )

    def _became(self, stream: str) -> str:
        if stream not in self._outcomes:
            return ""
        outcome = self._outcomes[stream]
        parts = [f"{count:,} {what}" for what, count in outcome.counts.items() if count]
        return f" ({', '.join(parts) or 'none new, none changed'})"

    def _moved(self, stream: str) -> str:
        before, after = bookmark_in(self._before, stream), bookmark_in(self._after, stream)
        if not after or after == before:
            return ""
        return (
            f"; its bookmark went from `{before}` to `{after}`" if before else f"; its bookmark is `{after}`"
        )

    def _widened(self, stream: str) -> str:
        columns = self._columns.get(stream)
        return f"; {'column' if len(columns) == 1 else 'columns'} added: {_named(columns)}" if columns else ""


def _named(columns: Sequence[str]) -> str:
    more = len(columns) - _MOST_COLUMNS
    return ", ".join([*map(printable, columns[:_MOST_COLUMNS]), *([f"{more:,} more"] if more > 0 else [])])


def _counts(outcome: Outcome | None) -> Sequence[str]:
    if outcome is None:
        return [""] * len(Outcome().counts)
    new, changed, *others = outcome.counts.values()
    return [f"{new:,}", f"{changed:,}", *map(_unless_zero, others)]


def _unless_zero(count: int) -> str:
    return f"{count:,}" if count else ""
