"""`singerkit report`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta

import click

from singerkit_history.gathering import runs_of_file, runs_of_target
from singerkit_report.page import page
from singerkit_report.standing import standings
from singerkit_run.command import chosen_of, file_and_names
from singerkit_run.outcomes import worst_of
from singerkit_run.planfile import read_plan
from singerkit_shell.arguments import Command
from singerkit_shell.errors import UsageError
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_shell.words import counted
from singerkit_state.statefile import replace_file

__all__ = ["report"]


@click.command(cls=Command, short_help="Write the history of runs as an HTML file to look at.")
@click.argument("words", nargs=-1, metavar="[FILE] [NAME]...")
@click.option("--target", metavar="EXEC", help="Without a file of pipelines: the target that is asked.")
@click.option(
    "--config",
    multiple=True,
    metavar="FILE",
    help="With --target: its config, or several, of which the last counts.",
)
@click.option(
    "--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How many days it shows."
)
@click.option(
    "--output",
    default="singerkit-report.html",
    show_default=True,
    metavar="FILE",
    help="Where it is written; one that is there is replaced. `-` is stdout.",
)
@click.option("--debug", is_flag=True, expose_value=False, help="Print a traceback with every error.")
@click.pass_context
def report(
    ctx: click.Context,
    words: Sequence[str],
    target: str | None,
    config: Sequence[str],
    days: int,
    output: str,
) -> int:
    """Write what the runs of the pipelines of FILE, or of those named, have come to as one HTML file, without scripts and without anything from outside.

    FILE is that of `singerkit run`. It shows who needs somebody and what to do, a line for each pipeline, and rows, seconds, lag, records set aside,
    changes of tables and warnings of each. Without a file of pipelines a target can be asked: `singerkit report --target target-postgres --config warehouse.json`.

    Exit codes: 0 it is written, whatever stands in it; that of a target that could not be asked, and it is written without that; 64 usage, 74 it
    cannot be written, 78 the file is wrong.
    """
    stop_flag.install()
    if config and target is None:
        raise UsageError(
            "`--config` goes with `--target` only: a file of pipelines names the configs itself."
        )
    now = datetime.now().astimezone()
    since = (now - timedelta(days=days - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    if target is not None:
        runs, problems = runs_of_target(target, config, words, since, None)
        names, of = list(words), target
    else:
        runs, problems = runs_of_file(ctx, words, since, None)
        path, named = file_and_names(words)
        names, of = chosen_of(read_plan(path), named), os.path.basename(path)
    found = standings(names, (run for run in runs if run.started >= since), now, days)
    text = page(found, now, days, of, [problem.why for problem in problems])
    if output == "-":
        click.echo(text, nl=False)
    else:
        replace_file(output, text.encode(), "report")
        bad = sum(one.needs_somebody for one in found)
        click.echo(f"{output}: {counted(len(found), 'pipeline')}, {bad or 'none'} in need of somebody.")
    for problem in problems:
        click.echo(f"WARNING {redactor.mask(problem.why)}", err=True)
    return worst_of(problems).code
