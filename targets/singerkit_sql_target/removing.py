"""Rows of a table taken away, for which a message asks: deleted or, with `hard_delete: false`, marked; and what is said where the store keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from singerkit_catalog.unnesting import ROW_ID, root_key
from singerkit_shell.errors import BadDataError
from singerkit_sql_target.dialect import Runs, Words
from singerkit_sql_target.settings import Settings
from singerkit_sql_target.tables import StreamTable
from singerkit_wire.stream import DELETED_AT

__all__ = ["OTHER_VERSIONS", "REPLACED", "Asking", "Removing"]


@dataclass(frozen=True)
class Asking:
    """The message that asks for it, and what the rows are that go."""

    message: str
    rows: str


OTHER_VERSIONS = Asking("ACTIVATE_VERSION", "rows of other versions")
REPLACED = Asking("REPLACE", "rows that others take the place of")


@dataclass(frozen=True)
class Removing:
    """How rows go from the tables of a run; ``which`` is a condition of theirs."""

    words: Words
    settings: Settings

    def column(self, table: StreamTable, name: str) -> str:
        return self.words.quote(table.columns[name])

    def left(self, table: StreamTable, which: str) -> str:
        """Those of some rows that are not gone yet: deleted or, where that is the way, marked."""
        if self.settings.hard_delete:
            return which
        return f"{which} AND {self.column(table, DELETED_AT)} IS NULL"

    def count(self, session: Runs, table: StreamTable, which: str) -> int:
        [(count,)] = session.execute(f"SELECT count(*) FROM {table.quoted} WHERE {self.left(table, which)}")
        return int(count)

    def statement(self, table: StreamTable, which: str) -> str:
        change = (
            f"DELETE FROM {table.quoted}"
            if self.settings.hard_delete
            else f"UPDATE {table.quoted} SET {self.column(table, DELETED_AT)} = {self.words.now}"
        )
        return f"{change} WHERE {self.left(table, which)}"

    def remove(self, session: Runs, table: StreamTable, which: str, asking: Asking) -> int:
        """Take rows away; return how many they were.

        Raises:
            BadDataError: the store refuses it, or leaves some as they are. No row that came is to blame.
        """
        try:
            gone = session.written(self.statement(table, which))
        except self.words.errors as error:
            refused = self.refused([table.stream], error, asking)
            if refused is None:
                raise
            raise refused from error
        if self.words.leaves_rows and self._leaves_any(session, table, which):
            raise BadDataError(
                f"A {table.keepers} of the table {table.where} leaves {asking.rows} as they are at {asking.message} of stream "
                f"`{table.stream}`; what was committed is safe: change it, then run again."
            )
        return gone

    def _leaves_any(self, session: Runs, table: StreamTable, which: str) -> bool:
        [(found,)] = session.execute(
            f"SELECT EXISTS (SELECT 1 FROM {table.quoted} WHERE {self.left(table, which)})"
        )
        return bool(found)

    def orphans(self, table: StreamTable, above: StreamTable) -> str:
        """The condition that of an element of a list no row is left in ``above`` that has it, or only one that is marked."""
        mine = self.words.quote(table.schema, table.name)
        keys = list(zip(above.keys, table.keys, strict=False))  # the last one is the place in the list
        if not keys:  # rows that are appended, and the ids that they got
            keys = [(above.columns[ROW_ID], table.columns[root_key(ROW_ID)])]
        same = [f"above.{self.words.quote(key)} = {mine}.{self.words.quote(own)}" for key, own in keys]
        if not self.settings.hard_delete and DELETED_AT in above.columns:
            same.append(f"above.{self.column(above, DELETED_AT)} IS NULL")
        return f"NOT EXISTS (SELECT 1 FROM {above.quoted} AS above WHERE {' AND '.join(same)})"

    def refused(self, streams: Sequence[str], error: Exception, asking: Asking) -> BadDataError | None:
        """Say what helps where the store does not let rows go; None: it is about something else."""
        kept = self.words.kept_rows(error)
        if kept is None:
            return None
        why, way_out = kept
        done, other = (
            ("delete", "false, which marks rows and deletes none")
            if self.settings.hard_delete
            else ("mark", "true, which deletes rows")
        )
        return BadDataError(
            f"{self.words.name} refused to {done} {asking.rows} at {asking.message} of stream "
            f"{' or '.join(f'`{name}`' for name in streams)}: {why}; what was committed is safe: {way_out}, or set `hard_delete` to "
            f"{other}; then run again."
        )
