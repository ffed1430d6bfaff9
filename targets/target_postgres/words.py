"""What the rooms of `singerkit_sql_target` that both kinds of loaders use ask of PostgreSQL: its words, and a cursor that runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor

from singerkit_sql_target.dialect import Pattern
from singerkit_sql_target.letters import literal
from singerkit_wire.kinds import Kind
from target_postgres import ddl
from target_postgres.domain import ABILITIES
from target_postgres.faults import is_refusal, refusal
from target_postgres.names import column_identifier, identifier
from target_postgres.types import VALUE_TABLE

__all__ = ["WORDS", "Asked", "lock_for_unit", "referring_table"]


class _PostgresWords:
    """The `Words` of PostgreSQL."""

    name = "PostgreSQL"
    abilities = ABILITIES
    types: Mapping[Kind, str] = {kind: row.sql for kind, row in VALUE_TABLE.items()}
    errors: tuple[type[Exception], ...] = (psycopg2.Error,)
    now, emptying, leaves_rows = "clock_timestamp()", "TRUNCATE", True
    comments = (
        "SELECT nspname, relname, comment FROM (SELECT objoid, description AS comment FROM pg_catalog.pg_description "
        "WHERE classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND objsubid > 0) AS said "
        "JOIN pg_catalog.pg_class AS c ON c.oid = objoid JOIN pg_catalog.pg_namespace AS n ON n.oid = relnamespace WHERE true"
    )

    def quote(self, *names: str) -> str:
        """As libpq quotes on a connection of UTF-8, which ours are; `names.py` has refused what is no text."""
        return ".".join('"' + name.replace('"', '""') + '"' for name in names)

    def table_name(self, stream: str) -> str:
        return identifier(stream)

    def column_name(self, field: str) -> str:
        return column_identifier(field)

    def matches(self, text: str, pattern: Pattern, *, whole: bool = True) -> str:
        said = pattern.in_words_of("postgres")
        return f"{self.plain_text(text)} ~ {literal(f'^(?:{said})$' if whole else said)}"

    def plain_text(self, text: str) -> str:
        return f'({text}) COLLATE "C"'

    def kept_rows(self, error: Exception) -> tuple[str, str] | None:
        if not isinstance(error, psycopg2.Error):
            return None
        referring = referring_table(error)
        if referring is not None:
            return (
                f"rows of the table {'.'.join(referring)} refer to them ({refusal(error)})",
                f"delete or change those rows, make the foreign key `{error.diag.constraint_name}` anew with `ON DELETE CASCADE` or "
                "`ON DELETE SET NULL`",
            )
        if is_refusal(error):
            return refusal(error), "let the trigger or constraint of the table take it"
        return None


WORDS = _PostgresWords()


def lock_for_unit(what: str) -> str:
    """Return a statement that waits until no other transaction holds what is called so, and holds it until this one ends."""
    key = int.from_bytes(hashlib.blake2b(f"singerkit {what}".encode(), digest_size=8).digest(), signed=True)
    return f"SELECT pg_catalog.pg_advisory_xact_lock({key})"


class Asked:
    """A cursor as `Runs`: statements have no parameters, so a percent sign in a name is one."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        self._cursor.execute(statement)
        return self._cursor.fetchall() if self._cursor.description else []

    def written(self, statement: str) -> int:
        self._cursor.execute(statement)
        return int(self._cursor.rowcount)

    def inspect(self, schema: str, table: str) -> ddl.Existing | None:
        return ddl.inspect(self._cursor, schema, table)


def referring_table(error: psycopg2.Error) -> tuple[str, str] | None:
    """Return schema and name of the table whose foreign key refuses a change."""
    diag = error.diag
    if error.pgcode != errorcodes.FOREIGN_KEY_VIOLATION or not diag.table_name:
        return None
    return diag.schema_name or "", diag.table_name
