"""METRIC lines, as singer-sdk's targets write them: for machines that read a log; on a terminal they are left out."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping

from singerkit_target.outcomes import Outcome

__all__ = ["measure"]

_LOG = logging.getLogger("singer_sdk.metrics")  # by that name others filter them, or put them elsewhere


def measure(
    committed: Mapping[str, int], seconds: Mapping[str, float], outcomes: Mapping[str, Outcome]
) -> None:
    """How many rows of each stream are committed, how long that took, and, where it is known, how many of the table are others now."""
    for stream, rows in sorted(committed.items()):
        _point("counter", "record_count", rows, stream)
        if stream in seconds:
            _point("timer", "batch_processing_time", round(seconds[stream], 3), stream, status="succeeded")
    for stream, outcome in sorted(outcomes.items()):
        _point("counter", "changed_record_count", outcome.new + outcome.changed + outcome.deleted, stream)


def _point(type_: str, metric: str, value: float, stream: str, **more: str) -> None:
    tags = {"stream": stream, "pid": os.getpid(), **more}
    _LOG.info("METRIC: %s", json.dumps({"type": type_, "metric": metric, "value": value, "tags": tags}))
