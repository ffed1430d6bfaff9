"""Columns of rows as Arrow arrays, each made the cheapest way for its kind.

nanoarrow, which is small and has no kernels (decision 29): what a store makes of an array, as the type of its column, is its own
word. It is a package of the extra of a target that uses this room.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from io import BytesIO
from itertools import accumulate
from typing import Any

import msgspec
import nanoarrow as na
from nanoarrow.c_array_stream import CArrayStream
from nanoarrow.ipc import InputStream, StreamWriter

from singerkit_sql_target.decimals import Digits
from singerkit_sql_target.field import ORDER
from singerkit_wire.kinds import Kind

__all__ = [
    "Array",
    "are_short",
    "array_of",
    "as_decimals",
    "as_numbers",
    "as_stream",
    "as_text",
    "number_texts",
    "numbered",
    "packed",
    "place",
    "unpacked",
]

Array = Any
"""An array of nanoarrow, which has no types for mypy."""

_FIRST_DAY = date(1970, 1, 1).toordinal()
_INTEGER, _DAY, _TEXT = (na.c_schema(type_) for type_ in (na.int64(), na.date32(), na.string()))
_NULL, _IN_UTC = "null", b'Z"\n'
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_EXACT = Context(prec=1000, Emax=MAX_EMAX, Emin=MIN_EMIN)
_MOST_DIGITS = 38
_encoder = msgspec.json.Encoder()


def place(index: int) -> str:
    """The name of an array among those of `numbered`."""
    return f"c{index}"


def numbered(arrays: Sequence[Array], count: int, first: int) -> Array:
    """Rows of some arrays, and their numbers from ``first`` on as `ORDER`."""
    order = na.c_array_from_buffers(_INTEGER, count, [None, array("q", range(first, first + count))])
    types = {place(index): one.schema for index, one in enumerate(arrays)} | {ORDER: order.schema}
    return na.c_array_from_buffers(na.struct(types), count, [None], children=[*arrays, order])


def packed(arrays: Sequence[Array]) -> bytes:
    """Arrays of one length as bytes (Arrow's own), for another process."""
    types = {place(index): one.schema for index, one in enumerate(arrays)}
    whole = na.c_array_from_buffers(na.struct(types), len(arrays[0]), [None], children=list(arrays))
    sink = BytesIO()
    with StreamWriter.from_writable(sink) as writer:
        writer.write_stream(CArrayStream.from_c_arrays([whole], whole.schema))
    return sink.getvalue()


def unpacked(data: bytes) -> list[Array]:
    """Return what `packed` was given."""
    with InputStream.from_readable(data) as source:
        [whole] = na.c_array_stream(source)
    return [whole.child(index) for index in range(whole.n_children)]


def as_stream(rows: Sequence[Array]) -> Any:
    """What scans Arrow reads one after the other, once; all have the types of the first."""
    return CArrayStream.from_c_arrays(list(rows), rows[0].schema).__arrow_c_stream__()


def array_of(kind: Kind, values: Sequence[Any]) -> Array:
    """An array of values as `plain_values` has them: int64, bool, date32, binary or string.

    A moment, a time, a UUID and a document are their text; numbers are made by `as_numbers` and `as_decimals`.
    """
    return _ARRAYS[kind](values)


def as_text(texts: Sequence[str | None]) -> Array:
    return na.c_array(texts, _TEXT)


def as_numbers(texts: Sequence[bytes]) -> Array:
    """Numbers as they are written, ``null`` among them, with no object made for any."""
    offsets = array("i", [*accumulate(map(len, texts), initial=0)])
    return na.c_array_from_buffers(_TEXT, len(texts), [None, offsets, b"".join(texts)])


def are_short(texts: Sequence[bytes], most: int) -> bool:
    """Whether no number has an exponent, or more than ``most`` digits before or after the point."""
    joined = b",".join(texts)
    return b"e" not in joined and b"E" not in joined and b"0" * (most + 1) not in joined.translate(_ZEROS)


def number_texts(texts: Sequence[bytes]) -> list[str | None]:
    return _without_null(b"\n".join(texts).decode().split("\n"))


def as_decimals(texts: Sequence[bytes], digits: Digits) -> Array:
    """Numbers as decimals of 38 digits with as many after the point; ValueError when a digit would go."""
    _, after = digits
    numbers = number_texts(texts)
    scaled = [0 if text is None else _scaled(text, after) for text in numbers]
    data = b"".join([number.to_bytes(16, "little", signed=True) for number in scaled])
    return na.c_array_from_buffers(na.decimal128(_MOST_DIGITS, after), len(texts), [_validity(numbers), data])


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


def _fixed(schema: Any, code: str, values: Sequence[Any]) -> Array:
    """Integers of one width: a third of what it takes to give them to nanoarrow one by one."""
    validity = _validity(values)
    there = values if validity is None else [0 if value is None else value for value in values]
    return na.c_array_from_buffers(schema, len(values), [validity, array(code, there)])


def _integers(values: Sequence[int | None]) -> Array:
    return _fixed(_INTEGER, "q", values)


def _days(values: Sequence[Any]) -> Array:
    days = [None if value is None else value.toordinal() - _FIRST_DAY for value in values]
    return _fixed(_DAY, "i", days)


def _spelt(values: Sequence[Any]) -> Array:
    return _unquoted(_encoder.encode_lines(values), len(values))


def _moments(values: Sequence[Any]) -> Array:
    """As text a store reads them in a fraction of what it takes to count their microseconds in Python."""
    text = _encoder.encode_lines(values)
    if text.count(_IN_UTC) < len(values):
        known = [v if v is None or v.tzinfo is not None else v.replace(tzinfo=UTC) for v in values]
        text = _encoder.encode_lines(known)
    return _unquoted(text, len(values))


def _unquoted(lines: bytes, count: int) -> Array:
    """Texts, of which none has a quote inside, that stand in quotes a line; null is no text."""
    width = len(lines) // count
    if (
        width > len(_NULL) + 1 and lines[width - 1 :: width] == b"\n" * count
    ):  # each of one width, and none is null
        inside = width - len('""\n')
        offsets = array("i", range(0, inside * count + 1, inside))
        return na.c_array_from_buffers(_TEXT, count, [None, offsets, lines.translate(None, b'"\n')])
    return as_text(_without_null(lines.translate(None, b'"').decode().split("\n")[:-1]))


def _without_null(texts: Sequence[str]) -> list[str | None]:
    return [None if text == _NULL else text for text in texts]


_ARRAYS: Mapping[Kind, Callable[[Sequence[Any]], Array]] = {
    Kind.INTEGER: _integers,
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
