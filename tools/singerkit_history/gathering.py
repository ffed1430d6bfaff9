"""All runs that are known of pipelines, or of a target: how they are asked for on a command line, and what the runner and the targets have, put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

import click

from singerkit_run.command import chosen_of, file_and_names
from singerkit_run.joining import joined
from singerkit_run.outcomes import Outcome, worst_of
from singerkit_run.past import Question, ask, noted_by_runner, of_pipelines, questions_of
from singerkit_run.planfile import read_plan
from singerkit_run.programs import find_programs, located
from singerkit_run.shards import sharded
from singerkit_run.usual import Expected, expected_of
from singerkit_shell.configfile import variables_beside
from singerkit_shell.errors import UsageError
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_shell.validate import CONFIG_PATHS
from singerkit_shell.variables import stand_ins
from singerkit_shell.words import visible
from singerkit_state.runs import Run
from singerkit_state.shards import Shard

__all__ = ["Gathered", "gathered", "tell", "whose_runs"]

_NOT_HERE = "not-set-here"
_F = TypeVar("_F", bound=Callable[..., Any])


def whose_runs(command: _F) -> _F:
    """Give a command the arguments of `gathered`: ``words``, ``target`` and ``config``."""
    for add in (
        click.option(
            "--config",
            multiple=True,
            metavar="FILE",
            help="With --target: its config, or several, of which the last counts.",
        ),
        click.option(
            "--target", metavar="EXEC", help="Without a file of pipelines: the target that is asked."
        ),
        click.argument("words", nargs=-1, metavar="[FILE] [NAME]..."),
    ):
        command = add(command)
    return command


@dataclass(frozen=True)
class Gathered:
    """``runs``, the newest first, of the file or target that is called ``of``; ``names``: the pipelines that are meant, of which the file says what is ``expected``;
    ``problems``: what could not be had."""

    of: str
    names: Sequence[str]
    runs: Sequence[Run]
    problems: Sequence[Outcome]
    expected: Mapping[str, Expected] = field(default_factory=dict)


def gathered(
    ctx: click.Context,
    words: Sequence[str],
    target: str | None,
    configs: Sequence[str],
    since: datetime | None,
    last: int | None = None,
    at_least: int | None = None,
) -> Gathered:
    """Return the runs since a moment, and no more of a pipeline than the ``last`` ones need, or, where they are older, ``at_least`` so many.

    Raises:
        UsageError, ConfigurationError: what is named is not there, or is wrong.
    """
    if configs and target is None:
        raise UsageError(
            "`--config` goes with `--target` only: a file of pipelines names the configs itself."
        )
    if target is not None:
        found = _of_target(target, configs, words, since, last, at_least)
    else:
        found = _of_file(ctx, words, since, last, at_least)
    if since is None or at_least is not None:
        return found
    return replace(found, runs=[run for run in found.runs if run.started >= since])


def tell(problems: Sequence[Outcome]) -> int:
    """Warn of what could not be had; return the exit code for it."""
    for problem in problems:
        click.echo(f"WARNING {visible(redactor.mask(problem.why))}", err=True)
    return worst_of(problems).code


def _of_target(
    called: str,
    configs: Sequence[str],
    names: Sequence[str],
    since: datetime | None,
    last: int | None,
    at_least: int | None,
) -> Gathered:
    path = located(called, os.getcwd())
    if path is None:
        raise UsageError(
            f"There is no executable `{called}`, which is named at `--target`, in PATH or in that place."
        )
    question = Question((path, *(part for one in configs for part in ("--config", one))), os.getcwd())
    [heard] = ask([question], os.environ, since, last, stop_flag, at_least)
    problems = [Outcome(heard.code, heard.why)] if heard.code else []
    runs = [run for run in heard.runs if not names or run.pipeline in names]
    return Gathered(called, names, joined((), runs), problems)


def _of_file(
    ctx: click.Context, words: Sequence[str], since: datetime | None, last: int | None, at_least: int | None
) -> Gathered:
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
    heard = ask(questions_of(plan, there, found), env, since, last and last * tries, stop_flag, at_least)
    of_targets = [run for one in heard for run in one.runs]
    noted, unread = noted_by_runner(plan, names)
    runs = joined(noted, of_pipelines(of_targets, plan, names))
    problems = [*unread, *(Outcome(one.code, one.why) for one in heard if one.code)]
    problems += [Outcome(78, f"{one}.") for one in missing]
    expected = {name: expected_of(plan.pipelines[name]) for name in names}
    return Gathered(os.path.basename(path), names, runs, problems, expected)
