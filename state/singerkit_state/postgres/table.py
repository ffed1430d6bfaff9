"""The state table: made when it is missing, given the columns that an older version did not have, checked for rights."""

from __future__ import annotations

import logging
from collections.abc import Callable

from psycopg2 import errors as pg_errors
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from singerkit_shell.errors import ConfigurationError, NotAuthorisedError
from singerkit_state.postgres.errors import translated
from singerkit_state.postgres.session import key, one, transaction

__all__ = ["DEFAULT_TABLE", "TABLES", "columns_of", "creation_lock", "ensure_table", "table_exists"]

logger = logging.getLogger(__name__)

DEFAULT_TABLE = "_singerkit_state"

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
TABLES = "tables"
"""A column to go without where the role may not add it: only its owner may alter a table."""


def ensure_table(connection: Connection, schema: str, table: str = DEFAULT_TABLE) -> None:
    """Make schema and table when they are missing, add columns that an older version did not have.

    Safe when several runs do it at once; needs no right to create anything when everything is there, but for the column
    `TABLES`.

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
        if not columns_of(cursor, schema, table).issuperset(_COLUMNS):
            creation_lock(cursor, schema, table)()
            _make(cursor, schema, table)
        _check_privileges(cursor, schema, table)


def creation_lock(cursor: Cursor, schema: str, table: str) -> Callable[[], None]:
    """Return what makes those that create tables do so one after the other, up to the end of the transaction."""
    return lambda: cursor.execute("SELECT pg_advisory_xact_lock(%s)", (key(schema, table),))


def columns_of(cursor: Cursor, schema: str, table: str) -> set[str]:
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


def table_exists(cursor: Cursor, schema: str, table: str) -> bool:
    """Tell whether there is a state table; ConfigurationError when it is another kind of table."""
    return bool(columns_of(cursor, schema, table))


def _make(cursor: Cursor, schema: str, table: str) -> None:
    name = sql.Identifier(schema, table)
    found = columns_of(cursor, schema, table)
    if not found:
        # Looked up first: CREATE ... IF NOT EXISTS asks for the right to create even when nothing is missing.
        cursor.execute("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", (schema,))
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        columns = sql.SQL(", ").join(map(_definition, _COLUMNS))
        cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(name, columns))
        return
    for column in _COLUMNS:
        if column not in found and (column != TABLES or _may_alter(cursor, schema, table)):
            cursor.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(name, _definition(column)))


def _may_alter(cursor: Cursor, schema: str, table: str) -> bool:
    cursor.execute(
        "SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE'), pg_catalog.pg_get_userbyid(c.relowner)"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        (schema, table),
    )
    may, owner = one(cursor)
    if not may:
        statement = sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(
            sql.Identifier(schema, table), _definition(TABLES)
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
    may_use, missing, role = one(cursor)
    if not may_use or missing:
        what = (
            f"{', '.join(missing)} on the table {schema}.{table}"
            if may_use
            else f"USAGE on the schema {schema}"
        )
        raise NotAuthorisedError(f"The role `{role}` lacks {what}; grant it, nothing was read or written.")
