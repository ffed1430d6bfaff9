"""What a record says of the end of its row: a time in `_sdc_deleted_at`, as log-based streams send it."""

from __future__ import annotations

from msgspec import Raw

from singerkit_shell.errors import BadDataError
from singerkit_wire.batch import Batch
from singerkit_wire.stream import DELETED_AT

__all__ = ["tells_of_deletions"]

_NULL = (None, Raw(b"null"))
_NO_TIME = (False, 0, "", Raw(b'""'), Raw(b"0"))
"""What taps send for "not deleted" besides null, and what would delete every row by the letter."""


def tells_of_deletions(stream: str, batch: Batch) -> bool:
    """Whether a record of the batch says that its row is gone.

    Raises:
        BadDataError: one has no time there, and no null either.
    """
    if DELETED_AT not in batch.names:
        return False
    at = batch.names.index(DELETED_AT)
    marks = [row[at] for row in batch.wire_rows if row[at] not in _NULL]
    if any(mark in _NO_TIME for mark in marks):
        first, last = batch.lines
        raise BadDataError(
            f"Expected in `{DELETED_AT}` of stream `{stream}` the time at which a row was deleted, or null, got false, 0 or an empty text "
            f"(lines {first} to {last}); no row was deleted for it, and what was committed is safe: have the tap send null for rows "
            "that are there, or set `hard_delete` to false, which keeps them and the value, then run again."
        )
    return bool(marks)
