"""Positions in the write-ahead log: `0/16B3748@1`, the number of a byte and the timeline that it is on."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Place", "lsn_number", "lsn_text"]

_PLACE = re.compile(r"([0-9A-F]+/[0-9A-F]+)@([0-9]+)")


@dataclass(frozen=True, slots=True)
class Place:
    """A position. Behind the end of a transaction, or between two, it is where reading goes on."""

    lsn: int
    timeline: int

    @classmethod
    def of(cls, text: object) -> Place:
        """Read what `str` has written.

        Raises:
            ValueError: it is none.
        """
        found = _PLACE.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ValueError("no position of a write-ahead log")
        return cls(lsn_number(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{lsn_text(self.lsn)}@{self.timeline}"


def lsn_number(text: str) -> int:
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def lsn_text(number: int) -> str:
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"
