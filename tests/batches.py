"""Batches made by hand, for tests of what comes after the decoding."""

from __future__ import annotations

from collections.abc import Sequence

from singerkit_wire.batch import Batch, WireRow
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.stream import Stream

__all__ = ["batch"]


def batch(stream: Stream, names: Sequence[str], rows: Sequence[WireRow], first_line: int = 1) -> Batch:
    """Return a batch of these columns; of those that the stream does not have one of integers is made."""
    known = {column.name: column for column in stream.columns}
    columns = [known.get(name, Column(name, Kind.INTEGER, nullable=True, required=False)) for name in names]
    return Batch(tuple(columns), rows, first_line)
