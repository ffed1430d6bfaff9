"""Columns of rows as Arrow arrays, each made the cheapest way for its kind.

nanoarrow, which is small and has no kernels (decision 29): what a store makes of an array, as the type of its column, is its own
word. It is a package of the extra of a target that uses this room.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any

import nanoarrow as na
from nanoarrow.c_array_stream import CArrayStream

from singerkit_sql_target.decimals import Digits
from singerkit_sql_target.dialect import ORDER
from singerkit_wire.kinds import Kind

__all__ = ["Array", "are_short", "array_of", "as_decimals", "as_stream", "as_text", "numbered", "place"]

Array = Any
"""An array of nanoarrow, which has no types for mypy."""

_EPOCH, _FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC), date(1970, 1, 1).toordinal()
_MOMENT, _DAY, _TEXT = na.timestamp("us", "UTC"), na.date32(), na.string()
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_EXACT = Context(prec=1000, Emax=MAX_EMAX, Emin=MIN_EMIN)
_MOST_DIGITS = 38


def place(index: int) -> str:
    """The name of an array among those of `numbered`."""
    return f"c{index}"


def numbered(arrays: Sequence[Array], count: int, first: int) -> Array:
    """Rows of some arrays, and their numbers from ``first`` on as `ORDER`."""
    order = na.c_array_from_buffers(na.int64(), count, [None, array("q", range(first, first + count))])
    types = {place(index): one.schema for index, one in enumerate(arrays)} | {ORDER: order.schema}
    return na.c_array_from_buffers(na.struct(types), count, [None], children=[*arrays, order])


def as_stream(rows: Sequence[Array]) -> Any:
    """What scans Arrow reads one after the other, once; all have the types of the first."""
    return CArrayStream.from_c_arrays(list(rows), rows[0].schema).__arrow_c_stream__()


def array_of(kind: Kind, values: Sequence[Any]) -> Array:
    """An array of values as `Batch.rows` has them: int64, bool, string, timestamp[us, UTC], date32 or binary.

    A time, a UUID and a document are its text; numbers are made by `as_text` and `as_decimals`.
    """
    return _ARRAYS[kind](values)


def as_text(texts: Sequence[str | None]) -> Array:
    return na.c_array(texts, _TEXT)


def are_short(texts: Sequence[str | None], most: int) -> bool:
    """Whether no number has an exponent, or more than ``most`` digits before or after the point."""
    joined = ",".join(filter(None, texts)).encode()
    return b"e" not in joined and b"E" not in joined and b"0" * (most + 1) not in joined.translate(_ZEROS)


def as_decimals(texts: Sequence[str | None], digits: Digits) -> Array:
    """Numbers as decimals of 38 digits with as many after the point; ValueError when a digit would go."""
    _, after = digits
    scaled = [0 if text is None else _scaled(text, after) for text in texts]
    data = b"".join([number.to_bytes(16, "little", signed=True) for number in scaled])
    return na.c_array_from_buffers(na.decimal128(_MOST_DIGITS, after), len(texts), [_validity(texts), data])


def _scaled(text: str, after: int) -> int:
    scaled = Decimal(text).scaleb(after, _EXACT)
    number = int(scaled)
    if number != scaled or abs(number) >= 10**_MOST_DIGITS:
        raise ValueError("a number has more digits than its column")
    return number


def _validity(values: Sequence[Any]) -> bytes | None:
    """Arrow's bitmap of what is not null."""
    if None not in values:
        return None
    bits = "".join(["0" if value is None else "1" for value in values])[::-1]
    return int(bits, 2).to_bytes((len(values) + 7) // 8, "little")


def _plain(type_: Any) -> Callable[[Sequence[Any]], Array]:
    return lambda values: na.c_array(values, type_)


def _spelt(values: Sequence[Any]) -> Array:
    return as_text([None if value is None else str(value) for value in values])


def _moments(values: Sequence[Any]) -> Array:
    # Written out: a call for each value would cost as much again.
    micros = [
        None
        if value is None
        else ((since := value - _EPOCH).days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        for value in values
    ]
    return na.c_array(micros, _MOMENT)


def _days(values: Sequence[Any]) -> Array:
    return na.c_array([None if value is None else value.toordinal() - _FIRST_DAY for value in values], _DAY)


_ARRAYS: Mapping[Kind, Callable[[Sequence[Any]], Array]] = {
    Kind.INTEGER: _plain(na.int64()),
    Kind.BOOLEAN: _plain(na.bool_()),
    Kind.STRING: as_text,
    Kind.ANY_TEXT: as_text,
    Kind.DATE_TIME: _moments,
    Kind.DATE: _days,
    Kind.TIME: _spelt,
    Kind.UUID: _spelt,
    Kind.BINARY: _plain(na.binary()),
    Kind.JSON: as_text,
}
