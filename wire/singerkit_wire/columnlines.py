"""Columns as JSON lines, all of their values at once: the texts of a row are joined, and hardly any is looked at.

A text without quotes, backslashes and controls is JSON as it stands, between two quotes; so is the text of a number. Only columns with
other texts, with nulls or with other values are encoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

import msgspec

from singerkit_wire.readyrows import ReadyRows

__all__ = ["NumberTexts", "rows_of_columns"]

_encoder = msgspec.json.Encoder(decimal_format="number")
_ESCAPED = b'"\\' + bytes(range(32))


class NumberTexts(list[str | None]):
    """The texts of numbers, each as JSON has it; None is null."""


def rows_of_columns(columns: Mapping[str, Sequence[Any] | bytes], count: int) -> ReadyRows:
    """Return ``count`` rows of columns by name; bytes in place of a column are the JSON that all rows have there."""
    parts: list[Iterable[str]] = []
    literal = "{"
    for number, (name, column) in enumerate(columns.items()):
        literal += f"{',' if number else ''}{_encoder.encode(name).decode()}:"
        if isinstance(column, bytes):
            literal += column.decode()
            continue
        tokens, quote = _tokens(column)
        parts += [repeat(literal + quote), tokens]
        literal = quote
    literal += "}\n"
    rows = map("".join, zip(*parts, strict=False)) if parts else repeat("", count)
    return ReadyRows((literal.join(rows) + literal * bool(count)).encode(), tuple(columns))


def _tokens(column: Sequence[Any]) -> tuple[Iterable[str], str]:
    """Return the values as JSON, and the quote that has to stand around each of them."""
    if isinstance(column, NumberTexts):
        return (column if all(column) else [text or "null" for text in column]), ""  # type: ignore[return-value]
    if isinstance(column, range):
        return map(str, column), ""
    try:
        texts = " ".join(column).encode()
    except TypeError:  # a null, or a value that is no text
        return _encoded(column), ""
    if len(texts.translate(None, _ESCAPED)) != len(texts):
        return _encoded(column), ""
    return column, '"'


def _encoded(column: Sequence[Any]) -> Iterable[str]:
    return _encoder.encode_lines(column).decode().split("\n")[:-1]
