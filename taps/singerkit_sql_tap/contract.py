"""The contract of a database: what a tap writes for its own, and when the shared layer calls it.

Every method raises what `singerkit_tap.contract` lists; a stop signal ends a query that runs (`Stopped`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from singerkit_sql_tap.looks import Spelling
from singerkit_sql_tap.queries import Condition, Query
from singerkit_sql_tap.tables import Table
from singerkit_state.shards import Shard

__all__ = ["Database", "KeyOrder", "Row", "TooWide"]

Row = tuple[Any, ...]


class TooWide(Exception):
    """The rows that were asked for would take too much memory: ask for fewer."""


class KeyOrder(Protocol):
    """How the values of a replication key compare in the database."""

    def asked(self, value: Any) -> Any:
        """Return what to ask for, so that all rows at or above ``value``, a bookmark or a start date, come.

        Others that come are passed over by the engine. None: all have to be asked for.
        """
        ...


class Database(Protocol):
    """One database, with one connection, which is opened by the first call."""

    placeholder: str
    """What stands for a value in a statement."""
    promises_types: bool
    """Whether what is declared of a column holds for all its values, so that nothing has to be learned of them."""

    def tables(self) -> Sequence[Table]:
        """Return all tables and views, by few queries; called once per process."""
        ...

    def quoted(self, name: str) -> str:
        """Return a name as it may stand in a statement, whatever is in it."""
        ...

    def source(self, table: Table) -> str:
        """Return a table as it stands after FROM, with the alias ``t``."""
        ...

    def column(self, name: str) -> str:
        """Return a column of ``t`` as it is selected."""
        ...

    def compared(self, table: Table, name: str) -> str:
        """Return a column of ``t``, which stands for ``table``, as it is compared and sorted: in the order of `singerkit_state.order`."""
        ...

    def parts(self, table: Table, keys: Sequence[str]) -> str:
        """Return in words what `in_shard` makes of ``keys``; whatever would tell rows to other shards makes other words."""
        ...

    def in_shard(self, table: Table, keys: Sequence[str], shard: Shard) -> Condition:
        """Return the condition that a row of ``t`` is of a shard, by the values of ``keys`` and nothing else: true for one shard of all."""
        ...

    def fetch(self, query: Query, limit: int, table: Table) -> list[Row]:
        """Run a query that gives ``limit`` rows at most, and let go of whatever it held.

        ``table`` is named in errors. What cannot be given as it is stored ends the run at the places that are `Query.exact`,
        whatever the config says of such values.

        Raises:
            TooWide: the rows are too large to hold so many; never with a limit of 1.
        """
        ...

    def found_types(
        self, table: Table, columns: Sequence[str], where: Sequence[Condition]
    ) -> Mapping[str, dict[str, Any]]:
        """Return the schema of each column as its values are; a column without a value is left out.

        Called once per stream and run, before its SCHEMA, unless a catalog has the schema. A database whose declared
        types are a promise returns them.
        """
        ...

    def spellings(self, table: Table, column: str) -> Collection[Spelling]:
        """Return the ways (`singerkit_sql_tap.looks.spelling_of`) in which the times of a column of text are written, in all rows.

        Called before each read, for columns of a key that are declared as ``date-time``.
        """
        ...

    def row_count(self, table: Table) -> int | None:
        """Return how many rows there are, about, for the catalog; None: that is not known."""
        ...

    def key_order(self, table: Table, column: str, told: str | None) -> KeyOrder:
        """Return how a replication key compares; ``told`` is what the config says of its format. Called before each read.

        Raises:
            ConfigurationError: the database compares the values otherwise than the engine.
        """
        ...

    def below_open(self, table: Table, key: str, where: Sequence[Condition]) -> list[Condition]:
        """Return what keeps a read of ``where`` below all that transactions which are open now may commit later; asked once its end is known."""
        ...

    def spooled(self, table: Table, columns: Sequence[str], where: Sequence[Condition]) -> Table:
        """Return a copy of the rows of a table without a `Table.chunk_key`, which has one."""
        ...

    def fingerprint(self, table: Table) -> str:
        """Return what stays the same as long as a `Table.chunk_key` names the same rows; asked for with each chunk."""
        ...

    def changes(self) -> object:
        """Return what stays equal as long as nobody else has committed anything; asked for with each chunk, where rows move."""
        ...

    def close(self) -> None:
        """Close the connection and drop what `spooled` has made."""
        ...
