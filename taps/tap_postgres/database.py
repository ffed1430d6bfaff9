"""One PostgreSQL database: its connection, its tables, and rows that the server makes JSON of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import psycopg2

from singerkit_postgres.address import dsn_of
from singerkit_postgres.connect import Connection, Wishes, connect
from singerkit_postgres.pooling import is_pooled
from singerkit_postgres.ssh import Tunnel, is_asked_for
from singerkit_shell.errors import ConfigurationError
from singerkit_sql_tap.contract import KeyOrder, Row
from singerkit_sql_tap.database import SqlDatabase
from singerkit_sql_tap.queries import Condition, Query, page_query, quoted
from singerkit_sql_tap.rawchunks import CHUNK_BYTES
from singerkit_sql_tap.tables import Column, Table
from singerkit_state.shards import Shard
from singerkit_wire.readyrows import ReadyRows
from tap_postgres import faults, keys, sharding
from tap_postgres.catalog import TABLE, PgColumn, Relation, found_types, read_relations
from tap_postgres.config import admits_text, local_is_utc
from tap_postgres.copying import Copying
from tap_postgres.lanes import Lanes
from tap_postgres.late import LateRows
from tap_postgres.stopping import unless_stopped
from tap_postgres.types import PgType

__all__ = ["Moment", "PostgresDatabase"]

_T = TypeVar("_T")

_RANGES_OF_BLOCKS = 140000
"""The first version that reads a range of blocks without reading the others."""
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL idle_in_transaction_session_timeout TO 0"
_SERVER = """
    SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN ''
        ELSE system_identifier || '/' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END
    FROM pg_catalog.pg_control_system()"""
_MOMENT = """
    SELECT pg_catalog.pg_snapshot_xmin(s)::pg_catalog.text::bigint, pg_catalog.pg_snapshot_xmax(s)::pg_catalog.text::bigint,
        pg_catalog.pg_relation_filenode(c.oid)::bigint,
        pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint
    FROM pg_catalog.pg_current_snapshot() AS s, pg_catalog.pg_class AS c JOIN pg_catalog.pg_am AS a ON a.oid = c.relam
    WHERE c.oid = %s AND a.amname = 'heap'"""


@dataclass(frozen=True)
class Moment:
    """What a snapshot sees: the oldest open transaction, and the first one that has not begun; the file of a table, and how many blocks it has; of which server."""

    oldest: int
    next: int
    file: int
    blocks: int
    server: str


class PostgresDatabase(SqlDatabase[Connection]):
    """See `singerkit_sql_tap.contract.Database` and `singerkit_sql_tap.rawchunks.RawDatabase`."""

    placeholder = "%s"
    promises_types = True

    def __init__(self, place: str, config: Mapping[str, Any], logger: logging.Logger) -> None:
        self._lock_timeout = config.get("lock_timeout_seconds", 60)
        super().__init__(place, faults, config, logger)
        self._tunnel: Tunnel | None = None
        self.types: Mapping[int, PgType] = {}
        """The types that the database had when its tables were looked for."""
        self._late = LateRows(self._asked, logger)
        self._query_timeout = config.get("query_timeout")
        self._lanes = Lanes(config.get("parallel", 1), self._beside, self._query_timeout)
        self._are_lanes_joined = False

    # The connection

    def connected(self) -> Connection:
        wishes = Wishes(self.config.get("role"), self._query_timeout)
        return connect(self.dsn(), lock_timeout_seconds=self._lock_timeout, wishes=wishes)

    def dsn(self) -> str:
        """Return where a connection goes, through the tunnel if there is one."""
        dsn = dsn_of(self.config, "tap-postgres")
        if is_asked_for(self.config):
            self._tunnel = self._tunnel or Tunnel(self.config["ssh_tunnel"], dsn, self.logger)
            dsn = self._tunnel.dsn()
        return dsn

    def begin(self, connection: Connection) -> None:
        """Have each query be a transaction of its own, which writes nothing."""
        connection.autocommit = True
        keys.give_texts(connection)

        def have_it_read_only() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET default_transaction_read_only TO on")

        self.run(have_it_read_only, "preparing the session")

    def _beside(self) -> Connection:
        """Return one of the connections of `parallel`.

        Raises:
            ConfigurationError: a pooler may not have so many to give, and would let the run wait for ever.
        """
        with self.connection.cursor() as cursor:
            if is_pooled(self.connection, cursor):
                raise ConfigurationError(
                    "`parallel` holds several sessions of the server at a time, and a connection pooler, which is between, may have fewer to give; no row of "
                    "this stream was sent: connect to the server itself, or leave `parallel` away."
                )
        return self._opened()

    def _opened(self) -> Connection:
        connection = self.connected()
        self.begin(connection)
        return connection

    def close(self) -> None:
        self._lanes.close()
        super().close()
        if self._tunnel is not None:
            self._tunnel.close()
            self._tunnel = None

    # Names: `%` would begin a placeholder

    def quoted(self, name: str) -> str:
        return super().quoted(name).replace("%", "%%")

    def _asked(self, query: Query) -> Sequence[Sequence[Any]]:
        return self.rows(query, "looking for open transactions")

    def source(self, table: Table) -> str:
        """Return a table without those that inherit from it: these are streams of their own, and may have rows with the same keys."""
        of = super().source(table)
        return f"ONLY {of}" if cast(Relation, table).kind == TABLE else of

    # Discovery

    def listed_tables(self) -> list[Table]:
        def ask(sql: str) -> Sequence[tuple[Any, ...]]:
            return self.rows(Query(sql), "looking for tables")

        # In one snapshot: else a table that is made meanwhile has a key by one query, and no columns by the one before.
        self.run(lambda: self._execute(self.connection, _BEGIN), "looking for tables")
        try:
            self.types = found_types(ask)
            return [
                *read_relations(
                    ask,
                    self.types,
                    local_is_utc=local_is_utc(self.config),
                    admits_text=admits_text(self.config),
                )
            ]
        finally:
            self.end_as_of_now()

    def row_count(self, table: Table) -> int | None:
        """Return what the statistics say."""
        return cast(Relation, table).estimate

    # Replication keys

    def compared(self, table: Table, name: str) -> str:
        return keys.compared(self.column(name), cast(PgColumn, table.column(name)))

    def key_order(self, table: Table, column: str, told: str | None) -> KeyOrder:
        """Return how a key compares: as its type says, or, of text, as all its values are written."""
        of_type = keys.order_of(table.name, cast(PgColumn, table.column(column)), told)
        return of_type or super().key_order(table, column, told)

    def as_text(self, column: str) -> str:
        return f"{self.column(column)}::pg_catalog.text"

    def below_open(self, table: Table, key: str, where: Sequence[Condition]) -> list[Condition]:
        return self._late.conditions(table, key, self.compared(table, key), self.source(table), where)

    # Shards

    def parts(self, table: Table, keys: Sequence[str]) -> str:
        return sharding.parts([cast(PgColumn, table.column(name)) for name in keys])

    def in_shard(self, table: Table, keys: Sequence[str], shard: Shard) -> Condition:
        columns = [cast(PgColumn, table.column(name)) for name in keys]
        return sharding.in_shard([self.column(name) for name in keys], columns, shard)

    # Rows

    def last_of(
        self, table: Table, key: Sequence[str], where: Sequence[Condition], rows: int
    ) -> tuple[Any, ...] | None:
        query = page_query(self.source(table), key, where, key, 1)
        found = self.fetch(Query(f"{query.sql} OFFSET {int(rows) - 1}", query.parameters), 1, table)
        return found[0] if found else None

    def raw_pages(
        self, table: Table, columns: Sequence[str], where: Sequence[Condition], order: Sequence[str]
    ) -> Iterator[ReadyRows]:
        query = self._json_query(table, columns, where, order)
        copying = self._copying(query, before=self._kept_as_it_is(table), after="COMMIT")
        yield from self._pages(table, columns, copying)

    def raw_ranges(
        self,
        table: Table,
        columns: Sequence[str],
        ranges: Iterator[tuple[Sequence[Condition], _T]],
        order: Sequence[str],
    ) -> Generator[tuple[_T, Iterator[ReadyRows]]]:
        if not self._lanes.are_any:
            for where, what in ranges:
                yield what, self.raw_pages(table, columns, where, order)
            return
        queries = ((self._json_query(table, columns, where, order), what) for where, what in ranges)
        with self._lanes.reading(before=self._kept_as_it_is(table), after="COMMIT") as reading:
            for what, copying in reading.ahead(queries):
                yield what, self._pages(table, columns, copying)

    @property
    def chunk_bytes(self) -> int:
        return self._lanes.chunk_bytes or CHUNK_BYTES

    def _pages(self, table: Table, columns: Sequence[str], copying: Copying) -> Iterator[ReadyRows]:
        with closing(copying):
            while (block := self.run(copying.next, _reading(table))) is not None:
                yield ReadyRows(block, columns)

    def _copying(self, query: str, *, before: str = "", after: str = "") -> Copying:
        return Copying(self.connection, query, before=before, after=after, longest=self._query_timeout)

    def _json_query(
        self, table: Table, columns: Sequence[str], where: Sequence[Condition], order: Sequence[str]
    ) -> str:
        made = [
            f"{cast(PgColumn, table.column(name)).expression.replace('%', '%%')} AS {self.quoted(name)}"
            for name in columns
        ]
        # Without `.*` a column of that name would stand in its place.
        return f"SELECT pg_catalog.row_to_json(x.*) FROM ({self._text(page_query(self.source(table), made, where, order, None))}) AS x"

    def _text(self, query: Query) -> str:
        with self.connection.cursor() as cursor:
            return str(cursor.mogrify(query.sql, query.parameters).decode())

    def _kept_as_it_is(self, table: Table) -> str:
        """Return the beginning of a transaction in which nobody alters or empties a table.

        COPY takes its snapshot before it waits for whoever does: to that, a table that was written anew is empty.
        """
        # Not LOCK, which knows tables alone.
        return f"BEGIN; {self._text(page_query(self.source(table), ['1'], (), (), 0))}"

    def taken(self, query: Query, take: Callable[[Iterable[Sequence[Row]]], _T], doing: str) -> _T:
        """Return what ``take`` makes of the rows of a query; a signal ends a query that waits, for a lock say."""
        ask = super().taken
        return unless_stopped(self.connection, lambda: ask(query, take, doing))

    @staticmethod
    def _execute(connection: Connection, statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    # One moment for several queries

    def begin_as_of_now(self, table: Table) -> Moment | None:
        """Begin a transaction that sees a table as it is now, until `end_as_of_now`; None: its blocks cannot be gone by.

        It is locked first, since a snapshot from before a wait for whoever writes it anew would see it empty.
        """
        server = self._server
        connection, doing = self.connection, _reading(table)
        locked = f"LOCK TABLE ONLY {quoted(table.schema_name)}.{quoted(table.relation)} IN ACCESS SHARE MODE"
        try:
            self.run(lambda: self._execute(connection, f"{_BEGIN}; {locked}"), doing)
            found = self.rows(Query(_MOMENT, (cast(Relation, table).oid,)), doing) if server else []
            self._are_lanes_joined = bool(found) and self._lanes.are_any and self._join(locked, doing)
        except BaseException:
            self.end_as_of_now()
            raise
        if not found:
            return None
        oldest, behind, file, blocks = found[0]
        return Moment(oldest, behind, file, blocks, server)

    def _join(self, locked: str, doing: str) -> bool:
        """Have all lanes see what the first connection sees; False: somebody waits to alter the table, who would be waited for in turn."""
        ((snapshot,),) = self.rows(Query("SELECT pg_catalog.pg_export_snapshot()"), doing)
        statement = f"{_BEGIN}; SET TRANSACTION SNAPSHOT '{snapshot}'; {locked} NOWAIT"
        return self.run(lambda: self._lanes.join(statement), doing)

    def end_as_of_now(self) -> None:
        """End the transaction, which has written nothing."""
        self._lanes.leave()
        with suppress(psycopg2.Error):
            self._execute(self.connection, "ROLLBACK")

    def pages_as_of_now(
        self, table: Table, columns: Sequence[str], where: Sequence[Condition]
    ) -> Iterator[ReadyRows]:
        """Yield rows as `raw_pages` does, between `begin_as_of_now` and `end_as_of_now`."""
        query = self._json_query(table, columns, where, ())
        yield from self._pages(table, columns, self._copying(query))

    def ranges_as_of_now(
        self, table: Table, columns: Sequence[str], ranges: Iterator[tuple[Sequence[Condition], _T]]
    ) -> Generator[tuple[_T, Iterator[ReadyRows]]]:
        """Yield what comes with each of ``ranges``, and its rows, as `raw_ranges` does."""
        if not self._are_lanes_joined:
            for where, what in ranges:
                yield what, self.pages_as_of_now(table, columns, where)
            return
        queries = ((self._json_query(table, columns, where, ()), what) for where, what in ranges)
        with self._lanes.reading() as reading:
            for what, copying in reading.ahead(queries):
                yield what, self._pages(table, columns, copying)

    def count(self, table: Table, where: Sequence[Condition]) -> int:
        """Return how many rows there are of which ``where`` is true."""
        ((count,),) = self.rows(
            page_query(self.source(table), ["count(*)"], where, (), None), _reading(table)
        )
        return int(count)

    @cached_property
    def _server(self) -> str:
        """What tells this server, and its history, from others; "": a standby, one before 14, or one that does not tell."""
        connection = self.connection
        if connection.server_version < _RANGES_OF_BLOCKS:
            return ""

        def asked() -> str:
            with suppress(psycopg2.errors.InsufficientPrivilege), connection.cursor() as cursor:
                cursor.execute(_SERVER)
                return str((cursor.fetchone() or ("",))[0])
            return ""

        return self.run(asked, "asking for its timeline")

    # What databases are asked whose types, or whose numbers of rows, are no promise

    def type_of(self, column: Column) -> str:
        return f"CASE WHEN {self.column(column.name)} IS NULL THEN 'null' ELSE 'text' END"

    def is_utf8(self) -> bool:
        return True

    def fill_spool(self, name: str, key: str, columns: Sequence[str], query: Query, doing: str) -> str:
        raise NotImplementedError

    def fingerprint(self, table: Table) -> str:
        """Return the number of a table, and the types of the key that it is read by: a place of one type is none of another."""
        types = [column.sql_type for column in table.columns if self.column(column.name) in table.chunk_key]
        return " ".join([str(cast(Relation, table).oid), *types])

    def changes(self) -> object:
        return None


def _reading(table: Table) -> str:
    return f"reading table `{table.name}`"
