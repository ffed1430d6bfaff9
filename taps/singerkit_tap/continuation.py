"""What a source has said at the end of a read, by which the next run asks for what comes after it.

A token of the answers, or what tells whether an answer has changed: JSON that only the connector understands
(`Page.continuation`). It stands in the stream's part of the state once the read is complete, so that it is committed with the
rows before it, and in no earlier STATE::

    "_singerkit_continuation": {"whole": {"token": "CPDAlv3..."}}
    "_singerkit_continuation": {"partitions": {"5wJ3aX0pQ2k": {"token": "..."}, ...}}

Of partitions as many are kept as bookmarks would be: of more, one that was not read in this run gives way, and is read from the start
when it comes back.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from singerkit_state.bookmarks import PARTITION_LIMIT, context_key
from singerkit_tap.contract import Context
from singerkit_tap.stream import BlockStream

__all__ = ["CONTINUATION", "Continuations"]

CONTINUATION = "_singerkit_continuation"


class Continuations:
    """Those of one stream; ``part`` is what the state says of it."""

    def __init__(self, stream: BlockStream, part: Mapping[str, Any]) -> None:
        self._stream = stream
        self._limit = PARTITION_LIMIT if stream.partition_limit is None else stream.partition_limit
        said = part.get(CONTINUATION)
        said = said if isinstance(said, Mapping) else {}
        partitions = said.get("partitions")
        self._whole = said.get("whole")
        self._partitions: dict[str, Any] = dict(partitions) if isinstance(partitions, Mapping) else {}
        self._noted: set[str] = set()

    def of(self, context: Context | None) -> Any:
        """Return what the last complete read of the stream, or of a partition, has left; None: nothing."""
        return self._partitions.get(self._name(context)) if context else self._whole

    def note(self, context: Context | None, left: Any) -> None:
        """Take what a read has left that is complete; what is empty: nothing that counts any more."""
        if not context:
            self._whole = left or None
            return
        name = self._name(context)
        self._partitions.pop(name, None)
        if left and self._has_room():
            self._partitions[name] = left
            self._noted.add(name)

    def _has_room(self) -> bool:
        """Make room for one more, where one was not read in this run: of too many, the same ones are kept from run to run."""
        while len(self._partitions) >= self._limit:
            oldest = next(iter(self._partitions))
            if oldest in self._noted:
                return False
            del self._partitions[oldest]
        return True

    def forget(self) -> None:
        """Have the next run ask for all of the stream."""
        self._whole = None
        self._partitions.clear()

    def _name(self, context: Context) -> str:
        key = context_key(self._stream.identity(context))
        return urlsafe_b64encode(blake2b(key.encode(), digest_size=8).digest())[:11].decode()

    def written(self) -> dict[str, Any]:
        """Return what the state says of them."""
        said = {"whole": self._whole, "partitions": self._partitions}
        return {name: left for name, left in said.items() if left}
