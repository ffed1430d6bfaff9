"""What a record says of the end of its row goes on to the elements of its lists, where they stay: since when, or that they are back.

A row behind those of the elements says it, at a place where no element is; the last one of a record counts, as of any key.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass

from singerkit_wire.exact import OutOfRange, date_time

__all__ = ["ASIDE", "BACK", "Marks", "aside", "since_when"]

ASIDE = -1
"""The position of such a row."""

BACK = "1970-01-01T00:00:00Z"
"""What it has in `_sdc_deleted_at` where the record is back; no record says that it has been gone since then."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass
class Marks:
    """Of a stream: ``come`` once a record of this run has marked its elements, so that each one behind it says that its own are back."""

    come: bool = False


def since_when(said: str) -> str | None:
    """Return the moment that a record has in `_sdc_deleted_at` as it goes on, in UTC; None: that is none."""
    try:
        moment = date_time(json.loads(said)).astimezone(datetime.UTC)
    except (OutOfRange, OverflowError):
        return None
    return json.dumps((moment + datetime.timedelta(microseconds=moment == _EPOCH)).isoformat())


def aside(
    since: str | None, *, goes: bool, is_whole: bool, may_be_marked: bool, have_come: bool
) -> str | None:
    """Return what the row aside says; None: there is none.

    ``since``: the record is gone, and its elements stay; ``goes``: they go; ``is_whole``: the record brings all elements, or says that it has none, which are there then.
    """
    if since is not None or goes:
        return since
    return f'"{BACK}"' if have_come or (may_be_marked and not is_whole) else None
