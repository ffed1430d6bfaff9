"""Rows against bookmarks of one stream: does a STATE cover rows that have not been written?

A run begins at a bookmark that the stream may not show. It is known when the state it began with is given, and when
a STATE came before the first row of the stream; then, and after any later move, a bookmark above the highest row is
an error, unless the state that the run began with remembers rows up to it. Else it may be where the run began, and is
only suspicious.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from singerkit_check.findings import Findings, shown
from singerkit_state.instants import looks_like_iso
from singerkit_state.order import OrderKey, UnorderableError, ValueKind, order_key

__all__ = ["Bookmark", "Progress", "bookmark_in", "goes_back", "key_of", "kind_of_schema", "sent_before"]


@dataclass(frozen=True)
class Bookmark:
    """The value of the replication key ``field`` that a STATE has for a stream."""

    field: str
    value: Any


def bookmark_in(entry: Any, field: str | None) -> Bookmark | None:
    """Return the bookmark in a stream's part of a state, of singer-sdk's shape or of singer-python's.

    None where there is none, or one for each partition: rows do not say which partition they are of.
    """
    if not isinstance(entry, Mapping) or entry.get("partitions"):
        return None
    if "replication_key_value" in entry:
        name = entry.get("replication_key", field)
        value = entry["replication_key_value"]
    else:
        name, value = field, entry.get(field) if field is not None else None
    if not isinstance(name, str) or not isinstance(value, str | int | float | Decimal):
        return None
    return Bookmark(name, _exact(value))


def _exact(value: Any) -> Any:
    return Decimal(repr(value)) if isinstance(value, float) else value


def sent_before(entry: Any) -> list[Any]:
    """Return values of rows that earlier runs had sent from the bookmark on, where a tap of ours says so (decision 15).

    It does not send again what it remembers, and once the source's clock allows it the bookmark moves up to them. The
    state may have no bookmark yet. As for the tap, a memory that stands beside another bookmark does not count.
    """
    memory = entry.get("_singerkit_seen") if isinstance(entry, Mapping) else None
    if not isinstance(memory, Mapping) or memory.get("at") != entry.get("replication_key_value"):
        return []
    others = memory.get("others")
    groups = [group for group in others if isinstance(group, list)] if isinstance(others, list) else []
    # A key without a hash beside it is no row.
    return [_exact(value) for value in (memory.get("top"), *(group[0] for group in groups if len(group) > 1))]


class Progress:
    """Follows the replication key of one stream. Give it every row, and the bookmark in every STATE."""

    def __init__(self, stream: str, findings: Findings) -> None:
        self._stream, self._findings = stream, findings
        self.field: str | None = None
        self._kind: ValueKind | None = None
        self.rows = 0
        self._high: Any = None
        self._high_key: OrderKey = None
        self._is_unsorted = self._is_told = self._is_start_known = False
        self._is_calm, self._is_hidden = True, False
        self._bookmark: Bookmark | None = None
        self._sent_before: Sequence[Any] = ()
        self._covered: OrderKey = None
        """Order key of a bookmark that moved in this run; rows below it are lost for a run that continues there."""

    def follow(self, field: str | None, schema: Mapping[str, Any]) -> None:
        """Look at ``field`` from now on; ``schema`` has the properties of the stream."""
        kind = None if field is None or field not in schema else kind_of_schema(schema[field])
        kind = None if self._is_hidden else kind
        if (field, kind) != (self.field, self._kind):
            self.field, self._kind = field, kind
            self._high = self._high_key = self._covered = None
            self._is_unsorted, self._is_calm = False, True

    def rows_are_elsewhere(self) -> None:
        """Say that the stream has rows that are not shown here: nothing can be judged any more."""
        self._is_hidden, self._kind = True, None

    def row(self, value: Any, line: int) -> None:
        """Note the replication key of a row."""
        self.rows += 1
        if self._kind is None or value is None:
            return
        if self._is_calm and _ascends(self._high, value):
            self._high, self._high_key = value, None
        else:
            self._compare(value, line)

    def _compare(self, value: Any, line: int) -> None:
        key, highest = self._key(value), self._highest()
        if key is None:
            return
        if highest is None or key >= highest:
            self._high, self._high_key = value, key
        else:
            self._is_unsorted = True
        if self._covered is not None:
            self._judge_after_state(key, line)
        self._look_around()

    def _look_around(self) -> None:
        """Decide whether an ascending row may pass without a look: not where a bookmark may lie above it."""
        self._is_calm = self._covered is None or (
            (self._is_told or not self._is_unsorted)
            and self._high is not None
            and self._covered <= self._highest()
        )

    def _judge_after_state(self, key: OrderKey, line: int) -> None:
        if key < self._covered:
            self._findings.add(
                "row-late",
                line,
                f"Expected no row of {shown(self._stream)} below its bookmark after the STATE that moved it there, "
                f"got one by {shown(self.field or '')}: a run that continues from that STATE would miss it",
                self._stream,
            )
        elif self._is_unsorted and not self._is_told:
            self._is_told = True
            self._findings.add(
                "unsorted",
                line,
                f"Expected the bookmark of {shown(self._stream)} to wait for the last row, as rows do not ascend by "
                f"{shown(self.field or '')}, got a row after a STATE that moved it",
                self._stream,
            )

    def _highest(self) -> OrderKey:
        if self._high_key is None and self._high is not None:
            self._high_key = self._key(self._high)
        return self._high_key

    def _key(self, value: Any) -> OrderKey:
        return None if self._kind is None else key_of(value, self._kind)

    # STATE

    def begins_at(self, bookmark: Bookmark | None, sent: Sequence[Any] = ()) -> None:
        """Say where the run begins to read, and what is `sent_before`; to be called before the first row."""
        self._bookmark, self._is_start_known = bookmark, True
        self._sent_before = sent

    def state(self, bookmark: Bookmark | None, line: int, sent: Sequence[Any] = ()) -> None:
        """Note the bookmark in a STATE, None when there is none, and what is `sent_before`."""
        if not self.rows and not self._is_start_known:
            self.begins_at(bookmark, sent)
            return
        if bookmark is None or bookmark == self._bookmark:
            return
        has_moved = self._is_start_known or self._bookmark is not None
        self._bookmark = bookmark
        if self._kind is None or bookmark.field != self.field:
            return
        key = self._key(bookmark.value)
        if key is None:
            return
        if not self._has_reached(key):
            self._tell_ahead(line, has_moved)
        if has_moved:
            self._covered = key
            self._look_around()

    def _has_reached(self, key: OrderKey) -> bool:
        """Tell whether a row of this run, or one that the run was told of, stands at ``key`` or above."""
        highest = self._highest()
        if highest is not None and key <= highest:
            return True
        return any(known is not None and key <= known for known in map(self._key, self._sent_before))

    def _tell_ahead(self, line: int, has_moved: bool) -> None:
        written = f"all that were written ({self.rows:,})" if self.rows else "it without any row"
        sentence = (
            f"Expected a bookmark of {shown(self._stream)} no further than the highest {shown(self.field or '')} of "
            f"its rows, got one beyond {written}"
        )
        if has_moved:
            self._findings.add(
                "state-ahead", line, f"{sentence}: it covers rows that were not written", self._stream
            )
        else:
            sentence += ": right only if the run began there (--state FILE tells)"
            self._findings.add("state-beyond", line, sentence, self._stream)


def kind_of_schema(schema: Any) -> ValueKind:
    """Return how values are compared of which nothing is known but the schema of their property."""
    return ValueKind.of_schema(_as_schema(schema))


def key_of(value: Any, kind: ValueKind) -> OrderKey:
    """Return what the value of a replication key is compared by; None where it has no order."""
    value = _exact(value)
    if value.__class__ not in (str, int, Decimal):
        return None
    if value.__class__ is Decimal and not value.is_finite():
        return None
    try:
        return _guessed_key(value) if kind.is_guessed else order_key(value, kind)
    except (UnorderableError, ArithmeticError):
        return None


def _guessed_key(value: Any) -> OrderKey:
    """Order text of no format as most taps do, by code point; but numbers and points in time as what they are."""
    if not isinstance(value, str):
        return 0, value
    if looks_like_iso(value):
        return 1, order_key(value, ValueKind.INSTANT)
    return 2, value


def _ascends(high: Any, value: Any) -> bool:
    """Tell what a glance at two values tells: that the second is not below the first. False means: look closer."""
    if high.__class__ is not value.__class__:
        return False
    if value.__class__ is int:
        return bool(value >= high)
    # UTC times of one length, and dates, are in the order of their text; nearly all rows end here.
    return (
        value.__class__ is str
        and len(value) == len(high)
        and value >= high
        and (value[-1:] == "Z" == high[-1:] or len(value) == 10)
    )


def _as_schema(schema: Any) -> Mapping[str, Any]:
    """Return what `ValueKind.of_schema` can look into: no branch that is just true or false."""
    if not isinstance(schema, Mapping):
        return {}
    branches = {
        keyword: [branch for branch in schema[keyword] if isinstance(branch, Mapping)]
        for keyword in ("anyOf", "oneOf")
        if isinstance(schema.get(keyword), list)
    }
    return {**schema, **branches}


def goes_back(before: Any, after: Any, schema: Any) -> bool:
    """Tell whether a bookmark is certain to be put back; ``schema`` is that of the replication key, where it is known."""
    kind = kind_of_schema(schema)
    was, now = key_of(before, kind), key_of(after, kind)
    return was is not None and now is not None and bool(now < was)
