"""The STATE value in a row of the target database: one row per pipeline, committed with the data (DESIGN 5).

A run takes the row with `acquire`: an advisory lock keeps the next run out (FAULTS P9), a new epoch fences
every run before it (P8). Each unit of commit moves the row on with `advance`, inside its own transaction;
after a COMMIT whose answer got lost, `was_committed` finds out on a new connection (D2).

The functions take an open psycopg2 connection with no transaction in progress, autocommit or not, and leave
it so; `advance` alone works inside the caller's transaction. Errors of the server come out as errors of
`singerkit_shell.errors`, except those of `advance`: its transaction is the caller's, and so is the decision
whether to repeat it (D1, D4).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2 import errors as pg_errors
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from singerkit_shell.errors import (
    BadDataError,
    CannotWriteError,
    ConfigurationError,
    FencedError,
    LockHeldError,
    NotAuthorisedError,
    RetryableError,
    SingerkitError,
)
from singerkit_shell.signals import stop_flag
from singerkit_state import history_table
from singerkit_state.history import BY_HAND, kept_now
from singerkit_state.store import Holder
from singerkit_state.value import after, encode

__all__ = [
    "DEFAULT_TABLE",
    "HOLDERS",
    "StateRow",
    "acquire",
    "advance",
    "ensure_table",
    "error_of",
    "holder",
    "identifier",
    "lock_halves",
    "lock_row",
    "note",
    "read",
    "reclaim",
    "release",
    "row_of",
    "rows",
    "table_exists",
    "transaction",
    "translated",
    "turns",
    "wait_for_lock",
    "was_committed",
    "with_notes",
]

logger = logging.getLogger(__name__)

DEFAULT_TABLE = "_singerkit_state"
LOCK_TIMEOUT = "10s"
"""How long a statement of ours may wait for a lock that another session holds."""
GOING_SECONDS = 3.0
"""How long the start of a run waits for the lock of the one before, whose session may still be going."""
_LOOK_AGAIN_SECONDS = 0.05

_COLUMNS = {
    "pipeline": "text PRIMARY KEY",
    "epoch": "bigint NOT NULL DEFAULT 0",
    "sequence": "bigint NOT NULL DEFAULT 0",
    "state": "json",  # not jsonb: json keeps the text as it came, numbers and order of keys included
    "run_id": "text",
    "host": "text",
    "pid": "bigint",
    "backend_pid": "integer",
    "started_at": "timestamptz",
    "committed_at": "timestamptz",
    "former": "json",  # digests of the states from before, newest first: what a state file that is behind may say
    "loaded": "json",  # names of the streams whose tables held rows at the last commit
    "tables": "json",  # which tables these were, and in which state table that was noted
}
_ESSENTIAL = ("pipeline", "epoch", "sequence", "state")
"""What the first version of the table had; a table without these is not ours, other columns can be added."""
_TABLES = "tables"
"""A column to go without where the role may not add it: only its owner may alter a table."""


@dataclass(frozen=True)
class StateRow:
    """What the row of a pipeline says, and where it is.

    ``epoch`` counts runs, ``sequence`` counts commits. ``state_text`` is the last STATE value that said
    anything, as it was received; None before the first one. ``committed_at`` is None before the first commit.
    """

    pipeline: str
    epoch: int
    sequence: int
    state_text: str | None
    run_id: str | None
    committed_at: datetime | None
    schema: str
    table: str
    former: tuple[str, ...] = ()
    """Digests of the states from before, newest first (`value.after`)."""
    loaded: frozenset[str] | None = None
    """The streams whose tables held rows at the last commit; None where an older version has committed last."""
    here: str | None = field(default="", compare=False)
    """Which state table it is, of which database: a dump that is restored makes another one; None where it has no
    column for ``tables``."""
    tables: Mapping[str, int] = field(default_factory=dict)
    """The OIDs of the tables of ``loaded`` at the last commit, as far as they were noted ``here``, and at that commit."""

    @property
    def where(self) -> str:
        """The table's name for messages."""
        return f"{self.schema}.{self.table}"


# the table


def ensure_table(connection: Connection, schema: str, table: str = DEFAULT_TABLE) -> None:
    """Make schema and table when they are missing, add columns that an older version did not have.

    Safe when several runs do it at once; needs no right to create anything when everything is there, but for the column
    `_TABLES`.

    Raises:
        NotAuthorisedError: the role may not create them, or not read and write the table (FAULTS D9).
        ConfigurationError: a table of this name exists and is not a state table.
        CannotWriteError: the server is a read-only standby or out of space.
        RetryableError: the connection was lost.
    """
    with translated(f"create the state table {schema}.{table}"):
        try:
            _ensure_table(connection, schema, table)
        except _COLLISIONS:  # somebody else made the schema or the table at the same moment
            _ensure_table(connection, schema, table)


_COLLISIONS = (pg_errors.UniqueViolation, pg_errors.DuplicateSchema, pg_errors.DuplicateTable)


def _ensure_table(connection: Connection, schema: str, table: str) -> None:
    with transaction(connection) as cursor:
        if not _columns_of(cursor, schema, table).issuperset(_COLUMNS):
            turns(cursor, schema, table)()
            _make(cursor, schema, table)
        _check_privileges(cursor, schema, table)


def turns(cursor: Cursor, schema: str, table: str) -> Callable[[], None]:
    """Return what makes those that create tables do so one after the other, up to the end of the transaction."""
    return lambda: cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_key(schema, table),))


def _columns_of(cursor: Cursor, schema: str, table: str) -> set[str]:
    """The table's columns; none when there is no table, ConfigurationError when it is not a state table."""
    # Through the catalog, since naming the table fails where it, or the right to it, is missing.
    cursor.execute(
        "SELECT a.attname FROM pg_catalog.pg_attribute a"
        " JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped",
        (schema, table),
    )
    found = {name for (name,) in cursor.fetchall()}
    missing = [column for column in _ESSENTIAL if column not in found]
    if found and missing:
        raise ConfigurationError(
            f"The table {schema}.{table} exists but is no state table, it has no column `{missing[0]}`; "
            "give the state table another name or schema."
        )
    return found


def _make(cursor: Cursor, schema: str, table: str) -> None:
    name = sql.Identifier(schema, table)
    found = _columns_of(cursor, schema, table)
    if not found:
        # Looked up first: CREATE ... IF NOT EXISTS asks for the right to create even when nothing is missing.
        cursor.execute("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", (schema,))
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        columns = sql.SQL(", ").join(map(_definition, _COLUMNS))
        cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(name, columns))
        return
    for column in _COLUMNS:
        if column not in found and (column != _TABLES or _may_alter(cursor, schema, table)):
            cursor.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(name, _definition(column)))


def _may_alter(cursor: Cursor, schema: str, table: str) -> bool:
    cursor.execute(
        "SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE'), pg_catalog.pg_get_userbyid(c.relowner)"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        (schema, table),
    )
    may, owner = _one(cursor)
    if not may:
        statement = sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(
            sql.Identifier(schema, table), _definition(_TABLES)
        )
        logger.warning(
            "A table that is dropped and made anew between two runs is not noticed: the state table %s.%s has no column for "
            "that, and only its owner `%s` can add it: %s",
            schema,
            table,
            owner,
            statement.as_string(cursor),
        )
    return bool(may)


def _definition(column: str) -> sql.Composable:
    return sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(_COLUMNS[column]))


def _check_privileges(cursor: Cursor, schema: str, table: str) -> None:
    cursor.execute(
        "SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE'),"
        " ARRAY(SELECT p FROM unnest(%s) p WHERE NOT pg_catalog.has_table_privilege(c.oid, p)), current_user"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        (["SELECT", "INSERT", "UPDATE"], schema, table),
    )
    may_use, missing, role = _one(cursor)
    if not may_use or missing:
        what = (
            f"{', '.join(missing)} on the table {schema}.{table}"
            if may_use
            else f"USAGE on the schema {schema}"
        )
        raise NotAuthorisedError(f"The role `{role}` lacks {what}; grant it, nothing was read or written.")


# the life of a run


def acquire(connection: Connection, schema: str, table: str, pipeline: str, run_id: str) -> StateRow:
    """Take the row of ``pipeline`` for the run ``run_id``, making it on first use, and begin a new epoch.

    The lock belongs to the session: it goes with `release` or with the connection.

    Raises:
        LockHeldError: another run holds it; says which, where and since when.
        NotAuthorisedError, CannotWriteError, RetryableError: as `ensure_table`.
    """
    with translated(f"begin a run of the pipeline `{pipeline}`"):
        with transaction(connection) as cursor:
            is_pooled = _is_pooled(connection, cursor)
        if is_pooled:
            logger.warning(
                "A connection pooler stands before the database, so no lock keeps a second run of the "
                "pipeline `%s` out at once; the epoch still keeps it from committing.",
                pipeline,
            )
        else:
            _take_lock(connection, schema, table, pipeline)
        try:
            with transaction(connection) as cursor:
                row = with_notes(cursor, _begin_epoch(cursor, schema, table, pipeline, run_id))
                if row.state_text is not None:
                    started = kept_now(row.state_text, "run", run_id, row.epoch - 1, row.sequence)
                    history_table.keep_start_of_run(
                        cursor, schema, table, pipeline, started, turns(cursor, schema, table)
                    )
                return row
        except BaseException:
            _unlock(connection, schema, table, pipeline)
            raise


def _take_lock(connection: Connection, schema: str, table: str, pipeline: str) -> None:
    """Take the lock, waiting a moment for a session whose run has ended and which the server has yet to notice."""
    deadline = time.monotonic() + GOING_SECONDS
    while True:
        with transaction(connection) as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (_key(schema, table, pipeline),))
            if _one(cursor)[0]:
                return
            who = holder(cursor, schema, table, pipeline)
        if stop_flag or time.monotonic() >= deadline:
            break
        stop_flag.wait(_LOOK_AGAIN_SECONDS)
    stop_flag.raise_if_set("nothing was read or written.")
    raise LockHeldError(
        f"The pipeline `{pipeline}` is being loaded by {who or 'another run, which has ended just now'}; "
        "nothing was read or written, wait for that run to end or stop it."
    )


def _is_pooled(connection: Connection, cursor: Cursor) -> bool:
    """Tell whether a pooler answers in the server's place; a lock of the session would stay with the pool."""
    cursor.execute("SELECT pg_backend_pid()")
    return bool(_one(cursor)[0] != connection.info.backend_pid)


def _begin_epoch(cursor: Cursor, schema: str, table: str, pipeline: str, run_id: str) -> StateRow:
    cursor.execute(
        sql.SQL(
            "INSERT INTO {} AS t (pipeline, epoch, sequence, run_id, host, pid, backend_pid, started_at)"
            " VALUES (%s, 1, 0, %s, %s, %s, pg_backend_pid(), clock_timestamp())"
            " ON CONFLICT (pipeline) DO UPDATE SET epoch = t.epoch + 1, run_id = excluded.run_id,"
            " host = excluded.host, pid = excluded.pid, backend_pid = excluded.backend_pid,"
            " started_at = excluded.started_at"
            " RETURNING pipeline, epoch, sequence, state::text, run_id, committed_at"
        ).format(identifier(schema, table)),
        (pipeline, run_id, platform.node(), os.getpid()),
    )
    return _row(_one(cursor), schema, table)


def with_notes(cursor: Cursor, row: StateRow) -> StateRow:
    """Return the row with what it notes besides: former states, loaded streams, and which tables these were in."""
    has_tables = _TABLES in _columns_of(cursor, row.schema, row.table)
    cursor.execute(
        sql.SQL(_SELECT_NOTES if has_tables else _SELECT_FEWER_NOTES).format(
            identifier(row.schema, row.table)
        ),
        (row.pipeline,),
    )
    former, loaded, tables, here = _one(cursor)
    return replace(
        row,
        former=tuple(former or ()),
        loaded=None if loaded is None else frozenset(loaded),
        here=here,
        tables=_noted(tables, here, row.sequence),
    )


def _noted(tables: Any, here: str | None, sequence: int) -> Mapping[str, int]:
    """Return the OIDs that were noted in this very state table; none where somebody has edited them.

    A version that knows of no such note leaves it behind, at an older ``sequence``: its tables may be others by now.
    """
    if not isinstance(tables, dict) or (tables.get("here"), tables.get("sequence")) != (here, sequence):
        return {}
    oids = tables.get("oids")
    return oids if isinstance(oids, dict) else {}


# A dump that is restored into a new server gives the first table the OID that it had; not its index, which comes last.
_SELECT_NOTES = """
    SELECT t.former, t.loaded, t.tables, (
        SELECT pg_catalog.concat_ws('/', d.oid, t.tableoid, i.indexrelid) FROM pg_catalog.pg_database d
        LEFT JOIN pg_catalog.pg_index i ON i.indrelid = t.tableoid AND i.indisprimary
        WHERE d.datname = pg_catalog.current_database()
    )
    FROM {} t WHERE pipeline = %s
"""
_SELECT_FEWER_NOTES = "SELECT former, loaded, NULL, NULL FROM {} WHERE pipeline = %s"


def _set_tables(row: StateRow, sequence: int) -> sql.Composable:
    """What an UPDATE that leaves the row at ``sequence`` sets besides, to note the tables; nothing where there is no column for it."""
    if row.here is None:
        return sql.SQL("")
    text = encode({"here": row.here, "sequence": sequence, "oids": dict(sorted(row.tables.items()))})
    return sql.SQL(", tables = {}::json").format(sql.Literal(text.replace("%", "%%")))


def note(
    cursor: Cursor, row: StateRow, *, former: tuple[str, ...], loaded: frozenset[str] | None
) -> StateRow:
    """Write the notes of a row, inside the caller's transaction; return it as they make it.

    Of tables that are not ``loaded`` nothing is noted.
    """
    kept = {stream: oid for stream, oid in row.tables.items() if stream in (loaded or ())}
    row = replace(row, former=former, loaded=loaded, tables=kept)
    cursor.execute(
        sql.SQL("UPDATE {} SET former = %s::json, loaded = %s::json{} WHERE pipeline = %s").format(
            identifier(row.schema, row.table), _set_tables(row, row.sequence)
        ),
        (json.dumps(former), None if loaded is None else encode(sorted(loaded)), row.pipeline),
    )
    return row


def advance(
    cursor: Cursor,
    row: StateRow,
    state_text: str | None,
    loaded: frozenset[str] | None = None,
    tables: Mapping[str, int] | None = None,
) -> StateRow:
    """Move the row on by one commit, inside the caller's transaction; return it as COMMIT will leave it.

    ``state_text`` is stored exactly; None keeps the stored one.
    ``loaded`` names the streams whose tables hold rows now; None keeps what is noted. ``tables`` are the OIDs of tables
    that this run has seen.

    Raises:
        FencedError: the row is not as this run left it: a newer run has taken over (FAULTS P8).
        BadDataError: the table is gone or altered (FAULTS D8).
        psycopg2.Error: any other failure, for the caller to judge.
    """
    former = row.former if state_text is None else after(row.former, row.state_text)
    loaded = row.loaded if loaded is None else loaded
    seen = {**row.tables, **(tables or {})}
    noted = replace(row, tables={stream: oid for stream, oid in seen.items() if stream in (loaded or ())})
    try:
        cursor.execute(
            sql.SQL(
                "UPDATE {} SET sequence = sequence + 1, state = coalesce(%s::json, state), run_id = %s,"
                " former = %s::json, loaded = %s::json{}, committed_at = clock_timestamp()"
                " WHERE pipeline = %s AND epoch = %s AND sequence = %s"
                " RETURNING sequence, committed_at"
            ).format(identifier(row.schema, row.table), _set_tables(noted, row.sequence + 1)),
            (
                state_text,
                row.run_id,
                json.dumps(former),
                None if loaded is None else encode(sorted(loaded)),
                row.pipeline,
                row.epoch,
                row.sequence,
            ),
        )
    except psycopg2.ProgrammingError as error:
        if _kind_of(error) is not BadDataError:
            raise
        raise BadDataError(
            f"The state table {row.where} was dropped or altered during the run ({_first_line(error)}); "
            f"nothing was committed after sequence {row.sequence}, restore the table and run again."
        ) from None
    found = cursor.fetchone()
    if found is None:
        raise _fenced(cursor, row)
    sequence, committed_at = found
    text = row.state_text if state_text is None else state_text
    return replace(
        noted, sequence=sequence, committed_at=committed_at, state_text=text, former=former, loaded=loaded
    )


def was_committed(connection: Connection, row_after: StateRow) -> bool:
    """Tell whether the transaction that returned ``row_after`` was committed, when COMMIT got no answer (D2).

    ``connection`` is a new one; it holds the run's lock afterwards (as after `reclaim`), so that the run can
    go on: from ``row_after`` when True, with the same unit again when False.

    Raises:
        FencedError: the row is neither as before nor as after that transaction.
        NotAuthorisedError, CannotWriteError, RetryableError: as `ensure_table`.
    """
    found = _reclaim(connection, row_after)
    if found.sequence == row_after.sequence:
        return True
    if found.sequence == row_after.sequence - 1:
        return False
    raise _fenced_by(row_after, f"its sequence is {found.sequence}, expected was {row_after.sequence}")


def reclaim(connection: Connection, row: StateRow) -> StateRow:
    """Take this run's lock on a new connection after the old one was lost; return the row as it stands (D1).

    Ends what is left of the old session, so that nothing of it can be committed any more.

    Raises:
        FencedError: a newer run has taken over, or the row is not as this run left it.
        NotAuthorisedError, CannotWriteError, RetryableError: as `ensure_table`.
    """
    found = _reclaim(connection, row)
    if found.sequence != row.sequence:
        raise _fenced_by(row, f"its sequence is {found.sequence}, expected was {row.sequence}")
    return found


def _reclaim(connection: Connection, row: StateRow) -> StateRow:
    with translated(f"take the lock of the pipeline `{row.pipeline}` again"):
        with transaction(connection) as cursor:
            pooled = _is_pooled(connection, cursor)
            _check_epoch(cursor, row)
            _end_old_session(cursor, row)
        try:
            with transaction(connection) as cursor:
                if not pooled:
                    # Waits, at most LOCK_TIMEOUT, until the old session has rolled back or finished its COMMIT.
                    cursor.execute(
                        "SELECT pg_advisory_lock(%s)", (_key(row.schema, row.table, row.pipeline),)
                    )
                return _sign(cursor, row)
        except BaseException as error:
            _unlock(connection, row.schema, row.table, row.pipeline)
            if isinstance(error, pg_errors.LockNotAvailable):
                with transaction(connection) as cursor:
                    _check_epoch(cursor, row)
            raise


def _check_epoch(cursor: Cursor, row: StateRow) -> None:
    run = _last_run(cursor, row.schema, row.table, row.pipeline)
    if run is None or run.epoch != row.epoch:
        raise _fenced(cursor, row)


def _end_old_session(cursor: Cursor, row: StateRow) -> None:
    """End the session that signed the row and still holds the lock: its connection is the one we have lost."""
    cursor.execute(
        sql.SQL(
            "SELECT pg_terminate_backend(h.pid) FROM ({}) h JOIN {} t ON t.backend_pid = h.pid"
            " WHERE t.pipeline = %s AND t.epoch = %s AND h.pid <> pg_backend_pid()"
        ).format(sql.SQL(HOLDERS), identifier(row.schema, row.table)),
        (*_halves(_key(row.schema, row.table, row.pipeline)), row.pipeline, row.epoch),
    )


def _sign(cursor: Cursor, row: StateRow) -> StateRow:
    """Note our new session in the row, which also waits for any transaction that still holds the row."""
    cursor.execute(
        sql.SQL(
            "UPDATE {} SET backend_pid = pg_backend_pid() WHERE pipeline = %s AND epoch = %s"
            " RETURNING pipeline, epoch, sequence, state::text, run_id, committed_at"
        ).format(identifier(row.schema, row.table)),
        (row.pipeline, row.epoch),
    )
    found = cursor.fetchone()
    if found is None:
        raise _fenced(cursor, row)
    return _row(found, row.schema, row.table)


def release(connection: Connection, row: StateRow) -> None:
    """Give the lock back; an open transaction is rolled back. Does nothing when the connection is gone."""
    with _lost():
        connection.rollback()
    _unlock(connection, row.schema, row.table, row.pipeline)


def _unlock(connection: Connection, schema: str, table: str, pipeline: str) -> None:
    # A connection that is lost has taken the lock with it.
    with _lost(), transaction(connection) as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s)", (_key(schema, table, pipeline),))


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    """Pass over that the connection is gone."""
    try:
        yield
    except psycopg2.Error as error:
        if not _is_of_libpq(error):
            raise


def _is_of_libpq(error: psycopg2.Error) -> bool:
    """Tell whether an error is not the server's but of the way to it.

    psycopg2 raises a plain DatabaseError for a connection that libpq has lost and does not know yet to be bad.
    """
    is_of_connection = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    return is_of_connection or (type(error) is psycopg2.DatabaseError and not error.pgcode)


def read(connection: Connection, schema: str, table: str, pipeline: str) -> StateRow | None:
    """Return the row of ``pipeline``; None when there is no such table or row, which is a first run.

    Raises:
        NotAuthorisedError, ConfigurationError, RetryableError: as `ensure_table`.
    """
    with translated(f"read the state of the pipeline `{pipeline}`"), transaction(connection) as cursor:
        return row_of(cursor, schema, table, pipeline) if table_exists(cursor, schema, table) else None


def table_exists(cursor: Cursor, schema: str, table: str) -> bool:
    """Tell whether there is a state table; ConfigurationError when it is another kind of table."""
    return bool(_columns_of(cursor, schema, table))


def row_of(cursor: Cursor, schema: str, table: str, pipeline: str) -> StateRow | None:
    """Return the row of ``pipeline``, inside the caller's transaction; None when there is none."""
    cursor.execute(
        sql.SQL(_SELECT + " WHERE pipeline = %s").format(identifier(schema, table)),
        (pipeline,),
    )
    found = cursor.fetchone()
    return None if found is None else _row(found, schema, table)


def rows(cursor: Cursor, schema: str, table: str) -> list[StateRow]:
    """Return all rows, by the names of the pipelines, inside the caller's transaction."""
    cursor.execute(sql.SQL(_SELECT + " ORDER BY pipeline").format(sql.Identifier(schema, table)))
    return [_row(found, schema, table) for found in cursor.fetchall()]


def pipelines(cursor: Cursor, schema: str, table: str) -> list[str]:
    """Return the names of the pipelines that have a row; none where there is no table."""
    if not table_exists(cursor, schema, table):
        return []
    cursor.execute(sql.SQL("SELECT pipeline FROM {} ORDER BY pipeline").format(sql.Identifier(schema, table)))
    return [name for (name,) in cursor.fetchall()]


def others_with(cursor: Cursor, row: StateRow, stream: str) -> list[str]:
    """Return the other pipelines of the table that have loaded a stream of that name."""
    cursor.execute(
        sql.SQL(
            "SELECT pipeline FROM {} WHERE pipeline <> %s AND state IS NOT NULL AND loaded::jsonb @> to_jsonb(%s::text)"
            " ORDER BY pipeline"
        ).format(identifier(row.schema, row.table)),
        (row.pipeline, stream),
    )
    return [name for (name,) in cursor.fetchall()]


def lock_row(cursor: Cursor, schema: str, table: str, pipeline: str) -> StateRow:
    """Return the row of ``pipeline``, made on first use, for the caller's transaction alone to change.

    A run that is in its COMMIT is waited for, at most `LOCK_TIMEOUT`.
    """
    cursor.execute(
        sql.SQL("INSERT INTO {} (pipeline) VALUES (%s) ON CONFLICT DO NOTHING").format(
            identifier(schema, table)
        ),
        (pipeline,),
    )
    cursor.execute(
        sql.SQL(_SELECT + " WHERE pipeline = %s FOR UPDATE").format(identifier(schema, table)), (pipeline,)
    )
    return _row(_one(cursor), schema, table)


_SELECT = "SELECT pipeline, epoch, sequence, state::text, run_id, committed_at FROM {}"


# who holds the lock, who has fenced us

HOLDERS = (
    "SELECT l.pid FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    " AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
    " AND l.classid = %s AND l.objid = %s"
)


def _key(*names: str) -> int:
    """The advisory lock of a table or a pipeline: a signed 64-bit hash (advisory locks are per database)."""
    digest = hashlib.blake2b(json.dumps(names).encode(), digest_size=8, person=b"singerkit")
    return int.from_bytes(digest.digest(), "big", signed=True)


def _halves(key: int) -> tuple[int, int]:
    """How pg_locks shows such a lock: its high and its low 32 bits."""
    return (key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF


@dataclass(frozen=True)
class _Run:
    """What the last run has noted about itself in the row; a run of an older version noted less."""

    epoch: int
    run_id: str | None
    host: str | None
    pid: int | None
    backend_pid: int | None
    started_at: datetime | None

    def __str__(self) -> str:
        since = f", since {_time(self.started_at)}" if self.started_at else ""
        return f"the run {self.run_id} (pid {self.pid} on host {self.host}{since})"


def identifier(schema: str, table: str) -> sql.Composable:
    """Return the table's name for a statement with parameters, where psycopg2 takes a single ``%`` for one."""
    return sql.Identifier(schema.replace("%", "%%"), table.replace("%", "%%"))


def _last_run(cursor: Cursor, schema: str, table: str, pipeline: str) -> _Run | None:
    cursor.execute(
        sql.SQL(
            "SELECT epoch, run_id, host, pid, backend_pid, started_at FROM {} WHERE pipeline = %s"
        ).format(identifier(schema, table)),
        (pipeline,),
    )
    found = cursor.fetchone()
    return None if found is None else _Run(*found)


def lock_halves(schema: str, table: str, pipeline: str) -> tuple[int, int]:
    """Return the parameters of `HOLDERS` for the lock of a pipeline."""
    return _halves(_key(schema, table, pipeline))


def wait_for_lock(cursor: Cursor, schema: str, table: str, pipeline: str) -> None:
    """Take the lock of a pipeline for the rest of the caller's transaction, at most `LOCK_TIMEOUT` from now."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_key(schema, table, pipeline),))


def holder(cursor: Cursor, schema: str, table: str, pipeline: str) -> Holder | None:
    """Return who holds the lock of a pipeline; None when it is free."""
    cursor.execute(
        sql.SQL(
            "SELECT h.pid, a.application_name, a.backend_start"
            " FROM ({}) h LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)"
        ).format(sql.SQL(HOLDERS)),
        _halves(_key(schema, table, pipeline)),
    )
    session = cursor.fetchone()
    if session is None:
        return None
    backend_pid, application, backend_start = session
    run = _last_run(cursor, schema, table, pipeline)
    if run is not None and run.backend_pid == backend_pid:
        return Holder(
            pid=run.pid,
            host=run.host,
            since=_time(run.started_at) if run.started_at else None,
            run_id=run.run_id,
            session=backend_pid,
        )
    since = _time(backend_start) if backend_start else None
    return Holder(session=backend_pid, application=application or None, since=since)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(sep=" ", timespec="seconds")


def _fenced(cursor: Cursor, row: StateRow) -> FencedError:
    run = _last_run(cursor, row.schema, row.table, row.pipeline)
    if run is None:
        return _fenced_by(row, f"its row in {row.where} is gone")
    if run.epoch == row.epoch:
        return _fenced_by(row, f"its row in {row.where} was changed by somebody else")
    if run.run_id is not None and run.run_id.startswith(BY_HAND):
        at = f" at {_time(run.started_at)}" if run.started_at else ""
        return _fenced_by(
            row, f"by `{run.run_id}`{at}", "run again to go on from the state that stands there now"
        )
    return _fenced_by(row, f"{run} has taken over")


def _fenced_by(
    row: StateRow, reason: str, advice: str = "let the other run finish and then run again"
) -> FencedError:
    return FencedError(
        f"This run of the pipeline `{row.pipeline}` is fenced, {reason}; what it committed before is safe, the "
        f"rest was rolled back, {advice}."
    )


def _one(cursor: Cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    if row is None:
        raise BadDataError(
            "A statement on the state table returned no row: the table was dropped by others meanwhile, or a trigger, rule or "
            "policy of it keeps rows out; what was committed is safe, drop that, or put the table back, and run again."
        )
    return row


def _row(values: tuple[Any, ...], schema: str, table: str) -> StateRow:
    pipeline, epoch, sequence, state_text, run_id, committed_at = values
    return StateRow(pipeline, epoch, sequence, state_text, run_id, committed_at, schema, table)


# transactions and errors


@contextlib.contextmanager
def transaction(connection: Connection) -> Iterator[Cursor]:
    """A transaction of our own: committed at the end, rolled back by any error."""
    with connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT)))
        yield cursor


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        raise error_of(error, what) from None


_MESSAGES: tuple[tuple[str, type[SingerkitError]], ...] = (
    # libpq gives no SQLSTATE for a connection that was refused: its words have to do.
    (r"authentication failed|no password supplied|no pg_hba\.conf entry", NotAuthorisedError),
    (r"role \".*\" does not exist|is not permitted to log in|permission denied", NotAuthorisedError),
    (r"database \".*\" does not exist", ConfigurationError),
    (r"invalid (connection option|dsn|port|sslmode)|definition of service", ConfigurationError),
    (
        r"does not support SSL|certificate|SSL error",
        ConfigurationError,
    ),  # never an occasion to go without TLS
)


_ADVICE: dict[type[SingerkitError], str] = {
    NotAuthorisedError: "check user, password and grants",
    ConfigurationError: "check the connection settings, and the schema that is named",
    CannotWriteError: "what was committed is safe, make room or name the primary server and run again",
    LockHeldError: "what was committed is safe, end the session that is in the way and run again",
    RetryableError: "what was committed is safe, run again when the server can be reached",
    BadDataError: "what was committed is safe, the state table or its schema was dropped or altered by others: put it back, "
    "or let a run make it anew, and run again",
    SingerkitError: "what was committed is safe, please report this",
}


def error_of(error: psycopg2.Error, what: str) -> SingerkitError:
    """Return the error of ours that a server's error is, by what the caller must do (FAULTS D5, D6, D9).

    ``what`` completes "Cannot ..."; then come the first line of the server's own message and the next step.
    """
    kind = _kind_of(error)
    return kind(f"Cannot {what} ({_first_line(error)}); {_ADVICE[kind]}.")


def _kind_of(error: psycopg2.Error) -> type[SingerkitError]:
    code = error.pgcode or ""
    if not code:
        text = str(error)
        found = next((kind for pattern, kind in _MESSAGES if re.search(pattern, text)), None)
        return found or (RetryableError if _is_of_libpq(error) else SingerkitError)
    if code == "55P03":  # lock_not_available: another session is in the way for longer than LOCK_TIMEOUT
        return LockHeldError
    if code in {"42501", "0LP01"} or code.startswith("28"):
        return NotAuthorisedError
    if code in {"25006", "53100"}:  # a read-only standby, a full disk
        return CannotWriteError
    if code in {"3D000", "42939"}:  # a name that PostgreSQL keeps for itself
        return ConfigurationError
    if code[:2] in {"08", "25", "40", "53", "57", "58", "XX"} or code == "55006":
        return RetryableError
    return BadDataError  # our statements suit the table as we make it: it is gone, or altered


def _first_line(error: psycopg2.Error) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].removeprefix("FATAL:").strip()
