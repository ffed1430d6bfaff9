"""What the rows of a child carry of their parents, and where that has changed since the run before.

A row carries what its parent said when it was read. Where the parent says something else now, rows below it that do not change
themselves would keep the former value. So the state of a child that goes on from a bookmark remembers a few bits of what was
copied of each parent::

    "_singerkit_copied": {"fields": ["team"], "parents": ["4lDT0d4vWJk", ...]}

That of a stream which is read for those below it alone stands apart (``_singerkit_copied_below``), since its own rows are as they were.

Where those have changed, all below that parent is read again, and rows take their place by their key; without a key they
cannot, and somebody is told. Of more parents than `bookmark.partitions` nothing is known, which is told, too.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from singerkit_shell.words import counted
from singerkit_state.bookmarks import PARTITION_LIMIT, canonical_json, context_key
from singerkit_tap.changes import listed, reset_of
from singerkit_tap.contract import Context
from singerkit_tap.stream import BlockStream

__all__ = ["COPIED", "COPIED_BELOW", "CopiedFields"]

COPIED = "_singerkit_copied"
COPIED_BELOW = "_singerkit_copied_below"
_OF_PARENT, _OF_VALUES = 7, 4
"""Characters that stand for a parent, and for what is copied of it: 42 and 24 bits."""


class CopiedFields:
    """Those of one stream in one run."""

    def __init__(self, stream: BlockStream, said: Any, *, replaces: bool) -> None:
        """``said`` is what the state says of them. ``replaces``: rows that come again take their place, or none are written."""
        self._stream, self._replaces = stream, replaces
        self._limit = PARTITION_LIMIT if stream.partition_limit is None else stream.partition_limit
        said = said if isinstance(said, Mapping) else {}
        fields, parents = said.get("fields"), said.get("parents")
        self._fields: list[str] | None = fields if isinstance(fields, list) else None
        self._values = {
            entry[:_OF_PARENT]: entry[_OF_PARENT:]
            for entry in (parents if isinstance(parents, list) else ())
            if isinstance(entry, str) and len(entry) == _OF_PARENT + _OF_VALUES
        }
        self._former = iter([*self._values])
        self._asked: set[str] = set()
        self._changed: set[str] = set()
        self._has_lost = False

    def has_changed(self, context: Context) -> bool:
        """Tell whether what is copied of a parent, whose rows are about to be read, is other than when they were read before."""
        values = self._stream.copied(context)
        if not values:
            return False
        self._take_fields(sorted(values))
        parent = _parent(context)
        known = self._values.get(parent)
        self._asked.add(parent)
        if known is None or known == _digest(values):
            return False
        self._changed.add(parent)
        return True

    def _take_fields(self, fields: list[str]) -> None:
        """Forget all where the config copies other fields now: what was copied before says nothing of these."""
        if fields != self._fields:
            self._fields = fields
            self._values.clear()

    def note(self, context: Context) -> None:
        """Note that all rows below a parent carry what is copied of it now, or as many as the bookmark covers."""
        values = self._stream.copied(context)
        if not values:
            return
        parent = _parent(context)
        if parent in self._values or len(self._values) < self._limit:
            self._values[parent] = _digest(values)
        else:
            self._make_room(parent, values)

    def _make_room(self, parent: str, values: Mapping[str, Any]) -> None:
        """Let a parent that this run has not asked below give way, if there is one."""
        # Goes through them once in a run: who was asked below, or has given way, stays so.
        gone = next((name for name in self._former if name in self._values and name not in self._asked), None)
        if gone is None:
            self._has_lost = True
        else:
            del self._values[gone]
            self._values[parent] = _digest(values)

    def finish(self) -> Iterator[str]:
        """Yield what is to be told at the end of a run."""
        name, fields = self._stream.name, listed(self._fields or [])
        rows = counted(len(self._changed), "parent")
        copy = "copy no more than the parent's key, and join the rest in the database"
        if self._changed and not self._replaces:
            yield (
                f"What stream `{name}` copies ({fields}) has changed in {rows}: rows below that were loaded before keep what was copied "
                "then, since the stream has no key by which they could be replaced; rows that come from now on have the new value. "
                f"If rows should follow their parent, give the stream `primary_keys`, or {copy}; then run {reset_of(self._stream)}."
            )
        elif len(self._changed) > 1 and self._changed == self._asked:
            yield (
                f"What stream `{name}` copies ({fields}) has changed in all {rows}, so all rows were read again. If each run says so, "
                f"one of these fields changes with each answer, and each run reads everything: {copy}."
            )
        elif self._changed:
            self._stream.logger.info(
                "What stream `%s` copies (%s) has changed in %s: all rows below were read again.",
                name,
                fields,
                rows,
            )
        if self._has_lost:
            more = self._stream.advice.more_partitions
            more = f"{more}, or " if more else ""
            yield (
                f"Stream `{name}` copies {fields} of more parents than are remembered ({self._limit:,}): where that changes in others, "
                f"rows below keep the former value: {more}{copy}."
            )

    def written(self) -> dict[str, Any]:
        """Return what the state says of them."""
        parents = [parent + values for parent, values in self._values.items()]
        return {"fields": self._fields, "parents": parents} if parents else {}


def _parent(context: Context) -> str:
    return _short(context_key(context), _OF_PARENT)


def _digest(values: Mapping[str, Any]) -> str:
    return _short(canonical_json(values), _OF_VALUES)


def _short(text: str, length: int) -> str:
    return urlsafe_b64encode(blake2b(text.encode(), digest_size=8).digest())[:length].decode()
