"""What the clock of an API showed when it was asked: the signpost of bookmarks (decision 15)."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

from tap_rest.answers.answer import Response
from tap_rest.http.heads import by_name

__all__ = ["clock_of"]

_OLDEST = 946_684_800
"""2000-01-01: a clock before it was never set."""


def clock_of(response: Response, margin: float) -> float | None:
    """Return the Unix time that the source's clock certainly showed when it was asked, less ``margin`` seconds.

    That is the `Date` of the answer less the time that the request took, and less the `Age` of an answer that a
    cache gave. None without a usable `Date`.
    """
    headers = by_name(response.headers)
    try:
        age = float(headers.get("Age", 0))
        clock = _unix(headers["Date"]) - response.seconds - (0 if age < 0 else age) - margin
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
    return clock if _OLDEST < clock < float("inf") else None


@lru_cache(maxsize=4)
def _unix(date: str) -> float:
    """Return the Unix time of a date, which answers within one second have in common."""
    parsed = parsedate_to_datetime(date)
    return (
        parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed
    ).timestamp()  # never of this machine's zone
