"""The timeline of a server, which is a new one after each promotion and each recovery, and where it has left those before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing

import psycopg2
from psycopg2.extensions import connection as Connection

from singerkit_postgres.errors import connection_error
from singerkit_tap.log_contract import LogGone
from tap_postgres.faults import fault
from tap_postgres.log.queries import Queries
from tap_postgres.log.wal import Place, lsn_number, lsn_text

__all__ = ["check_is_on_way", "check_was_reached", "timeline_now"]

_OF_PRIMARY = """
    SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery()
        THEN ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int END"""
_HEADER = 40
"""So many bytes, of a header that is not written yet, may a place stand behind the end of the log."""
_END = """
    SELECT e.lsn IS NOT NULL AND pg_catalog.pg_wal_lsn_diff(%s, e.lsn) > %s, e.lsn::text
    FROM (SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_current_wal_insert_lsn() END AS lsn) AS e"""

Connect = Callable[[Mapping[str, str]], Connection]


def timeline_now(queries: Queries, connect: Connect) -> int:
    """Return the timeline on which a server writes or replays its log; its checkpoints would tell of it too late."""
    doing = "asking for its timeline"
    found = queries.ask(_OF_PRIMARY, doing=doing)[0][0]
    return (
        int(str(_replicated(connect, queries.place, "IDENTIFY_SYSTEM", doing)[1]))
        if found is None
        else int(found)
    )


def check_is_on_way(at: Place, now: int, connect: Connect, place: str) -> None:
    """See to it that the log of timeline ``now`` comes by a place on another one.

    Raises:
        LogGone: it has left that timeline before; what was read behind there, this server never had, and what it has had since is unknown.
    """
    if at.timeline == now:
        return
    ends = _ends(connect, place, now) if now > at.timeline else {}
    if at.timeline not in ends:
        raise LogGone(
            f"the server is on timeline {now}, and the state on {at.timeline}, which it does not come from"
        )
    if at.lsn > ends[at.timeline]:
        raise LogGone(
            f"the server was promoted or restored at {lsn_text(ends[at.timeline])}, and never had what was read up to {lsn_text(at.lsn)}"
        )


def check_was_reached(at: Place, queries: Queries) -> None:
    """See to it that a server has written its log up to a place; one that replays that of another server may come to it yet.

    Raises:
        LogGone: it has not, so that it was brought back from a copy, and writes another log there than the one that was read.
    """
    ((is_beyond, end),) = queries.ask(_END, [lsn_text(at.lsn), _HEADER], doing="asking where its log ends")
    if is_beyond:
        raise LogGone(
            f"the log of the server ends at {end}, before {lsn_text(at.lsn)}: it was brought back from a copy"
        )


def _ends(connect: Connect, place: str, timeline: int) -> dict[int, int]:
    """Return where each timeline was left on the way to one."""
    doing = "asking for the timelines before its own"
    text = _replicated(connect, place, f"TIMELINE_HISTORY {timeline}", doing)[1]
    content = bytes(text).decode() if isinstance(text, bytes | memoryview) else str(text)
    lines = [line.split("\t") for line in content.splitlines() if line.strip() and not line.startswith("#")]
    return {int(number): lsn_number(end) for number, end, *_ in lines}


def _replicated(connect: Connect, place: str, command: str, doing: str) -> tuple[object, ...]:
    """Return the one row that a command of the replication protocol gives."""
    try:
        connection = connect({"replication": "database"})
    except psycopg2.Error as error:
        raise connection_error(error, f"PostgreSQL at {place}") from None
    with closing(connection):
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(command)
                return tuple(cursor.fetchall()[0])
        except psycopg2.Error as error:
            raise fault(error, place, doing) from None
