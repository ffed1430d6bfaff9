"""A look at a stream: its files, the columns of some of them, and its first rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import msgspec

from singerkit_shell.errors import BadDataError, SingerkitError
from singerkit_shell.previews import Look, type_word
from singerkit_shell.words import counted
from tap_files.inorder import InOrder
from tap_files.places.contract import Found, Place
from tap_files.preview.columndoubts import advice_on, doubts_of
from tap_files.rows import without
from tap_files.samples import FILES, Sample, first_pieces, learn
from tap_files.settings.stream import StreamSettings
from tap_files.typing.columns import Columns, NoValue

__all__ = ["listed", "look_at"]

_LISTED = 10_000
_BAD_ROWS = 3
"""Bad rows of a file that are named."""
_VALUES = 50_000
"""Values of a column that are looked at."""
_LONGEST_VALUE = 10_000
_encoder = msgspec.json.Encoder(decimal_format="number")


def listed(settings: StreamSettings, place: Place) -> tuple[Sequence[Found], bool]:
    """Return the files of a stream, the oldest first, and whether there are more than are listed."""
    found = list(islice(settings.pattern.files(place), _LISTED + 1))
    return sorted(found[:_LISTED], key=lambda one: (one.modified or 0, one.name)), len(found) > _LISTED


def look_at(
    settings: StreamSettings, place: Place, files: Sequence[Found], most_rows: int, *, are_more: bool = False
) -> Look:
    """Read the beginning of some files, as a run would before its first row, and the first rows of the first file that has some."""
    look = Look(settings.name)
    size = sum(found.size or 0 for found in files)
    more = "more than " if are_more else ""
    look.source = [
        f"{settings.address.shown}{settings.pattern.text}: {more}{counted(len(files), 'file')}, {size:,} bytes"
    ]
    if not files:
        look.doubts.append("No file has such a name.")
        return look
    try:
        _look_into(look, settings, place, files, most_rows)
    except SingerkitError as error:
        look.doubts.append(str(error))
        look.code = error.exit_code
    return look


def _look_into(
    look: Look, settings: StreamSettings, place: Place, files: Sequence[Found], most_rows: int
) -> None:
    columns = Columns(settings.name, settings.schema, {}, settings.own_columns)
    texts: dict[str, list[Any]] = {}
    first: Sample | None = None
    count = bad_rows = 0
    for sample in first_pieces(settings, place, InOrder(files)):
        if sample.problem is not None:
            look.doubts.append(f"{sample.found.name}: {str(sample.problem).removesuffix('.')}.")
            look.code = sample.problem.exit_code
            continue
        learn(columns, sample)
        piece = sample.piece
        if piece is None:
            continue
        sample, strange = _held(columns, settings, sample)
        reasons = [bad.reason for bad in piece.bad] + strange
        bad_rows += len(reasons)
        first = first if first is not None and first.piece is not None and first.piece.count else sample
        count += piece.count
        look.doubts += [f"{sample.found.name}: {reason}." for reason in reasons[:_BAD_ROWS]]
        for name in _texts_of(sample):
            known = texts.setdefault(name, [])
            known += (piece.columns or {}).get(name, ())[: _VALUES - len(known)]
    if bad_rows > (settings.bad_row_limit if settings.sets_aside else 0):
        look.code = look.code or BadDataError.exit_code
    look.types = {name: type_word(schema) for name, schema in columns.properties.items()}
    if first is not None:
        look.rows = list(_rows(columns, first, most_rows))
    advice: list[str] = []
    for name, values in texts.items():
        if name not in settings.schema:
            look.doubts += doubts_of(name, values)
            advice += advice_on(name, values)
    looked_at = counted(min(len(files), FILES), "file")
    look.notes.append(f"{counted(count, 'row')} looked at, at the beginning of {looked_at}.")
    look.notes += advice


def _held(columns: Columns, settings: StreamSettings, sample: Sample) -> tuple[Sample, list[str]]:
    """Return a sample with the rows in which texts are what their columns were declared to be, and what is wrong with the others."""
    piece, reasons = sample.piece, list[str]()
    while piece is not None and piece.columns is not None:
        declared = [name for name in _texts_of(sample) if name in settings.schema and name in piece.columns]
        try:
            columns.convert({name: piece.columns[name] for name in declared})
            break
        except NoValue as error:
            wrong = f"Expected `{error.kind}`, got a text that is none at {settings.name}.$.{error.name}"
            reasons += [f"{wrong}, record {piece.numbers[number]}" for number in error.numbers]
            piece = without(piece, {*error.numbers})
    return replace(sample, piece=piece), reasons


def _texts_of(sample: Sample) -> Sequence[str]:
    return [name for name, schema in (sample.fields or {}).items() if schema is None]


def _rows(columns: Columns, sample: Sample, most: int) -> Iterator[dict[str, str]]:
    """Yield the first rows as they are sent; texts without their quotes, null as nothing."""
    piece = sample.piece
    if piece is None:
        return
    if piece.columns is None:
        for record in (piece.records or ())[:most]:
            fields = msgspec.json.decode(bytes(record), type=dict[str, msgspec.Raw])
            yield {name: _shown(value) for name, value in fields.items()}
        return
    texts = {name: piece.columns[name][:most] for name in _texts_of(sample) if name in piece.columns}
    values = {name: list(found[:most]) for name, found in piece.columns.items()} | columns.convert(texts)
    for number in range(min(most, piece.count)):
        yield {name: _shown(found[number]) for name, found in values.items()}


def _shown(value: Any) -> str:
    if value is None:
        return ""
    raw = bytes(value) if isinstance(value, msgspec.Raw) else _encoder.encode(value)
    if raw[:1] == b'"':
        return str(msgspec.json.decode(raw))[:_LONGEST_VALUE]
    return "" if raw == b"null" else raw[:_LONGEST_VALUE].decode("utf-8", "replace")
