"""`tap-rest lint`: findings a line each, and the code that says whether there are any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from singerkit_shell.arguments import Command
from singerkit_shell.command import merged_config
from singerkit_shell.errors import ConfigurationError, SingerkitError, UsageError
from singerkit_shell.secrets import redactor
from singerkit_shell.validate import CONFIG_PATHS, nearest
from singerkit_shell.variables import stand_ins
from singerkit_shell.words import counted
from tap_rest.linting.advices import advices
from tap_rest.linting.finding import RULES, Finding, where
from tap_rest.linting.plainsecrets import places_with_references, plain_secrets
from tap_rest.linting.refusals import refusals

__all__ = ["lint"]

_SOME_URL = "https://not-set.example"
_STAND_IN = "1"
"""What stands for a variable that is not set: a text that most settings take."""


@click.command(cls=Command)
@click.argument("files", nargs=-1)
@click.option(
    "-c",
    "--config",
    "configs",
    multiple=True,
    help="The same as FILES, as it stands in the command of a run.",
)
@click.option("--strict", is_flag=True, help="End with 78 for advices, too.")
@click.option("--ignore", multiple=True, help="A rule of which nothing is told; may be given more than once.")
def lint(files: tuple[str, ...], configs: tuple[str, ...], strict: bool, ignore: tuple[str, ...]) -> None:
    """Check a config without a request: what a run would refuse, and what somebody who reads it would ask about.

    Several files are merged, as in a run. Variables need not be set. Ends with 78 where a run would refuse the config.
    """
    paths = [*files, *configs]
    if not paths:
        raise UsageError("Expected the file of a config, as in `tap-rest lint tap.yaml`.")
    for rule in ignore:
        if rule not in RULES:
            near = nearest(rule, sorted(RULES))
            hint = f"did you mean `{near}`?" if near else f"There are {', '.join(RULES)}."
            raise UsageError(f"There is no rule `{rule}`{'; ' if near else '. '}{hint}")
    click.get_current_context().meta[CONFIG_PATHS] = paths
    found = [one for one in _findings(paths, click.get_current_context().obj) if one.rule not in ignore]
    for one in found:
        level = "error" if one.is_error else "advice"
        click.echo(redactor.mask(f"{where(one.place, paths)}: {level} [{one.rule}] {one.sentence}"))
    errors = sum(one.is_error for one in found)
    said = (
        f"{counted(errors, 'error')}, {counted(len(found) - errors, 'advice')}" if found else "nothing to say"
    )
    if errors or (strict and found):
        raise ConfigurationError(f"{paths[-1]}: {said}; see the lines above.{_told_of_variables()}")
    click.echo(f"{paths[-1]}: {said}.{_told_of_variables()}")


def _told_of_variables() -> str:
    names = redactor.mask_foreign(", ".join(name for name in stand_ins.used_for if name != _STAND_IN))
    return f" Not set, so that something was taken for it: {names}." if names else ""


def _findings(paths: Sequence[str], tap: Any) -> Iterator[Finding]:
    yield from (one for path in paths for one in plain_secrets(path))
    stand_ins.text, stand_ins.used_for = _STAND_IN, []
    try:
        config = dict(merged_config(*paths).config)
    except SingerkitError as error:
        yield Finding("invalid", "", str(error), is_error=True)
        return
    finally:
        stand_ins.text = None
    unknown = (
        {place for path in paths for place in places_with_references(path)} if stand_ins.used_for else set()
    )
    if config.get("base_url") == _STAND_IN:
        config["base_url"] = _SOME_URL
    wrong = list(refusals(config, tap))
    yield from (one for one in wrong if one.place not in unknown)
    if not any(one.is_error for one in wrong):
        yield from advices(config, tap.deliveries)
