"""The `LogReader` of PostgreSQL: what the engine asks of a log, answered by a slot, a publication and snapshots."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.sql import Identifier

from singerkit_postgres.errors import connection_error
from singerkit_shell.errors import ConfigurationError, LockHeldError, RetryableError, SingerkitError
from singerkit_tap.log_contract import (
    Change,
    Chunk,
    Cursor,
    Identity,
    LogGone,
    LogPage,
    Position,
    ReadyChanges,
    Snapshot,
    TableGone,
)
from tap_postgres.faults import log_gone
from tap_postgres.log.changes import Changes, Hooks
from tap_postgres.log.chunks import ChunkReader, KeyColumn, end_of_log, have_log_written, key_columns
from tap_postgres.log.held import Held, held_words
from tap_postgres.log.identities import Identities, identities_of
from tap_postgres.log.libpq import Replication, ReplicationError
from tap_postgres.log.orders import KeyOrder, key_of
from tap_postgres.log.pgoutput import Relation, Tuple
from tap_postgres.log.publications import Publication
from tap_postgres.log.queries import Queries
from tap_postgres.log.rows import Rows
from tap_postgres.log.settings import PostgresLogSettings
from tap_postgres.log.settling import Settles, Settling
from tap_postgres.log.slots import (
    check_is_free,
    create_slot,
    drop_slot,
    find_slot,
    is_former_alone,
    is_lost,
    making,
    settled,
)
from tap_postgres.log.snapshots import Seen
from tap_postgres.log.spool import Spool
from tap_postgres.log.tables import LoggedTable
from tap_postgres.log.timelines import check_is_on_way, check_was_reached, timeline_now
from tap_postgres.log.values import maker
from tap_postgres.log.wal import Place, lsn_text
from tap_postgres.types import Types
from tap_postgres.unusual import UnusualValues

__all__ = ["Connect", "PostgresLogReader", "Renew", "TellAdded", "Unusual"]

logger = logging.getLogger(__name__)

_SESSION = (
    "-c datestyle=ISO,MDY -c timezone=UTC -c intervalstyle=iso_8601 -c bytea_output=hex -c extra_float_digits=3 -c lc_monetary=C "
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c client_encoding=UTF8"
)
"""What a value looks like in the log is a matter of the session that reads it."""

_BYTES = 1 << 18
_WAIT = 0.2
_CHECK_SECONDS = 60
_MOST_CONSUMED = 10_000
"""Transactions to remember: a run that follows the log has no end of them, and nearly all have been seen."""

Connect = Callable[[Mapping[str, str]], Connection]
"""Opens a connection; with parameters of libpq, those alone, without statements that set up a session."""

Renew = Callable[[str, Mapping[str, int]], Mapping[str, int]]
"""Told the columns of a stream that are new, or of another type than before (numbers of types), before the first change that has
them; returns which are sent."""

TellAdded = Callable[[str, Collection[str]], None]
"""Told the columns of a stream that have come while it is read, so that rows which were read before have none of them."""

Unusual = Callable[[str, Mapping[str, int]], Settles]
"""Returns what becomes of values of a stream that JSON does not have; asked again where its columns have changed."""


@dataclass
class PostgresLogReader:
    """See `singerkit_tap.log_contract.LogReader`. ``place``: which server it is, to be shown; ``discovered``: all columns of each stream's table."""

    tables: Sequence[LoggedTable]
    connect: Connect
    place: str
    types: Types
    settings: PostgresLogSettings
    discovered: Mapping[str, Collection[str]]
    renew: Renew = lambda _stream, columns: columns
    unusual: Unusual = lambda stream, _columns: UnusualValues(stream, {}, {})
    tell_added: TellAdded = lambda _stream, _columns: None
    _consumed: dict[int, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._discovered = {stream: set(columns) for stream, columns in self.discovered.items()}
        self._by_stream = {table.stream: table for table in self.tables}
        self._settling = Settling(self.unusual, self.tables)
        self._by_name = {(table.schema, table.name): table for table in self.tables}
        self._queries = Queries(lambda: self.connect({}), self.place)
        self._name_publication()
        self._chunks = ChunkReader(
            lambda: self.connect({}),
            self._queries,
            self.types.expression,
            self.settings.chunk_rows,
            self.settings.query_timeout,
        )
        self._spool = Spool(self.settings.spool_folder, self.settings.memory_bytes, self.settings.spool_bytes)
        self._replication: Replication | None = None
        self._changes: Changes | None = None
        self._timeline = 1
        self._acknowledged = 0
        self._keys: dict[str, list[KeyColumn]] = {}
        self._orders: dict[str, KeyOrder] = {}
        self._has_waited: set[str] = set()
        self._checked = 0.0
        self._held = Held(self.settings, self._give_up)
        self._at_first: Identities | None = None
        """What was held against the state."""
        self._identities: Identities | None = None
        self._by_number: dict[int, LoggedTable] = {}
        self._goes_on: set[str] = set()
        self._unsure: set[str] = set()
        """Streams of states that do not say which table they are of."""
        self._sure_from = 0
        self._begun = 0

    def _name_publication(self) -> None:
        self._publication = Publication(
            self._queries, self.settings.publication, self.tables, makes=self.settings.makes
        )

    # Where the log is, and where it is read from

    @property
    def source(self) -> str:
        system, database = self._queries.ask(
            "SELECT s.system_identifier, d.oid FROM pg_catalog.pg_control_system() AS s, pg_catalog.pg_database AS d "
            "WHERE d.datname = pg_catalog.current_database()",
            doing="asking which server it is",
        )[0]
        self._timeline = timeline_now(self._queries, self.connect)
        return f"{system}/{database}"

    def anew(self, known: Mapping[str, Identity | None]) -> Mapping[str, str]:
        self.settings = settled(self.settings, self._queries, goes_on=bool(known))
        self._name_publication()
        now = self._identities_now()
        found: dict[str, str] = {}
        for stream, was in known.items():
            if not isinstance(was, Mapping):
                self._unsure.add(stream)
            elif why := self._why_anew(now, stream, was):
                found[stream] = why
        if found and not self.settings.passes_truncate:
            raise TableGone(*next(iter(found.items())))
        self._goes_on = {*known} - found.keys()
        self._at_first = now
        return found

    def _why_anew(self, now: Identities, stream: str, was: Mapping[str, object]) -> str | None:
        table = self._by_stream[stream]
        name = f"`{table.schema}.{table.name}`"
        if why := now.change(stream, was):
            return why
        if part := now.part_with_rows(stream, was):
            return f"partition `{part}` of table {name} was attached with rows, of which the log says nothing"
        if now.parts_gone(stream, was):
            why = f"a partition of table {name} was detached, dropped, emptied (TRUNCATE) or rewritten, and the log does not say which rows have gone with it"
            if not self.settings.keeps_parts:
                return why
            logger.warning(
                "Stream `%s` keeps rows that are gone at the source, as `log.partitions` says: %s.",
                stream,
                why,
            )
        return None

    def _identities_now(self) -> Identities:
        return self._identities_of(*self._by_stream.values())

    def _identities_of(self, *tables: LoggedTable) -> Identities:
        return identities_of(self._queries, self.settings.publication, tables)

    def identity(self, stream: str, position: Position) -> Identity | None:
        if self._identities is None or (stream in self._unsure and _place(position).lsn < self._sure_from):
            return None
        return self._identities.written(stream)

    def begin(self, position: Position | None) -> Position:
        self._publication.prepare(self._goes_on)
        now = self._identities_now()
        if self._at_first is not None:
            self._check_nothing_changed(self._goes_on, self._at_first, now)
        self._identities = now
        self._by_number = {
            number: table
            for table in self.tables
            if (number := self._identities.table(table.stream)) is not None
        }
        if self._unsure:
            self._sure_from = end_of_log(self._queries)
        name = self.settings.slot
        if position is None:
            self._drop_lost()
        slot = find_slot(self._queries, name)
        self._checked = time.monotonic()
        if position is not None:
            at = _place(position)
            check_is_on_way(at, self._timeline, self.connect, self.place)
            check_was_reached(at, self._queries)
            if slot is None:
                raise LogGone(f"the slot `{name}` was dropped")
            check_is_free(slot)
            if slot.confirmed > at.lsn:
                raise LogGone(
                    f"the slot `{name}` was told that the log before {lsn_text(slot.confirmed)} is not needed; only one pipeline may read by it",
                    is_told=True,
                )
            logger.info("The slot `%s` %s.", name, held_words(slot.held, slot.room))
            self._begun = at.lsn
            self._held.see(replace(slot, held=end_of_log(self._queries) - at.lsn))
            return position
        if slot is None:
            if not self.settings.makes:
                raise ConfigurationError(
                    f"There is no replication slot `{name}`; nothing was read: "
                    + making(name, self._queries.version).as_string(self._queries.opened())
                )
            self._tell_of_former()
            return self._position(create_slot(self._queries, name))
        check_is_free(slot)
        # The log before it is not needed, and cannot be read where the publication was not there yet.
        return self._position(max(slot.confirmed, end_of_log(self._queries)))

    def _drop_lost(self) -> None:
        """Drop a slot that has lost its log, so that it can be made again: nothing is to be read by it."""
        name = self.settings.slot
        if self.settings.makes and is_lost(self._queries, name):
            logger.warning("The slot `%s` has lost its log, and is made again: all streams start.", name)
            drop_slot(self._queries, name)

    def _give_up(self, slot: str) -> None:
        self._stop()
        drop_slot(self._queries, slot)

    def _tell_of_former(self) -> None:
        former = self.settings.former
        if former is not None and is_former_alone(self.settings, self._queries):
            logger.warning(
                "The slot `%s` was that of this pipeline before, and keeps log on the server's disk; this one reads by `%s` from now on: drop it "
                "if no other one reads by it (tap-postgres slot drop %s).",
                *(former, self.settings.slot, former),
            )

    def end(self) -> Position:
        return self._position(end_of_log(self._queries))

    def _position(self, lsn: int) -> str:
        return str(Place(lsn, self._timeline))

    @property
    def starts_anew(self) -> bool:
        return self.settings.passes_truncate

    # The log

    def read(self, position: Position, until: Position | None) -> Iterator[LogPage]:
        stop = None if until is None else _place(until).lsn
        changes = self._reading(_place(position).lsn)
        told = time.monotonic()
        asked = 0.0
        if stop is not None and changes.position < stop:
            have_log_written(self._queries, stop)
        while True:
            messages = self._received(0 if stop is not None and changes.position >= stop else _WAIT)
            for page in changes.pages(messages):
                self._note(page)
                told = time.monotonic()
                yield self._of_engine(page)
                if not changes.is_inside and stop is not None and changes.position >= stop:
                    return
            if changes.is_inside:
                continue
            now = time.monotonic()
            if stop is not None and changes.position >= stop:
                yield LogPage((), self._position(changes.position))
                return
            if not messages and now - asked >= _WAIT:
                asked = now
                self._tell(asks=True)
            self._check()
            if now - told >= 0.5:
                told = now
                yield LogPage((), self._position(changes.position))

    def _of_engine(self, page: LogPage) -> LogPage:
        changes = self._settling.changes(page.changes)
        return LogPage(changes, None if page.position is None else self._position(page.position))

    def _note(self, page: LogPage) -> None:
        """Remember which transactions were consumed, until a snapshot has seen them."""
        changes = page.changes
        xids = (
            changes.transactions
            if isinstance(changes, ReadyChanges)
            else [one.transaction for one in changes]
        )
        self._consumed.update(dict.fromkeys(xids))
        if len(self._consumed) > _MOST_CONSUMED:
            self._is_enough(self._chunks.seen_now())

    def _reading(self, lsn: int) -> Changes:
        """Return what decodes the log from a place on: what does so already, if it stands there."""
        changes = self._changes
        if changes is None or changes.position != lsn or changes.is_inside:
            self._stop()
            self._start(lsn)
            hooks = Hooks(self._rows_of, self._lacking, self.settings.passes_truncate, self._see_part)
            changes = self._changes = Changes(lsn, self._spool, hooks)
        return changes

    def _start(self, lsn: int) -> None:
        version = self._queries.version
        protocol = 4 if version >= 160_000 else 3 if version >= 150_000 else 2 if version >= 140_000 else 1
        options = {
            "proto_version": str(protocol),
            "publication_names": self._quoted(self.settings.publication),
        }
        if protocol > 1:
            options["streaming"] = "on"
        # Not as in SQL: where `standard_conforming_strings` is off a literal would begin with E, which commands of the replication do not know.
        listed = ", ".join(f"""{name} '{value.replace("'", "''")}'""" for name, value in options.items())
        slot = self._quoted(self.settings.slot)
        command = f"START_REPLICATION SLOT {slot} LOGICAL {lsn_text(lsn)} ({listed})"
        try:
            connection = self.connect({"replication": "database", "options": _SESSION})
        except psycopg2.Error as error:
            raise connection_error(error, f"PostgreSQL at {self.place}") from None
        self._replication = Replication(connection)
        try:
            self._replication.start(command)
            self._tell()
        except ReplicationError as error:
            self._stop()
            raise self._failed(error) from None

    def _quoted(self, name: str) -> str:
        return Identifier(name).as_string(self._queries.opened())

    def _received(self, seconds: float) -> list[bytes]:
        assert self._replication is not None  # noqa: S101  `_start` makes it
        try:
            return self._replication.receive(seconds, _BYTES)
        except ReplicationError as error:
            self._stop()
            raise self._failed(error) from None

    def _tell(self, *, asks: bool = False) -> None:
        if self._replication is None:
            return
        try:
            self._replication.tell(self._acknowledged, asks=asks)
        except ReplicationError as error:
            self._stop()
            raise self._failed(error) from None

    def _stop(self) -> None:
        if self._replication is not None:
            self._replication.close()
        self._replication = self._changes = None
        self._spool.clear()

    def _failed(self, error: ReplicationError) -> Exception:
        """Return what a failure of the replication is: often the slot or the publication is gone, and says so itself."""
        text = " ".join(str(error).split()).removeprefix("ERROR: ").strip()
        if error.code == "55006":
            return LockHeldError(
                f"The replication slot `{self.settings.slot}` is read by another session; what was confirmed by the target is safe: wait until "
                "it ends, or name another slot at `log.slot`, one for each pipeline."
            )
        if error.code:
            try:
                if find_slot(self._queries, self.settings.slot) is None:
                    return LogGone(f"the slot `{self.settings.slot}` was dropped")
                self._publication.check()
            except (LogGone, SingerkitError) as found:
                return found
            if gone := log_gone(error.code, error.function):
                return LogGone(gone)
        return RetryableError(
            f"The replication from PostgreSQL has ended ({text.rstrip('.')}); what was confirmed by the target is safe: run again to continue."
        )

    def _check(self) -> None:
        """See now and then whether the publication still tells of all tables: PostgreSQL 18 is silent else."""
        if time.monotonic() - self._checked >= _CHECK_SECONDS:
            self._checked = time.monotonic()
            self._publication.check()
            self._check_identities()
            # Behind where the run began the server has let go what was acknowledged then.
            slot = find_slot(self._queries, self.settings.slot)
            if slot is not None and self._changes is not None and self._changes.position > self._begun:
                self._held.see(slot)

    def _check_identities(self) -> None:
        """See to it that the log goes on to tell of all of each stream; what is found ends the run, and the next one finds it, too."""
        assert self._identities is not None  # noqa: S101  of `begin`
        now = self._identities_now()
        self._check_nothing_changed(self._by_stream, self._identities, now)
        self._identities = now

    def _check_nothing_changed(self, streams: Iterable[str], before: Identities, now: Identities) -> None:
        for stream in streams:
            was = before.written(stream)
            if was is not None and (why := self._why_anew(now, stream, was)):
                raise _to_start_anew(stream, why)

    # Rows

    def _rows_of(self, relation: Relation) -> Rows | None:
        found = self._by_number.get(int.from_bytes(relation.oid))
        if found is None:
            self._see_no_other(relation)
            return None
        told = {one.name: one.type_oid for one in relation.attributes}
        before = self._by_stream[found.stream].columns
        table = self._renewed(found.stream, told, lambda: self._queries.columns(found.schema, found.name))
        types = {one.name: one.type_oid for one in relation.attributes if one.name in table.columns}
        makers = {name: maker(self.types, oid) for name, oid in types.items()}
        doubt = self._doubt_of_columns(table, relation)
        if doubt is None and found.stream in self._goes_on | self._has_waited:
            self._tell_added(table, before)
        return Rows(table, relation, makers, doubt)

    def _tell_added(self, table: LoggedTable, before: Collection[str]) -> None:
        added = [name for name in table.columns if name not in before]
        if added:
            self.tell_added(table.stream, added)

    def _doubt_of_columns(self, table: LoggedTable, relation: Relation) -> str | None:
        """Return why older rows may have other values, where the log describes a table otherwise than the catalog did: it was altered since, or before."""
        assert self._identities is not None  # noqa: S101  of `begin`
        told = {one.name: (one.type_oid, one.modifier) for one in relation.attributes}
        if self._identities.is_told(table.stream, told, table.columns):
            return None
        return self._look_at_columns(table)

    def _look_at_columns(self, table: LoggedTable) -> str | None:
        """Look at the columns of a table again; return why older rows may have other values than before."""
        assert self._identities is not None  # noqa: S101  of `begin`
        was, now = self._identities.written(table.stream), self._identities_of(table)
        self._identities = self._identities.with_columns_of(now)
        return None if was is None else now.change_of_columns(table.stream, was)

    def _see_part(self, rows: Rows, part: Relation) -> Mapping[str, str]:
        """Return which streams have to start anew, since rows of this partition are told as those of the table that it is, or was, a part of.

        One that is not known has come since the last look at the catalog. If another look does not find it, it has gone again, with rows or without.
        """
        number, table = int.from_bytes(part.oid), rows.table
        name, root = f"`{part.schema}.{part.name}`", f"`{table.schema}.{table.name}`"
        found: dict[str, str] = {}
        own = self._by_number.get(number)
        if own is not None:
            found[own.stream] = (
                f"table {name} was a partition of table {root} for a while, under whose name the log has its changes of that time"
            )
        if not self._has_part(table.stream, number) and not self.settings.keeps_parts:
            found[table.stream] = (
                f"partition {name} of table {root} has come and gone since the last run looked, and the log does not say which rows have gone with it"
            )
        return found

    def _has_part(self, stream: str, number: int) -> bool:
        assert self._identities is not None  # noqa: S101  of `begin`
        if self._identities.has_part(stream, number):
            return True
        self._check_identities()
        return self._identities.has_part(stream, number)

    def _see_no_other(self, relation: Relation) -> None:
        """See to it that the log tells of no other table by the name of ours, but for one that was gone when this run began."""
        table = self._by_name.get((relation.schema, relation.name))
        if table is None:
            return
        if (
            self._changes is None
            or self.identity(table.stream, self._position(self._changes.position)) is None
        ):
            raise TableGone(
                table.stream,
                f"table `{table.schema}.{table.name}` was dropped and made again, or another one had its name",
            )
        self._check_identities()

    def _renewed(
        self, stream: str, told: Mapping[str, int], there: Callable[[], Collection[str]]
    ) -> LoggedTable:
        """Return a table with the columns that it has in the log, or in a snapshot, from here on; ``there``: those that it has now."""
        table = self._by_stream[stream]
        other = {
            name: oid
            for name, oid in told.items()
            if name in table.columns and self.types.schema(oid) != self.types.schema(table.columns[name])
        }
        # A column that is unknown has been dropped since, or was added in this run.
        unknown = told.keys() - self._discovered[stream]
        added = {name: told[name] for name in unknown.intersection(there())} if unknown else {}
        self._discovered[stream] |= added.keys()
        if not other and not added:
            return table
        sent = self.renew(stream, {**other, **added})
        table = self._by_stream[stream] = replace(table, columns={**table.columns, **other, **sent})
        self._settling.renew(table)
        return table

    def _lacking(self, rows: Rows, new: Tuple, columns: Sequence[str]) -> bytes:
        """Return what the log does not have of a row whose key has changed: the value that it has now, if it is still there.

        A later change of it, or its end, stands further on in the log.
        """
        key = [bytes(cast(bytes, new[number])).decode() for number in rows.key]
        types = {name: rows.table.columns[name] for name in columns}
        return self._chunks.one(rows.table, self._key(rows.table), key, types)

    # The start of a stream

    def read_chunk(self, stream: str, after: Cursor | None, position: Position | None) -> Chunk:  # noqa: ARG002  what was consumed is known
        table = self._by_stream[stream]
        if stream not in self._has_waited:
            self._chunks.wait_for_writers(table)
            self._has_waited.add(stream)
        chunk = self._chunks.chunk(
            table,
            self._key(table),
            after,
            self._position,
            self._is_enough,
            lambda columns: self._renewed(stream, columns, lambda: columns),
            lambda: self._see_chunk(table, is_first=after is None),
        )
        return replace(chunk, pages=self._settling.pages(stream, chunk.pages))

    def _see_chunk(self, table: LoggedTable, *, is_first: bool) -> None:
        """See to it that a chunk is of the same table, with the same columns, as those before it."""
        if self._identities is None:
            return
        now = self._by_stream[table.stream]
        why = self._look_at_columns(now)
        if why and not is_first:
            raise _to_start_anew(table.stream, why)
        if not is_first:
            self._tell_added(now, table.columns)
        if table.is_partitioned:
            self._check_identities()

    def _is_enough(self, seen: Seen) -> bool:
        """Tell whether a snapshot sees what the log has told of."""
        for xid in [xid for xid in self._consumed if seen.sees(xid)]:
            del self._consumed[xid]
        return not self._consumed

    def _key(self, table: LoggedTable) -> list[KeyColumn]:
        if table.stream not in self._keys:
            self._keys[table.stream] = key_columns(self._queries, table, self.types.kind)
        return self._keys[table.stream]

    def is_behind(self, change: Change, cursor: Cursor) -> bool:
        table = self._by_stream[change.stream]
        if not table.key:
            return True
        if change.stream not in self._orders:
            columns = self._key(table)
            self._orders[change.stream] = KeyOrder(
                self._queries,
                table,
                [column.type for column in columns],
                are_numbers=all(column.is_integer for column in columns),
            )
        return self._orders[change.stream].is_behind(key_of(change.record, self._key(table)), cursor)

    def sees(self, snapshot: Snapshot, change: Change) -> bool:
        return Seen.of(snapshot).sees(change.transaction)

    # What the source is told

    def acknowledge(self, position: Position) -> None:
        self._acknowledged = max(self._acknowledged, _place(position).lsn)
        self._tell()

    def keep_alive(self) -> None:
        self._tell()

    def close(self) -> None:
        self._settling.tell(logger)
        self._stop()
        self._queries.close()


def _to_start_anew(stream: str, why: str) -> RetryableError:
    return RetryableError(
        f"Stream `{stream}` has to start anew, since {why}; what was confirmed by the target is safe: run again."
    )


def _place(position: Position) -> Place:
    try:
        return Place.of(position)
    except ValueError:
        raise LogGone("the state holds no position of PostgreSQL's log") from None
