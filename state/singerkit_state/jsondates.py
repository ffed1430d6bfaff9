"""Dates as .NET wrote them into JSON: `/Date(1439434356790+0000)/`, milliseconds since 1970 in UTC, whatever offset stands behind."""

from __future__ import annotations

import re

from singerkit_state.instants import Instant, NoInstantError

__all__ = ["json_date_instant", "json_date_less", "json_date_of"]

_LOOK = re.compile(r"/Date\((-?\d{1,15})([+-]\d{4})?\)/", re.ASCII)


def json_date_instant(text: object) -> Instant:
    """Return the point in time; `NoInstantError` when it is something else."""
    milliseconds, _ = _parts(text)
    seconds, rest = divmod(milliseconds, 1000)
    return seconds, f"{rest:03}".rstrip("0")


def json_date_less(text: str, back: int) -> str:
    """Return the date moved back by seconds, with the offset it has."""
    milliseconds, offset = _parts(text)
    return f"/Date({milliseconds - back * 1000}{offset})/"


def json_date_of(instant: Instant) -> str:
    """Write a point in time, cut off downwards, as the oldest form does: without an offset."""
    return f"/Date({instant[0] * 1000 + int(instant[1][:3].ljust(3, '0'))})/"


def _parts(text: object) -> tuple[int, str]:
    match = _LOOK.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise NoInstantError("Expected a date like `/Date(1439434356790+0000)/`, got something else")
    return int(match[1]), match[2] or ""
