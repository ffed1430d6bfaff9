"""An argument without a text is a variable of the shell that is not set: 64, whatever it would stand for."""

from __future__ import annotations

import contextlib
import io

import click
import pytest

from singerkit_check.command import cli as check
from singerkit_embedded import server as embedded
from singerkit_shell.errors import UsageError
from singerkit_state.cli import command as state
from tap_rest.tap import TapRest
from target_jsonl.target import TargetJsonl
from target_postgres.target import TargetPostgres

COMMANDS: dict[str, click.Command] = {
    "tap-rest": TapRest.get_singer_command(),
    "target-postgres": TargetPostgres.get_singer_command(),
    "target-jsonl": TargetJsonl.get_singer_command(),
    "singerkit-check": check,
    **{f"singerkit-state {name}": one for name, one in state.commands.items()},
}


def takes_text(option: click.Parameter) -> bool:
    return (
        isinstance(option, click.Option)
        and not option.is_flag
        and isinstance(option.type, click.types.StringParamType)
    )


EVERY = [
    (name, option.opts[-1])
    for name, command in COMMANDS.items()
    for option in command.params
    if takes_text(option)
]


def test_paths_are_among_them() -> None:
    assert {
        ("tap-rest", "--state"),
        ("tap-rest", "--config"),
        ("tap-rest", "--properties"),
        ("target-postgres", "--state-file"),
        ("target-jsonl", "--adopt"),
        ("singerkit-check", "--report"),
    } <= set(EVERY)


@pytest.mark.parametrize(("name", "option"), EVERY)
def test_no_option_is_empty(name: str, option: str) -> None:
    with pytest.raises(
        UsageError, match=rf"^`{option}` is empty, as when a variable of the shell is not set"
    ):
        COMMANDS[name].make_context(name, [option, ""])


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.startswith("singerkit-")])
def test_no_argument_is_empty(name: str) -> None:
    with pytest.raises(
        UsageError, match=r"^`[A-Z_]+(\.\.\.)?` is empty, as when a variable of the shell is not set"
    ):
        COMMANDS[name].make_context(name, [""])


def test_an_option_behind_others_is_not_empty() -> None:
    with pytest.raises(UsageError, match=r"^`--state` is empty"):
        COMMANDS["tap-rest"].make_context("tap-rest", ["--config", "tap.json", "--state", ""])


def test_the_folder_of_the_embedded_server_is_not_empty() -> None:
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert embedded.main(["--folder", "", "uri"]) == 64
    assert "`--folder` is empty" in said.getvalue()
