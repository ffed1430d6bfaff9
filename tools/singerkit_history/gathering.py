"""All runs that are known of pipelines, or of a target: what the runner and the targets have, put together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime

import click

from singerkit_run.command import chosen_of, file_and_names
from singerkit_run.joining import joined
from singerkit_run.outcomes import Outcome
from singerkit_run.past import Question, ask, noted_by_runner, of_pipelines, questions_of
from singerkit_run.planfile import read_plan
from singerkit_run.programs import find_programs, located
from singerkit_run.shards import sharded
from singerkit_shell.configfile import variables_beside
from singerkit_shell.errors import UsageError
from singerkit_shell.signals import stop_flag
from singerkit_shell.validate import CONFIG_PATHS
from singerkit_shell.variables import stand_ins
from singerkit_state.runs import Run
from singerkit_state.shards import Shard

__all__ = ["runs_of_file", "runs_of_target"]

_NOT_HERE = "not-set-here"


def runs_of_target(
    called: str, configs: Sequence[str], names: Sequence[str], since: datetime | None, last: int | None
) -> tuple[list[Run], list[Outcome]]:
    path = located(called, os.getcwd())
    if path is None:
        raise UsageError(
            f"There is no executable `{called}`, which is named at `--target`, in PATH or in that place."
        )
    question = Question((path, *(part for one in configs for part in ("--config", one))), os.getcwd())
    [heard] = ask([question], os.environ, since, last, stop_flag)
    problems = [Outcome(heard.code, heard.why)] if heard.code else []
    runs = [run for run in heard.runs if not names or run.pipeline in names]
    return joined((), runs), problems


def runs_of_file(
    ctx: click.Context, words: Sequence[str], since: datetime | None, last: int | None
) -> tuple[list[Run], list[Outcome]]:
    path, named = file_and_names(words)
    ctx.meta[CONFIG_PATHS] = [path]
    stand_ins.text = _NOT_HERE  # taps are not asked, and what is noted needs no variable of theirs
    try:
        plan = read_plan(path)
    finally:
        stand_ins.text = None
    names = chosen_of(plan, named)
    env = {**variables_beside(plan.path), **os.environ}
    found, missing = find_programs(plan, names, env, stop_flag, tries_configs=False)
    plan = sharded(plan, found, Shard(0, 1))
    there = [name for name in names if plan.pipelines[name].target.exec in found]
    tries = 1 + max((plan.pipelines[name].retries.times for name in there), default=0)
    heard = ask(questions_of(plan, there, found), env, since, last and last * tries, stop_flag)
    of_targets = [run for one in heard for run in one.runs]
    runs = joined(noted_by_runner(plan, names), of_pipelines(of_targets, plan, names))
    problems = [Outcome(one.code, one.why) for one in heard if one.code]
    return runs, [*problems, *(Outcome(78, f"{one}.") for one in missing)]
