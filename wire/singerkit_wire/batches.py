"""Rows with missing fields, put together so that every batch holds one set of columns, or says of each row what it has (DESIGN 6)."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from itertools import groupby
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from singerkit_wire.batch import Batch
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.masks import masked
from singerkit_wire.stream import DELETED_AT, Stream

__all__ = ["Missing", "batches_of"]

Row = tuple[Any, ...]


class Missing(enum.Enum):
    """What a field means that a record leaves out."""

    KEEP = "the stored value stays"
    KEEP_WHAT_IS_THERE = "the stored value stays, unless the row was gone before the record came"
    NULL = "null, in the columns that the SCHEMA names, unless the record says that its row is gone"
    APPEND = "null: every row is a new one"
    LEAVE = "it stays missing: the rows are a log"


def batches_of(
    stream: Stream,
    columns: tuple[Column, ...],
    rows: Sequence[Row],
    first_line: int,
    *,
    missing: Missing,
    in_order: bool = False,
) -> list[Batch]:
    """Return batches of ``rows``, in which ``UNSET`` stands for a missing field.

    Without a key there is no stored value: missing is null. Rows of the same key are folded first (the last value of
    each field wins), so that the order of the batches does not matter; ``in_order`` keeps every row in its place instead,
    as a log does, and so do streams whose target ``takes_masks``.
    """
    if not rows:
        return []
    if not any(UNSET in row for row in rows):
        return [Batch(columns, rows, first_line)]
    if missing is Missing.LEAVE:
        return _in_runs(columns, rows, first_line)
    if missing is Missing.APPEND or not stream.key_properties:
        return [Batch(columns, [_nulls_for_missing(row) for row in rows], first_line)]
    gone = _place_of(DELETED_AT, columns)
    is_of_lists = (
        stream.lists_of is not None
    )  # an element comes whole, at a place that says nothing of the one before it
    if missing is Missing.NULL or is_of_lists:
        undeclared = [
            index for index, column in enumerate(stream.columns) if not (column.is_declared or is_of_lists)
        ]
        rows = [row if _says_gone(row, gone) else _nulls_for_missing(row, undeclared) for row in rows]
    if gone is not None:
        rows = [_there(row, gone) for row in rows]
    if not any(UNSET in row for row in rows):
        return [Batch(columns, rows, first_line)]
    if stream.takes_masks:
        return [masked(columns, rows, first_line)]
    if in_order:
        return _in_runs(columns, rows, first_line)
    groups: dict[tuple[bool, ...], list[tuple[int, Row]]] = {}
    ends = gone if missing is not Missing.KEEP else None
    for place, row in _folded(rows, _key_readers(stream, columns), ends):
        groups.setdefault(_present(row), []).append((place, row))
    return [_batch(columns, mask, group, first_line) for mask, group in groups.items()]


def _place_of(name: str, columns: Sequence[Column]) -> int | None:
    return next((index for index, column in enumerate(columns) if column.name == name), None)


def _says_gone(row: Row, gone: int | None) -> bool:
    """Tell whether a record says that its row was deleted: a log often gives no more than the key then."""
    return gone is not None and row[gone] is not UNSET and row[gone] is not None


def _there(row: Row, gone: int) -> Row:
    """Return a record that leaves out whether its row is gone as one that says that it is there."""
    return row if row[gone] is not UNSET else (*row[:gone], None, *row[gone + 1 :])


def _in_runs(columns: tuple[Column, ...], rows: Sequence[Row], first_line: int) -> list[Batch]:
    runs = groupby(enumerate(rows), key=lambda numbered: _present(numbered[1]))
    return [_batch(columns, mask, list(group), first_line) for mask, group in runs]


def _batch(
    columns: tuple[Column, ...], mask: tuple[bool, ...], numbered: list[tuple[int, Row]], first_line: int
) -> Batch:
    places, rows = [place for place, _ in numbered], [row for _, row in numbered]
    if not all(mask):
        rows = [tuple(value for value in row if value is not UNSET) for row in rows]
    present = tuple(column for column, is_present in zip(columns, mask, strict=True) if is_present)
    return Batch(present, rows, first_line, places)


def _present(row: Row) -> tuple[bool, ...]:
    return tuple(value is not UNSET for value in row)


def _nulls_for_missing(row: Row, undeclared: Sequence[int] = ()) -> Row:
    if UNSET not in row:
        return row
    return tuple(
        None if value is UNSET and index not in undeclared else value for index, value in enumerate(row)
    )


def _folded(
    rows: Sequence[Row], readers: Mapping[int, Callable[[Any], Any]], ends: int | None
) -> list[tuple[int, Row]]:
    """Return one row for each key, with the place of its last version; what comes behind a deletion (in ``ends``) is a new row."""
    by_key: dict[Row, tuple[int, Row]] = {}
    for place, row in enumerate(rows):
        key = tuple(read(row[index]) for index, read in readers.items())
        earlier = by_key.get(key)
        if earlier is not None and _says_gone(earlier[1], ends) and not _says_gone(row, ends):
            row = _nulls_for_missing(row)
        elif earlier is not None:
            row = tuple(old if new is UNSET else new for old, new in zip(earlier[1], row, strict=True))
        by_key[key] = place, row
    return list(by_key.values())


def _key_readers(stream: Stream, columns: tuple[Column, ...]) -> dict[int, Callable[[Any], Any]]:
    """How the key columns are read so that what is one key in the table is one here: `1.0` and `1.00`, for example."""
    return {
        index: _KEY_READERS.get(column.kind, _as_it_is)
        for index, column in enumerate(columns)
        if column.name in stream.key_properties
    }


def _as_it_is(value: Any) -> Any:
    return value


def _number(value: Any) -> Any:
    return Decimal(value if isinstance(value, str) else bytes(value).decode())


def _text(value: Any) -> Any:
    """A block may leave text as it stood, in its quotes, and what is none in a column of text."""
    if not isinstance(value, Raw):
        return value
    text = bytes(value)
    return msgspec.json.decode(text) if text.startswith(b'"') else text.decode()


def _moment(value: Any) -> Any:
    return value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)


def _document(value: Any) -> Any:
    """Sorted, and its numbers without the zeros that make no difference."""
    read = json.loads(value, parse_float=_plain, parse_int=_plain)
    return json.dumps(read, sort_keys=True, default=lambda number: {"number": str(number)})


_EVERY_DIGIT = Context(prec=200_000, Emax=MAX_EMAX, Emin=MIN_EMIN)


def _plain(text: str) -> Decimal:
    try:
        return Decimal(text).normalize(_EVERY_DIGIT)
    except ArithmeticError:
        return Decimal("Infinity")  # beyond all exponents: the store refuses it, whatever it stands beside


_KEY_READERS: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.STRING: _text,
    Kind.ANY_TEXT: _text,
    Kind.NUMBER: _number,
    Kind.BIG_INTEGER: lambda value: value if isinstance(value, int) else _number(value),
    Kind.DATE_TIME: _moment,
    Kind.JSON: _document,
}
