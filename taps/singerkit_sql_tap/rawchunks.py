"""A table in chunks whose rows the database itself makes JSON of: ranges of its key, each asked for from its first row to its last.

The last row of a chunk is found first, by the index alone; the rows up to it then need no order, and no count.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Protocol, TypeVar

from singerkit_sql_tap.contract import Database, Row
from singerkit_sql_tap.queries import Condition, Query, above, top_query, up_to
from singerkit_sql_tap.tables import Table
from singerkit_sql_tap.trail import Trail
from singerkit_wire.readyrows import ReadyRows

__all__ = ["CHUNK_BYTES", "RawDatabase", "RawSize", "RawWalk"]

_T = TypeVar("_T")

CHUNK_BYTES = 16 * 1024 * 1024
_FIRST_ROWS = 5_000
_MOST_ROWS = 50_000


class RawDatabase(Database, Protocol):
    """A database that makes JSON of its rows."""

    def last_of(self, table: Table, key: Sequence[str], where: Sequence[Condition], rows: int) -> Row | None:
        """Return the ``key`` of the row that stands ``rows`` rows behind the beginning of what ``where`` leaves; None: there are fewer."""
        ...

    def raw_pages(
        self, table: Table, columns: Sequence[str], where: Sequence[Condition], order: Sequence[str]
    ) -> Iterator[ReadyRows]:
        """Yield rows as JSON objects of ``columns``, of all that ``where`` leaves; ``order``: () for any."""
        ...

    def raw_ranges(
        self,
        table: Table,
        columns: Sequence[str],
        ranges: Iterator[tuple[Sequence[Condition], _T]],
        order: Sequence[str],
    ) -> Generator[tuple[_T, Iterator[ReadyRows]]]:
        """Yield what comes with each of ``ranges``, and its rows as `raw_pages` does; of the next ones some may be asked for already."""
        ...

    @property
    def chunk_bytes(self) -> int:
        """How much the rows of a range may weigh, about, all that are read at a time beside each other."""
        ...


class RawSize:
    """How many ``rows`` the next chunk has: ``target`` bytes of them, about, and ``most`` at most."""

    def __init__(self, target: int, most: int | None = None) -> None:
        self._target = target
        self._most = _MOST_ROWS if most is None else min(most, _MOST_ROWS)
        self.rows = min(_FIRST_ROWS, self._most)

    def follow(self, rows: int, weight: int) -> None:
        """Learn what ``rows`` rows have weighed, in bytes."""
        if rows:
            self.rows = max(1, min(self._target * rows // max(1, weight), 4 * self.rows, self._most))


class RawWalk:
    """The rows of a table that ``where`` leaves, chunk by chunk in the order of ``key``, which is unique; of none: all at once.

    What was there when the walk began is read to its end, and not what is added behind it meanwhile.
    """

    trail: Trail | None = None
    """Rows have no numbers of which others could have come."""

    def __init__(
        self,
        database: RawDatabase,
        table: Table,
        columns: Sequence[str],
        key: Sequence[str],
        where: Sequence[Condition] = (),
        *,
        is_sorted: bool = False,
        most_rows: int | None = None,
    ) -> None:
        """``is_sorted``: rows within a chunk come in the order of the key, too. ``most_rows``: how many a chunk has; None: as many as are soon sent."""
        self._database, self._table, self._columns = database, table, columns
        self._key, self._where = tuple(key), list(where)
        self._order = self._key if is_sorted else ()
        self.size = RawSize(database.chunk_bytes, most_rows)

    def chunks(self, after: Sequence[object] | None = None) -> Generator[tuple[ReadyRows, Row | None]]:
        """Yield rows, from behind ``after`` on, and at the end of each chunk its last key, by which a load goes on."""
        if not self._key:
            yield from (
                (rows, None) for rows in self._database.raw_pages(self._table, self._columns, self._where, ())
            )
            return
        found = self._database.raw_ranges(self._table, self._columns, self._ranges(after), self._order)
        with closing(found) as ranges:
            for last, pages in ranges:
                yield from self._chunk(pages, last)

    def _ranges(self, after: Sequence[object] | None) -> Iterator[tuple[Sequence[Condition], Row]]:
        """Yield the conditions of each range, and the key of its last row."""
        mark = self._database.placeholder
        top = self._top()
        while top is not None and after != top:
            behind = [] if after is None else [above(self._key, after, mark)]
            where = [*self._where, *behind, up_to(self._key, top, mark)]
            last = self._database.last_of(self._table, self._key, where, self.size.rows)
            last = top if last is None else last
            yield [*self._where, *behind, up_to(self._key, last, mark)], last
            after = last

    def _top(self) -> Row | None:
        query: Query = top_query(self._database.source(self._table), self._where, self._key)
        found = self._database.fetch(query, 1, self._table)
        return found[0] if found else None

    def _chunk(self, pages: Iterator[ReadyRows], last: Row) -> Iterator[tuple[ReadyRows, Row | None]]:
        """Yield the rows of a chunk, and behind them its last key with none."""
        rows = weight = 0
        for page in pages:
            yield page, None
            rows, weight = rows + len(page), weight + len(page.block)
        yield ReadyRows(b"", self._columns), last
        self.size.follow(rows, weight)
