"""ACTIVATE_VERSION: rows of other versions go, once all rows of the version are in (SINGER-RULES X01)."""

from __future__ import annotations

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier, Literal

from target_postgres.faults import NotDone

__all__ = ["remove_other_versions"]


def remove_other_versions(cursor: Cursor, table: Identifier, version: int, *, hard: bool) -> None:
    """Delete the rows of other versions, or set their ``_sdc_deleted_at``.

    Raises:
        NotDone: some are as they were.
    """
    others = SQL("_sdc_table_version IS DISTINCT FROM {}").format(Literal(version))
    if not hard:
        others += SQL(" AND _sdc_deleted_at IS NULL")
    change = "DELETE FROM {}" if hard else "UPDATE {} SET _sdc_deleted_at = clock_timestamp()"
    cursor.execute(SQL(change + " WHERE {}").format(table, others))
    cursor.execute(SQL("SELECT EXISTS (SELECT 1 FROM {} WHERE {})").format(table, others))
    if cursor.fetchone() == (True,):
        raise NotDone("a trigger or rule of the table leaves rows of other versions as they are; change it")
