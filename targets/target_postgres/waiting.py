"""Encoded rows that wait for a COPY which is worth its round trips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from singerkit_wire.batch import Batch
from singerkit_wire.masks import PRESENT
from target_postgres.rows import Csv
from target_postgres.tables import Table

__all__ = ["LONG_COPY", "Placed", "Row", "Waiting", "WaitingRows", "said", "span"]

_COPY_BYTES = 2 << 20
"""A COPY of at least this size, unless something else has to happen first."""
LONG_COPY = 3 * _COPY_BYTES
"""Nothing else is decoded while a COPY of more than this is under way: a row of many megabytes stands in memory in few places."""

Row = tuple[Any, ...]
Placed = tuple[Row, Batch, int]
"""A row as it is encoded, the batch that it comes from and its place there."""


@dataclass
class Waiting:
    """Encoded blocks of one table and one set of columns."""

    table: Table
    columns: tuple[str, ...]
    blocks: list[Csv] = field(default_factory=list)
    size: int = 0
    count: int = 0
    lines: tuple[int, int] | None = None
    has_marks: bool = False
    masks: list[str | None] = field(default_factory=list)
    """What stands in front of each row where it leaves fields out (`singerkit_wire.masks`), and not in its block; empty: no row does."""
    batches: list[tuple[Sequence[Row], Batch]] = field(default_factory=list)
    """What the blocks were encoded from, where rows that are refused are to be set aside."""

    @property
    def is_masked(self) -> bool:
        return bool(self.masks) or PRESENT in self.columns

    def take_masks(self, masks: Sequence[str | None]) -> None:
        """Note the masks of rows that are about to be counted."""
        self.masks += [None] * (self.count - len(self.masks))
        self.masks += masks

    def rows(self) -> list[Placed]:
        return [(row, batch, index) for rows, batch in self.batches for index, row in enumerate(rows)]


class WaitingRows:
    """What waits, by stream. ``send`` takes what has waited long enough, and its blocks as one."""

    def __init__(self, send: Callable[[Waiting, Csv], None]) -> None:
        self._send = send
        self._by_stream: dict[str, Waiting] = {}

    def __len__(self) -> int:
        return len(self._by_stream)

    def of(self, table: Table, columns: tuple[str, ...], size: int) -> Waiting:
        """Return where rows of these columns wait, a block of so many bytes; those of others, which came before them, are sent."""
        waiting = self._by_stream.get(table.stream)
        if waiting is not None and (waiting.columns != columns or size >= _COPY_BYTES):  # enough by itself
            self.send(table.stream)
            waiting = None
        if waiting is None:
            waiting = self._by_stream[table.stream] = Waiting(table, columns)
        return waiting

    def gather(self, waiting: Waiting, csv: Csv) -> None:
        """Let a block wait, unless enough of them do."""
        waiting.blocks.append(csv)
        waiting.size += len(csv)
        if waiting.size >= _COPY_BYTES:
            self.send(waiting.table.stream)
        elif (
            len(self._by_stream) > 1
            and sum(other.size for other in self._by_stream.values()) > 2 * _COPY_BYTES
        ):
            self.send_all()

    def send(self, stream: str) -> None:
        """Send the rows of a stream."""
        waiting = self._by_stream.pop(stream)
        self._send(waiting, waiting.blocks[0] if len(waiting.blocks) == 1 else b"".join(waiting.blocks))

    def send_all(self) -> None:
        """Send the rows of all streams."""
        for stream in list(self._by_stream):
            self.send(stream)

    def clear(self) -> None:
        """Give up what waits."""
        self._by_stream.clear()


def span(first: tuple[int, int] | None, second: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the lines from the first to the last of both."""
    if first is None or second is None:
        return first or second
    return min(first[0], second[0]), max(first[1], second[1])


def said(lines: tuple[int, int] | None) -> str:
    """Say where rows stand in the input, behind what is done with them."""
    if lines is None:
        return ""
    return f" (line {lines[0]})" if lines[0] == lines[1] else f" (lines {lines[0]} to {lines[1]})"
