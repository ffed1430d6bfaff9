"""Former values of the states in a state table: a table beside it, `<state table>_history`.

Everything happens in the caller's transaction, which holds the row of the pipeline: so entries are numbered without a
gap, and an entry is there if and only if the change that it tells of is.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

import psycopg2
from psycopg2 import errors as pg_errors
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from singerkit_state.history import LIMIT, Entry

__all__ = ["keep", "keep_start_of_run", "name_of", "read"]

logger = logging.getLogger(__name__)

_LONGEST = 63  # bytes of an identifier; the server cuts a longer one, and two names could become one

_COLUMNS = "number, at, why, by, pid, run_id, epoch, sequence, state"
_CREATE = sql.SQL("""
CREATE TABLE IF NOT EXISTS {} (
    pipeline text, number bigint, at timestamptz NOT NULL, why text NOT NULL, by text, pid bigint, run_id text,
    epoch bigint, sequence bigint, state json, PRIMARY KEY (pipeline, number))
""")
# All in one message to the server: a run that has nothing to load spends its time on answers.
_KEEP = sql.SQL(r"""
SAVEPOINT singerkit_history;
INSERT INTO {history} (pipeline, number, at, why, by, pid, run_id, epoch, sequence, state)
    SELECT %(pipeline)s, coalesce(max(number), 0) + 1, clock_timestamp(), %(why)s, %(by)s, %(pid)s, %(run_id)s,
        %(epoch)s, %(sequence)s, %(text)s::json
    FROM {history} WHERE pipeline = %(pipeline)s
    HAVING %(why)s <> 'run' OR NOT EXISTS (
        SELECT 1 FROM {history} h WHERE h.pipeline = %(pipeline)s
            AND h.number = (SELECT max(number) FROM {history} WHERE pipeline = %(pipeline)s)
            AND regexp_replace(h.state::text, %(mark)s, '') = regexp_replace(%(text)s, %(mark)s, ''));
DELETE FROM {history} WHERE pipeline = %(pipeline)s
    AND number <= (SELECT max(number) FROM {history} WHERE pipeline = %(pipeline)s) - %(limit)s;
RELEASE SAVEPOINT singerkit_history;
SELECT max(number) FROM {history} WHERE pipeline = %(pipeline)s
""")
_MARK = r',?\s*"_singerkit"\s*:\s*\{[^{}]*\}'


def name_of(table: str) -> str:
    """Return the name of the history of a state table; different tables get different names."""
    name = f"{table}_history"
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.blake2b(table.encode(), digest_size=6).hexdigest()
    return f"{table.encode()[:40].decode(errors='ignore')}_{digest}_history"


def keep(
    cursor: Cursor, schema: str, table: str, pipeline: str, entry: Entry, lock_creation: Callable[[], None]
) -> int:
    """Add ``entry`` and return its number, which the one in it does not decide; the table is made on first need.

    ``table`` is the state table; ``lock_creation`` keeps others from making the same table at the same time.

    Raises:
        psycopg2.Error: the server refuses; the transaction is as it was before the call, if the connection lives.
    """
    name = _identifier(schema, name_of(table))
    parameters = {
        "pipeline": pipeline,
        "why": entry.why,
        "by": entry.by,
        "pid": entry.pid,
        "run_id": entry.run_id,
        "epoch": entry.epoch,
        "sequence": entry.sequence,
        "text": entry.text,
        "mark": _MARK,
        "limit": LIMIT,
    }
    try:
        try:
            cursor.execute(_KEEP.format(history=name), parameters)
        except pg_errors.UndefinedTable:
            cursor.execute("ROLLBACK TO SAVEPOINT singerkit_history")
            lock_creation()
            cursor.execute(_CREATE.format(sql.Identifier(schema, name_of(table))))
            cursor.execute(_KEEP.format(history=name), parameters)
    except psycopg2.Error:
        cursor.execute("ROLLBACK TO SAVEPOINT singerkit_history")
        raise
    [(number,)] = cursor.fetchall()
    return int(number)


def keep_start_of_run(
    cursor: Cursor, schema: str, table: str, pipeline: str, entry: Entry, lock_creation: Callable[[], None]
) -> None:
    """Add the state that a run begins with, unless the newest entry says the same; go on without when refused."""
    try:
        keep(cursor, schema, table, pipeline, entry, lock_creation)
    except psycopg2.Error as error:
        if cursor.connection.closed:
            raise
        reason = str(error).strip().splitlines()[0]
        logger.info(
            "The state this run begins with is not kept in %s.%s (%s).", schema, name_of(table), reason
        )


def read(cursor: Cursor, schema: str, table: str, pipeline: str) -> list[Entry]:
    """Return the history of a pipeline, newest first; none when there is no history."""
    cursor.execute(
        "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        (schema, name_of(table)),
    )
    if cursor.fetchone() is None:
        return []
    cursor.execute(
        sql.SQL("SELECT {}::text FROM {} WHERE pipeline = %s ORDER BY number DESC").format(
            sql.SQL(_COLUMNS), _identifier(schema, name_of(table))
        ),
        (pipeline,),
    )
    return [Entry(*row) for row in cursor.fetchall()]


def _identifier(schema: str, table: str) -> sql.Identifier:
    # psycopg2 takes a single `%` in a statement with parameters for one of them.
    return sql.Identifier(schema.replace("%", "%%"), table.replace("%", "%%"))
