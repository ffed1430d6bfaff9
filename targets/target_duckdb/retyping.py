"""A column gets another type so that the file can be opened after a kill, too.

DuckDB writes the expression by which `ALTER COLUMN ... TYPE` makes values to its log, and where that calls a function, or casts to JSON, cannot
read it again: the file opens no more. So such values are made first, and put into a column that was altered by a constant, in one transaction.
"""

from __future__ import annotations

from singerkit_sql_target.dialect import OutcomeUnknown, Session

__all__ = ["is_replayed", "retype"]

_MADE = '"_singerkit_made"'
_JSON = "JSON"


def is_replayed(type_: str, using: str | None) -> bool:
    """Tell whether DuckDB can read from its log how a column came to its type."""
    return using is None and type_ != _JSON


def retype(session: Session, table: str, column: str, type_: str, using: str | None) -> None:
    """Give a column another type; ``using`` as in `Session.alter`."""
    alter = f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {type_}"
    made = using if using is not None else f"CAST({column} AS {type_})"
    [(has_such_field,)] = session.execute(
        f"SELECT count(*) > 0 FROM (DESCRIBE {table}) WHERE lower(column_name) = 'rowid'"
    )
    if has_such_field:  # nothing else tells its rows apart
        _by_way_of_a_column(session, table, f"{alter} USING {_MADE}", type_, made)
        return
    session.execute(
        f"CREATE OR REPLACE TEMP TABLE {_MADE} AS SELECT rowid AS place, {made} AS made FROM {table}"
    )
    try:
        with session.transaction():
            session.execute(f"{alter} USING {_of_a_constant(type_)}")
            session.execute(
                f"UPDATE {table} AS stored SET {column} = {_MADE}.made FROM {_MADE} WHERE stored.rowid = {_MADE}.place"
            )
    except OutcomeUnknown as unknown:
        raise unknown.error from None
    finally:
        session.execute(f"DROP TABLE IF EXISTS {_MADE}")


def _of_a_constant(type_: str) -> str:
    return "'null'" if type_ in (_JSON, "VARCHAR") else "NULL"


def _by_way_of_a_column(session: Session, table: str, alter: str, type_: str, made: str) -> None:
    """Make the values in a column beside it, which then takes its place: an expression that is a column can be read from the log.

    No transaction has an ALTER behind an UPDATE, so these are two. Who is killed between them leaves the column, which the next one drops.
    """
    drop = f"ALTER TABLE {table} DROP COLUMN IF EXISTS {_MADE}"
    session.execute(drop)
    try:
        with session.transaction():
            session.execute(f"ALTER TABLE {table} ADD COLUMN {_MADE} {type_}")
            session.execute(f"UPDATE {table} SET {_MADE} = {made}")
        with session.transaction():
            session.execute(alter)
            session.execute(drop)
    except OutcomeUnknown as unknown:
        session.execute(drop)
        raise unknown.error from None
    except Exception:
        session.execute(drop)
        raise
