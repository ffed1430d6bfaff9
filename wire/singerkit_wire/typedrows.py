"""Rows of a source whose values have types already: written as they are, with nothing decoded on the way.

A database gives tuples. `RowMaker` makes of them rows that a `Page` may hold in place of raw JSON; each is written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import Any, cast

import msgspec

__all__ = ["RowMaker", "TypedRow", "is_plain_name", "values_of"]

_encoder = msgspec.json.Encoder(decimal_format="number")


class TypedRow(msgspec.Struct):
    """A row with a value for each of its columns: null, text, numbers, bytes (written as base64), lists and objects.

    Whoever makes it sees to it that JSON has each value: an infinite number has none.
    """

    def __bytes__(self) -> bytes:
        return _encoder.encode(self)

    def __len__(self) -> int:
        return len(bytes(self))


class RowMaker:
    """Makes rows of tuples; ``columns`` are the names of their values, in order."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._row: type[TypedRow] | None = None
        if all(map(is_plain_name, self._columns)):
            fields = {f"f{number}": name for number, name in enumerate(self._columns)}
            row = msgspec.defstruct(
                "Row", [(field, Any) for field in fields], bases=(TypedRow,), rename=fields, gc=False
            )
            self._row = cast("type[TypedRow]", row)

    def rows(self, values: Iterable[tuple[Any, ...]]) -> Sequence[TypedRow | bytes]:
        """Return a row for each tuple."""
        if self._row is not None:
            return list(starmap(self._row, values))
        return [_encoder.encode(dict(zip(self._columns, row, strict=True))) for row in values]


def is_plain_name(name: str) -> bool:
    """Tell whether msgspec takes ``name`` as a renamed field."""
    return not any(char in '"\\' or char < " " or "\ud800" <= char <= "\udfff" for char in name)


def values_of(rows: Sequence[TypedRow], name: str) -> list[msgspec.Raw]:
    """Return one column of rows of one `RowMaker` as raw JSON; ``null`` where it has none of this name."""
    fields = {field.encode_name: field.name for field in msgspec.structs.fields(type(rows[0]))}
    if name not in fields:
        return [msgspec.Raw(b"null")] * len(rows)
    values = [getattr(row, fields[name]) for row in rows]
    return [msgspec.Raw(text) for text in _encoder.encode_lines(values).splitlines()]
