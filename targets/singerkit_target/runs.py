"""What a run tells of itself for later: `running` when it begins, and what came of it at its end. Nothing that goes wrong with that is the run's fault."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

from singerkit_shell.errors import LockHeldError, SingerkitError, Stopped
from singerkit_shell.secrets import redactor
from singerkit_state.howfar import bookmark_in, lag_behind
from singerkit_state.runs import RuleRun, Run, StreamRun, sentences
from singerkit_state.value import comparable
from singerkit_target.outcomes import Outcome, Outcomes
from singerkit_target.summary import Summary

__all__ = ["Found", "KeepsRuns", "RunNotes"]

RUNNER = "SINGERKIT_RUN"
"""The environment variable by which `singerkit run` gives the id of its run to the target."""
_LONGEST_ID = 64
_LONGEST_REASON = 300


@runtime_checkable
class KeepsRuns(Protocol):
    """What a loader has besides `Loader` that keeps a history of runs. Whatever these raise ends no run."""

    @property
    def run_id(self) -> str: ...

    @property
    def sequence(self) -> int | None:
        """That of the state; None before `begin`."""
        ...

    def begin_run(self, run: Run, keep_days: float) -> None:
        """Note a run, in a transaction of its own; those of its pipeline that are noted as at work were killed. Once, behind `begin`."""
        ...

    def end_run(self, run: Run) -> None:
        """Note what it has come to, outside any unit: in the place of what was noted of it, if anything was. Behind `rollback`, and `close`, too."""
        ...


@dataclass(frozen=True)
class Found:
    """What is known at the end of a run: its counts, the states before and after it, its streams, and what was said of it."""

    summary: Summary
    before: Any
    after: Any
    streams: Sequence[str]
    outcomes: Outcomes
    warnings: Sequence[str]
    changes: Sequence[str]
    quality: Sequence[RuleRun] = ()


class RunNotes:
    """Notes one run in the history of a loader that keeps one; ``keep_days``: 0 is none."""

    def __init__(
        self, loader: object, log: logging.Logger, *, target: str, version: str, keep_days: float
    ) -> None:
        self._loader = loader if keep_days and isinstance(loader, KeepsRuns) else None
        self._log, self._keep_days = log, keep_days
        self._target, self._version = target, version
        self._started, self._clock = datetime.now(UTC), time.monotonic()
        self._run: Run | None = None
        self.is_open = False
        """Whether the loader is: where it cannot be opened, there is no place for a history either."""
        self._has_failed = False

    @classmethod
    def none(cls) -> RunNotes:
        """Return what notes nothing."""
        return cls(None, logging.getLogger(__name__), target="", version="", keep_days=0)

    def begin(self, pipeline: str) -> None:
        """Note that a run is at work, once it holds its pipeline."""
        if self._loader is None:
            return
        self._run = self._begun(pipeline)
        self._surely(lambda loader, run: loader.begin_run(run, self._keep_days))

    @contextlib.contextmanager
    def ending(self, found: Callable[[], Found], pipeline: Callable[[], str]) -> Iterator[None]:
        """Note how it ends inside; ``pipeline`` says whose run it is where it has not come to hold one."""
        try:
            yield
        except BaseException as error:
            self._end(found, error, pipeline)
            raise
        self._end(found, None, pipeline)

    def amend(self, error: BaseException) -> None:
        """Note that it has failed behind its end."""
        if self._run is not None:
            self._run = replace(self._run, **_end_of(error, self._target))
            self._surely(lambda loader, run: loader.end_run(run))

    def _begun(self, pipeline: str) -> Run:
        assert self._loader is not None  # noqa: S101  whoever calls has looked
        runner = "".join(filter(str.isprintable, os.environ.get(RUNNER, "")))[:_LONGEST_ID]
        return Run(
            self._loader.run_id,
            pipeline,
            self._started,
            target=self._target,
            target_version=self._version,
            host=platform.node(),
            pid=os.getpid(),
            runner=runner or None,
        )

    def _end(
        self, found: Callable[[], Found], error: BaseException | None, pipeline: Callable[[], str]
    ) -> None:
        if self._loader is None or not self.is_open:
            return
        try:
            run = self._run or self._begun(pipeline())
            end = _end_of(error, self._target)
            if self._run is None and isinstance(error, LockHeldError):
                end["result"] = "skipped"  # behind its beginning a lock of others is a failure
            self._run = replace(
                run,
                ended=datetime.now(UTC),
                seconds=round(time.monotonic() - self._clock, 3),
                sequence=self._loader.sequence,
                **end,
                **_told(found()),
            )
        except Exception as fault:
            self._warn(fault)
            return
        self._surely(lambda loader, run: loader.end_run(run))

    def _surely(self, note: Callable[[KeepsRuns, Run], None]) -> None:
        """Note something, if it can be; one warning is enough."""
        assert self._loader is not None and self._run is not None  # noqa: S101, PT018  whoever calls has looked
        try:
            note(self._loader, self._run)
        except Exception as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            said = redactor.mask(str(error)).strip() or type(error).__name__
            self._log.warning(
                "This run is not noted in the history of runs as it should be (%s); what it loads is not touched by that: mend it, or set "
                "`run_history_days` to 0.",
                said.splitlines()[0][:_LONGEST_REASON],
            )


def _end_of(error: BaseException | None, target: str) -> dict[str, Any]:
    """Return the fields that say how a run has ended, as the exit code and the last line of its log do."""
    if error is None:
        return {"result": "complete", "exit_code": 0}
    if isinstance(error, Stopped | SingerkitError):
        code, reason = error.exit_code, str(error)
    elif isinstance(error, KeyboardInterrupt):
        code, reason = 128 + signal.SIGINT, "Stopped by SIGINT."
    else:
        code, reason = SingerkitError.exit_code, f"A fault of {target} itself ({type(error).__name__})."
    is_stop = isinstance(error, Stopped | KeyboardInterrupt)
    return {"result": "stopped" if is_stop else "failed", "exit_code": code, "reason": sentences([reason])[0]}


def _told(found: Found) -> dict[str, Any]:
    done, outcomes = found.summary.done, found.outcomes.known()
    streams = sorted({*found.streams, *done.received, *done.rejected, *outcomes})
    return {
        "streams": {name: _stream(name, found, outcomes.get(name)) for name in streams},
        "commits": found.summary.commits,
        "committed": comparable(found.after) != comparable(found.before),
        "dead_letters": dict(done.reasons),
        "warnings": sentences(found.warnings),
        "warned": len(found.warnings),
        "schema_changes": sentences(found.changes),
        "quality": list(found.quality),
    }


def _stream(name: str, found: Found, outcome: Outcome | None) -> StreamRun:
    done = found.summary.done
    before, after = bookmark_in(found.before, name), bookmark_in(found.after, name)
    counts: Mapping[str, int] = {} if outcome is None else outcome.counts
    seconds = found.summary.spent.seconds.get(name)
    return StreamRun(
        rows=done.received[name],
        set_aside=done.rejected[name],
        bytes=done.size[name],
        seconds=None if seconds is None else round(seconds, 3),
        bookmark_before=before or None,
        bookmark_after=after or None,
        lag_seconds=lag_behind(after),
        **counts,
    )
