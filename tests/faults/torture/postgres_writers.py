"""Who writes to a PostgreSQL that is read: transactions of every shape, of one connection, following from a seed.

What they meet from each other and from whoever reads or restarts (deadlocks, locks, keys that are there, sessions that end) rolls
their transaction back: it never was. Whether a COMMIT whose answer is lost took place is known to the log alone.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from faults.torture.postgres_reshaping import Reshaper
from faults.torture.postgres_tables import TABLES, Table, big_of, extra_of, values_of
from psycopg2.extras import execute_values
from psycopg2.sql import SQL, Composed, Identifier

__all__ = ["Shared", "Writer"]

KEYS = 60
"""So few that keys come back that were deleted."""
_REGIONS = ("north", "south", "west", "east")
_LARGE = 1200


@dataclass
class Shared:
    """What all writers of a source agree on. ``numbers``: one for each version, in the order in which they are thought of."""

    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    columns: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    methods: dict[str, str] = field(default_factory=dict)
    """How each table is read."""
    reshaped: list[float] = field(default_factory=list)
    """When somebody has begun or ended to do what `postgres_reshaping` does (monotonic)."""
    altering: threading.Lock = field(default_factory=threading.Lock)
    did: Counter[str] = field(default_factory=Counter)
    """What was done how often, and what failed."""


class Writer:
    """One who writes. ``connect`` opens a connection to the source."""

    def __init__(self, connect: Callable[[], Any], shared: Shared, dice: random.Random) -> None:
        self._connect, self.shared, self.dice = connect, shared, dice
        self._connection: Any = None
        self.pause: Callable[[float], None] = lambda seconds: None
        """How to hold a transaction open."""
        self.tables = list(TABLES)
        self.alters, self.empties = True, True
        """Whether this one changes columns, and truncates."""
        self.reshapes = 0.0
        """In which share of his transactions this one makes tables anew, and so on."""
        self._reshaper = Reshaper(self)

    # --- transactions ---------------------------------------------------------------------------------------

    def transaction(self) -> None:
        """Write one transaction, if it comes to its end."""
        try:
            with self._session() as cursor:
                self._write(cursor)
        except psycopg2.Error as error:
            self.shared.did[f"failed: {type(error).__name__}"] += 1
            self.close()

    @contextlib.contextmanager
    def _session(self) -> Iterator[Any]:
        if self._connection is None:
            self._connection = self._connect()
            self._connection.autocommit = False
            with self._connection.cursor() as cursor:
                cursor.execute("SET deadlock_timeout = '50ms'; SET lock_timeout = '2s'; SET timezone = 'UTC'")
            self._connection.commit()
        with self._connection.cursor() as cursor:
            yield cursor

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def _write(self, cursor: Any) -> None:
        dice = self.dice
        kind = dice.random()
        if self.reshapes and dice.random() < self.reshapes:
            self._reshape(cursor)
            return
        if kind < 0.03 and self.alters:
            self._alter(cursor, self.table())
            return
        if kind < 0.04 and self.empties:
            self._truncate(cursor)
        elif kind < 0.08:
            self._large(cursor)
        else:
            for _ in range(dice.choice([1, 1, 2, 3, 6])):
                self._change_in_savepoint(cursor)
        if dice.random() < 0.15:
            self._did("held open")
            self.pause(dice.choice([0.02, 0.1, 0.3]))
        if dice.random() < 0.12:
            self._connection.rollback()
            self._did("rolled back")
            return
        self._connection.commit()
        self._did("committed")

    def commit(self) -> None:
        """Commit what has been written so far."""
        self._connection.commit()

    def _reshape(self, cursor: Any) -> None:
        with self.shared.altering:
            self.shared.reshaped.append(time.monotonic())
            try:
                what = self._reshaper.reshape(cursor)
                self.commit()
            finally:
                self.shared.reshaped.append(time.monotonic())
            if what:
                self._did(f"reshaped: {what}")

    def _did(self, what: str) -> None:
        self.shared.did[what] += 1

    def table(self) -> Table:
        return TABLES[self.dice.choice(self.tables)]

    # --- changes --------------------------------------------------------------------------------------------

    def _change_in_savepoint(self, cursor: Any) -> None:
        """Change one row; a key that is there already undoes that alone, and now and then the savepoint is undone for nothing."""
        cursor.execute("SAVEPOINT one")
        try:
            self._change(cursor, self.table())
        except (psycopg2.IntegrityError, psycopg2.ProgrammingError) as error:
            # Of the latter: another writer has just changed the columns.
            self._did(f"undone: {type(error).__name__}")
            cursor.execute("ROLLBACK TO SAVEPOINT one")
        else:
            if self.dice.random() < 0.08:
                self._did("savepoint undone")
                cursor.execute("ROLLBACK TO SAVEPOINT one")

    def _change(self, cursor: Any, table: Table) -> None:
        kind = self.dice.random()
        seq = self._any(cursor, table) if kind > 0.4 else None
        if seq is None:
            self._did("insert")
            self._insert(cursor, table, [self._new_key(table)])
        elif kind > 0.86 and not table.only_grows:
            self._did("delete")
            self._execute(cursor, SQL("DELETE FROM {} WHERE seq = %s").format(Identifier(table.name)), [seq])
        else:
            changes_key = kind > 0.76 and bool(table.keys) and not table.only_grows
            self._did("change of a key" if changes_key else "update")
            self._update(cursor, table, seq, changes_key=changes_key)

    def _any(self, cursor: Any, table: Table) -> int | None:
        cursor.execute(
            SQL("SELECT seq FROM {} ORDER BY md5(seq::text || %s) LIMIT 1").format(Identifier(table.name)),
            [str(self.dice.random())],
        )
        found = cursor.fetchone()
        return None if found is None else int(found[0])

    def _new_key(self, table: Table) -> dict[str, Any]:
        dice, number = self.dice, self.dice.randrange(KEYS)
        made: dict[str, Any] = {
            "id": number,
            "a": number % 7,
            "b": f"b{number} 'x'",
            "region": dice.choice(_REGIONS),
        }
        return {name: made[name] for name in table.keys}

    def _row(
        self, table: Table, key: dict[str, Any], extras: Sequence[str], *, keeps_big: bool = False
    ) -> dict[str, Any]:
        seq = next(self.shared.numbers)
        row = {
            **key,
            "seq": seq,
            **{name: values_of(seq)[name] for name in ("v", "amount", "at", "is_on", "doc")},
        }
        if not table.keys:
            row["kind"] = values_of(seq)["kind"]
        if table.has_big and not keeps_big:
            row |= {"big": big_of(seq), "big_of": seq}
        return row | {name: extra_of(seq, name) for name in extras}

    @staticmethod
    def extras(cursor: Any, table: Table) -> list[str]:
        """Return the columns that were added to a table and are there; others may change them the moment after."""
        cursor.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attname LIKE 'extra%%' AND NOT attisdropped",
            [table.name],
        )
        return [name for (name,) in cursor.fetchall()]

    def insert(
        self, cursor: Any, table: Table, key: dict[str, Any] | None = None, *, into: str | None = None
    ) -> None:
        """Insert one row of a table; ``into``: another table that is like it."""
        self._insert(cursor, table, [key or self._new_key(table)], into)

    def _insert(
        self, cursor: Any, table: Table, keys: Sequence[dict[str, Any]], into: str | None = None
    ) -> None:
        extras = self.extras(cursor, table)
        rows = [self._row(table, key, extras) for key in keys]
        statement = SQL("INSERT INTO {} ({}) VALUES %s").format(
            Identifier(into or table.name), _listed(rows[0])
        )
        execute_values(cursor, statement, [tuple(row.values()) for row in rows])

    def _update(self, cursor: Any, table: Table, seq: int, *, changes_key: bool) -> None:
        key = self._new_key(table) if changes_key else {}
        row = self._row(table, key, self.extras(cursor, table), keeps_big=self.dice.random() < 0.6)
        if key and self.dice.random() < 0.5 and "region" in key:
            del row["id"]  # it moves to another partition, perhaps
        places = SQL(", ").join(SQL("{} = %s").format(Identifier(name)) for name in row)
        statement = SQL("UPDATE {} SET {} WHERE seq = %s").format(Identifier(table.name), places)
        self._execute(cursor, statement, [*row.values(), seq])

    @staticmethod
    def _execute(cursor: Any, statement: Composed, values: list[Any]) -> None:
        cursor.execute(statement, values)

    def _large(self, cursor: Any) -> None:
        """Insert more rows than the server decodes in memory, with keys beyond those of others; or delete them all at once."""
        table = TABLES[
            self.dice.choice([name for name in self.tables if name in ("items", "notes", "wholes")])
        ]
        cursor.execute("SELECT pg_advisory_xact_lock(7)")  # one at a time, each with the same keys
        if table.keys:
            cursor.execute(SQL("DELETE FROM {} WHERE id >= 1000 RETURNING 1").format(Identifier(table.name)))
            if cursor.rowcount:
                self._did("large deletion")
                return
        self._did("large insertion")
        count = _LARGE // 10 if table.has_big or not table.keys else _LARGE
        self._insert(cursor, table, [{"id": 1000 + n} if table.keys else {} for n in range(count)])

    def _truncate(self, cursor: Any) -> None:
        names = [name for name in self.tables if not TABLES[name].only_grows]
        chosen = self.dice.sample(names, min(len(names), self.dice.choice([1, 1, 2])))
        cursor.execute(SQL("TRUNCATE {}").format(SQL(", ").join(map(Identifier, chosen))))
        self._did("truncate")
        for name in chosen:
            if self.dice.random() < 0.7:
                self._insert(cursor, TABLES[name], [self._new_key(TABLES[name])])

    # --- columns --------------------------------------------------------------------------------------------

    def _alter(self, cursor: Any, table: Table) -> None:
        """Add, drop, rename or retype a column. What it holds then of rows that are there is written in the same transaction."""
        with self.shared.altering:
            extras = self.extras(cursor, table)
            kind = self.dice.choice(["add", "drop", "rename", "retype"]) if extras else "add"
            where = Identifier(table.name)
            old = Identifier(self.dice.choice(extras) if extras else "none")
            new = Identifier(f"extra_{next(self.shared.columns)}")
            statement = {
                "add": SQL("ALTER TABLE {} ADD {} integer").format(where, new),
                "drop": SQL("ALTER TABLE {} DROP {}").format(where, old),
                "rename": SQL("ALTER TABLE {} RENAME {} TO {}").format(where, old, new),
                "retype": SQL("ALTER TABLE {} ALTER {} TYPE {}").format(
                    where, old, SQL(self.dice.choice(["bigint", "numeric"]))
                ),
            }
            cursor.execute(statement[kind])
            if kind == "rename":
                self.rewrite(cursor, table)
            self._connection.commit()
            self._did(f"{kind} a column")

    def rewrite(self, cursor: Any, table: Table) -> None:
        cursor.execute(SQL("SELECT seq FROM {}").format(Identifier(table.name)))
        for (seq,) in cursor.fetchall():
            self._update(cursor, table, seq, changes_key=False)


def _listed(row: dict[str, Any]) -> Composed:
    return SQL(", ").join(map(Identifier, row))
