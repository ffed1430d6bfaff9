"""`tap-rest record` and `tap-rest replay`: the options of a run, and the folder of its recording."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from singerkit_shell.command import ShellCommand, start
from singerkit_shell.variables import stand_ins
from tap_rest.recording.runs import recorded, replayed
from tap_rest.recording.veil import PLACE_HOLDER

__all__ = ["main"]

_OF_A_RUN = ("config", "catalog", "state")
_MEBIBYTE = 1 << 20


def _record(tap: type[Any]) -> type[Any]:
    class Record(tap):  # type: ignore[misc]  # it is handed in, since it is what starts this
        @classmethod
        def get_singer_command(cls) -> ShellCommand:
            def run(to: str, most_mb: int, mask: tuple[str, ...], **options: Any) -> None:
                recorded(tap, to, most_mb * _MEBIBYTE, mask).invoke(**options)

            return _command(
                super().get_singer_command(),
                run,
                "Run as always, and keep each request and its answer in a folder.",
                click.Option(["--to"], required=True, help="A new folder for the recording."),
                click.Option(
                    ["--most-mb"],
                    type=click.IntRange(1),
                    default=1024,
                    show_default=True,
                    help="Record so many MiB at most; the run goes on without.",
                ),
                click.Option(
                    ["--mask"],
                    multiple=True,
                    metavar="MEMBER",
                    help="A member of the answers, at any depth, whose values are not recorded; may be given more than once.",
                ),
            )

    return Record


def _replay(tap: type[Any]) -> type[Any]:
    class Replay(tap):  # type: ignore[misc]  # see above
        @classmethod
        def get_singer_command(cls) -> ShellCommand:
            def run(recording: str, **options: Any) -> None:
                replayed(tap, recording).invoke(**options)

            return _command(
                super().get_singer_command(),
                run,
                "Run with the answers of a recording: nothing is asked, and nobody is waited for.",
                click.Option(["--from", "recording"], required=True, help="The folder of the recording."),
            )

    return Replay


def _command(whole: ShellCommand, run: Any, about: str, *own: click.Option) -> ShellCommand:
    """Return the command of a run with options of its own, and without those that make something else of it."""
    kept = [param for param in whole.params if param.name in _OF_A_RUN or "--debug" in param.opts]
    return ShellCommand(
        name=whole.name,
        callback=run,
        params=[*own, *kept],
        help=about,
        context_settings=whole.context_settings,
        logger=whole.logger,
    )


_COMMANDS = {"record": _record, "replay": _replay}


def main(arguments: list[str], tap: type[Any]) -> NoReturn:
    """Run one of the commands and exit; ``tap`` is `tap_rest.tap.TapRest`."""
    if arguments[0] == "replay":
        stand_ins.text = PLACE_HOLDER  # it needs no secret of the config
    sys.argv = [f"{sys.argv[0]} {arguments[0]}", *arguments[1:]]
    start(_COMMANDS[arguments[0]](tap))
