"""Whether a run can begin: a run says the first thing that is missing, before it writes anything, and --test prints them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import cast

import click

from singerkit_shell.errors import ConfigurationError, NotAuthorisedError, SingerkitError
from singerkit_sql_tap.tap import SqlTap
from tap_postgres.catalog import Relation
from tap_postgres.database import PostgresDatabase
from tap_postgres.log.queries import Queries
from tap_postgres.log.settings import PostgresLogSettings
from tap_postgres.log.slots import settled
from tap_postgres.readiness.facts import Asked, Facts, facts_of, with_log
from tap_postgres.readiness.findings import Finding, of_reading, of_tables_in_log, of_the_rest
from tap_postgres.streams import PostgresStream

__all__ = ["check", "check_log", "show"]

_END = "-- Here the statements end: psql reads no further.\n\\q"
"""A run ends with a sentence for people, and the log may say something before."""
_DOING = "looking at grants and settings"


def check(tap: SqlTap) -> None:
    """See that a run can begin.

    Raises:
        NotAuthorisedError, ConfigurationError: something is missing.
    """
    _check(tap, of_reading, "Nothing was read.")


def check_log(tap: SqlTap) -> None:
    """See that tables may be published, whoever reads them.

    Raises:
        ConfigurationError: the log would not tell of one exactly, or others could not change it any more.
    """
    _check(tap, of_tables_in_log, "Nothing was made.")


def _check(tap: SqlTap, judge: Callable[[Facts, Sequence[Asked]], Sequence[Finding]], safe: str) -> None:
    asked = _asked(tap)
    if not asked:
        return
    database = cast(PostgresDatabase, tap.database)
    connection = database.connection
    found = judge(database.run(lambda: facts_of(connection, asked), _DOING), asked)
    if found:
        raise _error(found, safe, "`tap-postgres --test` names all")


def show(tap: SqlTap) -> None:
    """Print on stderr what is missing, each with the statement that mends it: all of it can be given to `psql`.

    Raises:
        NotAuthorisedError, ConfigurationError: something is missing.
    """
    asked = _asked(tap)
    database = cast(PostgresDatabase, tap.database)
    connection = database.connection
    with closing(Queries(database.connected, tap.place())) as queries:
        said = settled(PostgresLogSettings.of(tap.config, tap.pipeline), queries, goes_on=True)
    facts = database.run(lambda: facts_of(connection, asked), _DOING)
    if any(one.is_log_based for one in asked):
        known = facts
        facts = database.run(lambda: with_log(connection, known, asked, said.publication, said.slot), _DOING)
    found = of_reading(facts, asked)
    found += of_the_rest(facts, asked, said.publication, said.slot, makes=said.makes)
    for one in found:
        click.echo(f"-- {one.place}: {one.sentence}{one.then}", err=True)
        if one.statement:
            click.echo(one.statement, err=True)
    if any(one.statement for one in found):
        click.echo(_END, err=True)
    needed = [one for one in found if not one.advised]
    if needed:
        raise _error(needed, "Nothing was read.", "all are named above")


def _asked(tap: SqlTap) -> list[Asked]:
    streams = [one for one in tap.table_streams if one.selected and isinstance(one, PostgresStream)]
    return [_asked_of(stream, cast(Relation, stream.table)) for stream in streams]


def _asked_of(stream: PostgresStream, table: Relation) -> Asked:
    return Asked(
        table.schema_name,
        table.relation,
        tuple(stream.selected_columns),
        tuple(stream.primary_keys),
        stream.bookmark_key is not None,
        stream.is_log_based,
    )


def _error(found: Sequence[Finding], safe: str, others: str) -> SingerkitError:
    first, more = found[0], len(found) - 1
    kind = NotAuthorisedError if first.is_of_rights else ConfigurationError
    way = f" Run: {first.statement}{first.then}" if first.statement else first.then
    rest = f" {more} more {'is' if more == 1 else 'are'} missing: {others}." if more else ""
    return kind(f"{first.place}: {first.sentence[:1].lower()}{first.sentence[1:]} {safe}{way}{rest}")
