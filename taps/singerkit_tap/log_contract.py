"""The contract of a log-based source: what a connector writes, and what the engine (`log_sync`) does with it.

One `LogReader` reads the one log that all log-based streams of a tap share. It is made by the tap's
``log_reader(streams)``, and tells of changes in the order in which their transactions were committed. The engine makes
RECORD lines, STATEs and the starts of streams. It never looks into a position, a cursor or a snapshot: they are JSON
without secrets, which it keeps in the state and gives back.

**Order of calls.** ``source``, ``anew``, ``begin``, ``acknowledge``, ``end``; then for each stream that is new to the state, chunk by
chunk, ``read_chunk`` and ``read`` up to the chunk's ``until``; then ``read`` up to the end of the run; ``close`` in any case.
All calls come from one thread but ``keep_alive`` and ``acknowledge``, which come from another one while the pipe takes nothing
or a chunk is read: never while the log is, but beside the query of a chunk, which has a connection of its own. While
``read`` waits, the reader answers its source by itself.

**The start of a stream is exact.** A chunk is read in a snapshot, and may have seen transactions that the log is still to
tell of. The engine leaves out a change that lies in the chunk and that the snapshot ``sees``, and one beyond all chunks so
far, which a later one will see. So the snapshot of a chunk must see every transaction up to the position that it is
asked with, however the source hides them (take it again until it does). A stream without a key is one chunk.

**Exceptions** are those of `singerkit_tap.contract`, `LogGone` and `TableGone`. None is retried here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, overload

import msgspec

from singerkit_wire.encode import RawRecord
from singerkit_wire.readyrows import ReadyRows
from singerkit_wire.stream import DELETED_AT

__all__ = [
    "Change",
    "Chunk",
    "Cursor",
    "Identity",
    "LogGone",
    "LogPage",
    "LogReader",
    "Position",
    "ReadyChanges",
    "ReadyPart",
    "Snapshot",
    "SnapshotPage",
    "TableGone",
]

Position: TypeAlias = Any
"""Where a log stands: an LSN, a GTID set, an offset per partition. What is one position is one JSON value."""

Cursor: TypeAlias = Any
"""How far a table has been read by chunks: the greatest key, say. None is its beginning, or its end (`SnapshotPage`)."""

Snapshot: TypeAlias = Any
"""Which transactions the reading of a chunk has seen."""


Identity: TypeAlias = Any
"""Which table a stream is, and since when the log tells of it without a gap: small, since each STATE has it."""


class LogGone(Exception):
    """The log no longer reaches back to a position; the text says why, as `the slot x is lost`, without a full stop.

    ``is_told``: the source was told to forget it, which happens once a target has committed a later position: the state may be an older one.
    """

    def __init__(self, why: str, *, is_told: bool = False) -> None:
        super().__init__(why)
        self.is_told = is_told


class TableGone(Exception):
    """What the state says of one stream is of another table, or the log has not told of all changes; the text says why, as a sentence without a full stop."""

    def __init__(self, stream: str, why: str) -> None:
        super().__init__(why)
        self.stream = stream


class Change(msgspec.Struct, frozen=True, gc=False):
    """What became of one row of one stream.

    ``record`` is a raw JSON object of the selected fields. What it leaves out keeps the value that is stored: of a deleted row
    the key is enough; one that is new, or comes back, has all its fields, and without a key every row has.
    A row whose key changes is two changes, a deletion and a row. None: the table was emptied (TRUNCATE); a reader that
    will not have that raises BadDataError instead.
    ``deleted_at``: of a deleted row, when it was (RFC 3339, from the log, so that telling it again says the same).
    ``transaction``: what `LogReader.sees` asks for.
    ``doubt``, without a record: why it is not known which row was changed, or how, a sentence without a full stop. The stream starts anew,
    unless a chunk has seen the change.
    """

    stream: str
    record: RawRecord | None
    deleted_at: str | None = None
    transaction: Any = None
    doubt: str | None = None


_NOT_DELETED = b',"%b":null}' % DELETED_AT.encode()


@dataclass(slots=True, frozen=True)
class ReadyPart:
    """Rows of one stream that are there now, each with its place in a page.

    ``rows``: records of all of its selected fields, and, last, `DELETED_AT`, which is null.
    """

    stream: str
    rows: ReadyRows
    places: Sequence[int]


@dataclass(slots=True, frozen=True)
class ReadyChanges(Sequence[Change]):
    """Changes of which those at the places of ``parts`` are records as they are sent, of which the engine makes lines without a look at any.

    ``others``: the changes at all other places; ``transactions``: of each place.
    """

    parts: Sequence[ReadyPart]
    others: Mapping[int, Change]
    transactions: Sequence[Any]

    def __len__(self) -> int:
        return len(self.transactions)

    @overload
    def __getitem__(self, at: int) -> Change: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Change]: ...
    def __getitem__(self, at: int | slice) -> Change | Sequence[Change]:
        return [*self][at]

    def __iter__(self) -> Iterator[Change]:
        found = dict(self.others)
        for part in self.parts:
            for place, row in zip(part.places, part.rows, strict=True):
                record = row.removesuffix(_NOT_DELETED) + b"}"
                found[place] = Change(part.stream, record, None, self.transactions[place])
        return map(found.__getitem__, range(len(self)))


@dataclass(slots=True, frozen=True)
class LogPage:
    """Changes in the order of the log, of any streams, so many that they fit into memory.

    ``position``: where reading goes on behind them; None inside a transaction, where a STATE would tear it.
    """

    changes: Sequence[Change]
    position: Position | None


@dataclass(slots=True, frozen=True)
class SnapshotPage:
    """Rows of a chunk as raw JSON objects. ``after``: behind them; None behind the last of the table."""

    records: Sequence[RawRecord]
    after: Cursor


@dataclass(slots=True, frozen=True)
class Chunk:
    """A part of a table, or all that is left of it; at least one page. The last one's ``after`` is where it ends.

    ``until``: a position that lies behind all transactions that ``snapshot`` sees.
    """

    pages: Iterator[SnapshotPage]
    snapshot: Snapshot
    until: Position


class LogReader(Protocol):
    """Reads the log that several streams share."""

    @property
    def starts_anew(self) -> bool:
        """Whether a stream of which changes are missing may start anew by itself; else the run is refused."""
        ...

    @property
    def source(self) -> str:
        """What tells this log from that of another server, or of its copy: a system identifier, with the timeline."""
        ...

    def anew(self, known: Mapping[str, Identity | None]) -> Mapping[str, str]:
        """Return which streams have to start anew, with why, as a sentence without a full stop: another table has the name of theirs, say.

        ``known``: the streams that have been read before, each with the identity that the state has of it (None: none). Called once.

        Raises:
            TableGone: one has to, and the config says that it must not.
        """
        ...

    def identity(self, stream: str, position: Position) -> Identity | None:
        """Return what a state at ``position`` is to say of the table of a stream; None: it is not certain yet. Asks nobody."""
        ...

    def begin(self, position: Position | None) -> Position:
        """Return where to read from: ``position``, or for None any place from which on the source keeps its log.

        Called once, before anything is written. What the source needs to keep its log is made here.

        Raises:
            LogGone: the log no longer reaches back to ``position``.
        """
        ...

    def end(self) -> Position:
        """Return where the log ends now. Called once: the end of a run that does not follow."""
        ...

    def read(self, position: Position, until: Position | None) -> Iterator[LogPage]:
        """Yield pages from ``position`` on, and end behind the first that has come to ``until`` (None: never).

        The last page has a position, also where it has no changes, and so have pages now and then while nothing comes for
        these streams: at least one page a second, so that signals are heard. Called again for each part of the log.

        Raises:
            LogGone: the log no longer reaches back to ``position``.
            TableGone: it has told of another table than that of a stream, or not of all changes.
        """
        ...

    def read_chunk(self, stream: str, after: Cursor | None, position: Position | None) -> Chunk:
        """Read a table on from ``after``, in a snapshot that sees all transactions up to ``position`` (None: any)."""
        ...

    def is_behind(self, change: Change, cursor: Cursor) -> bool:
        """Tell whether a reading of the table up to ``cursor`` has come past the key of a row; see `Chunk`."""
        ...

    def sees(self, snapshot: Snapshot, change: Change) -> bool:
        """Tell whether the transaction of a change was visible in a snapshot."""
        ...

    def acknowledge(self, position: Position) -> None:
        """Let the source forget what lies before ``position``: the target has committed it.

        Called with what was read back from where ``--state`` points, never with what was only written to the pipe.
        """
        ...

    def keep_alive(self) -> None:
        """Answer the source, which may take silence for a lost connection. Called every few seconds, whatever else is slow."""
        ...

    def close(self) -> None:
        """Leave the source. Called once, after an error, too."""
        ...
