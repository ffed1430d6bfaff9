"""A column that is sent more than it was made for becomes text, or a document, where that keeps all that it holds.

What a tap has inferred from some rows others may contradict (a date that is `soon`, a number that is `N/A`), and a pipe that
ends there ends with each run until somebody comes. So a column for such a field is changed as a hand would change it
(`changes.py`). What cannot be changed so that nothing is lost or doubled is left to the hand, and so is a field that somebody
has declared: the other value is the fault of the row then.
"""

from __future__ import annotations

from dataclasses import replace

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import Identifier

from singerkit_sql_target.fitting import Fitting
from target_postgres import ddl
from target_postgres.changes import Change, change_of, family
from target_postgres.faults import WAITS
from target_postgres.misfits import Misfit

__all__ = ["becomes_wider"]

_WIDER = ("text", "jsonb")
_CHANGED = ("integer", "decimal", "boolean", "date", "moment", "time", "uuid")
"""Families of types that are made for what is inferred; others somebody has chosen."""
_OTHERS_JUDGE = (*WAITS, errorcodes.READ_ONLY_SQL_TRANSACTION, errorcodes.LOCK_NOT_AVAILABLE)


def becomes_wider(fitting: Fitting, cursor: Cursor, table: Identifier, misfit: Misfit) -> bool:
    """Change the column where all it holds stays what it is; return whether it is changed.

    PostgreSQL writes the table anew for that, and whoever reads it waits meanwhile.
    """
    change = _change(fitting, misfit)
    if change is None or ddl.views_on(cursor, table, [misfit.short]):
        return False
    ddl.lock_for_altering(cursor, table)
    cursor.execute("SAVEPOINT singerkit_wider")
    try:
        ddl.change_column(
            cursor,
            table,
            misfit.short,
            misfit.wanted.sql,
            change.expression(Identifier(misfit.short), misfit.found, misfit.wanted.sql),
        )
    except psycopg2.Error as error:
        if cursor.connection.closed or error.pgcode in _OTHERS_JUDGE:
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT singerkit_wider")  # a foreign key, an index on an expression
        return False
    cursor.execute("RELEASE SAVEPOINT singerkit_wider")
    fitting.tell_wider(misfit.field, misfit.found.type, misfit.wanted.sql, change.note)
    return True


def _change(fitting: Fitting, misfit: Misfit) -> Change | None:
    """Return the change that loses nothing; None: there is none, or it is not ours to make."""
    wanted, found = misfit.wanted.sql, misfit.found
    if (
        misfit.field not in fitting.stream.inferred
        or misfit.wanted.is_chosen
        or wanted not in _WIDER
        or found.is_inherited
    ):
        return None
    if family(found) not in _CHANGED or found.typmod >= 0:
        return None
    change = change_of(misfit.column, found, replace(found, type=wanted, base=wanted))
    if change is None or change.may_fail or (misfit.is_key and not change.keeps_keys):
        return None
    return change
