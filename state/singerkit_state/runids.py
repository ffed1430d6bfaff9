"""What a run is called: a name that no other has, and that says when it began, by the clock of which its rows have `_sdc_received_at`."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

__all__ = ["begun_at", "new_run_id"]

_TIMED = "7"  # as the version of a UUID of that kind


def new_run_id() -> str:
    """Return a name for a run that begins now."""
    return f"{int(time.time() * 1000):012x}{_TIMED}{uuid.uuid4().hex[13:]}"


def begun_at(run_id: str) -> datetime | None:
    """Return when a run began; None: its name does not say."""
    if len(run_id) != 32 or run_id[12] != _TIMED:
        return None
    try:
        return datetime.fromtimestamp(int(run_id[:12], 16) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
