"""`singerkit-map convert` and `explain`: what helps to write a map. A run itself has options only, as Singer says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import click

from singerkit_map.conversion.command import convert
from singerkit_map.explaining.command import explain
from singerkit_shell.arguments import Commands
from singerkit_shell.exits import run_commands
from singerkit_shell.signals import stop_flag

__all__ = ["COMMANDS", "main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, expose_value=False, help="Print a traceback with every error.")
def command() -> None:
    """Commands that help to write a map; without one, singerkit-map passes messages on as --config says."""


command.add_command(convert)
command.add_command(explain)
COMMANDS = tuple(command.commands)


def main(arguments: Sequence[str]) -> NoReturn:
    """Run one of the commands and exit."""
    stop_flag.install()
    run_commands(command, "singerkit-map", arguments)
