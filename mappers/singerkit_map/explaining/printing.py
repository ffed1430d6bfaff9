"""Looks as they are printed: fields side by side, then rows before and after."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence

import click

from singerkit_map.explaining.fields import FieldLook
from singerkit_map.explaining.looking import Look, RowLook
from singerkit_shell.secrets import redactor
from singerkit_shell.tables import table
from singerkit_shell.words import counted

__all__ = ["print_look"]


def print_look(look: Look) -> None:
    """Print a look to stdout; colours go to terminals only."""
    click.secho(_title(look), bold=True)
    for line in _lines(look):
        click.echo(redactor.mask(line))
    click.echo()


def _title(look: Look) -> str:
    if not look.name:
        return f"{look.stream}: dropped"
    return look.stream if look.name == look.stream else f"{look.stream}, behind the map {look.name}"


def _lines(look: Look) -> Iterator[str]:
    if not look.has_plan:
        yield "  passes as it is"
        return
    yield f"  {', '.join(look.ops)}"
    if not look.name:
        return
    width = max(40, shutil.get_terminal_size().columns - 2)
    yield from _indented(_schema(look.fields, width))
    if look.rows:
        yield ""
        yield "  before"
        yield from _indented(_before(look.rows, look.fields, width))
        yield ""
        yield "  after"
        yield from _indented(_after(look.rows, look.fields, width))
        yield from _of_rows(look.rows)


def _indented(text: str) -> Iterator[str]:
    yield from (f"  {line}".rstrip() for line in text.splitlines())


def _schema(fields: Sequence[FieldLook], width: int) -> str:
    rows = [
        {
            "before": one.before or "",
            "type": one.type_before,
            "after": one.after or "",
            "type after": one.type_after if (one.type_after != one.type_before) else "",
            "by": ", ".join(one.by),
        }
        for one in fields
    ]
    lines = table(
        {"before": "", "type": "", "after": "", "type after": "", "by": ""}, rows, width
    ).splitlines()
    return "\n".join([lines[0], *lines[2:]])  # without the line for types, which columns of words have not


def _before(rows: Sequence[RowLook], fields: Sequence[FieldLook], width: int) -> str:
    types = {one.before: one.type_before for one in fields if one.before is not None}
    return table(types, [one.before for one in rows], width)


def _after(rows: Sequence[RowLook], fields: Sequence[FieldLook], width: int) -> str:
    types = {one.after: one.type_after for one in fields if one.after is not None}
    return table(types, [row for one in rows for row in one.after], width)


def _of_rows(rows: Sequence[RowLook]) -> Iterator[str]:
    for number, one in enumerate(rows, 1):
        if one.bad is not None:
            yield f"  row {number} {'ends the run' if one.ends_run else 'is set aside'}: {one.bad}"
        elif not one.after:
            yield f"  row {number} is left out"
        elif len(one.after) > 1:
            yield f"  row {number} becomes {counted(len(one.after), 'row')}"
