"""What a record says of the end of its row: a time in `_sdc_deleted_at`, as log-based streams send it.

A column that is made for such times has a comment which says so: where a later SCHEMA does not name it, the mark is taken off rows that are back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Raw

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.dialect import ExistingColumn
from singerkit_target import metadata
from singerkit_wire.ahead import values_in
from singerkit_wire.batch import Batch
from singerkit_wire.kinds import Kind
from singerkit_wire.stream import DELETED_AT, Stream

__all__ = ["has_mark", "may_hold_marks", "new_marks", "tells_of_deletions"]

_COMMENT = "singerkit: since when a record says that its row is gone"

_NULL = (None, Raw(b"null"))
_NO_TIME = (False, 0, "", Raw(b'""'), Raw(b"0"))
"""What taps send for "not deleted" besides null, and what would delete every row by the letter."""


def new_marks(stream: Stream, columns: Mapping[str, str], added: Collection[str]) -> dict[str, str]:
    """Return the comment of the column of marks where it is new, by its name."""
    return {
        columns[one.name]: _COMMENT
        for one in stream.columns
        if one.name == DELETED_AT and one.kind is Kind.DATE_TIME and columns[one.name] in added
    }


def has_mark(there: Mapping[str, ExistingColumn], stream: Stream) -> bool:
    """Tell whether a record of an earlier run, or of an earlier SCHEMA of this one, may have marked rows."""
    return DELETED_AT not in stream.column_names and any(one.comment == _COMMENT for one in there.values())


def may_hold_marks(there: Mapping[str, ExistingColumn], stream: Stream) -> bool:
    """Tell whether rows may be marked as deleted, by a record or by a version."""
    return has_mark(there, stream) or metadata.may_hold_marks(there, stream)


def tells_of_deletions(stream: str, batch: Batch) -> bool:
    """Whether a record of the batch says that its row is gone.

    Raises:
        BadDataError: one has no time there, and no null either.
    """
    if DELETED_AT not in batch.names:
        return False
    at = batch.names.index(DELETED_AT)
    marks = [mark for mark in values_in(batch.wire_rows, at) if mark not in _NULL]
    if any(mark in _NO_TIME for mark in marks):
        first, last = batch.lines
        raise BadDataError(
            f"Expected in `{DELETED_AT}` of stream `{stream}` the time at which a row was deleted, or null, got false, 0 or an empty text "
            f"(lines {first} to {last}); no row was deleted for it, and what was committed is safe: have the tap send null for rows "
            "that are there, or set `hard_delete` to false, which keeps them and the value, then run again."
        )
    return bool(marks)
