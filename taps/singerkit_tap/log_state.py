"""What a state says of a log: one position for all streams, and for each of them whether and how far its start has come.

The shape, beside the bookmarks of other streams::

    {"bookmarks": {"orders": {"replication_key": "_sdc_log_position", "replication_key_value": "0/16B3748",
                              "_singerkit_log": {"version": 1764280000000}},
                   "items": {..., "_singerkit_log": {"version": 1764280000001, "start": {"after": [900], "chunk":
                             {"begin": [600], "snapshot": "7:7:", "until": "0/16B4000"}}}}},
     "_singerkit_log": {"source": "7301423", "position": "0/16B3748"}}

``replication_key_value`` is the position up to which a stream has been read, as text. All streams of a run share one; that
of a stream which others have left behind is an older one, by which it is recognised that changes are missing.
``identity``: which table it is (`log_contract.Identity`), where the reader knows. ``version`` is that of its rows (`ACTIVATE_VERSION`): of a start, or behind a TRUNCATE. ``start``: there while it is not
complete; ``after``: how far chunks have been read (null: to the end); ``chunk``: the last one, until the log has been read
up to ``until``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_state.others import StateError, bookmark_left
from singerkit_state.value import encode
from singerkit_tap.log_contract import Change, Cursor, Identity, LogReader, Position, Snapshot

__all__ = ["LOG", "LOG_KEY", "OpenChunk", "Progress", "check_part", "identity_of", "position_text"]

LOG = "_singerkit_log"
LOG_KEY = "_sdc_log_position"


@dataclass(frozen=True, slots=True)
class OpenChunk:
    """A chunk that has been read, while the log may still tell of what its snapshot has seen."""

    begin: Cursor
    snapshot: Snapshot
    until: Position


@dataclass(slots=True)
class Progress:
    """How far one stream has come. ``is_new``: no chunk of it has been read; ``is_read``: all have been."""

    version: int
    is_new: bool = True
    is_read: bool = False
    after: Cursor = None
    chunk: OpenChunk | None = None

    @classmethod
    def of(cls, part: Any) -> Progress | None:
        """Return what the part of a stream in a state says; None: nothing, so that it is to be started.

        Raises:
            StateError: it is not understood.
        """
        said = part.get(LOG) if isinstance(part, Mapping) else None
        if said is None:
            return None
        try:
            start = said.get("start")
            if start is None:
                return cls(int(said["version"]), is_new=False, is_read=True)
            chunk = start.get("chunk")
            return cls(
                int(said["version"]),
                is_new=False,
                is_read=start["after"] is None,
                after=start["after"],
                chunk=None if chunk is None else OpenChunk(chunk["begin"], chunk["snapshot"], chunk["until"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise StateError(f"its `{LOG}` is nothing that this tap writes") from None

    @property
    def is_started(self) -> bool:
        """Whether all chunks have been read, and the log up to where the last one has seen it."""
        return self.is_read and self.chunk is None

    def written(self) -> dict[str, Any]:
        """Return what a state holds of it."""
        if self.is_started:
            return {"version": self.version}
        chunk = (
            None if self.chunk is None else {name: getattr(self.chunk, name) for name in OpenChunk.__slots__}
        )
        start = {"after": self.after, **({} if chunk is None else {"chunk": chunk})}
        return {"version": self.version, "start": start}

    def takes(self, change: Change, reader: LogReader) -> bool:
        """Tell whether a change is sent: none that a chunk has seen, and none that a later one will see."""
        if self.is_started:
            return True
        if self.is_new or not (self.is_read or reader.is_behind(change, self.after)):
            return False
        chunk = self.chunk
        if chunk is None or (chunk.begin is not None and reader.is_behind(change, chunk.begin)):
            return True
        return not reader.sees(chunk.snapshot, change)

    def empty(self, change: Change, reader: LogReader, version: int) -> bool:
        """Take a TRUNCATE; tell whether rows of other versions are gone by it now.

        Where chunks have been read before it, the start begins anew, and its end takes care of them.
        """
        if self.is_new:
            return False
        chunk = self.chunk
        if chunk is not None and chunk.begin is None and reader.sees(chunk.snapshot, change):
            return False
        if self.is_started or (chunk is not None and chunk.begin is None and self.is_read):
            self.version = version
            return True
        self.begin_anew(version)
        return False

    def doubts(self, change: Change, reader: LogReader) -> bool:
        """Tell whether a change of which nobody knows what it was may be missing in what was read."""
        chunk = self.chunk
        is_seen = chunk is not None and chunk.begin is None and reader.sees(chunk.snapshot, change)
        return not self.is_new and not is_seen

    def begin_anew(self, version: int) -> None:
        """Have all rows read again, with a new version."""
        self.version = version
        self.is_new, self.is_read, self.after, self.chunk = True, False, None, None


def identity_of(part: Mapping[str, Any]) -> Identity | None:
    """Return which table the part of a stream in a state is of; None: it does not say."""
    said = part.get(LOG)
    return said.get("identity") if isinstance(said, Mapping) else None


def position_text(position: Position) -> str:
    """Return a position as the text that stands in the bookmark of each stream."""
    return position if isinstance(position, str) else encode(position)


def check_part(part: Any, shared: Any) -> Any:
    """Return the part of a log-based stream in a state; ``shared`` is what the state says of the log.

    Raises:
        StateError: it is of another method, or not understood, or the log has gone on without the stream.
    """
    if part is None:
        return {}
    if not isinstance(part, Mapping):
        raise StateError("its part is not an object")
    if Progress.of(part) is None:
        named = bookmark_left(part)
        if named is not None:
            raise StateError(f"its bookmark is by `{named}`, and the stream is now read from the log")
        return part
    if not isinstance(shared, Mapping) or "position" not in shared or "source" not in shared:
        raise StateError(f"it was read from a log, and the state has no position of one (`{LOG}`)")
    at = part.get("replication_key_value")
    if at != position_text(shared["position"]):
        raise StateError(
            "other streams have been read further in the log without it, so that changes of it are missing"
        )
    return part
