"""Bookmarks: how far each stream, or each partition of it, has been read (DESIGN 5).

Values come from records, never from a clock. The state has the shape of singer-sdk's taps::

    {"bookmarks": {"orders": {"replication_key": "updated_at",
                              "replication_key_value": "2024-05-01T10:00:00Z",
                              "_singerkit_seen": {"at": "2024-05-01T10:00:00Z", "rows": ["5wJ3...", ...]}},
                   "items": {"partitions": [{"context": {"order_id": 1}, "replication_key": ..., ...}]}}}

so that a state of theirs continues with us and the other way round. The source is asked for rows ``>=`` the
bookmark; ``_singerkit_seen`` holds a hash of each row already sent whose replication key *equals* the
bookmark, so that reading the boundary again repeats nothing, and a row that changed without its key value
changing is sent again.

What counts as later: order.py.
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from singerkit_state.order import (
    Extremes,
    OrderKey,
    Value,
    ValueKind,
    exact_keys,
    extremes,
    less_lookback,
    order_key,
    starting_value,
)

__all__ = [
    "DRIVEN",
    "PARTITION_LIMIT",
    "SEEN_LIMIT",
    "Bookmark",
    "BookmarkTracker",
    "StreamBookmarks",
    "UnsortedError",
]

SEEN_LIMIT = 10_000
"""Rows remembered at the boundary value of one bookmark; beyond it the boundary is sent again as a whole."""

PARTITION_LIMIT = 1_000
"""Partitions of a stream whose bookmarks are kept. One without a bookmark is read from the start.

A new one takes the place of the one that has not been read for the longest time, but never of one read in the same
run: of more partitions than the limit, the same ones keep their bookmarks from run to run.
"""

_SEEN = "_singerkit_seen"
_SDK_RUN_KEYS = ("progress_markers", "starting_replication_value", "replication_key_signpost")


class UnsortedError(ValueError):
    """Rows of a stream that is declared sorted came out of order. The message shows no value."""


# A bookmark and how it moves


@dataclass(slots=True, frozen=True)
class Bookmark:
    """The highest replication key value sent, and hashes of the rows that have it (None: not known)."""

    value: Value | None = None
    seen: Counter[str] | None = None


def row_hash(record: msgspec.Raw | bytes | bytearray | memoryview, salt: bytes = b"") -> str:
    """Return 11 characters that stand for a raw record; ``salt`` tells contexts with equal records apart."""
    digest = hashlib.blake2b(salt + b"\0", digest_size=8)
    digest.update(record)
    return urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()


class BookmarkTracker:
    """Follows the replication key through the pages of one read of a stream or partition.

    For each chunk of a page call `take`; at the page's end `end_page`; `bookmark` is what may be stored then,
    and after `finish` what may be stored at the end. An interrupted read of an unsorted source keeps the old
    bookmark; a sorted one advances page by page.

    ``start_date`` counts when there is no bookmark and the key is a point in time.
    ``keeps_older`` keeps rows below the start that the source sent all the same.
    """

    def __init__(
        self,
        kind: ValueKind,
        start: Bookmark,
        *,
        is_sorted: bool = False,
        lookback: int | Decimal = 0,
        start_date: str | None = None,
        keeps_older: bool = False,
    ) -> None:
        self._kind = kind
        self._start = start
        self._start_key = None if start.value is None else order_key(start.value, kind)
        self._is_sorted = is_sorted
        self._keeps_older = keeps_older
        self.start_value = self._first_value(lookback, start_date)
        """What to ask the source for: rows at or above it."""
        self._floor = None if self.start_value is None else order_key(self.start_value, kind)
        # With a lookback the user wants the window again, its boundary included.
        self._unmatched = Counter(start.seen) if start.seen and not lookback else Counter()
        self._high: OrderKey = None
        self._value: Value | None = None
        self._seen: Counter[str] | None = Counter()
        self._page_low: OrderKey = None
        self._settled_high: OrderKey = None
        self._is_finished = False
        self.nulls = 0
        """Rows whose replication key was null or missing; they are sent and move nothing."""

    def _first_value(self, lookback: int | Decimal, start_date: str | None) -> Value | None:
        if self._start.value is not None:
            return less_lookback(self._start.value, self._kind, lookback)
        return starting_value(start_date, self._kind)

    def take(
        self,
        column: Sequence[msgspec.Raw],
        records: Sequence[msgspec.Raw | bytes | bytearray | memoryview],
        salt: bytes = b"",
    ) -> list[int] | None:
        """Note a chunk of rows and return the indexes of those to send; None means all of them.

        ``column`` holds the replication key of each of ``records`` as raw JSON.

        Raises:
            UnorderableError: a value is not of the stream's kind.
        """
        if not column:
            return None
        ends = extremes(column, self._kind)
        if ends is None:
            self.nulls += len(column)
            return None
        self.nulls += ends.nulls
        self._note(ends, column, records, salt)
        if self._floor is None or ends.low > self._floor:
            return None
        return self._rows_to_send(column, records, salt)

    def _note(
        self,
        ends: Extremes,
        column: Sequence[msgspec.Raw],
        records: Sequence[msgspec.Raw | bytes | bytearray | memoryview],
        salt: bytes,
    ) -> None:
        if self._page_low is None or ends.low < self._page_low:
            self._page_low = ends.low
        if self._high is not None and ends.high < self._high:
            return
        if self._high is None or ends.high > self._high:
            self._high = ends.high
            self._value = _any_value.decode(column[ends.at_high[0]])
            self._seen = Counter()
        if self._seen is None:
            return
        if self._seen.total() + len(ends.at_high) > SEEN_LIMIT:
            self._seen = None
            return
        self._seen.update(row_hash(records[index], salt) for index in ends.at_high)

    def _rows_to_send(
        self,
        column: Sequence[msgspec.Raw],
        records: Sequence[msgspec.Raw | bytes | bytearray | memoryview],
        salt: bytes,
    ) -> list[int]:
        kept = []
        for index, key in enumerate(exact_keys(column, self._kind)):
            if key is not None:
                if key < self._floor and not self._keeps_older:
                    continue
                if key == self._start_key and self._was_sent(row_hash(records[index], salt)):
                    continue
            kept.append(index)
        return kept

    def _was_sent(self, row: str) -> bool:
        if not self._unmatched[row]:
            return False
        # Counted, so that a new row that equals an old one of a stream without a key is not lost.
        self._unmatched[row] -= 1
        return True

    def end_page(self) -> None:
        """Close a page of a source.

        Raises:
            UnsortedError: the stream is declared sorted, and this page goes back behind an earlier one.
        """
        if (
            self._is_sorted
            and self._settled_high is not None
            and self._page_low is not None
            and self._page_low < self._settled_high
        ):
            raise UnsortedError(
                "Expected pages in ascending order of the replication key, got an earlier value"
            )
        self._page_low = None
        self._settled_high = self._high

    def finish(self) -> None:
        """Say that the whole stream or partition has been read."""
        self._is_finished = True

    @property
    def covers_all(self) -> bool:
        """Tell whether `bookmark` covers every row taken so far."""
        return self._is_finished or self._is_sorted

    def bookmark(self) -> Bookmark:
        """Return what may be stored now; never behind the bookmark this read started from."""
        if not self.covers_all or self._high is None:
            return self._start
        if self._start_key is None or self._high > self._start_key:
            return Bookmark(self._value, self._seen)
        if self._high < self._start_key:
            return self._start
        return Bookmark(self._start.value, _union(self._start.seen, self._seen))


_any_value: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any, float_hook=Decimal)


def _union(old: Counter[str] | None, new: Counter[str] | None) -> Counter[str] | None:
    if old is None or new is None:
        return new
    both = old | new
    return both if both.total() <= SEEN_LIMIT else None


# Bookmarks inside the state


class StreamBookmarks:
    """The bookmarks of one stream: what its part of the state says, and what is put in while reading.

    ``is_selected`` is False for a parent that is read for its children only. Its bookmark is kept apart, so
    that selecting it later starts from its own.
    """

    def __init__(
        self, stream_state: Mapping[str, Any], replication_key: str | None, *, is_selected: bool = True
    ) -> None:
        self._replication_key = replication_key
        self._is_selected = is_selected
        self._whole = {
            key: value
            for key, value in stream_state.items()
            if key != "partitions" and key not in _SDK_RUN_KEYS
        }
        self._partitions = {
            _context_key(entry.get("context", {})): entry
            for entry in stream_state.get("partitions") or ()
            if isinstance(entry, Mapping)
        }
        # One that loses its place may still be read in this run, from where it stood.
        self._loaded = dict(self._partitions)
        self._read_now: set[str] = set()
        self.forgotten = 0
        """Bookmarks of partitions not kept, because there are more than `PARTITION_LIMIT`."""

    def get(self, context: Mapping[str, Any] | None = None) -> Bookmark:
        """Return the bookmark of the stream, or of one partition."""
        entry = self._whole if not context else self._partition(_context_key(context))
        if not self._is_selected:
            entry = entry.get(DRIVEN, entry)
        return _read(entry, self._replication_key)

    def _partition(self, key: str) -> Mapping[str, Any]:
        return self._partitions.get(key) or self._loaded.get(key) or {}

    def put(self, bookmark: Bookmark, context: Mapping[str, Any] | None = None) -> None:
        """Store a bookmark; one without a value removes what is stored. No key, nothing to store."""
        if self._replication_key is None:
            return
        if not context:
            self._whole = self._updated(self._whole, bookmark)
            return
        key = _context_key(context)
        entry = self._partition(key) or {"context": dict(context)}
        self._partitions.pop(key, None)
        if bookmark.value is None or not self._has_room():
            return
        self._read_now.add(key)
        self._partitions[key] = self._updated(entry, bookmark)

    def _has_room(self) -> bool:
        """Make room for one more partition when there is one that was not read in this run."""
        while len(self._partitions) >= PARTITION_LIMIT:
            self.forgotten += 1
            oldest = next(iter(self._partitions))
            if oldest in self._read_now:
                return False
            del self._partitions[oldest]
        return True

    def _updated(self, entry: Mapping[str, Any], bookmark: Bookmark) -> dict[str, Any]:
        values = {} if bookmark.value is None else _written(str(self._replication_key), bookmark)
        if not self._is_selected:
            return {**entry, DRIVEN: values}
        replaced = (_SEEN, DRIVEN, "replication_key", "replication_key_value", *_SDK_RUN_KEYS)
        kept = {key: value for key, value in entry.items() if key not in replaced}
        return {**kept, **values}

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been read of the stream, nor of any partition."""
        return self.get().value is None and not self._partitions

    def state(self) -> dict[str, Any]:
        """Return the stream's part of the state."""
        if not self._partitions:
            return dict(self._whole)
        return {**self._whole, "partitions": list(self._partitions.values())}


DRIVEN = "_singerkit_driven"
"""Where the bookmark of a parent stands that is read for its children only."""


def _context_key(context: Mapping[str, Any]) -> str:
    return json.dumps(context, sort_keys=True, default=str)


def _read(entry: Mapping[str, Any], replication_key: str | None) -> Bookmark:
    value = entry.get("replication_key_value")
    if value is None or entry.get("replication_key", replication_key) != replication_key:
        return Bookmark()
    if isinstance(value, float):
        value = Decimal(repr(value))
    seen = entry.get(_SEEN)
    if not isinstance(seen, Mapping) or seen.get("at") != entry["replication_key_value"]:
        return Bookmark(value)
    return Bookmark(value, Counter(seen.get("rows", ())))


def _written(replication_key: str, bookmark: Bookmark) -> dict[str, Any]:
    values: dict[str, Any] = {"replication_key": replication_key, "replication_key_value": bookmark.value}
    if bookmark.seen is not None:
        values[_SEEN] = {"at": bookmark.value, "rows": sorted(bookmark.seen.elements())}
    return values
