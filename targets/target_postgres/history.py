"""A history: each version of a row with the range of time in which the table said so (decision 54).

What comes is held against the row of its key that holds now: where it differs, the range of that ends and a new row begins at the same
moment; a row that is the same is not touched. The clock is the server's, one moment for a unit, and never before what is there: no two
ranges of a key overlap.
"""

from __future__ import annotations

from dataclasses import replace

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from singerkit_sql_target.fitting import VALID_FROM, VALID_TO
from singerkit_sql_target.history import told_apart
from singerkit_sql_target.newest import Newest
from singerkit_sql_target.partial import mark_if_partial
from singerkit_sql_target.versions import Version
from singerkit_target.outcomes import Outcome
from singerkit_wire.stream import DELETED_AT
from target_postgres.faults import check_stored
from target_postgres.loads import has_versions, is_gone, note_seen
from target_postgres.merge import differ, latest
from target_postgres.newest import is_older, leave_older, newest_among
from target_postgres.tables import Table

__all__ = [
    "close_gone",
    "count_gone",
    "merge",
    "moment_of_unit",
]


def moment_of_unit(cursor: Cursor) -> str:
    """Return the moment at which the rows of a unit begin, and those that they replace end."""
    cursor.execute("SELECT pg_catalog.clock_timestamp()::text")
    return str((cursor.fetchone() or ("",))[0])


def merge(cursor: Cursor, table: Table, moment: str) -> Outcome:
    """Put the staged rows into the history; the last of several rows with one key wins, or the newest.

    A row of the outcome is one that holds now: ``deleted`` are those whose range ended without another.

    Raises:
        NotDone: a trigger leaves rows out.
    """
    assert table.staged is not None  # noqa: S101  the callers' choice
    at = SQL("{}::timestamptz").format(Literal(moment))
    newest = newest_among(table.newest, table.staged)
    last = latest(table.stage, table.staged, table.history, Composed([SQL("true")]), newest)
    outcome = Outcome()
    if newest is not None:
        outcome, last = _without_older(cursor, table, last, newest)
    outcome = outcome.plus(_new_and_partial(cursor, table, last))
    mark = table.columns[DELETED_AT] if table.has_marks else None
    goes = SQL("last.{} IS NOT NULL").format(Identifier(mark)) if mark else SQL("false")
    outcome = outcome.plus(_change_those_of_the_unit(cursor, table, last, at, goes))
    outcome = outcome.plus(_close_and_begin(cursor, table, last, at, goes))
    if table.detours:
        cursor.execute(
            SQL("SELECT count(*) FROM ({}) AS last WHERE NOT ({}) AND NOT EXISTS ({})").format(
                last, goes, _current(table)
            )
        )
        check_stored(int((cursor.fetchone() or (0,))[0]), 0)
    if has_versions(table):
        note_seen(cursor, table)
    return outcome


def _new_and_partial(cursor: Cursor, table: Table, last: Composed) -> Outcome:
    mark = mark_if_partial(table.given, table.columns, table.staged or ())
    if mark is None:
        return Outcome()
    cursor.execute(
        SQL("SELECT count(*) FROM ({}) AS last WHERE last.{} IS NULL AND NOT EXISTS ({})").format(
            last, Identifier(mark), _current(table)
        )
    )
    return Outcome(partial=int((cursor.fetchone() or (0,))[0]))


def _without_older(cursor: Cursor, table: Table, last: Composed, newest: Newest) -> tuple[Outcome, Composed]:
    """Count the rows that are older than any version of their key; return those that are not."""
    outcome = leave_older(cursor, last, table.rows, table.history, replace(newest, load=None))
    which = SQL("{} AND {}").format(_same(table, "given"), is_older(newest, "given"))
    kept = SQL("SELECT * FROM ({}) AS given WHERE NOT EXISTS (SELECT 1 FROM {} AS stored WHERE {})").format(
        last, table.rows, which
    )
    return outcome, kept


def _change_those_of_the_unit(
    cursor: Cursor, table: Table, last: Composed, at: Composable, goes: Composable
) -> Outcome:
    """A version that began in this unit was never seen by anybody: it changes, or goes, in its place."""
    this = SQL("{} AND stored.{} = {}").format(_same(table, "last"), _from(table), at)
    outcome = _never_there(cursor, table, SQL("USING ({}) AS last WHERE {} AND {}").format(last, this, goes))
    changing = [column for column in table.staged or () if column not in table.history]
    if changing:
        sets = SQL(", ").join(SQL("{0} = last.{0}").format(Identifier(column)) for column in changing)
        cursor.execute(
            SQL("UPDATE {} AS stored SET {} FROM ({}) AS last WHERE {} AND {} IS NULL AND {}").format(
                table.rows, sets, last, this, _to(table), differ("last", changing)
            )
        )
    return outcome


def _never_there(cursor: Cursor, table: Table, which: Composed) -> Outcome:
    """Delete rows that began in this unit; the row that one of them took the place of is gone now, and not changed."""
    cursor.execute(
        SQL(
            "WITH gone AS (DELETE FROM {rows} AS stored {which} RETURNING EXISTS (SELECT 1 FROM {rows} AS ended "
            "WHERE {same} AND ended.{to} = stored.{begin}) AS was_there) "
            "SELECT count(*) FILTER (WHERE was_there), count(*) FILTER (WHERE NOT was_there) FROM gone"
        ).format(rows=table.rows, which=which, same=_same(table, "ended"), to=_to(table), begin=_from(table))
    )
    changed, new = cursor.fetchone() or (0, 0)
    return Outcome(-new, -changed, changed)


def _close_and_begin(
    cursor: Cursor, table: Table, last: Composed, at: Composable, goes: Composable
) -> Outcome:
    staged = table.staged or ()
    ends = (_name(table, VALID_FROM), _name(table, VALID_TO))
    every = [
        *(column for column in table.columns.values() if column not in ends),
        *_beside_the_schema(cursor, table),
    ]
    kept = [column for column in every if column not in staged]
    told = told_apart(table, staged, table.history)
    differs = differ("last", told) if told else SQL("false")
    returned = [*table.history, *kept]
    values = [
        SQL("{}.{}").format(SQL("closed" if column in kept else "last"), Identifier(column))
        for column in every
    ]
    cursor.execute(
        SQL(
            "WITH last AS MATERIALIZED ({last}), closed AS (UPDATE {rows} AS stored SET {to} = greatest({at}, stored.{begin} + interval "
            "'1 microsecond') FROM last WHERE {same} AND stored.{to} IS NULL AND ({goes} OR {differs}) RETURNING stored.{to} AS moment, {returned}), begun AS ("
            "INSERT INTO {table} ({every}, {begin}) SELECT {values}, coalesce(closed.moment, greatest({at}, ({latest}))) "
            "FROM last LEFT JOIN closed ON {same_closed} WHERE NOT ({goes}) AND (closed.moment IS NOT NULL OR NOT EXISTS ({current})) RETURNING 1) "
            "SELECT (SELECT count(*) FROM begun), (SELECT count(*) FROM closed), "
            "(SELECT count(*) FROM closed JOIN last ON {same_closed} WHERE {goes})"
        ).format(
            last=last,
            rows=table.rows,
            table=table.identifier,
            at=at,
            begin=_from(table),
            to=_to(table),
            same=_same(table, "last"),
            goes=goes,
            differs=differs,
            returned=SQL(", ").join(SQL("stored.{}").format(Identifier(column)) for column in returned),
            every=SQL(", ").join(map(Identifier, every)),
            values=SQL(", ").join(values),
            latest=SQL("SELECT max(stored.{}) FROM {} AS stored WHERE {}").format(
                _to(table), table.rows, _same(table, "last")
            ),
            same_closed=SQL(" AND ").join(
                SQL("closed.{0} = last.{0}").format(Identifier(key)) for key in table.history
            ),
            current=_current(table),
        )
    )
    begun, closed, deleted = cursor.fetchone() or (0, 0, 0)
    return Outcome(begun - (closed - deleted), closed - deleted, deleted)


def _beside_the_schema(cursor: Cursor, table: Table) -> list[str]:
    """The columns that the SCHEMA does not name: a new version keeps what they have, unless they fill themselves."""
    cursor.execute(
        "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped "
        "AND NOT atthasdef AND attidentity = '' ORDER BY attnum",
        [table.shape.oid],
    )
    named = {*table.columns.values(), DELETED_AT}
    return [name for (name,) in cursor.fetchall() if name not in named]


def close_gone(cursor: Cursor, table: Table, asked: Version, moment: str) -> Outcome:
    """End the ranges of rows of other versions that did not come in this load; those that began in this unit were never there."""
    gone, at = is_gone(cursor, table, asked), SQL("{}::timestamptz").format(Literal(moment))
    outcome = _never_there(cursor, table, SQL("WHERE stored.{} = {} AND {}").format(_from(table), at, gone))
    cursor.execute(
        SQL(
            "UPDATE {} AS stored SET {} = greatest({}, stored.{} + interval '1 microsecond') WHERE {}"
        ).format(table.rows, _to(table), at, _from(table), gone)
    )
    return outcome.plus(Outcome(deleted=cursor.rowcount))


def count_gone(cursor: Cursor, table: Table, asked: Version) -> int:
    """Return how many rows `close_gone` would end."""
    cursor.execute(
        SQL("SELECT count(*) FROM {} AS stored WHERE {}").format(table.rows, is_gone(cursor, table, asked))
    )
    return int((cursor.fetchone() or (0,))[0])


def _current(table: Table) -> Composed:
    return SQL("SELECT 1 FROM {} AS stored WHERE {} AND stored.{} IS NULL").format(
        table.rows, _same(table, "last"), _to(table)
    )


def _same(table: Table, other: str) -> Composed:
    return SQL(" AND ").join(
        SQL("stored.{0} = {1}.{0}").format(Identifier(key), Identifier(other)) for key in table.history
    )


def _name(table: Table, field: str) -> str:
    return table.columns[field]


def _from(table: Table) -> Identifier:
    return Identifier(_name(table, VALID_FROM))


def _to(table: Table) -> Identifier:
    return Identifier(_name(table, VALID_TO))
