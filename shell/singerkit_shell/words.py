"""Words of log lines and errors."""

from __future__ import annotations

__all__ = ["counted", "ended"]


def counted(number: int, thing: str) -> str:
    """Return `1 row`, `2 rows`, `10,000 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def ended(sentence: str) -> str:
    """Return a sentence with its full stop, where no question mark ends it."""
    return sentence if sentence.endswith(("?", ".")) else f"{sentence}."
