"""The table of a stream whose history is kept: what it has to have, and when it is refused, as where the history is kept no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier

from singerkit_shell.errors import ConfigurationError
from singerkit_sql_target.fitting import VALID_FROM, VALID_TO, Fitting
from target_postgres import ddl

__all__ = ["check_no_ranges", "check_ranges", "key_with_range"]


def key_with_range(fitting: Fitting, columns: Mapping[str, str]) -> tuple[str, ...]:
    """Return the columns by which the rows of a history are told apart.

    Raises:
        ConfigurationError: the stream has no key.
    """
    stream = fitting.stream
    if not stream.key_properties:
        raise ConfigurationError(
            f"The history of stream `{stream.name}` is to be kept (`load_method`), and it has no key by which one row is the next version of "
            "another; nothing of this stream was written: give it a key (tap-rest: `primary_keys`), or set its `load_method` to `append`, "
            "then run again."
        )
    return (*(columns[key] for key in stream.key_properties), columns[VALID_FROM])


def check_ranges(
    cursor: Cursor, fitting: Fitting, existing: ddl.Existing, columns: Mapping[str, str], keys: Sequence[str]
) -> None:
    """See that rows which are there have a range.

    Raises:
        ConfigurationError: they were loaded in another way.
    """
    valid_from, valid_to = columns[VALID_FROM], columns[VALID_TO]
    if existing.is_empty or valid_from in existing.columns:
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
    raise ConfigurationError(
        f"The history of stream `{fitting.stream.name}` is to be kept (`load_method`), and the rows of its table {fitting.where} have no range in "
        f"which they held; none was touched: to have them begin now {first}run `{statement}`, then run again."
    )


def check_no_ranges(cursor: Cursor, fitting: Fitting, existing: ddl.Existing) -> None:
    """See that the table has no ranges, which nobody would begin and end.

    Raises:
        ConfigurationError: it is that of a history.
    """
    ranges = [fitting.column(name) for name in (VALID_FROM, VALID_TO)]
    if not all(
        name not in fitting.stream.fields and column in existing.columns
        for name, column in zip((VALID_FROM, VALID_TO), ranges, strict=True)
    ):
        return
    table = ddl.table_name(fitting.schema, fitting.name)
    former = SQL("DELETE FROM {} WHERE {} IS NOT NULL").format(
        ddl.rows_of(table, is_alone=existing.is_inherited), Identifier(ranges[1])
    )
    drop = ddl.altering(table, [SQL("DROP COLUMN {}").format(Identifier(column)) for column in ranges])
    raise ConfigurationError(
        f"The table {fitting.where} of stream `{fitting.stream.name}` has its history (`load_method: history`), and its rows are to go there in another "
        "way now; none was touched: set `load_method` back to `history`, or, to go on with the rows that hold now and without those that held before, run "
        f"`{former.as_string(cursor)}; {drop.as_string(cursor)}`, then run again."
    )
