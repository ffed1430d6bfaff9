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
    if has_such_field:  # nothing else tells its rows apart, so that the log is emptied at once
        session.execute(f"{alter} USING {made}")
        session.execute("FORCE CHECKPOINT")
        return
    session.execute(
        f"CREATE OR REPLACE TEMP TABLE {_MADE} AS SELECT rowid AS place, {made} AS made FROM {table}"
    )
    try:
        with session.transaction():
            session.execute(f"{alter} USING 'null'")
            session.execute(
                f"UPDATE {table} AS stored SET {column} = {_MADE}.made FROM {_MADE} WHERE stored.rowid = {_MADE}.place"
            )
    except OutcomeUnknown as unknown:
        raise unknown.error from None
    finally:
        session.execute(f"DROP TABLE IF EXISTS {_MADE}")
