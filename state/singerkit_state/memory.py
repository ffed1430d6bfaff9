"""The rows that a read has to remember, so that they are recognised when they are asked for again.

Everything at or above the bookmark is asked for again by the next read. A row is remembered by a hash of its raw text,
under the text of its replication key; equal rows are counted.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from singerkit_state.order import OrderKey

__all__ = ["RowMemory", "row_hash"]

_PENDING_BYTES = 16 * 1024 * 1024
"""Rows are hashed when that many bytes of them wait for it, or when somebody asks; most never have to be."""

Record = msgspec.Raw | bytes | bytearray | memoryview


def row_hash(record: Record, salt: bytes = b"") -> str:
    """Return 11 characters that stand for a raw record; ``salt`` tells contexts with equal records apart."""
    digest = hashlib.blake2b(salt + b"\0", digest_size=8)
    digest.update(record)
    return urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()


class RowMemory:
    """Hashes of the rows of one read that stand at or above a threshold.

    ``limit``: rows remembered. Beyond it, with ``keeps_newest``, the rows with the lowest keys are forgotten, and
    `threshold` says from where on all are known; without, all are. ``key_of`` returns the order key of a raw value.
    """

    def __init__(self, limit: int, key_of: Callable[[bytes], OrderKey], *, keeps_newest: bool) -> None:
        self._limit = limit
        self._key_of = key_of
        self._keeps_newest = keeps_newest
        self._pending: list[tuple[bytes, Record, bytes]] = []
        self._pending_bytes = 0
        self._groups: dict[bytes, Counter[str]] = {}
        self._hashed = 0
        self._raised: OrderKey = None
        self._lost: OrderKey = None
        """The greatest key of rows that were forgotten without anything being known above them."""
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

    def note(
        self,
        column: Sequence[msgspec.Raw],
        records: Sequence[Record],
        salt: bytes,
        indexes: Iterable[int],
        high: OrderKey,
    ) -> None:
        """Remember the rows with these ``indexes``; ``high`` is the greatest key among them."""
        if self._lost is not None:
            self._lost = max(self._lost, high)
            return
        before = len(self._pending)
        self._pending.extend((bytes(column[index]), records[index], salt) for index in indexes)
        self._pending_bytes += sum(len(entry[1]) for entry in self._pending[before:])
        if self._hashed + len(self._pending) > self._limit and not self._keeps_newest:
            self._forget(high)
        elif self._hashed + len(self._pending) > 2 * self._limit:
            self._keep_newest()
        elif self._pending_bytes > _PENDING_BYTES:
            self._hash_pending()

    def _forget(self, high: OrderKey) -> None:
        keys = [self._key_of(text) for text in {*self._groups, *(entry[0] for entry in self._pending)}]
        self._lost = max([*keys, high])
        self._clear()

    def _clear(self) -> None:
        self._pending, self._pending_bytes, self._groups, self._hashed = [], 0, {}, 0

    def _hash_pending(self) -> None:
        groups = self._groups
        for text, record, salt in self._pending:
            rows = groups.get(text)
            if rows is None:
                rows = groups[text] = Counter()
            rows[row_hash(record, salt)] += 1
        self._hashed += len(self._pending)
        self._pending, self._pending_bytes = [], 0

    def _keep_newest(self) -> None:
        self._hash_pending()
        if self._hashed <= self._limit:
            return
        by_key: dict[OrderKey, list[bytes]] = {}
        for text in self._groups:
            by_key.setdefault(self._key_of(text), []).append(text)
        kept: dict[bytes, Counter[str]] = {}
        total = 0
        for key in sorted(by_key, reverse=True):
            size = sum(self._groups[text].total() for text in by_key[key])
            if total + size > self._limit:
                if not kept:  # more rows at one value than can be remembered: they are sent again
                    self.threshold, self._lost = by_key[key][0], key
                break
            kept.update((text, self._groups[text]) for text in by_key[key])
            total += size
            self.threshold = by_key[key][0]
        self._groups, self._hashed = kept, total

    def raise_to(self, key: OrderKey) -> None:
        """Forget the rows below ``key``."""
        if self._raised is not None and not key > self._raised:
            return
        self._raised = key
        if self._lost is not None and self._lost < key:
            self._lost = None
        self._pending = [entry for entry in self._pending if not self._key_of(entry[0]) < key]
        self._pending_bytes = sum(len(entry[1]) for entry in self._pending)
        self._groups = {text: rows for text, rows in self._groups.items() if not self._key_of(text) < key}
        self._hashed = sum(rows.total() for rows in self._groups.values())

    def groups(self) -> dict[bytes, Counter[str]]:
        """Return the hashes by the raw value they stand at."""
        if self._hashed + len(self._pending) > self._limit and self._keeps_newest:
            self._keep_newest()
        self._hash_pending()
        return self._groups


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
