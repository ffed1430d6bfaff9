"""What a log-based source is told beside the reading: that somebody is there, and what it may forget.

A pipe that takes nothing blocks the thread that writes, for hours where a target is slow; the source would take that for a
lost connection. So a thread of its own answers it. Another one looks up, if that is asked for, what the target has committed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

from singerkit_shell.errors import SingerkitError
from singerkit_tap.log_contract import LogReader, Position

__all__ = ["Keeper"]

logger = logging.getLogger(__name__)


class Keeper:
    """Calls a reader at least every ``seconds``, between the calls of the thread that reads.

    ``committed`` returns the position that the target has committed, as read back, or None where there is no news. Who calls
    the reader holds `lock`, and calls `tend` now and then, since a lock that is taken again at once leaves nobody else in.
    """

    def __init__(
        self, reader: LogReader, seconds: float, committed: Callable[[], Position | None] | None = None
    ) -> None:
        self.lock = threading.Lock()
        self._reader, self._pause, self._committed = reader, seconds / 2, committed
        self._tended = time.monotonic()
        self._read_back: Position | None = None
        self._acknowledged: Position | None = None
        self._failure: Exception | None = None
        self._is_over = threading.Event()
        self._has_warned = False
        jobs = [self._keep] if committed is None else [self._keep, self._look_up]
        self._threads = [threading.Thread(target=job, name="log-keeper", daemon=True) for job in jobs]

    def acknowledge(self, position: Position) -> None:
        """Acknowledge a position that the given state holds."""
        with self.lock:
            self._reader.acknowledge(position)
        self._acknowledged = position

    def __enter__(self) -> Keeper:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        for (
            thread
        ) in self._threads:  # one may wait for a database that does not answer: its news counts no more
            thread.join(timeout=1)

    def tend(self) -> None:
        """Answer the source, and acknowledge what was read back, when it is time to; ``lock`` is held.

        Raises:
            Exception: what the reader has raised in the other thread.
        """
        if self._failure is not None:
            raise self._failure
        if time.monotonic() - self._tended < self._pause:
            return
        position = self._read_back
        if position is not None and position != self._acknowledged:
            self._reader.acknowledge(position)
            self._acknowledged = position
        self._reader.keep_alive()
        self._tended = time.monotonic()

    def _keep(self) -> None:
        while not self._is_over.wait(self._pause):
            with self.lock:
                if self._is_over.is_set() or self._failure is not None:
                    return
                try:
                    self.tend()
                except Exception as error:  # of the reader: it is told where the next page is asked for
                    self._failure = error

    def _look_up(self) -> None:
        assert self._committed is not None  # noqa: S101  else there is no such thread
        while not self._is_over.wait(self._pause):
            try:
                self._read_back = self._committed() or self._read_back
            except SingerkitError as error:
                if not self._has_warned:
                    self._has_warned = True
                    logger.warning(
                        "What is committed cannot be read back, so the source keeps its log meanwhile: %s",
                        error,
                    )
