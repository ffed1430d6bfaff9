"""What columns and rows as arrays have in common: values taken out of a body untouched, and objects made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from tap_rest.paths import Path, parse_path
from tap_rest.records.bodies import kind_of

__all__ = ["Items", "array_in", "as_objects", "is_array", "kind_in", "members_of_value", "split"]

_ITEMS = re.compile(r"(.*)\[\*\](?:\.([A-Za-z_]\w*))?")
_NULL = Raw(b"null")
_encoder = msgspec.json.Encoder()
_list = msgspec.json.Decoder(list[Raw])
_object = msgspec.json.Decoder(dict[str, Raw])
_objects = msgspec.json.Decoder(list[dict[str, Raw]])


def as_objects(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[Raw]:
    """Return rows of values, raw or not, as raw objects."""
    return _list.decode(_encoder.encode([dict(zip(names, row, strict=True)) for row in rows]))


def split(array: Raw) -> list[Raw] | None:
    """Return the items of an array; None: it is something else."""
    try:
        return _list.decode(array)
    except (msgspec.DecodeError, RecursionError):
        return None


def members_of_value(value: Raw) -> dict[str, Raw]:
    """Return what a value holds by name; nothing, where it is no object."""
    try:
        return _object.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return {}


def is_array(value: Raw) -> bool:
    return bytes(memoryview(value)[:1]) == b"["


def kind_in(value: Raw) -> str:
    return kind_of(bytes(memoryview(value)[:1]))


def array_in(members: Mapping[str, Raw], names: Sequence[str]) -> Raw | None:
    """Return the array at ``names`` below members of an object, None where there is none."""
    value: Raw | None = None
    for name in names:
        value = members.get(name)
        if value is None:
            return None
        members = members_of_value(value)
    return value if value is not None and is_array(value) else None


@dataclass(frozen=True, slots=True)
class Items:
    """A path to the items of an array, and the member of each that counts: `$.dimensionHeaders[*].name`."""

    at: Path
    member: str | None = None

    @classmethod
    def parse(cls, text: str, key: str) -> Items:
        """Parse the path at ``key`` of a config."""
        match = _ITEMS.fullmatch(text)
        return cls(parse_path(match[1], key), match[2]) if match else cls(parse_path(text, key))

    def of(self, members: Mapping[str, Raw]) -> list[Raw] | None:
        """Return the items below members of an object, None where there is no such array."""
        found = array_in(members, self.at.names or ())
        if found is None or self.member is None:
            return None if found is None else split(found)
        return [item.get(self.member, _NULL) for item in _objects.decode(found)]
