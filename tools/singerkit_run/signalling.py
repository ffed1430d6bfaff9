"""Whom the file names in `signals` is told what a run has come to, with what its target says of it."""

from __future__ import annotations

from collections.abc import Mapping

from singerkit_run.joining import joined
from singerkit_run.past import ask, questions_of
from singerkit_run.planfile import Plan
from singerkit_run.programs import Found
from singerkit_shell.signals import StopFlag
from singerkit_signals.sending import send
from singerkit_state.runs import Run

__all__ = ["signal"]


def signal(
    plan: Plan, name: str, run: Run, found: Mapping[str, Found], env: Mapping[str, str], stop: StopFlag
) -> list[str]:
    """Tell it; return a sentence for each who could not be told."""
    if plan.signals is None:
        return []
    heard = ask(questions_of(plan, [name], found), env, run.started, None, stop) if run.tries else []
    parts = [part for one in heard for part in one.runs if part.runner == run.id]
    problems = [f"is told of without its rows: {one.why}" for one in heard if one.code]
    [whole] = joined([run], parts)
    return [*problems, *send(plan.signals, whole, stop)]
