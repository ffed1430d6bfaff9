"""`--dry-run`: what would be run, as a person would type it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from singerkit_run.commands import commands_of
from singerkit_run.planfile import Plan
from singerkit_run.programs import Found

__all__ = ["in_order", "lines_of"]


def lines_of(plan: Plan, names: Sequence[str], found: Mapping[str, Found]) -> Iterator[str]:
    """Yield the lines of a script of the shell that does the same but for holding the pipe, retries and timeouts."""
    yield f"cd {plan.folder}"
    for name in in_order(plan, names):
        pipeline = plan.pipelines[name]
        commands = commands_of(pipeline, found, os.path.exists(pipeline.state_file))
        yield f"# {name}" + (f", after {', '.join(pipeline.after)}" if pipeline.after else "")
        yield commands.as_shell()
        for hook in pipeline.hooks:
            yield f"{hook.run}  # {'if that has ended well' if hook.always else 'if it has committed something new'}"


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
