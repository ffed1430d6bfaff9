"""ACTIVATE_VERSION: when it takes effect (SINGER-RULES X01, X03; docs/decisions/0022).

It belongs to the next STATE, as the rows before that do: who resumes from there never sends it again. Where records of
its stream come first, as from taps that announce a version before they load it, it waits for another one or for the
end of a complete input.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

__all__ = ["Versions", "as_version"]

_INTEGER = re.compile(r"-?[0-9]{1,19}\Z", re.ASCII)
_LEAST, _MOST = -(2**63), 2**63 - 1


def as_version(value: Any) -> int:
    """Return the ``version`` of a message, which some taps write as text.

    Raises:
        ValueError: it is no integer of 64 bits.
    """
    if isinstance(value, str) and _INTEGER.match(value):
        value = int(value)
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not is_number or not _LEAST <= value <= _MOST or value != int(value):
        raise ValueError("Expected an integer of 64 bits in `version`")
    return int(value)


@dataclass
class Versions:
    """The versions that wait, by stream; ``followed`` are the streams of which records have come since."""

    waiting: dict[str, int] = field(default_factory=dict)
    followed: set[str] = field(default_factory=set)

    def copy(self) -> Versions:
        return Versions(dict(self.waiting), set(self.followed))

    def wait(self, stream: str, version: int) -> None:
        self.waiting[stream] = version
        self.followed.discard(stream)

    def see_records(self, stream: str) -> None:
        self.followed.add(stream)

    def due(self, streams: Collection[str]) -> list[str]:
        """The streams among ``streams`` whose version takes effect at the next STATE."""
        return [name for name in self.waiting if name not in self.followed and name in streams]
