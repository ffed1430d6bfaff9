"""How many rows a second may be written: the reader waits behind each block, and what it reads from is asked no faster."""

from __future__ import annotations

import time
from collections.abc import Callable

from singerkit_shell.walltime import wall_time

__all__ = ["RowPace"]

_CREDIT_SECONDS = 1.0
"""What was not used of so much time may be made up for."""


class RowPace:
    """Keeps to ``rows_per_second`` on average; ``clock`` gives seconds, and ``wait`` ends early where a signal comes."""

    def __init__(
        self,
        rows_per_second: float,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = wall_time.wait,
    ) -> None:
        self._seconds_per_row = 1 / rows_per_second
        self._clock, self._wait = clock, wait
        self._free_at = clock()

    def keep_to(self, rows: int) -> None:
        """Wait as long as ``rows``, which were written just now, are to take."""
        now = self._clock()
        self._free_at = max(self._free_at, now - _CREDIT_SECONDS) + rows * self._seconds_per_row
        if self._free_at > now:
            self._wait(self._free_at - now)
