"""ACTIVATE_VERSION: rows of other versions go, once all rows of the version are in (SINGER-RULES X01).

A row without a version is of no other version: who wrote it did not say (docs/decisions/0022).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_sql_target.dialect import Dialect, Session
from singerkit_sql_target.settings import Settings
from singerkit_sql_target.stage import Stage, Version
from singerkit_sql_target.tables import Table
from singerkit_target.versions import without_metadata
from singerkit_wire.batch import Batch
from singerkit_wire.kinds import Kind
from singerkit_wire.stream import DELETED_AT, VERSION

__all__ = ["Others", "Versions", "kept_by_append_only", "told_of_others"]


def told_of_others(settings: Settings) -> str:
    """What a version does where rows may be those of another pipeline."""
    if not settings.with_metadata or (settings.append_only and settings.hard_delete):
        return ""
    return f", and an ACTIVATE_VERSION that would {_removing(settings)} rows of other versions ends the run"


def _removing(settings: Settings) -> str:
    return "delete" if settings.hard_delete else "mark as deleted"


@dataclass(frozen=True)
class Others:
    """The other pipelines that have loaded a table, each with the command that forgets its state."""

    names: Sequence[str]
    forget: Callable[[str], str]

    def refusal(self, stream: str, where: str, count: int, settings: Settings) -> ConfigurationError:
        """What a run ends with in which ``count`` rows of other versions would go: a version does not say whose it is."""
        name, rows = self.names[0], "1 row" if count == 1 else f"{count} rows"
        return ConfigurationError(
            f"ACTIVATE_VERSION of stream `{stream}` would {_removing(settings)} {rows} of other versions in the table {where}, which the "
            f"pipeline `{name}` has loaded, too, so that they may be its own; none was touched, and what was committed is safe: "
            "where the two read other sources, give this pipeline a schema of its own (`default_target_schema`), or the stream "
            f"another `name`; where `{name}` loads it no more, forget its state with {self.forget(name)}; to keep the rows of both "
            "here, set `add_record_metadata` to false, without which no version removes rows; then run again."
        )


def kept_by_append_only(version: int) -> str:
    """Why a version removes nothing where every row is kept."""
    return (
        f"({version}) removes nothing under `load_method: append-only`, which keeps every row: rows of other versions stay, and "
        "carry theirs with `add_record_metadata`. To have them marked, set `hard_delete` to false; to have them deleted, set "
        "`load_method` to `upsert`."
    )


class Versions:
    """What one run does about versions; of each stream something is said once."""

    def __init__(self, dialect: Dialect, settings: Settings, log: logging.Logger) -> None:
        self._dialect, self._settings, self._log = dialect, settings, log
        self._told: set[str] = set()
        self._without_version: set[str] = set()  # streams of which this run has written rows without one

    def see(self, stream: str, batch: Batch) -> None:
        """Note whether rows that are written have no version."""
        if stream not in self._without_version:
            at = batch.names.index(VERSION) if VERSION in batch.names else None
            if at is None or None in map(itemgetter(at), batch.wire_rows):
                self._without_version.add(stream)

    def is_kept(self, stream: str, version: int) -> bool:
        """Whether every row is kept, whatever its version."""
        if not (self._settings.append_only and self._settings.hard_delete):
            return False
        self._tell(stream, kept_by_append_only(version))
        return True

    def of(self, stage: Stage) -> set[str]:
        """The streams of which a version is activated."""
        return {stream for stream, part in stage if isinstance(part, Version)}

    def apply(self, session: Session, table: Table, version: int, others: Others) -> None:
        """Delete the rows of other versions, or set their ``_sdc_deleted_at``.

        Raises:
            ConfigurationError: there are some, and one of ``others`` may have loaded them.
            BadDataError: the store refuses it.
        """
        problem = self._obstacle(session, table)
        if problem is not None:
            self._tell(table.stream, problem)
            return
        other = f"{self._dialect.quote(table.columns[VERSION])} <> ?"
        if others.names:
            [(count,)] = session.execute(
                f"SELECT count(*) FROM {table.quoted} WHERE {self._left(table, other)}", [version]
            )
            if count:
                raise others.refusal(table.stream, table.where, count, self._settings)
        try:
            session.execute(self._removal(table, other), [*self._now, version])
        except self._dialect.errors as error:
            if self._settings.hard_delete and self._dialect.is_refusal(error):
                raise self._still_needed(table) from error
            raise
        if table.stream not in self._told and (left := self._rows_without_version(session, table)):
            self._tell(table.stream, left)

    def _still_needed(self, table: Table) -> BadDataError:
        return BadDataError(
            f"{self._dialect.name} refused to delete rows of other versions at ACTIVATE_VERSION of stream `{table.stream}`, as where a "
            f"foreign key of another table refers to them; what was committed is safe: drop that key, or set `hard_delete` to false, "
            "which marks rows and deletes none; then run again."
        )

    def _tell(self, stream: str, said: str) -> None:
        if stream not in self._told:
            self._told.add(stream)
            self._log.warning("ACTIVATE_VERSION of stream `%s` %s", stream, said)

    @property
    def _now(self) -> list[str]:
        return [] if self._settings.hard_delete else [datetime.now(UTC).isoformat()]

    def _removal(self, table: Table, which: str, moment: str | None = None) -> str:
        if self._settings.hard_delete:
            return f"DELETE FROM {table.quoted} WHERE {which}"
        deleted = self._dialect.quote(table.columns[DELETED_AT])
        moment = moment or f"CAST(? AS {self._dialect.types[Kind.DATE_TIME]})"
        return f"UPDATE {table.quoted} SET {deleted} = {moment} WHERE {self._left(table, which)}"

    def _left(self, table: Table, which: str) -> str:
        """Those of some rows that are not gone yet: deleted or, where that is the way, marked."""
        if self._settings.hard_delete:
            return which
        return f"{which} AND {self._dialect.quote(table.columns[DELETED_AT])} IS NULL"

    def _obstacle(self, session: Session, table: Table) -> str | None:
        """Say why no row can be removed, and what to do; None when all is well."""
        if not self._settings.with_metadata:
            return self._no_metadata(session, table)
        passed_over = "is passed over, and rows of other versions stay: the stream has a field"
        for name in (VERSION, DELETED_AT) if not self._settings.hard_delete else (VERSION,):
            if name in table.given.column_names:
                return (
                    f"{passed_over} `{name}` of its own, which keeps its column, so that there is none for ours. To have "
                    "versions, leave the field out in the tap or rename it there, and rename its column, as with "
                    f"`ALTER TABLE {table.quoted} RENAME {self._dialect.quote(table.columns[name])} TO {name}_of_source`."
                )
        return None

    def _no_metadata(self, session: Session, table: Table) -> str:
        """Rows keep what an earlier run has put into a column that the SCHEMA does not name."""
        ignored = without_metadata(has_key=bool(table.given.key_properties))
        existing = session.inspect(table.schema, table.name)
        is_ours = VERSION not in table.given.column_names
        if not is_ours or existing is None or VERSION not in existing.columns:
            return ignored
        [(holds,)] = session.execute(
            f"SELECT EXISTS (SELECT 1 FROM {table.quoted} WHERE {VERSION} IS NOT NULL)"
        )
        if not holds:
            return ignored
        return (
            f"{ignored} Rows that are written without it keep the version that an earlier run gave them, by which they would "
            f"be taken for old ones: before you set it again, run `UPDATE {table.quoted} SET {VERSION} = NULL`."
        )

    def _rows_without_version(self, session: Session, table: Table) -> str | None:
        """Say how many rows have no version, and are not marked as deleted."""
        which = f"{self._dialect.quote(table.columns[VERSION])} IS NULL"
        [(count,)] = session.execute(f"SELECT count(*) FROM {table.quoted} WHERE {self._left(table, which)}")
        if not count:
            return None
        found = f"found {count} row{'' if count == 1 else 's'} of the table {table.where} without a version"
        if table.stream in self._without_version:
            return (
                f"{found}, and leaves what has none: records of this run came without `version`, so that old rows cannot be "
                "told from new ones. Have the tap send `version` with each record, or remove by hand what is gone at the source."
            )
        return (
            f"{found}, and leaves what has none: it was loaded without `add_record_metadata`, from records without `version`, "
            f"or by another program. If it is gone at the source, remove it with `{self._removal(table, which, 'now()')}`."
        )
