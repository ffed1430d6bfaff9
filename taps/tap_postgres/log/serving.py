"""The log for the streams of one run of the tap."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import Any, cast

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import make_dsn

from singerkit_sql_tap.queries import Query
from singerkit_sql_tap.tap import SqlTap
from singerkit_tap.changes import listed, reset_of
from singerkit_tap.log_state import Progress
from singerkit_tap.stream import BlockStream
from tap_postgres.catalog import PARTITIONED, PgColumn, Relation, found_types
from tap_postgres.config import admits_text, local_is_utc
from tap_postgres.database import PostgresDatabase
from tap_postgres.log.queries import Queries
from tap_postgres.log.reader import PostgresLogReader
from tap_postgres.log.settings import PostgresLogSettings
from tap_postgres.log.settling import FittedValues, Settles
from tap_postgres.log.tables import LoggedTable
from tap_postgres.streams import PostgresStream
from tap_postgres.types import Kind, PgType, Types
from tap_postgres.unusual import UnusualValues, setting_of

__all__ = ["log_reader", "logged", "started"]

_LOOKING = "looking for types"
_MONEY_DIGITS = "SELECT pg_catalog.scale('1'::pg_catalog.money::pg_catalog.numeric)"
"""`lc_monetary` of the database says where the point of its amounts stands."""


def log_reader(tap: SqlTap, streams: Sequence[BlockStream]) -> PostgresLogReader:
    """Return what reads the log for ``streams``."""
    database = cast(PostgresDatabase, tap.database)
    chosen = [cast(PostgresStream, stream) for stream in streams]
    types = _types(tap, database)

    def connect(parameters: Mapping[str, str]) -> Connection:
        return (
            psycopg2.connect(make_dsn(database.dsn(), **parameters)) if parameters else database.connected()
        )

    by_name = {stream.name: stream for stream in chosen}

    def unusual(stream: str, columns: Mapping[str, int]) -> Settles:
        said = {name: setting_of(types.kind(oid), types.schema(oid)) for name, oid in columns.items()}
        settings = {name: setting for name, setting in said.items() if setting is not None}
        found = UnusualValues(stream, settings, tap.config, keys=by_name[stream].primary_keys, is_of_log=True)
        if not by_name[stream].samples_json:
            return found
        of_json = [name for name, oid in columns.items() if types.kind(oid) is Kind.JSON]
        return FittedValues(found, lambda rows: by_name[stream].fit_json(rows, of_json))

    return PostgresLogReader(
        [logged(stream) for stream in chosen],
        connect,
        tap.place(),
        types,
        PostgresLogSettings.of(tap.config, tap.pipeline),
        {stream.name: stream.table.column_names for stream in chosen},
        Renewal(tap, chosen, types),
        unusual,
        lambda stream, columns: _tell_added(by_name[stream], columns),
    )


def _tell_added(stream: PostgresStream, columns: Collection[str]) -> None:
    names = [*columns]
    it = "it" if len(names) == 1 else "them"
    stream.logger.warning(
        "Stream `%s` is sent with %s from now on, added or renamed at the source while it is read: rows that do not change come without %s. "
        "If %s a value there, run %s; this is said once.",
        *(stream.name, listed(names), it, "it has" if len(names) == 1 else "they have", reset_of(stream)),
    )


def started(tap: SqlTap) -> list[str]:
    """Return the streams that the state says were read from the log before."""
    bookmarks = tap.start_state.get("bookmarks", {})
    return [name for name, part in bookmarks.items() if Progress.of(part) is not None]


def _types(tap: SqlTap, database: PostgresDatabase) -> Types:
    ((digits,),) = database.rows(Query(_MONEY_DIGITS), _LOOKING)
    return Types(
        database.types,
        local_is_utc=local_is_utc(tap.config),
        admits_text=admits_text(tap.config),
        money_digits=int(digits),
        again=lambda: _types_now(database, tap.place()),
    )


def _types_now(database: PostgresDatabase, place: str) -> Mapping[int, PgType]:
    with closing(Queries(database.connected, place)) as queries:
        return found_types(lambda statement: queries.ask(statement, doing=_LOOKING))


def logged(stream: PostgresStream) -> LoggedTable:
    """Return the table of a stream as the log is asked for it."""
    table = cast(Relation, stream.table)
    columns = {name: cast(PgColumn, table.column(name)).type_oid for name in stream.selected_columns}
    key, is_partitioned = tuple(stream.primary_keys), table.kind == PARTITIONED
    return LoggedTable(stream.name, table.schema_name, table.relation, key, columns, is_partitioned)


class Renewal:
    """Goes on with other columns in mid-log; see `tap_postgres.log.reader.Renew`."""

    def __init__(self, tap: SqlTap, streams: Sequence[PostgresStream], types: Types) -> None:
        self._tap, self._types = tap, types
        self._streams = {stream.name: stream for stream in streams}

    def __call__(self, name: str, columns: Mapping[str, int]) -> Mapping[str, int]:
        stream = self._streams[name]
        properties: dict[str, Any] = dict(stream.effective_schema.get("properties") or {})
        for column, oid in columns.items():
            if column in properties or not stream.has_catalog:
                properties[column] = self._types.schema(oid)
        stream.grow_schema({**stream.effective_schema, "properties": properties})
        self._tap.apply_rules(self._tap.streams)
        self._tap.sync_run.renew_schema(stream)
        return {column: oid for column, oid in columns.items() if column in stream.selected_columns}
