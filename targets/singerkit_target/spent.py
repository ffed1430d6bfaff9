"""How long a run has been at each stream: the time until its rows were written, and its part of the commits."""

from __future__ import annotations

import time
from collections.abc import Mapping

__all__ = ["Spent"]


class Spent:
    """Divides the seconds of a run among its streams; what is behind the last of them is nobody's."""

    def __init__(self) -> None:
        self._until = time.monotonic()
        self.seconds: dict[str, float] = {}

    def _passed(self) -> float:
        now = time.monotonic()
        passed, self._until = now - self._until, now
        return passed

    def on(self, stream: str) -> None:
        """Rows of a stream were written since."""
        self._add(stream, self._passed())

    def on_each(self, rows: Mapping[str, int]) -> None:
        """So many rows of each stream were committed since."""
        passed, all_rows = self._passed(), sum(rows.values())
        for stream, count in rows.items():
            self._add(stream, passed * count / all_rows)

    def _add(self, stream: str, seconds: float) -> None:
        self.seconds[stream] = self.seconds.get(stream, 0.0) + seconds
