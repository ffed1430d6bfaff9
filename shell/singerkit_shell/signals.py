"""SIGTERM and SIGINT only set a flag (DESIGN 5); loops look at it where stopping is safe.

What cannot look at it, a long computation or a library that waits, runs inside `StopFlag.within` or
`StopFlag.waiting_for`, which end it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from singerkit_shell.errors import SingerkitError, Stopped

__all__ = ["JUDGE_SECONDS", "StopFlag", "TooLong", "stop_flag"]

_T = TypeVar("_T")
JUDGE_SECONDS = 2.0
"""Processor time for judging one record by its schema; a common one takes a thousandth of that."""
_GRACE = 0.4  # seconds that a computation may go on after a signal
_TURN = 0.1  # seconds between two looks at the flag
_OF_TIMERS = (signal.SIGALRM, signal.SIGVTALRM)


class TooLong(Exception):
    """A computation took more processor time than it was given."""


class _Expired(BaseException):
    """Raised into a computation by the handler of a timer; never leaves `StopFlag.within`."""


class StopFlag:
    """Holds the first signal that asked for a stop and how many came, or what else ends the run (`give_up`).

    ``wakeup_fd`` becomes readable when a signal arrives, for loops that wait in select().
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.count = 0
        self._read_end: int | None = None
        self._write_end: int | None = None
        self._is_computing = False
        self._failure: SingerkitError | None = None

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
        for signum in _OF_TIMERS:
            signal.signal(signum, self._on_timer)

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        self.signum = self.signum or signum
        self.count += 1
        if self._is_computing:
            signal.setitimer(signal.ITIMER_REAL, _GRACE)

    def give_up(self, failure: SingerkitError | None) -> None:
        """Let the run end with ``failure`` where a signal would end it; from any thread. None takes that back."""
        self._failure = failure
        if failure is not None and self._write_end is not None:
            with contextlib.suppress(OSError):  # full of news already
                os.write(self._write_end, b"\0")

    def _on_timer(self, _signum: int, _frame: FrameType | None) -> None:
        if self._is_computing:
            raise _Expired

    def within(self, seconds: float | None, compute: Callable[[], _T], what_is_safe: str) -> _T:
        """Return what ``compute`` returns, unless it takes too long or a signal comes.

        ``seconds`` are of processor time, so that a busy machine changes nothing; None is no limit. ``compute`` must
        bear being ended anywhere. Outside the main thread, and inside another `within`, nothing is limited.

        Raises:
            TooLong: the time was over.
            Stopped: a signal came and ``compute`` did not end soon after; ``what_is_safe`` ends its sentence.
        """
        if self._is_computing or threading.current_thread() is not threading.main_thread():
            return compute()
        # A process of ours has the handlers from its start: taking and giving them back costs a tenth of what a page does.
        former = [
            (signum, signal.signal(signum, self._on_timer))
            for signum in _OF_TIMERS
            if signal.getsignal(signum) != self._on_timer
        ]
        try:
            try:
                self._is_computing = True
                if seconds is not None:
                    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
                if self:
                    signal.setitimer(signal.ITIMER_REAL, _GRACE)
                return compute()
            finally:
                self._is_computing = False
        except _Expired:
            self.raise_if_set(what_is_safe)
            raise TooLong from None
        finally:
            if seconds is not None:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            if self:
                signal.setitimer(signal.ITIMER_REAL, 0)
            for signum, handler in former:
                signal.signal(signum, handler)

    def waiting_for(self, work: Callable[[], _T], what_is_safe: str) -> _T:
        """Return what ``work`` returns; it runs in a thread of its own, which a signal leaves behind.

        For waits in C that no signal ends: names, connections, statements.

        Raises:
            Stopped: a signal came; ``what_is_safe`` ends its sentence.
            Exception: as ``work`` does.
        """
        outcome: dict[str, Any] = {}
        done = threading.Event()

        def run() -> None:
            try:
                outcome["result"] = work()
            except BaseException as error:
                outcome["error"] = error
            done.set()

        threading.Thread(target=run, name="waiting", daemon=True).start()
        while not done.wait(_TURN):
            if self and not done.wait(_GRACE):
                self.raise_if_set(what_is_safe)
        if "error" in outcome:
            raise outcome["error"]
        return outcome["result"]  # type: ignore[no-any-return]

    @property
    def wakeup_fd(self) -> int | None:
        return self._read_end

    def __bool__(self) -> bool:
        return self.signum is not None or self._failure is not None

    def wait(self, seconds: float) -> bool:
        """Wait; True as soon as a signal has come."""
        until = time.monotonic() + seconds
        while not self and (left := until - time.monotonic()) > 0:
            # Short turns: where no handler could be installed, nothing wakes the wait.
            select.select([] if self._read_end is None else [self._read_end], [], [], min(left, 0.2))
        return bool(self)

    def raise_if_set(self, what_is_safe: str) -> None:
        """Raise `Stopped` when a signal has come, ``what_is_safe`` ends its sentence, or the failure that ends the run."""
        if self.signum is not None:
            raise Stopped(self.signum, f"Stopped by {signal.Signals(self.signum).name}: {what_is_safe}")
        if self._failure is not None:
            raise self._failure


stop_flag = StopFlag()
