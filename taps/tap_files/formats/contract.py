"""The contract of a format: bytes of one file in, pieces of records out.

A reader is made for one file (or member of an archive) and read once. It knows no place and no state: it is given bytes that are
unpacked already, and says with each piece where a later run could go on. Memory is bounded by `PIECE_BYTES` of content, never by a
number of rows.

Formats of text (CSV, fixed width, log lines) give columns of texts, as they stand in the file; what becomes a number is decided
behind them, in one place for all (`tap_files/typing`). Formats with types of their own (Parquet, Avro, Excel) give columns of values
that are exact: int, Decimal or `msgspec.Raw` for numbers, never a float that another text stood for. JSON gives records as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from singerkit_shell.errors import BadDataError
from singerkit_wire.encode import Record
from singerkit_wire.readyrows import ReadyRows

__all__ = [
    "PIECE_BYTES",
    "BadRow",
    "BadRowFound",
    "Bytes",
    "OtherSettings",
    "Piece",
    "Reader",
    "Spot",
    "UnreadableFile",
]

PIECE_BYTES = 1 << 20
"""About so much content makes a piece."""


class UnreadableFile(BadDataError):
    """A file, or what is left of it, cannot be read: the sentence names line and byte; the file is named by who opened it."""


class OtherSettings(UnreadableFile):
    """A file is read as it is not: the sentence names the setting that says so."""


class BadRowFound(UnreadableFile):
    """A record is none, and bad ones are not set aside."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place between two records of a file: so many bytes (unpacked), lines and records stand before it.

    ``context`` is what a reader needs besides to begin there (the header of CSV): JSON, short; the same for the whole of a file.
    """

    byte: int = 0
    line: int = 0
    row: int = 0
    context: Any = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A record that is none: ``row`` and ``line`` are counted from 1, ``byte`` from 0. ``text``: it as it stands, cut to 10,000 characters.

    ``reason`` is in the grammar of data errors (DESIGN 7), without the value.
    """

    row: int
    line: int | None
    byte: int | None
    reason: str
    text: str


@dataclass(slots=True)
class Piece:
    """Some records of a file, in its order. Either ``columns`` or ``records``.

    ``columns``: the values by name, all of one length; None is null. ``records``: raw JSON objects. ``count``: how many they are.
    ``numbers``: the number of each in the file, from 1, counting those that are bad (a range where none is); ``lines``: the line on which
    each begins, from 1; None where the format has no lines. ``behind``: where a later run can go on; None: not here.

    ``as_rows``: where a format makes lines of columns faster than anybody could of their values: it is given what is to stand in each
    line, in this order, by name: a JSON value that all have, a number for each, or None for the column of this name.
    """

    count: int
    numbers: Sequence[int]
    columns: Mapping[str, Sequence[Any]] | None = None
    records: Sequence[Record] | None = None
    lines: Sequence[int] | None = None
    behind: Spot | None = None
    bad: Sequence[BadRow] = field(default_factory=tuple)
    as_rows: Callable[[Mapping[str, bytes | Sequence[int] | None]], ReadyRows] | None = None


class Bytes(Protocol):
    """What a reader reads: the content, unpacked, from `Spot.byte` on.

    ``is_whole``: whether the end is the end of the file for good; False where it may still grow (a log): a last line without its end waits
    for a later run then, and stands behind the last `Piece.behind`.
    """

    is_whole: bool
    name: str
    """Of the file within its place, for what its ending tells."""

    def read(self, size: int, /) -> bytes:
        """Return at least one byte and at most ``size``; b"" at the end."""
        ...

    def to_disk(self) -> str:
        """Return the path of a local file that has all of it, for readers that have to go to and fro (Parquet, Excel).

        The file itself where it lies on this machine, unpacked; else a copy in a temporary file, which goes with the reader. To be called before `read`.
        """
        ...


class Reader(Protocol):
    """What a format makes of one file. Made by ``reader_of(settings, content, start)`` of its module."""

    fields: Mapping[str, Mapping[str, Any] | None] | None
    """The columns of this file, with the schema of each where the format has types, None where values are texts; known before the first
    piece is asked for. None: records tell (JSON)."""

    wanted: Collection[str] | None
    """The columns that are sent, set before the first piece is asked for; None: all. A reader may leave the others out, and need not."""

    def pieces(self) -> Iterator[Piece]:
        """Yield the pieces, until the end of what is there.

        Bad rows stand in `Piece.bad`; whether they end the run is decided by who asks.

        Raises:
            UnreadableFile: the file is damaged, cut, locked by a password or of another format.
        """
        ...
