"""A table without a key in ranges of its blocks, all as of one moment; and whether a load that was cut off can go on (decision 75).

A row has no name here but its place, and an update gives it another one: of two moments, one may have it where the other has been
already, or it may be met twice. So a run reads all ranges in one snapshot. A later run has another one, and goes on only if all rows that
were sent stand where they stood: then each row that is new to it, wherever it stands, was not sent, and none that was sent has moved
to where it is still to be read. Numbers of transactions tell both, by `xmin` of each row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, NamedTuple, cast

import msgspec

from singerkit_sql_tap.queries import Condition
from singerkit_sql_tap.tables import Table
from singerkit_wire.readyrows import ReadyRows
from tap_postgres.catalog import PgColumn
from tap_postgres.database import Moment, PostgresDatabase

__all__ = ["HeapWalk", "Place"]

_FIRST_BLOCKS = 256
_MOST_BLOCKS = 16_384
_LIVES = 2**31
"""Numbers of transactions of which a row's 32 bits still tell whether they are before or behind one."""
_BITS = 2**32 - 1


@dataclass(frozen=True)
class Place:
    """How far a load has come: the rows below block ``blocks`` were sent, as they were when ``oldest`` was the oldest open transaction.

    ``columns``: a sum of those that were sent; None: nobody has noted it. One that is dropped and added again leaves rows and file as they are.
    """

    blocks: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    rows: int
    oldest: int
    file: int
    server: str
    columns: str | None = None

    @classmethod
    def of(cls, position: Mapping[str, Any]) -> Place | None:
        """Return what a state says; None: nothing that can be understood."""
        try:
            return msgspec.convert({name: position.get(name) for name in cls.__dataclass_fields__}, cls)
        except msgspec.ValidationError:
            return None

    def written(self) -> dict[str, Any]:
        return asdict(self)


class HeapWalk:
    """The rows of a table that ``where`` leaves, a range of blocks at a time, in one transaction."""

    def __init__(
        self,
        database: PostgresDatabase,
        table: Table,
        columns: Sequence[str],
        where: Sequence[Condition],
        *,
        most_rows: int | None = None,
    ) -> None:
        """``most_rows``: how many a range has, as far as blocks allow; None: as many as are soon sent."""
        self._database, self._table, self._columns, self._where = database, table, columns, list(where)
        self._most_rows = most_rows
        self._is_open = False
        self._moment: Moment | None = None

    # The transaction

    def _begin(self) -> Moment | None:
        if not self._is_open:
            self._moment = self._database.begin_as_of_now(self._table)
            self._is_open = True
        return self._moment

    def end(self) -> None:
        """Let go of the snapshot."""
        if self._is_open:
            self._is_open = False
            self._database.end_as_of_now()

    # A load that was cut off

    def why_not_behind(self, place: Place) -> str | None:
        """Return why a load cannot go on at ``place``, by the snapshot that is read from then on; None: it can."""
        moment = self._begin()
        if moment is None or moment.server != place.server:
            return "the server is another one by now, a standby, or one that was restored or promoted"
        if moment.file != place.file:
            return "the table has been written anew since (VACUUM FULL, CLUSTER, TRUNCATE or ALTER TABLE)"
        if place.columns not in (None, self._sum_of_columns):
            return "its columns are others since (ALTER TABLE, or another selection), so that rows that it had sent would have other values"
        if not 0 <= moment.next - place.oldest < _LIVES:
            return "that was too many transactions ago"
        sent = self._database.count(self._table, [*self._where, _below(place.blocks), _as_old(moment, place)])
        if sent != place.rows:
            return (
                "rows that it had sent were updated or deleted since, or came from transactions that were not the oldest of "
                "the server then, so that others might come twice or not at all"
            )
        return None

    @cached_property
    def _sum_of_columns(self) -> str:
        columns = [cast(PgColumn, self._table.column(name)) for name in self._columns]
        said = "\0".join(f"{one.name}\0{one.number}\0{one.type_oid}" for one in columns)
        return hashlib.sha256(said.encode()).hexdigest()[:12]

    # Rows

    def chunks(self, place: Place | None) -> Generator[tuple[ReadyRows, Place | None]]:
        """Yield rows, and at the end of each range the place behind it; behind ``place``, of which `why_not_behind` has told that it can be."""
        try:
            moment = self._begin()
            if moment is None:
                yield from (
                    (rows, None)
                    for rows in self._database.pages_as_of_now(self._table, self._columns, self._where)
                )
                return
            rows = 0 if place is None else place.rows
            size = _Size(self._most_rows, self._database.chunk_bytes)
            found = self._database.ranges_as_of_now(
                self._table, self._columns, self._ranges(moment, place, size)
            )
            with closing(found) as ranges:
                for blocks, pages in ranges:
                    behind = Place(
                        blocks.stop, rows, moment.oldest, moment.file, moment.server, self._sum_of_columns
                    )
                    weight = yield from self._range(pages, behind)
                    size.follow(len(blocks), weight.rows - rows, weight.bytes)
                    rows = weight.rows
        finally:
            self.end()

    def _ranges(
        self, moment: Moment, place: Place | None, size: _Size
    ) -> Iterator[tuple[Sequence[Condition], range]]:
        """Yield the conditions of each range, and its blocks; of those before ``place`` only what has come since."""
        at = 0
        if place is not None:
            at = place.blocks
            yield [*self._where, _below(at), _as_old(moment, place, is_old=False)], range(at)
        while at < moment.blocks:
            end = min(at + size.blocks, moment.blocks)
            yield [*self._where, _from(at), _below(end)], range(at, end)
            at = end

    def _range(
        self, pages: Iterator[ReadyRows], behind: Place
    ) -> Generator[tuple[ReadyRows, Place | None], None, _Weight]:
        """Yield the rows of a range, and then the place ``behind`` it, with how many there are up to it."""
        found = _Weight(behind.rows, 0)
        for page in pages:
            yield page, None
            found = _Weight(found.rows + len(page), found.bytes + len(page.block))
        yield ReadyRows(b"", self._columns), replace(behind, rows=found.rows)
        return found


class _Weight(NamedTuple):
    """How many rows there are up to a place, and how many bytes those of its range have."""

    rows: int
    bytes: int


@dataclass
class _Size:
    """How many blocks the next range has; ``most_rows``: how many rows there may be in it."""

    most_rows: int | None
    target: int
    """Bytes that its rows are to weigh."""
    blocks: int = field(init=False)

    def __post_init__(self) -> None:
        self.blocks = _FIRST_BLOCKS if self.most_rows is None else 1

    def follow(self, blocks: int, rows: int, weight: int) -> None:
        """Learn how many rows there were in so many blocks, and what they weighed, in bytes."""
        fitting = self.target * blocks // max(1, weight)
        if self.most_rows is not None:
            fitting = min(fitting, self.most_rows * blocks // max(1, rows))
        self.blocks = max(1, min(fitting, 4 * blocks, _MOST_BLOCKS))


def _from(block: int) -> Condition:
    return Condition("t.ctid >= %s::pg_catalog.tid", (f"({block},0)",))


def _below(block: int) -> Condition:
    return Condition("t.ctid < %s::pg_catalog.tid", (f"({block},0)",))


def _as_old(moment: Moment, place: Place, *, is_old: bool = True) -> Condition:
    """Return the condition that a row was there already when a load had come to ``place``, as far as that is certain; or that it is not.

    Frozen rows keep their number, which may have been given out again since: one that looks new counts as new, so that fewer are found than were sent.
    """
    behind = f"((%s - t.xmin::pg_catalog.text::bigint) & {_BITS}) {'>' if is_old else '<='} %s"
    return Condition(behind, (moment.next, moment.next - place.oldest))
