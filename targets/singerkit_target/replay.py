"""The unit in hand: what was written since the last commit, held so that it can be written again.

After a lost connection, a restarted server, a deadlock the transaction is gone, and what it held is still here
(FAULTS D1, D3, D4). What is held is bounded in bytes: a unit that outgrows the bound cannot be written again, the
run then ends and the next one resumes from the committed state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import backoff

from singerkit_target.versions import Versions
from singerkit_wire.messages import Message, Run
from singerkit_wire.stream import Stream

__all__ = ["TRIES", "UnitInHand", "waits"]

TRIES = 5
"""How often a unit is begun anew before the run gives up."""

_LONGEST_WAIT = 5.0


@dataclass
class UnitInHand:
    """The parts of the input written since the last commit, and how the streams were declared before them, and which of
    their versions waited.
    """

    limit: int
    parts: list[Run | Message] = field(default_factory=list)
    is_whole: bool = True
    declared: Mapping[str, bytes] = field(default_factory=dict)
    streams: Mapping[str, Stream] = field(default_factory=dict)
    versions: Versions = field(default_factory=Versions)
    _size: int = 0

    def add(self, part: Run | Message) -> None:
        """Hold a part that has been written; beyond the limit nothing is held until the next unit."""
        if not self.is_whole:
            return
        self._size += part.size if isinstance(part, Run) else len(part.line)
        self.parts.append(part)
        if self._size > self.limit:
            self.parts, self.is_whole = [], False

    def back_to(self, state: Message | None) -> None:
        """What came after this STATE is given up."""
        while self.parts and self.parts[-1] is not state:
            self.parts.pop()

    def restart(self, declared: Mapping[str, bytes], streams: Iterable[Stream], versions: Versions) -> None:
        """A unit is committed; the next begins with these SCHEMA messages in force, and these versions waiting."""
        self.parts, self.is_whole, self._size = [], True, 0
        self.declared = dict(declared)
        self.streams = {stream.name: stream for stream in streams}
        self.versions = versions.copy()


def waits(longest: float = _LONGEST_WAIT) -> Iterator[float]:
    """Yield seconds to wait between tries: from 0.1 doubling up to ``longest``, with full jitter."""
    # backoff's generators yield nothing first: it sends them the value of a try.
    for seconds in islice(backoff.expo(factor=0.1, max_value=longest), 1, None):
        yield backoff.full_jitter(seconds)
