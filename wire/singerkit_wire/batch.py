"""Rows on their way from the wire into a target, and records that cannot go there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from singerkit_shell.words import counted
from singerkit_wire.kinds import Column
from singerkit_wire.messages import Message, Run
from singerkit_wire.values import values_of
from singerkit_wire.wirecolumns import WireColumns

if TYPE_CHECKING:
    import pyarrow

__all__ = ["SET_ASIDE_BY", "Batch", "Letters", "Reject", "WireRow", "told_set_aside"]

WireRow = tuple[Any, ...]
"""A row as the decoder left it: JSON text here, values there; see `Batch.wire_rows`."""


@dataclass(frozen=True)
class Batch:
    """Rows of one stream with the same columns.

    A target takes them in one of three forms. `rows` are Python values, the same whichever path has decoded them.
    `arrow` is the same in columns. ``wire_rows`` is for encoders of JSON and of COPY, which write most of it as it is;
    nobody may take it for values, since the same value stands there in several ways: numbers are `msgspec.Raw` (null
    among them as ``null``), or int, or str where they travel in text; text is `msgspec.Raw` *with its quotes*, or str;
    date-times may lack their offset; a JSON column has its text as str.

    ``places`` says for each row which line of ``run`` it was (of several with one key the last); without a run the rows
    are lines that follow each other.
    """

    columns: tuple[Column, ...]
    wire_rows: Sequence[WireRow]
    first_line: int
    places: Sequence[int] = ()
    run: Run | None = None
    seen: WireColumns | None = field(default=None, compare=False, repr=False)
    """Columns that the decoder has made, where they are those of ``wire_rows``; see `by_column`."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def by_column(self) -> WireColumns:
        """``wire_rows`` by column."""
        is_of_rows = self.seen is not None and self.seen.rows is self.wire_rows
        return self.seen if is_of_rows and self.seen is not None else WireColumns(self.wire_rows)

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows as values, None for null.

        By the kind of the column: int (`INTEGER`, `BIG_INTEGER`), Decimal with every digit that was sent (`NUMBER`),
        bool, str (`STRING`, `ANY_TEXT`), datetime that knows its offset, date, time without one (in UTC), UUID, bytes,
        and `JsonText` (`JSON`).
        """
        return list(zip(*self._values(), strict=True)) if self.columns else [() for _ in self.wire_rows]

    def _values(self) -> list[Sequence[Any]]:
        on_wire = self.by_column.make(len(self.columns))
        return [values_of(column, values) for column, values in zip(self.columns, on_wire, strict=True)]

    def arrow(self) -> pyarrow.RecordBatch:
        """Return the rows as one Arrow record batch: a column for each of ``columns``, of that name, in that order.

        The types are those of `singerkit_wire.arrow.arrow_schema`. Needs the extra `singerkit[arrow]`.

        Raises:
            DoesNotFit: a number has more digits than the type of its column, which never rounds.
            ConfigurationError: pyarrow is not installed.
        """
        from singerkit_wire.arrow import as_arrow

        return as_arrow(self.columns, self.by_column)

    def out_of(self, run: Run, kept: Sequence[int]) -> Batch:
        """Return the batch of rows decoded from the lines ``kept`` of a run; `places` are places in ``kept`` so far."""
        places = [kept[place] for place in self.places] if self.places else kept
        return replace(self, places=places, run=run)

    def letter(self, index: int, stream: str, path: str, reason: str) -> Reject:
        """Return the dead letter of a row that the target refused."""
        assert self.run is not None  # noqa: S101  rows come out of one
        place = self.places[index]
        record = self.run.data.split(b"\n")[place]
        return Reject(stream, self.run.line_number(place), path, reason, record)

    @property
    def lines(self) -> tuple[int, int]:
        """The numbers of its first and last line in the input."""
        if self.run is None:
            return self.first_line, self.first_line + len(self.wire_rows) - 1
        in_order = isinstance(self.places, range)  # as nearly always: nothing to search
        first, last = (self.places[0], self.places[-1]) if in_order else (min(self.places), max(self.places))
        return self.run.line_number(first), self.run.line_number(last)


@dataclass(frozen=True)
class Reject:
    """A record that cannot be stored: place, reason, and the record itself for the dead letter."""

    stream: str
    line: int
    path: str
    reason: str
    record: bytes


SET_ASIDE_BY = "set_aside_by"
"""What the message of such a record names beside it: where in a map the operation stands that could not work on it. It is half mapped."""


def told_set_aside(stream: str, count: int, place: str) -> str:
    """Return what is said of records that were set aside."""
    return f"Stream `{stream}`: {counted(count, 'record')} {'is' if count == 1 else 'are'} set aside in {place}, with the reasons."


class Letters(Message, frozen=True, gc=False):
    """Records that a map has set aside before they came to a target, among the messages of their stream; no line of the wire is such a message."""

    rejects: tuple[Reject, ...] = ()
