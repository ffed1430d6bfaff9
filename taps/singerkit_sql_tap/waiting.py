"""A query is run again while others hold what it needs, and ended where it takes too long or is not wanted any more."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from singerkit_shell.errors import SingerkitError
from singerkit_shell.signals import stop_flag
from singerkit_sql_tap.faults import SAFE, took_too_long

__all__ = ["DriverErrors", "Waiting"]

_T = TypeVar("_T")

_FIRST_WAIT, _LONGEST_WAIT = 0.01, 0.25
_STOPPED = f"{SAFE}, run again to continue."


class DriverErrors(Protocol):
    """What a connector knows of the errors of its driver."""

    ERRORS: type[Exception]

    def is_locked(self, error: Exception) -> bool:
        """Tell whether others hold for now what is asked for."""
        ...

    def is_ended(self, error: Exception) -> bool:
        """Tell whether the query was ended, because of `Waiting.is_to_end` or a limit that the database was told."""
        ...

    def fault(self, error: Exception, place: str, doing: str) -> SingerkitError:
        """Return what to raise; ``doing`` says what was done: `reading table x`."""
        ...


class Waiting:
    """Runs what asks a database; ``place`` is shown, ``longest`` and ``query_timeout`` are seconds."""

    def __init__(
        self,
        place: str,
        errors: DriverErrors,
        logger: logging.Logger,
        *,
        longest: float,
        query_timeout: float | None,
    ) -> None:
        self._place, self._errors, self._logger = place, errors, logger
        self._longest, self._query_timeout = longest, query_timeout
        self._began = 0.0

    def is_to_end(self) -> bool:
        """Look, while a query runs, whether somebody wants it to end; signals are heard here, too."""
        return bool(stop_flag) or (
            self._query_timeout is not None and time.monotonic() - self._began > self._query_timeout
        )

    def run(self, work: Callable[[], _T], doing: str) -> _T:
        """Return what ``work`` returns, waiting for whoever has locked what it needs.

        Raises:
            SingerkitError: see `DriverErrors.fault`.
        """
        until = time.monotonic() + self._longest
        wait = _FIRST_WAIT
        while True:
            stop_flag.raise_if_set(_STOPPED)
            self._began = time.monotonic()
            try:
                return work()
            except self._errors.ERRORS as error:
                if self._errors.is_ended(error):
                    stop_flag.raise_if_set(_STOPPED)
                    raise took_too_long(self._place, doing) from None
                if not self._errors.is_locked(error) or time.monotonic() > until:
                    raise self._errors.fault(error, self._place, doing) from None
                if wait == _FIRST_WAIT:
                    self._logger.info(
                        "Waiting for a writer that has locked %s, while %s.", self._place, doing
                    )
            stop_flag.wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
