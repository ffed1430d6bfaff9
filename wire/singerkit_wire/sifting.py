"""A block that the fast path has refused, line by line: the rows of the lines that it takes, and the places of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from singerkit_wire.checks import REFUSALS, Check, Refused
from singerkit_wire.decode import FastDecoder, without_fillers
from singerkit_wire.wirecolumns import WireColumns

__all__ = ["Row", "as_on_wire", "sift"]

Row = tuple[Any, ...]
Numbered = tuple[int, Row]
_NULL = Raw(b"null")
_encode = msgspec.json.encode


def sift(fast: FastDecoder, lines: Sequence[bytes]) -> list[Row | None]:
    """Return a row for each line, with `UNSET` for missing fields; None where the exact path has to judge.

    Raises:
        Refused: that takes too long.
    """
    return fast.within_time(lambda: _sift(fast, lines))


def _sift(fast: FastDecoder, lines: Sequence[bytes]) -> list[Row | None]:
    quick: list[tuple[int, Any]] = []
    full: list[tuple[int, Any]] = []
    decode = _decode_nothing if fast.quick is None else fast.quick.decode
    for place, line in _without_odd(fast, lines):
        try:
            if b"\\u" not in line and b"\\/" not in line:
                quick.append((place, decode(line)))
                continue
        except REFUSALS:
            pass
        with suppress(*REFUSALS):
            full.append((place, fast.sparse.decode(line)))
    found = [
        *_with_texts(fast, _rows_of(fast, quick)),
        *((place, as_on_wire(fast, row)) for place, row in _rows_of(fast, full, may_lack=True)),
    ]
    rows: list[Row | None] = [None] * len(lines)
    for place, row in _checked(fast, found):
        rows[place] = row
    return rows


def _decode_nothing(_line: bytes) -> Any:
    raise msgspec.DecodeError


def _without_odd(fast: FastDecoder, lines: Sequence[bytes]) -> Iterable[tuple[int, bytes]]:
    """Yield the lines, with their places, of which not their text alone is reason not to decode them."""
    signs = _signs_of_odd_lines(fast, b"\n".join(lines))
    numbered = enumerate(lines)
    if not signs:
        return numbered
    return [(place, line) for place, line in numbered if not any(sign(line) for sign in signs)]


def _signs_of_odd_lines(fast: FastDecoder, data: bytes) -> Sequence[Callable[[bytes], bool]]:
    """Return what tells of a line that it is one for the exact path, whatever it decodes to; most blocks have none."""
    signs: list[Callable[[bytes], bool]] = []
    if not fast.holds_nul and b"\\u0000" in data:
        signs.append(lambda line: b"\\u0000" in line)
    refused = fast.refused
    if refused is not None and refused.search(data):
        signs.append(lambda line: refused.search(line) is not None)
    if _is_refused(fast.clocks.check, data):
        signs.append(lambda line: _is_refused(fast.clocks.check, line))
    rules = fast.rules
    if rules is not None and _is_refused(rules.check, data):
        signs.append(lambda line: _is_refused(rules.check, line))
    return signs


def _is_refused(check: Callable[[Any], Any], value: Any) -> bool:
    try:
        check(value)
    except Refused:
        return True
    return False


def _rows_of(
    fast: FastDecoder, numbered: Sequence[tuple[int, Any]], *, may_lack: bool = False
) -> list[Numbered]:
    places = [place for place, _ in numbered]
    rows = fast.rows_of([message for _, message in numbered])
    if may_lack and fast.pairs:
        rows = without_fillers(rows, fast.pairs)
    return list(zip(places, rows, strict=True))


def _with_texts(fast: FastDecoder, numbered: list[Numbered]) -> list[Numbered]:
    """Leave out rows in which something else stands in the place of a text."""

    def check(rows: list[Row]) -> None:
        try:
            fast.check_texts(WireColumns(rows))
        except REFUSALS as error:
            raise Refused from error

    if not _is_refused(check, [row for _, row in numbered]):
        return numbered
    return [(place, row) for place, row in numbered if not _is_refused(check, [row])]


def _checked(fast: FastDecoder, numbered: list[Numbered]) -> Iterable[Numbered]:
    """Leave out rows of which a check refuses a value."""
    places, rows = [place for place, _ in numbered], [row for _, row in numbered]
    try:
        return zip(places, fast.checked(WireColumns(rows)).rows, strict=True)
    except Refused:
        bad = {number for index, check in fast.checks for number in _refused_by(check, index, rows)}
    kept = [number for number in range(len(rows)) if number not in bad]
    found = fast.checked(WireColumns([rows[n] for n in kept]))
    return zip([places[n] for n in kept], found.rows, strict=True)


def _refused_by(check: Check, index: int, rows: Sequence[Row]) -> Sequence[int]:
    values = {number: row[index] for number, row in enumerate(rows) if row[index] is not UNSET}
    if not _is_refused(check, list(values.values())):
        return ()
    return [number for number, value in values.items() if _is_refused(check, [value])]


def as_on_wire(fast: FastDecoder, row: Row) -> Row:
    """Return a row with text and nulls as the other rows of a block have them: as JSON, text in its quotes."""
    changed = list(row)
    for index in fast.left_on_wire:
        value = row[index]
        if value is None:
            changed[index] = _NULL
        elif isinstance(value, str):
            changed[index] = Raw(_encode(value))
    return tuple(changed)
