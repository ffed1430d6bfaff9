"""Runs for people: a line each, as wide as the terminal has room for, and below it why one has failed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from singerkit_run.durations import shown
from singerkit_shell.aligned import aligned
from singerkit_state.runs import Run

__all__ = ["lag_seconds", "lines_of", "result_in_words"]

_NUMBERS = ("tries", "rows", "new", "changed", "deleted", "set aside", "time", "lag", "warnings")
_LEFT_OUT = ("bookmark before", "rows", "lag", "warnings", "deleted", "bookmark", "tries", "set aside")
"""The columns that are left out where there is no room, in this order."""
_BOOKMARK = 20
"""Characters: a moment to the second, in UTC."""


class Line(NamedTuple):
    """A line of the table, or more: what stands below it, and in which colour both are."""

    words: str
    below: Sequence[str] = ()
    colour: str | None = None


def lines_of(runs: Sequence[Run], width: int | None) -> Iterator[Line]:
    """Yield the table: ``width`` in characters, None: as wide as it gets."""
    rows = [_row(run) for run in runs]
    header = list(rows[0])
    left_out = iter(_LEFT_OUT)
    while True:
        table = aligned(header, [[row[name] for name in header] for row in rows], _NUMBERS)
        if width is None or max(map(len, table)) <= width:
            break
        name = next(left_out, None)
        if name is None:
            break
        header.remove(name)
    yield Line(table[0])
    for run, words in zip(runs, table[1:], strict=True):
        yield Line(words, _below(run, width), _COLOURS.get(run.result))


_COLOURS = {"failed": "red", "killed": "red", "stopped": "yellow", "skipped": "yellow"}


def _row(run: Run) -> dict[str, str]:
    before, after = _bookmarks(run)
    return {
        f"when ({_zone(run.started)})": f"{run.started.astimezone():%Y-%m-%d %H:%M}",
        "pipeline": run.pipeline,
        "result": result_in_words(run),
        "tries": str(run.tries) if run.tries > 1 else "",
        "rows": _count(run.total("rows"), run),
        "new": _count(run.total("new"), run),
        "changed": _count(run.total("changed"), run),
        "deleted": _count(run.total("deleted") or None, run),
        "set aside": _count(run.total("set_aside") or None, run),
        "time": _time(run),
        "bookmark before": before,
        "bookmark": after,
        "lag": _lag(run),
        "warnings": f"{run.warned:,}" if run.warned else "",
    }


def _time(run: Run) -> str:
    if run.result == "running":
        return f"so far {shown(max(0.0, (datetime.now(UTC) - run.started).total_seconds()))}"
    return "" if run.seconds is None or not run.tries else shown(run.seconds)


def _zone(at: datetime) -> str:
    return at.astimezone().tzname() or "local"


def result_in_words(run: Run) -> str:
    """Return `complete`, `failed (69)` or `skipped (75)`."""
    has_code = run.result in ("failed", "skipped") and run.exit_code is not None
    return f"{run.result} ({run.exit_code})" if has_code else run.result


def _count(count: int | None, run: Run) -> str:
    return f"{count:,}" if count is not None and run.streams else ""


def _bookmarks(run: Run) -> tuple[str, str]:
    """Return those of the stream that is furthest behind, as far as that can be told, and how many there are besides."""
    found = [one for one in run.streams.values() if one.bookmark_after or one.bookmark_before]
    if not found:
        return "", ""
    last = max(found, key=lambda one: one.lag_seconds or 0.0)
    more = f" (+{len(found) - 1})" if len(found) > 1 else ""
    return _short(last.bookmark_before), _short(last.bookmark_after) + more


def _short(bookmark: str | None) -> str:
    text = bookmark or ""
    return text if len(text) <= _BOOKMARK else f"{text[: _BOOKMARK - 1]}…"


def _lag(run: Run) -> str:
    lag = lag_seconds(run)
    return "" if lag is None else shown(lag)


def lag_seconds(run: Run) -> float | None:
    """Return how far the stream that is furthest behind was, at the end of a run; None where that cannot be told."""
    lags = [one.lag_seconds for one in run.streams.values() if one.lag_seconds is not None]
    return max(0.0, *lags) if lags else None


def _below(run: Run, width: int | None) -> Sequence[str]:
    broken = [one.sentence() for one in run.quality if one.verdict == "broken"]
    return [line for said in (run.reason, *broken) if said for line in _indented(said, width)]


def _indented(said: str, width: int | None) -> Sequence[str]:
    indent = "    "
    if width is None:
        return [f"{indent}{said}"]
    return textwrap.wrap(
        said, max(width, 40), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
