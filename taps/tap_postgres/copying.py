"""COPY ... TO STDOUT as blocks of rows: a thread takes what comes, so that the server is never kept waiting for one page alone.

The one column is JSON. As CSV whose quote and delimiter are control characters nothing of it is escaped, since JSON holds none:
only a value with raw line ends, which a `json` may hold between its parts, is quoted.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Generator
from typing import Any

from psycopg2.extensions import connection as Connection

from singerkit_shell.signals import stop_flag
from singerkit_sql_tap.faults import SAFE

__all__ = ["copied"]

_BLOCK_BYTES = 256 * 1024
_WAITING_BYTES = 4 * _BLOCK_BYTES
_OPTIONS = "(FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"
_QUOTE = b"\x01"
_ONE_LINE = bytes.maketrans(b"\n\r", b"  ")


class _Stopped(Exception):
    """Nobody takes the rows any more."""


class _Blocks(io.RawIOBase):
    """Blocks on their way from the thread that reads to who takes them; so many bytes wait, or one block that has more."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._change = threading.Condition()
        self._is_wanted = True
        self._has_ended = False
        self._error: BaseException | None = None

    def writable(self) -> bool:
        return True

    def write(self, rows: Any) -> int:
        """Take whole rows, of a buffer that is used again."""
        block = bytes(rows)
        with self._change:
            self._change.wait_for(
                lambda: (
                    not self._bytes
                    or self._bytes + len(block) <= _WAITING_BYTES
                    or not self._is_wanted
                    or self._has_ended
                )
            )
            if self._has_ended:  # a buffer writes what it holds even when it is let go of
                return len(block)
            if not self._is_wanted:
                self._has_ended = True
                raise _Stopped
            self._waiting.append(block)
            self._bytes += len(block)
            self._change.notify_all()
        return len(block)

    def end(self, error: BaseException | None) -> None:
        """Say that no more comes."""
        with self._change:
            self._has_ended, self._error = True, error
            self._change.notify_all()

    def give_up(self) -> None:
        """Say that no more is taken."""
        with self._change:
            self._is_wanted = False
            self._change.notify_all()

    def next(self) -> bytes | None:
        """Return the next block; None: there is none any more."""
        while True:
            stop_flag.raise_if_set(f"{SAFE}, run again to continue.")
            with self._change:
                if self._waiting:
                    block = self._waiting.popleft()
                    self._bytes -= len(block)
                    self._change.notify_all()
                    return block
                if self._error is not None:
                    raise self._error
                if self._has_ended:
                    return None
                self._change.wait(0.2)


def copied(connection: Connection, query: str) -> Generator[bytes]:
    """Yield the rows of a query of one JSON column in blocks, each row a line; at least one column of it is never null.

    Raises:
        psycopg2.Error: as the server says.
    """
    blocks = _Blocks()
    statement = f"COPY ({query}) TO STDOUT {_OPTIONS}"
    thread = threading.Thread(target=_copy, args=(connection, statement, blocks), daemon=True)
    thread.start()
    try:
        while (block := blocks.next()) is not None:
            yield _unquoted(block) if _QUOTE in block else block
    finally:
        blocks.give_up()
        if thread.is_alive():
            connection.cancel()
        thread.join()


def _copy(connection: Connection, statement: str, blocks: _Blocks) -> None:
    # Rows are written one by one, 500,000 and more a second: nothing of this is Python but for a block.
    rows = io.BufferedWriter(blocks, _BLOCK_BYTES)
    error: BaseException | None = None
    try:
        with connection.cursor() as cursor:
            cursor.copy_expert(statement, rows)
        rows.flush()
    except BaseException as caught:
        error = caught
    blocks.end(error)


def _unquoted(block: bytes) -> bytes:
    """Return rows of which no one is quoted: what is between two quotes has raw line ends, which are blanks to JSON."""
    parts = block.split(_QUOTE)
    parts[1::2] = [part.translate(_ONE_LINE) for part in parts[1::2]]
    return b"".join(parts)
