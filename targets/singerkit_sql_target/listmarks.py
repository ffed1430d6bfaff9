"""Which tables have the elements of lists, and of which stream's: a comment of their column of positions says so.

So a run knows of those that no SCHEMA of it names, whose elements go with the rows of their records.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from singerkit_catalog.unnesting import POSITION
from singerkit_shell.errors import ConfigurationError
from singerkit_sql_target.dialect import Existing, Runs, Words
from singerkit_sql_target.fitting import Fitting
from singerkit_wire.stream import Stream

__all__ = ["Marked", "check_appended", "marked", "new_lists"]

_MARK = "singerkit: elements of lists "


@dataclass(frozen=True)
class Marked:
    """A table of elements: that of ``stream``, which are in lists of ``owner``."""

    owner: str
    stream: str
    place: tuple[str, str]


def new_lists(stream: Stream, columns: Mapping[str, str], added: Collection[str]) -> dict[str, str]:
    """Return the comment of the column of positions where it is new, by its name."""
    if stream.lists_of is None or columns[POSITION] not in added:
        return {}
    return {columns[POSITION]: _MARK + json.dumps([stream.lists_of, stream.name])}


def check_appended(fitting: Fitting, existing: Existing | None) -> None:
    """See that elements of rows which are appended do not come to those of rows that a key tells apart.

    Raises:
        ConfigurationError: they do.
    """
    stream = fitting.stream
    if (
        stream.lists_of is None
        or not fitting.settings.appends(stream.name)
        or not (existing and existing.key)
    ):
        return
    aside = f"ALTER TABLE {fitting.quoted} RENAME TO {fitting.words.quote(f'{fitting.name[:40]}__by_key')}"
    raise ConfigurationError(
        f"The table {fitting.where} has elements of lists of stream `{stream.lists_of}` by the key of its rows, which are appended now (`load_method`), so that their "
        f"elements have an id in its place; nothing was written there: keep what it has with `{aside}`, or have rows replace each other (`upsert`), then run again."
    )


def marked(session: Runs, words: Words) -> list[Marked]:
    """Return all tables of elements of a database."""
    found = session.execute(f"{words.comments} AND comment LIKE '{_MARK}%'")
    read = [(_read(comment), (schema, table)) for schema, table, comment in found]
    return [Marked(*names, place) for names, place in read if names is not None]


def _read(comment: str) -> tuple[str, str] | None:
    """Return what a comment says; None: others have changed it."""
    try:
        owner, stream = json.loads(comment.removeprefix(_MARK))
    except ValueError:
        return None
    return str(owner), str(stream)
