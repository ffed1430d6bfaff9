"""singer-sdk's metadata columns, added to a batch (SINGER-RULES G14).

A field of the stream that has the name of one keeps its column: what the tap says of it is stored, and nothing of ours.
"""

from __future__ import annotations

import time
from collections.abc import Container
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from singerkit_wire.ahead import widened
from singerkit_wire.batch import Batch
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.stream import DELETED_AT, VERSION, Stream

__all__ = ["MARKS", "MetadataColumns", "column_of", "may_hold_marks"]

MARKS = (DELETED_AT, VERSION)
"""What a run that marks rows as deleted writes of each."""


_SEQUENCE = "_sdc_sequence"
_KINDS = {
    "_sdc_received_at": Kind.DATE_TIME,
    "_sdc_batched_at": Kind.DATE_TIME,
    DELETED_AT: Kind.DATE_TIME,
    "_sdc_sync_started_at": Kind.INTEGER,
    _SEQUENCE: Kind.INTEGER,
}


def may_hold_marks(stored: Container[str], stream: Stream) -> bool:
    """Tell whether rows of a table may be marked as deleted by an earlier run, as `hard_delete: false` marks them.

    Such a run has written versions, too: a column of that name alone is one of another program, or of a former field.
    """
    return all(name not in stream.column_names and name in stored for name in MARKS)


class MetadataColumns:
    """Adds what the record does not bring itself; ``_sdc_sequence`` counts rows, in nanoseconds since the epoch."""

    def __init__(self) -> None:
        self._started_ms = int(time.time() * 1000)
        self._rows = 0

    def added_to(self, batch: Batch, stream: Stream) -> Batch:
        """Return ``batch`` with the metadata columns behind its own."""
        now = datetime.now(UTC)
        values: dict[str, Any] = {
            "_sdc_received_at": now,
            "_sdc_batched_at": now,
            DELETED_AT: None,
            "_sdc_sync_started_at": self._started_ms,
        }
        added = {name: value for name, value in values.items() if name not in stream.column_names}
        constants = tuple(added.values())
        first = self._started_ms * 1_000_000 + self._rows
        self._rows += len(batch.wire_rows)
        columns = (*batch.columns, *map(column_of, added))
        if _SEQUENCE in stream.column_names:
            return replace(batch, columns=columns, wire_rows=widened(batch.wire_rows, constants))
        rows = widened(batch.wire_rows, constants, first)
        return replace(batch, columns=(*columns, column_of(_SEQUENCE)), wire_rows=rows)


def column_of(name: str) -> Column:
    """Return the column of one that is added."""
    return Column(name, _KINDS[name], nullable=True, required=False)
