"""The budget of requests: how many may be made in a second, a minute, an hour, by all streams and threads together."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from singerkit_shell.signals import stop_flag
from singerkit_shell.walltime import wall_time
from tap_rest.settings.ratelimit import RateLimit

__all__ = ["Pace", "pace_of"]

_logger = logging.getLogger("tap-rest")
_SLACK = 1.02
"""A window that is so much longer: what is sent at its end may arrive sooner than what was sent at its beginning."""
_LONG = 10.0
"""Seconds of waiting that somebody is told of."""


class Pace:
    """Turns to make a request, each window of time with no more of them than the config says."""

    def __init__(self, limit: RateLimit, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows = [
            (deque[float](maxlen=count), seconds * _SLACK, name) for count, seconds, name in limit.windows
        ]
        self._told: set[str] = set()

    def take_turn(self) -> None:
        """Wait until a request may be made.

        Raises:
            Stopped: a signal came while waiting.
        """
        now = self._clock()
        turn, name = self._turn(now)
        if turn <= now:
            return
        if turn - now > _LONG and name not in self._told:
            self._told.add(name)
            _logger.info(
                "As many requests were made as `rate_limit.%s` allows; the next is made in %.0f s. This is said once.",
                name,
                turn - now,
            )
        wall_time.wait(turn - now)
        stop_flag.raise_if_set(
            "it was waiting for its turn to ask the API; the state printed so far is valid."
        )

    def _turn(self, now: float) -> tuple[float, str]:
        """Return the moment at which the next request may be made, and the setting that decides; it is taken."""
        with self._lock:
            turn, deciding = now, ""
            for turns, seconds, name in self._windows:
                if len(turns) == turns.maxlen and turns[0] + seconds > turn:
                    turn, deciding = turns[0] + seconds, name
            for turns, _, _ in self._windows:
                turns.append(turn)
            return turn, deciding


def pace_of(limit: RateLimit | None) -> Pace | None:
    """Return what keeps to a budget; None: there is none."""
    return None if limit is None else Pace(limit)
