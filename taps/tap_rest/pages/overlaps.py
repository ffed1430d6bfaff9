"""Pages of `offset` that are shorter than they should be and are not the last: the next one begins before their end.

A server that leaves out rows behind its limit (those that the user may not see, as Jira does) counts them in the offset. The
next page is asked for by what came, since a server may as well cap its pages, so rows come twice rather than never.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

__all__ = ["Overlaps"]


class Overlaps:
    """The pages of one read; ``size`` is what each was asked to hold."""

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._last: Sequence[bytes] = ()
        self._lengths: set[int] = set()
        self.is_uneven = False
        """Whether pages that are not the last were of different lengths, so that no cap explains the shorter ones."""

    def take(self, records: Sequence[Raw]) -> int:
        """Return how many rows, at the beginning of this page, were the end of the one before, which was short."""
        now = list(map(bytes, records))
        longest = self._size or max(self._lengths, default=0)
        is_after_short = len(self._last) < longest
        common = _common(self._last, now) if is_after_short else 0
        if self._last and now:  # else the one before was the last that has any
            self._lengths.add(len(self._last))
            self.is_uneven = len(self._lengths) > 1
        self._last = now
        return common


def _common(before: Sequence[bytes], after: Sequence[bytes]) -> int:
    """Return the length of the longest end of ``before`` that ``after`` begins with."""
    sizes = range(min(len(before), len(after)), 0, -1)
    # Nearly all are told by their first row alone.
    return next((size for size in sizes if before[-size] == after[0] and before[-size:] == after[:size]), 0)
