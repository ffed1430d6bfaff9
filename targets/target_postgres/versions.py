"""ACTIVATE_VERSION: rows of other versions go, once all rows of the version are in (SINGER-RULES X01)."""

from __future__ import annotations

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier, Literal

__all__ = ["remove_other_versions"]


def remove_other_versions(cursor: Cursor, table: Identifier, version: int, *, hard: bool) -> None:
    """Delete the rows of other versions, or set their ``_sdc_deleted_at``."""
    if hard:
        cursor.execute(
            SQL("DELETE FROM {} WHERE _sdc_table_version IS DISTINCT FROM {}").format(table, Literal(version))
        )
        return
    cursor.execute(
        SQL(
            "UPDATE {} SET _sdc_deleted_at = clock_timestamp() "
            "WHERE _sdc_table_version IS DISTINCT FROM {} AND _sdc_deleted_at IS NULL"
        ).format(table, Literal(version))
    )
