"""A PostgreSQL that is read while several write to it, and what it held at any time.

``stirring``: transactions that come while a run is under way. What was read is held against what the log says was committed
(`postgres_history`), never against what a writer meant to do.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from faults.torture.postgres_history import SLOT, History
from faults.torture.postgres_reshaping import restore, restore_tables
from faults.torture.postgres_tables import TABLES, Table
from faults.torture.postgres_writers import Shared, Writer
from faults.torture.proxy import Proxy, SqlFault
from faults.torture.server import PASSWORD, Server
from psycopg2.sql import SQL, Identifier

__all__ = ["PostgresSource"]

WRITERS = 3
RESHAPES = 0.04
"""Share of transactions."""
METHODS = ("full", "log", "log")
STEPS_METHODS = ("incremental", "incremental", "full", "log")
SETUP = "".join(f"{statement}; " for table in TABLES.values() for statement in table.setup)


class PostgresSource:
    """A database and those who write to it. Everything they do follows from ``roll``, but for how they meet."""

    page_size, is_sorted = 10, True
    requests = 0

    def __init__(self, roll: random.Random) -> None:
        self._roll = roll
        self.methods = {name: roll.choice(METHODS) for name in TABLES} | {"steps": roll.choice(STEPS_METHODS)}
        """How each table is read."""
        self.hard_delete = roll.random() < 0.7
        self.is_reshaped = roll.random() < 0.6
        """Whether tables are made anew, partitions come and go, and so on, while it is read."""
        self.stirring = 0
        self.shared = Shared(methods=self.methods)
        self.history = History()
        self.journal = SimpleNamespace(versions={}, by_seq={})
        self._stack = contextlib.ExitStack()
        self._ended = threading.Event()

    def settle(self, server: Server, proxy: Proxy) -> None:
        """Make the database. ``proxy``: that by which it is read."""
        self.server, self.proxy = server, proxy
        self.database = self._stack.enter_context(server.database())
        with contextlib.closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute(SETUP)
            cursor.execute("SELECT pg_create_logical_replication_slot(%s, 'test_decoding')", [SLOT])
        self._stack.callback(self._drop_slots)
        self._writers = [
            Writer(self._connect, self.shared, random.Random(f"{self._roll.random()}"))
            for _ in range(WRITERS)
        ]
        for writer in self._writers:
            self._stack.callback(writer.close)
            writer.reshapes = RESHAPES * self.is_reshaped

    def uri(self) -> str:
        """Return where it is read, by way of the proxy."""
        return self.proxy.uri(self.database, PASSWORD)

    def _connect(self) -> Any:
        return self.server.connect(self.database)

    def end_sessions(self) -> None:
        """End every session by which it is read."""
        self.server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name <> 'torture'",
            [self.database],
        )

    def _drop_slots(self) -> None:
        """Drop all slots of the database, in use or not: it cannot be dropped before."""
        slots = "FROM pg_replication_slots WHERE database = %s"
        for _ in range(100):
            self.server.sql(f"SELECT pg_terminate_backend(active_pid) {slots} AND active", [self.database])
            with contextlib.suppress(Exception):  # it is in use for a moment longer
                self.server.sql(f"SELECT pg_drop_replication_slot(slot_name) {slots}", [self.database])
                return
            time.sleep(0.05)

    @contextlib.contextmanager
    def cursor(self) -> Iterator[Any]:
        with contextlib.closing(self._connect()) as connection, connection.cursor() as cursor:
            yield cursor

    # --- writing --------------------------------------------------------------------------------------------

    def only(self, *, alters: bool, empties: bool) -> None:
        """Say whether writers change columns, and truncate."""
        for writer in self._writers:
            writer.alters, writer.empties = alters, empties

    def emit(self, transactions: int) -> None:
        """Write so many transactions, one after the other."""
        for _ in range(transactions):
            writer = self._roll.choice(self._writers)
            writer.pause = lambda seconds: None
            writer.transaction()
        self._restore_tables()

    @contextlib.contextmanager
    def stirred(self) -> Iterator[None]:
        """Let all writers write while a run is under way, until it has ended."""
        ended = threading.Event()
        threads = [threading.Thread(target=self._stir, args=(writer, ended)) for writer in self._writers]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()
            self._restore_tables()

    def _restore_tables(self) -> None:
        """Make the tables that are missing: the server went away before somebody had made them again."""
        if self.is_reshaped:
            with self.cursor() as cursor:
                restore_tables(cursor)

    def was_reshaped_since(self, moment: float) -> bool:
        """Tell whether somebody has reshaped a table since a moment (monotonic)."""
        return any(at >= moment for at in self.shared.reshaped[-1:])

    def restore(self) -> list[str]:
        """Undo what makes the tap refuse to go on, and say what that was."""
        with self.cursor() as cursor:
            return restore(cursor, self.methods)

    def _stir(self, writer: Writer, ended: threading.Event) -> None:
        writer.pause = lambda seconds: ended.wait(seconds) and None
        while self.stirring > 0 and not ended.wait(0.01):
            self.stirring -= 1
            writer.transaction()

    # --- what it holds --------------------------------------------------------------------------------------

    def read_history(self) -> History:
        with self.cursor() as cursor:
            self.history.read(cursor)
        return self.history

    def types(self, table: Table) -> dict[str, str]:
        """Return the types of the columns of a table as it is now."""
        with self.cursor() as cursor:
            cursor.execute(
                "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
                " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                [table.name],
            )
            return dict(cursor.fetchall())

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """Return the rows as text, as the server writes it."""
        names = self.types(table)
        shown = SQL(", ").join(SQL("{}::text").format(Identifier(name)) for name in names)
        with self.cursor() as cursor:
            cursor.execute(SQL("SELECT {} FROM {}").format(shown, Identifier(table.name)))
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    # --- what a source over HTTP has besides ----------------------------------------------------------------

    def arm(self, *faults: SqlFault) -> None:
        """Let faults strike the connections by which it is read."""
        self.proxy.arm(*faults)

    @property
    def struck(self) -> int:
        return self.proxy.struck

    def serve_connection(self, connection: socket.socket) -> None:
        connection.close()

    def close(self) -> None:
        self._stack.close()
