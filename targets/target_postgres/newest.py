"""The newest of several versions of a row, in statements of PostgreSQL (`newest_by`)."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composable, Composed, Identifier

from singerkit_sql_target.newest import Newest
from singerkit_target.outcomes import Outcome
from target_postgres.parts import Rows
from target_postgres.words import WORDS

__all__ = ["is_older", "leave_older", "listed", "newest_among", "order", "sift"]


def newest_among(newest: Newest | None, columns: Sequence[str]) -> Newest | None:
    """Return what tells versions apart of rows that have these columns; None: they are taken as they come."""
    return None if newest is None else newest.among([WORDS.quote(column) for column in columns])


def order(keys: Sequence[str], newest: Newest | None) -> SQL:
    """By what the staged rows of a key are sorted, so that the one which counts is the first."""
    if newest is None:
        return SQL("ctid DESC")
    return SQL(f"{newest.rank([WORDS.quote(key) for key in keys], 'ctid')} DESC NULLS LAST, ctid DESC")


def listed(columns: Sequence[str], keys: Sequence[str], newest: Newest | None) -> Composed:
    """The columns of the staged row that counts."""
    if newest is None:
        return SQL(", ").join(map(Identifier, columns))
    quoted = [WORDS.quote(key) for key in keys]
    return SQL(", ").join([SQL(newest.value(WORDS.quote(column), quoted, "ctid")) for column in columns])


def is_older(newest: Newest, given: str, than: str = "stored") -> SQL:
    """The condition that a row is older than the stored one."""
    return SQL(newest.is_older(given, than))


def leave_older(
    cursor: Cursor, select: Composed, rows: Composable, keys: Sequence[str], newest: Newest | None
) -> Outcome:
    """Count the keys of rows that are older than those that are stored, which keep all but with which load they came: they are at the source."""
    if newest is None:
        return Outcome()
    which = _same(keys, "stored", "given") + SQL(" AND ") + is_older(newest, "given")
    if newest.load is not None:
        cursor.execute(
            SQL(
                "UPDATE {} AS stored SET {load} = given.{load} FROM ({}) AS given WHERE {} AND stored.{load} IS DISTINCT FROM given.{load}"
            ).format(rows, select, which, load=SQL(newest.load))
        )
    is_stored = SQL("EXISTS (SELECT 1 FROM {} AS stored WHERE {})").format(rows, which)
    names = SQL(", ").join(map(Identifier, keys))
    cursor.execute(
        SQL("SELECT count(*) FROM (SELECT DISTINCT {} FROM ({}) AS given WHERE {}) AS older").format(
            names, select, is_stored
        )
    )
    return Outcome(older=int((cursor.fetchone() or (0,))[0]))


def sift(
    cursor: Cursor, parts: Sequence[Rows], rows: Composable, keys: Sequence[str], newest: Newest
) -> Outcome:
    """Take from stages what is older than a row that came before it, or is stored.

    What is left comes in the order of its versions, so that of each key the last row is the newest.
    """
    outcome = Outcome()
    for number, part in enumerate(parts):
        given = newest_among(newest, part.columns)
        if given is None:
            continue
        stage = Identifier("pg_temp", part.stage)
        for former in parts[:number]:
            if newest_among(newest, former.columns) is not None:
                which = _same(keys, "before", "given") + SQL(" AND ") + is_older(given, "given", "before")
                cursor.execute(
                    SQL("DELETE FROM {} AS given USING {} AS before WHERE {}").format(
                        stage, Identifier("pg_temp", former.stage), which
                    )
                )
        earlier = SQL(" AND before.ctid < given.ctid AND ") + is_older(given, "given", "before")
        cursor.execute(
            SQL("DELETE FROM {0} AS given USING {0} AS before WHERE {1}").format(
                stage, _same(keys, "before", "given") + earlier
            )
        )
        every = SQL("SELECT * FROM {}").format(stage)
        outcome = outcome.plus(leave_older(cursor, every, rows, keys, given))
        which = _same(keys, "stored", "given") + SQL(" AND ") + is_older(given, "given")
        cursor.execute(SQL("DELETE FROM {} AS given USING {} AS stored WHERE {}").format(stage, rows, which))
    return outcome


def _same(keys: Sequence[str], one: str, other: str) -> Composed:
    return SQL(" AND ").join([SQL(f"{one}.{{0}} = {other}.{{0}}").format(Identifier(key)) for key in keys])
