"""A history: each version of a row with the range of time in which the table said so (decision 54).

What comes is held against the row of its key that holds now: where it differs, a new row begins, and the range of the former one ends at the same
moment; a row that is the same is not touched. The clock is that of the transaction, and never before what is there: no two ranges of a key overlap.
A database whose statements can do more at once has its own (target-postgres).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence

from singerkit_sql_target.dialect import Dialect, Session
from singerkit_sql_target.fitting import METADATA_KINDS, VALID_FROM, VALID_TO
from singerkit_sql_target.loads import Loads, has_versions
from singerkit_sql_target.merge import newest_of_each_key
from singerkit_sql_target.newest import Newest
from singerkit_sql_target.partial import mark_if_partial
from singerkit_sql_target.settings import Settings
from singerkit_sql_target.stage import Part
from singerkit_sql_target.tables import StreamTable, Table, columns_of, holds_values
from singerkit_sql_target.versions import Others, Version
from singerkit_target.outcomes import Outcome
from singerkit_wire.stream import DELETED_AT, VERSION

__all__ = ["Histories", "tell_of_unknown_load", "told_apart"]

_A_MOMENT = "INTERVAL '1 microsecond'"


def told_apart(table: StreamTable, columns: Iterable[str], own_key: Collection[str]) -> list[str]:
    """Return those of the columns by which a row is another version: not by when it came."""
    beside = {table.columns.get(name) for name in METADATA_KINDS if name not in table.given.column_names}
    beside |= {table.columns.get(DELETED_AT), *own_key}
    return [column for column in columns if column not in beside]


def tell_of_unknown_load(stream: str, log: logging.Logger) -> None:
    log.warning(
        "ACTIVATE_VERSION of stream `%s` ends no range of its history: some rows of the load came in another run, or before the connection "
        "was lost, so that nobody knows which are gone. The next load that is read in one run ends them.",
        stream,
    )


class Histories:
    """The histories that a run keeps; ``interrupted`` are streams in whose load it goes on.

    ``now`` of the dialect is one moment for a transaction.
    """

    def __init__(self, dialect: Dialect, settings: Settings, log: logging.Logger) -> None:
        self._dialect, self._settings, self._log = dialect, settings, log
        self._loads = Loads(dialect, settings.schema)
        self.interrupted: frozenset[str] = frozenset()

    def prepare(self, session: Session, tables: Iterable[Table]) -> None:
        """Make what notes loads, before the transaction of a unit."""
        for table in tables:
            if table.history and has_versions(table):
                self._loads.prepare(session, table)

    def merge(self, session: Session, table: Table, part: Part) -> Outcome:
        """Put the rows of a part into the history; the last of several rows with one key wins, or the newest.

        A row of the outcome is one that holds now: ``deleted`` are those whose range ended without another.
        """
        columns = columns_of(part.fields, self._dialect)
        newest = None if table.newest is None else table.newest.among(columns)
        came = newest_of_each_key(part.source, columns, self._quoted(table.history), newest)
        older = 0
        if newest is not None:
            older, came = self._without_older(session, table, came, newest)
        mark = next((one.name for one in part.fields if one.column.name == DELETED_AT), None)
        goes = None if mark is None else f"given.{self._dialect.quote(mark)} IS NOT NULL"
        same = self._same(session, table, "given")
        outcome = Outcome(older=older)
        if (
            goes is not None
            and mark is not None
            and holds_values(session, part.source, self._dialect.quote(mark))
        ):
            outcome = outcome.plus(
                self._never_there(session, table, f"{came} AS given", f"{same} AND {goes}")
            )
            ended = session.written(
                f"UPDATE {table.quoted} AS stored SET {self._to(table)} = {self._end(table)} FROM {came} AS given "
                f"WHERE {same} AND stored.{self._to(table)} IS NULL AND {goes}"
            )
            outcome = outcome.plus(Outcome(deleted=ended))
        outcome = outcome.plus(self._new_and_partial(session, table, part, came, same))
        self._change_those_of_the_unit(session, table, came, columns)
        begun = self._begin(session, table, part, came, goes)
        changed = self._end_former(session, table)
        if has_versions(table):
            self._loads.note_seen(session, table, part.source, columns)
        return outcome.plus(Outcome(begun - changed, changed))

    def _new_and_partial(self, session: Session, table: Table, part: Part, came: str, same: str) -> Outcome:
        mark = mark_if_partial(table.given, table.columns, [one.name for one in part.fields])
        if mark is None:
            return Outcome()
        [(count,)] = session.execute(
            f"SELECT count(*) FROM {came} AS given WHERE given.{self._dialect.quote(mark)} IS NULL AND NOT EXISTS "
            f"(SELECT 1 FROM {table.quoted} AS stored WHERE {same} AND stored.{self._to(table)} IS NULL)"
        )
        return Outcome(partial=int(count))

    def _without_older(self, session: Session, table: Table, came: str, newest: Newest) -> tuple[int, str]:
        """Count the rows that are older than any version of their key; return what those are that are not."""
        is_older = (
            f"EXISTS (SELECT 1 FROM {table.quoted} AS stored WHERE {self._same(session, table, 'given')} "
            f"AND {newest.is_older('given', 'stored')})"
        )
        [(older,)] = session.execute(f"SELECT count(*) FROM {came} AS given WHERE {is_older}")
        return int(older), f"(SELECT given.* FROM {came} AS given WHERE NOT {is_older})"

    def _never_there(self, session: Session, table: Table, using: str, which: str) -> Outcome:
        """Delete rows that began in this unit, which nobody has seen; the row that one of them took the place of is gone now, and not changed."""
        begin, end = self._from(table), self._to(table)
        this = f"stored.{begin} = {self._dialect.now} AND {which}"
        former = f"SELECT 1 FROM {table.quoted} AS former WHERE {self._same(session, table, 'former')} AND former.{end} = stored.{begin}"
        [(changed,)] = session.execute(
            f"SELECT count(*) FROM {table.quoted} AS stored{', ' if using else ''}{using} WHERE {this} AND EXISTS ({former})"
        )
        count = session.written(
            f"DELETE FROM {table.quoted} AS stored{' USING ' if using else ''}{using} WHERE {this}"
        )
        return Outcome(int(changed) - count, -int(changed), int(changed))

    def _change_those_of_the_unit(
        self, session: Session, table: Table, came: str, columns: Sequence[str]
    ) -> None:
        changing = [column for column in columns if column not in self._quoted(table.history)]
        if changing:
            sets = ", ".join(f"{column} = given.{column}" for column in changing)
            session.execute(
                f"UPDATE {table.quoted} AS stored SET {sets} FROM {came} AS given WHERE {self._same(session, table, 'given')} "
                f"AND stored.{self._from(table)} = {self._dialect.now} AND stored.{self._to(table)} IS NULL "
                f"AND ({self._differs(session, table, changing)})"
            )

    def _begin(self, session: Session, table: Table, part: Part, came: str, goes: str | None) -> int:
        """Begin a version for each row that differs from what holds now, or of whose key nothing does; return how many those are."""
        begin, end, keys = self._from(table), self._to(table), self._quoted(table.history)
        given = columns_of(part.fields, self._dialect)
        told = self._quoted(told_apart(table, [one.name for one in part.fields], table.history))
        every = [one for one in self._every(session, table) if one not in (begin, end)]
        values = ", ".join(f"{'given' if column in given else 'stored'}.{column}" for column in every)
        ended = (
            f"SELECT {', '.join(keys)}, max({end}) AS last_end FROM {table.quoted} GROUP BY {', '.join(keys)}"
        )
        differs = f" OR {self._differs(session, table, told)}" if told else ""
        stays = "" if goes is None else f"NOT ({goes}) AND "
        return session.written(
            f"INSERT INTO {table.quoted} ({', '.join(every)}, {begin}) SELECT {values}, greatest({self._dialect.now}, stored.{begin} + {_A_MOMENT}, "
            f"ended.last_end) FROM {came} AS given LEFT JOIN {table.quoted} AS stored ON {self._same(session, table, 'given')} AND stored.{end} IS NULL "
            f"LEFT JOIN ({ended}) AS ended ON {_joined('ended', 'given', keys)} WHERE {stays}(stored.{begin} IS NULL{differs})"
        )

    def _every(self, session: Session, table: Table) -> list[str]:
        """All columns, those too that the SCHEMA does not name: a new version keeps what they have, unless they fill themselves."""
        existing = session.inspect(table.schema, table.name)
        named = {*table.columns.values(), DELETED_AT}
        beside = [
            name
            for name, column in ({} if existing is None else existing.columns).items()
            if name not in named and not column.has_default
        ]
        return self._quoted([*table.columns.values(), *beside])

    def _end_former(self, session: Session, table: Table) -> int:
        """Where a version has begun behind one that holds still, that ends there; return how many do."""
        begin, end = self._from(table), self._to(table)
        return session.written(
            f"UPDATE {table.quoted} AS stored SET {end} = newer.{begin} FROM {table.quoted} AS newer WHERE {self._same(session, table, 'newer')} "
            f"AND stored.{end} IS NULL AND newer.{end} IS NULL AND newer.{begin} > stored.{begin} AND newer.{begin} >= {self._dialect.now}"
        )

    def end_gone(self, session: Session, table: Table, asked: Version, others: Others) -> Outcome:
        """End the ranges of rows of other versions that did not come in this load.

        Raises:
            ConfigurationError: there are some, and one of ``others`` may have loaded them.
        """
        outcome = Outcome()
        if not self._loads.is_another_load(session, table, asked):
            return outcome
        if table.stream in self.interrupted or self._loads.is_partly_known(session, table, asked):
            tell_of_unknown_load(table.stream, self._log)
        else:
            outcome = self._ended(session, table, self._is_gone(session, table, asked), others)
        self._loads.note(session, table, asked)
        return outcome

    def _ended(self, session: Session, table: Table, gone: str, others: Others) -> Outcome:
        [(count,)] = session.execute(f"SELECT count(*) FROM {table.quoted} AS stored WHERE {gone}")
        if count and others.names:
            raise others.refusal(table.stream, table.where, int(count), self._settings)
        outcome = self._never_there(session, table, "", gone)
        ended = session.written(
            f"UPDATE {table.quoted} AS stored SET {self._to(table)} = {self._end(table)} WHERE {gone}"
        )
        return outcome.plus(Outcome(deleted=ended))

    def _is_gone(self, session: Session, table: Table, asked: Version) -> str:
        """The condition that a row holds now, is of another version, and did not come."""
        version, seen = self._dialect.quote(table.columns[VERSION]), self._loads.seen(table)
        other = "<>" if asked.is_of_records else "<"
        came = f"{self._same(session, table, 'seen')} AND coalesce(seen.{version}, {asked.version:d}) = {asked.version:d}"
        return (
            f"stored.{self._to(table)} IS NULL AND stored.{version} {other} {asked.version:d} "
            f"AND NOT EXISTS (SELECT 1 FROM {seen} AS seen WHERE {came})"
        )

    def _end(self, table: Table) -> str:
        return f"greatest({self._dialect.now}, stored.{self._from(table)} + {_A_MOMENT})"

    def _same(self, session: Session, table: Table, other: str) -> str:
        return " AND ".join(
            f"{session.in_full(table.quoted, key)} = {other}.{key}" for key in self._quoted(table.history)
        )

    def _differs(self, session: Session, table: Table, columns: Sequence[str]) -> str:
        return " OR ".join(
            f"{session.in_full(table.quoted, column)} IS DISTINCT FROM given.{column}" for column in columns
        )

    def _quoted(self, names: Iterable[str]) -> list[str]:
        return [self._dialect.quote(name) for name in names]

    def _from(self, table: Table) -> str:
        return self._dialect.quote(table.columns[VALID_FROM])

    def _to(self, table: Table) -> str:
        return self._dialect.quote(table.columns[VALID_TO])


def _joined(one: str, other: str, columns: Sequence[str]) -> str:
    return " AND ".join(f"{one}.{column} = {other}.{column}" for column in columns)
