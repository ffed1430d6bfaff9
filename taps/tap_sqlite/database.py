"""One SQLite file: its tables, the types of their columns, its rows a chunk at a time."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_sql_tap.contract import Row, TooWide
from singerkit_sql_tap.looks import Look, Spelling, look_problem
from singerkit_sql_tap.queries import Condition, Query, any_of, page_query
from singerkit_sql_tap.tables import Table
from singerkit_sql_tap.types import formats_of
from tap_sqlite.catalog import quoted, read_tables
from tap_sqlite.connection import SqliteFile
from tap_sqlite.values import LOOK, SPELLING, column_schema, is_declared_time, other_type, type_expression

__all__ = ["SqliteDatabase"]

_T = TypeVar("_T")


class _Replaced(str):
    """Text in which U+FFFD stands for what could not be read."""

    __slots__ = ()


_NO_LIMIT = 2**31 - 1
_NEW_ROWS = 100  # rows of types that are new, asked for at once
_CHUNK_BYTES = 16 * 1024 * 1024


class SqliteDatabase:
    """See `singerkit_sql_tap.contract.Database`."""

    placeholder = "?"

    def __init__(self, config: Mapping[str, Any], logger: logging.Logger) -> None:
        self._file = SqliteFile(config, logger)
        self._config, self._logger = config, logger
        self._tables: list[Table] | None = None
        self._spools = 0
        self._replaced = 0

    # The connection

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._file.connection

    def _run(self, work: Callable[[], _T], doing: str) -> _T:
        return self._file.run(work, doing)

    def close(self) -> None:
        if self._replaced:
            self._logger.warning(
                "%d texts that are not UTF-8 were sent with U+FFFD in place of what cannot be read (`invalid_text`).",
                self._replaced,
            )
            self._replaced = 0
        self._file.close()

    # Names

    @staticmethod
    def quoted(name: str) -> str:
        return quoted(name)

    def source(self, table: Table) -> str:
        return f"{self.quoted(table.schema_name)}.{self.quoted(table.name)} AS t"

    def column(self, name: str) -> str:
        # With the alias: SQLite takes a quoted name that is no column for a text.
        return f"t.{self.quoted(name)}"

    def compared(self, name: str) -> str:
        return f"{self.column(name)} COLLATE BINARY"

    # Discovery

    def tables(self) -> Sequence[Table]:
        if self._tables is None:
            self._tables = self._run(
                lambda: read_tables(self._connection, self._file.path.name, self._logger),
                "looking for tables",
            )
        return self._tables

    def found_types(
        self, table: Table, columns: Sequence[str], where: Sequence[Condition]
    ) -> Mapping[str, dict[str, Any]]:
        """Look at each row once, and again at the texts of columns that are declared as times."""
        found = self._types(table, columns, where)
        times = [
            name
            for name in found
            if is_declared_time(table.column(name).sql_type) and found[name] == {"text"}
        ]
        formats = dict(zip(times, self._formats(table, times, where), strict=True))
        return {
            name: column_schema(table.column(name).sql_type, types, formats.get(name))
            for name, types in found.items()
            if types
        }

    def _types(self, table: Table, columns: Sequence[str], where: Sequence[Condition]) -> dict[str, set[str]]:
        """Return the types that each column holds: ask for rows with others than were found so far, until there are none.

        What is held of it does not grow with the combinations of types, as it would with DISTINCT: of 30 columns that may be null
        almost each row is another.
        """
        found: dict[str, set[str]] = {name: set() for name in columns}
        declared = {name: table.column(name).sql_type for name in columns}
        kinds = [type_expression(self.column(name), declared[name]) for name in columns]
        while columns:
            others = [other_type(self.column(name), declared[name], found[name]) for name in columns]
            rows = self._look(table, "SELECT", kinds, [*where, any_of(others)], _NEW_ROWS)
            if not rows:
                break
            for name, types in zip(columns, zip(*rows, strict=True), strict=True):
                found[name] |= {*types} - {"null"}
        return found

    def spellings(self, table: Table, column: str) -> Collection[Spelling]:
        name = self.column(column)
        texts = Condition(f"typeof({name}) = 'text'")
        return self._look(table, "SELECT DISTINCT", [SPELLING.format(name)], [texts])

    def row_count(self, table: Table) -> int:
        ((count,),) = self._look(table, "SELECT", ["count(*)"])
        return int(count)

    def _look(
        self,
        table: Table,
        select: str,
        expressions: Sequence[str],
        where: Sequence[Condition] = (),
        limit: int | None = None,
    ) -> list[Row]:
        query = page_query(self.source(table), expressions, where, (), limit)
        sql = query.sql.replace("SELECT", select, 1)
        doing = f"looking at the values of `{table.name}`"
        return self._run(lambda: self._connection.execute(sql, query.parameters).fetchall(), doing)

    def _formats(
        self, table: Table, names: Sequence[str], where: Sequence[Condition]
    ) -> Sequence[str | None]:
        """Return the format that all texts of each column have; None: they have none."""
        if not names:
            return []
        query = page_query(self.source(table), [self.column(name) for name in names], where, (), None)

        def look() -> Sequence[str | None]:
            cursor = self._connection.execute(query.sql, query.parameters)
            return formats_of(iter(lambda: cursor.fetchmany(1_000), []), len(names))

        try:
            found = self._run(look, f"looking at the texts of `{table.name}`")
        except BadDataError:  # text that is not UTF-8: no time, and told of when it is read
            return (
                [None]
                if len(names) == 1
                else [*chain(*(self._formats(table, [name], where) for name in names))]
            )
        local = "date-time" if self._config.get("local_times") == "utc" else None
        return [local if format_ == "local" else format_ for format_ in found]

    # Rows

    def fetch(self, query: Query, limit: int, table: Table) -> list[Row]:
        connection = self._connection
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
                if getattr(error, "sqlite_errorcode", None) is not None:
                    raise
                return None  # text that cannot be decoded is no error of SQLite's

        try:
            rows = self._run(fetched, doing)
        finally:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _NO_LIMIT)
        return self._with_invalid_text(query, table) if rows is None else rows

    def _with_invalid_text(self, query: Query, table: Table) -> list[Row]:
        connection = self._connection
        replaces = self._config.get("invalid_text") == "replace"
        found: list[bytes] = []

        def decoded(text: bytes) -> str:
            try:
                return text.decode()
            except UnicodeDecodeError:
                found.append(text)
                return _Replaced(text.decode("utf-8", "replace"))

        connection.text_factory = decoded
        try:
            rows = self._run(
                lambda: connection.execute(query.sql, query.parameters).fetchall(),
                f"reading table `{table.name}`",
            )
        finally:
            connection.text_factory = str
        if not replaces:
            raise BadDataError(
                f"{len(found)} texts in some {len(rows)} rows of table `{table.name}` are not UTF-8; what was confirmed by the target "
                'is safe: correct them at the source, set `"invalid_text": "replace"`, or do not select the column.'
            )
        if any(type(row[place]) is _Replaced for row in rows for place in query.exact):
            raise BadDataError(
                f"Texts of table `{table.name}` are not UTF-8 in a column of its primary key, or its replication key, where two that are "
                "replaced could be one, whatever `invalid_text` says; what was confirmed by the target is safe: correct them at the "
                "source, or choose another key in `streams`."
            )
        self._replaced += len(found)
        return [tuple(str(value) if type(value) is _Replaced else value for value in row) for row in rows]

    def key_order(self, table: Table, column: str, told: str | None) -> Look:
        """Look at how all values of the key are written."""
        looks = self._look(table, "SELECT DISTINCT", [LOOK.format(self.column(column))])
        doing = "looking at its encoding"
        encoding = self._run(lambda: self._connection.execute("PRAGMA encoding").fetchone()[0], doing)
        problem = look_problem(looks, told, is_utf8=encoding == "UTF-8")
        if problem is not None:
            raise ConfigurationError(
                f"The replication key `{column}` of stream `{table.name}` {problem}; no row was read. Correct the values, choose "
                "another key, or read the stream as a whole."
            )
        return Look(looks, told)

    def spooled(self, table: Table, columns: Sequence[str], where: Sequence[Condition]) -> Table:
        """Put the rows into a temporary table, so that no lock is held while they are sent."""
        self._spools += 1
        name = f"spool_{self._spools}"
        query = page_query(self.source(table), [self.column(column) for column in columns], where, (), None)
        key = "k"
        while key in map(str.lower, columns):
            key += "_"
        # Without types: no affinity changes a value.
        names = ", ".join(map(self.quoted, columns))
        connection, doing = self._connection, f"reading `{table.name}`"
        made = f"CREATE TEMP TABLE {name} ({key} INTEGER PRIMARY KEY, {names})"
        self._run(lambda: connection.execute(made), doing)
        filled = f"INSERT INTO temp.{name} ({names}) {query.sql}"
        self._run(lambda: connection.execute(filled, query.parameters), doing)
        return Table(name, table.columns, chunk_key=(f"t.{key}",), schema_name="temp")

    def fingerprint(self, table: Table) -> str:
        """Tell one file from another in its place, and rows from others with their numbers.

        VACUUM may give other numbers to rows that have none of their own, and adds to `schema_version`, as each change of a
        table does.
        """
        connection = self._connection
        if not table.rows_move:
            return str(self._file.inode)
        version = self._run(
            lambda: connection.execute("PRAGMA schema_version").fetchone()[0], "looking at its schema"
        )
        return f"{self._file.inode} {version}"

    def changes(self) -> object:
        connection = self._connection
        return self._run(
            lambda: connection.execute("PRAGMA data_version").fetchone()[0], "looking for changes"
        )
