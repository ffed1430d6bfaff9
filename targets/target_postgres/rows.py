"""A batch as COPY input. JSON's own quoting is CSV with ESCAPE '\\' once its other escapes are spelled out (DESIGN 4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import msgspec

from singerkit_shell.encoding import has_escape
from singerkit_shell.errors import BadDataError

__all__ = ["COPY_OPTIONS", "Csv", "as_csv", "with_hex", "with_masks", "with_utc"]

COPY_OPTIONS = "(FORMAT csv, ESCAPE '\\', NULL 'null')"

_LONG_ROW = 1 << 16
"""Rows of more bytes than this on the average are encoded one by one."""

Csv = bytes | bytearray

_encoder = msgspec.json.Encoder()
_BETWEEN_ROWS = re.compile(rb"\]\n\[")
_OTHER_ESCAPE = re.compile(rb"\\[^\"\\]")
_ESCAPE = re.compile(rb"\\(u00[0-9a-f]{2}|.)", re.DOTALL)
_PLAIN = ((b"\\n", b"\n"), (b"\\r", b"\r"), (b"\\t", b"\t"), (b"\\b", b"\b"), (b"\\f", b"\f"))
_BACKSLASH = b"\x01"  # JSON text holds no raw control characters, so this one is free


def as_csv(rows: Sequence[tuple[Any, ...]], size: int = 0) -> Csv:
    """Return rows as CSV lines: each row as a JSON array without its brackets. ``size``: in so many bytes they have come."""
    if size > _LONG_ROW * len(rows):
        return _spelled_out(_one_by_one(rows))
    arrays = _encoder.encode_lines(rows)
    # JSON text holds no raw newline. Of text alone a pattern splits in two thirds of the time of `bytes.split`, and join is quicker than replace.
    return _spelled_out(b"\n".join([*_BETWEEN_ROWS.split(arrays[1:-2]), b""]))


def _one_by_one(rows: Sequence[tuple[Any, ...]]) -> bytearray:
    """Rows of many megabytes each: nothing of them is held twice."""
    csv = bytearray()
    for row in rows:
        start = len(csv)
        _encoder.encode_into(row, csv, start)
        del csv[start]
        csv[-1:] = b"\n"
    return csv


def _spelled_out(csv: Csv) -> Csv:
    r"""Replace every escape but ``\"`` and ``\\``, which CSV reads as they are."""
    if not has_escape(_OTHER_ESCAPE, csv):
        return csv
    if b"\\u" in csv:
        return _ESCAPE.sub(_spell_out_one, csv)
    csv = csv.replace(b"\\\\", _BACKSLASH)
    for escaped, plain in _PLAIN:
        csv = csv.replace(escaped, plain)
    return csv.replace(_BACKSLASH, b"\\\\")


def _spell_out_one(match: re.Match[bytes]) -> bytes:
    escape = match.group(1)
    if escape.startswith(b"u") and len(escape) > 1:
        return bytes([int(escape[1:], 16)])
    return dict(_PLAIN).get(match.group(), match.group())


_LINE = re.compile(rb'(?:[^"\n]|"(?:[^"\\]|\\.)*")*\n', re.DOTALL)


def with_masks(csv: Csv, masks: Sequence[str | None]) -> bytes:
    """Return lines of `as_csv`, each with its mask in front, as if that had been the first value of its row."""
    in_front = (b"null," if mask is None else b'"%b",' % mask.encode("ascii") for mask in masks)
    return b"".join(chain.from_iterable(zip(in_front, _LINE.findall(csv), strict=True)))


def with_hex(rows: Iterable[tuple[Any, ...]], binary_at: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return rows with bytes as PostgreSQL's hex text."""
    return [
        tuple(
            "\\x" + value.hex() if index in binary_at and value is not None else value
            for index, value in enumerate(row)
        )
        for row in rows
    ]


def with_utc(rows: Iterable[tuple[Any, ...]], local_at: Sequence[int], stream: str) -> list[tuple[Any, ...]]:
    """Return rows with moments in UTC: a `timestamp without time zone` drops the offset that it is given.

    Raises:
        BadDataError: in UTC a moment lies before the year 1 or after 9999.
    """
    try:
        return _with_utc(rows, local_at)
    except OverflowError:
        raise BadDataError(
            f"Expected date-times of stream `{stream}` between the years 1 and 9999 in UTC, got another one; "
            "what was committed is safe: store the column as `timestamp with time zone`, then run again."
        ) from None


def _with_utc(rows: Iterable[tuple[Any, ...]], local_at: Sequence[int]) -> list[tuple[Any, ...]]:
    return [
        tuple(
            value.astimezone(UTC)
            if index in local_at and isinstance(value, datetime) and value.tzinfo is not None
            else value
            for index, value in enumerate(row)
        )
        for row in rows
    ]
