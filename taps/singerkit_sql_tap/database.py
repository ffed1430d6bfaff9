"""What databases that are asked in SQL, by a driver as PEP 249 has it, do alike of `singerkit_sql_tap.contract.Database`.

A connector adds how it connects, how it lists tables, and what tells that rows are still those that were read.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from itertools import chain
from typing import Any, Generic, Protocol, TypeVar

from singerkit_shell.errors import ConfigurationError
from singerkit_sql_tap.contract import KeyOrder, Row
from singerkit_sql_tap.looks import Look, Spelling, look_columns, look_problem, spelling_columns
from singerkit_sql_tap.queries import Condition, Query, page_query, quoted
from singerkit_sql_tap.tables import Column, Table
from singerkit_sql_tap.waiting import DriverErrors, Waiting

__all__ = ["SqlDatabase"]

_T = TypeVar("_T")
_BATCH_ROWS = 1_000
_MOST_LOOKS = 10
"""More than there are types: of so many, two or more are texts, which have no order then."""


class Connection(Protocol):
    """What is asked of a connection of any driver."""

    def cursor(self) -> Any:
        """Return what runs a statement."""
        ...

    def close(self) -> None:
        """Let go of the database, and of temporary tables."""
        ...


_C = TypeVar("_C", bound=Connection)


class SqlDatabase(ABC, Generic[_C]):
    """One database, with one connection, which is opened by the first call; ``place`` is shown in errors."""

    placeholder = "?"
    promises_types = False
    quote = '"'

    def __init__(
        self,
        place: str,
        errors: DriverErrors,
        config: Mapping[str, Any],
        logger: logging.Logger,
        *,
        longest_wait: float = 0,
    ) -> None:
        """``longest_wait``: seconds to wait where others hold what is asked for."""
        self.config, self.logger = config, logger
        self._waiting = Waiting(
            place, errors, logger, longest=longest_wait, query_timeout=config.get("query_timeout")
        )
        self._connection: _C | None = None
        self._spools = 0

    # What a connector adds, besides `fingerprint` and `changes` of the contract

    @abstractmethod
    def connected(self) -> _C:
        """Return a new connection; nothing is asked yet."""

    @abstractmethod
    def begin(self, connection: _C) -> None:
        """Make settings, and begin what covers the run; called once for each connection."""

    @abstractmethod
    def listed_tables(self) -> list[Table]:
        """Return all tables and views, by few queries."""

    @abstractmethod
    def type_of(self, column: Column) -> str:
        """Return what asks for the type of a value of a column: `integer`, `real`, `text`, `null`, or another name."""

    @abstractmethod
    def is_utf8(self) -> bool:
        """Tell whether texts are compared by the code points of UTF-8."""

    @abstractmethod
    def fill_spool(self, name: str, key: str, columns: Sequence[str], query: Query, doing: str) -> str:
        """Make a temporary table of the rows that a query gives, numbered by ``key``; return the schema that it is in."""

    # The connection

    @property
    def connection(self) -> _C:
        if self._connection is None:
            self._connection = self.connected()
            self.begin(self._connection)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def is_to_end(self) -> bool:
        """Look, while a query runs, whether somebody wants it to end."""
        return self._waiting.is_to_end()

    def run(self, work: Callable[[], _T], doing: str) -> _T:
        """Return what ``work`` returns; ``doing`` is named in errors. See `Waiting.run`."""
        return self._waiting.run(work, doing)

    def taken(self, query: Query, take: Callable[[Iterable[Sequence[Row]]], _T], doing: str) -> _T:
        """Return what ``take`` makes of the rows of a query, which come in batches; it begins anew where the query does."""
        connection = self.connection

        def asked() -> _T:
            with closing(connection.cursor()) as cursor:
                cursor.execute(query.sql, query.parameters)
                return take(iter(lambda: cursor.fetchmany(_BATCH_ROWS), []))

        return self.run(asked, doing)

    def rows(self, query: Query, doing: str) -> list[Row]:
        """Return all rows of a query that gives few."""
        return self.taken(query, _all, doing)

    def fetch(self, query: Query, limit: int, table: Table) -> list[Row]:  # noqa: ARG002  for overriding
        return self.rows(query, f"reading table `{table.name}`")

    def look(
        self,
        table: Table,
        expressions: Sequence[str],
        where: Sequence[Condition] = (),
        limit: int | None = None,
        *,
        distinct: bool = False,
    ) -> list[Row]:
        """Return what ``expressions`` are of the rows of a table."""
        query = page_query(self.source(table), expressions, where, (), limit, distinct=distinct)
        return self.rows(query, f"looking at the values of `{table.name}`")

    # Names

    def quoted(self, name: str) -> str:
        return quoted(name, self.quote)

    def source(self, table: Table) -> str:
        return f"{self.quoted(table.schema_name)}.{self.quoted(table.relation or table.name)} AS t"

    def column(self, name: str) -> str:
        return f"t.{self.quoted(name)}"

    def compared(self, table: Table, name: str) -> str:  # noqa: ARG002  for overriding
        return self.column(name)

    # Discovery

    @cached_property
    def _tables(self) -> list[Table]:
        return self.listed_tables()

    def tables(self) -> Sequence[Table]:
        return self._tables

    def found_types(
        self,
        table: Table,
        columns: Sequence[str],
        where: Sequence[Condition],  # noqa: ARG002  for overriding
    ) -> Mapping[str, dict[str, Any]]:
        """Return what is declared, which is a promise; see `singerkit_sql_tap.learning` where it is none."""
        return {name: table.column(name).schema for name in columns}

    def row_count(self, table: Table) -> int | None:
        ((count,),) = self.look(table, ["count(*)"])
        return int(count)

    # Replication keys and times of keys

    def as_text(self, column: str) -> str:
        """Return a column of ``t`` as it is looked at where it holds text."""
        return self.column(column)

    def spellings(self, table: Table, column: str) -> Collection[Spelling]:
        texts = Condition(f"{self.type_of(table.column(column))} = 'text'")
        return self.look(table, spelling_columns(self.as_text(column)), [texts], distinct=True)

    def key_order(self, table: Table, column: str, told: str | None) -> KeyOrder:
        """Look at how all values of the key are written."""
        looked = look_columns(self.as_text(column), self.type_of(table.column(column)))
        looks = self.look(table, looked, limit=_MOST_LOOKS, distinct=True)
        problem = look_problem(looks, told, is_utf8=self.is_utf8())
        if problem is not None:
            raise ConfigurationError(
                f"The replication key `{column}` of stream `{table.name}` {problem}; no row was read. Correct the values, choose "
                "another key, or read the stream as a whole."
            )
        return Look(looks, told)

    def below_open(self, table: Table, key: str, where: Sequence[Condition]) -> list[Condition]:  # noqa: ARG002  for overriding
        """Return nothing: of a database that lets one write at a time."""
        return []

    # Tables without a key

    def spooled(self, table: Table, columns: Sequence[str], where: Sequence[Condition]) -> Table:
        """Put the rows into a temporary table, so that no lock is held while they are sent."""
        self._spools += 1
        name = f"spool_{self._spools}"
        key = "k"
        while key in map(str.lower, columns):
            key += "_"
        query = page_query(self.source(table), [self.column(column) for column in columns], where, (), None)
        schema = self.fill_spool(name, key, columns, query, f"reading `{table.name}`")
        return Table(name, table.columns, chunk_key=(f"t.{key}",), schema_name=schema)


def _all(batches: Iterable[Sequence[Row]]) -> list[Row]:
    return [*chain.from_iterable(batches)]
