"""A column that is there gets the type that the config chooses for it, where each of its values survives that (docs/decisions/0057).

A value survives where it is the same when it is turned back: the same letters of a text, the same number, the same moment. Of a text
that becomes a moment or a document, however that is written: with `Z` or `+00:00`, with other spaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, NoReturn

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from singerkit_sql_target.fitting import Fitting
from singerkit_sql_target.variants import variant_in
from singerkit_target.held import AT_ONCE, SCHEMA_CHANGE
from singerkit_wire.kinds import Column, Kind
from target_postgres import ddl
from target_postgres.changes import change_of, family, text_of
from target_postgres.ddl import ExistingColumn
from target_postgres.misfits import Misfit, refuse_chosen_type

__all__ = ["become_chosen"]

_OF_VALUES = ("22", "23", "0A")
"""SQLSTATE classes of what a value is refused with; the last one where NaN is to be an integer."""
_OF_TABLES = ("0A", "2B", "42")
"""Those of what keeps a column as it is: a generated column, a key of partitions, a foreign key, an index on an expression."""
_MOMENTS = ("moment", "local moment")
_DOCUMENTS = ("jsonb", "json")
_NUMBERS = ("integer", "decimal", "float")
_BY_LETTERS = ("float", "jsonb", "json", "other")
"""Families of which two values may be equal and not the same (`-0`, `1.0` in a document), or cannot be compared."""
_LONGER: Mapping[str, tuple[str, ...]] = {"int2": ("int4", "int8"), "int4": ("int8",)}


class _Way(NamedTuple):
    """What a column becomes, and whether a value survives that; None: each does."""

    using: Composable
    survives: Composable | None
    rewrites: bool = True


_NO_WAY = _Way(SQL("NULL"), SQL("false"))
"""That of a column without a value."""


def become_chosen(
    fitting: Fitting, cursor: Cursor, table: Identifier, misfit: Misfit, there: Mapping[str, ExistingColumn]
) -> None:
    """Change the column, whose table stays locked until the transaction ends; ``there`` are the columns of the table.

    Raises:
        BadDataError: a value would not be what it is, or something in the database keeps the column as it is.
    """
    wanted = ddl.column_of_type(cursor, misfit.wanted.sql)
    way = _way(misfit, wanted)
    why = _in_the_way(cursor, table, misfit)
    if why:
        refuse_chosen_type(fitting, cursor, table, misfit, why)
    _look(
        fitting, cursor, table, misfit, way
    )  # first while others read it, who are not to wait for a refusal
    ddl.lock_for_altering(cursor, table)
    count = _look(fitting, cursor, table, misfit, way)
    if count and way.rewrites:
        fitting.log.info(
            "Column `%s` of stream `%s` becomes `%s`, as was chosen, and was `%s`: PostgreSQL writes the table anew for that, and whoever "
            "reads it waits meanwhile.",
            misfit.field,
            fitting.stream.name,
            misfit.wanted.sql,
            misfit.found.type,
            extra=AT_ONCE | SCHEMA_CHANGE,
        )
    cursor.execute("SAVEPOINT singerkit_chosen")
    try:
        ddl.change_column(cursor, table, misfit.short, misfit.wanted.sql, way.using)
    except psycopg2.Error as error:
        _refuse(fitting, cursor, table, misfit, error)
    cursor.execute("RELEASE SAVEPOINT singerkit_chosen")
    _tell(fitting, cursor, table, misfit, there, count)


def _way(misfit: Misfit, wanted: ExistingColumn) -> _Way:
    column, found = misfit.column, misfit.found
    old, new = family(found), family(wanted)
    value = Identifier(misfit.short)
    change = change_of(column, found, wanted)
    if change is None or (misfit.is_key and not change.keeps_keys) or _is_another_value(old, new):
        return _NO_WAY
    is_whole = new == "integer" and old in ("decimal", "float")
    made = value if is_whole else change.expression(value, found, misfit.wanted.sql)
    using = SQL("({})::{}").format(made, SQL(misfit.wanted.sql))
    if old == new == "text" and wanted.base in ("text", "varchar") and wanted.typmod < 0:
        return _Way(using, None, rewrites=found.base == "bpchar")
    is_longer = old == "integer" and new == "decimal" and wanted.typmod < 0
    if is_longer or wanted.base in _LONGER.get(found.base, ()):
        return _Way(using, None)
    return _Way(using, _survives(column, value, found, using, wanted))


def _is_another_value(old: str, new: str) -> bool:
    """Whether a value that can be turned back means something else."""
    return "boolean" in (old, new) and bool({old, new} & {*_NUMBERS})


def _survives(
    column: Column, value: Composable, found: ExistingColumn, made: Composable, wanted: ExistingColumn
) -> Composable:
    """Return the condition under which a value is what it was; ``made`` is what becomes of it."""
    old, new = family(found), family(wanted)
    if new == "jsonb" and old in ("text", "json"):
        return _is_same_document(value, made)
    if old == "text" and new in _MOMENTS:
        return _equal(_as_moment(value), SQL(text_of(wanted).using).format(v=made))
    if old in _DOCUMENTS and new == "text":
        as_string = "pg_catalog.to_{}({})::text" if column.kind is Kind.STRING else "({1})::{0}::text"
        return _equal(SQL("{}::text").format(value), SQL(as_string).format(SQL(old), made))
    change = change_of(column, wanted, found)
    if change is None:
        return SQL("false")
    back = SQL("({})::{}").format(
        SQL(change.using).format(
            v=made,
            t=SQL(text_of(wanted).using).format(v=made),
            type=SQL(found.type),
            other=Literal(f"^(?!({change.pattern})$)"),
        ),
        SQL(found.type),
    )
    if old in ("text", *_BY_LETTERS):
        return _equal(SQL("{}::text").format(value), SQL("{}::text").format(back))
    return _equal(value, back)


def _equal(one: Composable, other: Composable) -> Composed:
    return SQL("{} IS NOT DISTINCT FROM {}").format(one, other)


def _is_same_document(value: Composable, made: Composable) -> Composed:
    """A member that is there twice goes without a word, and with it at least two quotation marks; nothing else takes or makes any."""
    return SQL(
        "({value}::text !~* '\\\\u0022' AND pg_catalog.length(pg_catalog.regexp_replace({value}::text, '[^\"]', '', 'g')) = "
        "pg_catalog.length(pg_catalog.regexp_replace({made}::text, '[^\"]', '', 'g')))"
    ).format(value=value, made=made)


def _as_moment(value: Composable) -> Composed:
    """Return a text as this target writes a moment in UTC: one in another zone stays what it is, and so does a day."""
    return SQL(
        "pg_catalog.regexp_replace(pg_catalog.regexp_replace(pg_catalog.regexp_replace({}::text, '([Zz]|[+-]00(:?00)?)$', ''), "
        "'(:[0-9]+)[.]0*$|([.][0-9]*[1-9])0+$', '\\1\\2'), '^([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})[Tt ](.*)$', '\\1T\\2Z')"
    ).format(value)


def _in_the_way(cursor: Cursor, table: Identifier, misfit: Misfit) -> str:
    """Say what keeps the column as it is, before it is looked at; an empty text: nothing is known."""
    if misfit.found.is_inherited:
        return "which is that of the table from which this one has it, and changes there"
    if ddl.views_on(cursor, table, [misfit.short]):
        return "which views read"
    if _has_own_collation(cursor, table, misfit.short):
        return "which has a collation of its own, and would lose it"
    if _hides_rows(cursor, table):
        return "of which row level security may hide values from this role"
    return ""


_OWN_COLLATION = """
SELECT a.attcollation <> t.typcollation FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %s::regclass AND a.attname = %s
"""


def _has_own_collation(cursor: Cursor, table: Identifier, column: str) -> bool:
    """Tell whether a column is compared otherwise than its type is: one that gets another type loses that."""
    cursor.execute(_OWN_COLLATION, [table.as_string(cursor), column])
    return cursor.fetchone() == (True,)


def _hides_rows(cursor: Cursor, table: Identifier) -> bool:
    """Tell whether row level security applies to what this role reads of a table."""
    cursor.execute("SELECT pg_catalog.row_security_active(%s::regclass)", [table.as_string(cursor)])
    return cursor.fetchone() == (True,)


def _look(fitting: Fitting, cursor: Cursor, table: Identifier, misfit: Misfit, way: _Way) -> int:
    """Return how many values there are, or 1 where nothing has to be looked at.

    Raises:
        BadDataError: some would not survive.
    """
    if way.survives is None:
        return int(ddl.holds_values(cursor, table, misfit.short))
    cursor.execute("SAVEPOINT singerkit_look")
    try:
        values, lost = _counted(cursor, table, misfit.short, way.survives)
    except psycopg2.Error as error:
        if cursor.connection.closed or not str(error.pgcode).startswith(_OF_VALUES):
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT singerkit_look")
        values, lost = _counted_one_by_one(cursor, table, misfit, way.survives)
    cursor.execute("RELEASE SAVEPOINT singerkit_look")
    if lost:
        some = "whose only value" if values == 1 else f"of whose {values} values {lost}"
        refuse_chosen_type(fitting, cursor, table, misfit, f"{some} would not be what it was")
    return values


def _counted(cursor: Cursor, table: Identifier, column: str, survives: Composable) -> tuple[int, int]:
    """Return how many values there are, and how many of them would not survive."""
    cursor.execute(
        SQL(
            "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE NOT ({})) FROM {} WHERE {} IS NOT NULL"
        ).format(survives, table, Identifier(column))
    )
    values, lost = cursor.fetchone() or (0, 0)
    return int(values), int(lost)


def _counted_one_by_one(
    cursor: Cursor, table: Identifier, misfit: Misfit, survives: Composable
) -> tuple[int, int]:
    """Return the same where PostgreSQL refuses to turn some of the values, and with the first one the statement."""
    body = SQL(
        "BEGIN RETURN {}; EXCEPTION WHEN data_exception OR integrity_constraint_violation OR feature_not_supported THEN RETURN false; END"
    ).format(survives)
    cursor.execute("SAVEPOINT singerkit_counting")
    try:
        cursor.execute(
            SQL(
                "CREATE FUNCTION pg_temp.singerkit_survives({} {}) RETURNS boolean LANGUAGE plpgsql AS {}"
            ).format(Identifier(misfit.short), SQL(misfit.found.type), Literal(body.as_string(cursor)))
        )
        one = SQL("pg_temp.singerkit_survives({})").format(Identifier(misfit.short))
        found = _counted(cursor, table, misfit.short, one)
    except psycopg2.Error as error:
        if error.pgcode != errorcodes.INSUFFICIENT_PRIVILEGE:
            raise
        return 0, 1  # a role that may make no function is not told how many
    finally:
        if not cursor.connection.closed:
            cursor.execute("ROLLBACK TO SAVEPOINT singerkit_counting")
    return found


def _refuse(
    fitting: Fitting, cursor: Cursor, table: Identifier, misfit: Misfit, error: psycopg2.Error
) -> NoReturn:
    """End the run for what keeps the column as it is; of values PostgreSQL's own words are not shown."""
    code = str(error.pgcode)
    is_known = code.startswith((*_OF_VALUES, *_OF_TABLES)) and code != errorcodes.INSUFFICIENT_PRIVILEGE
    if cursor.connection.closed or not is_known:
        raise error
    cursor.execute("ROLLBACK TO SAVEPOINT singerkit_chosen")
    said = (
        error.diag.message_primary
        if code.startswith(_OF_TABLES)
        else "a constraint or an index refuses the values"
    )
    detail = (
        f", {error.diag.message_detail}" if error.diag.message_detail and code.startswith(_OF_TABLES) else ""
    )
    refuse_chosen_type(fitting, cursor, table, misfit, f"which PostgreSQL keeps as it is ({said}{detail})")


def _tell(
    fitting: Fitting,
    cursor: Cursor,
    table: Identifier,
    misfit: Misfit,
    there: Mapping[str, ExistingColumn],
    count: int,
) -> None:
    """Say what was done, and how what stands beside the column comes back into it."""
    variant = variant_in(there, misfit.field)
    back = ""
    if (
        variant is not None
        and misfit.wanted.sql.lower() == "text"
        and ddl.holds_values(cursor, table, variant)
    ):
        column, beside = Identifier(misfit.short), Identifier(variant)
        statement = SQL("UPDATE {0} SET {1} = {2}, {2} = NULL WHERE {2} IS NOT NULL").format(
            table, column, beside
        )
        back = f" What stands beside it comes back with `{statement.as_string(cursor)}`."
    fitting.log.warning(
        "Column `%s` of stream `%s` is `%s` now, as was chosen, and was `%s`: %s.%s",
        misfit.field,
        fitting.stream.name,
        misfit.wanted.sql,
        misfit.found.type,
        "all that is stored there is what it was" if count else "it had no value",
        back,
        extra=SCHEMA_CHANGE,
    )
