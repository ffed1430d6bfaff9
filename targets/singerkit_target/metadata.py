"""singer-sdk's metadata columns, added to a batch (SINGER-RULES G14).

A field of the stream that has the name of one keeps its column: what the tap says of it is stored, and nothing of ours.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from singerkit_wire.batch import Batch
from singerkit_wire.stream import DELETED_AT, Stream

__all__ = ["MetadataColumns"]


class MetadataColumns:
    """Adds what the record does not bring itself; ``_sdc_sequence`` counts rows, in nanoseconds since the epoch."""

    def __init__(self) -> None:
        self._started_ms = int(time.time() * 1000)
        self._rows = 0

    def added_to(self, batch: Batch, stream: Stream) -> tuple[tuple[str, ...], Sequence[tuple[Any, ...]]]:
        """Return column names and rows of ``batch`` with the metadata columns."""
        now = datetime.now(UTC)
        values = {
            "_sdc_received_at": now,
            "_sdc_batched_at": now,
            DELETED_AT: None,
            "_sdc_sync_started_at": self._started_ms,
        }
        added = {name: value for name, value in values.items() if name not in stream.column_names}
        constants = tuple(added.values())
        first = self._started_ms * 1_000_000 + self._rows
        self._rows += len(batch.rows)
        names = (*batch.columns, *added)
        if "_sdc_sequence" in stream.column_names:
            return names, [(*row, *constants) for row in batch.rows]
        rows = [(*row, *constants, first + index) for index, row in enumerate(batch.rows)]
        return (*names, "_sdc_sequence"), rows
