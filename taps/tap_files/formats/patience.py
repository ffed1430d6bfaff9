"""A regular expression may take years for a line: it is interrupted, by the time that the processor has worked on it.

Python looks for signals while it matches. A busy machine interrupts nothing, as time in which others work does not count. Only the main
thread can be interrupted, and not on Windows: elsewhere there is no guard.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["TooSlowError", "patience"]


class TooSlowError(Exception):
    """What was done took longer than there was patience."""


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Do something for at most so many seconds of the processor's.

    Raises:
        TooSlowError: it took longer.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise TooSlowError
