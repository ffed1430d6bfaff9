"""Rows wait here for their unit: parts in arrival order, in memory, or in tables that go with the session.

A safe point is a position, so going back to it needs no savepoint, and nothing of a unit is in a table of the user's
before the one transaction that commits it. Within a stream the order counts; between streams it does not.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from singerkit_sql_target.dialect import ORDER, Field, Session
from singerkit_sql_target.versions import Version
from singerkit_wire.ahead import AheadRows
from singerkit_wire.batch import WireRow
from singerkit_wire.values import plain_values
from singerkit_wire.wirecolumns import WireColumns

__all__ = ["Part", "Position", "Stage"]


_HELD_BYTES = 256 << 20
"""Rows of so many bytes, of all streams, are held in memory; then they go into tables of the store."""
_CELL_BYTES = 8
"""What a value takes at least, whatever it took of the input: one that most rows leave out is there as null."""
_ENCODED_ROWS = 1000
"""So many are worth encoding by themselves, which is twice as fast while their values are in the cache."""


@dataclass
class Part:
    """Rows of one stream with one set of columns and one key; with ``removes`` a row of values by which others are found that go.

    ``removals`` stand among the rows, and ``removed`` are tables of them, by their columns, when the rows are to be read: `ORDER` there is how
    many rows came before each.

    ``gathered`` are columns of batches, ``encoded`` rows as the store takes them: neither is in a table yet. ``table`` is that, if
    there is one, and ``source`` what the rows are read from, when they are to be read; both are quoted.
    """

    name: str
    fields: tuple[Field, ...]
    keys: tuple[str, ...] = ()
    removes: bool = False
    rows: int = 0
    gathered: list[list[Sequence[Any]]] = field(default_factory=list)
    encoded: list[Any] = field(default_factory=list)
    table: str | None = None
    source: str = ""
    removals: list[Part] = field(default_factory=list)
    removed: dict[tuple[Field, ...], str] = field(default_factory=dict)
    _unencoded: int = 0

    def takes_removal(self, fields: Sequence[Field], mark: str | None) -> bool:
        """Whether rows that go by values of ``fields`` may do so with all others, before any row is written: no row comes to them, or from them, by its key.

        ``mark``: the column in which they are marked.
        """
        asked, mine = {one.name for one in fields}, {one.name for one in self.fields}
        is_of_key = not self.keys or asked <= {*self.keys}
        return not self.removes and is_of_key and asked <= mine and (mark is None or mark in mine)

    def remove(self, session: Session, name: str, fields: tuple[Field, ...], row: WireRow) -> None:
        """Take away what has these values, of the rows so far."""
        removal = Part(name, fields, self.keys, removes=True)
        removal.gather(session, WireColumns([row]))
        removal.encode(session, first=self.rows)
        self.removals.append(removal)

    def gather(self, session: Session, rows: WireColumns) -> None:
        """Keep the columns of a batch, as values: what stands in its rows differs from batch to batch."""
        ready = rows.rows
        if isinstance(ready, AheadRows) and ready.fields == self.fields[: len(ready.fields)]:
            self._take_ready(session, ready)
            return
        on_wire = rows.make(len(self.fields))
        self.gathered.append(
            [plain_values(one.column, values) for one, values in zip(self.fields, on_wire, strict=True)]
        )
        self.rows += len(rows.rows)
        self._unencoded += len(rows.rows)
        if self._unencoded >= _ENCODED_ROWS:
            self.encode(session)

    def _take_ready(self, session: Session, rows: AheadRows) -> None:
        self.encode(session)
        more = self.fields[len(rows.fields) :]
        added = [plain_values(one.column, values) for one, values in zip(more, rows.added, strict=True)]
        self.encoded.append(session.made_ahead(rows.ready, more, added, len(rows), self.rows))
        self.rows += len(rows)

    def encode(self, session: Session, first: int | None = None) -> None:
        """Have what waits as the store takes it; numbered from ``first``, or behind what was encoded before."""
        if self.gathered:
            columns = [_joined(parts) for parts in zip(*self.gathered, strict=True)]
            first = self.rows - self._unencoded if first is None else first
            self.encoded.append(session.encoded(self.fields, columns, first))
            self.gathered, self._unencoded = [], 0

    def flush(self, session: Session) -> None:
        """Put what waits into the table."""
        self.encode(session)
        if self.table is None:
            session.withdraw(self.name)
            self.table = self.source = session.create_stage(self.name, self.fields)
        if self.encoded:
            session.append(self.table, self.encoded)
            self.encoded = []

    def offer(self, session: Session) -> None:
        """Have the rows read from where they are, if the store can, else from the table."""
        self.encode(session)
        offered = None if self.table else session.offer(self.name, self.fields, self.encoded)
        if offered is None:
            self.flush(session)
        else:
            self.source = offered

    def offer_removals(self, session: Session) -> None:
        """Have the values of all removals in tables, one for those of the same columns."""
        for removal in self.removals:
            if removal.fields not in self.removed:
                self.removed[removal.fields] = session.create_stage(f"{removal.name}_all", removal.fields)
            table = self.removed[removal.fields]
            if removal.table is None:
                session.append(table, removal.encoded)
            else:
                session.execute(f"INSERT INTO {table} SELECT * FROM {removal.table}")

    def drop(self, session: Session) -> None:
        for removal in self.removals:
            removal.drop(session)
        for table in self.removed.values():
            session.execute(f"DROP TABLE {table}")
        if self.table is None:
            session.withdraw(self.name)
        else:
            session.execute(f"DROP TABLE {self.table}")


def _joined(parts: Sequence[Sequence[Any]]) -> Sequence[Any]:
    return parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))


Position = Mapping[str, tuple[int, int, int]]
"""By stream: how many parts there are, and how many rows the last one has, and removals among them."""


class Stage:
    """The parts of the unit in hand, by stream."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Part | Version]] = {}
        self._names = f"_singerkit_stage_{uuid.uuid4().hex}"
        """Names of no table of the user's: DuckDB takes a temporary table for one of that name in `main`."""
        self._made = 0
        self.overwritten: dict[str, bool] = {}
        """The streams whose loads are complete, and of each whether rows that did not come go."""
        self.following: set[str] = set()
        """Streams of lists whose elements go with records that others have taken the place of."""
        self.held = 0

    def append(
        self,
        session: Session,
        stream: str,
        fields: Sequence[Field],
        rows: WireColumns,
        size: int,
        keys: tuple[str, ...] = (),
    ) -> None:
        """Put rows behind those that wait; they have come in ``size`` bytes, and replace others by ``keys``.

        In memory, where they stay until `flush`: the session is only asked how it takes them (`Session.encoded`).
        """
        fields = tuple(fields)
        part = self._last_part(stream)
        if part is None or part.removes or (part.fields, part.keys) != (fields, keys):
            part = self._new_part(stream, fields, keys)
        part.gather(session, rows)
        self.held += max(size, len(rows.rows) * len(fields) * _CELL_BYTES)

    def remove(
        self,
        session: Session,
        stream: str,
        fields: Sequence[Field],
        row: WireRow,
        keys: tuple[str, ...],
        mark: str | None,
    ) -> None:
        """Have rows go that have these values, behind those that wait, which go too; ``mark``: the column in which they are marked instead."""
        fields = tuple(fields)
        part = self._last_part(stream)
        if part is not None and part.takes_removal(fields, mark):
            self._made += 1
            part.remove(session, f"{self._names}_{self._made}", fields, row)
        else:
            self._new_part(stream, fields, keys, removes=True).gather(session, WireColumns([row]))

    def _last_part(self, stream: str) -> Part | None:
        parts = self._parts.get(stream)
        return parts[-1] if parts and isinstance(parts[-1], Part) else None

    def _new_part(
        self, stream: str, fields: tuple[Field, ...], keys: tuple[str, ...], *, removes: bool = False
    ) -> Part:
        self._made += 1
        part = Part(f"{self._names}_{self._made}", fields, keys, removes)
        self._parts.setdefault(stream, []).append(part)
        return part

    def is_full(self, besides: int = 0) -> bool:
        """Whether so much is held, and as many bytes elsewhere, that it had better be flushed."""
        return self.held + besides >= _HELD_BYTES

    def flush(self, session: Session) -> None:
        """Have all rows in the tables of their parts."""
        for _, part in self:
            if isinstance(part, Part):
                part.flush(session)
        self.held = 0

    def offer(self, session: Session, is_read_twice: Callable[[str], bool]) -> None:
        """Have all rows read, from the `source` of their parts; what a statement reads twice is in a table."""
        for stream, part in self:
            if isinstance(part, Part) and (part.removes or part.removals or is_read_twice(stream)):
                part.flush(session)
            elif isinstance(part, Part):
                part.offer(session)
            if isinstance(part, Part):
                part.offer_removals(session)

    def activate(self, stream: str, version: Version) -> None:
        """Put an ACTIVATE_VERSION behind the rows that wait."""
        self._parts.setdefault(stream, []).append(version)

    def overwrite(self, stream: str, *, removes: bool) -> None:
        """Note that all rows of a load have come, and take the place of what the table has."""
        self.overwritten[stream] = removes

    def replaced(self) -> set[str]:
        """The streams of which rows are taken away by their values."""
        found = {
            stream for stream, part in self if isinstance(part, Part) and (part.removes or part.removals)
        }
        return found | self.following

    def rows_of(self, stream: str) -> list[Part]:
        """The parts of a stream that hold rows."""
        return list(self._rows_of(stream))

    def give_up(self, session: Session, stream: str) -> None:
        """Give up what waits of a stream."""
        for part in self._parts.pop(stream, ()):
            _drop(session, part)

    def activated(self) -> set[str]:
        """The streams of which a version is activated."""
        return {stream for stream, part in self if isinstance(part, Version)}

    def types(self, stream: str) -> Mapping[str, str]:
        """The columns of a stream in which values wait, with the types that they have here."""
        return {one.name: one.type for part in self._with_values(stream) for one in part.fields}

    def change(self, session: Session, stream: str, column: str, quoted: str, type_: str, using: str) -> None:
        """Give a column another type in the rows of a stream that wait, as its table gets it; ``using`` as in `Session.alter`."""
        for part in self._with_values(stream):
            if any(one.name == column and one.type != type_ for one in part.fields):
                part.flush(session)
                session.alter(str(part.table), quoted, type_, is_new=False, using=using)
                part.fields = tuple(
                    replace(one, type=type_) if one.name == column else one for one in part.fields
                )

    def __iter__(self) -> Iterator[tuple[str, Part | Version]]:
        """Yield stream and part; those of a stream in their order."""
        for stream, parts in self._parts.items():
            for part in parts:
                yield stream, part

    def position(self) -> Position:
        return {
            stream: (len(parts), last.rows, len(last.removals))
            if isinstance(last, Part)
            else (len(parts), 0, 0)
            for stream, parts in self._parts.items()
            if parts and (last := parts[-1])
        }

    def back_to(self, session: Session, position: Position) -> None:
        """Give up what came after ``position``."""
        self.flush(session)
        for stream, parts in self._parts.items():
            count, rows, removals = position.get(stream, (0, 0, 0))
            for part in parts[count:]:
                _drop(session, part)
            del parts[count:]
            last = parts[-1] if parts else None
            if isinstance(last, Part):
                for removal in last.removals[removals:]:
                    removal.drop(session)
                del last.removals[removals:]
            if isinstance(last, Part) and last.rows > rows:
                session.execute(f"DELETE FROM {last.table} WHERE {ORDER} >= ?", [rows])
                last.rows = rows

    def clear(self, session: Session) -> None:
        """The unit is committed, or given up."""
        for _, part in self:
            _drop(session, part)
        self.forget()

    def forget(self) -> None:
        """The session is gone, and what waited in it."""
        self._parts.clear()
        self.overwritten.clear()
        self.following.clear()
        self.held = 0

    def _rows_of(self, stream: str) -> Iterator[Part]:
        return (part for part in self._parts.get(stream, ()) if isinstance(part, Part))

    def _with_values(self, stream: str) -> Iterator[Part]:
        """What holds values of a stream: its parts, and the removals among their rows."""
        for part in self._rows_of(stream):
            yield from (part, *part.removals)


def _drop(session: Session, part: Part | Version) -> None:
    if isinstance(part, Part):
        part.drop(session)
