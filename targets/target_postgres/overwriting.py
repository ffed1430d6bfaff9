"""A complete load takes the place of what its table had: rows that did not come go, those that differ are written (decision 53).

The table stays the one that it is, and nobody who reads it waits or sees a part of the load: views, grants, indexes, comments, foreign keys,
publications hold by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg2
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composed, Identifier

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.scopes import Scope
from singerkit_target.outcomes import Outcome
from singerkit_wire.stream import Stream
from target_postgres import ddl
from target_postgres.changes import change_of
from target_postgres.columns import ExistingColumn, columns_of
from target_postgres.faults import NotDone
from target_postgres.merge import Gone, Note, differ, take_together
from target_postgres.parts import Rows
from target_postgres.tables import Table
from target_postgres.words import WORDS

__all__ = [
    "create_stage",
    "has_rest",
    "is_new_or_differs",
    "note_rest",
    "retype",
    "take_elements",
    "take_rest",
    "waiting_columns",
]


def create_stage(
    cursor: Cursor, stage: str, table: Table, columns: Sequence[str], extra: Sequence[tuple[str, str]]
) -> None:
    """Create the stage of a load, which takes no lock on the table: others may alter it while rows come."""
    typed = [*((column, table.types[column]) for column in columns), *extra]
    cursor.execute(
        SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(
            Identifier(stage),
            SQL(", ").join(SQL("{} {}").format(Identifier(name), SQL(type_)) for name, type_ in typed),
        )
    )


def waiting_columns(cursor: Cursor, table: Table, stream: Stream) -> frozenset[str]:
    """Return the columns that a SCHEMA declares otherwise and of which values wait: these are not blank, whatever the table has in them."""
    same = {one.name: one for one in table.given.columns}
    changed = {
        table.columns[one.name]
        for one in stream.columns
        if one.name in table.columns and same.get(one.name) != one
    }
    return frozenset(
        short
        for part in table.parts
        if isinstance(part, Rows)
        for short in changed.intersection(part.columns)
        if ddl.holds_values(cursor, Identifier("pg_temp", part.stage), short)
    )


def retype(cursor: Cursor, former: Table, table: Table) -> None:
    """Give the rows that wait the types that their columns have got in the table."""
    field_of = {table.columns[column.name]: column for column in table.given.columns}
    for part in table.parts:
        if not isinstance(part, Rows):
            continue
        stage = Identifier("pg_temp", part.stage)
        for short, held in _held_otherwise(cursor, former, table, part, stage).items():
            change = change_of(field_of[short], held, table.held[short])
            name, type_ = Identifier(short), table.types[short]
            using = (
                SQL("{}::{}").format(name, SQL(type_))
                if change is None
                else change.expression(name, held, type_)
            )
            ddl.change_column(cursor, stage, short, type_, using)


def _held_otherwise(
    cursor: Cursor, former: Table, table: Table, part: Rows, stage: Identifier
) -> dict[str, ExistingColumn]:
    """Return the columns of rows that wait whose types are others now, as they are held; one that the former SCHEMA left out tells itself what it is."""
    named = [short for short in part.columns if short in table.types]
    found = {
        short: former.held[short]
        for short in named
        if short in former.types and table.types[short] != former.types[short]
    }
    if left_out := [short for short in named if short not in former.types]:
        cursor.execute("SELECT %s::regclass::oid", [stage.as_string(cursor)])
        (oid,) = cursor.fetchone() or (0,)
        there = columns_of(cursor, oid)
        found |= {short: there[short] for short in left_out if there[short].type != table.held[short].type}
    return found


def note_rest(cursor: Cursor, table: Table, note: Note) -> None:
    """Note the rows that did not come, before those that came are written; without a key no row is the one that it was, and all go.

    Raises:
        NotDone: something keeps rows that are to go.
    """
    assert table.overwrite is not None  # noqa: S101  the callers' choice
    if not table.overwrite.removes:
        table.parts = table.parts if table.keys else ()
        return
    of_scope = [] if table.scope is None else [_in_scope(cursor, table, table.scope)]
    if table.keys:
        same = of_scope + [_not_in(table, part.stage) for part in table.parts if isinstance(part, Rows)]
        cursor.execute(
            SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} AS stored{}").format(
                _rest(table),
                SQL(", ").join(map(Identifier, table.keys)),
                table.rows,
                SQL(" WHERE ") + SQL(" AND ").join(same) if same else SQL(""),
            )
        )
    else:
        which = of_scope[0] if of_scope else SQL("true")
        cursor.execute(SQL("DELETE FROM {} AS stored WHERE {}").format(table.rows, which))
        note(Outcome(deleted=cursor.rowcount))
        cursor.execute(SQL("SELECT EXISTS (SELECT 1 FROM {} AS stored WHERE {})").format(table.rows, which))
        if cursor.fetchone() != (False,):
            raise NotDone(f"a {table.keepers} of the table keeps rows that are to be deleted; change it")


def take_rest(cursor: Cursor, group: Sequence[Table], note_of: Callable[[Table], Note]) -> None:
    """Delete the rows of a group of tables that did not come.

    Raises:
        BadDataError: rows of other tables refer to them.
        NotDone: something keeps them.
    """
    gone = [
        Gone(
            SQL("SELECT * FROM {}").format(_rest(table)),
            table.rows,
            table.keys,
            table.keepers,
            note_of(table),
        )
        for table in group
        if has_rest(table)
    ]
    _take(cursor, gone, group)


def has_rest(table: Table) -> bool:
    """Whether it is known of the rows of a table which go."""
    return bool(table.keys and table.overwrite is not None and table.overwrite.removes)


def take_elements(cursor: Cursor, table: Table, elements: Table, note: Note) -> None:
    """Delete the elements of lists in the rows of a table that did not come, before these go.

    Raises:
        BadDataError, NotDone: as `take_rest`.
    """
    roots = elements.keys[:-1]  # the last one is the place in the list
    names = SQL(", ").join(
        SQL("{} AS {}").format(Identifier(key), Identifier(root))
        for key, root in zip(table.keys, roots, strict=True)
    )
    select = SQL("SELECT {} FROM {}").format(names, _rest(table))
    _take(cursor, [Gone(select, elements.rows, roots, elements.keepers, note)], [elements])


def _take(cursor: Cursor, gone: Sequence[Gone], group: Sequence[Table]) -> None:
    if not gone:
        return
    try:
        take_together(cursor, gone)
    except psycopg2.Error as error:
        kept = None if isinstance(error, NotDone) else WORDS.kept_rows(error)
        if kept is None:
            raise
        why, way_out = kept
        streams = " or ".join(f"`{table.stream}`" for table in group)
        raise BadDataError(
            f"PostgreSQL refused to delete rows that did not come in the load of stream {streams}, which is overwritten (`load_method`): {why}; "
            f"the tables are as they were: {way_out}, or set `load_method` of the stream to `upsert`; then run again."
        ) from error


def is_new_or_differs(table: Table, columns: Sequence[str], of: str) -> Composed:
    """The condition that a row which came is not stored as it is."""
    same = [SQL("stored.{0} = {1}.{0}").format(Identifier(key), Identifier(of)) for key in table.keys]
    others = [column for column in columns if column not in table.keys]
    if others:
        same.append(SQL("NOT ({})").format(differ(of, others)))
    return SQL("NOT EXISTS (SELECT 1 FROM {} AS stored WHERE {})").format(
        table.identifier, SQL(" AND ").join(same)
    )


def _in_scope(cursor: Cursor, table: Table, scope: Scope) -> Composed:
    """The condition that a stored row is one of the sets that came.

    Raises:
        BadDataError: a row came that belongs to none.
    """
    fields = SQL(", ").join(map(Identifier, scope.fields))
    parts = [part for part in table.parts if isinstance(part, Rows)]
    if not parts:  # each record was set aside
        return Composed([SQL("false")])
    if any(not {*scope.fields} <= {*part.columns} for part in parts):
        raise scope.lacks_value(table.stream)
    came = SQL(" UNION ALL ").join(
        SQL("SELECT {} FROM pg_temp.{}").format(fields, Identifier(part.stage)) for part in parts
    )
    is_null = SQL(" OR ").join(SQL("{} IS NULL").format(Identifier(name)) for name in scope.fields)
    cursor.execute(SQL("SELECT EXISTS (SELECT 1 FROM ({}) AS came WHERE {})").format(came, is_null))
    if cursor.fetchone() == (True,):
        raise scope.lacks_value(table.stream)
    if scope.is_window:
        (name,) = map(Identifier, scope.fields)
        return SQL(
            "stored.{0} BETWEEN (SELECT min({0}) FROM ({1}) AS came) AND (SELECT max({0}) FROM ({1}) AS came)"
        ).format(name, came)
    same = SQL(" AND ").join(SQL("came.{0} = stored.{0}").format(Identifier(name)) for name in scope.fields)
    return SQL("EXISTS (SELECT 1 FROM ({}) AS came WHERE {})").format(came, same)


def _rest(table: Table) -> Identifier:
    return Identifier("pg_temp", f"{table.stage}_rest")


def _not_in(table: Table, stage: str) -> Composed:
    same = SQL(" AND ").join(SQL("came.{0} = stored.{0}").format(Identifier(key)) for key in table.keys)
    return SQL("NOT EXISTS (SELECT 1 FROM pg_temp.{} AS came WHERE {})").format(Identifier(stage), same)
