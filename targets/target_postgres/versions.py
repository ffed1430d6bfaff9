"""ACTIVATE_VERSION: rows of other versions go, once all rows of the version are in (SINGER-RULES X01).

A row without a version is of no other version: who wrote it did not say (docs/decisions/0022).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composed, Identifier, Literal

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.settings import Settings
from singerkit_sql_target.versions import Others
from singerkit_target.versions import without_metadata
from singerkit_wire.stream import DELETED_AT, VERSION
from target_postgres import ddl
from target_postgres.faults import NotDone, is_refusal, refusal
from target_postgres.tables import Table

__all__ = [
    "obstacle",
    "refuse_where_others_load",
    "remove_other_versions",
    "rows_without_version",
    "still_referred_to",
]

_TAKES_TIMES = frozenset({"timestamptz", "timestamp", "text"})
_NO_VERSION = SQL("_sdc_table_version IS NULL")


def refuse_where_others_load(
    cursor: Cursor, table: Table, version: int, others: Others, settings: Settings
) -> None:
    """Let no row of another version go that another pipeline may have loaded.

    Raises:
        ConfigurationError: there are some.
    """
    if not others.names:
        return
    which = _left(_of_others(version), hard=settings.hard_delete)
    cursor.execute(SQL("SELECT count(*) FROM {} WHERE {}").format(table.identifier, which))
    count = int((cursor.fetchone() or (0,))[0])
    if count:
        raise others.refusal(table.stream, f"{table.schema}.{table.name}", count, settings)


def _of_others(version: int) -> Composed:
    return SQL("_sdc_table_version <> {}").format(Literal(version))


def remove_other_versions(cursor: Cursor, table: Table, version: int, *, hard: bool) -> None:
    """Delete the rows of other versions, or set their ``_sdc_deleted_at``.

    Raises:
        NotDone: some are as they were.
        BadDataError: PostgreSQL refuses it. No row that came is to blame.
    """
    others = _of_others(version)
    try:
        cursor.execute(_removal(table.identifier, others, hard=hard))
    except psycopg2.Error as error:
        kept = still_referred_to(error, [table.stream]) or _refused(error, table.stream, hard=hard)
        if kept is None:
            raise
        raise kept from error
    cursor.execute(
        SQL("SELECT EXISTS (SELECT 1 FROM {} WHERE {})").format(table.identifier, _left(others, hard=hard))
    )
    if cursor.fetchone() == (True,):
        raise NotDone("a trigger or rule of the table leaves rows of other versions as they are; change it")


def still_referred_to(
    error: psycopg2.Error, streams: Sequence[str], loaded: Collection[tuple[str, str]] = ()
) -> BadDataError | None:
    """Say what helps where rows refer to one that goes with the versions of ``streams``.

    A deferred constraint of a table in ``loaded`` may as well refuse a row that came: then None, as for other errors.
    """
    diag = error.diag
    if not streams or error.pgcode != errorcodes.FOREIGN_KEY_VIOLATION or not diag.table_name:
        return None
    if (diag.schema_name, diag.table_name) in loaded:
        return None
    names = " or ".join(f"`{name}`" for name in streams)
    return BadDataError(
        f"PostgreSQL refused to delete rows of other versions at ACTIVATE_VERSION of stream {names}: rows of the table "
        f"{diag.schema_name}.{diag.table_name} refer to them ({refusal(error)}); what was committed is safe: delete or change those rows, "
        f"make the foreign key `{diag.constraint_name}` anew with `ON DELETE CASCADE` or `ON DELETE SET NULL`, or set "
        "`hard_delete` to false, which marks rows and deletes none; then run again."
    )


def _refused(error: psycopg2.Error, stream: str, *, hard: bool) -> BadDataError | None:
    if not is_refusal(error):
        return None
    way = "false, which marks rows and deletes none" if hard else "true, which deletes rows"
    return BadDataError(
        f"PostgreSQL refused to {'delete' if hard else 'mark'} rows of other versions at ACTIVATE_VERSION of stream `{stream}`: "
        f"{refusal(error)}; what was committed is safe: let the trigger or constraint of the table take it, or set "
        f"`hard_delete` to {way}; then run again."
    )


def obstacle(cursor: Cursor, table: Table, *, hard: bool, with_metadata: bool) -> str | None:
    """Say why no row can be removed, and what to do; None when all is well."""
    if not with_metadata:
        return _no_metadata(cursor, table)
    passed_over = "is passed over, and rows of other versions stay: the stream has a field"
    own = table.given.column_names
    if VERSION in own:
        statement = SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(
            table.identifier, Identifier(table.columns[VERSION]), Identifier(f"{VERSION}_of_source")
        )
        return (
            f"{passed_over} `{VERSION}` of its own, which keeps its column, so that there is none for the version of a row. "
            "To have versions, leave the field out in the tap or rename it there, and rename its column, as with "
            f"`{statement.as_string(cursor)}`."
        )
    if not hard and DELETED_AT in own:
        type_ = ddl.columns_now(cursor, table.schema, table.name)[table.columns[DELETED_AT]]
        if type_.base not in _TAKES_TIMES:
            return (
                f"{passed_over} `{DELETED_AT}` of its own, whose column of type `{type_.type}` takes no time of deletion. "
                "Set `hard_delete` to true, or leave the field out in the tap or rename it there, and rename its column."
            )
    return None


def _no_metadata(cursor: Cursor, table: Table) -> str:
    """Rows keep what an earlier run has put into a column that the SCHEMA does not name."""
    ignored = without_metadata(has_key=bool(table.given.key_properties))
    is_ours = VERSION not in table.given.column_names
    if (
        not is_ours
        or VERSION not in ddl.columns_now(cursor, table.schema, table.name)
        or not ddl.holds_values(cursor, table.identifier, VERSION)
    ):
        return ignored
    forget = SQL("UPDATE {} SET _sdc_table_version = NULL").format(table.identifier).as_string(cursor)
    return (
        f"{ignored} Rows that are written without it keep the version that an earlier run gave them, by which they would be "
        f"taken for old ones: before you set it again, run `{forget}`."
    )


def rows_without_version(cursor: Cursor, table: Table, *, hard: bool, are_new: bool) -> str | None:
    """Say how many rows have no version, and are not marked as deleted; ``are_new``: this run has written some."""
    cursor.execute(
        SQL("SELECT count(*) FROM {} WHERE {}").format(table.identifier, _left(_NO_VERSION, hard=hard))
    )
    count = int((cursor.fetchone() or (0,))[0])
    if not count:
        return None
    where = f"of the table {table.schema}.{table.name}"
    found = (
        f"found 1 row {where} without a version"
        if count == 1
        else f"found {count} rows {where} without a version"
    )
    if are_new:
        return (
            f"{found}, and leaves what has none: records of this run came without `version`, so that old rows cannot be told "
            "from new ones. Have the tap send `version` with each record, or remove by hand what is gone at the source."
        )
    statement = _removal(table.identifier, _NO_VERSION, hard=hard).as_string(cursor)
    return (
        f"{found}, and leaves what has none: it was loaded without `add_record_metadata`, from records without `version`, or "
        f"by another program. If it is gone at the source, remove it with `{statement}`."
    )


def _removal(table: Identifier, which: SQL | Composed, *, hard: bool) -> Composed:
    change = "DELETE FROM {}" if hard else "UPDATE {} SET _sdc_deleted_at = clock_timestamp()"
    return SQL(change + " WHERE {}").format(table, _left(which, hard=hard))


def _left(which: SQL | Composed, *, hard: bool) -> SQL | Composed:
    return which if hard else which + SQL(" AND _sdc_deleted_at IS NULL")
