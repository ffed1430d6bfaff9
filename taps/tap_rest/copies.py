"""Whether the fields that a parent gives to its children are new to their records.

A field of the record's own would stand in the place of the parent's, and children of all parents would become one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Raw

from singerkit_shell.errors import BadDataError
from singerkit_wire.encode import RawRecord
from tap_rest import exact
from tap_rest.config import StreamSettings
from tap_rest.paths import Path, finder_of

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
    find = finder_of([Path(name, (name,), False) for name in names])
    where = f"a record of stream {settings.name}"
    for record in records:
        for name, found in find(bytes(record), where).items():
            if isinstance(found, Raw) and not _is_same(found, constants[name]):
                raise BadDataError(_sentence(settings, name))


def _is_same(found: Raw, value: Any) -> bool:
    """Tell whether a raw value is the parent's; a number in text counts as that number."""
    own = exact.loads(bytes(found))
    if isinstance(own, bool) or isinstance(value, bool) or own is None or value is None:
        return own is value
    if isinstance(own, str | int | Decimal) and isinstance(value, str | int | Decimal):
        return bool(own == value) or str(own) == str(value)
    return bool(own == value)


def _sentence(settings: StreamSettings, name: str) -> str:
    parent = settings.parent.stream if settings.parent else ""
    fits = {(f"parent_{name}" if child == name else child): field for child, field in settings.copies.items()}
    key = " (and the new name in `primary_keys`)" if name in settings.primary_keys else ""
    return (
        f"Stream {settings.name} copies `{settings.copies[name]}` of stream {parent} to `{name}`, and one of its records "
        f'has a field `{name}` of its own with another value; copy it under another name, `"copy": {json.dumps(fits)}` in '
        f"`parent`{key}, or leave it out of `copy` if the record's own is wanted."
    )
