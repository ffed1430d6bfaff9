"""Rows of which each leaves other fields out, in one batch: a column in front of the others says what each row has (DESIGN 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from operator import is_
from typing import Any

from msgspec import UNSET

from singerkit_wire.batch import Batch, WireRow
from singerkit_wire.kinds import Column, Kind

__all__ = ["PRESENT", "is_masked", "masked", "padded", "with_more"]

PRESENT = "_singerkit_present"
"""The first column of such a batch: a text with `1` for each column behind it that the row has, `0` for others; null: it has all."""

_MASK = Column(PRESENT, Kind.STRING, nullable=True, required=False)
_AS_TEXT = bytes.maketrans(b"\x00\x01", b"10")


def is_masked(batch: Batch) -> bool:
    return batch.columns[:1] == (_MASK,)


def masked(columns: tuple[Column, ...], rows: Sequence[WireRow], first_line: int) -> Batch:
    """Return rows, in which ``UNSET`` stands for a missing field, as one batch with null there."""
    width = len(columns)
    flags = bytearray(width * len(rows))
    values: list[Sequence[Any]] = []
    for place, column in enumerate(zip(*rows, strict=True)):
        is_absent = bytes(map(is_, column, repeat(UNSET)))
        flags[place::width] = is_absent
        values.append([None if value is UNSET else value for value in column] if 1 in is_absent else column)
    text = flags.translate(_AS_TEXT).decode("ascii")
    masks = [text[start : start + width] for start in range(0, len(text), width)]
    return Batch((_MASK, *columns), list(zip(masks, *values, strict=True)), first_line)


def padded(batch: Batch) -> Batch:
    """Return a batch whose rows have all columns, as `masked` would."""
    return replace(
        batch, columns=(_MASK, *batch.columns), wire_rows=[(None, *row) for row in batch.wire_rows]
    )


def with_more(batch: Batch, count: int) -> Batch:
    """Return a masked batch in which each row has so many columns more, which stand at its end already."""
    ones = "1" * count
    rows = [row if row[0] is None else (row[0] + ones, *row[1:]) for row in batch.wire_rows]
    return replace(batch, wire_rows=rows)
