"""What time it is for all that ends up in messages, and waiting for others: the replay of a run stands in for both."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from singerkit_shell.signals import stop_flag

__all__ = ["WallTime", "wall_time"]


class WallTime:
    """The clock of this machine, unless something stands in for it."""

    def __init__(self) -> None:
        self._now: Callable[[], float] | None = None
        self._waits = True

    def now(self) -> float:
        """Return the Unix time. For what a message or a request may hold, and from the main thread."""
        return time.time() if self._now is None else self._now()

    def wait(self, seconds: float) -> None:
        """Wait, or until a signal comes."""
        if self._waits:
            stop_flag.wait(seconds)

    @contextlib.contextmanager
    def replaced(self, now: Callable[[], float], *, waits: bool) -> Iterator[None]:
        """Let ``now`` tell the time inside the block, and nobody wait unless ``waits``."""
        before = self._now, self._waits
        self._now, self._waits = now, waits
        try:
            yield
        finally:
            self._now, self._waits = before


wall_time = WallTime()
"""The one clock of the process."""
