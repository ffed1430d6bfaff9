"""singer-sdk's metadata columns, added to a batch (SINGER-RULES G14)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from singerkit_target.contract import Batch

__all__ = ["MetadataColumns"]


class MetadataColumns:
    """Adds what the record does not bring itself; ``_sdc_sequence`` counts rows, in nanoseconds since the epoch."""

    def __init__(self) -> None:
        self._started_ms = int(time.time() * 1000)
        self._rows = 0

    def added_to(self, batch: Batch) -> tuple[tuple[str, ...], Sequence[tuple[Any, ...]]]:
        """Return column names and rows of ``batch`` with the metadata columns."""
        batch = _each_once(batch)
        now = datetime.now(UTC)
        values = {
            "_sdc_received_at": now,
            "_sdc_batched_at": now,
            "_sdc_deleted_at": None,
            "_sdc_sync_started_at": self._started_ms,
        }
        added = {name: value for name, value in values.items() if name not in batch.columns}
        constants = tuple(added.values())
        first = self._started_ms * 1_000_000 + self._rows
        self._rows += len(batch.rows)
        names = (*batch.columns, *added)
        if "_sdc_sequence" in batch.columns:
            return names, [(*row, *constants) for row in batch.rows]
        rows = [(*row, *constants, first + index) for index, row in enumerate(batch.rows)]
        return (*names, "_sdc_sequence"), rows


def _each_once(batch: Batch) -> Batch:
    """A record may bring metadata as fields of its own, from a target before us: these win over its message's."""
    at = [index for index, name in enumerate(batch.columns) if name not in batch.columns[:index]]
    if len(at) == len(batch.columns):
        return batch
    rows = [tuple(row[index] for index in at) for row in batch.rows]
    return replace(batch, columns=tuple(batch.columns[index] for index in at), rows=rows)
