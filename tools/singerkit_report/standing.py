"""How a pipeline stands: what its runs of some weeks come to."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

from singerkit_history.table import lag_seconds
from singerkit_shell.words import counted
from singerkit_state.runs import Run
from singerkit_state.shards import WHOLE, pipeline_and_shard

__all__ = ["Day", "Standing", "standings", "up_to"]

_LATE = 3.0
"""A pipeline that has not run for so many times the usual while is late."""
_CLOCKS_DIFFER = timedelta(minutes=5)
_USUAL = 5
"""How many whiles between runs it takes to call one the usual."""


@dataclass(frozen=True)
class Day:
    """The runs of a day. ``rows``, ``set_aside``: of all of them; ``seconds``: of the longest; ``lag``: in seconds, at the end of the last one."""

    at: date
    runs: Sequence[Run]

    @property
    def result(self) -> str:
        """The worst that came of it: `failed`, `stopped`, `complete`, `running`, or "" where nothing ran."""
        results = {run.result for run in self.runs}
        if results & {"failed", "killed"}:
            return "failed"
        if results & {"stopped", "skipped"}:
            return "stopped"
        return next(iter(results & {"complete"} or results), "")

    @property
    def rows(self) -> float | None:
        return _sum(self.runs, "rows")

    @property
    def set_aside(self) -> float | None:
        return _sum(self.runs, "set_aside")

    @property
    def seconds(self) -> float | None:
        return max((run.seconds for run in self.runs if run.seconds is not None), default=None)

    @property
    def lag(self) -> float | None:
        return next((lag for run in self.runs if (lag := lag_seconds(run)) is not None), None)


def _sum(runs: Iterable[Run], what: str) -> float | None:
    counts = [count for run in runs if run.streams and (count := run.total(what)) is not None]
    return sum(counts) if counts else None


@dataclass(frozen=True)
class Standing:
    """A pipeline and its runs, the newest first, as they are known at ``now``; none: it has not run."""

    name: str
    runs: Sequence[Run]
    now: datetime
    days: Sequence[Day]

    @property
    def last(self) -> Run | None:
        return self.runs[0] if self.runs else None

    @cached_property
    def last_ended(self) -> Run | None:
        return next((run for run in self.runs if run.result != "running"), None)

    @cached_property
    def last_good(self) -> Run | None:
        return next((run for run in self.runs if run.result == "complete"), None)

    @cached_property
    def failures(self) -> int:
        """How many runs in a row, up to the last one, have not ended well."""
        ended = [run for run in self.runs if run.result != "running"]
        return next((at for at, run in enumerate(ended) if run.result == "complete"), len(ended))

    @cached_property
    def is_late(self) -> bool:
        usual = self.usual_while
        return usual is not None and self.last is not None and self.now - self.last.started > usual * _LATE

    @cached_property
    def usual_while(self) -> timedelta | None:
        """The median while from one run to the next; None where there are too few runs to tell."""
        whiles = [
            (later.started - earlier.started).total_seconds()
            for later, earlier in zip(self.runs, self.runs[1:], strict=False)
        ]
        return timedelta(seconds=statistics.median(whiles)) if len(whiles) >= _USUAL else None

    @property
    def needs_somebody(self) -> bool:
        return bool(self.failures) or self.is_late

    @cached_property
    def dead_letters(self) -> Sequence[tuple[str, int]]:
        """Records that were set aside, by reason, those of the most first."""
        return sum((Counter(run.dead_letters) for run in self.runs), Counter[str]()).most_common()

    @cached_property
    def warnings(self) -> Sequence[tuple[str, int]]:
        """Warnings, and how many runs had each, those of the most runs first."""
        return Counter(one for run in self.runs for one in run.warnings).most_common()

    @cached_property
    def schema_changes(self) -> Sequence[tuple[datetime, str]]:
        return [(run.started, one) for run in self.runs for one in run.schema_changes]


def up_to(now: datetime, runs: Iterable[Run]) -> tuple[list[Run], list[str]]:
    """Return the runs that have begun by now, and a sentence for each pipeline with others: a clock was ahead, and what came since would hide behind them."""
    known, ahead = list[Run](), Counter[str]()
    for run in runs:
        if run.started <= now + _CLOCKS_DIFFER:
            known.append(run)
        else:
            ahead[run.pipeline] += 1
    return known, [
        f"{counted(count, 'run')} of `{name}` began in the future by the clock of this machine, and {'is' if count == 1 else 'are'} left out: a clock was ahead, or this one is behind."
        for name, count in sorted(ahead.items())
    ]


def standings(names: Sequence[str], runs: Iterable[Run], now: datetime, days: int) -> list[Standing]:
    """Return one for each name, and for each pipeline that has runs besides: those that need somebody first, then by name.

    ``runs``: the newest first. ``now``: in the zone whose days are meant.
    """
    by_name: dict[str, list[Run]] = {name: [] for name in names}
    for run in runs:
        by_name.setdefault(run.pipeline, []).append(run)
    divided = {pipeline_and_shard(name)[0] for name in by_name if pipeline_and_shard(name)[1] != WHOLE}
    found = [
        Standing(name, mine, now, _days(mine, now, days))
        for name, mine in by_name.items()
        if mine or name not in divided  # which has run, in its shards
    ]
    return sorted(found, key=lambda one: (not one.failures, not one.is_late, one.name))


def _days(runs: Sequence[Run], now: datetime, count: int) -> list[Day]:
    by_day: dict[date, list[Run]] = {}
    for run in runs:
        by_day.setdefault(run.started.astimezone(now.tzinfo).date(), []).append(run)
    dates = [now.date() - timedelta(days=back) for back in reversed(range(count))]
    return [Day(at, by_day.get(at, [])) for at in dates]
