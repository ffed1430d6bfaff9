"""What the table of a stream has to hold, worked out from its messages alone, one by one; it shares no code with what it checks.

A unit of commit is what lies between two commits. Where those fall is up to the target, so each way to cut is followed (`possible`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

__all__ = ["FIELDS", "Entry", "Message", "Told", "Unit", "Way", "canon", "deleted", "possible", "refused"]

FIELDS = ("v", "w", "p", "n", "seen")
"""Fields that are compared, beside those of the key."""
DELETED_AT = "_sdc_deleted_at"


@dataclass(frozen=True)
class Way:
    """What does not change in a case: how the rows of its stream go into the table."""

    method: str
    keys: tuple[str, ...]
    """None: each row is kept, and has an `id` of its own, or (``hashes``) each that differs."""
    hashes: bool
    order_kind: str
    has_versions: bool


@dataclass(frozen=True)
class Told:
    """What a run is told, and the next one maybe otherwise."""

    keeps: bool
    hard: str
    """``hard_delete``: ``given``, ``default`` or ``no``."""
    newest: bool
    quarantine: bool
    n_type: str | None = None

    @property
    def takes_marked(self) -> bool:
        """Whether a row goes whose record says that it is gone."""
        return self.hard == "given"


@dataclass(frozen=True)
class Message:
    """A record, or (``version`` alone) the end of a load; ``named`` are the fields that the SCHEMA before it has. Values are JSON.

    ``replaces``: rows go that have this value in `place`.
    """

    named: frozenset[str]
    fields: Mapping[str, str] | None
    version: int | None = None
    is_refused: bool = False
    replaces: str | None = None


@dataclass(frozen=True)
class Unit:
    """What lies between two STATEs: ``lines`` as they are sent, ``messages`` for the model."""

    lines: tuple[str, ...]
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Entry:
    """What is known of one key. ``versions`` are its rows, of which only a history has more than one, the last the newest; ``is_there``: that one holds."""

    versions: tuple[Mapping[str, str], ...] = ()
    is_there: bool = False
    mark: bool = False
    version: int | None = None

    @property
    def row(self) -> Mapping[str, str]:
        return self.versions[-1] if self.is_there else {}


Table = dict[Any, Entry]


def canon(name: str, wire: str | None, kind: str) -> Any:
    """Return a value as it is compared: null is None."""
    value = None if wire is None else json.loads(wire, parse_float=Decimal)
    if name == "seen" and kind == "date-time" and isinstance(value, str) and value[:1].isdigit():
        return datetime.fromisoformat(value).astimezone(UTC)
    if isinstance(value, bool):
        return f"bool {value}"
    return value


def refused(message: Message, way: Way, told: Told) -> bool:
    """Whether `on_invalid` decides of a record."""
    if message.fields is None:
        return False
    if message.is_refused:
        return True
    if not told.newest:
        return False
    if "seen" not in message.fields:
        return told.keeps and not deleted(message)
    return not is_ordered(message.fields["seen"], way)


def is_ordered(wire: str, way: Way) -> bool:
    value = canon("seen", wire, way.order_kind)
    if value is None:
        return True
    if way.order_kind == "date-time":
        return isinstance(value, datetime)
    if way.order_kind == "date":
        return isinstance(value, str) and len(value) == 10
    return isinstance(value, int | Decimal)


def deleted(message: Message) -> bool:
    assert message.fields is not None
    return json.loads(message.fields.get(DELETED_AT, "null")) is not None


@dataclass
class _Unit:
    """One unit of commit on its way into a table."""

    way: Way
    told: Told
    table: Table
    rank: dict[Any, Any] = field(default_factory=dict)
    """How new the newest is that is known of a key, for a deleted row, too."""
    now: dict[Any, Entry] = field(default_factory=dict)
    gone: dict[Any, Mapping[str, str]] = field(default_factory=dict)
    """The rows that were there before the unit has deleted them."""
    keeps_beside: bool = field(default=False, compare=False)

    def taking(self, message: Message, *, keeps_beside: bool = False) -> _Unit:
        """Return this one with a message more; ``keeps_beside``: a row that comes back in its unit keeps what the SCHEMA does not name."""
        after = replace(
            self,
            rank=dict(self.rank),
            now=dict(self.now),
            table=dict(self.table),
            gone=dict(self.gone),
            keeps_beside=keeps_beside,
        )
        after.take(message)
        return after

    def forgetting(self) -> _Unit:
        """Return this one as rows with other columns find it: a version that has begun and ended in the unit was never there."""
        now = {
            key: one if one.is_there else replace(one, versions=self.table.get(key, Entry()).versions)
            for key, one in self.now.items()
        }
        rank = {key: known for key, known in self.rank.items() if key in now and now[key].is_there}
        return replace(self, rank=rank, now=now)

    def brings_back(self, message: Message) -> bool:
        return message.fields is not None and bool(self.gone) and self.key(message) in self.gone

    def committed(self) -> _Unit:
        return _Unit(self.way, self.told, self.commit())

    def take(self, message: Message) -> None:
        if message.replaces is not None:
            self.replace(message.replaces)
        elif message.fields is None:
            self.activate(message.version)
        elif not refused(message, self.way, self.told):
            self.record(message)

    def key(self, message: Message) -> Any:
        assert message.fields is not None
        kind = self.way.order_kind
        if self.way.hashes:
            told = {
                name: canon(name, wire, kind) for name, wire in message.fields.items() if name != DELETED_AT
            }
            return frozenset((name, value) for name, value in told.items() if value is not None)
        return tuple(canon(name, message.fields[name], kind) for name in self.way.keys)

    def record(self, message: Message) -> None:
        assert message.fields is not None
        if not (self.way.keys or self.way.hashes):
            fields = {name: wire for name, wire in message.fields.items() if name != DELETED_AT}
            self.table[(int(message.fields["id"]),)] = Entry(
                (fields,), is_there=True, mark=deleted(message), version=message.version
            )
            return
        key = self.key(message)
        entry = self.now.get(key) or self.table.get(key, Entry())
        if self.told.newest and self.is_older(key, entry, message):
            if entry.is_there:
                self.now[key] = replace(entry, version=message.version)
            return
        goes = deleted(message) and (self.told.takes_marked or self.way.method == "history")
        kept = dict(entry.row)
        if key in self.gone and not entry.is_there and self.keeps_beside:
            kept = {name: wire for name, wire in self.gone[key].items() if name not in message.named}
        if not deleted(message) and not self.told.keeps:
            kept = {name: wire for name, wire in kept.items() if name not in message.named}
        fields = {**kept, **{name: wire for name, wire in message.fields.items() if name != DELETED_AT}}
        if self.told.newest and (given := self.order(fields if not goes else message.fields)) is not None:
            self.rank[key] = given
        elif self.told.newest:
            self.rank[key] = self.known_order(key, entry) if goes else None
        if goes:
            if entry.is_there:
                self.gone[key] = entry.row
            self.now[key] = replace(entry, is_there=False, mark=False)
            return
        before = self.table.get(key, Entry()).versions if self.way.method == "history" else ()
        self.now[key] = Entry(
            (*before, fields), is_there=True, mark=deleted(message), version=message.version
        )

    def order(self, fields: Mapping[str, str]) -> Any:
        wire = fields.get("seen", "null")
        if not is_ordered(wire, self.way):
            return None  # it stands beside its column, which is null
        return canon("seen", wire, self.way.order_kind)

    def is_older(self, key: Any, entry: Entry, message: Message) -> bool:
        assert message.fields is not None
        than = self.known_order(key, entry)
        given = self.order(message.fields)
        if than is None:
            return False
        if given is None:
            return not deleted(message)
        return bool(given < than)

    def known_order(self, key: Any, entry: Entry) -> Any:
        """How new the newest is that is known: of a history any version, also one that has ended."""
        rows = entry.versions if self.way.method == "history" else [entry.row]
        known = [self.order(row) for row in rows]
        known += [self.rank[key]] if key in self.rank else []
        return max((one for one in known if one is not None), default=None)

    def replace(self, place: str) -> None:
        """What comes behind it has nothing of a row that was deleted."""
        for key, entry in {**self.table, **self.now}.items():
            if entry.is_there and entry.row["place"] == place:
                is_marked = self.told.hard == "no"
                self.now[key] = (
                    replace(entry, mark=True) if is_marked else replace(entry, is_there=False, mark=False)
                )
                self.gone.pop(key, None)

    def activate(self, version: int | None) -> None:
        for key, entry in {**self.table, **self.now}.items():
            after = self.of_load(entry, version)
            if after != entry:
                self.now[key] = after
                self.rank.pop(key, None)

    def commit(self) -> Table:
        table = dict(self.table)
        for key, entry in self.now.items():
            table[key] = self.settled(self.table.get(key, Entry()), entry)
        history = self.way.method == "history"
        return {key: entry for key, entry in table.items() if entry.is_there or (history and entry.versions)}

    def settled(self, before: Entry, after: Entry) -> Entry:
        """A history has a version only where it differs from the one that held."""
        if self.way.method != "history" or not after.is_there or not before.is_there:
            if self.way.method == "history" and not after.is_there:
                return replace(after, versions=before.versions)
            return after
        same = self.content(before.row) == self.content(after.row)
        return replace(after, versions=before.versions) if same else after

    def content(self, row: Mapping[str, str]) -> dict[str, Any]:
        told = {name: canon(name, wire, self.way.order_kind) for name, wire in row.items()}
        return {name: value for name, value in told.items() if value is not None}

    def of_load(self, entry: Entry, version: int | None) -> Entry:
        if not entry.is_there or entry.version in (None, version):
            return entry
        if self.told.hard == "no" and self.way.method != "history":
            return replace(entry, mark=True)
        return replace(entry, is_there=False)


def possible(
    tables: Sequence[Table], units: Sequence[Unit], way: Way, told: Told, *, is_struck: bool
) -> list[Table]:
    """Return what the table may hold when the last of ``units`` is committed; ``tables`` are what it may have held.

    A history has of each unit of commit one version of a key, and how new a row was that is deleted is known within its unit, as long as all
    rows have the same columns, which are more with the first value of another type. ``is_struck``: rows of a load may have come before a connection was lost, and then a history ends no range for it.
    """
    # Of a history what has begun in the unit is known as long as it holds.
    forgets = told.newest and told.takes_marked and way.method == "upsert"
    ways = [_Unit(way, told, dict(table)) for table in tables]
    for number, unit in enumerate(units, 1):
        for message in unit.messages:
            if forgets:
                ways = _distinct([*ways, *(one.committed() for one in ways)])
            elif told.newest and way.method == "history":
                ways = _distinct([*ways, *(one.forgetting() for one in ways)])
            skips = (
                message.version is not None
                and message.fields is None
                and way.method == "history"
                and is_struck
            )
            back = [one.taking(message, keeps_beside=True) for one in ways if one.brings_back(message)]
            ways = [*(one.taking(message) for one in ways), *back, *(ways if skips else [])]
            ways = _distinct(ways) if back else ways
        after = [one.committed() for one in ways]
        is_seen = way.method == "history" or told.takes_marked
        ways = _distinct([*after, *(ways if is_seen and number < len(units) else [])])
    return [one.table for one in ways]


def _distinct(ways: Sequence[_Unit]) -> list[_Unit]:
    found: list[_Unit] = []
    for one in ways:
        if one not in found:
            found.append(one)
    return found
