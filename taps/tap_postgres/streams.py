"""A table or view of PostgreSQL as a stream: the server makes JSON of its rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import cast

from singerkit_sql_tap.incremental import NullKeys
from singerkit_sql_tap.queries import Condition
from singerkit_sql_tap.rawchunks import RawWalk
from singerkit_sql_tap.streams import TableStream
from singerkit_sql_tap.tables import Table
from singerkit_tap.changes import reset_of
from singerkit_tap.contract import Context, Page, Start
from tap_postgres.catalog import PgColumn
from tap_postgres.database import PostgresDatabase
from tap_postgres.other_states import problem_of
from tap_postgres.unusual import UnusualValues

__all__ = ["PostgresStream"]


class PostgresStream(TableStream):
    """One table or view."""

    @cached_property
    def _unusual(self) -> UnusualValues:
        return UnusualValues(
            self.name,
            self.table,
            self._selected,
            self.config,
            keys=self.primary_keys,
            goes_on_by=self.bookmark_key,
        )

    def order_problem(self) -> str | None:
        """Say why the bookmark of another tap cannot be gone on from."""
        part = (self.tap.start_state.get("bookmarks") or {}).get(self.name)
        column = cast(PgColumn, self.table.column(str(self.bookmark_key)))
        problem = (
            problem_of(part, column, has_key=bool(self.primary_keys)) if isinstance(part, Mapping) else None
        )
        return problem and (
            f"The state of stream `{self.name}` is one of another tap, and cannot be continued: {problem}; nothing was read. "
            f"Start the stream over: run {reset_of(self)}"
        )

    def read_pages(self, context: Context | None, start: Start) -> Iterator[Page]:  # noqa: ARG002  tables have no contexts
        """Yield the rows as the server gives them; see `singerkit_tap.contract`."""
        columns = self._selected
        load = self._load_of(columns)
        unusual, nulls = self._unusual, NullKeys()
        try:
            for walk, after, is_safe in self._walks(columns, start):
                for rows, behind in cast(RawWalk, walk).chunks(after):
                    nulls.count(0 if is_safe else len(rows))
                    position = None if behind is None else self._position(behind, load, None)
                    yield Page(unusual.settled(rows), is_safe=is_safe, position=position)
        finally:
            unusual.tell(self.logger)
            nulls.tell(self.logger, self.name, self.bookmark_key)

    def _walk(  # type: ignore[override]  # the rows of this one are JSON already
        self,
        table: Table,  # noqa: ARG002  always that of the stream
        columns: Sequence[str],
        key: Sequence[str],
        where: Sequence[Condition] = (),
        names: Collection[str] = (),  # noqa: ARG002  rows have no numbers here
    ) -> RawWalk:
        database = cast(PostgresDatabase, self._database)
        return RawWalk(
            database, self._unusual.table, columns, key, where, is_sorted=self.bookmark_key is not None
        )

    def _walkable(
        self,
        columns: Sequence[str],  # noqa: ARG002  nothing is copied
        where: Sequence[Condition],
    ) -> tuple[Table, Sequence[Condition]]:
        """Return the table: one without a key is read at once."""
        return self.table, where
