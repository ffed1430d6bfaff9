"""Bookmarks that lie in the future: whoever takes one over reads nothing until then."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from singerkit_state.edit import streams_of
from singerkit_state.instants import NoInstantError, iso_instant, rfc2822_instant

__all__ = ["ahead_of_now", "seconds_of"]

_DAY = 86_400
_SCALES = (1, 1_000, 1_000_000)
_EPOCHS = (10**9, 10**10)
"""Seconds since 1970 are taken for such from 2001 to 2286; other numbers may be anything."""


def ahead_of_now(state: Mapping[str, Any] | None) -> str | None:
    """Return a sentence about the bookmarks of ``state`` that are more than a day ahead of our clock; None without."""
    now = time.time()
    for name, value in _bookmarks(state):
        seconds = seconds_of(value)
        if seconds is not None and seconds > now + _DAY:
            return (
                f"The bookmark of stream `{name}`, `{str(value)[:60]}`, is ahead of the clock of this machine, if it is a "
                "point in time: rows before it are not read until then. Set the one that is meant with `singerkit-state set`."
            )
    return None


def _bookmarks(state: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    for name, part in streams_of(state).items():
        parts = [part, *(part.get("partitions") or ())] if isinstance(part, dict) else []
        for one in parts:
            if isinstance(one, dict):
                yield name, one.get("replication_key_value")


def seconds_of(value: Any) -> float | None:
    """Return the Unix time that a bookmark means; None where it is no point in time."""
    if isinstance(value, str) and not value.isdecimal():
        for read in (iso_instant, rfc2822_instant):
            try:
                return read(value)[0]
            except NoInstantError:
                continue
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    seconds = [float(value[:20] if isinstance(value, str) else value) / scale for scale in _SCALES]
    return next((one for one in seconds if _EPOCHS[0] <= one < _EPOCHS[1]), None)
