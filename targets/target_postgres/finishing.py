"""After the last commit of a complete run: what the config wants of its tables, on a connection of its own that commits each statement.

What is there already is left as it is, so a run that was killed before leaves it to the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import psycopg2
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from singerkit_catalog.patterns import most_exact, unmatched
from singerkit_postgres.connect import Connection
from singerkit_postgres.errors import first_line, kind_of
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.signals import stop_flag
from target_postgres.names import identifier
from target_postgres.tables import Table
from target_postgres.upkeep import Index, Making, Upkeep

__all__ = ["finish", "run_before"]


def finish(
    upkeep: Upkeep, connection: Connection, tables: Collection[Table], schema: str, log: logging.Logger
) -> None:
    """Do after a complete run what is lacking, and the user's SQL at the end, with the path of `run_before`.

    Raises:
        SingerkitError: something was refused; all rows are committed.
    """
    connection.autocommit = True
    with connection.cursor() as cursor:
        for table in tables:
            for doing, statement in _lacking(upkeep, cursor, table, log):
                _execute(cursor, doing, statement)
        if upkeep.after:
            cursor.execute("SET search_path TO DEFAULT")
            cursor.execute(_USERS_PATH, [schema, False])
        for number, text in enumerate(upkeep.after):
            _execute(cursor, f"running `post_sql[{number}]`", text)
    streams = [table.stream for table in tables]
    for setting, given in (
        ("indexes", upkeep.indexes),
        ("unlogged", upkeep.unlogged),
        ("tablespace", upkeep.tablespaces),
        ("partition_by", upkeep.divisions),
    ):
        for pattern in unmatched(given, streams):
            log.warning(
                "`%s` names `%s`, and this run had no such stream: correct the name, unless that is left out on purpose.",
                setting,
                pattern,
            )


def _lacking(
    upkeep: Upkeep, cursor: Cursor, table: Table, log: logging.Logger
) -> Iterator[tuple[str, Composable]]:
    where = f"of stream `{table.stream}`"
    for index in most_exact(upkeep.indexes, table.stream, "indexes") or ():
        for statement in _index_statements(cursor, table, index):
            yield f"making an index {where}", statement
    for statement in _grants(cursor, table, upkeep.readers):
        yield f"granting the table {where}", statement
    if upkeep.comments:
        for statement in _comments(cursor, table):
            yield f"commenting the table {where}", statement
    if upkeep.analyze_rows is not None and _changed(cursor, table) >= upkeep.analyze_rows:
        yield f"analyzing the table {where}", SQL("ANALYZE {}").format(table.identifier)
    _tell_how_it_was_made(cursor, table, upkeep.making(table.stream), log)


_USERS_PATH = """
    SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', pg_catalog.quote_ident(%s),
        NULLIF(pg_catalog.current_setting('search_path'), '')), %s)
"""
"""For the user's SQL alone: what has no schema is in the one of the config, then where the role has it."""


def run_before(connection: Connection, statements: Sequence[str], schema: str) -> None:
    """Execute the user's SQL in one transaction; names without a schema are those of ``schema``, then of the role's path.

    Raises:
        SingerkitError: it was refused, and is rolled back.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL search_path TO DEFAULT")
        cursor.execute(_USERS_PATH, [schema, True])
        for number, text in enumerate(statements):
            try:
                cursor.execute(text)
            except psycopg2.Error as error:
                if connection.closed:
                    raise
                raise kind_of(error)(
                    f"PostgreSQL refused `pre_sql[{number}]` ({first_line(error)}); it was rolled back, and nothing was loaded: correct it, "
                    "then run again."
                ) from None


def _execute(cursor: Cursor, doing: str, statement: str | Composable) -> None:
    stop_flag.raise_if_set(f"all rows are committed, {doing} was left to the next run.")
    try:
        cursor.execute(statement)
    except psycopg2.Error as error:
        raise kind_of(error)(
            f"PostgreSQL refused {doing} ({first_line(error)}). All rows are committed: correct the config or what is in its way, then run "
            "again, which does what is lacking."
        ) from None


_SAME_INDEX = """
    SELECT c.relname, i.indisvalid FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_am m ON m.oid = c.relam
    WHERE i.indrelid = %s AND m.amname = %s AND i.indpred IS NULL AND i.indexprs IS NULL AND (
        SELECT array_agg(a.attname::text ORDER BY k.at) FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, at)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number WHERE k.at <= i.indnkeyatts
    ) = %s
"""


def _index_statements(cursor: Cursor, table: Table, index: Index) -> Iterator[Composed]:
    columns = [table.columns[name] for name in index.fields if name in table.columns]
    cursor.execute(_SAME_INDEX, [table.shape.oid, index.using, columns])
    found = cursor.fetchall()
    if any(is_valid for _, is_valid in found):
        return
    cursor.execute("SELECT relkind = 'r' FROM pg_catalog.pg_class WHERE oid = %s", [table.shape.oid])
    (is_plain,) = cursor.fetchone() or (True,)
    beside = SQL("CONCURRENTLY " if is_plain else "")  # a partitioned table has no such way
    for name, _ in found:  # what was begun and cut off
        yield SQL("DROP INDEX {}{}").format(beside, Identifier(table.schema, name))
    method = "" if index.using == "btree" else f"{index.using}_"
    name = identifier("_".join([table.name, *columns, f"{method}idx"]))
    yield SQL("CREATE INDEX {}IF NOT EXISTS {} ON {} USING {} ({})").format(
        beside,
        Identifier(name),
        table.identifier,
        Identifier(index.using),
        SQL(", ").join(map(Identifier, columns)),
    )


def _grants(cursor: Cursor, table: Table, readers: Sequence[str]) -> Iterator[Composed]:
    for reader in readers:
        cursor.execute("SELECT oid FROM pg_catalog.pg_roles WHERE rolname = %s", [reader])
        if cursor.fetchone() is None and reader != "public":
            raise ConfigurationError(
                f"Expected roles at `grant_select`, got `{reader}`, which this server does not have. All rows are committed: correct the config "
                "or create it, then run again."
            )
        role = SQL("PUBLIC") if reader == "public" else Identifier(reader)
        cursor.execute("SELECT pg_catalog.has_schema_privilege(%s, %s, 'USAGE')", [reader, table.schema])
        if cursor.fetchone() == (False,):
            yield SQL("GRANT USAGE ON SCHEMA {} TO {}").format(Identifier(table.schema), role)
        cursor.execute(
            "SELECT pg_catalog.has_table_privilege(%s, %s::oid, 'SELECT')", [reader, table.shape.oid]
        )
        if cursor.fetchone() == (False,):
            yield SQL("GRANT SELECT ON {} TO {}").format(table.identifier, role)


def _comments(cursor: Cursor, table: Table) -> Iterator[Composed]:
    given = table.given
    said = given.schema.get("description")
    cursor.execute("SELECT pg_catalog.obj_description(%s, 'pg_class')", [table.shape.oid])
    if _is_text(said) and cursor.fetchone() != (said,):
        yield SQL("COMMENT ON TABLE {} IS {}").format(table.identifier, Literal(said))
    cursor.execute(
        "SELECT attname, pg_catalog.col_description(attrelid, attnum) FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attnum > 0",
        [table.shape.oid],
    )
    there = dict(cursor.fetchall())
    for column in given.columns:
        said, name = column.schema.get("description"), table.columns[column.name]
        if _is_text(said) and there.get(name) != said:
            yield SQL("COMMENT ON COLUMN {}.{} IS {}").format(
                table.identifier, Identifier(name), Literal(said)
            )


def _is_text(said: Any) -> bool:
    return isinstance(said, str) and bool(said) and "\x00" not in said


def _changed(cursor: Cursor, table: Table) -> int:
    """How many rows have changed since the last ANALYZE, of any table below it, too."""
    cursor.execute(
        "SELECT coalesce(sum(pg_catalog.pg_stat_get_mod_since_analyze(t.relid)), 0) FROM (SELECT %s::oid UNION SELECT relid "
        "FROM pg_catalog.pg_partition_tree(%s::oid::regclass)) t(relid)",
        [table.shape.oid, table.shape.oid],
    )
    (found,) = cursor.fetchone() or (0,)
    return int(found)


def _tell_how_it_was_made(cursor: Cursor, table: Table, making: Making, log: logging.Logger) -> None:
    """Name what of the config holds for tables that are made only, and not for this one, which was there."""
    cursor.execute(
        "SELECT c.relpersistence = 'u', s.spcname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = c.reltablespace "
        "WHERE c.oid = %s AND c.relkind = 'r'",
        [table.shape.oid],
    )
    is_unlogged, tablespace = cursor.fetchone() or (True, making.tablespace)  # its partitions are what counts
    changes = []
    if making.unlogged and not is_unlogged:
        changes.append("SET UNLOGGED")
    if making.tablespace not in (None, tablespace, "pg_default"):
        changes.append(SQL("SET TABLESPACE {}").format(Identifier(making.tablespace or "")).as_string(cursor))
    for change in changes:
        log.warning(
            "The table of stream `%s` was there, and is not made as the config says: `ALTER TABLE %s %s` changes it.",
            table.stream,
            table.quoted,
            change,
        )
