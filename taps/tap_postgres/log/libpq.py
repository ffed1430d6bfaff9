"""Logical replication by libpq itself, on a connection that psycopg2 has made.

psycopg2 has a cursor for it, which answers the server by itself, and tells it then that what came was stored ("we can safely
forward flush_lsn"): a slot that is kept by it loses what no target has committed. libpq says what it is told to, and no more.
"""

from __future__ import annotations

import ctypes
import functools
import select
import struct
import time
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from singerkit_shell.errors import SingerkitError

__all__ = ["Replication", "ReplicationError"]

_COPY_BOTH = 8
_SQLSTATE, _FUNCTION = ord("C"), ord("R")
_STATUS = struct.Struct(">cqqqqB")
_EPOCH = 946_684_800_000_000
"""Microseconds from 1970 to 2000, where PostgreSQL begins to count."""


class ReplicationError(Exception):
    """The server or the connection has failed; ``code``: the SQLSTATE, empty where it is the connection; ``function``: of the server."""

    def __init__(self, text: str, code: str = "", function: str = "") -> None:
        super().__init__(text)
        self.code, self.function = code, function


class _Libpq:
    """The functions of the libpq that psycopg2 itself is linked with."""

    def __init__(self) -> None:
        try:
            fast = ctypes.PyDLL(psycopg2._psycopg.__file__)
            slow = ctypes.CDLL(psycopg2._psycopg.__file__)  # lets other threads run meanwhile
            pointer, number = ctypes.c_void_p, ctypes.c_int
            self.get = _function(fast.PQgetCopyData, number, pointer, pointer, number)
            self.bytes_at = _function(
                ctypes.pythonapi.PyBytes_FromStringAndSize, ctypes.py_object, pointer, ctypes.c_ssize_t
            )
            self.free = _function(fast.PQfreemem, None, pointer)
            self.consume = _function(slow.PQconsumeInput, number, pointer)
            self.put = _function(slow.PQputCopyData, number, pointer, ctypes.c_char_p, number)
            self.flush = _function(slow.PQflush, number, pointer)
            self.exec = _function(slow.PQexec, pointer, pointer, ctypes.c_char_p)
            self.result = _function(slow.PQgetResult, pointer, pointer)
            self.status = _function(fast.PQresultStatus, number, pointer)
            self.clear = _function(fast.PQclear, None, pointer)
            self.field = _function(fast.PQresultErrorField, ctypes.c_char_p, pointer, number)
            self.said = _function(fast.PQresultErrorMessage, ctypes.c_char_p, pointer)
            self.failure = _function(fast.PQerrorMessage, ctypes.c_char_p, pointer)
        except (AttributeError, OSError) as error:
            raise SingerkitError(
                f"The log of PostgreSQL is read by the libpq of psycopg2, which shows none of its functions here ({error}); nothing "
                "is lost: install `psycopg2-binary`."
            ) from None


def _function(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype, function.argtypes = result, arguments
    return function


@functools.cache
def _libpq() -> _Libpq:
    return _Libpq()


class Replication:
    """A connection (`replication=database`) from the start of the replication on. Not for two threads at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pg = _libpq()
        self._conn = connection.pgconn_ptr
        self._poll = select.poll()
        self._poll.register(connection.fileno(), select.POLLIN)

    def start(self, command: str) -> None:
        """Begin with START_REPLICATION."""
        result = self._pg.exec(self._conn, command.encode())
        try:
            if self._pg.status(result) != _COPY_BOTH:
                raise self._error(result)
        finally:
            self._pg.clear(result)

    def receive(self, seconds: float, most: int) -> list[bytes]:
        """Return messages that have come, some ``most`` bytes of them; wait for the first."""
        messages: list[bytes] = []
        size = self._take(messages, most)
        while size < most and self._poll.poll(0 if messages else max(0, int(seconds * 1000))):
            if not self._pg.consume(self._conn):
                raise ReplicationError(self._pg.failure(self._conn).decode("utf-8", "replace"))
            size += self._take(messages, most - size)
        return messages

    def _take(self, messages: list[bytes], most: int) -> int:
        """Put messages that have come to others; return how many bytes they have."""
        get, free, conn, take = self._pg.get, self._pg.free, self._conn, messages.append
        buffer = ctypes.c_void_p()
        address, copied = ctypes.byref(buffer), self._pg.bytes_at
        size = 0
        while size < most:
            length = get(conn, address, 1)
            if length <= 0:
                if length < 0:
                    raise self._ended()
                break
            take(copied(buffer, length))
            free(buffer)
            size += length
        return size

    def tell(self, flushed: int, *, asks: bool = False) -> None:
        """Say that somebody is there, and which place of the log is not needed any more; ``asks`` for where the log is read."""
        now = time.time_ns() // 1000 - _EPOCH
        status = _STATUS.pack(b"r", flushed, flushed, flushed, now, asks)
        if self._pg.put(self._conn, status, len(status)) != 1 or self._pg.flush(self._conn) != 0:
            raise ReplicationError(self._pg.failure(self._conn).decode("utf-8", "replace"))

    def close(self) -> None:
        self._connection.close()

    def _ended(self) -> ReplicationError:
        result = self._pg.result(self._conn)
        if not result:
            return ReplicationError("the server has ended the replication")
        try:
            return self._error(result)
        finally:
            self._pg.clear(result)

    def _error(self, result: Any) -> ReplicationError:
        said = self._pg.said(result) or self._pg.failure(self._conn)
        code, function = (self._pg.field(result, which) or b"" for which in (_SQLSTATE, _FUNCTION))
        text = said.decode("utf-8", "replace").strip() or "the server has ended the replication"
        return ReplicationError(text, code.decode(), function.decode())
