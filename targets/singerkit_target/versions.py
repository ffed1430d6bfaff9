"""ACTIVATE_VERSION: when it takes effect (SINGER-RULES X01, X03; docs/decisions/0022).

It belongs to the next STATE, as the rows before that do: who resumes from there never sends it again. Where records of
its stream come first, as from taps that announce a version before they load it, it waits for another one or for the
end of a complete input.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

__all__ = ["Versions"]


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
