"""Whether the server itself answers, or a pooler before it."""

from __future__ import annotations

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

__all__ = ["is_pooled"]


def is_pooled(connection: Connection, cursor: Cursor) -> bool:
    """Tell whether a pooler answers in the server's place; a lock of the session would stay with the pool."""
    cursor.execute("SELECT pg_catalog.pg_backend_pid()")
    (pid,) = cursor.fetchone() or (None,)
    return bool(pid != connection.info.backend_pid)
