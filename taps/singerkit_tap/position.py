"""How far the runs of a stream have come that has no replication key, and tells by itself what it has read.

A folder of files, say: the position names what was read, and how far. It stands in the stream's part of the state after each
run, so that it is committed with the rows before it, and the next run begins there::

    "_singerkit_position": {"done": {"in/a.csv": ["k3Jd0aPq", ...]}}

No STATE is written behind rows that no position covers, not even where rows that come again would take their place by a key:
what a position does not know of, a later run cannot replace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_tap.stream import BlockStream

__all__ = ["POSITION", "KeptPosition"]

POSITION = "_singerkit_position"


class KeptPosition:
    """That of one stream in one run. ``part`` is what the state says of the stream."""

    def __init__(self, part: Mapping[str, Any]) -> None:
        self.reached: Any = part.get(POSITION)
        """JSON that the engine does not look into; None: nothing was read yet."""

    @classmethod
    def of(cls, stream: BlockStream, part: Mapping[str, Any]) -> KeptPosition | None:
        """Return that of a stream; None: it goes on otherwise, or begins anew with each run."""
        return cls(part) if stream.goes_on_by_position else None

    def written(self) -> dict[str, Any]:
        """Return what a state holds of it."""
        return {} if self.reached is None else {POSITION: self.reached}
