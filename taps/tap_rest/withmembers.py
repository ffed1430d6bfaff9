"""Members added to raw records, behind their own, which stay as they are to the last byte."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

__all__ = ["with_members"]


def with_members(records: Sequence[Raw], members: Sequence[Sequence[bytes]]) -> list[Raw]:
    """Return the records, each with its own of ``members``, which are written as `"name":value`."""
    return [
        _with_members(record, added) if added else record
        for record, added in zip(records, members, strict=True)
    ]


def _with_members(record: Raw, members: Sequence[bytes]) -> Raw:
    text = bytes(record).rstrip()
    comma = b"" if text[1:-1].isspace() or len(text) == 2 else b","
    return Raw(text[:-1] + comma + b",".join(members) + b"}")
