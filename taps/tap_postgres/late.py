"""How far an incremental read may go while others write: not beyond what a transaction that is still open may commit later, with a lower key.

Two things tell. Of times: when the oldest transaction began that may write, since none of its times lies before that. Of any key: the lowest one of
rows that are as new as the oldest transaction that has written. What both leave is `lookback`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from singerkit_sql_tap.queries import Condition, Query, page_query
from singerkit_sql_tap.tables import Table
from tap_postgres.catalog import PgColumn, Relation
from tap_postgres.types import Kind

__all__ = ["LateRows"]

_STORED = ("r", "p", "m")
"""Relations whose rows tell their transaction."""
_FOREIGN = "f"
_LONG_SECONDS = 600
_YET_TO_WRITE = "60 seconds"
"""So long a transaction that has written nothing may still be on its way to its first row; one that only reads takes longer."""

_OPEN = f"""
    WITH here AS (SELECT oid, datname FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()),
    writers AS (
        SELECT l.transactionid AS xid, a.xact_start AS began, 'pid ' || a.pid AS who
        FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid JOIN here ON here.oid = a.datid
        WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
        UNION ALL
        SELECT p.transaction, NULL, 'prepared as ' || pg_catalog.quote_literal(p.gid)
        FROM pg_catalog.pg_prepared_xacts AS p JOIN here ON here.datname = p.database),
    began AS (
        SELECT began FROM writers WHERE began IS NOT NULL
        UNION ALL
        SELECT a.xact_start FROM pg_catalog.pg_stat_activity AS a JOIN here ON here.oid = a.datid
        WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type = 'client backend'
            AND a.xact_start > pg_catalog.clock_timestamp() - interval '{_YET_TO_WRITE}')
    SELECT (SELECT xid::text FROM writers ORDER BY pg_catalog.age(xid) DESC LIMIT 1),
        (SELECT who FROM writers ORDER BY pg_catalog.age(xid) DESC LIMIT 1),
        (SELECT 'prepared as ' || pg_catalog.min(pg_catalog.quote_literal(p.gid))
            FROM pg_catalog.pg_prepared_xacts AS p JOIN here ON here.datname = p.database),
        (SELECT pg_catalog.min(began) FROM began),
        (SELECT extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.min(began)) FROM writers),
        pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')"""
_OPEN_ON_STANDBY = """
    SELECT CASE WHEN pg_catalog.txid_snapshot_xmin(s) < pg_catalog.txid_snapshot_xmax(s)
        THEN (pg_catalog.txid_snapshot_xmin(s) & 4294967295)::text END, 'on the primary', NULL, NULL, NULL, true
    FROM pg_catalog.txid_current_snapshot() AS s"""

Fetch = Callable[[Query], Sequence[Sequence[Any]]]


@dataclass(frozen=True)
class _Open:
    """The oldest transaction that has written and is open: its number, who that is; since when others may write; for how many seconds it has.

    ``unknown``: one that is prepared, of which nobody knows when it began.
    """

    xid: str | None
    who: str | None
    unknown: str | None
    began: str | None
    seconds: float | None
    sees_all: bool


class LateRows:
    """Asks what is open, once for each stream that is read."""

    def __init__(self, fetch: Fetch, logger: logging.Logger) -> None:
        self._fetch, self._logger = fetch, logger
        self._has_warned = False

    def conditions(
        self, table: Table, key: str, compared: str, source: str, where: Sequence[Condition]
    ) -> list[Condition]:
        """Return what keeps a read of ``where`` away from such keys; ``compared``: the key in SQL.

        Asked once the greatest key is known: a transaction that begins later has none below it.
        """
        relation, column = cast(Relation, table), cast(PgColumn, table.column(key))
        if relation.kind == _FOREIGN:
            return []
        found = self._open()
        if column.kind is Kind.INSTANT and not found.sees_all:
            self._warn(key)
        limits = []
        if found.began is not None and column.kind is Kind.INSTANT:
            limits.append(Condition(f"{compared} < %s", (found.began,)))
        if found.unknown is not None and column.kind is Kind.INSTANT and relation.kind not in _STORED:
            self._tell_of_unknown(table, found.unknown)
            return [Condition("false")]
        if found.xid is not None and relation.kind in _STORED:
            newer = Condition(
                "pg_catalog.age(t.xmin) BETWEEN 0 AND pg_catalog.age(%s::pg_catalog.xid)", (found.xid,)
            )
            lowest = self._lowest(compared, source, [*where, *limits, newer])
            if lowest is not None:
                limits.append(Condition(f"{compared} < %s", (lowest,)))
                self._tell(table, found)
        return limits

    def _open(self) -> _Open:
        ((is_standby,),) = self._fetch(Query("SELECT pg_catalog.pg_is_in_recovery()"))
        ((xid, who, unknown, began, seconds, sees_all),) = self._fetch(
            Query(_OPEN_ON_STANDBY if is_standby else _OPEN)
        )
        return _Open(xid, who, unknown, began, None if seconds is None else float(seconds), sees_all)

    def _lowest(self, compared: str, source: str, where: Sequence[Condition]) -> Any:
        found = self._fetch(page_query(source, [compared], where, [compared], 1))
        return found[0][0] if found else None

    def _tell(self, table: Table, found: _Open) -> None:
        is_long = (found.seconds or 0) > _LONG_SECONDS
        (self._logger.warning if is_long else self._logger.info)(
            "Stream `%s`: a transaction (%s) has written and is open%s, and may commit rows below the newest ones: those come with a later "
            "run, once it has ended.",
            table.name,
            found.who,
            f" for {found.seconds:.0f} s" if found.seconds is not None else "",
        )

    def _tell_of_unknown(self, table: Table, who: str) -> None:
        self._logger.warning(
            "Stream `%s`: a transaction (%s) has written and is open, and the server does not tell since when, so that nothing of this view is "
            "read: it may commit rows below the newest ones. Have it end (COMMIT PREPARED, ROLLBACK PREPARED).",
            table.name,
            who,
        )

    def _warn(self, key: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._logger.warning(
                "The role may not see when transactions of others began, so that a row that one commits late, with a `%s` below the bookmark, "
                "can be passed by: GRANT pg_read_all_stats TO the role, or set `lookback` in `streams`.",
                key,
            )
