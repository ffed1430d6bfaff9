"""Words of log lines and errors."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, thing: str) -> str:
    """Return `1 row`, `2 rows`, `10,000 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
