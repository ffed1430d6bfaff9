"""What the columns of a stream are, before its first row is sent: a look at the beginning of some of its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from singerkit_shell.errors import BadDataError
from tap_files.opening import PlainBytes
from tap_files.places.contract import Found, Place
from tap_files.settings.stream import StreamSettings
from tap_files.turns import Turn
from tap_files.typing.columns import Columns

__all__ = ["learn_columns"]

FILES = 10
"""Files that are looked at, spread over all."""


def learn_columns(columns: Columns, settings: StreamSettings, place: Place, listed: Sequence[Found]) -> None:
    """Learn the columns of the first piece of some files; what cannot be read is left to the read, which says so."""
    for found in _spread(sorted(listed, key=lambda one: (one.modified or 0, one.name))):
        try:
            _learn(columns, settings, place, found)
        except BadDataError:
            continue


def _learn(columns: Columns, settings: StreamSettings, place: Place, found: Found) -> None:
    content = PlainBytes(place, Turn(found, found.name))
    try:
        reader = settings.format.reader(settings.format_settings, content, Turn(found, found.name).start)
        columns.learn(reader.fields or {})
        for piece in reader.pieces():
            columns.look(dict(piece.columns or {}))
            break
    finally:
        content.close()


def _spread(listed: Sequence[Found]) -> Iterator[Found]:
    """Yield the first, the last, and some between them."""
    most = min(FILES, len(listed))
    for number in range(most):
        yield listed[number * (len(listed) - 1) // max(most - 1, 1)]
