"""Snapshots: which transactions the reading of a table has seen."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Seen"]

_RING = 1 << 32
_FUTURE = 1 << 31


@dataclass(frozen=True)
class Seen:
    """What `pg_current_snapshot` says: all below ``xmin`` is visible, nothing from ``xmax`` on, nor what ``running`` names.

    Its numbers have 64 bits, those of the log the lower 32 of them; of two that are less than half of the ring apart the order is known.
    """

    xmax: int
    running: frozenset[int]

    @classmethod
    def of(cls, text: str) -> Seen:
        _xmin, xmax, running = text.split(":")
        return cls(
            int(xmax) % _RING, frozenset(int(number) % _RING for number in running.split(",") if number)
        )

    def sees(self, xid: int) -> bool:
        """Tell whether a transaction of the log, which was committed, was visible."""
        behind = (self.xmax - xid) % _RING
        return 0 < behind < _FUTURE and xid not in self.running
