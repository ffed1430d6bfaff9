"""COPY ... TO STDOUT as pages of rows: a thread takes what comes, so that the server is never kept waiting for one page alone.

The one column is JSON. As CSV whose quote and delimiter are control characters nothing of it is escaped, since JSON holds none:
only a value with raw line ends, which a `json` may hold between its parts, is quoted.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator
from typing import Any

from psycopg2.extensions import connection as Connection

from singerkit_shell.signals import stop_flag
from singerkit_sql_tap.faults import SAFE

__all__ = ["copied"]

_PAGE_BYTES = 512 * 1024
_PAGE_ROWS = 5_000
_WAITING_PAGES = 3
_OPTIONS = "(FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"
_QUOTE = 1


class _Stopped(Exception):
    """Nobody takes the rows any more."""


class _Pages:
    """What psycopg2 writes rows into; in bounded pages, which wait for whoever takes them."""

    def __init__(self) -> None:
        self.full: queue.Queue[list[bytes] | BaseException | None] = queue.Queue(_WAITING_PAGES)
        self.is_wanted = True
        self._rows: list[bytes] = []
        self._bytes = 0

    def write(self, row: bytes) -> None:
        """Take a row, with the line end that CSV gives it."""
        self._rows.append(row)
        self._bytes += len(row)
        if self._bytes >= _PAGE_BYTES or len(self._rows) >= _PAGE_ROWS:
            self.end_page()

    def end_page(self) -> None:
        if self._rows:
            self.put(self._rows)
            self._rows, self._bytes = [], 0

    def put(self, item: list[bytes] | BaseException | None) -> None:
        while self.is_wanted:
            try:
                self.full.put(item, timeout=0.2)
            except queue.Full:
                continue
            return
        raise _Stopped


def copied(connection: Connection, query: str) -> Generator[list[bytes]]:
    """Yield the rows of a query of one JSON column, each as one line; at least one column of it is never null.

    Raises:
        psycopg2.Error: as the server says.
    """
    pages = _Pages()
    thread = threading.Thread(
        target=_copy, args=(connection, f"COPY ({query}) TO STDOUT {_OPTIONS}", pages), daemon=True
    )
    thread.start()
    try:
        while (rows := _next(pages)) is not None:
            yield rows
    finally:
        if thread.is_alive():
            pages.is_wanted = False
            connection.cancel()
        thread.join()


def _copy(connection: Connection, statement: str, pages: _Pages) -> None:
    end: Any = None
    try:
        with connection.cursor() as cursor:
            cursor.copy_expert(statement, pages)
        pages.end_page()
    except BaseException as error:
        end = error
    if pages.is_wanted:
        with contextlib.suppress(_Stopped):
            pages.put(end)


def _next(pages: _Pages) -> list[bytes] | None:
    while True:
        stop_flag.raise_if_set(f"{SAFE}, run again to continue.")
        try:
            item = pages.full.get(timeout=0.2)
        except queue.Empty:
            continue
        if isinstance(item, BaseException):
            raise item
        return item if item is None else _unquoted(item)


def _unquoted(rows: list[bytes]) -> list[bytes]:
    """Return rows of which no one is quoted: each that is has raw line ends."""
    if any(row[0] == _QUOTE for row in rows):
        return [row[1:-2] if row[0] == _QUOTE else row for row in rows]
    return rows
