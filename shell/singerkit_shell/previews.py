"""What the `preview` of every tap has in common: which streams it shows, what a look at one is, how it is printed, and how it ends."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from singerkit_shell.errors import SingerkitError, UsageError
from singerkit_shell.secrets import redactor
from singerkit_shell.tables import table
from singerkit_shell.validate import nearest

__all__ = ["Look", "NotAllReadable", "check_streams", "print_look", "type_word"]


@dataclass
class Look:
    """What was seen of a stream.

    ``source`` are lines for people about what was read; ``types`` has a word for each field; ``rows`` are the first ones, as the source has them, or as they are
    sent; ``doubts`` are sentences; ``code`` is what a run would have ended with, 0 if it would go on.
    """

    stream: str
    source: list[str] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    code: int = 0


def print_look(look: Look, *, err: bool, shows_rows: bool = True) -> None:
    """Print a look to stdout, or with ``err`` to stderr, with what looks wrong in red; colours go to terminals only."""
    click.secho(look.stream, bold=True, err=err)
    for line in _lines(look, shows_rows):
        click.echo(f"  {redactor.mask(line)}", err=err)
    for doubt in dict.fromkeys(look.doubts):
        click.secho(f"  ! {redactor.mask(doubt)}", fg="red", err=err)
    click.echo(err=err)


def _lines(look: Look, shows_rows: bool) -> Iterator[str]:
    yield from look.source
    if look.types:
        width = max(40, shutil.get_terminal_size().columns - 2)
        yield from table(look.types, look.rows if shows_rows else [], width).splitlines()
    yield from look.notes


class NotAllReadable(SingerkitError):
    """A stream would have ended a run; its sentence has been printed where it belongs."""

    def __init__(self, code: int) -> None:
        super().__init__("Not every stream can be read as the config stands: see what is said above.")
        self.exit_code = code


def type_word(schema: Mapping[str, Any]) -> str:
    """Return the types of a field in short: `integer?` may be null."""
    said = schema.get("type", [])
    types = [said] if isinstance(said, str) else list(said)
    names = [schema.get("format", name) if name == "string" else name for name in types if name != "null"]
    return "|".join(names or ["null" if types else "any"]) + "?" * ("null" in types and bool(names))


def check_streams(names: Collection[str], known: Collection[str]) -> None:
    """See that streams that somebody names are there.

    Raises:
        UsageError: one is not.
    """
    for name in names:
        if name not in known:
            near = nearest(name, sorted(known))
            raise UsageError(f"There is no stream `{name}`{f'; did you mean `{near}`?' if near else '.'}")
