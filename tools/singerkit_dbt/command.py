"""`singerkit dbt`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from singerkit_dbt.asking import Asking, Loaded
from singerkit_dbt.checks import left_out
from singerkit_dbt.folder import FOLDER, Difference, difference, write
from singerkit_dbt.tables import same_places
from singerkit_dbt.texts import Freshness, texts_of
from singerkit_run.command import chosen_of, file_and_names
from singerkit_run.durations import DURATION, seconds_of
from singerkit_run.planfile import read_plan
from singerkit_run.programs import find_programs
from singerkit_run.shards import with_words_of
from singerkit_shell.arguments import Commands
from singerkit_shell.configfile import variables_beside
from singerkit_shell.errors import ConfigurationError, UsageError
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_shell.validate import CONFIG_PATHS
from singerkit_shell.words import counted, ended
from singerkit_state.shards import Shard

__all__ = ["command"]

_DIFFERENT = 1
_PROJECT_FILE = "dbt_project.yml"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def command() -> None:
    """Make models of dbt for what the pipelines load."""


@command.command(short_help="Write sources and staging models for what the pipelines load.")
@click.argument("words", nargs=-1, metavar="[FILE] [NAME]...")
@click.option(
    "--project",
    type=click.Path(file_okay=False),
    help="The folder of the dbt project; by default that of FILE.",
)
@click.option("--check", is_flag=True, help="Write nothing; end with 1 where a file is not what it would be.")
@click.option(
    "--overwrite", is_flag=True, help="Write also the files that somebody has changed since they were made."
)
@click.option(
    "--warn-after",
    default="24h",
    show_default=True,
    metavar="LENGTH",
    help="A source without a row for so long is stale, which is a warning of dbt (`never`: is not).",
)
@click.option(
    "--error-after",
    default="never",
    show_default=True,
    metavar="LENGTH",
    help="The same, which is an error of dbt.",
)
@click.option("--debug", is_flag=True, expose_value=False, help="Print a traceback with every error.")
@click.pass_context
def generate(
    ctx: click.Context,
    words: Sequence[str],
    project: str | None,
    check: bool,
    overwrite: bool,
    warn_after: str,
    error_after: str,
) -> int:
    """Write `models/staging/singerkit/` of a dbt project: sources with descriptions, tests and freshness, and a staging model a table, for the pipelines of FILE, or
    those named.

    FILE is as for `singerkit run`. Taps are asked for their streams (--discover), and targets for the tables that they make of them (--tables).
    The same streams give the same bytes. A file that somebody has changed since is not overwritten: then nothing is written at all (78).

    Exit codes: 0 all is as it is to be; 1 with `--check`, where it is not; 64 usage; 74 cannot write; 78 a file or config is wrong; else that of a tap or target that
    does not say.
    """
    stop_flag.install()
    freshness = Freshness(_minutes("--warn-after", warn_after), _minutes("--error-after", error_after))
    path, names = file_and_names(words)
    ctx.meta[CONFIG_PATHS] = [path]
    plan = with_words_of(read_plan(path), Shard(0, 1))
    folder = Path(project if project is not None else plan.folder)
    if not (folder / _PROJECT_FILE).exists():
        raise ConfigurationError(
            f"Expected a dbt project in {folder}, which has no {_PROJECT_FILE}; nothing was written: name its folder with `--project`."
        )
    chosen = chosen_of(plan, names)
    env = {**variables_beside(path), **os.environ}
    found, problems = find_programs(plan, chosen, env, stop_flag)
    stop_flag.raise_if_set("nothing was written.")
    if problems:
        raise ConfigurationError(
            f"{ended('; '.join(problems))} Nothing was written: mend {path}, or what it names."
        )
    asking = Asking(plan, found, env, stop_flag, _warn)
    loaded = [asking.loaded(plan.pipelines[name]) for name in chosen]
    _see_one_database(loaded)
    tables = same_places(table for one in loaded for table in one.tables)
    if without := left_out(tables):
        _warn(
            f"Rules of quality that dbt has no test for are left out, and `singerkit quality run` judges them: {', '.join(without[:10])}."
        )
    there = difference(folder / FOLDER, texts_of(tables, freshness))
    if check:
        return _checked(there)
    if there.changed and not overwrite:
        raise ConfigurationError(
            f"Somebody has changed {_listed(there.changed)} in {FOLDER}, whose files are made anew each time; nothing was written: move what is yours to a model "
            "of your own, or give `--overwrite` to lose it."
        )
    if names and there.remove:
        raise ConfigurationError(
            f"{_listed(there.remove)} in {FOLDER} would go, which may be of pipelines that are not named; nothing was written: name all pipelines of this dbt "
            "project, or remove by hand what is of a table that is gone."
        )
    write(folder / FOLDER, there)
    _tell(there, len(tables))
    return 0


def _minutes(option: str, given: str) -> int | None:
    if given == "never":
        return None
    if not re.match(DURATION, given) or seconds_of(given) < 60:
        raise UsageError(
            f"Expected a length of at least a minute, as in `24h`, or `never` at `{option}`, got `{given}`."
        )
    return round(seconds_of(given) / 60)


def _see_one_database(loaded: Sequence[Loaded]) -> None:
    """A project of dbt reads one.

    Raises:
        ConfigurationError: there are several.
    """
    first = loaded[0]
    for other in loaded:
        if other.database != first.database:
            raise ConfigurationError(
                f"Expected pipelines with one database, which a dbt project reads, got `{first.pipeline}` with {first.database} and `{other.pipeline}` with "
                f"{other.database}; nothing was written: name those of one."
            )


def _checked(there: Difference) -> int:
    for name in there.names:
        how = " (somebody has changed it)" if name in there.changed else ""
        click.echo(f"{os.path.join(FOLDER, name)} is not what it would be{how}")
    if there.names:
        click.echo(
            f"{counted(len(there.names), 'file')} not as declared: run `singerkit dbt generate`.", err=True
        )
    return _DIFFERENT if there.names else 0


def _tell(there: Difference, tables: int) -> None:
    for name in there.write:
        click.echo(f"wrote {os.path.join(FOLDER, name)}")
    for name in there.remove:
        click.echo(f"removed {os.path.join(FOLDER, name)}")
    if not there.names:
        click.echo(f"{counted(tables, 'table')}; nothing has changed.")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5])
    return f"{shown} and {counted(len(names) - 5, 'other')}" if len(names) > 5 else shown


def _warn(sentence: str) -> None:
    print(f"WARNING {redactor.mask(sentence)}", file=sys.stderr)
