"""A table in chunks, each asked for by the key of the last row before it: never by OFFSET, and never held longer than a chunk.

How many rows a chunk has follows from what they weigh, so that memory stays flat whatever stands in a table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from singerkit_shell.errors import RetryableError
from singerkit_sql_tap.contract import Database, Row, TooWide
from singerkit_sql_tap.queries import Condition, Query, above, at, page_query, top_query, up_to
from singerkit_sql_tap.tables import Table
from singerkit_sql_tap.trail import Trail

__all__ = ["ChunkSize", "Walk"]

_TARGET_BYTES = 2 * 1024 * 1024
_FIRST_ROWS = 200
_MOST_ROWS = 1_000
"""More are slower: the rows of a chunk, and their lines, then fit into no cache of a processor."""


@dataclass
class ChunkSize:
    """How many rows are asked for next."""

    rows: int = _FIRST_ROWS

    def follow(self, rows: int, weight: int) -> None:
        """Learn what ``rows`` rows have weighed, in bytes."""
        if rows:
            fitting = max(1, _TARGET_BYTES * rows // max(1, weight))
            self.rows = min(fitting, 4 * self.rows, _MOST_ROWS)

    def shrink(self) -> None:
        self.rows = max(1, self.rows // 8)


class Walk:
    """The rows of a table that ``where`` leaves, in the order of ``key``, which is unique; ``columns`` are selected.

    What was there when the walk began is read to its end, and not what is added behind it meanwhile.
    """

    def __init__(
        self,
        database: Database,
        table: Table,
        columns: Sequence[str],
        key: Sequence[str],
        where: Sequence[Condition] = (),
        names: Sequence[str] = (),
        exact: Collection[str] = (),
    ) -> None:
        """``names``: the columns that tell rows apart where their numbers may change; none: all of a row does.

        ``exact``: columns whose values may not come otherwise than they are stored, besides those of ``key``.
        """
        self._database, self._table, self._where = database, table, list(where)
        self._key = tuple(key)
        self._source = database.source(table)
        places = {database.column(name): number for number, name in enumerate(columns)}
        places |= {database.compared(table, name): number for number, name in enumerate(columns)}
        more = [part for part in self._key if part not in places]
        places |= {part: number for number, part in enumerate(more, len(columns))}
        self._selected = [*map(database.column, columns), *more]
        self._width = len(columns)
        self._places = [places[part] for part in self._key]
        self._exact = {*self._places, *(number for number, name in enumerate(columns) if name in exact)}
        telling = [
            *(places[database.column(name)] for name in names),
            *range(len(columns), len(self._selected)),
        ]
        self.trail = (
            Trail(telling if len(names) and len(telling) > 1 else None) if table.is_followed else None
        )
        """What was read; None: a load goes on whatever has become of the rows before."""
        self._moving = self.trail if table.rows_move else None
        self.size = ChunkSize()

    def chunks(self, after: Sequence[object] | None = None) -> Iterator[tuple[list[Row], Row]]:
        """Yield rows with the key of the last of them, from behind ``after`` on."""
        mark = self._database.placeholder
        changes = self._changes()
        top = self._fetched(top_query(self._source, self._where, self._key))
        if top is None:
            return
        where = [*self._where, up_to(self._key, top, mark)]
        named = self._database.fingerprint(self._table)
        top_row: Row | None = None
        known: list[Row] = []
        while True:
            wanted = self.size.rows
            behind = [] if after is None else [above(self._key, after, mark)]
            query = page_query(
                self._source, self._selected, [*where, *behind], self._key, wanted, self._exact
            )
            try:
                rows = self._database.fetch(query, wanted, self._table)
            except TooWide:
                self.size.shrink()
                continue
            # Of no rows, too: those that were left may have the numbers of others by now.
            if self._database.fingerprint(self._table) != named:
                raise RetryableError(
                    f"Table `{self._table.name}` was altered, or the database vacuumed, while it was read, after which its rows may have "
                    "other numbers; what was confirmed by the target is safe: run again."
                )
            now = self._changes()
            if self._moving is not None and known and now != changes:
                self._check_numbers(self._moving, known)
            if not rows:
                return
            if self.trail is not None:
                self.trail.add(rows)
            if self._moving is not None:
                if not known and len(rows) == wanted:
                    top_row = self._row_at(top)
                    if self._changes() != changes:  # its number may be another row's by now
                        top_row = None
                known = [rows[-1]] if top_row is None else [rows[-1], top_row]
                changes = now
            after = self._key_of(rows[-1])
            has_more_columns = len(self._selected) > self._width
            yield [row[: self._width] for row in rows] if has_more_columns else rows, after
            if len(rows) < wanted:
                return

    def _changes(self) -> object:
        """What others have committed matters only where rows may get other numbers."""
        return None if self._moving is None else self._database.changes()

    def _key_of(self, row: Row) -> Row:
        return tuple(row[place] for place in self._places)

    def _fetched(self, query: Query) -> Row | None:
        found = self._database.fetch(query, 1, self._table)
        return found[0] if found else None

    def _row_at(self, key: Row) -> Row | None:
        where = [at(self._key, key, self._database.placeholder)]
        return self._fetched(page_query(self._source, self._selected, where, self._key, 1))

    def _check_numbers(self, trail: Trail, known: Sequence[Row]) -> None:
        """See that one of the rows that are ``known`` has its number still.

        A database gives new rows numbers above all others: as long as one row stays, none that comes has a number below it.
        """
        for row in known:
            found = self._row_at(self._key_of(row))
            if found is not None and trail.are_one(row, found):
                return
        raise RetryableError(
            f"Rows of table `{self._table.name}`, which has no integer primary key, were deleted while it was read, and others may have "
            "their numbers now; what was confirmed by the target is safe: run again."
        )
