"""`rate_limit`: how many requests may be made in a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tap_rest.settings import setting

__all__ = ["RATE_LIMIT", "RateLimit", "idle_budgets"]

_WINDOWS = {"requests_per_second": 1, "requests_per_minute": 60, "requests_per_hour": 3600}
_MOST = 1_000_000

RATE_LIMIT = setting.group(
    "A budget of requests, shared by all streams: those that are asked again and redirects count, too. Requests for tokens, and those to other "
    "origins than that of `base_url`, do not. Default: none, and what answers say of limits is followed.",
    {
        "requests_per_second": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": _MOST,
            "description": "Requests in any second; 0.5 is one in two seconds.",
        },
        "requests_per_minute": setting.count("Requests in any minute.", maximum=_MOST),
        "requests_per_hour": setting.count("Requests in any hour.", maximum=_MOST),
    },
) | {"minProperties": 1}


class RateLimit(msgspec.Struct, frozen=True):
    """Requests in any second, minute, hour; None: as many as there are."""

    requests_per_second: float | None = None
    requests_per_minute: int | None = None
    requests_per_hour: int | None = None

    @property
    def windows(self) -> list[tuple[int, float, str]]:
        """How many requests, in how many seconds, by which setting."""
        found = []
        for name, seconds in _WINDOWS.items():
            rate = getattr(self, name)
            if rate is not None:
                count = max(1, math.floor(rate))
                found.append((count, seconds * count / rate, name))
        return found


def idle_budgets(said: Mapping[str, Any]) -> Iterator[str]:
    """Name what is never met, since a shorter time allows no more than that."""
    names = [name for name in _WINDOWS if name in said]
    for index, name in enumerate(names):
        for shorter in names[:index]:
            most = said[shorter] * _WINDOWS[name] / _WINDOWS[shorter]
            if said[name] >= most:
                yield (
                    f"`rate_limit.{name}` ({said[name]}) has no effect beside `rate_limit.{shorter}` ({said[shorter]}), which allows no "
                    f"more than {most:g}; lower the one or take it out"
                )
