"""How many rows a statement has inserted, and how many it has updated, by what the server counts for its statistics in any case.

RETURNING would tell it, too, and take a tenth of a merge's time. Where a trigger writes to the table itself, or the server does not count
here (`track_counts` off, rows that are on other machines), the two numbers are not the rows that the statement has written: then nobody knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier, Literal

from singerkit_target.outcomes import Outcome

__all__ = ["Counting"]


class Counting:
    """Begun before a statement that upserts into tables; one of them may stand there several times."""

    def __init__(self, cursor: Cursor, tables: Sequence[Identifier]) -> None:
        names = dict.fromkeys(table.as_string(cursor) for table in tables)
        self._cursor, self._tables = cursor, [table.as_string(cursor) for table in tables]
        # The rows of a partitioned table count in its partitions.
        self._statement = SQL(" UNION ALL ").join(
            SQL(
                "SELECT pg_catalog.sum(pg_catalog.pg_stat_get_xact_tuples_inserted(oid))::bigint, "
                "pg_catalog.sum(pg_catalog.pg_stat_get_xact_tuples_updated(oid))::bigint "
                "FROM (SELECT {0}::regclass::oid UNION SELECT relid FROM pg_catalog.pg_partition_tree({0}::regclass)) AS parts(oid)"
            ).format(Literal(name))
            for name in names
        )
        self._names = list(names)
        self._before = self._counts()

    def _counts(self) -> list[tuple[int, int]]:
        self._cursor.execute(self._statement)
        return self._cursor.fetchall()

    def outcomes(self, written: Sequence[int]) -> list[Outcome | None]:
        """Behind the statement, which has ``written`` so many rows into each of the tables; of one that stood there before, nothing more."""
        of_table: Counter[str] = Counter()
        for name, count in zip(self._tables, written, strict=True):
            of_table[name] += count
        found: dict[str, Outcome | None] = {}
        for name, before, after in zip(self._names, self._before, self._counts(), strict=True):
            new, changed = (now - then for now, then in zip(after, before, strict=True))
            found[name] = Outcome(new, changed) if new + changed == of_table[name] else None
        return [found.pop(name, Outcome()) for name in self._tables]
