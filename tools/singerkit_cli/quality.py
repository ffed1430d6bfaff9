"""`singerkit quality run`: targets hold what they have stored against the rules of their configs."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from singerkit_run.asking import arguments_of
from singerkit_run.children import run_alone
from singerkit_run.command import chosen_of, file_and_names
from singerkit_run.outcomes import Outcome, worst_of
from singerkit_run.pipe import sentence_in
from singerkit_run.planfile import read_plan
from singerkit_run.programs import find_programs, located
from singerkit_shell.arguments import Command
from singerkit_shell.configfile import variables_beside
from singerkit_shell.errors import UsageError
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_shell.validate import CONFIG_PATHS
from singerkit_shell.variables import stand_ins
from singerkit_shell.words import visible

__all__ = ["quality"]

_SECONDS = 6 * 3600.0


@click.group(short_help="Hold loaded tables against the rules of quality.")
def quality() -> None:
    """Rules of quality (`checks` in the config of a target), after the load."""


@dataclass(frozen=True)
class _Asked:
    """A target, of a pipeline if one is named, as it is asked."""

    pipeline: str
    command: Sequence[str]
    folder: str
    env: Mapping[str, str]


@quality.command(cls=Command, short_help="Hold what is stored against the rules, and show what came of each.")
@click.argument("words", nargs=-1, metavar="[FILE] [NAME]...")
@click.option("--target", metavar="EXEC", help="Without a file of pipelines: the target that is asked.")
@click.option(
    "--config",
    "configs",
    multiple=True,
    metavar="FILE",
    help="With --target: its config, or several, as one with rules.",
)
@click.option("--json", "as_lines", is_flag=True, help="A line of JSON for each rule.")
@click.option("--debug", is_flag=True, expose_value=False, help="Print a traceback with every error.")
@click.pass_context
def run(
    ctx: click.Context, words: Sequence[str], target: str | None, configs: Sequence[str], as_lines: bool
) -> int:
    """Have the targets of the pipelines of FILE, or of those named, hold what they have stored against their `checks`, in SQL.

    FILE is that of `singerkit run`. Without such a file a target can be asked: `singerkit quality run --target target-postgres --config warehouse.json --config
    rules.json`. Nothing is changed.

    Exit codes: 0 no rule is broken that is more than a warning; 65 one is; that of a target that could not be asked; 64 usage, 78 a file or a rule is wrong.
    """
    stop_flag.install()
    if configs and target is None:
        raise UsageError(
            "`--config` goes with `--target` only: a file of pipelines names the configs itself."
        )
    asked = [_of_target(target, configs)] if target is not None else list(_of_file(ctx, words))
    problems: list[Outcome] = []
    for one in asked:
        found, problem = _ask(one)
        for said in found:
            click.echo(json.dumps({"pipeline": one.pipeline, **said}) if as_lines else _line(said))
        if problem is not None:
            problems.append(problem)
    for problem in problems:
        click.echo(f"WARNING {visible(redactor.mask(problem.why))}", err=True)
    return worst_of(problems).code if problems else 0


def _of_target(called: str, configs: Sequence[str]) -> _Asked:
    path = located(called, os.getcwd())
    if path is None:
        raise UsageError(
            f"There is no executable `{called}`, which is named at `--target`, in PATH or in that place."
        )
    arguments = [part for one in configs for part in ("--config", one)]
    return _Asked(called, [path, *arguments, "--judge"], os.getcwd(), dict(os.environ))


def _of_file(ctx: click.Context, words: Sequence[str]) -> Iterator[_Asked]:
    path, named = file_and_names(words)
    ctx.meta[CONFIG_PATHS] = [path]
    stand_ins.text = "not-set-here"  # taps are not asked
    try:
        plan = read_plan(path)
    finally:
        stand_ins.text = None
    names = chosen_of(plan, named)
    env = {**variables_beside(plan.path), **os.environ}
    found, missing = find_programs(plan, names, env, stop_flag, tries_configs=False)
    if missing:
        raise UsageError(f"{missing[0]}.")
    for name in names:
        target = plan.pipelines[name].target
        command = [found[target.exec].path, *arguments_of(target, target.configs), "--judge"]
        yield _Asked(name, command, plan.folder, {**env, **target.env, "SINGERKIT_PIPELINE": name})


def _ask(asked: _Asked) -> tuple[list[dict[str, Any]], Outcome | None]:
    last: deque[str] = deque(maxlen=50)
    out: list[bytes] = []
    code = run_alone(
        list(asked.command),
        folder=asked.folder,
        env=dict(asked.env),
        on_line=last.append,
        on_output=out.append,
        timeout=_SECONDS,
        stop=stop_flag,
    )
    lines = b"".join(out).decode("utf-8", "replace").splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    if code == 0:
        return found, None
    why = sentence_in(last[-1] if last else "", f"target of `{asked.pipeline}`")
    return found, Outcome(69 if code is None else code, f"`{asked.pipeline}`: {why}")


def _line(said: Mapping[str, Any]) -> str:
    fields = f" of {', '.join(said['fields'])}" if said["fields"] else ""
    text = f"{said['verdict']:<10}  {said['stream']}: {said['rule']}{fields}"
    if said["verdict"] == "broken" and not said["why"]:
        keys = f" (key {'; '.join(said['keys'])})" if said["keys"] else ""
        text += f": {said['broken']:,} of {said['judged']:,}{keys}"
    elif said["why"]:
        text += f": {said['why']}"
    return visible(redactor.mask(text))
