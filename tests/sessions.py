"""Sessions that tests ask databases by, one for each database and thread, until the test ends.

To begin a session takes a server 3 ms of processor, and a test asks ten times, or each 10 ms while it waits.
"""

from __future__ import annotations

import os
import re
import threading
from typing import Any

import psycopg2
from psycopg2.sql import Composable

__all__ = ["ask", "close"]

_ALONE = re.compile(
    r"(^|;)\s*(SET|RESET|BEGIN|LISTEN|PREPARE|EXECUTE|DECLARE|LOAD|ALTER\s+(DATABASE|ROLE|USER|SYSTEM))\b"
    r"|\bTEMP\b|\bTEMPORARY\b|\bDATABASE\b|advisory|set_config|pg_backend_pid",
    re.IGNORECASE,
)
"""What would stay in a session, is about sessions, or changes those to come."""
_kept: dict[tuple[str, str, int], Any] = {}
_of_a_parent: list[Any] = []


def ask(dsn: str, statement: str | Composable, parameters: Any = None, *, first: str = "") -> list[Any]:
    """Run one statement outside any transaction, in a session that began with ``first``, and return its rows."""
    key = (dsn, first, threading.get_ident())
    connection = _kept.pop(key, None)
    if connection is None or not _is_alive(connection):
        connection = _begun(dsn, first)
    is_kept = False
    try:
        text = statement if isinstance(statement, str) else statement.as_string(connection)
        if _ALONE.search(text):
            close()
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows = cursor.fetchall() if cursor.description else []
        is_kept = not _ALONE.search(text)
        return rows
    finally:
        if is_kept:
            _kept[key] = connection
        else:
            connection.close()


def _is_alive(connection: Any) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT")
    except psycopg2.Error:
        connection.close()
        return False
    return True


def _begun(dsn: str, first: str) -> Any:
    connection = psycopg2.connect(dsn, client_encoding="UTF8")  # whatever the server prefers
    connection.autocommit = True
    try:
        if first:
            with connection.cursor() as cursor:
                cursor.execute(first)
    except BaseException:
        connection.close()
        raise
    return connection


def close() -> None:
    """End them all: before a database goes, and after each test."""
    for key in list(_kept):
        if connection := _kept.pop(key, None):
            connection.close()


def _leave_to_parent() -> None:
    """A process that was forked must not end the sessions of the one it was forked from."""
    _of_a_parent.extend(_kept.values())
    _kept.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
