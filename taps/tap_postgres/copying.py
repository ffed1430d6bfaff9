"""COPY ... TO STDOUT as blocks of rows: a thread takes what comes, so that the server is never kept waiting for one page alone.

The one column is JSON. As CSV whose quote and delimiter are control characters nothing of it is escaped, since JSON holds none:
only a value with raw line ends, which a `json` may hold between its parts, is quoted.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from singerkit_shell.signals import stop_flag
from singerkit_sql_tap.faults import SAFE

__all__ = ["Copying", "copied"]

_BLOCK_BYTES = 256 * 1024
_WAITING_BYTES = 4 * _BLOCK_BYTES
_OPTIONS = "(FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"
_QUOTE = b"\x01"
_ONE_LINE = bytes.maketrans(b"\n\r", b"  ")


class _Stopped(Exception):
    """Nobody takes the rows any more."""


class _Blocks(io.RawIOBase):
    """Blocks on their way from the thread that reads to who takes them; ``most`` bytes wait, or one block that has more."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._change = threading.Condition()
        self._is_wanted = True
        self._is_refused = False
        self.has_ended = False
        """Whether no more comes, and the connection is free."""
        self.waited = 0.0
        """Seconds in which somebody waited for rows."""
        self._error: BaseException | None = None

    def writable(self) -> bool:
        return True

    def write(self, rows: Any) -> int:
        """Take whole rows, of a buffer that is used again."""
        size = len(rows)
        with self._change:
            self._change.wait_for(lambda: self._has_room(size) or not self._is_wanted or self._is_refused)
            if self._is_refused:  # a buffer writes what it holds even when it is let go of
                return size
            if not self._is_wanted:
                raise _Stopped
            self._waiting.append(bytes(rows))
            self._bytes += size
            self._change.notify_all()
        return size

    def _has_room(self, size: int) -> bool:
        return not self._bytes or self._bytes + size <= self._most

    def refuse(self) -> None:
        """Take no more rows, without a word."""
        with self._change:
            self._is_refused = True

    def end(self, error: BaseException | None) -> None:
        """Say that no more comes."""
        with self._change:
            self.has_ended, self._error = True, error
            self._change.notify_all()

    def give_up(self) -> None:
        """Say that no more is taken."""
        with self._change:
            self._is_wanted = False
            self._change.notify_all()

    def next(self, while_waiting: Callable[[], None]) -> bytes | None:
        """Return the next block; None: there is none any more."""
        while True:
            stop_flag.raise_if_set(f"{SAFE}, run again to continue.")
            while_waiting()
            with self._change:
                if self._waiting:
                    block = self._waiting.popleft()
                    self._bytes -= len(block)
                    self._change.notify_all()
                    return block
                if self._error is not None:
                    raise self._error
                if self.has_ended:
                    return None
                began = time.monotonic()
                self._change.wait(0.2)
                self.waited += time.monotonic() - began


class Copying:
    """A query whose rows come in blocks, each row a line, from now on and whether or not anybody takes them: up to ``waiting_bytes`` wait.

    The one column is JSON, and at least one column of that is never null. ``before`` and ``after``: statements around it, in one transaction.
    ``longest``: seconds that may be waited for the server, which the connection has as its `statement_timeout`. That would count the time, too,
    in which nobody takes the rows.
    """

    def __init__(
        self,
        connection: Connection,
        query: str,
        *,
        before: str = "",
        after: str = "",
        waiting_bytes: int = _WAITING_BYTES,
        longest: float | None = None,
    ) -> None:
        self._connection, self._before, self._after = connection, before, after
        self._longest = longest
        self._blocks = _Blocks(waiting_bytes)
        statement = f"COPY ({query}) TO STDOUT {_OPTIONS}"
        self._thread = threading.Thread(target=self._run, args=(statement,), name="copy", daemon=True)
        self._thread.start()

    def next(self) -> bytes | None:
        """Return the next block; None: there is none any more.

        Raises:
            psycopg2.Error: as the server says.
        """
        block = self._blocks.next(self._end_if_late)
        return _unquoted(block) if block is not None and _QUOTE in block else block

    def _end_if_late(self) -> None:
        if self._longest is not None and self._blocks.waited > self._longest:
            self._connection.cancel()

    def close(self) -> None:
        """End the query, and wait until the connection can be used again."""
        self._blocks.give_up()
        while not self._blocks.has_ended:
            with contextlib.suppress(psycopg2.Error):
                self._connection.cancel()  # more than once: it may come before the query
            self._thread.join(0.2)
        self._thread.join()

    def _run(self, statement: str) -> None:
        error: BaseException | None = None
        try:
            self._limit(0)
            if self._before:
                self._execute(self._before)
            _copy(self._connection, statement, self._blocks)
            if self._after:
                self._execute(self._after)
        except BaseException as caught:
            error = caught
            if self._before:
                with contextlib.suppress(psycopg2.Error):
                    self._execute("ROLLBACK")
        self._limit_again()
        self._blocks.end(error)

    def _limit_again(self) -> None:
        for _ in range(9):
            try:
                return self._limit(int((self._longest or 0) * 1000))
            except psycopg2.errors.QueryCanceled:  # which was meant for the query before
                continue
            except psycopg2.Error:  # in a transaction that has failed its end does it
                return None
        return None

    def _limit(self, milliseconds: int) -> None:
        if self._longest is not None:
            self._execute(f"SET statement_timeout TO {milliseconds}")

    def _execute(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)


def copied(connection: Connection, query: str, *, longest: float | None = None) -> Generator[bytes]:
    """Yield the blocks of a query (`Copying`).

    Raises:
        psycopg2.Error: as the server says.
    """
    with contextlib.closing(Copying(connection, query, longest=longest)) as copying:
        while (block := copying.next()) is not None:
            yield block


def _copy(connection: Connection, statement: str, blocks: _Blocks) -> None:
    # Rows are written one by one, 500,000 and more a second: nothing of this is Python but for a block.
    rows = io.BufferedWriter(blocks, _BLOCK_BYTES)
    try:
        with connection.cursor() as cursor:
            cursor.copy_expert(statement, rows)
        rows.flush()
    except BaseException:
        blocks.refuse()
        raise


def _unquoted(block: bytes) -> bytes:
    """Return rows of which no one is quoted: what is between two quotes has raw line ends, which are blanks to JSON."""
    parts = block.split(_QUOTE)
    parts[1::2] = [part.translate(_ONE_LINE) for part in parts[1::2]]
    return b"".join(parts)
