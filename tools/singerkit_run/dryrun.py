"""`--dry-run`: a script of bash that does the same, as a person would write it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence

from singerkit_run.commands import Commands, commands_of, name_file, named
from singerkit_run.planfile import Pipeline, Plan
from singerkit_run.programs import Found
from singerkit_shell.configfile import Referred
from singerkit_shell.secrets import redactor

__all__ = ["in_order", "lines_of"]

_BEHIND_DOLLAR = re.compile(r"\$\$\{|\$\{|[$`\"\\]")
"""What the shell takes for something else between double quotes."""


def lines_of(plan: Plan, names: Sequence[str], found: Mapping[str, Found]) -> Iterator[str]:
    """Yield the lines of a script that does the same but for holding the pipe, retries and timeouts, and that ends with the first pipe that fails."""
    yield "set -eo pipefail"
    yield f"cd {shlex.quote(plan.folder)}"
    if os.path.exists(os.path.join(plan.folder, ".env")):
        yield f'variables="$({shlex.join([sys.executable, "-m", "singerkit_shell.dotenv", plan.path])})"'
        yield 'eval "$variables"'
    for name in in_order(plan, names):
        yield from _lines_of_one(plan.pipelines[name], found)


def _lines_of_one(pipeline: Pipeline, found: Mapping[str, Found]) -> Iterator[str]:
    commands = commands_of(pipeline, found, os.path.exists(pipeline.state_file))
    yield f"# {pipeline.name}" + (f", after {', '.join(pipeline.after)}" if pipeline.after else "")
    yield f"mkdir -p {shlex.quote(os.path.dirname(pipeline.state_file))}"
    if name_file(pipeline) in (*commands.tap, *commands.target):
        yield f"echo {shlex.quote(named(pipeline))} > {shlex.quote(name_file(pipeline))}"
    yield f"export SINGERKIT_PIPELINE={shlex.quote(pipeline.name)}"
    yield from _pipe(commands)
    for hook in pipeline.hooks:
        yield f"{hook.run}  # {'whenever that has ended well' if hook.always else 'if it has committed something new'}"


def _pipe(commands: Commands) -> Iterator[str]:
    pipe = " | ".join(_assigned(env) + shlex.join(command) for _, command, env in commands.in_order())
    if commands.is_target_ours:
        yield pipe
        return
    state = shlex.quote(commands.state_file)
    states = shlex.quote(f"{commands.state_file}.lines")
    yield f"{pipe} > {states}"
    yield f"[ ! -s {states} ] || tail -n 1 {states} > {state}"


def _assigned(env: Mapping[str, str]) -> str:
    redactor.add_from_config({name: value for name, value in env.items() if not isinstance(value, Referred)})
    return "".join(f"{name}={_text(value)} " for name, value in env.items())


def _text(value: str) -> str:
    """Return a text for the shell, which fills in what the file has from a variable: what that holds is nobody's to see."""
    if not isinstance(value, Referred):
        return shlex.quote(redactor.mask(value))
    if value.written is None:
        return f'"$(cat {shlex.quote(value.origin.removeprefix("the file "))})"'
    return f'"{_BEHIND_DOLLAR.sub(_kept, value.written)}"'


def _kept(found: re.Match[str]) -> str:
    return {"${": "${", "$${": "\\${"}.get(found[0], f"\\{found[0]}")


def in_order(plan: Plan, names: Sequence[str]) -> list[str]:
    """Return names so that each stands behind those that it names in `after`."""
    ordered: list[str] = []

    def add(name: str) -> None:
        if name in names and name not in ordered:
            for other in plan.pipelines[name].after:
                add(other)
            ordered.append(name)

    for name in names:
        add(name)
    return ordered
