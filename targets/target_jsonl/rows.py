"""A batch as JSON lines; numbers and nested values stay the text they were on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

__all__ = ["as_lines"]

_encoder = msgspec.json.Encoder()


def as_lines(columns: Sequence[str], rows: Sequence[tuple[Any, ...]], json_at: Sequence[int]) -> bytes:
    """Return rows as JSON objects, a line each; columns at ``json_at`` hold JSON text."""
    if json_at:
        rows = [
            tuple(
                Raw(value.encode()) if index in json_at and value is not None else value
                for index, value in enumerate(row)
            )
            for row in rows
        ]
    return _encoder.encode_lines([dict(zip(columns, row, strict=True)) for row in rows])


def whole_records(rows: Sequence[tuple[str]]) -> bytes:
    """Return records that are stored whole, a line each."""
    return "".join(f"{record}\n" for (record,) in rows).encode()
