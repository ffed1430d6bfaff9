"""The members of a body around its records, by their path; a record itself is never looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from tap_rest.answers.answer import Response
from tap_rest.names import plain_name
from tap_rest.pages.membernames import BEFORE, LINKS, TOKEN_OBJECTS, is_container

__all__ = ["Member", "body_members", "inside", "members_of", "path_of"]

_DEPTH = 4
_SMALL = 100_000  # bytes: what is longer than that is data, not a word about pages
Member = tuple[tuple[str, ...], Any]


def body_members(response: Response, records_at: Sequence[str] | None) -> Iterator[Member]:
    """Yield names and value of the members around the records; only small values are decoded."""
    if records_at is not None and not records_at:
        return  # the body is the records, or the record
    yield from members_of(response.members or {}, (), None if records_at is None else tuple(records_at))


def inside(raw: Raw | bytes) -> dict[str, Raw]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError):
        return {}


def members_of(
    found: Mapping[str, Raw], path: tuple[str, ...], records_at: tuple[str, ...] | None
) -> Iterator[Member]:
    for name, value in found.items():
        names = (*path, name)
        if names == records_at:
            continue
        first = memoryview(value)[:1].tobytes()
        is_above = records_at is not None and records_at[: len(names)] == names
        is_small = len(memoryview(value)) <= _SMALL
        if first == b"{" and plain_name(name) in BEFORE:
            yield (
                names,
                bytes(value).strip(b"{} \n\r\t") != b"",
            )  # that it is there; what is in it is of that page
            continue
        if is_small and first in (b"[", b"{") and plain_name(name) in TOKEN_OBJECTS:
            yield names, _decoded(value)
        elif first == b"{" and len(names) < _DEPTH and (is_above or is_container(name)):
            yield names, {}
            yield from members_of(inside(value), names, records_at)
        elif is_small and (first not in (b"[", b"{") or plain_name(name) in LINKS):
            yield names, _decoded(value)


def _decoded(raw: Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def path_of(names: Sequence[str]) -> str:
    """Return a path of the config."""
    parts = (
        f".{name}" if re.fullmatch(r"[A-Za-z_][\w-]*|@[\w@-]+(?:\.[\w@-]+)*", name) else f"['{name}']"
        for name in names
    )
    return f"${''.join(parts)}"
