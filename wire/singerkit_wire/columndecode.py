"""The fast path of records that stand in columns already: each column is decoded as the type that a decoder of lines has for it.

What is refused here comes again as lines: each step refuses at least what its like in `decode.py` does, so that no batch can differ.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from singerkit_shell.encoding import check_utf8, has_escape, holds
from singerkit_wire.batch import Batch
from singerkit_wire.batches import batches_of
from singerkit_wire.checks import REFUSALS, Refused
from singerkit_wire.columns import Columns
from singerkit_wire.decode import (
    CLOCKS,
    NOT_TEXT,
    NOT_TEXT_OR_NULL,
    NUL,
    ODD_ESCAPE,
    VERSION_TYPE,
    FastDecoder,
    spread,
    without_fillers,
)
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.stream import DELETED_AT, EXTRACTED_AT
from singerkit_wire.wirecolumns import WireColumns

__all__ = ["decode_columns"]

_NULL = Raw(b"null")
_DOCUMENTS = (Kind.JSON, Kind.ANY_TEXT)
_any_json = msgspec.json.Decoder(Raw)


@dataclass(frozen=True)
class _Texts:
    """The JSON texts of one column, and those that are there as lines."""

    values: Sequence[Any]
    lines: bytes
    is_full: bool


def decode_columns(fast: FastDecoder, given: Columns, first_line: int) -> list[Batch]:
    """Decode records to the batches that their lines would be decoded to.

    Raises:
        Refused: something is unusual, or only lines can be judged.
    """
    if fast.rules is not None or fast.stream.is_whole_record:
        raise Refused
    try:
        return fast.within_time(lambda: _decode(fast, given, first_line))
    except REFUSALS as error:
        raise Refused from error


def _decode(fast: FastDecoder, given: Columns, first_line: int) -> list[Batch]:
    _check_others(fast, given)
    texts = [_texts_of(column, given) for column in fast.stream.columns]
    is_full = all(one.is_full for one in texts)
    values = [_values(fast, place, one, all_are_full=is_full) for place, one in enumerate(texts)]
    values += _beside(fast, given)
    for place, check in fast.checks:
        values[place] = fast.checked_column(check, values[place], is_full=is_full)
    found = WireColumns.of(values)
    columns = fast.stream.columns + fast.extra
    if is_full:
        return [Batch(columns, found.rows, first_line, seen=found)]
    rows = without_fillers(found.rows, fast.pairs) if fast.pairs else found.rows
    return batches_of(fast.stream, columns, rows, first_line, missing=fast.missing, in_order=fast.in_order)


def _check_others(fast: FastDecoder, given: Columns) -> None:
    """See that records have no field that no column is for, unless it is passed over; nor NUL in what stands beside them."""
    others = {name: given.fields[name] for name in given.fields.keys() - fast.names_on_wire}
    for name, texts in [*others.items(), *(given.beside or {}).items()]:
        there = [text for text in texts if text is not UNSET]
        tells = name == DELETED_AT and any(text != _NULL for text in there)
        if name in others and (tells or (there and not fast.passes_others)):
            raise Refused
        _check_nul(fast, b"\n".join(there))
    _check_nul(fast, given.common)


def _check_nul(fast: FastDecoder, lines: bytes) -> None:
    if not fast.holds_nul and b"\\" in lines and holds(lines, NUL):  # texts of zeros make `in` slow
        raise Refused


def _texts_of(column: Column, given: Columns) -> _Texts:
    if column.is_filler:
        return _Texts([None] * given.count, b"", is_full=True)
    values = given.fields.get(column.variant_of or column.name, [UNSET] * given.count)
    try:
        return _Texts(values, b"\n".join(values), is_full=True)
    except TypeError:  # a record leaves it out
        return _Texts(values, b"\n".join(value for value in values if value is not UNSET), is_full=False)


def _values(fast: FastDecoder, place: int, texts: _Texts, *, all_are_full: bool) -> Sequence[Any]:
    """Return the values of a column as a decoder of lines leaves them; the checks are still to come."""
    column, type_ = fast.stream.columns[place], fast.types[place]
    if column.is_filler:
        return texts.values
    if not texts.is_full and (column.required or column.name == fast.demanded):
        raise Refused
    _check_nul(fast, texts.lines)
    if column.kind in CLOCKS:
        _check_clock(fast, column, texts.lines)
    if column.kind in _DOCUMENTS:  # a map passes on what only Python reads, as NaN
        _any_json.decode_lines(texts.lines)
    if type_ is Raw or (all_are_full and _stays_on_wire(fast, place, texts.lines)):
        return texts.values
    found = fast.of_columns[place].decode_lines(texts.lines)
    return found if texts.is_full else spread(texts.values, found)


def _check_clock(fast: FastDecoder, column: Column, lines: bytes) -> None:
    if fast.refused is not None and fast.refused.search(lines):
        raise Refused
    fast.clocks.check_column(column, lines)


def _stays_on_wire(fast: FastDecoder, place: int, lines: bytes) -> bool:
    """Tell whether a column is plain text that stays as it stands, and see that it is text.

    Raises:
        Refused, UnicodeDecodeError: it is not.
    """
    if place in fast.texts.nullable:
        unwanted = NOT_TEXT_OR_NULL
    elif place in fast.texts.required:
        unwanted = NOT_TEXT
    else:
        return False
    if has_escape(ODD_ESCAPE, lines):
        return False
    if unwanted.search(b"\n" + lines):
        raise Refused
    check_utf8(lines)
    return True


class _Beside(msgspec.Struct):
    time_extracted: datetime.datetime | None = None
    version: VERSION_TYPE | None = None


_beside_decoder = msgspec.json.Decoder(_Beside)


def _beside(fast: FastDecoder, given: Columns) -> list[Sequence[Any]]:
    """Return the columns of what stands beside the records."""
    if not fast.extra:
        return []
    if given.beside:
        raise Refused
    if fast.refused is not None and fast.refused.search(given.common):
        raise Refused
    found = _beside_decoder.decode(b"{" + given.common[1:] + b"}")
    return [
        [found.time_extracted if column.name == EXTRACTED_AT else found.version] * given.count
        for column in fast.extra
    ]
