"""SIGTERM and SIGINT only set a flag (DESIGN 5); loops look at it where stopping is safe."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from types import FrameType

from singerkit_shell.errors import Stopped

__all__ = ["StopFlag", "stop_flag"]


class StopFlag:
    """Holds the first signal that asked for a stop and how many came.

    ``wakeup_fd`` becomes readable when a signal arrives, for loops that wait in select().
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.count = 0
        self._read_end: int | None = None
        self._write_end: int | None = None

    def install(self) -> None:
        """Take over SIGTERM and SIGINT; does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        if self._read_end is None:
            self._read_end, self._write_end = os.pipe()
            os.set_blocking(self._read_end, False)
            os.set_blocking(self._write_end, False)
            signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._on_signal)

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        self.signum = self.signum or signum
        self.count += 1

    @property
    def wakeup_fd(self) -> int | None:
        return self._read_end

    def __bool__(self) -> bool:
        return self.signum is not None

    def wait(self, seconds: float) -> bool:
        """Wait; True as soon as a signal has come."""
        until = time.monotonic() + seconds
        while not self and (left := until - time.monotonic()) > 0:
            # Short turns: where no handler could be installed, nothing wakes the wait.
            select.select([] if self._read_end is None else [self._read_end], [], [], min(left, 0.2))
        return bool(self)

    def raise_if_set(self, what_is_safe: str) -> None:
        """Raise `Stopped` when a signal has come; ``what_is_safe`` ends its sentence."""
        if self.signum is not None:
            raise Stopped(self.signum, f"Stopped by {signal.Signals(self.signum).name}: {what_is_safe}")


stop_flag = StopFlag()
