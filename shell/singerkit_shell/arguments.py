"""Command lines: no argument without a text, which is a variable of the shell that is not set; and the command among the options."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import click

from singerkit_shell.errors import UsageError

__all__ = ["Command", "Commands", "command_first", "see_none_empty"]


def see_none_empty(command: click.Command, ctx: click.Context, arguments: Iterable[str]) -> None:
    """See that no option and no argument is empty, before anything is made of them.

    Raises:
        UsageError: one is; the sentence names it.
    """
    given, _, parameters = command.make_parser(ctx).parse_args(args=list(arguments))
    for parameter in parameters:
        values = given.get(parameter.name or "")
        if values == "" or (isinstance(values, list | tuple) and "" in values):
            shown = (
                parameter.make_metavar(ctx) if isinstance(parameter, click.Argument) else parameter.opts[-1]
            )
            raise UsageError(
                f"`{shown.strip('[]')}` is empty, as when a variable of the shell is not set; nothing was read or "
                "written: give it a value, or leave it out."
            )


class Command(click.Command):
    """A command that takes no empty arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        see_none_empty(self, ctx, args)
        return super().parse_args(ctx, args)


class Commands(click.Group):
    """Lists its commands as they were made, each of which takes no empty arguments."""

    command_class = Command

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.commands)


def command_first(
    arguments: Sequence[str], commands: Mapping[str, Collection[str]], valued: Collection[str]
) -> list[str] | None:
    """Return a command line with the command that it names in front, and its verb; None: it names none.

    Meltano puts the options of a plugin before what it is asked to run: `tap --config FILE slot list`. ``commands``: the verbs of each;
    ``valued``: options that take a value.
    """
    place = 0
    while place < len(arguments) and arguments[place].startswith("-"):
        place += 2 if arguments[place] in valued else 1
    if place >= len(arguments) or arguments[place] not in commands:
        return None
    words = 2 if place + 1 < len(arguments) and arguments[place + 1] in commands[arguments[place]] else 1
    return [*arguments[place : place + words], *arguments[:place], *arguments[place + words :]]
