"""How a pipeline stands: what its runs of some weeks come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

from singerkit_history.table import lag_seconds
from singerkit_run.usual import UNSAID, Expected, why_late, why_too_long
from singerkit_shell.words import counted
from singerkit_state.runs import RuleRun, Run
from singerkit_state.shards import WHOLE, pipeline_and_shard

__all__ = ["Day", "Standing", "standings", "up_to"]

_CLOCKS_DIFFER = timedelta(minutes=5)


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
    """A pipeline and its runs, the newest first, as they are known at ``now``; none: it has not run.

    ``known``: all runs of which it is told how it stands, those before ``days`` among them. Runs that did nothing, since another one was at
    work, say nothing of how it stands.
    """

    name: str
    known: Sequence[Run]
    now: datetime
    days: Sequence[Day]
    expected: Expected = UNSAID

    @cached_property
    def runs(self) -> Sequence[Run]:
        """Those of the days that are shown."""
        return [
            run for run in self._real if run.started.astimezone(self.now.tzinfo).date() >= self.days[0].at
        ]

    @cached_property
    def _real(self) -> Sequence[Run]:
        return [run for run in self.known if not run.did_nothing]

    @property
    def last(self) -> Run | None:
        """The last one, however long ago."""
        return self._real[0] if self._real else None

    @cached_property
    def last_ended(self) -> Run | None:
        return next((run for run in self._real if run.result != "running"), None)

    @cached_property
    def last_good(self) -> Run | None:
        return next((run for run in self._real if run.is_well), None)

    @cached_property
    def failures(self) -> int:
        """How many runs in a row, up to the last one, have not ended well."""
        ended = [run for run in self._real if run.result != "running"]
        return next((at for at, run in enumerate(ended) if run.is_well), len(ended))

    @cached_property
    def did_nothing(self) -> int:
        """How many runs since the last one found another one at work."""
        return next((at for at, run in enumerate(self.known) if not run.did_nothing), len(self.known))

    @cached_property
    def why_hanging(self) -> str:
        """Why the last run is at work for too long, "" where it is not."""
        if self.last is None or self.last.result != "running":
            return ""
        return why_too_long(self.last, self._real[1:], self.now, self.expected)

    @cached_property
    def why_late(self) -> str:
        """Why it is late, "" where it is not."""
        return why_late(self._real, self.now, self.expected)

    @property
    def is_quiet(self) -> bool:
        """Whether it has not run within the days that are shown, and nobody knows whether that is as it should be."""
        return not self.runs and not self.needs_somebody

    @property
    def needs_somebody(self) -> bool:
        return bool(self.failures or self.why_hanging or self.why_late)

    @cached_property
    def dead_letters(self) -> Sequence[tuple[str, int]]:
        """Records that were set aside, by reason, those of the most first."""
        return sum((Counter(run.dead_letters) for run in self.runs), Counter[str]()).most_common()

    @cached_property
    def warnings(self) -> Sequence[tuple[str, int]]:
        """Warnings, and how many runs had each, those of the most runs first."""
        return Counter(one for run in self.runs for one in run.warnings).most_common()

    @cached_property
    def quality(self) -> Sequence[RuleRun]:
        """What came of rules of quality in the last run that has any, without those that were kept."""
        last = max((run for run in self.runs if run.quality), key=lambda run: run.started, default=None)
        return [] if last is None else [one for one in last.quality if one.verdict != "kept"]

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


def standings(
    names: Sequence[str],
    runs: Iterable[Run],
    now: datetime,
    days: int,
    expected: Mapping[str, Expected] | None = None,
) -> list[Standing]:
    """Return one for each name, and for each pipeline that has runs besides: those that need somebody first, then by name.

    ``runs``: the newest first, with older ones than those of ``days``. ``now``: in the zone whose days are meant. ``expected``: what the file says, by pipeline.
    """
    by_name: dict[str, list[Run]] = {name: [] for name in names}
    for run in runs:
        by_name.setdefault(run.pipeline, []).append(run)
    divided = {pipeline_and_shard(name)[0] for name in by_name if pipeline_and_shard(name)[1] != WHOLE}
    found = [
        Standing(
            name, mine, now, _days(mine, now, days), (expected or {}).get(pipeline_and_shard(name)[0], UNSAID)
        )
        for name, mine in by_name.items()
        if mine or name not in divided  # which has run, in its shards
    ]
    return sorted(found, key=lambda one: (not one.failures, not one.why_hanging, not one.why_late, one.name))


def _days(runs: Sequence[Run], now: datetime, count: int) -> list[Day]:
    by_day: dict[date, list[Run]] = {}
    for run in (run for run in runs if not run.did_nothing):
        by_day.setdefault(run.started.astimezone(now.tzinfo).date(), []).append(run)
    dates = [now.date() - timedelta(days=back) for back in reversed(range(count))]
    return [Day(at, by_day.get(at, [])) for at in dates]
