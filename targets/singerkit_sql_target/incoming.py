"""What becomes of each batch before it is stored, whatever the database: columns of ours, versions, records of deletions."""

from __future__ import annotations

from dataclasses import replace

from singerkit_sql_target.deletions import tells_of_deletions
from singerkit_sql_target.keying import ROW_HASH, with_hashes
from singerkit_sql_target.settings import Settings
from singerkit_sql_target.tables import StreamTable
from singerkit_sql_target.versions import Versions
from singerkit_target.metadata import MetadataColumns, column_of
from singerkit_wire.ahead import values_in, widened
from singerkit_wire.batch import Batch
from singerkit_wire.masks import is_masked, padded, with_more
from singerkit_wire.stream import DELETED_AT, VERSION

__all__ = ["Incoming"]

_MARK = column_of(DELETED_AT)


class Incoming:
    """The batches of a run; ``versions`` notes those of their rows."""

    def __init__(self, settings: Settings, versions: Versions) -> None:
        self._settings, self._versions = settings, versions
        self._metadata = MetadataColumns()
        self._sparse: set[str] = set()  # streams of which rows came that leave fields out

    def whole(self, table: StreamTable, batch: Batch) -> Batch:
        """Return a batch with all columns that are written: a row that comes is not marked as deleted any more."""
        whole = self._with_ours(table, batch)
        if self._settings.key(table.given) == (ROW_HASH,):
            whole = with_hashes(batch, whole)
        if is_masked(batch):
            self._sparse.add(table.stream)
            return with_more(whole, len(whole.columns) - len(batch.columns))
        # Rows of one shape wait in one stage, and those that have all fields are no reason to merge it.
        return padded(whole) if table.given.takes_masks and table.stream in self._sparse else whole

    def looks_at_rows(self, table: StreamTable) -> bool:
        """Whether all values of rows are wanted here."""
        return self._settings.key(table.given) == (ROW_HASH,) or table.stream in self._sparse

    def _with_ours(self, table: StreamTable, batch: Batch) -> Batch:
        if self._settings.with_metadata:
            batch = self._metadata.added_to(batch, table.given)
            names = batch.names
            of_rows = values_in(batch.wire_rows, names.index(VERSION)) if VERSION in names else (None,)
            self._versions.see(table.stream, of_rows)
            return batch
        if not table.takes_marks_off:
            return batch
        return replace(batch, columns=(*batch.columns, _MARK), wire_rows=widened(batch.wire_rows, (None,)))

    def tells_of_deletions(self, table: StreamTable, batch: Batch) -> bool:
        """Whether a record says that its row is gone, and it is to be deleted for that.

        Raises:
            BadDataError: what it says is no time.
        """
        goes = (
            self._settings.deletes_marked
            or self._settings.keeps_history(table.stream)
            or table.given.lists_of
        )
        deletes = goes and table.keys and DELETED_AT in table.given.column_names
        return bool(deletes) and tells_of_deletions(table.stream, batch)
