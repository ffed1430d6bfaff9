"""A column that is sent more than it was made for becomes text, a document, or of dates one of moments, where that keeps all that it holds.

What a tap has inferred from some rows others may contradict (a date that is `soon`, a number that is `N/A`), and a pipe that
ends there ends with each run until somebody comes. So a column for such a field is changed as a hand would change it
(`changes.py`). A field that somebody has declared gets no such column unless `on_type_conflict` says `widen`, but for dates that
become moments: midnight in UTC, as which a date is read where a schema says `date-time`.
"""

from __future__ import annotations

from dataclasses import replace

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import Identifier

from singerkit_sql_target.fitting import Fitting
from singerkit_sql_target.variants import policy
from singerkit_wire.conflicts import OnConflict
from singerkit_wire.kinds import Kind
from target_postgres import ddl
from target_postgres.changes import Change, change_of, family
from target_postgres.faults import WAITS
from target_postgres.misfits import Misfit

__all__ = ["OTHERS_JUDGE", "becomes_wider"]

_WIDER = ("text", "jsonb")
_BASE = {"timestamp with time zone": "timestamptz"}
_CHANGED = ("integer", "decimal", "boolean", "date", "moment", "time", "uuid")
"""Families of types that are made for what is inferred; others somebody has chosen."""
OTHERS_JUDGE = (*WAITS, errorcodes.READ_ONLY_SQL_TRANSACTION, errorcodes.LOCK_NOT_AVAILABLE)


def becomes_wider(fitting: Fitting, cursor: Cursor, table: Identifier, misfit: Misfit) -> bool:
    """Change the column where all it holds stays what it is; return whether it is changed.

    PostgreSQL writes the table anew for that, and whoever reads it waits meanwhile.
    """
    wanted = _wider(fitting, misfit)
    change = None if wanted is None else _change(misfit, wanted)
    if wanted is None or change is None or ddl.views_on(cursor, table, [misfit.short]):
        return False
    ddl.lock_for_altering(cursor, table)
    cursor.execute("SAVEPOINT singerkit_wider")
    try:
        using = change.expression(Identifier(misfit.short), misfit.found, wanted)
        ddl.change_column(cursor, table, misfit.short, wanted, using)
    except psycopg2.Error as error:
        if cursor.connection.closed or error.pgcode in OTHERS_JUDGE:
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT singerkit_wider")  # a foreign key, an index on an expression
        return False
    cursor.execute("RELEASE SAVEPOINT singerkit_wider")
    fitting.tell_wider(misfit.field, misfit.found.type, wanted, change.note)
    return True


def _wider(fitting: Fitting, misfit: Misfit) -> str | None:
    """Return the type that the column may get without anybody being asked; None: it is not ours to change."""
    wanted = misfit.wanted.sql
    if misfit.wanted.is_chosen:
        return None
    if misfit.found.base == "date" and misfit.column.kind is Kind.DATE_TIME and not misfit.is_key:
        return wanted
    is_wide = wanted in _WIDER
    if policy(fitting, misfit.column) is OnConflict.WIDEN:
        return wanted if is_wide else "text"
    return wanted if is_wide and misfit.field in fitting.stream.inferred else None


def _change(misfit: Misfit, wanted: str) -> Change | None:
    """Return the change that loses nothing; None: there is none."""
    found = misfit.found
    if found.is_inherited or family(found) not in _CHANGED or found.typmod >= 0:
        return None
    base = _BASE.get(wanted, wanted)
    change = change_of(misfit.column, found, replace(found, type=wanted, base=base))
    if change is None or change.may_fail or (misfit.is_key and not change.keeps_keys):
        return None
    return change
