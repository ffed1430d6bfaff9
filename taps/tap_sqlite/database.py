"""One SQLite file: what one transaction covers, its tables, the types of their columns, its rows a chunk at a time."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from singerkit_sql_tap.config import local_is_utc
from singerkit_sql_tap.contract import Row, TooWide
from singerkit_sql_tap.database import SqlDatabase
from singerkit_sql_tap.learning import learned_types
from singerkit_sql_tap.queries import Condition, Query
from singerkit_sql_tap.tables import Column, Table
from singerkit_sql_tap.texts import Texts, decoded
from singerkit_state.shards import Shard
from tap_sqlite import faults, sharding, values
from tap_sqlite.catalog import read_tables
from tap_sqlite.connection import open_file

__all__ = ["SqliteDatabase"]

_LOOK_EVERY = 100_000  # steps of SQLite's machine between two looks at the stop flag: some milliseconds
_NO_LIMIT = 2**31 - 1
_CHUNK_BYTES = 16 * 1024 * 1024


class SqliteDatabase(SqlDatabase[sqlite3.Connection]):
    """See `singerkit_sql_tap.contract.Database`."""

    def __init__(self, config: Mapping[str, Any], logger: logging.Logger) -> None:
        self._path = Path(config["path"])
        wait = config.get("busy_timeout", 60)
        super().__init__(str(self._path), faults, config, logger, longest_wait=wait)
        self._texts = Texts(config)
        self._inode = 0

    # The connection

    def connected(self) -> sqlite3.Connection:
        connection = open_file(self._path, immutable=bool(self.config.get("immutable")))
        connection.set_progress_handler(self.is_to_end, _LOOK_EVERY)
        connection.create_function(sharding.FUNCTION, -1, sharding.shard_of, deterministic=True)
        self._inode = self._path.stat().st_ino
        return connection

    def begin(self, connection: sqlite3.Connection) -> None:
        """Have each query be of one transaction where that keeps no writer waiting; else each one is one of its own."""
        mode = self._pragma("journal_mode", "opening it")
        snapshot = self.config.get("snapshot", "auto")
        if snapshot == "run" or (snapshot == "auto" and mode == "wal"):
            self.run(lambda: connection.execute("BEGIN"), "beginning a transaction")

    def close(self) -> None:
        self._texts.tell(self.logger)
        super().close()

    def _pragma(self, name: str, doing: str) -> Any:
        connection = self.connection
        return self.run(lambda: connection.execute(f"PRAGMA {name}").fetchone()[0], doing)

    # Discovery and types

    def listed_tables(self) -> list[Table]:
        connection, name = self.connection, self._path.name
        return self.run(lambda: read_tables(connection, name, self.logger), "looking for tables")

    def found_types(
        self, table: Table, columns: Sequence[str], where: Sequence[Condition]
    ) -> Mapping[str, dict[str, Any]]:
        is_utc = local_is_utc(self.config)
        return learned_types(self, values, table, columns, where, local_is_utc=is_utc)

    def type_of(self, column: Column) -> str:
        return f"typeof({self.column(column.name)})"

    def compared(self, table: Table, name: str) -> str:  # noqa: ARG002  whatever the table says
        return f"{self.column(name)} COLLATE BINARY"

    def is_utf8(self) -> bool:
        return bool(self._pragma("encoding", "looking at its encoding") == "UTF-8")

    # Rows

    def parts(self, table: Table, keys: Sequence[str]) -> str:
        if self._is_cut(table, keys):
            return "ranges of integers"
        # By the bytes of a value: 1 and 1.0 are two.
        declared = {column.name: values.affinity(column.sql_type) for column in table.columns}
        return f"hashes of {', '.join(declared.get(name, 'any') for name in keys)}"

    def in_shard(self, table: Table, keys: Sequence[str], shard: Shard) -> Condition:
        columns = [self.column(name) for name in keys]
        return sharding.in_shard(columns, shard, is_integer=self._is_cut(table, keys))

    def _is_cut(self, table: Table, keys: Sequence[str]) -> bool:
        """Whether the key holds integers alone: the one that SQLite finds rows by."""
        return bool(keys) and tuple(self.column(name) for name in keys) == table.chunk_key

    def fetch(self, query: Query, limit: int, table: Table) -> list[Row]:
        connection = self.connection
        # A value that is larger than its part of a chunk stops the query before it is read.
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _CHUNK_BYTES // limit if limit > 1 else _NO_LIMIT)
        doing = f"reading table `{table.name}`"

        def fetched() -> list[Row] | None:
            try:
                return connection.execute(query.sql, query.parameters).fetchall()
            except sqlite3.DataError:
                if limit > 1:
                    raise TooWide from None
                raise
            except sqlite3.OperationalError as error:
                if hasattr(error, "sqlite_errorcode") or connection.text_factory is decoded:
                    raise
                return None  # text that cannot be decoded is no error of SQLite's

        try:
            rows = self.run(fetched, doing)
            if rows is None:
                connection.text_factory = decoded
                again = self.run(fetched, doing)
                rows = self._texts.settled(again or [], query, table)
            return rows
        finally:
            connection.text_factory = str
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _NO_LIMIT)

    def fill_spool(self, name: str, key: str, columns: Sequence[str], query: Query, doing: str) -> str:
        connection = self.connection
        # Without types: no affinity changes a value.
        names = ", ".join(map(self.quoted, columns))
        made = f"CREATE TEMP TABLE {name} ({key} INTEGER PRIMARY KEY, {names})"
        self.run(lambda: connection.execute(made), doing)
        filled = f"INSERT INTO temp.{name} ({names}) {query.sql}"
        self.run(lambda: connection.execute(filled, query.parameters), doing)
        return "temp"

    # Whether rows are still those that were read

    def fingerprint(self, table: Table) -> str:
        """Tell one file from another in its place, and rows from others with their numbers.

        VACUUM may give other numbers to rows that have none of their own, and adds to `schema_version`, as each change of a
        table does.
        """
        if self.connection and not table.rows_move:
            return str(self._inode)
        version = self._pragma("schema_version", "looking at its schema")
        return f"{self._inode} {version}"

    def changes(self) -> object:
        return self._pragma("data_version", "looking for changes")
