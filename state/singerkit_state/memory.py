"""The rows that a read has to remember, so that they are recognised when they are asked for again.

Everything at or above the bookmark is asked for again by the next read. A row is remembered by a hash of what it says
(`RowReader`), under the text of its replication key; equal rows are counted.

Of rows with a key only the version that was sent last is remembered, by a hash of what it says and one of its key: one that
goes back to what it said before is another version, and the target has to have it.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from singerkit_state.order import OrderKey

__all__ = [
    "AS_WRITTEN",
    "Record",
    "RowMemory",
    "RowReader",
    "TypedRecord",
    "key_of_version",
    "row_hash",
    "rows_at_or_above",
    "version_hash",
]

VERSION = 8
"""Characters of a `version_hash` that stand for what the row says; those behind stand for its key."""

_WAITING_BYTES = 16 * 1024 * 1024
"""Rows are hashed when that many bytes of them wait for it, or when somebody asks; most never have to be."""


class TypedRecord(Protocol):
    """A row whose values have types."""

    def __bytes__(self) -> bytes: ...

    def __len__(self) -> int: ...


Record = msgspec.Raw | bytes | bytearray | memoryview | TypedRecord


class RowReader(Protocol):
    """Tells what records say."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields that count, each with those inside it, if they are known; none: all."""
        ...

    @property
    def whole(self) -> RowReader:
        """What tells them by all that is sent, where less is enough to recognise them by."""
        ...

    def texts(self, records: Sequence[Record], only: Mapping[str, Any] | None = None) -> Sequence[bytes]:
        """Return a text for each record, the same for records that say the same in all fields that count, or in ``only``.

        The latter are such as counted once: they are read whether they are sent now or not.
        """
        ...


class _AsWritten:
    """Records say what their raw text is."""

    fields: Mapping[str, Any] = MappingProxyType({})

    @property
    def whole(self) -> RowReader:
        return self

    def texts(self, records: Sequence[Record], only: Mapping[str, Any] | None = None) -> Sequence[bytes]:  # noqa: ARG002  all of a text
        return [bytes(record) for record in records]


AS_WRITTEN: RowReader = _AsWritten()


def row_hash(text: Record, salt: bytes = b"") -> str:
    """Return 11 characters that stand for a row; ``salt`` tells contexts with equal rows apart."""
    digest = hashlib.blake2b(salt + b"\0" + bytes(text), digest_size=8).digest()
    return urlsafe_b64encode(digest)[:11].decode()


def version_hash(text: Record, key: int) -> str:
    """Return 14 characters that stand for what the row says that has this key (32 bits of it).

    Rows whose keys have the same bits are taken for versions of one: they are sent again, and none is missed.
    """
    return row_hash(text)[:VERSION] + urlsafe_b64encode(key.to_bytes(4))[:6].decode()


def key_of_version(name: str) -> int | None:
    """Return the bits of the key in a `version_hash`; None for a `row_hash`."""
    if len(name) != VERSION + 6:
        return None
    try:
        return int.from_bytes(urlsafe_b64decode(name[VERSION:] + "=="))
    except ValueError:  # a state that somebody has edited: the row comes again
        return None


@dataclass(slots=True)
class _Chunk:
    """Rows of one chunk that wait to be hashed; ``low`` and ``high`` are the keys at its ends."""

    column: Sequence[msgspec.Raw]
    records: Sequence[Record]
    salt: bytes
    rows: Sequence[int]
    low: OrderKey
    high: OrderKey
    values: Sequence[Any] | None
    reader: RowReader
    keys: Sequence[int] | None = None

    def lowest(self, key_of: Callable[[bytes], OrderKey]) -> bytes:
        """Return the text of the lowest key."""
        texts = self.texts()
        if self.values is not None:
            values = self.values
            low = min(values[row] for row in self.rows)
            texts = {bytes(self.column[row]) for row in self.rows if values[row] == low}
        return min(texts, key=key_of)

    def texts(self) -> set[bytes]:
        return {bytes(self.column[row]) for row in self.rows}


class RowMemory:
    """Hashes of the rows of one read that stand at or above a threshold.

    ``limit``: rows remembered. Beyond it, with ``keeps_newest``, the rows with the lowest keys are forgotten, and
    `threshold` says from where on all are known; without, all are. ``key_of`` returns the order key of a raw value.

    Rows wait in the chunks they came in, and are hashed when somebody asks: most of a long read never are.
    """

    def __init__(self, limit: int, key_of: Callable[[bytes], OrderKey], *, keeps_newest: bool) -> None:
        self._limit = limit
        self._key_of = key_of
        self._keeps_newest = keeps_newest
        self._chunks: deque[_Chunk] = deque()
        self._waiting = 0
        self._waiting_bytes = 0
        self._ascends = True
        """Whether each chunk begins where the one before has ended, or above."""
        self._known: list[bytes] = []
        self._first: OrderKey = None
        self._groups: dict[bytes, Counter[str]] = {}
        self._places: dict[str, bytes] | None = None
        self._versions: dict[int, tuple[bytes, str]] = {}
        """Where the hash of the row with a key stands, and that hash."""
        self._waiting_keys: set[int] = set()
        self._hashed = 0
        self._high: OrderKey = None
        self._raised: OrderKey = None
        self._lost: OrderKey = None
        """The greatest key of rows that were forgotten without anything being known above them."""
        self.forgotten = 0
        """So many rows, at most, were forgotten without anything being known of their keys."""
        self.threshold: bytes | None = None
        """Raw value below which rows were forgotten to stay within the limit; None: none were."""

    @property
    def is_whole(self) -> bool:
        """Whether every row at and above the threshold is remembered."""
        return self._lost is None

    def know(self, groups: dict[bytes, Counter[str]]) -> None:
        """Take over what was remembered before."""
        self._groups = {text: Counter(rows) for text, rows in groups.items()}
        self._hashed = sum(rows.total() for rows in groups.values())
        self._known = list(groups)
        for text, rows in groups.items():
            for name in rows:
                key = key_of_version(name)
                if key is not None:
                    self._versions[key] = text, name

    def note(
        self,
        column: Sequence[msgspec.Raw],
        records: Sequence[Record],
        salt: bytes,
        rows: Sequence[int],
        ends: tuple[OrderKey, OrderKey],
        values: Sequence[Any] | None = None,
        reader: RowReader = AS_WRITTEN,
        keys: Sequence[int] | None = None,
    ) -> None:
        """Remember the rows with these indexes; ``ends`` are the least and the greatest key among them.

        ``values``: the column decoded quickly, in the right order but perhaps not exact. ``reader`` says what counts.
        ``keys``: the primary keys of the whole chunk; versions that were remembered of rows with them are forgotten.
        """
        low, high = ends
        if self._lost is not None:
            self._lost = max(self._lost, high)
            self.forgotten += len(rows)
            return
        if not rows:
            return
        self._first = low if self._high is None else self._first
        self._ascends = self._ascends and (self._high is None or not low < self._high)
        self._high = high if self._high is None else max(self._high, high)
        self._chunks.append(_Chunk(column, records, salt, rows, low, high, values, reader, keys))
        if keys is not None:
            self._waiting_keys.update(keys if len(rows) == len(keys) else map(keys.__getitem__, rows))
        self._waiting += len(rows)
        self._waiting_bytes += len(records[rows[0]]) * len(rows)
        if self._hashed + self._waiting > self._limit and not self._keeps_newest:
            self._lost = self._high
            self.forgotten = self._hashed + self._waiting
            self._clear()
        elif self._hashed + self._waiting > 2 * self._limit:
            self._keep_newest(self._limit)
        elif self._waiting_bytes > _WAITING_BYTES:
            self._hash_waiting()

    def _clear(self) -> None:
        self._chunks.clear()
        self._waiting = self._waiting_bytes = 0
        self._waiting_keys.clear()
        self._keep_only({})

    def _keep_only(self, groups: dict[bytes, Counter[str]]) -> None:
        """Forget the hashed rows that are not in ``groups``, wherever they are noted."""
        self._groups = groups
        self._hashed = sum(rows.total() for rows in groups.values())
        self._versions = {key: place for key, place in self._versions.items() if place[0] in groups}

    def has_any(self, keys: Sequence[int]) -> bool:
        """Tell whether a row with one of these keys is remembered."""
        if not (self._waiting_keys or self._versions):
            return False
        return not (self._waiting_keys.isdisjoint(keys) and self._versions.keys().isdisjoint(keys))

    def forget(self, keys: Set[int]) -> None:
        """Forget the rows with these keys: other versions were sent, which need not be remembered."""
        if not self._waiting_keys.isdisjoint(keys):
            self._hash_waiting()
        for key in self._versions.keys() & keys:
            self._drop_version(key)

    def _drop_version(self, key: int) -> None:
        text, name = self._versions.pop(key)
        rows = self._groups.get(text)
        if rows is not None and rows.pop(name, 0):
            self._hashed -= 1
            if not rows:
                del self._groups[text]

    def _hash_waiting(self) -> None:
        groups = self._groups
        self._hashed += self._waiting
        for chunk in self._chunks:
            column, salt, keys = chunk.column, chunk.salt, chunk.keys
            said = chunk.reader.texts([chunk.records[row] for row in chunk.rows])
            for row, text in zip(chunk.rows, said, strict=True):
                key = bytes(column[row])
                if keys is None:
                    name = row_hash(text, salt)
                else:
                    name = version_hash(text, keys[row])
                    if keys[row] in self._versions:
                        self._drop_version(keys[row])
                    self._versions[keys[row]] = key, name
                hashes = groups.get(key)
                if hashes is None:
                    hashes = groups[key] = Counter()
                hashes[name] += 1
        self._chunks.clear()
        self._waiting_keys.clear()
        self._waiting = self._waiting_bytes = 0

    def _drop_waiting(self) -> None:
        """Forget the rows that wait, and what was remembered of those with their keys before: nothing has to be hashed for it."""
        for key in self._versions.keys() & self._waiting_keys:
            self._drop_version(key)
        self._chunks.clear()
        self._waiting_keys.clear()
        self._waiting = self._waiting_bytes = 0

    def rename(self, old: str, new: str) -> None:
        """Go on with another hash of a row that was known before."""
        if self._places is None:
            self._places = {row: key for key, rows in self._groups.items() for row in rows}
        rows = self._groups.get(self._places.get(old, b""))
        if rows is not None and rows[old] > 0:
            rows[new] += 1
            rows[old] -= 1
            if not rows[old]:
                del rows[old]

    def _is_ascending(self) -> bool:
        if (
            self._known and self._first is not None
        ):  # what was known before is looked at only when there is too much
            self._ascends = self._ascends and not self._first < max(map(self._key_of, self._known))
            self._known = []
        return self._ascends

    def _keep_newest(self, limit: int) -> None:
        if self._is_ascending() and self._chunks and self._waiting >= limit + len(self._chunks[0].rows):
            self._drop_chunks(limit)
            return
        self._hash_waiting()
        if self._hashed <= limit:
            return
        by_key: dict[OrderKey, list[bytes]] = {}
        for text in self._groups:
            by_key.setdefault(self._key_of(text), []).append(text)
        kept: dict[bytes, Counter[str]] = {}
        total = 0
        # Below the threshold rows were forgotten: what came there later is not all that there is.
        floor = None if self.threshold is None else self._key_of(self.threshold)
        for key in sorted(by_key, reverse=True):
            if floor is not None and key < floor:
                break
            size = sum(self._groups[text].total() for text in by_key[key])
            if total + size > limit:
                if not kept:  # more rows at one value than can be remembered: they are sent again
                    self.threshold, self._lost = by_key[key][0], key
                break
            kept.update((text, self._groups[text]) for text in by_key[key])
            total += size
            self.threshold = by_key[key][0]
        self._keep_only(kept)

    def _drop_chunks(self, limit: int) -> None:
        """Drop the oldest of chunks that ascend, and what was hashed before them."""
        dropped = self._high
        while self._waiting - len(self._chunks[0].rows) >= limit:
            chunk = self._chunks.popleft()
            self._waiting -= len(chunk.rows)
            dropped = chunk.high
        self._waiting_bytes = sum(
            len(chunk.records[chunk.rows[0]]) * len(chunk.rows) for chunk in self._chunks
        )
        self._keep_only({})
        first = self._chunks[0]
        if first.low > dropped:
            self.threshold = first.lowest(self._key_of)
            return
        keys = {text: self._key_of(text) for text in first.texts()}
        # Of the greatest value that was dropped some rows may be left: they are not all known.
        above = [text for text, key in keys.items() if key > dropped]
        if above:
            self.threshold = min(above, key=keys.__getitem__)
            first.rows = [row for row in first.rows if keys[bytes(first.column[row])] > dropped]
            self._waiting = sum(len(chunk.rows) for chunk in self._chunks)
        else:
            self._hash_waiting()
            self.raise_to(dropped)
            self.threshold, self._lost = min(keys, key=keys.__getitem__), dropped

    def raise_to(self, key: OrderKey) -> None:
        """Forget the rows below ``key``."""
        if self._raised is not None and not key > self._raised:
            return
        self._raised = key
        if self._lost is not None and self._lost < key:
            self._lost, self.forgotten = None, 0
        if any(chunk.low < key for chunk in self._chunks):
            if all(chunk.high < key for chunk in self._chunks):
                self._drop_waiting()
            else:
                self._hash_waiting()
        elif not self._groups:
            return
        self._keep_only({text: rows for text, rows in self._groups.items() if not self._key_of(text) < key})

    def groups(self) -> dict[bytes, Counter[str]]:
        """Return the hashes by the raw value they stand at."""
        if self._hashed + self._waiting > self._limit and self._keeps_newest:
            self._trim(self._limit)
            self._keep_newest(self._limit)
        self._hash_waiting()
        return self._groups

    def _trim(self, limit: int) -> None:
        """Of chunks that ascend keep ``limit`` rows at most, if those can be told by their quick values."""
        if self._waiting <= limit or not self._is_ascending():
            return
        quick = [
            chunk.values[row] for chunk in self._chunks for row in chunk.rows if chunk.values is not None
        ]
        if len(quick) < self._waiting:
            return
        try:
            cut = sorted(quick, reverse=True)[limit]
        except TypeError:  # with and without an offset
            return
        if not quick[-1] > cut and not max(quick) > cut:
            return  # more rows at one value than can be remembered
        kept: deque[_Chunk] = deque()
        for chunk in self._chunks:
            values = chunk.values or ()
            rows = [row for row in chunk.rows if values[row] > cut]
            if len(rows) < len(chunk.rows) and rows:
                chunk = replace(chunk, rows=rows)  # states of a read share their chunks
                chunk.low = self._key_of(chunk.lowest(self._key_of))
            if rows:
                kept.append(chunk)
        self._chunks = kept
        self._waiting = sum(len(chunk.rows) for chunk in kept)
        self._keep_only({})
        self.threshold = kept[0].lowest(self._key_of)

    def newest(self) -> RowMemory | None:
        """Return a memory of fewer rows, the newest ones, where there are more than can be remembered; else None.

        For the states of a long read under way: all its rows would have to be hashed for them.
        """
        window = max(1, self._limit // 20)
        # What has been forgotten already is no loss any more.
        is_enough = self._limit if self._keeps_newest and self.threshold is None else window
        if self._hashed + self._waiting <= is_enough or not self._is_ascending():
            return None
        few = RowMemory(window, self._key_of, keeps_newest=True)
        for chunk in reversed(self._chunks):
            few._chunks.appendleft(replace(chunk))
            few._waiting += len(chunk.rows)
            few._high = self._high
            if few._waiting - len(few._chunks[-1].rows) >= window and len(few._chunks) > 1:
                few._drop_chunks(few._waiting - len(chunk.rows))
                few._trim(window)
                few.forgotten = self._hashed + self._waiting - few._hashed - few._waiting
                return few
        return None


def rows_at_or_above(
    values: Sequence[Any] | None, keys: Callable[[], Sequence[OrderKey | None]], fast: Any, key: OrderKey
) -> list[int]:
    """Return the indexes of a column's rows whose key is at or above ``key``.

    ``values`` are fast values, ordered but perhaps not exactly, and ``fast`` that of ``key``; ``keys`` returns the
    exact ones.
    """
    if values is not None and fast is not None:
        try:
            sure = [index for index, value in enumerate(values) if value is not None and value >= fast]
        except TypeError:  # with and without an offset
            pass
        else:
            return sure
    return [index for index, found in enumerate(keys()) if found is not None and not found < key]
