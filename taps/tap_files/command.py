"""`tap-files preview`: what helps to write a config. A run itself has options only, as Singer says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any, NoReturn

import click

from singerkit_shell.arguments import Commands
from singerkit_shell.command import merged_config
from singerkit_shell.errors import ConfigurationError, SingerkitError, UsageError
from singerkit_shell.exits import run_commands
from singerkit_shell.previews import Look, NotAllReadable, check_streams, print_look
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_shell.validate import CONFIG_PATHS
from tap_files.formats.table import FORMATS

__all__ = ["COMMANDS", "main"]

NAME = "tap-files"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, expose_value=False, help="Print a traceback with every error.")
def command() -> None:
    """Commands that help to write a config; without one, tap-files reads what --config says."""


@command.command()
@click.argument(
    "path", required=False, nargs=-1, metavar="[PATH]", callback=lambda _ctx, _param, given: _only_one(given)
)
@click.option(
    "-c",
    "--config",
    "paths",
    multiple=True,
    help="A config: looks at its streams; beside PATH: its `storage`.",
)
@click.option(
    "-s", "--stream", "names", multiple=True, help="Look at this stream only; may be given more than once."
)
@click.option(
    "-n", "--rows", default=5, show_default=True, type=click.IntRange(0, 1000), help="So many rows of each."
)
@click.option("-f", "--format", "form", type=click.Choice([*FORMATS]), help="With PATH: what the files hold.")
def preview(
    path: str | None, paths: tuple[str, ...], names: tuple[str, ...], rows: int, form: str | None
) -> None:
    """Show what is in files: how CSV is written, a typed table, and in red what looks wrong.

    PATH is a path or a URL with wildcards, as `path` of a stream: its look goes to stderr, and a config for it to stdout.
    """
    if path is None and not paths:
        raise UsageError("Expected either a PATH or `--config FILE`, nothing was read.")
    click.get_current_context().meta[CONFIG_PATHS] = list(paths)
    config = _checked(merged_config(*paths).config) if paths else {}
    if path is not None:
        if names:
            raise UsageError(
                "`--stream` names streams of a config, and has no effect beside a PATH; nothing was read."
            )
        _draft(path, form, config.get("storage", {}), rows)
        return
    if form is not None:
        raise UsageError("`--format` goes with a PATH; in a config it stands with the stream.")
    _preview(config, names, rows)


def _only_one(paths: tuple[str, ...]) -> str | None:
    if len(paths) > 1:
        raise UsageError(
            f"Expected one PATH, got {len(paths)} ({paths[0]}, {paths[1]}{', ...' if len(paths) > 2 else ''}): the shell has filled in the wildcards; "
            "put the path in quotes, like 'in/*.csv'. Nothing was read."
        )
    return paths[0] if paths else None


def _checked(config: dict[str, Any]) -> Mapping[str, Any]:
    """Return a config that a run would take."""
    return dict(click.get_current_context().obj(config=config, setup_mapper=False).config)


def _preview(config: Mapping[str, Any], names: tuple[str, ...], rows: int) -> None:
    from tap_files.config import streams_of
    from tap_files.packed.placing import unpacking
    from tap_files.places.addresses import opened_place
    from tap_files.preview.looking import listed, look_at

    streams = {one.name: one for one in streams_of(config)}
    check_streams(names, streams)
    code = 0
    for name, settings in streams.items():
        if names and name not in names:
            continue
        try:
            root = opened_place(settings.address, config.get("storage", {}))
            place, members = unpacking(settings, root)
            with closing(members):
                files, are_more = listed(settings, place)
                look = look_at(settings, place, files, rows, are_more=are_more)
        except SingerkitError as error:
            look = Look(name, [settings.pattern.text], doubts=[str(error)], code=error.exit_code)
        print_look(look, err=False)
        code = code or look.code
    if code:
        raise NotAllReadable(code)


def _draft(path: str, form: str | None, storage: Mapping[str, Any], rows: int) -> None:
    from singerkit_tap.changes import listed as listed_names
    from tap_files.config import streams_of
    from tap_files.formats.table import format_of_name
    from tap_files.packed.packing import inner_name
    from tap_files.packed.placing import unpacking
    from tap_files.places.addresses import address_of, opened_place
    from tap_files.preview.looking import listed, look_at
    from tap_files.preview.proposing import START_BYTES, config_of_path, ending_of_members, proposed, readable
    from tap_files.samples import start_of

    config = config_of_path(path, form)
    [stream] = config["streams"]
    is_told = form is not None or format_of_name(inner_name(path)) is not None
    [first] = streams_of(readable(config))
    place, members = unpacking(first, opened_place(address_of(path), storage))
    with closing(members):
        files, are_more = listed(first, place)
        there = [found for found in files if found.size != 0]
        if not there:
            way = (
                f"It is a folder: say which of its files are meant, in quotes: '{path}/*.csv'."
                if first.pattern.is_folder(place)
                else "Correct the path."
            )
            raise ConfigurationError(
                f"No file that holds something has a name like {path}; nothing was read. {way}"
            )
        ending = ending_of_members(path, [found.name for found in there])
        if ending is not None:
            files, left = (
                [one for one in files if one.name.endswith(ending) is is_one] for is_one in (True, False)
            )
            there = [found for found in there if found.name.endswith(ending)]
            config = {**config, "streams": [{**stream, "members": f"*{ending}"}]}
            is_told = True
        config, doubts = proposed(
            config, there[-1].name, start_of(place, there[-1], START_BYTES), is_told=is_told
        )
        [settings] = streams_of(config)
        look = look_at(settings, place, files, rows, are_more=are_more)
    if ending is not None and left:
        doubts.append(
            f"`members` leaves out what has another ending: {listed_names([one.name for one in left])}."
        )
    look.doubts[:0] = doubts
    if first.pattern.is_one_file:
        look.notes.append(
            "PATH names one file. One with wildcards stands in quotes, or the shell fills in what is there: 'in/*.csv'."
        )
    print_look(look, err=True)
    if storage:
        click.echo("`storage` stays where it is: run with both configs, `--config` twice.", err=True)
    click.echo(redactor.mask(json.dumps(config, indent=2, ensure_ascii=False)))
    if look.code:
        raise NotAllReadable(look.code)


COMMANDS = frozenset(command.commands)


def main(arguments: list[str], tap: type[Any]) -> NoReturn:
    """Run one of the commands and exit; ``tap`` makes the tap of a config."""
    stop_flag.install()
    run_commands(command, NAME, arguments, tap)
