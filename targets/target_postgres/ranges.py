"""The table of a stream whose history is kept: what it has to have, and when it is refused, as where the history is kept no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier

from singerkit_sql_target.fitting import VALID_FROM, VALID_TO, Fitting
from singerkit_sql_target.ranges import lacks_ranges, own_ranges, refuse_ranges, refuse_without_ranges
from target_postgres import ddl

__all__ = ["check_no_ranges", "check_ranges"]


def check_ranges(
    cursor: Cursor, fitting: Fitting, existing: ddl.Existing, columns: Mapping[str, str], keys: Sequence[str]
) -> None:
    """See that rows which are there have a range.

    Raises:
        ConfigurationError: they were loaded in another way.
    """
    valid_from, valid_to = columns[VALID_FROM], columns[VALID_TO]
    if not lacks_ranges(existing, columns):
        return
    changes = [
        SQL("ADD COLUMN {} timestamptz NOT NULL DEFAULT now()").format(Identifier(valid_from)),
        SQL("ADD COLUMN {} timestamptz").format(Identifier(valid_to)),
    ]
    if existing.primary_key_name:
        changes += [
            SQL("DROP CONSTRAINT {}").format(Identifier(existing.primary_key_name)),
            SQL("ADD PRIMARY KEY ({})").format(SQL(", ").join(map(Identifier, keys))),
        ]
    table, own = ddl.table_name(fitting.schema, fitting.name), [key for key in keys if key != valid_from]
    statement = ddl.altering(table, changes).as_string(cursor)
    first = ""
    if not ddl.can_be_key(cursor, table, own, is_inherited=existing.is_inherited):
        last = ddl.keeping_last(table, own, is_alone=existing.is_inherited).as_string(cursor)
        first = f"leave one row of each key, as `{last}` does (the one that stands last in the table), then "
    raise refuse_without_ranges(fitting, first, statement)


def check_no_ranges(cursor: Cursor, fitting: Fitting, existing: ddl.Existing) -> None:
    """See that the table has no ranges, which nobody would begin and end.

    Raises:
        ConfigurationError: it is that of a history.
    """
    ranges = own_ranges(fitting, existing)
    if not ranges:
        return
    table = ddl.table_name(fitting.schema, fitting.name)
    former = SQL("DELETE FROM {} WHERE {} IS NOT NULL").format(
        ddl.rows_of(table, is_alone=existing.is_inherited), Identifier(ranges[1])
    )
    drop = ddl.altering(table, [SQL("DROP COLUMN {}").format(Identifier(column)) for column in ranges])
    raise refuse_ranges(fitting, f"{former.as_string(cursor)}; {drop.as_string(cursor)}")
