"""A line every ten seconds in the log of a run, so that who reads it sees it move; on a terminal the tap draws its own."""

from __future__ import annotations

import logging
import sys
import time

from singerkit_shell.words import counted
from singerkit_target.summary import Summary

__all__ = ["Along"]

_EVERY = 10.0  # seconds


class Along:
    """Tells from time to time how far a run is."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told_at = time.monotonic()

    def tell(self, summary: Summary) -> None:
        """Say it, if it is time."""
        now = time.monotonic()
        if now - self._told_at < _EVERY:
            return
        self._told_at = now
        if sys.stderr is not None and sys.stderr.isatty():
            return
        rows, seconds = summary.received.total(), summary.seconds()
        self._log.info(
            "%s so far, %s of them committed (%s rows/s).",
            counted(rows, "row"),
            f"{summary.committed_rows:,}",
            f"{rows / seconds:,.0f}" if seconds else "0",
        )
