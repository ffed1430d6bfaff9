"""The command `singerkit`. Each verb is imported when it is asked for: none has to wait for what another needs."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

import click

from singerkit_shell.exits import run_commands

__all__ = ["cli", "main"]

_VERBS = {
    "init": ("singerkit_init.command", "init", "Write a folder to start from, which runs as it stands."),
    "run": ("singerkit_run.command", "run", "Run the pipelines of a file, in their order."),
    "history": ("singerkit_history.command", "history", "Show what former runs have come to."),
    "report": ("singerkit_report.command", "report", "Write the history of runs as an HTML file to look at."),
    "quality": ("singerkit_cli.quality", "quality", "Hold loaded tables against the rules of quality."),
    "dbt": ("singerkit_dbt.command", "command", "Make models of dbt for what the pipelines load."),
    "state": ("singerkit_state.cli", "command", "Look at the state of a pipeline, change it, and go back."),
    "check": (
        "singerkit_check.command",
        "cli",
        "Hold a stream, a tap or a target against the rules of Singer.",
    ),
}


class _Verbs(click.Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in _VERBS:
            return None
        module, attribute, _ = _VERBS[name]
        found: click.Command = getattr(importlib.import_module(module), attribute)
        return found

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, _, words) in _VERBS.items()])


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(None, "--version", package_name="singerkit", message="singerkit %(version)s")
def cli() -> None:
    """Run pipes of taps and targets, and see to what they leave.

    `singerkit run` runs the pipelines of a file. A pipe of the shell does without it: it is for what a shell cannot do, which is to keep a
    target from taking a tap that has crashed for one that has ended.
    """


def main() -> NoReturn:
    run_commands(cli, "singerkit", sys.argv[1:])
