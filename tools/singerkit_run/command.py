"""`singerkit run`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

import click

from singerkit_run.dryrun import lines_of
from singerkit_run.planfile import Plan, default_file, read_plan
from singerkit_run.programs import Found, find_programs, located
from singerkit_run.runner import run_all
from singerkit_run.shards import problems_of_shard, sharded, with_words_of
from singerkit_run.telling import Teller, summary, verdict
from singerkit_shell.arguments import Command
from singerkit_shell.configfile import variables_beside
from singerkit_shell.errors import ConfigurationError, UsageError
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_shell.validate import CONFIG_PATHS, line_of, nearest
from singerkit_shell.words import ended
from singerkit_signals import opentelemetry
from singerkit_state.shards import WHOLE, Shard

__all__ = ["chosen_of", "file_and_names", "run"]

_ENDINGS = (".yaml", ".yml", ".toml", ".json")


@click.command(cls=Command, short_help="Run the pipelines of a file, in their order.")
@click.argument("words", nargs=-1, metavar="[FILE] [NAME]...")
@click.option(
    "--jobs",
    type=click.IntRange(1, 1000),
    help="How many pipelines run at a time (`jobs` in the file, else 1).",
)
@click.option(
    "--dry-run", is_flag=True, help="Print a script of bash that would do the same, and run nothing."
)
@click.option(
    "--shard",
    metavar="i/n",
    help="Run one of n parts, counted from 0; n runs, at any time and place, do all (docs/shards.md).",
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Print all that taps and targets say, and not only what matters."
)
@click.option("--debug", is_flag=True, expose_value=False, help="Print a traceback with every error.")
@click.pass_context
def run(
    ctx: click.Context,
    words: Sequence[str],
    jobs: int | None,
    dry_run: bool,
    shard: str | None,
    verbose: bool,
) -> int:
    """Run the pipelines of FILE, or those named, each behind those that it names in `after`.

    FILE is YAML, TOML or JSON; without one `singerkit.yaml` (or .yml, .toml, .json) in this folder. A pipeline that fails holds up
    those that stand on it, and no others.

    Exit codes: 0 all is done, else the worst of a pipeline's, and the last line says whose; 64 usage, 78 the file is wrong and
    nothing was run, 143 and 130 stopped by a signal.
    """
    stop_flag.install()
    part = WHOLE if shard is None else Shard.parse(shard)
    path, names = file_and_names(words)
    ctx.meta[CONFIG_PATHS] = [path]
    plan = read_plan(path)
    chosen = chosen_of(plan, names)
    env = {
        **variables_beside(plan.path),
        **os.environ,
        **({} if shard is None else {"SINGERKIT_SHARD": str(part)}),
    }
    found, problems = find_programs(with_words_of(plan, part), chosen, env, stop_flag)
    stop_flag.raise_if_set("nothing was run.")
    problems += problems_of_shard(
        plan, [name for name in chosen if plan.pipelines[name].tap.exec in found], found, part
    )
    plan = sharded(plan, found, part)
    problems += [*_missing_notifier(plan), *_missing_extra(plan)]
    if problems:
        raise ConfigurationError(
            f"{ended('; '.join(problems))} Nothing was run: mend {path}, or what it names."
        )
    if dry_run:
        for line in lines_of(plan, chosen, found):
            click.echo(line)
        return 0
    return _run(plan, chosen, found, jobs or plan.jobs, env, verbose)


def file_and_names(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the file that is meant, and the names behind it.

    Raises:
        ConfigurationError: none is named, and there is none here, or there are several.
    """
    if words and words[0].lower().endswith(_ENDINGS):
        return words[0], words[1:]
    return default_file(), words


def chosen_of(plan: Plan, names: Sequence[str]) -> list[str]:
    """Return the pipelines that are meant, in the order of the file.

    Raises:
        UsageError: there is none of a name.
    """
    for name in names:
        if name not in plan.pipelines:
            near = nearest(name, list(plan.pipelines))
            hint = (
                f"did you mean `{near}`?"
                if near
                else f"there are {', '.join(f'`{one}`' for one in list(plan.pipelines)[:20])}."
            )
            raise UsageError(f"There is no pipeline `{name}` in {plan.path}: {hint}")
    return [name for name in plan.pipelines if not names or name in names]


def _missing_extra(plan: Plan) -> list[str]:
    if plan.signals is None or plan.signals.opentelemetry is None or opentelemetry.is_installed():
        return []
    place = "signals.opentelemetry"
    return [f"`{place}`{line_of(place)} needs the extra: `pip install 'singerkit[opentelemetry]'`"]


def _missing_notifier(plan: Plan) -> list[str]:
    called = None if plan.on_failure is None else plan.on_failure[0][0]
    if called is None or located(called, plan.folder) is not None:
        return []
    return [
        f"There is no executable `{called}`, which is named at `on_failure.exec`{line_of('on_failure.exec')}"
    ]


def _run(
    plan: Plan,
    names: Sequence[str],
    found: dict[str, Found],
    jobs: int,
    env: Mapping[str, str],
    everything: bool,
) -> int:
    with Teller(everything) as teller:
        results = run_all(plan, names, found, jobs, env, teller.of, stop_flag)
    if len(results) > 1:
        for line in summary(results):
            teller.say(line)
    code, sentence = verdict(results)
    if code:
        teller.say(f"CRITICAL singerkit run: {redactor.mask(sentence)}")
    else:
        teller.say(sentence)
    sys.stderr.flush()
    return code
