"""Members added to raw records, behind their own, which stay as they are to the last byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from msgspec import Raw

from singerkit_wire import jsonexact as exact
from tap_rest.paths import Column, Found, Path, column_of

__all__ = ["member", "with_copies", "with_members"]


def with_copies(
    records: Sequence[Raw],
    copies: Mapping[str, Sequence[Found]],
    where: str,
    clash: Callable[[str], Exception],
) -> list[Raw]:
    """Return the records, each with its value of every name; one that it has already is not added, and neither is one that is not there.

    ``clash`` returns the error where a record has a field of that name with another value.
    """
    members: list[list[bytes]] = [[] for _ in records]
    for name, values in copies.items():
        for added, value, own in zip(members, values, _own_column(name)(records, where), strict=True):
            if isinstance(own, Raw):
                if not _are_equal(own, value):
                    raise clash(name)
            elif isinstance(value, Raw):
                added.append(member(name, bytes(value)))
    return with_members(records, members)


def member(name: str, value: bytes) -> bytes:
    """Return a member of an object as it is written."""
    return json.dumps(name).encode() + b":" + value


def with_members(records: Sequence[Raw], members: Sequence[Sequence[bytes]]) -> list[Raw]:
    """Return the records, each with its own of ``members``."""
    return [
        _with_members(record, added) if added else record
        for record, added in zip(records, members, strict=True)
    ]


def _with_members(record: Raw, members: Sequence[bytes]) -> Raw:
    text = bytes(record).rstrip()
    comma = b"" if text[1:-1].isspace() or len(text) == 2 else b","
    return Raw(text[:-1] + comma + b",".join(members) + b"}")


@lru_cache(maxsize=64)
def _own_column(name: str) -> Column:
    return column_of(Path("", (name,), False))


def _are_equal(own: Raw, value: Found) -> bool:
    return isinstance(value, Raw) and bool(exact.loads(bytes(own)) == exact.loads(bytes(value)))
