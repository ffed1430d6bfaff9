"""What is usual of a pipeline, by its former runs and by what its file says, and what is not: a run that is at work for too long, a pipeline that is late.

Of runs no more than was noted is known, so each rule needs some of them, and without them only what nobody would call usual is told.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, pairwise

from singerkit_run.durations import shown
from singerkit_run.planfile import Pipeline
from singerkit_state.runs import Run

__all__ = ["KNOWN", "UNSAID", "Expected", "expected_of", "usual_while", "who", "why_late", "why_too_long"]

KNOWN = 20
"""So many of the last runs of a pipeline say what is usual."""
_FEW = 5
"""Good runs, or whiles between two runs, that it takes to call something usual."""
_TIMES = 3.0
"""What takes so many times the usual is too long, or late."""
_NO_TIME = 600.0
"""Seconds that no run is too long for, however short others were."""
_NO_WHILE = 3600.0
"""Seconds since a run that make nothing late, however often others began: somebody may have tried it by hand."""
_TOO_LONG = 86_400.0
"""Seconds that are too long for a run of which nothing is known."""
_LATE = 3 * 86_400.0
"""Seconds after which a pipeline is late of which no more is known than that it has run before."""


@dataclass(frozen=True)
class Expected:
    """What the file says of a pipeline: how long a run may take with all its tries, and how long it may be since the last good one; in seconds."""

    at_most: float | None = None
    late_after: float | None = None


UNSAID = Expected()


def expected_of(pipeline: Pipeline) -> Expected:
    """Return what a file says of a pipeline."""
    if pipeline.timeout is None:
        return Expected(None, pipeline.late_after)
    retries = pipeline.retries
    waits = sum(map(retries.seconds_before, range(1, retries.times + 1)))
    behind = sum(hook.timeout for hook in pipeline.hooks)
    return Expected(pipeline.timeout * (1 + retries.times) + waits + behind, pipeline.late_after)


def why_too_long(run: Run, before: Iterable[Run], now: datetime, expected: Expected) -> str:
    """Return why a run that has not ended is at work for too long, "" where it is not. ``before``: those before it, the newest first."""
    former = list(islice(before, KNOWN))
    good = [one.seconds for one in former if one.is_well and one.seconds is not None]
    limits = list[tuple[float, str]]()
    if expected.at_most is not None:
        limits.append(
            (expected.at_most, f"with `timeout` and `retries` none takes more than {shown(expected.at_most)}")
        )
    if len(good) >= _FEW:
        limits.append(
            (
                max(_NO_TIME, _TIMES * max(good)),
                f"of the last good ones none took more than {shown(max(good))}",
            )
        )
    usual = usual_while([run, *former])
    if usual is not None:
        every = usual.total_seconds()
        limits.append((max(_NO_TIME, _TIMES * every), f"so far one began every {shown(every)}"))
    at_most, why = min(limits, default=(_TOO_LONG, "nothing is known of how long it usually takes"))
    return why if (now - run.started).total_seconds() > at_most else ""


def why_late(runs: Sequence[Run], now: datetime, expected: Expected) -> str:
    """Return why a pipeline is late, "" where it is not. ``runs``: all that are known, the newest first, without those that did nothing."""
    if not runs:
        return ""
    if expected.late_after is not None:
        good = next((run for run in runs if run.is_well), runs[-1])
        is_late = (now - good.started).total_seconds() > expected.late_after
        return (
            f"`late_after` allows {shown(expected.late_after)} from one good run to the next"
            if is_late
            else ""
        )
    since = (now - runs[0].started).total_seconds()
    usual = usual_while(runs)
    if usual is not None:
        every = usual.total_seconds()
        return f"so far it ran every {shown(every)}" if since > max(_NO_WHILE, _TIMES * every) else ""
    if len(runs) < 2:
        return ""
    every = (runs[0].started - runs[-1].started).total_seconds() / (len(runs) - 1)
    return "it has run more than once before" if since > max(_LATE, _TIMES * every) else ""


def who(run: Run) -> str:
    """Return which process a run is, as far as it is known."""
    if run.pid is None:
        return "nobody knows where"
    return f"process {run.pid}" + (f" of {run.host}" if run.host else "")


def usual_while(runs: Sequence[Run]) -> timedelta | None:
    """Return the median while from one run to the next; None where there are too few runs to tell."""
    whiles = [(later.started - earlier.started).total_seconds() for later, earlier in pairwise(runs[:KNOWN])]
    return timedelta(seconds=statistics.median(whiles)) if len(whiles) >= _FEW else None
