"""`singerkit history`."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from singerkit_history.gathering import gathered, tell, whose_runs
from singerkit_history.table import lines_of
from singerkit_run.durations import DURATION, seconds_of
from singerkit_shell.arguments import Command
from singerkit_shell.errors import UsageError
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_shell.words import visible
from singerkit_state.runs import Run, as_json

__all__ = ["history"]

_LAST = 20


@click.command(cls=Command, short_help="Show what former runs have come to.")
@whose_runs
@click.option(
    "--last",
    type=click.IntRange(1),
    metavar="N",
    help=f"No more than the last N runs ({_LAST}, unless --since is given).",
)
@click.option(
    "--since",
    metavar="WHEN",
    help="Runs that began at this moment (ISO 8601), or so long ago (`36h`, `7d`), or later.",
)
@click.option("--failed", is_flag=True, help="Only runs that have not ended well.")
@click.option("--json", "as_lines", is_flag=True, help="A line of JSON for each run.")
@click.option("--debug", is_flag=True, expose_value=False, help="Print a traceback with every error.")
@click.pass_context
def history(
    ctx: click.Context,
    words: Sequence[str],
    target: str | None,
    config: Sequence[str],
    last: int | None,
    since: str | None,
    failed: bool,
    as_lines: bool,
) -> int:
    """Show what former runs of the pipelines of FILE, or of those named, have come to, the newest first.

    FILE is that of `singerkit run`; what that has noted and what the targets have is put together. Without such a file a target can be asked:
    `singerkit history --target target-postgres --config warehouse.json`.

    Exit codes: 0; that of a target that could not be asked, behind what is known without it; 64 usage, 78 the file is wrong.
    """
    stop_flag.install()
    moment = None if since is None else _moment(since)
    last = _LAST if last is None and since is None else last
    asked = None if failed else last  # which of them have failed is seen here
    found = gathered(ctx, words, target, config, moment, asked)
    runs = found.runs
    if failed:
        runs = [run for run in runs if run.result not in ("complete", "running") and not run.did_nothing]
    _show(runs[:last], as_lines=as_lines)
    return tell(found.problems)


def _moment(since: str) -> datetime:
    try:
        if re.fullmatch(DURATION.strip("^$"), since):
            return datetime.now(UTC) - timedelta(seconds=seconds_of(since))
        at = datetime.fromisoformat(since)
    except (ValueError, OverflowError):
        raise UsageError(
            f"Expected a moment such as 2026-11-28 or 2026-11-28T21:00:00Z, or a length of time such as 36h, at `--since`, got `{since[:40]}`."
        ) from None
    return (
        at if at.tzinfo else at.astimezone()
    )  # without an offset: of this machine's clock, as the table shows it


def _show(runs: Sequence[Run], *, as_lines: bool) -> None:
    if as_lines:
        for run in runs:
            click.echo(as_json(run))
        return
    if not runs:
        click.echo("There are no runs.", err=True)
        return
    is_terminal = sys.stdout.isatty()
    in_colour = is_terminal and not os.environ.get("NO_COLOR")
    for line in lines_of(runs, shutil.get_terminal_size().columns if is_terminal else None):
        words = visible(redactor.mask(line.words))
        click.echo(click.style(words, fg=line.colour) if in_colour else words)
        for below in line.below:
            click.echo(visible(redactor.mask(below)))
