"""The start of a stream: chunks of its table, by key, each read in a short transaction whose snapshot is told."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.sql import SQL, Composable, Identifier, Literal

from singerkit_shell.signals import stop_flag
from singerkit_sql_tap.queries import quoted
from singerkit_tap.log_contract import Chunk, SnapshotPage
from tap_postgres.copying import copied
from tap_postgres.faults import fault
from tap_postgres.log.orders import Part, key_of
from tap_postgres.log.queries import Queries
from tap_postgres.log.snapshots import Seen
from tap_postgres.log.tables import LoggedTable
from tap_postgres.log.wal import lsn_number, lsn_text
from tap_postgres.stopping import unless_stopped
from tap_postgres.types import Kind

__all__ = ["ChunkReader", "Expression", "KeyColumn", "end_of_log", "have_log_written", "key_columns"]

logger = logging.getLogger(__name__)

Expression: TypeAlias = Callable[[int, str], str]
"""What stands in SQL for a column of a type, so that `row_to_json` makes the JSON that is sent."""

_PAUSE = 0.02
_BLOCK_HEADERS = (24, 40)
_KEYS = """
    SELECT a.attname, CASE WHEN a.attcollation = 0 THEN format_type(a.atttypid, a.atttypmod)
            ELSE format_type(a.atttypid, a.atttypmod) || ' COLLATE ' || quote_ident(cn.nspname) || '.' || quote_ident(l.collname) END,
        a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype), a.atttypid,
        a.attnotnull AND EXISTS (SELECT FROM pg_catalog.pg_index AS i
            WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND NOT EXISTS (
                SELECT FROM pg_catalog.unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS k (attnum) LEFT JOIN pg_catalog.pg_attribute AS o
                    ON o.attrelid = i.indrelid AND o.attnum = k.attnum WHERE o.attname IS NULL OR o.attname <> ALL(%s)))
    FROM pg_catalog.pg_attribute AS a LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_namespace AS cn ON cn.oid = l.collnamespace
    WHERE a.attrelid = %s::pg_catalog.regclass AND a.attname = ANY(%s)"""
_END = """
    SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END,
        pg_catalog.current_setting('wal_block_size')::int"""
_WRITE_OUT = """
    SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN false WHEN pg_catalog.pg_current_wal_flush_lsn() < %s::pg_catalog.pg_lsn
        THEN pg_catalog.set_config('synchronous_commit', 'local', true) IS NOT NULL
            AND pg_catalog.pg_logical_emit_message(true, 'singerkit', '') IS NOT NULL END"""
_NOW = f"SELECT pg_catalog.pg_current_snapshot()::text, e.* FROM ({_END}) AS e"
_COLUMNS = "SELECT attname, atttypid FROM pg_catalog.pg_attribute WHERE attrelid = %s::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped"
_WRITERS = """
    WITH RECURSIVE parts AS (SELECT %s::pg_catalog.regclass::oid AS oid
        UNION ALL SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN parts ON i.inhparent = parts.oid)
    SELECT DISTINCT l.virtualtransaction, l.pid FROM pg_catalog.pg_locks AS l JOIN parts ON l.relation = parts.oid
    JOIN pg_catalog.pg_database AS d ON d.oid = l.database AND d.datname = pg_catalog.current_database()
    WHERE l.granted AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()"""


@dataclass(frozen=True)
class KeyColumn(Part):
    """A column of a key. ``type``: as SQL, with its collation. ``is_unique``: it is never null, and a unique index knows the key."""

    type: str
    is_integer: bool
    is_unique: bool

    @property
    def leads(self) -> bool:
        """Whether a table can be read on from behind a value of it."""
        return self.is_unique and self.kind not in _WITHOUT_LITERALS


_WITHOUT_LITERALS = (Kind.ARRAY, Kind.COMPOSITE, Kind.HSTORE, Kind.MONEY)
"""What PostgreSQL reads of these is other than their JSON."""


def key_columns(queries: Queries, table: LoggedTable, kind: Callable[[int], Kind]) -> list[KeyColumn]:
    """Return the columns of the key of a table, in its order; ``kind``: of the number of a type."""
    name = Identifier(table.schema, table.name).as_string(queries.opened())
    key = list(table.key)
    found = {
        column: KeyColumn(column, kind(oid), type_, is_integer, is_unique)
        for column, type_, is_integer, oid, is_unique in queries.ask(
            _KEYS, [key, name, key], doing=f"looking at table `{name}`"
        )
    }
    return [found[column] for column in table.key]


def end_of_log(queries: Queries) -> int:
    """Return where the log ends."""
    lsn, block = queries.ask(_END, doing="asking where its log ends")[0]
    return _before_header(lsn_number(lsn), block)


def have_log_written(queries: Queries, lsn: int) -> None:
    """Have the server write its log out up to a place: on a quiet one that takes five seconds else, after each chunk.

    Reading a table may leave something in the log, which no commit writes out. A message that nobody reads is committed for that.
    """
    queries.ask(_WRITE_OUT, [lsn_text(lsn)], doing="having its log written")


def _before_header(lsn: int, block: int) -> int:
    """Return a place at which something may end: at the beginning of a block, what is written next stands behind its header."""
    into = lsn % block
    return lsn - into if into in _BLOCK_HEADERS else lsn


class ChunkReader:
    """Reads tables by chunks of ``rows``, on a connection of its own. ``longest``: see `tap_postgres.copying.Copying`."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        queries: Queries,
        expression: Expression,
        rows: int,
        longest: float | None,
    ) -> None:
        self._connect, self._queries, self._expression = connect, queries, expression
        self._rows, self._longest = rows, longest

    def wait_for_writers(self, table: LoggedTable) -> None:
        """Wait until whoever has written to a table by now has ended.

        The log may lack what a transaction wrote before the table was published, and a transaction that the log has told of is
        not visible as long as its locks are held.
        """
        name = self._name(table)
        found = set(self._queries.ask(_WRITERS, [name], doing="looking for open transactions"))
        begin = time.monotonic()
        has_told = False
        while found and not stop_flag:
            time.sleep(_PAUSE)
            if not has_told and time.monotonic() - begin > 10:
                has_told = True
                pids = (
                    ", ".join(sorted({str(pid) for _, pid in found if pid is not None})) or "a prepared one"
                )
                logger.warning(
                    "The start of stream `%s` waits for transactions that have written to its table and are still open (process %s of the server).",
                    table.stream,
                    pids,
                )
            found &= set(self._queries.ask(_WRITERS, [name], doing="looking for open transactions"))

    def seen_now(self) -> Seen:
        """Return what a snapshot of this moment sees."""
        return Seen.of(self._queries.ask(_NOW, doing="taking a snapshot")[0][0])

    def _name(self, table: LoggedTable) -> str:
        return Identifier(table.schema, table.name).as_string(self._queries.opened())

    def chunk(
        self,
        table: LoggedTable,
        keys: Sequence[KeyColumn],
        after: Sequence[str] | None,
        until: Callable[[int], Any],
        seen: Callable[[Seen], bool],
        as_it_is: Callable[[Mapping[str, int]], LoggedTable],
        is_read: Callable[[], None],
    ) -> Chunk:
        """Read a table on from behind a key; all of it, where it has none.

        ``seen`` tells whether a snapshot sees what it has to; else another one is taken. ``until`` makes the position of a place.
        ``as_it_is`` returns the table with what is sent of the columns that it has in that snapshot (numbers of types): of rows that are
        read here, the log does not tell again what a column holds that has come since the table was discovered. ``is_read`` is called behind
        the rows, before the lock of the table and of each partition that was read goes.
        """
        if not all(column.leads for column in keys):
            keys = ()  # it is read at once, as one without a key
        connection = self._connect()
        lock = SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(Identifier(table.schema, table.name))
        try:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            while True:
                snapshot, end, block = unless_stopped(connection, lambda: _locked_now(connection, lock))
                if seen(Seen.of(snapshot)):
                    with connection.cursor() as cursor:
                        cursor.execute(_COLUMNS, [self._name(table)])
                        there = dict(cursor.fetchall())
                        known = as_it_is(there)
                    break
                connection.rollback()
                stop_flag.raise_if_set("what was confirmed by the target is safe, run again to continue.")
                time.sleep(_PAUSE)
        except BaseException as error:
            connection.close()
            if isinstance(error, psycopg2.Error):
                raise fault(
                    error, self._queries.place, f"reading table `{table.schema}.{table.name}`"
                ) from None
            raise
        place = _before_header(lsn_number(end), block)
        # A server that crashes gives numbers again of transactions whose end it has not written out, and the snapshot has seen these.
        have_log_written(self._queries, place)
        table = replace(known, columns={name: oid for name, oid in known.columns.items() if name in there})
        return Chunk(self._pages(connection, table, keys, after, is_read), snapshot, until(place))

    def _pages(
        self,
        connection: Connection,
        table: LoggedTable,
        keys: Sequence[KeyColumn],
        after: Sequence[str] | None,
        is_read: Callable[[], None],
    ) -> Iterator[SnapshotPage]:
        doing = f"reading table `{table.schema}.{table.name}`"
        query = self._query(table, keys, after).as_string(connection)
        with contextlib.closing(connection):
            try:
                count = 0
                with contextlib.closing(copied(connection, query, longest=self._longest)) as blocks:
                    for block in blocks:
                        rows = block.split(b"\n")[:-1]
                        count += len(rows)
                        yield SnapshotPage(rows, key_of(rows[-1], keys) if keys else [])
                is_read()
            except psycopg2.Error as error:
                raise fault(error, self._queries.place, doing) from None
        if not keys or count < self._rows:
            yield SnapshotPage((), None)

    def _query(
        self, table: LoggedTable, keys: Sequence[KeyColumn], after: Sequence[str] | None
    ) -> Composable:
        query = self._selected(table, table.columns)
        if after is not None and keys:
            query += SQL(" WHERE ({}) > ({})").format(_names(keys), _values(keys, after))
        if keys:
            query += SQL(" ORDER BY {} LIMIT {}").format(_names(keys), Literal(self._rows))
        return _as_json(query)

    def _selected(self, table: LoggedTable, columns: Mapping[str, int]) -> Composable:
        parts = [
            SQL(self._expression(oid, f"t.{quoted(name)}")) + SQL(" AS {}").format(Identifier(name))
            for name, oid in columns.items()
        ]
        # Rows of tables that inherit from it are those of their own streams, in the log, too.
        whole = SQL("SELECT {} FROM {} AS t" if table.is_partitioned else "SELECT {} FROM ONLY {} AS t")
        return whole.format(SQL(", ").join(parts), Identifier(table.schema, table.name))

    def one(
        self, table: LoggedTable, keys: Sequence[KeyColumn], key: Sequence[str], columns: Mapping[str, int]
    ) -> bytes:
        """Return some columns of the row that has a key now, as a record; empty: there is none."""
        query = self._selected(table, columns)
        query += SQL(" WHERE ({}) = ({})").format(_names(keys), _values(keys, key))
        as_text = SQL("SELECT pg_catalog.row_to_json(q.*)::pg_catalog.text FROM ({}) AS q").format(query)
        found = self._queries.ask(as_text, doing=f"reading table `{table.schema}.{table.name}`")
        return found[0][0].encode() if found else b"{}"


def _locked_now(connection: Connection, lock: Composable) -> tuple[str, str, int]:
    """Return the snapshot, the end of the log and its block size of a moment behind a lock.

    A table that is rewritten or emptied looks empty to snapshots that were taken before: none is, under a lock.
    """
    with connection.cursor() as cursor:
        cursor.execute(lock)
        cursor.execute(_NOW)
        return cursor.fetchone() or ("", "", 0)


def _names(keys: Sequence[KeyColumn]) -> Composable:
    return SQL(", ").join(SQL("t.") + Identifier(column.name) for column in keys)


def _values(keys: Sequence[KeyColumn], values: Sequence[str]) -> Composable:
    casts = [SQL("{}::" + _plain(column.type)) for column in keys]
    return SQL(", ").join(cast.format(Literal(value)) for cast, value in zip(casts, values, strict=True))


def _plain(text: str) -> str:
    """Return a text that `SQL.format` leaves as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def _as_json(query: Composable) -> Composable:
    # Without `.*` a column of that name would stand in its place.
    return SQL("SELECT pg_catalog.row_to_json(q.*) FROM ({}) AS q").format(query)
