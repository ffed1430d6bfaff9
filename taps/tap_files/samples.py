"""What the columns of a stream are, before its first row is sent: a look at the beginning of some of its files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_shell.errors import BadDataError
from tap_files.formats.contract import Piece, Spot
from tap_files.inorder import InOrder
from tap_files.opening import PlainBytes, read_up_to
from tap_files.places.contract import Found, Place
from tap_files.settings.stream import StreamSettings
from tap_files.turns import Turn
from tap_files.typing.columns import Columns

__all__ = ["Sample", "first_pieces", "learn_columns", "spread", "start_of"]

FILES = 10
"""Files that are looked at, spread over all."""


@dataclass(frozen=True)
class Sample:
    """The beginning of one file; ``piece`` is None where it has no record, ``problem`` tells why it could not be read."""

    found: Found
    fields: Mapping[str, Mapping[str, Any] | None] | None = None
    piece: Piece | None = None
    problem: BadDataError | None = None


def learn_columns(columns: Columns, settings: StreamSettings, place: Place, listed: InOrder) -> None:
    """Learn the columns of the first piece of some files, and those that all paths make; what cannot be read is left to the read, which says so."""
    for sample in first_pieces(settings, place, listed):
        with contextlib.suppress(BadDataError):
            learn(columns, sample)
    for found in listed if settings.pattern.partitions else ():
        with contextlib.suppress(UnicodeDecodeError):
            said = settings.pattern.values(found.name)
            columns.look({name: [value] for name, value in said.items()})


def learn(columns: Columns, sample: Sample) -> None:
    """Learn the columns of a sample.

    Raises:
        BadDataError: one has the name of a column that says where a row comes from.
    """
    fields = sample.fields or {}
    columns.check_names([*fields])
    columns.learn(fields)
    if sample.piece is not None:
        found = sample.piece.columns or {}
        columns.look({name: found[name] for name in found if fields.get(name) is None})
        columns.look_at_records(sample.piece.records or ())


def first_pieces(settings: StreamSettings, place: Place, listed: InOrder) -> Iterator[Sample]:
    """Yield the beginning of some files, in the order of their times."""
    for found in spread(listed):
        try:
            yield _sample(settings, place, found)
        except BadDataError as error:
            yield Sample(found, problem=error)


def _sample(settings: StreamSettings, place: Place, found: Found) -> Sample:
    turn = Turn(found, found.name, is_whole=settings.is_whole)
    with contextlib.closing(PlainBytes(place, turn)) as content:
        reader = settings.format.reader(settings.format_settings, content, Spot())
        return Sample(found, reader.fields, next(reader.pieces(), None))


def start_of(place: Place, found: Found, size: int) -> bytes:
    """Return the first bytes of a file, unpacked."""
    with contextlib.closing(PlainBytes(place, Turn(found, found.name))) as content:
        return read_up_to(content, size)


def spread(listed: InOrder) -> Iterator[Found]:
    """Yield the first, the last, and some between them."""
    most = min(FILES, len(listed))
    places = {number * (len(listed) - 1) // max(most - 1, 1) for number in range(most)}
    return (found for number, found in enumerate(listed) if number in places)
