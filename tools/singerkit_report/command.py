"""`singerkit report`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import click

from singerkit_history.gathering import gathered, tell, whose_runs
from singerkit_report.page import page
from singerkit_report.standing import standings, up_to
from singerkit_run.outcomes import Outcome
from singerkit_run.usual import KNOWN
from singerkit_shell.arguments import Command
from singerkit_shell.signals import stop_flag
from singerkit_shell.words import counted
from singerkit_state.statefile import replace_file

__all__ = ["report"]


@click.command(cls=Command, short_help="Write the history of runs as an HTML file to look at.")
@whose_runs
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
    now = datetime.now().astimezone()
    since = (now - timedelta(days=days - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    asked = gathered(ctx, words, target, config, since, at_least=KNOWN)
    runs, ahead = up_to(now, asked.runs)
    problems = [*asked.problems, *(Outcome(0, why) for why in ahead)]
    found = standings(asked.names, runs, now, days, asked.expected)
    text = page(found, now, days, asked.of, [problem.why for problem in problems])
    if output == "-":
        click.echo(text, nl=False)
    else:
        replace_file(output, text.encode(), "report")
        bad = sum(one.needs_somebody for one in found)
        click.echo(f"{output}: {counted(len(found), 'pipeline')}, {bad or 'none'} in need of somebody.")
    return tell(problems)
