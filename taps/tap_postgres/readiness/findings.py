"""What is missing for a run, a sentence each, with the statement that mends it; made of facts alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tap_postgres.log.held import held_words
from tap_postgres.log.publications import NOT_IN_LOG_WORDS
from tap_postgres.log.slots import ANOTHER, MAKING, PLUGIN, more_of_slot, unfit
from tap_postgres.readiness.facts import Asked, Facts, Part, Server, Standing

__all__ = ["Finding", "of_reading", "of_tables_in_log", "of_the_rest"]

_NOT_IN_LOG = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
}
_GENERATED_SINCE = 180000
"""The version of PostgreSQL since which a publication may have generated columns."""
_LOG_OF_STANDBY_SINCE = 160000
_GENERATED = "publish_generated_columns = stored"
_BY_ROOT = "publish_via_partition_root = true"
_RESTART = " Then restart the server."


@dataclass(frozen=True)
class Finding:
    """``place``: a table, or what all of them share. ``statement``: without which no run goes through, or, where it is only
    ``advised``, not all rows are sure to come. Empty: it cannot be mended by one; ``then``: what to do besides.
    """

    place: str
    sentence: str
    statement: str = ""
    then: str = ""
    advised: bool = False
    is_of_rights: bool = False


def of_reading(facts: Facts, asked: Sequence[Asked]) -> list[Finding]:
    """Return what is missing for a run, in an order in which the statements can be run; less slot and publication."""
    found = [*_of_schemas(facts, asked)]
    for place, one in enumerate(asked):
        found += _of_table(facts, place, one)
    if any(one.is_log_based for one in asked):
        found += _of_log(facts.server)
    return found


def of_tables_in_log(facts: Facts, asked: Sequence[Asked]) -> list[Finding]:
    """Return what is missing for the log to tell of tables exactly, and for others to go on changing them once they are published."""
    return [
        found
        for place, standing in facts.standings.items()
        if asked[place].is_log_based
        for found in _of_logged_table(facts, place, asked[place], standing)
    ]


def of_the_rest(
    facts: Facts, asked: Sequence[Asked], publication: str, slot: str, *, makes: bool
) -> list[Finding]:
    """Return what else is missing: of slot and publication, which a run sees to by itself, and what it only warns of.

    ``makes``: a run makes slot and publication, and adds tables to it, as far as it may.
    """
    found = []
    if any(one.is_incremental for one in asked) and not facts.server.sees_sessions:
        found.append(_ceiling(facts.server))
    if any(one.is_log_based for one in asked):
        found += _of_publication(facts, asked, publication, makes=makes)
        found += _of_slot(
            facts, slot, makes=makes
        )  # what it has of the log before there was a publication cannot be read
    return found


def quoted(name: str) -> str:
    """Return a name as it may stand in a statement."""
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(quoted, sorted(names)))


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _table(schema: str, table: str) -> str:
    return f"{quoted(schema)}.{quoted(table)}"


def _of_schemas(facts: Facts, asked: Sequence[Asked]) -> Iterator[Finding]:
    closed = dict.fromkeys(
        asked[place].schema for place, found in facts.standings.items() if not found.may_use_schema
    )
    role = facts.server.role
    for schema in closed:
        yield Finding(
            f"schema {schema}",
            f"The role `{role}` may not use the schema.",
            f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {quoted(role)};",
            is_of_rights=True,
        )


def _of_table(facts: Facts, place: int, one: Asked) -> Iterator[Finding]:
    name, table, role = f"{one.schema}.{one.table}", _table(one.schema, one.table), facts.server.role
    standing = facts.standings.get(place)
    if standing is None:
        yield Finding(name, "The table is not there (any more): make the catalog again with --discover.")
        return
    missing = set() if standing.may_read else {*one.columns} - standing.readable
    if not standing.may_read and (
        missing == {*one.columns} or not one.key
    ):  # without a key by places, of which grants of columns are not
        yield Finding(
            name,
            f"The role `{role}` may not read it.",
            f"GRANT SELECT ON {table} TO {quoted(role)};",
            is_of_rights=True,
        )
    elif one.is_log_based and not standing.may_read:
        yield Finding(
            name,
            f"The role `{role}` may read columns of it alone, and the start of a stream from the log locks it against ALTER (ACCESS SHARE), "
            "for which PostgreSQL asks for the right to read all of it.",
            f"GRANT SELECT ON {table} TO {quoted(role)};",
            is_of_rights=True,
        )
    elif missing:
        yield Finding(
            name,
            f"The role `{role}` may not read {_words(missing)} of it.",
            f"GRANT SELECT ({_names(missing)}) ON {table} TO {quoted(role)};",
            is_of_rights=True,
        )
    if standing.hides_rows:
        yield Finding(
            name,
            f"Row security keeps rows of it out of the sight of the role `{role}`.",
            f"ALTER ROLE {quoted(role)} BYPASSRLS;",
            is_of_rights=True,
        )
    if not standing.is_filled:
        yield Finding(
            name,
            "The materialized view has not been filled yet.",
            f"REFRESH MATERIALIZED VIEW {table};",
        )
    if one.is_log_based:
        yield from _of_logged_table(facts, place, one, standing)


def _of_logged_table(facts: Facts, place: int, one: Asked, standing: Standing) -> Iterator[Finding]:
    name = f"{one.schema}.{one.table}"
    if standing.kind in _NOT_IN_LOG:
        yield Finding(
            name,
            f"It is {_NOT_IN_LOG[standing.kind]}, of which the log says nothing: read it as a whole or by a replication key.",
        )
        return
    for column in sorted(standing.not_in_log & {*one.columns}):
        out = f"!{one.schema}-{one.table}.{column}"
        yield Finding(name, f"Column `{column}` {NOT_IN_LOG_WORDS}: leave it out with `{out}` in `select`.")
    for part in facts.parts.get(place, ()):
        yield from _of_part(part, one)


def _of_part(part: Part, one: Asked) -> Iterator[Finding]:
    name, table = f"{part.schema}.{part.table}", _table(part.schema, part.table)
    if part.kind in _NOT_IN_LOG:
        yield Finding(
            name,
            f"It is {_NOT_IN_LOG[part.kind]}, of which the log says nothing, and belongs to `{one.schema}.{one.table}`: detach it, or read "
            "that as a whole or by a replication key.",
        )
        return
    if part.persistence != "p":
        yield Finding(
            name, "It is unlogged, so that the log says nothing of it.", f"ALTER TABLE {table} SET LOGGED;"
        )
    yield from _of_identity(part, one)


def _of_identity(part: Part, one: Asked) -> Iterator[Finding]:
    if part.is_whole or (part.identity is not None and one.key and {*one.key} <= part.identity):
        return
    way = f"USING INDEX {quoted(part.index)}" if part.index and one.key else "FULL"
    yield Finding(
        f"{part.schema}.{part.table}",
        _identity_problem(part, one),
        f"ALTER TABLE {_table(part.schema, part.table)} REPLICA IDENTITY {way};",
    )


def _identity_problem(part: Part, one: Asked) -> str:
    if part.identity is None:
        return "It has no replica identity: in a publication each UPDATE and DELETE of it would fail."
    if not one.key:
        return "Its replica identity is not the whole row, by which alone rows of a stream without a key are told apart."
    return f"Its replica identity does not have {_words({*one.key} - part.identity)}, by which rows are told apart."


def _ceiling(server: Server) -> Finding:
    return Finding(
        "role",
        f"The role `{server.role}` does not see the transactions of others, so that rows that are committed late may lie below the "
        "bookmark of an incremental stream.",
        f"GRANT pg_read_all_stats TO {quoted(server.role)};",
        advised=True,
    )


def _of_log(server: Server) -> Iterator[Finding]:
    if server.is_standby and server.version < _LOG_OF_STANDBY_SINCE:
        yield Finding(
            "server", "It is a standby, whose log can be read since PostgreSQL 16: name the primary."
        )
    if server.wal_level != "logical":
        waits = server.waits_for_restart
        yield Finding(
            "server",
            f"`wal_level` is `{server.wal_level}`; to read the log it has to be `logical`."
            + (" It is set, and waits for a restart of the server." if waits else ""),
            "" if waits else "ALTER SYSTEM SET wal_level = 'logical';",
            "" if waits else _RESTART,
        )
    if not server.may_replicate:
        role = quoted(server.login)
        yield Finding(
            "role",
            f"The role `{server.login}` may not read the log.",
            f"GRANT rds_replication TO {role};" if server.has_rds else f"ALTER ROLE {role} REPLICATION;",
            is_of_rights=True,
        )
    if server.senders_taken >= server.senders:
        yield Finding(
            "server",
            f"All {server.senders} of `max_wal_senders` are taken.",
            f"ALTER SYSTEM SET max_wal_senders = {server.senders + 4};",
            _RESTART,
        )


def _of_slot(facts: Facts, name: str, *, makes: bool) -> Iterator[Finding]:
    server, slot = facts.server, facts.slot
    if slot is None:
        if not makes:
            yield Finding(
                f"slot {name}",
                "There is no such replication slot.",
                f"{MAKING.format(_text(name), _text(PLUGIN), more_of_slot(server.version))};",
            )
        if server.slots_taken >= server.slots:
            yield Finding(
                "server",
                f"All {server.slots} of `max_replication_slots` are taken.",
                f"ALTER SYSTEM SET max_replication_slots = {server.slots + 4};",
                _RESTART,
            )
        return
    drop = f"SELECT pg_drop_replication_slot('{name}');"
    other = None if slot.database == server.database else slot.database
    if why := unfit(slot.kind, slot.plugin, other, slot.is_temporary, slot.is_two_phase):
        yield Finding(f"slot {name}", f"It is {why}: {ANOTHER}.")
    elif slot.wal_status == "lost":
        yield Finding(
            f"slot {name}",
            "The server has thrown away what it was to keep: its streams begin anew.",
            drop,
        )
    else:
        unsafe = (
            ", and the server may remove it with the next checkpoint"
            if slot.wal_status == "unreserved"
            else ""
        )
        yield Finding(f"slot {name}", f"It {held_words(slot.held or 0, slot.room)}{unsafe}.", advised=True)


def _of_publication(facts: Facts, asked: Sequence[Asked], name: str, *, makes: bool) -> Iterator[Finding]:
    tables = {
        place: ("" if found.kind == "p" else "ONLY ") + _table(one.schema, one.table)
        for place, one in enumerate(asked)
        if one.is_log_based and (found := facts.standings.get(place)) and found.kind not in _NOT_IN_LOG
    }
    if not tables:
        return
    generated = _generated(facts, asked, tables)
    publication, where = facts.publication, f"publication {name}"
    if (
        publication is None
        and makes
        and facts.server.may_make
        and not facts.server.is_standby
        and _are_own(facts, tables)
    ):
        return
    if publication is None:
        options = ", ".join([_BY_ROOT, *([_GENERATED] if generated else [])])
        yield Finding(
            where,
            "There is no such publication.",
            f"CREATE PUBLICATION {quoted(name)} FOR TABLE {', '.join(tables.values())} WITH ({options});",
        )
        return
    if not publication.has_all_changes:
        yield Finding(
            where,
            "It does not have all kinds of changes.",
            f"ALTER PUBLICATION {quoted(name)} SET (publish = 'insert, update, delete, truncate');",
        )
    if not publication.is_by_root and any(facts.standings[place].kind == "p" for place in tables):
        yield Finding(
            where,
            "It has the changes of partitions by the names of the partitions.",
            f"ALTER PUBLICATION {quoted(name)} SET ({_BY_ROOT});",
        )
    if generated and not publication.has_generated:
        yield Finding(
            where,
            f"It does not have generated columns ({_words(generated)}).",
            f"ALTER PUBLICATION {quoted(name)} SET ({_GENERATED});",
        )
    named = {(part.schema, part.table) for parts in facts.parts.values() for part in parts}
    for schema, bare, is_by_itself in publication.bare:
        if (schema, bare) in named:
            continue  # `_of_identity` has said so
        yield Finding(
            f"{schema}.{bare}",
            f"The publication `{name}` has it, and it has no replica identity, so that PostgreSQL refuses each UPDATE and DELETE of it.",
            f"ALTER PUBLICATION {quoted(name)} DROP TABLE ONLY {_table(schema, bare)};"
            if is_by_itself
            else f"ALTER TABLE {_table(schema, bare)} REPLICA IDENTITY FULL;",
            advised=True,
        )
    for place, table in tables.items():
        adds = makes and publication.is_own and facts.standings[place].is_own
        yield from _of_member(facts, place, asked[place], name, table, adds=adds)


def _generated(facts: Facts, asked: Sequence[Asked], places: Iterable[int]) -> set[str]:
    """Return the generated columns that are read, where a publication may have such."""
    if facts.server.version < _GENERATED_SINCE:
        return set()
    return {name for place in places for name in facts.standings[place].generated & {*asked[place].columns}}


def _are_own(facts: Facts, places: Iterable[int]) -> bool:
    return all(facts.standings[place].is_own for place in places)


def _of_member(
    facts: Facts, place: int, one: Asked, name: str, table: str, *, adds: bool
) -> Iterator[Finding]:
    publication, found = facts.publication, (facts.published or {}).get(place)
    if publication is None or publication.has_all_tables or (found is None and adds):
        return
    where, add = f"{one.schema}.{one.table}", f"ALTER PUBLICATION {quoted(name)} ADD TABLE {table};"
    if found is None:
        yield Finding(where, f"The publication `{name}` does not have it.", add)
        return
    missing = set() if found.columns is None else {*one.columns} - found.columns
    if missing or found.has_condition:
        what = f"does not have {_words(missing)} of it" if missing else "has some of its rows only"
        yield Finding(
            where,
            f"The publication `{name}` {what}.",
            f"ALTER PUBLICATION {quoted(name)} DROP TABLE {table}; {add}",
        )
