"""What the rooms around the state table share: a transaction of ours, and names and answers of statements."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from singerkit_shell.errors import BadDataError

__all__ = ["LOCK_TIMEOUT", "identifier", "key", "one", "transaction"]

LOCK_TIMEOUT = "10s"
"""How long a statement of ours may wait for a lock that another session holds."""


@contextlib.contextmanager
def transaction(connection: Connection) -> Iterator[Cursor]:
    """A transaction of our own: committed at the end, rolled back by any error."""
    with connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT)))
        yield cursor


def identifier(schema: str, table: str) -> sql.Composable:
    """Return the table's name for a statement with parameters, where psycopg2 takes a single ``%`` for one."""
    return sql.Identifier(schema.replace("%", "%%"), table.replace("%", "%%"))


def key(*names: str) -> int:
    """The advisory lock of a table or a pipeline: a signed 64-bit hash (advisory locks are per database)."""
    digest = hashlib.blake2b(json.dumps(names).encode(), digest_size=8, person=b"singerkit")
    return int.from_bytes(digest.digest(), "big", signed=True)


def one(cursor: Cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    if row is None:
        raise BadDataError(
            "A statement on the state table returned no row: the table was dropped by others meanwhile, or a trigger, rule or "
            "policy of it keeps rows out; what was committed is safe, drop that, or put the table back, and run again."
        )
    return row
