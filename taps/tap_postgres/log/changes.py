"""From the messages of the log to pages of changes: whole transactions in their order, of the tables that are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from singerkit_shell.errors import BadDataError
from singerkit_tap.log_contract import Change, LogPage, ReadyChanges, ReadyPart
from tap_postgres.log import pgoutput
from tap_postgres.log.pgoutput import Relation, Tuple
from tap_postgres.log.rows import Rows, filled
from tap_postgres.log.spool import Spool
from tap_postgres.log.wal import lsn_text

__all__ = ["Changes", "Hooks"]

_DATA, _KEEPALIVE = b"wk"
_CONTENTS = 25
"""Where a message of pgoutput begins in one of the replication, behind two places of the log and a clock."""

_BEGINNING = 8
"""So much do messages with new rows of a table have in common: their kind, the table, `N`, and the number of columns."""

_LENGTH_OF_KEEPALIVE = 18
_OF_BLOCKS = frozenset(b"RYIUDTMO")
"""Messages that stand in a block of a transaction that is still open."""

_OF_ROWS = frozenset((pgoutput.INSERT, pgoutput.UPDATE, pgoutput.DELETE))

PAGE_CHANGES = 5_000
PAGE_BYTES = 1 << 20
"""Of the messages of a transaction that was kept; else a page is what has come at once."""


@dataclass(frozen=True)
class Hooks:
    """What decoding asks of others.

    ``rows``: what makes records of a table as the log describes it, or None for one that nobody reads; called before the
    first change of it, and where its columns have changed. ``lacking``: the record of the row that is there now, of these columns and
    by this key alone; empty if there is none. ``part``: which streams have to start anew, with why, since the log has changes of
    this partition under the name of a partitioned table; called before the first of them.
    """

    rows: Callable[[Relation], Rows | None]
    lacking: Callable[[Rows, Tuple, Sequence[str]], bytes]
    passes_truncate: bool = True
    part: Callable[[Rows, Relation], Mapping[str, str]] = lambda _rows, _part: {}


_OF_MESSAGE = (IndexError, ValueError, OverflowError)
"""What a message that is cut off, or none of PostgreSQL's, has decoding fail with."""
_Answer = TypeVar("_Answer")


class _OfHook(Exception):
    """A hook has failed with what a message may fail with, too."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Described(dict[bytes, Rows | None]):
    """Tables by their numbers."""

    def __missing__(self, number: bytes) -> Rows | None:
        raise ValueError("the change of a table that was not described")


@dataclass(slots=True)
class _News:
    """New rows of a table for the next page, as they stand in their messages behind `N`, each with its place there."""

    of: Rows
    rows: list[bytes] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


class Changes:
    """Decodes what one connection sends.

    ``position``: behind what has been decoded. ``reached``: the same, or further where the server says that nothing is to come up to there.
    """

    def __init__(self, position: int, spool: Spool, hooks: Hooks) -> None:
        self.position = position
        self._spool, self._hooks = spool, hooks
        self._rows = _Described()
        self._names: dict[bytes, str] = {}
        self._news: dict[bytes, _News] = {}
        """By how messages begin that have nothing but a new row."""
        self._others: dict[int, Change] = {}
        """What else the next page has, by its place there."""
        self._xids: list[int] = []
        """The transaction of each change of the next page."""
        self._bytes = 0
        self._read_from = position
        self._xid = 0
        self._at = 0
        self._deleted_at: str | None = None
        self._is_inside = False
        self._above: Rows | None = None
        """The table that was described last, if it is read, until a row of it comes."""
        self._part: tuple[Rows, Relation] | None = None
        """A partitioned table, and what was described behind it: of a change the partition that the row is in, of a TRUNCATE another table."""
        self._block: int | None = None
        """The transaction whose block is being read; it is still open."""

    @property
    def is_inside(self) -> bool:
        """Whether a part of a transaction has been given out."""
        return self._is_inside

    def pages(self, messages: Sequence[bytes]) -> Iterator[LogPage]:
        """Yield the changes of messages of the replication; the last page may be empty.

        Raises:
            BadDataError: one cannot be read, or says what cannot be sent.
        """
        self._read_from = self.position
        try:
            yield from self._pages(messages)
        except _OfHook as failed:
            raise failed.error from None
        except _OF_MESSAGE as error:
            raise BadDataError(
                f"A message of PostgreSQL's log behind {lsn_text(self._read_from)} cannot be read, as if it were cut off; what was confirmed by the "
                "target is safe: see that nothing between the tap and the server changes what it sends, and report it with the version of the server."
            ) from error

    def _pages(self, messages: Sequence[bytes]) -> Iterator[LogPage]:
        for message in messages:
            if message[0] != _DATA:
                self._hear(message)
            elif self._block is not None:
                self._take_of_block(message)
            elif self._waits(message, _CONTENTS):
                continue
            elif message[_CONTENTS] == pgoutput.STREAM_COMMIT:
                yield from self._committed(message)
            else:
                if message[_CONTENTS] == pgoutput.RELATION and self._xids:
                    yield self._page()  # of rows that the former SCHEMA describes
                self._take(message, _CONTENTS)
        if self._xids:
            yield self._page()

    def _hear(self, message: bytes) -> None:
        """Take where the server has come to: whatever was committed before it has been sent."""
        if message[0] != _KEEPALIVE or len(message) != _LENGTH_OF_KEEPALIVE:
            raise ValueError("no message of the replication")
        place = int.from_bytes(message[1:9])
        if not self._is_inside and place > self.position:
            self.position = place

    def _waits(self, message: bytes, at: int) -> bool:
        """Take a new row, which is made together with others of its table; False: the message is another one."""
        news = self._news.get(message[at : at + _BEGINNING])
        if news is None or self._part is not None:
            return False
        news.rows.append(message[at + _BEGINNING - 2 :])
        news.places.append(len(self._xids))
        self._xids.append(self._xid)
        return True

    def _page(self) -> LogPage:
        changes = self._made()
        self._others, self._xids, self._bytes = {}, [], 0
        return LogPage(changes, None if self._is_inside else self.position)

    def _made(self) -> Sequence[Change]:
        parts = []
        for news in {id(news): news for news in self._news.values() if news.rows}.values():
            rows, places, stream = news.rows, news.places, news.of.stream
            news.rows, news.places = [], []
            ready, at_once = news.of.ready(rows)
            if ready is not None:
                parts.append(ReadyPart(stream, ready, [places[one] for one in at_once]))
            for one in {*range(len(rows))}.difference(at_once):
                place = places[one]
                self._others[place] = Change(stream, news.of.new(rows[one]), None, self._xids[place])
        changes = ReadyChanges(parts, self._others, self._xids)
        return changes if parts else [*changes]

    # Transactions that are still open

    def _take_of_block(self, message: bytes) -> None:
        assert self._block is not None  # noqa: S101  asked for by `pages`
        kind = message[_CONTENTS]
        if kind == pgoutput.STREAM_STOP:
            self._block = None
        elif kind not in _OF_BLOCKS or len(message) < _CONTENTS + 5:
            raise ValueError("nothing that a block may have")
        else:
            self._spool.keep(self._block, message[_CONTENTS:])

    def _committed(self, message: bytes) -> Iterator[LogPage]:
        said = pgoutput.stream_commit(message, _CONTENTS)
        self._begin(said.xid, said.at)
        for kept in self._spool.take(said.xid):
            if kept[0] == pgoutput.RELATION and self._xids:
                yield self._page()
            if not self._waits(kept, 0):
                self._take(kept, 0)
            self._bytes += len(kept) if self._xids else 0
            if len(self._xids) >= PAGE_CHANGES or self._bytes >= PAGE_BYTES:
                yield self._page()
        self._end(said.end)

    # Messages of transactions that were committed

    def _begin(self, xid: int, at: int) -> None:
        self._xid, self._at, self._deleted_at, self._is_inside = xid, at, None, True

    def _end(self, position: int) -> None:
        self.position, self._is_inside = position, False

    def _take(self, message: bytes, at: int) -> None:
        kind = message[at]
        if self._part is not None and kind in _OF_ROWS:
            self._see_part(*self._part)
        if kind == pgoutput.INSERT:
            rows = self._rows[message[at + 1 : at + 5]]
            if rows is not None:
                self._put_new(rows, message, at + 5)
        elif kind == pgoutput.UPDATE:
            rows = self._rows[message[at + 1 : at + 5]]
            if rows is not None:
                if rows.blind:
                    self._doubt(rows, rows.blind)
                elif message[at + 5] == pgoutput.NEW and rows.key:
                    self._put_new(rows, message, at + 5)
                else:
                    self._update(rows, message, at)
        elif kind == pgoutput.DELETE:
            rows = self._rows[message[at + 1 : at + 5]]
            if rows is not None:
                old = pgoutput.old_row(message, at, len(rows.names))
                blind = rows.blind or rows.blind_by(old)
                if blind:
                    self._doubt(rows, blind)
                else:
                    self._delete(rows, old)
        elif kind == pgoutput.BEGIN:
            said = pgoutput.begin(message, at)
            self._begin(said.xid, said.at)
        elif kind == pgoutput.COMMIT:
            self._end(pgoutput.commit_end(message, at))
        elif kind == pgoutput.RELATION:
            self._describe(pgoutput.relation(message, at))
        elif kind == pgoutput.TRUNCATE:
            self._part = None
            for oid in pgoutput.truncated(message, at):
                self._empty(oid)
        elif kind == pgoutput.STREAM_START:
            self._block = pgoutput.stream_start(message, at)
        elif kind == pgoutput.STREAM_ABORT:
            self._spool.undo(*pgoutput.stream_abort(message, at))
        elif kind not in (pgoutput.TYPE, pgoutput.ORIGIN, pgoutput.MESSAGE):
            raise BadDataError(
                f"The log of PostgreSQL has a message of kind `{chr(kind)}`, which this tap does not know; what was confirmed by the target "
                "is safe: update singerkit."
            )

    def _describe(self, relation: Relation) -> None:
        former = self._rows.get(relation.oid)
        self._names[relation.oid] = f"{relation.schema}.{relation.name}"
        if former is None or former.relation != relation:
            rows = self._rows[relation.oid] = self._of_hook(self._hooks.rows, relation)
            self._news = {said: news for said, news in self._news.items() if said[1:5] != relation.oid}
            if rows is not None:
                self._news |= dict.fromkeys(_beginnings(rows), _News(rows))
                if rows.doubt:
                    self._doubt(rows, rows.doubt)
        above, self._above = self._above, self._rows[relation.oid]
        self._part = (above, relation) if above is not None and above.table.is_partitioned else None

    def _see_part(self, above: Rows, relation: Relation) -> None:
        self._part = self._above = None
        for stream, why in self._of_hook(self._hooks.part, above, relation).items():
            self._add(Change(stream, None, None, self._xid, why))

    @staticmethod
    def _of_hook(hook: Callable[..., _Answer], *arguments: Any) -> _Answer:
        try:
            return hook(*arguments)
        except _OF_MESSAGE as error:
            raise _OfHook(error) from error

    # Changes

    def _add(self, change: Change) -> None:
        self._others[len(self._xids)] = change
        self._xids.append(self._xid)

    def _put(self, rows: Rows, record: bytes, deleted_at: str | None = None) -> None:
        self._add(Change(rows.stream, record, deleted_at, self._xid))

    def _put_new(self, rows: Rows, message: bytes, at: int) -> None:
        self._put(rows, rows.record(pgoutput.new_row(message, at, len(rows.names))))

    def _update(self, rows: Rows, message: bytes, at: int) -> None:
        old, is_whole, new = pgoutput.old_and_new(message, at, len(rows.names))
        if blind := rows.blind_by(old):
            self._doubt(rows, blind)
            return
        if is_whole:
            new = filled(new, old)
        if not rows.key or rows.has_new_key(old, new):
            self._delete(rows, old)
            absent = rows.absent(new)
            if absent:
                more = self._of_hook(self._hooks.lacking, rows, new, absent)
                self._put(rows, joined(rows.record(new), more))
                return
        self._put(rows, rows.record(new))

    def _delete(self, rows: Rows, old: Tuple) -> None:
        if self._deleted_at is None:
            self._deleted_at = pgoutput.moment(self._at)
        # Without a key, a row that goes is told by all that it was.
        self._put(rows, rows.record(old, rows.key or None), self._deleted_at)

    def _doubt(self, rows: Rows, why: str) -> None:
        self._add(Change(rows.stream, None, None, self._xid, why))

    def _empty(self, oid: bytes) -> None:
        rows = self._rows.get(oid)
        if rows is None:
            return
        if not self._hooks.passes_truncate:
            raise BadDataError(
                f"Table `{self._names[oid]}` was emptied (TRUNCATE) at {pgoutput.moment(self._at)}, which `log.truncate` says is an error; "
                f"what was confirmed by the target is safe: start stream `{rows.stream}` over, or set `log.truncate` to `new_version`."
            )
        self._add(Change(rows.stream, None, None, self._xid))


def _beginnings(rows: Rows) -> Iterator[bytes]:
    """Yield how messages begin that say nothing but a new row."""
    columns = len(rows.names).to_bytes(2)
    for kind in b"IU" if rows.key and not rows.blind else b"I":
        yield b"%c%bN%b" % (kind, rows.relation.oid, columns)


def joined(record: bytes, more: bytes) -> bytes:
    """Return one object of two."""
    inner = more.strip()[1:-1]
    if not inner.strip():
        return record
    return b"%b,%b}" % (record[:-1], inner) if len(record) > 2 else b"{%b}" % inner
