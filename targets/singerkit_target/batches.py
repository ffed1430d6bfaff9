"""Rows with missing fields, put together so that every batch holds one set of columns.

A field that is missing is not a null: on upsert the stored value stays (DESIGN 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from msgspec import UNSET

from singerkit_target.contract import Batch, Stream

__all__ = ["batches_of"]

Row = tuple[Any, ...]


def batches_of(
    stream: Stream, names: tuple[str, ...], rows: Sequence[Row], first_line: int, *, in_order: bool
) -> list[Batch]:
    """Return batches of ``rows``, in which ``UNSET`` stands for a missing field.

    Without a key missing and null come to the same. With one, rows of the same key are folded first (the last
    value of each field wins), so that the order of the batches does not matter. ``in_order`` keeps every row in
    its place instead, for targets that are a log.
    """
    if not rows:
        return []
    if in_order:
        stretches = groupby(enumerate(rows), key=lambda numbered: _present(numbered[1]))
        return [_batch(names, mask, list(group), first_line) for mask, group in stretches]
    if not stream.key_properties:
        return [Batch(names, [_nulls_for_missing(row) for row in rows], first_line)]
    if not any(UNSET in row for row in rows):
        return [Batch(names, rows, first_line)]
    groups: dict[tuple[bool, ...], list[tuple[int, Row]]] = {}
    for place, row in _folded(rows, [names.index(key) for key in stream.key_properties]):
        groups.setdefault(_present(row), []).append((place, row))
    return [_batch(names, mask, group, first_line) for mask, group in groups.items()]


def _batch(
    names: tuple[str, ...], mask: tuple[bool, ...], numbered: list[tuple[int, Row]], first_line: int
) -> Batch:
    places, rows = [place for place, _ in numbered], [row for _, row in numbered]
    if not all(mask):
        rows = [tuple(value for value in row if value is not UNSET) for row in rows]
    present = tuple(name for name, is_present in zip(names, mask, strict=True) if is_present)
    return Batch(present, rows, first_line, places)


def _present(row: Row) -> tuple[bool, ...]:
    return tuple(value is not UNSET for value in row)


def _nulls_for_missing(row: Row) -> Row:
    return tuple(None if value is UNSET else value for value in row) if UNSET in row else row


def _folded(rows: Sequence[Row], key_at: list[int]) -> list[tuple[int, Row]]:
    """Return one row for each key, with the place of its last version."""
    by_key: dict[Row, tuple[int, Row]] = {}
    for place, row in enumerate(rows):
        key = tuple(_hashable(row[index]) for index in key_at)
        earlier = by_key.get(key)
        if earlier is not None:
            row = tuple(old if new is UNSET else new for old, new in zip(earlier[1], row, strict=True))
        by_key[key] = place, row
    return list(by_key.values())


def _hashable(value: Any) -> Any:
    """`msgspec.Raw` has no equality of its own."""
    return bytes(value) if isinstance(value, memoryview) or type(value).__name__ == "Raw" else value
