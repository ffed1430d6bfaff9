"""What the catalog says of the server, the role and all tables that are read: five queries, however many tables there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg2.extensions import connection as Connection

from tap_postgres.log.publications import NAMES_ROWS, NOT_IN_LOG, WITHOUT_IDENTITY
from tap_postgres.log.slots import TWO_PHASE

__all__ = [
    "Asked",
    "Facts",
    "Part",
    "Publication",
    "Published",
    "Server",
    "Slot",
    "Standing",
    "facts_of",
    "with_log",
]


@dataclass(frozen=True)
class Asked:
    """What a run reads of one table. ``log``: its changes are read from the log, too; ``key``: what tells its rows apart."""

    schema: str
    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...] = ()
    is_incremental: bool = False
    is_log_based: bool = False


@dataclass(frozen=True)
class Server:
    """The server and the role of this session."""

    version: int
    role: str
    login: str
    database: str
    may_replicate: bool
    has_rds: bool
    may_make: bool
    sees_sessions: bool
    is_standby: bool
    wal_level: str
    waits_for_restart: bool
    slots: int
    slots_taken: int
    senders: int
    senders_taken: int


@dataclass(frozen=True)
class Standing:
    """One table, as this role finds it; ``readable``: the columns that it may read; ``generated``: those that are computed and
    stored; ``not_in_log``: those that no log of this server has.
    """

    oid: int
    kind: str
    persistence: str
    is_filled: bool
    may_use_schema: bool
    may_read: bool
    readable: frozenset[str]
    generated: frozenset[str]
    not_in_log: frozenset[str]
    hides_rows: bool
    is_own: bool


@dataclass(frozen=True)
class Part:
    """A table of its own, or a partition: what the log tells of a row that is changed or deleted.

    ``identity``: the columns; None: nothing, so that a publication makes the changes of others fail; ``is_whole``: all of them, whatever
    comes. ``index``: one that would do. ``kind`` and ``persistence``: as in `pg_class`.
    """

    schema: str
    table: str
    identity: frozenset[str] | None
    is_whole: bool
    index: str | None
    kind: str = "r"
    persistence: str = "p"


@dataclass(frozen=True)
class Publication:
    """A publication: which changes it has, and of what."""

    has_all_changes: bool
    has_all_tables: bool
    has_generated: bool
    is_by_root: bool
    is_own: bool
    bare: Sequence[tuple[str, str, bool]] = ()
    """Tables and partitions of it, schema and name, of which changes fail by it, and whether each stands in it by itself."""


@dataclass(frozen=True)
class Published:
    """How a table is in the publication; None: all of its columns."""

    columns: frozenset[str] | None
    has_condition: bool


@dataclass(frozen=True)
class Slot:
    """A replication slot of the name that the config says."""

    kind: str
    plugin: str | None
    database: str | None
    is_temporary: bool
    is_two_phase: bool
    wal_status: str
    held: int | None = None
    room: int | None = None


@dataclass(frozen=True)
class Facts:
    """All that is known; tables are by their place in what was asked for, and a table that is not there has no `Standing`."""

    server: Server
    standings: Mapping[int, Standing]
    parts: Mapping[int, Sequence[Part]]
    publication: Publication | None = None
    published: Mapping[int, Published] | None = None
    slot: Slot | None = None


_SERVER = """
SELECT current_setting('server_version_num')::int, current_user, session_user, current_database(),
    s.rolsuper OR s.rolreplication OR EXISTS (
        SELECT FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(session_user, oid, 'MEMBER')),
    EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication'),
    has_database_privilege(current_database(), 'CREATE'),
    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
    pg_is_in_recovery(), current_setting('wal_level'),
    (SELECT pending_restart FROM pg_settings WHERE name = 'wal_level'),
    current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots)::int,
    current_setting('max_wal_senders')::int, (SELECT count(*) FROM pg_stat_get_wal_senders())::int
FROM pg_roles AS s WHERE s.rolname = session_user
"""
_STANDINGS = f"""
SELECT a.place::int - 1, c.oid, c.relkind::text, c.relpersistence::text, c.relispopulated,
    has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(c.oid, 'SELECT'),
    array(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        AND has_column_privilege(c.oid, attnum, 'SELECT')),
    array(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        AND attgenerated = 's'),
    array(SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND ({NOT_IN_LOG})),
    row_security_active(c.oid), pg_has_role(c.relowner, 'USAGE')
FROM unnest(%(schemas)s::text[], %(tables)s::text[]) WITH ORDINALITY AS a (schema_name, table_name, place)
JOIN pg_namespace AS n ON n.nspname = a.schema_name
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = a.table_name
"""
_PARTS = f"""
SELECT a.place::int - 1, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, c.relreplident::text,
    (SELECT array_agg(k.attname::text) FROM pg_index AS i JOIN pg_attribute AS k ON k.attrelid = c.oid AND k.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
        WHERE i.indrelid = c.oid AND {NAMES_ROWS}),
    (SELECT x.relname::text FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
        AND NOT EXISTS (SELECT FROM pg_attribute AS k WHERE k.attrelid = c.oid AND k.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]) AND NOT k.attnotnull)
        AND %(keys)s::jsonb -> (a.place::int - 1) <@ (SELECT jsonb_agg(k.attname) FROM pg_attribute AS k
            WHERE k.attrelid = c.oid AND k.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
        ORDER BY i.indisprimary DESC, i.indnkeyatts, x.relname LIMIT 1)
FROM unnest(%(oids)s::oid[]) WITH ORDINALITY AS a (oid, place)
LEFT JOIN LATERAL pg_partition_tree(a.oid) AS t ON t.isleaf OR t.level = 0
JOIN pg_class AS c ON c.oid = coalesce(t.relid, a.oid) AND c.relkind IN ('r', 'p', 'm', 'f')
JOIN pg_namespace AS n ON n.oid = c.relnamespace
"""
_PUBLICATION = """
SELECT oid, pubinsert AND pubupdate AND pubdelete AND pubtruncate, puballtables,
    coalesce(to_jsonb(p) ->> 'pubgencols' = 's', false), pubviaroot, pg_has_role(pubowner, 'USAGE')
FROM pg_publication AS p WHERE pubname = %(publication)s
"""
_PUBLISHED = """
SELECT a.place::int - 1,
    CASE WHEN to_jsonb(r) ->> 'prattrs' IS NOT NULL THEN array(SELECT k.attname::text FROM pg_attribute AS k
        WHERE k.attrelid = r.prrelid AND to_jsonb(r) -> 'prattrs' @> to_jsonb(k.attnum)) END,
    to_jsonb(r) ->> 'prqual' IS NOT NULL
FROM unnest(%(oids)s::oid[]) WITH ORDINALITY AS a (oid, place)
LEFT JOIN LATERAL pg_partition_ancestors(a.oid) AS t ON true
JOIN pg_publication_rel AS r ON r.prpubid = %(publication)s AND r.prrelid = coalesce(t.relid, a.oid)
"""
_PUBLISHED_SCHEMAS = """
UNION ALL
SELECT a.place::int - 1, NULL, false
FROM unnest(%(oids)s::oid[]) WITH ORDINALITY AS a (oid, place)
JOIN pg_class AS c ON c.oid = a.oid
JOIN pg_publication_namespace AS s ON s.pnpubid = %(publication)s AND s.pnnspid = c.relnamespace
"""
_SLOT = f"""
SELECT slot_type, plugin::text, database::text, temporary, {TWO_PHASE}, coalesce(wal_status, ''),
    pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)::bigint,
    safe_wal_size::bigint
FROM pg_replication_slots AS s WHERE slot_name = %(slot)s
"""
_SCHEMAS_SINCE = 150000
"""The version of PostgreSQL in which publications have schemas."""


def facts_of(connection: Connection, asked: Sequence[Asked]) -> Facts:
    """Ask for what a run needs whatever its log is called."""
    (server,) = _rows(connection, _SERVER)
    schemas, tables = [one.schema for one in asked], [one.table for one in asked]
    rows = _rows(connection, _STANDINGS, schemas=schemas, tables=tables)
    found = {place: _standing(*rest) for place, *rest in rows}
    places = [place for place in sorted(found) if asked[place].is_log_based]
    parts = _parts(connection, [found[place].oid for place in places], places, asked) if places else {}
    return Facts(Server(*server), found, parts)


def with_log(
    connection: Connection, facts: Facts, asked: Sequence[Asked], publication: str, slot: str
) -> Facts:
    """Add what there is of a publication and a slot."""
    places = [place for place in sorted(facts.standings) if asked[place].is_log_based]
    oids = [facts.standings[place].oid for place in places]
    known, published = _publication(connection, oids, places, publication)
    held = next((Slot(*row) for row in _rows(connection, _SLOT, slot=slot)), None)
    return replace(facts, publication=known, published=published, slot=held)


def _standing(
    oid: int,
    kind: str,
    persistence: str,
    is_filled: bool,
    may_use_schema: bool,
    may_read: bool,
    readable: Sequence[str],
    generated: Sequence[str],
    not_in_log: Sequence[str],
    hides_rows: bool,
    is_own: bool,
) -> Standing:
    columns = (frozenset(readable), frozenset(generated), frozenset(not_in_log))
    return Standing(oid, kind, persistence, is_filled, may_use_schema, may_read, *columns, hides_rows, is_own)


def _parts(
    connection: Connection, oids: Sequence[int], places: Sequence[int], asked: Sequence[Asked]
) -> dict[int, list[Part]]:
    from psycopg2.extras import Json

    keys = Json([list(asked[place].key) for place in places])
    parts: dict[int, list[Part]] = {}
    for number, schema, table, kind, persistence, told, columns, index in _rows(
        connection, _PARTS, oids=oids, keys=keys
    ):
        named = asked[places[number]].columns if told == "f" else columns
        identity = None if named is None else frozenset(named)
        part = Part(schema, table, identity, told == "f", index, kind, persistence)
        parts.setdefault(places[number], []).append(part)
    return parts


def _publication(
    connection: Connection, oids: Sequence[int], places: Sequence[int], name: str | None
) -> tuple[Publication | None, dict[int, Published]]:
    rows = _rows(connection, _PUBLICATION, publication=name)
    if not rows:
        return None, {}
    ((oid, *rest),) = rows
    sql = _PUBLISHED + (_PUBLISHED_SCHEMAS if connection.server_version >= _SCHEMAS_SINCE else "")
    published = {
        places[number]: Published(None if columns is None else frozenset(columns), has_condition)
        for number, columns, has_condition in _rows(connection, sql, oids=oids, publication=oid)
    }
    with connection.cursor() as cursor:
        cursor.execute(WITHOUT_IDENTITY, [name])
        bare = [(schema, table, is_by_itself) for schema, table, is_by_itself in cursor.fetchall()]
    return replace(Publication(*rest), bare=bare), published


def _rows(connection: Connection, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
