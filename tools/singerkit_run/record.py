"""What the runner notes of a run, beside the state file: what a target cannot see, as that it was never started, or how often the pipe was tried."""

from __future__ import annotations

import glob
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from singerkit_run.joining import added
from singerkit_run.outcomes import BUSY, Outcome
from singerkit_run.planfile import Pipeline
from singerkit_run.programs import Found
from singerkit_shell.errors import SingerkitError
from singerkit_state.runfile import RunFile
from singerkit_state.runids import new_run_id
from singerkit_state.runs import Run, StreamRun, sentences, with_killed
from singerkit_state.statefile import holder_of

__all__ = ["Record", "files_of_runner", "lock_of", "runs_in", "runs_of"]

_ENDING = ".runs.jsonl"


class Record:
    """One run of a pipeline; nothing that goes wrong with its file ends it."""

    def __init__(self, pipeline: str, state_file: str, keep_days: float, ends: tuple[Found, Found]) -> None:
        self._file = RunFile(_place(Path(state_file)))
        self._keep_days, self._clock = keep_days, time.monotonic()
        tap, target = ends
        self._run = Run(
            new_run_id(),
            pipeline,
            datetime.now(UTC),
            tries=0,
            tap=os.path.basename(tap.path),
            target=os.path.basename(target.path),
            host=platform.node(),
            pid=os.getpid(),
        )
        self.failure = ""
        """Why it is not noted, if it is not."""

    @property
    def run(self) -> Run:
        """What is known of it by now."""
        return self._run

    @property
    def id(self) -> str:
        return self._run.id

    def begin(self) -> None:
        """Note that it is at work, once it holds its pipeline."""
        self._surely(lambda: self._file.begin(self._run, self._keep_days))

    def load(self, streams: Mapping[str, StreamRun]) -> None:
        """Take what a try has come to whose target notes nothing itself."""
        self._run = replace(self._run, streams=added(self._run.streams, streams))

    def end(self, outcome: Outcome, tries: int, *, committed: bool, skipped_for: str = "") -> None:
        """Note what it has come to. ``skipped_for``: the pipeline that it stands on, for which it was not run."""
        reason = _why_skipped(outcome, skipped_for) if skipped_for else outcome.why
        self._run = replace(
            self._run,
            ended=datetime.now(UTC),
            seconds=round(time.monotonic() - self._clock, 3),
            result=_result(outcome, is_skipped=bool(skipped_for)),
            exit_code=BUSY if outcome.is_busy else None if skipped_for else outcome.code,
            reason=next(iter(sentences([reason] if reason else [])), ""),
            tries=tries,
            committed=committed,
        )
        self._surely(lambda: self._file.end(self._run))

    def _surely(self, note: Callable[[], None]) -> None:
        if not self._keep_days or self.failure:
            return
        try:
            self._file.path.parent.mkdir(parents=True, exist_ok=True)
            note()
        except (OSError, SingerkitError) as error:
            self.failure = str(error) or type(error).__name__


def _why_skipped(outcome: Outcome, other: str) -> str:
    if outcome.is_busy:
        return f"It was not run, since another run of {other} is at work."
    return f"It was not run, since {other} has not ended well."


def _result(outcome: Outcome, *, is_skipped: bool) -> str:
    if is_skipped or outcome.is_busy:
        return "skipped"
    if outcome.is_stop:
        return "stopped"
    return "failed" if outcome.code else "complete"


def files_of_runner(state_file: Path) -> list[Path]:
    """Return where the runs of a pipeline, and of its shards, are noted."""
    stem = state_file.name.removesuffix(".json")
    parts = state_file.parent.glob(f"{glob.escape(stem)}.*-of-*{_ENDING}")
    return [_place(state_file), *sorted(parts)]


def runs_of(pipeline: Pipeline) -> list[Run]:
    """Return what is noted of the runs of a pipeline, or of a shard of it.

    Raises:
        OSError: it cannot be read.
    """
    return runs_in(_place(Path(pipeline.state_file)))


def runs_in(place: Path) -> list[Run]:
    """Return the runs of a file; the last one was killed where it has not told its end, and nobody holds its pipeline.

    Raises:
        OSError: it cannot be read.
    """
    runs = RunFile(place).read()
    if not any(run.result == "running" for run in runs):
        return runs
    is_held = holder_of(lock_of(str(place).removesuffix(_ENDING))) is not None
    return with_killed(runs, lambda _run: is_held)


def lock_of(state_file: str) -> str:
    """Return the path whose lock a run of a pipeline holds."""
    return f"{state_file.removesuffix('.json')}.run"


def _place(state_file: Path) -> Path:
    return state_file.with_name(state_file.name.removesuffix(".json") + _ENDING)
