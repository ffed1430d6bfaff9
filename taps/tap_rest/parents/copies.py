"""Whether the fields that a parent gives to its children are new to their records.

A field of the record's own would stand in the place of the parent's, and children of all parents would become one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from msgspec import Raw
from singer_sdk.singerlib import SelectionMask

from singerkit_shell.errors import BadDataError
from singerkit_wire import jsonexact as exact
from singerkit_wire.encode import RawRecord, RecordEncoder
from tap_rest.paths import Path, finder_of
from tap_rest.settings.stream import StreamSettings

__all__ = ["refuse_own_values"]


def refuse_own_values(
    settings: StreamSettings,
    records: Sequence[RawRecord],
    constants: Mapping[str, Any],
    sent: Collection[str],
) -> None:
    """See that no record has a field of its own, with another value, where a copied one is to stand.

    ``constants`` are the copied fields, ``sent`` names those that count.

    Raises:
        BadDataError: one has.
    """
    names = [name for name in constants if name in sent]
    if not names:
        return
    reader = _reader_of(settings.name, tuple(names))
    rows = reader.decode(records)
    for name in names:
        if not reader.stands_in(rows, name):
            continue
        own = set(map(bytes, reader.column(rows, name)))
        if b"null" in own:  # or a field that some records lack
            own = _own_values(settings.name, name, records)
        if not all(_is_same(Raw(value), constants[name]) for value in own):
            raise BadDataError(_sentence(settings, name))


@lru_cache(maxsize=16)
def _reader_of(stream: str, names: tuple[str, ...]) -> RecordEncoder:
    return RecordEncoder(stream, {"properties": {name: {} for name in names}}, SelectionMask())


def _own_values(stream: str, name: str, records: Sequence[RawRecord]) -> set[bytes]:
    """Return the values of a field of those records that have it."""
    find = finder_of([Path(name, (name,), False)])
    found = (find(bytes(record), f"a record of stream {stream}")[name] for record in records)
    return {bytes(value) for value in found if isinstance(value, Raw)}


def _is_same(found: Raw, value: Any) -> bool:
    """Tell whether a raw value is the parent's; a number in text counts as that number."""
    own = exact.loads(bytes(found))
    if isinstance(own, bool) or isinstance(value, bool) or own is None or value is None:
        return own is value
    if isinstance(own, str | int | Decimal) and isinstance(value, str | int | Decimal):
        return bool(own == value) or str(own) == str(value)
    return bool(own == value)


def _sentence(settings: StreamSettings, name: str) -> str:
    if name in settings.for_each:
        return (
            f"Each record of stream {settings.name} has the value of the list `{name}` (`for_each`) as `{name}`, and one of its records has a "
            f"field `{name}` of its own with another value; give the list another name, and `{{each.{name}}}` with it."
        )
    parent = settings.parent.stream if settings.parent else ""
    fits = {(f"parent_{name}" if child == name else child): field for child, field in settings.copies.items()}
    key = " (and the new name in `primary_keys`)" if name in settings.primary_keys else ""
    return (
        f"Stream {settings.name} copies `{settings.copies[name]}` of stream {parent} to `{name}`, and one of its records "
        f'has a field `{name}` of its own with another value; copy it under another name, `"copy": {json.dumps(fits)}` in '
        f"`parent`{key}, or leave it out of `copy` if the record's own is wanted."
    )
