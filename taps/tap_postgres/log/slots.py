"""The replication slot: what has PostgreSQL keep its log until it is told that a place of it is not needed any more."""

from __future__ import annotations

import time
from dataclasses import dataclass

from psycopg2.sql import SQL, Composable, Literal

from singerkit_shell.errors import ConfigurationError, LockHeldError, RetryableError
from singerkit_tap.log_contract import LogGone
from tap_postgres.faults import LockedError
from tap_postgres.log.queries import Queries
from tap_postgres.log.settings import PostgresLogSettings
from tap_postgres.log.wal import lsn_number

__all__ = [
    "MAKING",
    "PLUGIN",
    "Slot",
    "check_is_free",
    "create_slot",
    "drop_slot",
    "find_slot",
    "is_former_alone",
    "is_lost",
    "making",
    "more_of_slot",
    "settled",
]

PLUGIN = "pgoutput"
MAKING = "SELECT lsn FROM pg_catalog.pg_create_logical_replication_slot({}, {}{})"
_FAILOVER = 170_000
TWO_PHASE = "COALESCE((pg_catalog.to_jsonb(s) ->> 'two_phase')::boolean, false)"
"""Whether a slot (alias ``s``) tells of prepared transactions before they are committed (PostgreSQL 14)."""
_FIND = f"""
    SELECT plugin, slot_type, database, database = pg_catalog.current_database(), active, active_pid, confirmed_flush_lsn, wal_status,
        pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn)::bigint, safe_wal_size,
        temporary, {TWO_PHASE}
    FROM pg_catalog.pg_replication_slots AS s WHERE slot_name = %s"""
_NAMED = """
    SELECT slot_name FROM pg_catalog.pg_replication_slots
    WHERE slot_name = ANY(%s) AND database = pg_catalog.current_database() AND slot_type = 'logical'"""
_LOST = """
    SELECT 1 FROM pg_catalog.pg_replication_slots WHERE slot_name = %s AND plugin = %s AND database = pg_catalog.current_database()
        AND wal_status = 'lost' AND active_pid IS NULL"""
_ENDING_SECONDS = 30
_LOOKING = "looking for the replication slot"

_OPEN = """
    SELECT 'process ' || a.pid || ' in database ' || pg_catalog.quote_ident(a.datname)
    FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND a.pid <> pg_catalog.pg_backend_pid()
    UNION ALL
    SELECT 'the prepared transaction ' || pg_catalog.quote_literal(gid) || ' in database ' || pg_catalog.quote_ident(database)
    FROM pg_catalog.pg_prepared_xacts"""
"""Transactions that have written, of all databases."""


@dataclass(frozen=True)
class Slot:
    """A slot as it is. ``held``: bytes of the log that are kept for it; ``room``: how many more may be, None: any.

    ``is_unreserved``: what it needs may be removed with the next checkpoint.
    """

    name: str
    confirmed: int
    active_pid: int | None
    held: int
    room: int | None
    is_unreserved: bool = False


def settled(settings: PostgresLogSettings, queries: Queries, *, goes_on: bool) -> PostgresLogSettings:
    """Return settings with the slot that a pipeline has: one that it has read by before may have its former name."""
    if settings.former is None or not goes_on:
        return settings
    return settings.with_former() if is_former_alone(settings, queries) else settings


def is_former_alone(settings: PostgresLogSettings, queries: Queries) -> bool:
    """Tell whether this database has the slot that a pipeline had by its former name, and not the one of its name."""
    names = [settings.slot, settings.former]
    return queries.ask(_NAMED, [names], doing=_LOOKING) == [(settings.former,)]


def is_lost(queries: Queries, name: str) -> bool:
    """Tell whether there is a slot of ours by this name that has lost its log."""
    return bool(queries.ask(_LOST, [name, PLUGIN], doing=_LOOKING))


def drop_slot(queries: Queries, name: str) -> None:
    """Drop a slot that nobody reads by any more; the server needs a moment to see that a session has ended."""
    statement = "SELECT pg_catalog.pg_drop_replication_slot(%s)"
    until = time.monotonic() + _ENDING_SECONDS
    while True:
        try:
            queries.ask(statement, [name], doing=f"dropping the replication slot `{name}`")
            return
        except LockHeldError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.05)


def find_slot(queries: Queries, name: str) -> Slot | None:
    """Return a slot that the log can be read by; None: there is none of that name.

    Raises:
        LogGone: it has lost its log.
        ConfigurationError: it is of another kind.
    """
    found = queries.ask(_FIND, [name], doing=_LOOKING)
    if not found:
        return None
    (plugin, kind, database, is_ours, _active, pid, confirmed, status, held, room, temporary, two_phase) = (
        found[0]
    )
    if why := unfit(kind, plugin, None if is_ours else database, temporary, two_phase):
        raise ConfigurationError(f"The replication slot `{name}` is {why}; nothing was read: {ANOTHER}.")
    if confirmed is None or status == "lost":
        raise LogGone(
            f"the slot `{name}` is lost: more log was written than `max_slot_wal_keep_size` lets it keep"
        )
    of_room = None if room is None else int(room)
    return Slot(name, lsn_number(confirmed), pid, int(held or 0), of_room, status == "unreserved")


def create_slot(queries: Queries, name: str) -> int:
    """Make a slot, and return from where on it has the log.

    The server waits for the transactions that are open, since it can tell of no changes that were made before.
    """
    if (
        queries.ask("SELECT pg_catalog.current_setting('wal_level')", doing="asking for a setting")[0][0]
        != "logical"
    ):
        raise ConfigurationError(
            "The server does not write a log that changes can be read from (`wal_level` is not `logical`); nothing was read: set it "
            "(ALTER SYSTEM SET wal_level = 'logical') and restart the server, or choose another `replication-method` in the catalog."
        )
    try:
        made = queries.ask(making(name, queries.version), doing=f"making the replication slot `{name}`")
    except LockedError as error:
        found = queries.ask(_OPEN, doing="looking for open transactions")
        if not found:
            raise
        raise RetryableError(
            f"The server makes the replication slot `{name}` once each transaction that is open now, in any of its databases, has ended; "
            f"{', '.join(who for (who,) in found)} has not within `lock_timeout_seconds`; nothing was read: have it end, then run again."
        ) from error
    return lsn_number(made[0][0])


def making(name: str, version: int) -> Composable:
    """Return the statement that makes a slot, on a server of a version like 150018."""
    return SQL(MAKING).format(Literal(name), Literal(PLUGIN), SQL(more_of_slot(version)))


def more_of_slot(version: int) -> str:
    """Return what else stands in that statement: that a standby keeps the slot, too, where it can."""
    return ", false, false, true" if version >= _FAILOVER else ""


ANOTHER = "drop it if nobody needs it, or name another one at `log.slot`"


def unfit(
    kind: str, plugin: str | None, other_database: str | None, is_temporary: bool, is_two_phase: bool
) -> str | None:
    """Return why a slot does not do, as in "the slot is ..."; None: it does. ``other_database``: that of the slot, where it is another one."""
    if kind != "logical":
        return f"a {kind} one, and a logical one of `{PLUGIN}` is needed"
    if plugin != PLUGIN:
        return f"one of the plugin `{plugin}`, of another program, and this tap reads `{PLUGIN}`"
    if other_database is not None:
        return f"one of the database `{other_database}`"
    if is_temporary:
        return "a temporary one, which goes with its session"
    if is_two_phase:
        return "one with `two_phase`, which tells of prepared transactions before they are committed"
    return None


def check_is_free(slot: Slot) -> None:
    """See to it that nobody else reads by a slot.

    Raises:
        LockHeldError: somebody does.
    """
    if slot.active_pid is not None:
        raise LockHeldError(
            f"The replication slot `{slot.name}` is read by another session (process {slot.active_pid} of the server); nothing was read: "
            "wait until it ends, or name another slot at `log.slot`, one for each pipeline."
        )
