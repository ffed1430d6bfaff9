"""Columns as JSON lines, all of their values at once: the texts of a row are joined, and hardly any is looked at.

A text without quotes, backslashes and controls is JSON as it stands, between two quotes; so is the text of a number. Only columns with
other texts, with nulls or with other values are encoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from singerkit_wire.readyrows import JsonColumn, ReadyRows

__all__ = ["JsonColumn", "NumberTexts", "has_any", "is_plain", "json_of_texts", "rows_of_columns"]

_encoder = msgspec.json.Encoder(decimal_format="number")
_ESCAPED = b'"\\' + bytes(char for char in range(32) if char != 10)
_EMPTY = frozenset([b""])
_AT_A_TIME = 64
"""Rows that are joined at a time: for each text `join` takes 80 bytes, and all of it should stay in the cache of a processor."""


class NumberTexts(list[str | None]):
    """The texts of numbers, each as JSON has it; None is null."""


def rows_of_columns(columns: Mapping[str, Sequence[Any] | JsonColumn | bytes], count: int) -> ReadyRows:
    """Return ``count`` rows of columns by name; bytes in place of a column are the JSON that all rows have there."""
    literals: list[bytes] = []
    made: dict[str, JsonColumn] = {}
    literal = b"{"
    for number, (name, column) in enumerate(columns.items()):
        literal += b"%s%s:" % (b"," if number else b"", _encoder.encode(name))
        if isinstance(column, bytes):
            literal += column
            continue
        found = column if isinstance(column, JsonColumn) else _as_json(column)
        literals.append(literal + found.quote)
        made[name] = found
        literal = found.quote
    literal += b"}\n"
    block = _joined(literals, [column.values for column in made.values()], literal, count)
    return ReadyRows(block, tuple(columns), made, count)


def _joined(literals: list[bytes], values: Sequence[Sequence[bytes]], end: bytes, count: int) -> bytes:
    """Return rows of a literal before each of their values, and ``end``."""
    if not values or not count:
        return end * count
    literals[0] = end + literals[0]
    width, step = 2 * len(values), min(count, _AT_A_TIME)
    parts = [b""] * (width * step)
    parts[::2] = literals * step
    blocks: list[bytes] = []
    for at in range(0, count, step):
        del parts[width * (count - at) :]
        for number, column in enumerate(values):
            parts[2 * number + 1 :: width] = column[at : at + step]
        blocks.append(b"".join(parts))
    blocks[0] = blocks[0][len(end) :]
    return b"".join([*blocks, end])


def _as_json(column: Sequence[Any]) -> JsonColumn:
    if not column:
        return JsonColumn([])
    if isinstance(column, range):
        return JsonColumn(_encoder.encode(list(column))[1:-1].split(b","))
    if isinstance(column, NumberTexts):
        texts: Sequence[Any] = column if all(column) else [text or "null" for text in column]
        return JsonColumn("\n".join(texts).encode().split(b"\n"))
    try:
        data = "\n".join(column).encode()
    except TypeError:  # a null, or a value that is no text
        return _encoded(column)
    if not is_plain(data) or data.count(b"\n") != len(column) - 1:
        return _encoded(column)
    return JsonColumn(data.split(b"\n"), b'"')


def json_of_texts(texts: Sequence[bytes], nulls: frozenset[bytes], *, is_escaped: bool) -> JsonColumn:
    """Return texts in UTF-8, none of them with a line end; those of ``nulls`` are null. ``is_escaped``: JSON has them as they stand."""
    if not is_escaped and not is_plain(b"\n".join(texts)):
        return _encoded([None if text in nulls else text.decode() for text in texts])
    if has_any(texts, nulls):
        return JsonColumn([b"null" if text in nulls else b'"%b"' % text for text in texts])
    return JsonColumn(texts, b'"')


def has_any(texts: Sequence[bytes], nulls: frozenset[bytes]) -> bool:
    """Tell whether one of ``texts`` is among ``nulls``."""
    return b"" in texts if nulls == _EMPTY else not nulls.isdisjoint(texts)


def is_plain(data: bytes, but_for: bytes = b"") -> bool:
    """Tell whether there is nothing in texts that JSON escapes, but for the line ends between them, and for what the caller names."""
    return data.translate(_changed_if_escaped(but_for)) == data


@cache
def _changed_if_escaped(but_for: bytes) -> bytes:
    return bytes(char ^ 128 if char in _ESCAPED and char not in but_for else char for char in range(256))


def _encoded(column: Sequence[Any]) -> JsonColumn:
    return JsonColumn(_encoder.encode_lines(column).split(b"\n")[:-1])
