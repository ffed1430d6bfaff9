"""Which tables have the elements of lists, and of which stream's: a comment of their column of positions says so.

So a run knows of those that no SCHEMA of it names, whose elements go with the rows of their records.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from singerkit_catalog.unnesting import POSITION
from singerkit_sql_target.dialect import Runs, Words
from singerkit_wire.stream import Stream

__all__ = ["Marked", "marked", "new_lists"]

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
