"""The types of the columns of a table that is there, fitted to what its stream says of them.

A column becomes wider where that keeps all that it holds; of others `on_type_conflict` says what becomes of the values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import psycopg2
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import Composed, Identifier

from singerkit_sql_target.fitting import Fitting
from singerkit_sql_target.settings import EXISTING, Settings
from singerkit_sql_target.variants import divided, stands_beside
from singerkit_target.chosen import refused_type
from singerkit_target.held import AT_ONCE, SCHEMA_CHANGE
from singerkit_wire.domain import Numbers
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.stream import Stream
from target_postgres import ddl
from target_postgres.arrays import keeps_arrays
from target_postgres.before import Before
from target_postgres.changes import family, goes_on_as
from target_postgres.choosing import become_chosen
from target_postgres.misfits import Misfit, refuse_later_type, refuse_types
from target_postgres.stored import HEADER, scale_of
from target_postgres.types import VALUE_TABLE, ColumnType, column_type, keeps_values
from target_postgres.widening import OTHERS_JUDGE, becomes_wider

__all__ = ["fit_types", "type_of"]


def type_of(
    stream: Stream, column: Column, settings: Settings, found: ddl.ExistingColumn | None
) -> ColumnType:
    """Return the type that a column is to have; ``found`` is the one that is there."""
    if column.variant_of is not None:
        return ColumnType(VALUE_TABLE[column.kind].sql)
    chosen = settings.type_of(stream.name, column.name)
    if chosen == EXISTING:
        chosen = found.type if found is not None and goes_on_as(column, found) else None
    try:
        return column_type(column, chosen, settings.number_type or "numeric")
    except ValueError as error:
        raise refused_type(stream.name, column.name, error) from None


def fit_types(
    fitting: Fitting,
    cursor: Cursor,
    table: Identifier,
    existing: ddl.Existing,
    columns: Mapping[str, str],
    keys: Collection[str],
    before: Before,
    of_roots: list[Composed],
) -> Stream:
    """Change columns where that keeps their values; return the stream with what its values become in those that are there.

    ``of_roots`` takes changes that can only be made in the table from which this one has its columns.

    Raises:
        BadDataError: a column cannot be written, or does not take what the stream has for it.
    """
    stream = _with_documents(cursor, table, existing, fitting, columns, before)
    fitting = replace(fitting, stream=stream)
    misfits: list[Misfit] = []
    nulls: dict[str, ddl.ExistingColumn] = {}
    for column in stream.columns:
        short = columns[column.name]
        found = existing.columns.get(short)
        if found is not None:
            _check_writable(fitting, column, found)
            wanted = type_of(stream, column, fitting.settings, found)
            misfit = Misfit(column, short, found, wanted, is_key=short in keys)
            if column.is_always_null and stands_beside(fitting, column):
                nulls[column.name] = found
            is_divided = column.is_filler or column.numbers is not None
            if not is_divided and not _fits(
                fitting, cursor, table, misfit, existing.columns, before, of_roots
            ):
                misfits.append(misfit)
    refused = []
    for misfit in misfits:
        apart = _divided(replace(fitting, stream=stream), misfit, existing)
        if apart is None:
            refused.append(misfit)
        else:
            stream = apart
    if refused:
        staying = [one for one in refused if one.short not in before.passing]
        if not staying:
            refuse_later_type(fitting, refused[0])
        refuse_types(fitting, cursor, table, staying)
    return replace(stream, columns=tuple(_taking(one, nulls.get(one.name)) for one in stream.columns))


def _taking(column: Column, found: ddl.ExistingColumn | None) -> Column:
    """Return a column whose schema admits null alone with the kind of values that it takes all the same."""
    if found is None or family(found) in ("jsonb", "json", "text"):
        return column
    kind, numbers = _home(found)
    return replace(column, kind=kind, numbers=numbers)


_NUMBERS: Mapping[str, tuple[Kind, Numbers | None]] = {
    "int2": (Kind.BIG_INTEGER, Numbers(4, 0, "its column")),
    "int4": (Kind.BIG_INTEGER, Numbers(9, 0, "its column")),
    "int8": (Kind.INTEGER, None),
    "numeric": (Kind.NUMBER, None),
    "float4": (Kind.NUMBER, Numbers(38, 45, "its column", as_single=True)),
    "float8": (Kind.NUMBER, Numbers(308, 323, "its column", as_double=True)),
}


def _home(found: ddl.ExistingColumn) -> tuple[Kind, Numbers | None]:
    """Return which values a column takes as they are; of those that are text in a record none is put there."""
    if found.base == "bool":
        return Kind.BOOLEAN, None
    if found.base == "numeric" and found.typmod >= 0:
        scale = scale_of(found.typmod)
        before = ((found.typmod - HEADER) >> 16) - scale
        return Kind.NUMBER, Numbers(before, scale, f"its column of type {found.type}", counts_zeros=False)
    return _NUMBERS.get(found.base, (Kind.STRING, None))


def _divided(fitting: Fitting, misfit: Misfit, existing: ddl.Existing) -> Stream | None:
    """Return the stream with what its column does not hold in a variant beside that; None: it is to be refused."""
    types = misfit.found.type, misfit.wanted.sql
    return divided(fitting, misfit.column, existing.columns, types, _home(misfit.found))


def _with_documents(
    cursor: Cursor,
    table: Identifier,
    existing: ddl.Existing,
    fitting: Fitting,
    columns: Mapping[str, str],
    before: Before,
) -> Stream:
    """Return the stream with documents where the unit in hand has made a column of them, the field is inferred, or any value is to be kept.

    A SCHEMA that goes back to one type declares a part of what the column holds: each value goes there as it was sent.
    """
    stream = fitting.stream

    def is_document(column: Column) -> bool:
        short = columns[column.name]
        wanted = type_of(stream, column, fitting.settings, existing.columns.get(short))
        return (
            (not wanted.is_chosen or wanted.is_default)
            and (
                before.made_documents(short)
                or column.name in stream.inferred
                or stands_beside(fitting, column)
            )
            and short in existing.columns
            and existing.columns[short].type == "jsonb"
            and _has_values(cursor, table, short, before)
        )

    wide = tuple(
        replace(column, kind=Kind.JSON, number_in_text=False) if is_document(column) else column
        for column in stream.columns
    )
    return replace(stream, columns=wide)


def _check_writable(fitting: Fitting, column: Column, found: ddl.ExistingColumn) -> None:
    """See that the column takes the values that it is given.

    Raises:
        BadDataError: PostgreSQL makes them.
    """
    if found.is_generated:
        way_out = "leave the field out with `select`, or drop the column's expression"
        raise fitting.unwritable(column, "a generated one", way_out)
    if found.is_identity:
        way_out = "change that to `GENERATED BY DEFAULT`, or leave the field out with `select`"
        raise fitting.unwritable(column, "one that is `GENERATED ALWAYS AS IDENTITY`", way_out)


def _fits(
    fitting: Fitting,
    cursor: Cursor,
    table: Identifier,
    misfit: Misfit,
    there: Mapping[str, ddl.ExistingColumn],
    before: Before,
    of_roots: list[Composed],
) -> bool:
    """Change the column where that keeps its values; return whether it is of the right type then.

    ``of_roots`` takes a change that can only be made in the table from which this one has the column.

    Raises:
        BadDataError: it is not of the type that was chosen.
    """
    column, short, found, wanted = misfit.column, misfit.short, misfit.found.type, misfit.wanted
    if column.is_always_null or _suits(cursor, misfit.found, wanted, column.kind):
        return True
    if not wanted.is_chosen and keeps_arrays(column, misfit.found):
        return True
    if not fitting.settings.contracts.evolves(fitting.stream.name):
        return False
    may_be_blank = found == "jsonb" or short in before.new.columns
    is_blank = may_be_blank and not _has_values(cursor, table, short, before)
    if wanted.is_chosen and not wanted.is_default and not is_blank and short not in before.passing:
        become_chosen(fitting, cursor, table, misfit, there)
        return True
    wider = _wider_integers(column.kind, found)
    if wider is not None and misfit.found.is_inherited:
        of_roots.append(ddl.widening(short, wider))
        return True
    if wider is not None:
        return _widen(fitting, cursor, table, misfit, wider)
    if is_blank:
        ddl.change_empty_column(cursor, table, short, wanted.sql)
        fitting.tell_blank(short, wanted.sql)
        return True
    if wanted.sql == "jsonb" and before.turns_into_json(short, found):
        ddl.turn_into_json(cursor, table, short)
        return True
    return becomes_wider(fitting, cursor, table, misfit)


def _has_values(cursor: Cursor, table: Identifier, short: str, before: Before) -> bool:
    """Tell whether a column has values, in its table or in rows that wait to go there."""
    return short in before.waiting or ddl.holds_values(cursor, table, short)


def _wider_integers(kind: Kind, found: str) -> str | None:
    if kind in (Kind.BIG_INTEGER, Kind.NUMBER) and found in ("bigint", "integer", "smallint"):
        return "numeric"
    return "bigint" if kind is Kind.INTEGER and found in ("integer", "smallint") else None


def _widen(fitting: Fitting, cursor: Cursor, table: Identifier, misfit: Misfit, type_: str) -> bool:
    """Make a column of integers longer; return whether it is, where what it does not hold may stand beside it.

    PostgreSQL writes the table anew for that: whoever reads it waits meanwhile, so it is told of, once the lock is there.
    """
    if stands_beside(fitting, misfit.column) and ddl.views_on(cursor, table, [misfit.short]):
        return False
    ddl.lock_for_altering(cursor, table)
    if not ddl.is_empty(cursor, table):
        fitting.log.info(
            "Column `%s` of stream `%s` becomes `%s`, and was `%s`: PostgreSQL writes the table anew for that, and whoever reads "
            "it waits meanwhile.",
            misfit.field,
            fitting.stream.name,
            type_,
            misfit.found.type,
            extra=AT_ONCE | SCHEMA_CHANGE,
        )
    cursor.execute("SAVEPOINT singerkit_longer")
    try:
        ddl.widen_column(cursor, table, misfit.short, type_)
    except psycopg2.Error as error:
        if (
            cursor.connection.closed
            or error.pgcode in OTHERS_JUDGE
            or not stands_beside(fitting, misfit.column)
        ):
            raise
        cursor.execute(
            "ROLLBACK TO SAVEPOINT singerkit_longer"
        )  # a rule, a generated column, a partition key
        return False
    cursor.execute("RELEASE SAVEPOINT singerkit_longer")
    return True


def _suits(cursor: Cursor, found: ddl.ExistingColumn, wanted: ColumnType, kind: Kind) -> bool:
    """Tell whether the type of a column is the one that was chosen, or else keeps every value of ``kind``."""
    if not wanted.is_chosen or (wanted.is_default and keeps_values(found, kind)):
        return keeps_values(found, kind)
    return found.type == wanted.sql.lower() or found.type == ddl.column_of_type(cursor, wanted.sql).type
