"""`--history`: the runs that a target has noted, a line of JSON each, for `singerkit history` and for scripts. Reads, and makes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

import click

from singerkit_shell.errors import UsageError
from singerkit_state.runs import Run, as_json

__all__ = ["AskedRuns", "HasPastRuns", "tell"]


@dataclass(frozen=True)
class AskedRuns:
    """Which runs are meant: of one pipeline, that began since, the ``last`` ones of each.

    ``at_least``: so many of each pipeline, and the last one that ended well, are meant whenever they began.
    """

    pipeline: str | None = None
    since: datetime | None = None
    last: int | None = None
    at_least: int | None = None

    @classmethod
    def of(
        cls, pipeline: str | None, since: str | None, last: int | None, at_least: int | None = None
    ) -> AskedRuns:
        """Return what the command line says.

        Raises:
            UsageError: `--since` is no moment, or `--at-least` would do nothing.
        """
        if at_least is not None and (since is None or last is not None):
            raise UsageError("`--at-least` goes with `--since`, and not with `--last`: see `--help`.")
        if since is None:
            return cls(pipeline, None, last)
        try:
            at = datetime.fromisoformat(since)
        except ValueError:
            raise UsageError(
                f"Expected a date or a moment at `--since`, such as 2026-11-28 or 2026-11-28T21:00:00Z, got `{since[:40]}`."
            ) from None
        return cls(pipeline, at if at.tzinfo else at.replace(tzinfo=UTC), last, at_least)

    def among(self, runs: Sequence[Run]) -> list[Run]:
        """Return those of all runs of a place that are meant, as they began."""
        mine = [run for run in reversed(runs) if self.pipeline in (None, run.pipeline)]
        kept = (
            self._newest([run for run in mine if self._is_since(run)])
            if self.at_least is None
            else self._and_older(mine)
        )
        return list(kept)[::-1]

    def _is_since(self, run: Run) -> bool:
        return self.since is None or run.started >= self.since

    def _newest(self, runs: Iterable[Run]) -> Iterator[Run]:
        places = Counter[str]()
        for run in runs:
            places[run.pipeline] += 1
            if self.last is None or places[run.pipeline] <= self.last:
                yield run

    def _and_older(self, runs: Iterable[Run]) -> Iterator[Run]:
        places, good = Counter[str](), set[str]()
        for run in runs:
            places[run.pipeline] += 1
            is_last_good = run.is_well and run.pipeline not in good
            if is_last_good:
                good.add(run.pipeline)
            if self._is_since(run) or is_last_good or places[run.pipeline] <= (self.at_least or 0):
                yield run


@runtime_checkable
class HasPastRuns(Protocol):
    """A loader that can tell of runs. Before `open`, which would make what is not there."""

    def past_runs(self, asked: AskedRuns) -> Sequence[Run]:
        """Return the runs that are meant, as they began; none where nobody has noted one."""
        ...


def tell(loader: object, asked: AskedRuns) -> None:
    """Print the runs that are meant, the newest first."""
    for run in reversed(loader.past_runs(asked) if isinstance(loader, HasPastRuns) else ()):
        click.echo(as_json(run))


def options() -> list[click.Option]:
    """Return the options, new ones each time: a command keeps its own."""
    return [
        click.Option(
            ["--history"],
            is_flag=True,
            help="Print what former runs have come to, a line of JSON each, of one `--pipeline` or of all; and end.",
        ),
        click.Option(
            ["--since"],
            metavar="WHEN",
            help="With --history: runs that began at this moment (ISO 8601) or later.",
        ),
        click.Option(
            ["--last"],
            type=click.IntRange(1),
            metavar="N",
            help="With --history: no more than the last ones of each pipeline.",
        ),
        click.Option(
            ["--at-least"],
            type=click.IntRange(1),
            metavar="N",
            help="With --since: so many of each pipeline, and its last good one, whenever they began.",
        ),
    ]
