"""Looks, as they are printed: the files, a table, and in red what looks wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import click

from singerkit_shell.secrets import redactor
from singerkit_shell.tables import table
from tap_files.preview.looking import Look

__all__ = ["print_look"]


def print_look(look: Look, *, err: bool) -> None:
    """Print a look to stdout, or with ``err`` to stderr; colours go to terminals only."""
    click.secho(look.stream, bold=True, err=err)
    for line in _lines(look):
        click.echo(redactor.mask(line), err=err)
    for doubt in dict.fromkeys(look.doubts):
        click.secho(f"  ! {redactor.mask(doubt)}", fg="red", err=err)
    click.echo(err=err)


def _lines(look: Look) -> Iterator[str]:
    yield f"  {look.files}"
    if look.types:
        width = max(40, shutil.get_terminal_size().columns - 2)
        yield from (f"  {line}" for line in table(look.types, look.rows, width).splitlines())
    yield from (f"  {note}" for note in look.notes)
