"""Whom the file names in `signals` is told that a run has begun, and what it has come to, with what its target says of it."""

from __future__ import annotations

from collections.abc import Mapping

from singerkit_run.joining import joined
from singerkit_run.past import ask, questions_of
from singerkit_run.planfile import Pipeline, Plan
from singerkit_run.programs import Found
from singerkit_run.record import runs_of
from singerkit_shell.signals import StopFlag
from singerkit_signals.sending import Beside, send
from singerkit_state.runs import Run

__all__ = ["signal"]


def signal(
    plan: Plan, name: str, run: Run, found: Mapping[str, Found], env: Mapping[str, str], stop: StopFlag
) -> list[str]:
    """Tell it; return a sentence for each who could not be told."""
    if plan.signals is None:
        return []
    has_rows = run.tries and not run.did_nothing
    heard = ask(questions_of(plan, [name], found), env, run.started, None, stop) if has_rows else []
    parts = [part for one in heard for part in one.runs if part.runner == run.id]
    problems = [f"is told of without its rows: {one.why}" for one in heard if one.code]
    [whole] = joined([run], parts)
    pipeline = plan.pipelines[name]
    beside = Beside(_last_success(pipeline), pipeline.late_after, env)
    return [*problems, *send(plan.signals, whole, stop, beside)]


def _last_success(pipeline: Pipeline) -> float:
    """Return when a run of the runner was last well here, as a Unix time; 0 where none is known."""
    try:
        ends = [run.ended for run in runs_of(pipeline) if run.is_well and run.ended is not None]
    except OSError:
        return 0.0
    return max(ends).timestamp() if ends else 0.0
