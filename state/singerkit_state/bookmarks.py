"""Bookmarks: how far each stream, or each partition of it, has been read (DESIGN 5).

Values come from records, never from a clock. The state has the shape of singer-sdk's taps::

    {"bookmarks": {"orders": {"replication_key": "updated_at",
                              "replication_key_value": "2024-05-01T10:00:00Z",
                              "_singerkit_seen": {"at": "2024-05-01T10:00:00Z", "rows": ["5wJ3...", ...]}},
                   "items": {"partitions": [{"context": {"order_id": 1}, "replication_key": ..., ...}]}}}

so that a state of theirs continues with us and the other way round. The source is asked for rows ``>=`` the
bookmark. ``_singerkit_seen`` is ours, and holds as long as ``at`` is the ``replication_key_value``:

* ``rows``: a hash of each row already sent whose replication key *equals* it, so that reading the boundary again
  repeats nothing, and a row that changed without its key value changing is sent again;
* ``others``: the same for rows with other keys that will be asked for again, ``[[key, hash, ...], ...]``;
* ``fields``: for streams without a key, the fields that rows are remembered by, a list, or an object where fields inside
  them are known: ``{"at": {}, "user": {"id": {}}}``; none: all. A state without them is of an older version, which
  remembered the text of the record;
* ``top``: the greatest value of the last complete read, where that is beyond the bookmark;
* ``again``: of a stream with a key, how many rows with other keys will be asked for again that nothing is remembered of, so
  that they are sent again; true, where each run sends a window again (``lookback``). A target that appends has them twice;
* ``unmet``: how many complete reads in a row have met none of the rows that they remembered, if any have;
* ``bookmark``: there while a read of a sorted stream is not complete; ``replication_key_value`` is then the place
  where it goes on, and ``bookmark`` what it comes back to.

Which value becomes the bookmark: tracker.py. What counts as later: order.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from singerkit_state.memory import key_of_version
from singerkit_state.order import Value

__all__ = [
    "DRIVEN",
    "PARTITION_LIMIT",
    "SEEN_LIMIT",
    "Bookmark",
    "StreamBookmarks",
    "by_value",
    "canonical_json",
    "context_key",
    "remembered_by",
    "sent_again",
    "strange_memory",
]

SEEN_LIMIT = 10_000
"""Rows remembered of one stream, or of a partition a tenth of it, unless the user says otherwise."""

PARTITION_LIMIT = 10_000
"""Partitions of a stream whose bookmarks are kept, unless the user says otherwise. One without a bookmark is read from the start.

A new one takes the place of the one that has not been read for the longest time, but never of one read in the same
run: of more partitions than the limit, the same ones keep their bookmarks from run to run. Where rows that come again would be
doubled none gives way: a run that meets rows of one more ends before it writes them (`StreamBookmarks.lacks_place`).
"""

_SEEN = "_singerkit_seen"
_SDK_RUN_KEYS = ("progress_markers", "starting_replication_value", "replication_key_signpost")


# A bookmark


@dataclass(slots=True, frozen=True)
class Bookmark:
    """How far a stream or partition has been read.

    ``value``: every row below it has arrived; None: nothing is certain yet. ``seen``: hashes of the rows sent whose
    key equals it (None: not known); ``others``: those of rows sent with other keys that will be asked for again, by
    key. ``top``: the greatest value of the last complete read, where it is beyond ``value``. ``position``: where an
    interrupted read of a sorted stream goes on; ``seen`` then stands at it, and ``top`` is what that read has seen.
    ``fields``: what rows are remembered by, {} for all of a record; None: not told. ``unmet``: so many complete reads in a
    row have met none of the rows that they remembered. ``again``: so many rows will be sent again; True: a window will.
    """

    value: Value | None = None
    seen: Counter[str] | None = None
    others: Mapping[Value, Counter[str]] = field(default_factory=dict)
    top: Value | None = None
    position: Value | None = None
    fields: Mapping[str, Any] | None = None
    unmet: int = 0
    again: int = 0

    @property
    def start(self) -> Value | None:
        """Where the next read begins."""
        return self.value if self.position is None else self.position


# Bookmarks inside the state


class StreamBookmarks:
    """The bookmarks of one stream: what its part of the state says, and what is put in while reading.

    ``is_selected`` is False for a parent that is read for its children only. Its bookmark is kept apart, so
    that selecting it later starts from its own.
    """

    def __init__(
        self,
        stream_state: Mapping[str, Any],
        replication_key: str | None,
        *,
        is_selected: bool = True,
        limit: int | None = None,
        keeps_all: bool = False,
    ) -> None:
        """``limit``: of partitions, None: `PARTITION_LIMIT`; ``keeps_all``: none gives way to another."""
        self.limit = PARTITION_LIMIT if limit is None else limit
        self._keeps_all = keeps_all
        self._replication_key = replication_key
        self._is_selected = is_selected
        self._whole = {
            key: value
            for key, value in stream_state.items()
            if key != "partitions" and key not in _SDK_RUN_KEYS
        }
        self._partitions = {
            context_key(entry.get("context", {})): entry
            for entry in stream_state.get("partitions") or ()
            if isinstance(entry, Mapping)
        }
        # One that loses its place may still be read in this run, from where it stood.
        self._loaded = dict(self._partitions)
        self._known = frozenset(self._partitions)
        self._dropped: set[str] = set()
        self._met: set[str] = set()
        self._read_now: set[str] = set()
        self._versions: dict[int, _Version] = {}
        self._not_indexed = set(self._partitions)
        self.forgotten = 0
        """Bookmarks of partitions not kept, because there are more than the limit."""

    def get(
        self, context: Mapping[str, Any] | None = None, formers: Iterable[Mapping[str, Any]] = ()
    ) -> Bookmark:
        """Return the bookmark of the stream, or of one partition, which the state may know by one of ``formers``."""
        if context:
            self._take_over(context, formers)
            self._index()
            self._met.add(context_key(context))
        entry = self._whole if not context else self._partition(context_key(context))
        if not self._is_selected:
            entry = entry.get(DRIVEN, entry)
        return _read(entry, self._replication_key)

    def _take_over(self, context: Mapping[str, Any], formers: Iterable[Mapping[str, Any]]) -> None:
        """Go on with what the state says of a partition under another context."""
        key = context_key(context)
        if key in self._loaded:
            return
        former = next((name for name in map(context_key, formers) if name in self._partitions), None)
        if former is not None:
            self._met.add(former)
            self._not_indexed.add(key)
            self._loaded.pop(former, None)
            entry = {**self._partitions.pop(former), "context": dict(context)}
            self._partitions[key] = self._loaded[key] = entry

    @property
    def strangers(self) -> tuple[int, int] | None:
        """How many partitions were known and how many others have been asked for, where none of the known ones was."""
        if not self._known or not self._met or not self._met.isdisjoint(self._known):
            return None
        return len(self._known), len(self._met)

    def _partition(self, key: str) -> Mapping[str, Any]:
        return self._partitions.get(key) or self._loaded.get(key) or {}

    def put(self, bookmark: Bookmark, context: Mapping[str, Any] | None = None) -> None:
        """Store a bookmark; one without a value removes what is stored. No key, nothing to store."""
        if self._replication_key is None:
            return
        if not context:
            self._whole = self._updated(self._whole, bookmark)
            return
        key = context_key(context)
        entry = self._partition(key) or {"context": dict(context)}
        self._partitions.pop(key, None)
        if bookmark == Bookmark() or key in self._dropped:
            return
        if not self._keeps_all and not self._has_room():
            return
        self._read_now.add(key)
        self._not_indexed.add(key)
        self._partitions[key] = self._updated(entry, bookmark)

    def lacks_place(self, context: Mapping[str, Any]) -> bool:
        """Tell whether rows of a partition must not be written, since its bookmark could not be kept."""
        if not self._keeps_all or len(self._partitions) < self.limit:
            return False
        return (key := context_key(context)) not in self._partitions and key not in self._dropped

    def drop(self, context: Mapping[str, Any]) -> None:
        """Keep no bookmark of a partition from now on: what is read of it in this run, or in the next, begins at the start."""
        key = context_key(context)
        self._dropped.add(key)
        for entries in (self._partitions, self._loaded):
            entries.pop(key, None)

    # Rows with a key, which may move from one partition to another

    def remembered_elsewhere(self, keys: Iterable[int], context: Mapping[str, Any]) -> set[int]:
        """Return those of ``keys`` (their bits) of which partitions besides this one remember a version."""
        own = (context_key(context),)
        return {key for key in keys if key in self._versions and self._versions[key][1] != own}

    def supersede(self, versions: Mapping[int, str], context: Mapping[str, Any]) -> None:
        """Note that this partition has sent these versions, by the bits of their keys: no other stands in the target.

        A partition that remembered another one would take the row for known when it comes back as it was there.
        """
        own = context_key(context)
        gone = {
            key for key, name in versions.items() if key in self._versions and self._versions[key][0] != name
        }
        self._forget(gone, own)

    def _index(self) -> None:
        """Note which partitions remember which version; where two differ, it is not known which was sent last."""
        unsure: set[int] = set()
        for holder in self._not_indexed:
            for name in _names_in(self._memory_part(self._partition(holder))):
                key = key_of_version(name)
                if key is None:
                    continue
                known, holders = self._versions.get(key, (name, ()))
                if known != name and holders != (holder,):
                    unsure.add(key)
                others = tuple(other for other in holders if other != holder)
                self._versions[key] = name, (*others, holder)
        self._not_indexed.clear()
        self._forget(unsure)

    def _forget(self, keys: Set[int], but_of: str | None = None) -> None:
        holders = {holder for key in keys for holder in self._versions.pop(key)[1]}
        for holder in holders.difference([but_of]):
            for entries in (self._partitions, self._loaded):
                if holder in entries:
                    entries[holder] = self._without(entries[holder], keys)

    def _memory_part(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        return entry if self._is_selected else entry.get(DRIVEN, entry)

    def _without(self, entry: Mapping[str, Any], keys: Set[int]) -> Mapping[str, Any]:
        part = self._memory_part(entry)
        memory = dict(part[_SEEN])
        if isinstance(memory.get("rows"), list):
            memory["rows"] = [name for name in memory["rows"] if key_of_version(name) not in keys]
        groups = [
            [value, *(name for name in names if key_of_version(name) not in keys)]
            for value, *names in memory.pop("others", ())
        ]
        groups = [group for group in groups if len(group) > 1]
        memory |= {"others": groups} if groups else {}
        kept = {**part, _SEEN: memory}
        return kept if part is entry else {**entry, DRIVEN: kept}

    def _has_room(self) -> bool:
        """Make room for one more partition when there is one that was not read in this run."""
        while len(self._partitions) >= self.limit:
            self.forgotten += 1
            oldest = next(iter(self._partitions))
            if oldest in self._read_now:
                return False
            del self._partitions[oldest]
        return True

    def _updated(self, entry: Mapping[str, Any], bookmark: Bookmark) -> dict[str, Any]:
        values = {} if bookmark == Bookmark() else _written(str(self._replication_key), bookmark)
        if not self._is_selected:
            return {**entry, DRIVEN: values}
        replaced = (_SEEN, DRIVEN, "replication_key", "replication_key_value", *_SDK_RUN_KEYS)
        kept = {key: value for key, value in entry.items() if key not in replaced}
        return {**kept, **values}

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been read of the stream, nor of any partition."""
        return self.get() == Bookmark() and not self._partitions

    def state(self) -> dict[str, Any]:
        """Return the stream's part of the state."""
        if not self._partitions:
            return dict(self._whole)
        return {**self._whole, "partitions": list(self._partitions.values())}


DRIVEN = "_singerkit_driven"
"""Where the bookmark of a parent stands that is read for its children only."""


_Version = tuple[str, tuple[str, ...]]
"""What is remembered of the row with a key, and the partitions that do."""


def _names_in(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the hashes of all rows that an entry remembers."""
    memory = entry.get(_SEEN)
    if isinstance(memory, Mapping):
        rows = memory.get("rows")
        yield from rows if isinstance(rows, list) else ()
        for group in memory.get("others", ()):
            yield from group[1:]


def canonical_json(value: object) -> str:
    """Return the JSON of a value, the same whatever the order of its members; what JSON does not know is its text.

    1 and "1" are two, as in `context_key` they are not.
    """
    return json.dumps(value, sort_keys=True, default=str)


def context_key(context: Mapping[str, Any]) -> str:
    """Return what tells a context from others: a number is the same as its text, since an API may come to send the other."""
    told = {name: str(value) if type(value) is int else value for name, value in context.items()}
    return canonical_json(told)


def _read(entry: Mapping[str, Any], replication_key: str | None) -> Bookmark:
    if entry.get("replication_key", replication_key) != replication_key:
        return Bookmark()
    value = _exact(entry.get("replication_key_value"))
    memory = entry.get(_SEEN)
    if not isinstance(memory, Mapping) or memory.get("at") != entry.get("replication_key_value"):
        return Bookmark(value)  # others have moved it: what we knew does not count
    rows, others = memory.get("rows"), memory.get("others", ())
    seen = Counter(rows) if isinstance(rows, list) and value is not None else None
    remembered = by_value((_exact(group[0]), Counter(group[1:])) for group in others)
    top = _exact(memory.get("top"))
    fields = _fields(memory["fields"]) if "fields" in memory else None
    count = memory.get("unmet")
    unmet = count if type(count) is int and count > 0 else 0  # edited by hand it may be anything
    again = _again(memory)
    if "bookmark" in memory:
        best = _exact(memory["bookmark"])
        return Bookmark(best, seen, remembered, top, position=value, fields=fields, unmet=unmet, again=again)
    return Bookmark(value, seen, remembered, top, fields=fields, unmet=unmet, again=again)


def _again(memory: Mapping[str, Any]) -> int:
    said = memory.get("again")
    return said if said is True or (type(said) is int and said > 0) else 0


def sent_again(part: Any) -> int:
    """Return how many rows a stream will send again, by its part of a state; True: no more than those of a window."""
    entries = [part, *(part.get("partitions") or ())] if isinstance(part, Mapping) else []
    memories = [entry.get(_SEEN) for entry in entries if isinstance(entry, Mapping)]
    said = [_again(memory) for memory in memories if isinstance(memory, Mapping)]
    return sum(count for count in said if count is not True) or True in said


def remembered_by(part: Any) -> set[str]:
    """Return the fields that count where rows of a stream are remembered, by its part of a state."""
    entries = [part, *(part.get("partitions") or ())] if isinstance(part, Mapping) else []
    memories = [entry.get(_SEEN) for entry in entries if isinstance(entry, Mapping)]
    said = [memory.get("fields") for memory in memories if isinstance(memory, Mapping)]
    return {str(name) for fields in said if isinstance(fields, dict | list) for name in fields}


def _fields(said: Any) -> Mapping[str, Any]:
    return said if isinstance(said, dict) else {name: {} for name in said}


def by_value(groups: Iterable[tuple[Value, Counter[str]]]) -> dict[Value, Counter[str]]:
    """Return rows by the value they stand at: 1, 1.0 and 1.00 are one value, however they are written."""
    found: dict[Value, Counter[str]] = {}
    for value, rows in groups:
        found[value] = found.get(value, Counter()) + rows
    return found


def strange_memory(entry: Mapping[str, Any]) -> str | None:
    """Return which part of what counts beside a bookmark is nothing that we write, as in a state edited by hand."""
    memory = entry.get(_SEEN)
    if not isinstance(memory, Mapping):
        return None
    rows, others, fields = memory.get("rows"), memory.get("others", []), memory.get("fields", [])
    are_sound = {
        "rows": not isinstance(rows, list) or _are_texts(rows),
        "others": isinstance(others, list) and all(map(_is_group, others)),
        "fields": _are_texts(fields) or _are_fields(fields),
        "top": _is_scalar(memory.get("top")),
        "bookmark": _is_scalar(memory.get("bookmark")),
    }
    return next((name for name, is_sound in are_sound.items() if not is_sound), None)


def _is_group(group: Any) -> bool:
    return isinstance(group, list) and bool(group) and _is_scalar(group[0]) and _are_texts(group[1:])


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _are_fields(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_are_fields, value.values()))


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list | bool)


def _exact(value: Any) -> Any:
    return Decimal(repr(value)) if isinstance(value, float) else value


def _written(replication_key: str, bookmark: Bookmark) -> dict[str, Any]:
    values: dict[str, Any] = {"replication_key": replication_key}
    memory: dict[str, Any] = {"at": bookmark.start}
    if bookmark.start is not None:
        values["replication_key_value"] = bookmark.start
    if bookmark.seen is not None:
        memory["rows"] = _listed(bookmark.seen)
    if bookmark.others:
        memory["others"] = [[value, *_listed(rows)] for value, rows in bookmark.others.items()]
    if bookmark.fields is not None:
        memory["fields"] = dict(bookmark.fields) if any(bookmark.fields.values()) else list(bookmark.fields)
    if bookmark.top is not None:
        memory["top"] = bookmark.top
    if bookmark.unmet:
        memory["unmet"] = bookmark.unmet
    if bookmark.again:
        memory["again"] = bookmark.again
    if bookmark.position is not None:
        memory["bookmark"] = bookmark.value
    return values if len(memory) == 1 else {**values, _SEEN: memory}


def _listed(rows: Counter[str]) -> list[str]:
    found = [row for row, count in rows.items() for _ in range(count)]
    return sorted(found) if len(found) > 1 else found
