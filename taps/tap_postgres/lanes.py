"""Connections beside the first one, by which ranges of a table are read at the same time; their rows come in the order of the ranges all the same.

Each reads its range ahead, as far as there is room. So what is written is what one connection would have written, states included.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import psycopg2

from singerkit_postgres.connect import Connection
from tap_postgres.copying import Copying

__all__ = ["Lanes"]

_T = TypeVar("_T")

_ALL_BYTES = 32 * 1024 * 1024
"""What all of them may have read ahead."""


class Lanes:
    """``number`` connections, made by ``connect`` when they are needed; one is none, as the first connection reads itself then.

    ``longest``: see `Copying`.
    """

    def __init__(self, number: int, connect: Callable[[], Connection], longest: float | None = None) -> None:
        self._number, self._connect, self._longest = number, connect, longest
        self._connections: list[Connection] = []

    @property
    def are_any(self) -> bool:
        return self._number > 1

    @property
    def chunk_bytes(self) -> int:
        """How much a range may weigh, about, so that it can be read ahead to its end; 0: there are no lanes."""
        return _ALL_BYTES // self._number if self.are_any else 0

    @contextmanager
    def reading(self, *, before: str = "", after: str = "") -> Iterator[Reading]:
        """Give what reads by all of them; ``before`` and ``after``: statements around each query."""
        reading = Reading(self._opened(), before, after, self.chunk_bytes, self._longest)
        try:
            yield reading
        finally:
            reading.close()

    def join(self, statement: str) -> bool:
        """Run a statement on each, which begins a transaction; False: what it locks cannot be had now, and there is no transaction."""
        try:
            for connection in self._opened():
                _execute(connection, statement)
        except psycopg2.errors.LockNotAvailable:
            self.leave()
            return False
        return True

    def leave(self) -> None:
        """End the transactions."""
        for connection in self._connections:
            with suppress(psycopg2.Error):
                _execute(connection, "ROLLBACK")

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections = []

    def _opened(self) -> list[Connection]:
        while len(self._connections) < self._number:
            self._connections.append(self._connect())
        return self._connections


class Reading:
    """Queries that run at the same time, each on a connection of its own."""

    def __init__(
        self,
        connections: list[Connection],
        before: str,
        after: str,
        waiting_bytes: int,
        longest: float | None,
    ) -> None:
        self._free = deque(connections)
        self._running: deque[tuple[Connection, Copying]] = deque()
        self._before, self._after, self._waiting_bytes = before, after, waiting_bytes
        self._longest = longest

    def ahead(self, queries: Iterator[tuple[str, _T]]) -> Iterator[tuple[_T, Copying]]:
        """Yield what comes with each query, and its rows, in their order; the next ones run already."""
        whats: deque[_T] = deque()
        while True:
            while self._free and (query := next(queries, None)) is not None:
                self._start(query[0])
                whats.append(query[1])
            if not self._running:
                return
            yield whats.popleft(), self._running[0][1]
            connection, copying = self._running.popleft()
            copying.close()
            self._free.append(connection)

    def _start(self, query: str) -> None:
        connection = self._free.popleft()
        copying = Copying(
            connection,
            query,
            before=self._before,
            after=self._after,
            waiting_bytes=self._waiting_bytes,
            longest=self._longest,
        )
        self._running.append((connection, copying))

    def close(self) -> None:
        for _, copying in self._running:
            copying.close()


def _execute(connection: Connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
