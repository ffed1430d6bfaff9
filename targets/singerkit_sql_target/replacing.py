"""REPLACE: the rows with some values go, in the place where the message stands among the rows (docs/decisions/0084)."""

from __future__ import annotations

from singerkit_shell.errors import ConfigurationError
from singerkit_sql_target.dialect import Runs, Words
from singerkit_sql_target.methods import Method
from singerkit_sql_target.removing import REPLACED, Removing
from singerkit_sql_target.settings import Settings
from singerkit_sql_target.tables import StreamTable
from singerkit_wire.stream import DELETED_AT

__all__ = ["Replacing"]

_KEPT_BY = {
    Method.OVERWRITE: "lets the complete load of a run take the place of all that was there",
    Method.REPLACE: "replaces sets of rows by `replace_by`",
    Method.HISTORY: "keeps what each row was, and a row that comes again unchanged would end there and begin anew",
}
"""Of the methods that have a word of their own about rows that do not come."""


class Replacing:
    """What the REPLACE messages of a run do to tables."""

    def __init__(self, words: Words, settings: Settings) -> None:
        self._settings = settings
        self._removing = Removing(words, settings)

    def check(self, table: StreamTable) -> None:
        """See that rows of a stream may go by other rows.

        Raises:
            ConfigurationError: the config says otherwise, or nothing would tell that they are gone.
        """
        settings, stream = self._settings, table.stream
        method = settings.methods.of(stream)
        why: str | None = None
        if method in _KEPT_BY:
            why = f"`load_method: {method.value}`, which {_KEPT_BY[method]}: set it to `upsert`"
        elif settings.appends(stream) and settings.hard_delete:
            why = "`load_method: append`, which deletes nothing: set it to `upsert`, or have rows marked with `hard_delete: false`"
        elif table.newest is not None:
            why = (
                "`newest_by`, by which a row that is stored may win over one that comes behind the message: "
                "leave it out for this stream"
            )
        elif not (settings.hard_delete or self._takes_marks(table)):
            why = "`hard_delete: false`, and its table has no column for the time at which a row was marked: set `add_record_metadata` to true"
        if why is not None:
            raise ConfigurationError(
                f"The tap asks for rows of stream `{stream}` to be replaced (REPLACE), and the stream is loaded with {why}, or have the tap send "
                "such rows beside the former ones (tap-files: `on_changed` `append`, and no `on_removed` `delete`); nothing was taken away, and what was committed is safe."
            )

    def _takes_marks(self, table: StreamTable) -> bool:
        is_own = DELETED_AT in table.given.column_names
        return DELETED_AT in table.columns and (not is_own or DELETED_AT in table.moments)

    def apply(self, session: Runs, table: StreamTable, which: str) -> int:
        """Take the rows away for which ``which`` holds; return how many they were. Raises as `Removing.remove`."""
        return self._removing.remove(session, table, which, REPLACED)

    def of_waiting(self, table: StreamTable, stage: str, which: str) -> str:
        """Return the statement that does it to rows which wait in a stage, before any is written."""
        if self._settings.hard_delete:
            return f"DELETE FROM {stage} WHERE {which}"
        words = self._removing.words
        return f"UPDATE {stage} SET {self._removing.column(table, DELETED_AT)} = {words.now} WHERE {which}"

    def follow(self, session: Runs, table: StreamTable, above: StreamTable) -> int:
        """At the end of the unit: have elements of lists go of which no row is left in ``above``; return how many they were."""
        return self._removing.remove(session, table, self._removing.orphans(table, above), REPLACED)

    def check_no_reference(self, table: StreamTable) -> None:
        """See that no row of another table goes, or stands in the way, for one that comes right back.

        Raises:
            ConfigurationError: rows are deleted, of a table to which foreign keys lead.
        """
        if self._settings.hard_delete:
            raise ConfigurationError(
                f"The tap asks for rows of stream `{table.stream}` to be replaced (REPLACE), and a foreign key of another table refers to the table "
                f"{table.where}: rows there would refuse it, or go, for rows that come right back; nothing was taken away, and what was committed is safe: drop "
                "that foreign key, or have rows marked with `hard_delete: false` and `add_record_metadata: true`, then run again."
            )
