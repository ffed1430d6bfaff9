"""What a PostgreSQL's tables held at any place of its log, by a slot of our own with test_decoding: no code and no plugin of the tap's.

Places are ends of commits. Where the tap's position stands between two, what is committed up to there is the same. Of rows that come and
go with partitions and tables the log says nothing: who does that writes a message into it (`postgres_reshaping`).
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from faults.torture.postgres_tables import TABLES, table_of_leaf

__all__ = ["MESSAGES", "SLOT", "History", "place"]

SLOT = "oracle"
MESSAGES = "reshaped"
"""The prefix of messages in the log that say what no change does."""
_LINE = re.compile(r"table (.*?): (INSERT|UPDATE|DELETE|TRUNCATE): ?(.*)", re.DOTALL)
_MESSAGE = re.compile(rf"message: transactional: 1 prefix: {MESSAGES}, sz: \d+ content:(.*)", re.DOTALL)
_VALUE = r"(?:^| ){}\[[^\]]*\]:(?:'((?:[^']|'')*)'|(\S+))"
Key = tuple[str, ...]


def place(text: str) -> int:
    """Return a place in a log (``0/16B3748``, with ``@`` and a timeline behind it) as a number."""
    high, _, low = text.partition("@")[0].partition("/")
    return (int(high, 16) << 32) + int(low, 16)


@dataclass
class Change:
    """``op``: put, del, empty, or unsure. Without a key of its own a row has its number as key.

    A ``del`` without a key is of the row with that number. ``unsure``: from this moment on (``at``, monotonic) the log may tell of less.
    """

    op: str
    table: str
    key: Key = ()
    seq: int = 0
    at: float = 0


@dataclass
class Tables:
    """By table the numbers of rows by key; of rows without a key those that were there and have gone, too."""

    rows: dict[str, dict[Key, int]] = field(default_factory=lambda: {name: {} for name in TABLES})
    gone: dict[str, set[int]] = field(default_factory=lambda: {name: set() for name in TABLES})

    def take(self, change: Change) -> None:
        rows = self.rows[change.table]
        match change.op:
            case "put":
                rows[change.key] = change.seq
            case "del":
                seq = rows.pop(self.key_of(change), None)
                if seq is not None:
                    self.gone[change.table].add(seq)
            case "empty":
                self.gone[change.table].clear()
                rows.clear()

    def key_of(self, change: Change) -> Key:
        """Return the key of a change, also where the log has only the number of its row."""
        return change.key or next(
            (key for key, seq in self.rows[change.table].items() if seq == change.seq), ()
        )


class History:
    """Reads the slot as far as it has come, each time it is asked.

    ``ever``: every row that was ever committed, with the number of its transaction in their order.
    """

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._changes: list[list[Change]] = []
        self._at, self._tables = 0, Tables()
        self.now = Tables()
        """What the tables hold now."""
        self.ever: dict[str, dict[tuple[Key, int], int]] = {name: {} for name in TABLES}
        self.touched: dict[str, set[Key]] = {name: set() for name in TABLES}
        """Keys of rows that came, changed or went since this was cleared."""
        self.unsure: dict[str, float] = {}
        """By table when it was reshaped last: what a run that began before has read of the log since may lack something."""
        self.slot_dropped = 0
        """Where in the log somebody had dropped the slot of the tap, the last time."""
        self._drops_slot = False
        self._away: set[str] = set()
        """Partitions that are tables of their own now."""

    @property
    def transactions(self) -> int:
        return len(self._ends)

    @property
    def is_at(self) -> int:
        """The last position that was asked for."""
        return self._at

    def read(self, cursor: Any) -> None:
        """Read what has been committed since."""
        cursor.execute(
            "SELECT lsn::text, data FROM pg_logical_slot_get_changes(%s, NULL, NULL, 'include-xids', '0', 'skip-empty-xacts', '1')",
            [SLOT],
        )
        changes: list[Change] = []
        for at, data in cursor:
            if data.startswith("BEGIN"):
                changes, self._drops_slot = [], False
            elif data.startswith("COMMIT"):
                if self._drops_slot:
                    self.slot_dropped = max(self.slot_dropped, place(at))
                # After a crash the slot tells again what it told last.
                if changes and (not self._ends or place(at) > self._ends[-1]):
                    self._ends.append(place(at))
                    self._changes.append(changes)
                    self._note(changes)
            else:
                changes += self._changes_of(data)

    def _note(self, changes: list[Change]) -> None:
        for change in changes:
            if change.op == "unsure":
                self.unsure[change.table] = change.at
                continue
            ever, touched = self.ever[change.table], self.touched[change.table]
            touched |= {key for key, _ in ever} if change.op == "empty" else {self.now.key_of(change)}
            self.now.take(change)
            if change.op == "put":
                ever[change.key, change.seq] = len(self._ends)

    def at(self, position: int) -> Tables:
        """Return what the tables held there; positions come in their order."""
        if position < self._at:
            raise ValueError("a position that goes back")
        last = bisect_right(self._ends, position)
        for changes in self._changes[bisect_right(self._ends, self._at) : last]:
            for change in changes:
                self._tables.take(change)
        self._at = position
        return self._tables

    def _changes_of(self, line: str) -> Iterator[Change]:
        said = _MESSAGE.match(line)
        if said is not None:
            yield from self._reshaped(json.loads(said[1]))
            return
        found = _LINE.match(line)
        if found is None:
            return
        names, op, rest = found.groups()
        for name in (name.removeprefix("public.") for name in names.split(", ")):
            table = None if name in self._away else table_of_leaf(name)
            if op == "TRUNCATE":
                if name in TABLES:
                    yield Change("empty", name)
            elif table is not None:
                yield from _changes_of_row(table, op, rest)

    def _reshaped(self, said: dict[str, Any]) -> Iterator[Change]:
        """Yield what a message says: tables that are ``empty``, rows that have ``gone`` and ``come``, tables that are ``unsure``."""
        self._away = (self._away | {*said.get("detached", ())}) - {*said.get("attached", ())}
        self._drops_slot |= "slot" in said
        for name in said.get("empty", ()):
            yield Change("empty", name)
        for name, keys in said.get("gone", {}).items():
            yield from (Change("del", name, tuple(key)) for key in keys)
        for name, rows in said.get("come", {}).items():
            yield from (Change("put", name, tuple(key), seq) for key, seq in rows)
        yield from (Change("unsure", name, at=said["at"]) for name in said.get("unsure", ()))


def _changes_of_row(table: str, op: str, rest: str) -> Iterator[Change]:
    if op == "DELETE":
        yield _deletion(table, rest)
    elif op == "INSERT":
        yield Change("put", table, _key(table, rest), _seq(rest))
    else:
        old, has_old, new = rest.partition(" new-tuple: ")
        new = new if has_old else rest
        if has_old:
            yield _deletion(table, old)
        yield Change("put", table, _key(table, new), _seq(new))


def _deletion(table: str, row: str) -> Change:
    """Return the deletion of a row of which the log may have its number alone (`REPLICA IDENTITY USING INDEX`)."""
    keys = TABLES[table].keys
    if all(re.search(_VALUE.format(name), row) for name in keys):
        return Change("del", table, _key(table, row))
    return Change("del", table, (), _seq(row))


def _key(table: str, row: str) -> Key:
    keys = TABLES[table].keys
    return tuple(_value(row, name) for name in keys) if keys else (str(_seq(row)),)


def _seq(row: str) -> int:
    return int(_value(row, "seq"))


def _value(row: str, name: str) -> str:
    found = re.search(_VALUE.format(name), row)
    assert found is not None, f"no {name} in {row[:200]}"
    return found[2] if found[1] is None else found[1].replace("''", "'")
