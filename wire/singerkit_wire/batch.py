"""Rows on their way from the wire into a target, and records that cannot go there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from singerkit_wire.messages import Run

__all__ = ["Batch", "Reject"]


@dataclass(frozen=True)
class Batch:
    """Rows of one stream with the same columns.

    Values: int, bool, str, None, datetime, date, time, UUID, bytes, and `msgspec.Raw` for numbers as they stood
    on the wire; JSON columns hold JSON text as str. ``places`` says for each row which line of ``run`` it was (of
    several with one key the last); without a run the rows are lines that follow each other.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    first_line: int
    places: Sequence[int] = ()
    run: Run | None = None

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
            return self.first_line, self.first_line + len(self.rows) - 1
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
