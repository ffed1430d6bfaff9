"""ACTIVATE_VERSION: when it takes effect (SINGER-RULES X01, X03; docs/decisions/0022).

It belongs to the next STATE, as the rows before that do: who resumes from there never sends it again. Where records of
its stream come first, as from taps that announce a version before they load it, it waits for another one or for the
end of a complete input.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

__all__ = ["Versions", "without_metadata"]


def without_metadata(*, has_key: bool, is_of_log: bool = False) -> str:
    """Say what an ACTIVATE_VERSION leaves as it is where rows carry no version, and what to do."""
    ignored = "is ignored: rows carry no version without `add_record_metadata`, so that"
    if is_of_log:
        return (
            f"{ignored} a TRUNCATE at the source, or a new start of the stream, of which the log tells once, takes no row away here. Set it to true: the next "
            "version then names the statement that removes what was loaded without."
        )
    left = (
        "those that are gone at the source stay"
        if has_key
        else "each complete load of this stream, which has no key, adds all its rows to those that are there"
    )
    return f"{ignored} {left}. Set it to true, and the next complete load names the statement that removes what was loaded without."


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
