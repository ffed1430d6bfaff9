"""The logical slots of a server, and the publication of a config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from singerkit_sql_tap.tap import SqlTap
from singerkit_tap.stream import BlockStream
from tap_postgres.database import PostgresDatabase
from tap_postgres.log.publications import Publication
from tap_postgres.log.queries import Queries
from tap_postgres.log.serving import logged, started
from tap_postgres.log.settings import PostgresLogSettings
from tap_postgres.log.slots import settled
from tap_postgres.streams import PostgresStream

__all__ = ["Site", "SlotSeen", "seen_slots"]

_SLOTS = """
    WITH here AS (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
        ELSE pg_catalog.pg_current_wal_lsn() END AS lsn)
    SELECT s.slot_name, s.plugin, s.database, s.database = pg_catalog.current_database(), s.temporary, s.active_pid,
        pg_catalog.concat_ws(' ', 'process ' || s.active_pid, 'of ' || a.usename, 'from ' || pg_catalog.host(a.client_addr), NULLIF(a.application_name, '')),
        pg_catalog.pg_wal_lsn_diff(here.lsn, s.restart_lsn)::bigint, s.wal_status, s.confirmed_flush_lsn::text,
        CASE WHEN s.restart_lsn IS NOT NULL THEN GREATEST(0, pg_catalog.pg_wal_lsn_diff(LEAST(here.lsn,
            (SELECT pg_catalog.min(o.restart_lsn) FROM pg_catalog.pg_replication_slots AS o WHERE o.slot_name <> s.slot_name)),
            s.restart_lsn))::bigint END, pg_catalog.to_jsonb(s) ->> 'inactive_since'
    FROM here, pg_catalog.pg_replication_slots AS s LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = s.active_pid
    WHERE s.slot_type = 'logical' ORDER BY s.slot_name"""


@dataclass(frozen=True)
class SlotSeen:
    """A logical slot of the server.

    ``held``: bytes of the log that are kept for it, ``alone``: those that no other slot needs; None where it has lost its log.
    ``idle_since``: None where somebody reads it, or where the server does not tell (before PostgreSQL 17).
    """

    name: str
    plugin: str
    database: str
    is_here: bool
    is_temporary: bool
    active_pid: int | None
    reader: str
    held: int | None
    wal_status: str | None
    confirmed: str | None
    alone: int | None
    idle_since: str | None


def seen_slots(queries: Queries) -> list[SlotSeen]:
    """Return all logical slots of the server, in the order of their names."""
    rows = queries.ask(_SLOTS, doing="looking for replication slots")
    return [SlotSeen(*row) for row in rows]


class Site:
    """What the commands work on: the names of a config, its tables that are read from the log, and the server. Use as a context manager."""

    def __init__(self, tap: SqlTap) -> None:
        self.tap = tap
        self.database = cast(PostgresDatabase, tap.database)
        self.queries = Queries(self.database.connected, tap.place())
        settings = PostgresLogSettings.of(tap.config, tap.pipeline)
        self.settings = settled(settings, self.queries, goes_on=bool(started(tap)))

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self.queries.close()
        self.database.close()

    def publication(self) -> Publication:
        """Return the publication of the config, with the tables that are read from the log."""
        tables = [logged(stream) for stream in self.streams()]
        return Publication(self.queries, self.settings.publication, tables)

    def streams(self) -> Sequence[PostgresStream]:
        """Return the streams that are read from the log."""
        streams: Sequence[BlockStream] = self.tap.block_streams
        return [
            one for one in streams if isinstance(one, PostgresStream) and one.is_log_based and one.selected
        ]
