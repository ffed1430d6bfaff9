"""ACTIVATE_VERSION: rows of other versions go, once all rows of the version are in (SINGER-RULES X01).

A row without a version is of no other version: who wrote it did not say (docs/decisions/0022).
"""

from __future__ import annotations

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composed, Identifier, Literal

from singerkit_target.metadata import VERSION
from target_postgres import ddl
from target_postgres.faults import NotDone
from target_postgres.tables import Table

__all__ = ["count_without_version", "obstacle", "remove_other_versions", "remove_without_version"]

_DELETED_AT = "_sdc_deleted_at"
_TAKES_TIMES = frozenset({"timestamptz", "timestamp", "text"})
_NO_VERSION = SQL("_sdc_table_version IS NULL")


def remove_other_versions(cursor: Cursor, table: Identifier, version: int, *, hard: bool) -> None:
    """Delete the rows of other versions, or set their ``_sdc_deleted_at``.

    Raises:
        NotDone: some are as they were.
    """
    others = SQL("_sdc_table_version <> {}").format(Literal(version))
    cursor.execute(_removal(table, others, hard=hard))
    cursor.execute(SQL("SELECT EXISTS (SELECT 1 FROM {} WHERE {})").format(table, _left(others, hard=hard)))
    if cursor.fetchone() == (True,):
        raise NotDone("a trigger or rule of the table leaves rows of other versions as they are; change it")


def obstacle(cursor: Cursor, table: Table, *, hard: bool) -> str | None:
    """Say which field of the stream has the column that is needed, and what to do; None when none has."""
    own = table.given.column_names
    if VERSION in own:
        statement = SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(
            table.identifier, Identifier(table.columns[VERSION]), Identifier(f"{VERSION}_of_source")
        )
        return (
            f"the stream has a field `{VERSION}` of its own, which keeps its column, so that there is none for the version "
            "of a row. To have versions, leave the field out in the tap or rename it there, and rename its column, as with "
            f"`{statement.as_string(cursor)}`."
        )
    if not hard and _DELETED_AT in own:
        type_ = ddl.columns_now(cursor, table.schema, table.name)[table.columns[_DELETED_AT]]
        if type_.base not in _TAKES_TIMES:
            return (
                f"the stream has a field `{_DELETED_AT}` of its own, whose column of type `{type_.type}` takes no time of "
                "deletion. Set `hard_delete` to true, or leave the field out in the tap or rename it there, and rename "
                "its column."
            )
    return None


def count_without_version(cursor: Cursor, table: Identifier, *, hard: bool) -> int:
    """Count the rows that have no version, and are not marked as deleted."""
    cursor.execute(SQL("SELECT count(*) FROM {} WHERE {}").format(table, _left(_NO_VERSION, hard=hard)))
    return int((cursor.fetchone() or (0,))[0])


def remove_without_version(table: Identifier, *, hard: bool) -> Composed:
    """Return the statement that removes these rows, or marks them."""
    return _removal(table, _NO_VERSION, hard=hard)


def _removal(table: Identifier, which: SQL | Composed, *, hard: bool) -> Composed:
    change = "DELETE FROM {}" if hard else "UPDATE {} SET _sdc_deleted_at = clock_timestamp()"
    return SQL(change + " WHERE {}").format(table, _left(which, hard=hard))


def _left(which: SQL | Composed, *, hard: bool) -> SQL | Composed:
    return which if hard else which + SQL(" AND _sdc_deleted_at IS NULL")
