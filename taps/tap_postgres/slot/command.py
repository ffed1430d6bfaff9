"""`tap-postgres slot list`, `create` and `drop`. A run itself has options only, as Singer says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

from singerkit_shell.arguments import Commands
from singerkit_shell.command import merged_config
from singerkit_shell.configfile import read_json_object
from singerkit_shell.errors import UsageError
from singerkit_shell.exits import run_commands
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_shell.validate import CONFIG_PATHS, check_no_input
from tap_postgres.slot.dropping import dropping
from tap_postgres.slot.listing import as_json, as_lines
from tap_postgres.slot.looking import Site
from tap_postgres.slot.making import made, planned

__all__ = ["main"]

NAME = "tap-postgres"
_Function = TypeVar("_Function", bound=Callable[..., Any])
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _of_a_run(function: _Function) -> _Function:
    """Give a command the options by which a run knows its slot and its tables."""
    options = (
        click.option("-c", "--config", "paths", multiple=True, help="The config of the pipeline, or `ENV`."),
        click.option(
            "-p", "--catalog", "--properties", "catalog", help="The catalog of its runs, where they have one."
        ),
        click.option(
            "-s",
            "--state",
            "state",
            help="What its runs continue from, where that names the pipeline, or to say what becomes of it.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.group(cls=Commands, context_settings=_CONTEXT)
@click.option("--debug", is_flag=True, expose_value=False, help="Print a traceback with every error.")
def command() -> None:
    """Commands beside the tap; without one, tap-postgres reads what --config says."""


@command.group(cls=Commands)
def slot() -> None:
    """Replication slot and publication of a pipeline: what there is, making them before the first run, dropping them after the last."""


@slot.command(name="list")
@_of_a_run
@click.option("--json", "is_json", is_flag=True, help="Print JSON, for scripts.")
def show(paths: tuple[str, ...], catalog: str | None, state: str | None, is_json: bool) -> None:
    """Show the logical slots of the server, who reads them, how much log they hold, and the tables of the publication.

    The slot of this config has a `*`. A slot that nobody reads keeps its log on the server's disk until it is read or dropped.
    """
    with _site(paths, catalog, state) as site:
        if is_json:
            _print(json.dumps(as_json(site), ensure_ascii=False))
            return
        for line in as_lines(site):
            _print(line)


@slot.command()
@_of_a_run
@click.option("--dry-run", is_flag=True, help="Print the statements, and do nothing.")
def create(paths: tuple[str, ...], catalog: str | None, state: str | None, dry_run: bool) -> None:
    """Make the publication and the slot that the first run would make, where they lack.

    From then on the server keeps its log until runs have read it.
    """
    with _site(paths, catalog, state) as site:
        knows_state = state is not None
        for line in (planned if dry_run else made)(site, knows_state=knows_state):
            _print(line)


@slot.command()
@click.argument("name", required=False)
@_of_a_run
@click.option("--dry-run", is_flag=True, help="Say what would be dropped, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(
    name: str | None, paths: tuple[str, ...], catalog: str | None, state: str | None, dry_run: bool, yes: bool
) -> None:
    """Drop the slot of the config, or the one that is named, and the publication of the same name.

    The server can remove the log then that it kept for it. Refused while somebody reads by it.
    """
    with _site(paths, catalog, state) as site:
        found = dropping(site, name)
        if found.is_nothing:
            _print(f"There is neither a slot nor a publication `{found.name}`; nothing was dropped.")
        elif dry_run:
            _print(found.question())
        elif _confirmed(found.question(), yes):
            _print(found.carry_out())
        else:
            return
        if found.kept:
            _print(found.kept)


def _site(paths: tuple[str, ...], catalog: str | None, state: str | None) -> Site:
    context = click.get_current_context()
    context.meta[CONFIG_PATHS] = [path for path in paths if path != "ENV"]
    make_tap = context.obj
    tap = make_tap(
        config=make_tap._with_environment(merged_config(*paths)),
        catalog=None if catalog is None else read_json_object(catalog, "catalog"),
        setup_mapper=False,
    )
    if state is not None:
        check_no_input(state, "--state")
        tap.continue_from(state)
    return Site(tap)


def _print(line: str) -> None:
    click.echo(redactor.mask(line))


def _confirmed(question: str, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(
            f"{question} Nobody can be asked here, and nothing was dropped: give `--yes` to do it."
        )
    return click.confirm(redactor.mask(question), err=True)


def main(arguments: list[str], tap: type[Any]) -> NoReturn:
    """Run one of the commands and exit; ``tap`` makes the tap of a config."""
    stop_flag.install()
    run_commands(command, NAME, arguments, tap)
