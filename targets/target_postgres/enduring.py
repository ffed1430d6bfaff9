"""What a run begins with, done once more where the connection is lost meanwhile: no unit is in hand that could be lost with it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from singerkit_shell.errors import RetryableError
from singerkit_shell.signals import StopFlag
from singerkit_target.replay import waits

__all__ = ["LOST", "endured"]

_T = TypeVar("_T")

LOST = "the connection to PostgreSQL was lost, what was committed is safe."


def endured(
    job: Callable[[], _T],
    *,
    is_lost: Callable[[], bool],
    reconnect: Callable[[], object],
    seconds: float,
    stop: StopFlag,
    log: logging.Logger,
) -> _T:
    """Return what ``job`` does; again, behind ``reconnect``, where it failed since the connection ``is_lost``.

    Raises:
        RetryableError: it was lost again and again for so many ``seconds``.
        Stopped: a signal came between two tries.
    """
    end = time.monotonic() + seconds
    pauses = waits()
    while True:
        pause = next(pauses)
        try:
            return job()
        except RetryableError as error:
            if not is_lost() or time.monotonic() + pause > end:
                raise
            log.warning("%s; connecting again.", str(error).partition("; ")[0])
        stop.wait(pause)
        stop.raise_if_set(LOST)
        reconnect()
