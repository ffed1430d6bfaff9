"""METRIC lines, as singer-sdk's targets write them: for machines that read a log; on a terminal they are left out."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping

__all__ = ["measure"]

_LOG = logging.getLogger("singer_sdk.metrics")  # by that name others filter them, or put them elsewhere


def measure(committed: Mapping[str, int], seconds: Mapping[str, float]) -> None:
    """How many rows of each stream are committed, and how long that took."""
    for stream, rows in sorted(committed.items()):
        _point("counter", "record_count", rows, stream)
        if stream in seconds:
            _point("timer", "batch_processing_time", round(seconds[stream], 3), stream, status="succeeded")


def _point(type_: str, metric: str, value: float, stream: str, **more: str) -> None:
    tags = {"stream": stream, "pid": os.getpid(), **more}
    _LOG.info("METRIC: %s", json.dumps({"type": type_, "metric": metric, "value": value, "tags": tags}))
