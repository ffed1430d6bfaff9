"""ACTIVATE_VERSION: rows of older versions go, once all rows of the version are in (SINGER-RULES X01).

Where the records of the run carry the version, rows of newer ones go as well: the versions of the source began anew. A row without a version is of no other version: who wrote it did not say (docs/decisions/0022).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_sql_target.dialect import Runs, Words
from singerkit_sql_target.removing import OTHER_VERSIONS, Removing
from singerkit_sql_target.settings import Settings
from singerkit_sql_target.tables import StreamTable, holds_values
from singerkit_target.held import HeldLog
from singerkit_target.siblings import Siblings
from singerkit_target.versions import without_metadata
from singerkit_wire.stream import DELETED_AT, VERSION

__all__ = ["Others", "Version", "Versions"]


def _told_of_versions(stream: str, settings: Settings) -> str:
    """What a version does where rows may be those of another pipeline."""
    if not settings.with_metadata or (settings.appends(stream) and settings.hard_delete):
        return ""
    return f", and an ACTIVATE_VERSION that would {_removing(settings)} rows of other versions ends the run"


def _removing(settings: Settings) -> str:
    return "delete" if settings.hard_delete else "mark as deleted"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


@dataclass(frozen=True)
class Others:
    """The other pipelines that have loaded a table, each with the command that forgets its state."""

    names: Sequence[str]
    forget: Callable[[str], str]

    def tell(self, stream: str, settings: Settings, log: logging.Logger) -> None:
        """Warn of them: with one source between them that is fine, with two it is not.

        Raises:
            ConfigurationError: the load of the stream would take the place of rows that may be theirs.
        """
        if settings.overwrites(stream):
            name = self.names[0]
            raise ConfigurationError(
                f"Stream `{stream}` is overwritten (`load_method`), and its table was loaded by the pipeline `{name}`, too, whose rows would "
                "go; none was touched: give this pipeline a schema of its own (`default_target_schema`), or the stream another `name`; "
                f"where `{name}` loads it no more, forget its state with {self.forget(name)}; then run again."
            )
        log.warning(
            "The table of stream `%s` was loaded by the pipeline %s, too: rows with one key replace each other%s. If the two read other "
            "sources, give each pipeline a schema of its own (`default_target_schema`), or the stream another `name`; where `%s` loads it "
            "no more, forget its state with %s.",
            stream,
            ", ".join(f"`{name}`" for name in self.names[:3]),
            _told_of_versions(stream, settings),
            self.names[0],
            self.forget(self.names[0]),
        )

    def refusal(self, stream: str, where: str, count: int, settings: Settings) -> ConfigurationError:
        """What a run ends with in which ``count`` rows of other versions would go: a version does not say whose it is."""
        name, rows = self.names[0], _rows(count)
        return ConfigurationError(
            f"ACTIVATE_VERSION of stream `{stream}` would {_removing(settings)} {rows} of other versions in the table {where}, which the "
            f"pipeline `{name}` has loaded, too, so that they may be its own; none was touched, and what was committed is safe: "
            "where the two read other sources, give this pipeline a schema of its own (`default_target_schema`), or the stream "
            f"another `name`; where `{name}` loads it no more, forget its state with {self.forget(name)}; to keep the rows of both "
            "here, set `add_record_metadata` to false, without which no version removes rows; then run again."
        )


@dataclass(frozen=True)
class Version:
    """An ACTIVATE_VERSION, with what this run had written of its stream before it: the newest version, and whether some rows had none."""

    version: int
    newest: int | None = None
    wrote_without: bool = False
    siblings: Siblings | None = None

    @property
    def is_of_records(self) -> bool:
        """Whether records of the run carry it, and none a newer one: it is no word of an older load."""
        return self.newest == self.version


@dataclass(frozen=True)
class _Found:
    """How many rows of older and newer versions a table has, and the newest version of all."""

    older: int
    newer: int
    newest: int | None


class Versions:
    """What one run does about versions; of each stream something is said once."""

    def __init__(
        self,
        words: Words,
        settings: Settings,
        unit_log: HeldLog,
        states: tuple[str, str],
        lock: Callable[[str], str] | None = None,
    ) -> None:
        """``states``: schema and name of the state table. ``lock`` returns a statement that waits until nobody else holds what it is given."""
        self._words, self.settings, self._log = words, settings, unit_log
        self._states, self._lock = states, lock
        self._removing = Removing(words, settings)
        self._without_version: set[str] = set()  # streams of which this run has written rows without one
        self._newest: dict[str, int] = {}  # of what this run has written

    def see(self, stream: str, of_rows: Collection[int | None]) -> None:
        """Note the versions of rows that are written."""
        versions = set(of_rows)
        if None in versions:
            self._without_version.add(stream)
        newest = max((one for one in versions if one is not None), default=None)
        if newest is not None:
            self._newest[stream] = max(self._newest.get(stream, newest), newest)

    def activated(self, stream: str, version: int, siblings: Siblings | None = None) -> Version:
        """Return an ACTIVATE_VERSION that stands behind what was written so far."""
        return Version(version, self._newest.get(stream), stream in self._without_version, siblings)

    def is_kept(self, stream: str, version: int) -> bool:
        """Whether every row is kept, whatever its version."""
        if not self.settings.follows_versions:
            self._tell(
                stream,
                f"({version}) is passed over, as `activate_version: false` says: rows of other versions stay.",
            )
            return True
        if not (self.settings.appends(stream) and self.settings.hard_delete):
            return False
        self._tell(
            stream,
            f"({version}) removes nothing under `load_method: append`, which keeps every row: rows of other versions stay, and "
            "carry theirs with `add_record_metadata`. To have them marked, set `hard_delete` to false; to have them deleted, set "
            "`load_method` to `upsert`.",
        )
        return True

    def apply(self, session: Runs, table: StreamTable, asked: Version, others: Others) -> int:
        """Delete the rows of older versions, or set their ``_sdc_deleted_at``; those of newer ones where records of this run carry
        the version. Return how many they were.

        Raises:
            ConfigurationError: there are some, and one of ``others`` may have loaded them.
            BadDataError: the store refuses it, or leaves some as they are. No row that came is to blame.
        """
        problem = self._obstacle(session, table)
        if problem is not None:
            self._tell(table.stream, problem)
            return 0
        if asked.siblings is not None:
            return self._apply_beside(session, table, asked, asked.siblings, others)
        found = self._find(session, table, asked.version)
        going = found.older + (found.newer if asked.is_of_records else 0)
        if going and others.names:
            raise others.refusal(table.stream, table.where, going, self.settings)
        if going:
            self._remove(session, table, self._which(table, asked))
        self._tell_of_order(table, asked, found)
        left = self._rows_without_version(session, table, asked.wrote_without)
        if left is not None:
            self._tell(table.stream, left)
        return going

    def follow(self, session: Runs, table: StreamTable, above: StreamTable) -> int:
        """At the end of a unit with a version: have elements go of which no row is left in ``above``, or only one that is marked.

        They are of lists that no SCHEMA names any more, so that no version is said of them. Return how many they were.
        """
        if not self.settings.with_metadata:
            return 0
        which = self._removing.orphans(table, above)
        count = self._removing.count(session, table, which)
        if count:
            self._remove(session, table, which)
        return count

    def _which(self, table: StreamTable, asked: Version) -> str:
        return f"{self._removing.column(table, VERSION)} {'<>' if asked.is_of_records else '<'} {asked.version:d}"

    def _find(self, session: Runs, table: StreamTable, version: int) -> _Found:
        column = self._removing.column(table, VERSION)
        [(older, newer, newest)] = session.execute(
            f"SELECT count(CASE WHEN {column} < {version:d} THEN 1 END), count(CASE WHEN {column} > {version:d} THEN 1 END), max({column}) "
            f"FROM {table.quoted} WHERE {self._removing.left(table, f'{column} <> {version:d}')}"
        )
        return _Found(int(older), int(newer), None if newest is None else int(newest))

    def _remove(self, session: Runs, table: StreamTable, which: str) -> None:
        self._removing.remove(session, table, which, OTHER_VERSIONS)

    def _tell_of_order(self, table: StreamTable, asked: Version, found: _Found) -> None:
        """Say where a version is not the newest: it may be a word of an older load, and what it takes away is all that there is."""
        done = "deleted" if self.settings.hard_delete else "marked as deleted"
        newer = f"{_rows(found.newer)} of newer versions (up to {found.newest}) of the table {table.where}"
        if found.newer and asked.is_of_records:
            self._tell(
                table.stream,
                f"({asked.version}), which the records of this run carry, has {done} {newer}: if its input was an older load, have the newest "
                "one come again, from the beginning.",
                "order",
            )
        elif found.newer:
            removal = self._removing.statement(
                table, f"{self._removing.column(table, VERSION)} > {asked.version:d}"
            )
            self._tell(
                table.stream,
                f"({asked.version}) is older than {newer}, which stay: only rows of versions before it go, since no load of this run ends with it. "
                f"If those rows are gone at the source, and its versions began anew, remove them with `{removal}`.",
                "order",
            )
        elif found.older and asked.newest is not None and asked.newest < asked.version:
            self._tell(
                table.stream,
                f"({asked.version}) has {done} {_rows(found.older)} of older versions, those of this run among them, whose records carry "
                f"{asked.newest}: that is right where the source has been emptied since; if it has rows, the tap says another version in its "
                "records than it activates: correct that, or set `add_record_metadata` to false, and have all rows come again, from the "
                "beginning.",
                "order",
            )

    def _apply_beside(
        self, session: Runs, table: StreamTable, asked: Version, siblings: Siblings, others: Others
    ) -> int:
        """Do what `apply` does where other shards have rows in the table.

        Nobody comes between two who do it, so that the second one sees that the first has come to its end. Which versions there are is asked
        before the states are: a load that begins between the two is none of them, or says by its state that it goes on.
        """
        if self._lock is not None:
            session.execute(self._lock(f"{table.where} {siblings.stream}"))
        column = self._removing.column(table, VERSION)
        some = self._removing.left(table, f"{column} IS NOT NULL")
        there = {
            int(one)
            for (one,) in session.execute(f"SELECT DISTINCT {column} FROM {table.quoted} WHERE {some}")
        }
        states = self._words.quote(*self._states)
        stay = siblings.versions(dict(session.execute(f"SELECT pipeline, CAST(state AS text) FROM {states}")))
        if stay is None:
            # No warning: in each night in which all is well all shards but the last say it.
            self._log.info(
                "ACTIVATE_VERSION of stream `%s` (%d) is that of the shard %s, and not all others have been read to their end: what is gone at the source "
                "stays until the last of them is.",
                table.stream,
                asked.version,
                siblings.shard,
            )
            return 0
        stale = sorted(there - stay - {asked.version})
        if not stale:
            return 0
        which = f"{column} IN ({', '.join(map(str, stale))})"
        count = self._removing.count(session, table, which)
        if count and others.names:
            raise others.refusal(table.stream, table.where, count, self.settings)
        self._remove(session, table, which)
        return count

    def refused(self, streams: Sequence[str], error: Exception) -> BadDataError | None:
        """Say what helps where the store does not let rows go; None: it is about something else."""
        return self._removing.refused(streams, error, OTHER_VERSIONS)

    def _tell(self, stream: str, said: str, about: str = "") -> None:
        self._log.warn_once((stream, about), f"ACTIVATE_VERSION of stream `{stream}` {said}")

    def _obstacle(self, session: Runs, table: StreamTable) -> str | None:
        """Say why no row can be removed, and what to do; None when all is well."""
        if not self.settings.with_metadata:
            return self._no_metadata(session, table)
        passed_over = "is passed over, and rows of other versions stay: the stream has a field"
        own = table.given.column_names
        if VERSION in own:
            return (
                f"{passed_over} `{VERSION}` of its own, which keeps its column, so that there is none for the version of a row. To have "
                "versions, leave the field out in the tap or rename it there, and rename its column, as with "
                f"`ALTER TABLE {table.quoted} RENAME COLUMN {self._removing.column(table, VERSION)} TO {VERSION}_of_source`."
            )
        if not self.settings.hard_delete and DELETED_AT in own and DELETED_AT not in table.moments:
            return (
                f"{passed_over} `{DELETED_AT}` of its own, whose column of type `{table.types[table.columns[DELETED_AT]]}` takes no time "
                "of deletion. Set `hard_delete` to true, or leave the field out in the tap or rename it there, and rename its column."
            )
        return None

    def _no_metadata(self, session: Runs, table: StreamTable) -> str:
        """Rows keep what an earlier run has put into a column that the SCHEMA does not name."""
        own = table.given.column_names
        ignored = without_metadata(has_key=bool(table.given.key_properties), is_of_log=DELETED_AT in own)
        existing = session.inspect(table.schema, table.name)
        if VERSION in own or existing is None or VERSION not in existing.columns:
            return ignored
        if not holds_values(session, table.quoted, VERSION):
            return ignored
        return (
            f"{ignored} Rows that are written without it keep the version that an earlier run gave them, by which they would "
            f"be taken for old ones: before you set it again, run `UPDATE {table.quoted} SET {VERSION} = NULL`."
        )

    def _rows_without_version(self, session: Runs, table: StreamTable, are_new: bool) -> str | None:
        """Say how many rows have no version, and are not marked as deleted, unless that was said."""
        if self._log.has_told((table.stream, "")):
            return None
        which = f"{self._removing.column(table, VERSION)} IS NULL"
        count = self._removing.count(session, table, which)
        if not count:
            return None
        found = f"found {_rows(count)} of the table {table.where} without a version"
        if are_new:
            return (
                f"{found}, and leaves what has none: records of this run came without `version`, so that old rows cannot be "
                "told from new ones. Have the tap send `version` with each record, or remove by hand what is gone at the source."
            )
        if not table.given.key_properties:
            return (
                f"{found}, and leaves what has none: those that former loads have brought without one, as those of another tap, are there twice now, since all rows "
                f"of this stream, which has no key, have come. Remove them with `{self._removing.statement(table, which)}`."
            )
        return (
            f"{found}, and leaves what has none: it was loaded without `add_record_metadata`, from records without `version`, "
            f"or by another program. If it is gone at the source, remove it with `{self._removing.statement(table, which)}`."
        )
