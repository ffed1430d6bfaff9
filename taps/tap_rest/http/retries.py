"""Asking again: how often, and how long after the try before."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import backoff

from singerkit_shell.errors import RetryableError
from singerkit_shell.signals import stop_flag
from singerkit_shell.walltime import wall_time
from tap_rest.settings.limits import Retries

__all__ = ["FailingServer", "NotYet", "Retrying", "Transient"]

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

_logger = logging.getLogger("tap-rest")
_YEAR = 366 * 86_400
_MOMENT = 0.001
"""Seconds that each wait is longer than: the first try, which has failed already, is never the last for its time."""
_EARLY = 4
"""How much longer the waits are where a limit was met: those of six tries last more than the minute of which most limits are."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """What an answer says where asking again may help; ``wait``: seconds until then, if it tells them."""

    finding: str
    wait: float | None = None


class Transient(Exception):
    """The request may be made again; ``retry_after`` is what the server asked for, in seconds.

    ``in_the_end`` is told when the last try has failed: what the answer said, what the cause may be. ``is_servers``: the server
    says that it has failed (5xx). ``is_early``: it serves, and not yet (a rate limit, a result that is not ready).
    """

    def __init__(
        self,
        finding: str,
        retry_after: float | None = None,
        in_the_end: str = "",
        *,
        is_servers: bool = False,
        is_early: bool = False,
    ) -> None:
        super().__init__(finding)
        self.is_early = is_early
        self.is_servers = is_servers
        self.retry_after = retry_after
        self.in_the_end = in_the_end
        self.wait = 0.0
        self.tries = 0


class FailingServer(RetryableError):
    """The last try was answered, too, and the server said that it had failed (5xx): it may be the question."""


class Retrying(Generic[Asked, Answer]):
    """Asks for a URL until ``ask`` raises `Transient` no more, as often and as long as `retries` of the config says.

    ``shown`` writes a URL for people.
    """

    def __init__(
        self,
        ask: Callable[Concatenate[str, Asked], Answer],
        limits: Retries,
        shown: Callable[[str], str],
    ) -> None:
        self._ask, self._limits, self._shown = ask, limits, shown
        self.count = 0

    def __call__(self, url: str, *args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        """Return the whole answer.

        Raises:
            RetryableError: there was none after all tries; `FailingServer` where an answer said why.
            Stopped: a signal came while waiting.
        """
        # Nearly all first tries succeed, and need none of what counts them.
        began = time.monotonic()
        try:
            return self._ask(url, *args, **kwargs)
        except Transient as error:
            failures = [error]
        again = self._asking_again(self._limits.total - (time.monotonic() - began))
        try:
            return again(url, failures, lambda: self._ask(url, *args, **kwargs))
        except Transient as error:
            limits = self._limits
            in_time = "" if error.tries >= limits.tries else f" in {limits.total:g} s (`retries.total`)"
            kind = FailingServer if error.is_servers else RetryableError
            raise kind(
                f"No whole answer from {self._shown(url)} after {error.tries} {'try' if error.tries == 1 else 'tries'}{in_time}: {error}{error.in_the_end}; "
                "rows read so far are safe, run again later."
            ) from None

    def _asking_again(self, seconds: float) -> Callable[[str, list[Transient], Callable[[], Answer]], Answer]:
        """Return what asks again for up to ``seconds``, and once in any case."""
        return backoff.on_exception(
            _waits,
            Transient,
            max_tries=self._limits.tries,
            max_time=max(seconds, _MOMENT),
            jitter=None,
            on_backoff=self._wait,
            on_giveup=_note_tries,
            logger=None,
            first=self._limits.first_wait,
            longest=self._limits.longest_wait,
        )(_with_first)

    def _wait(self, details: Any) -> None:
        # The wait itself happens here, before backoff sleeps for the zero seconds that `_waits` told it,
        # because time.sleep would not end when a signal asks for a stop.
        failure: Transient = details["exception"]
        seconds = failure.wait
        self.count += 1
        asked = "" if failure.retry_after is None else f" (asked for {_shown_wait(failure.retry_after)})"
        _logger.warning(
            "%s: try %d failed: %s; next in %.1f s%s.",
            self._shown(details["args"][0]),
            details["tries"],
            failure,
            seconds,
            asked,
        )
        wall_time.wait(seconds)
        stop_flag.raise_if_set("it was waiting to ask the API again; the state printed so far is valid.")


def _with_first(_url: str, failures: list[Transient], ask: Callable[[], Answer]) -> Answer:
    """Fail as the first try has failed already, and ask from the second on."""
    if failures:
        raise failures.pop()
    return ask()


def _waits(first: float, longest: float) -> Generator[float, Transient, None]:
    """Choose each wait, note it on the failure, and leave backoff nothing to sleep (see `Retrying._wait`)."""
    failure = yield 0
    tries = 0
    has_followed = False
    while True:
        # Half fixed, half random: many taps that failed together do not come back together.
        grown = first * 2.0**tries * (_EARLY if failure.is_early else 1)
        wait = min(grown, longest) * random.uniform(0.5, 1)  # noqa: S311  jitter
        if failure.retry_after is not None:
            # What was waited for in vain may be no more than a habit of the server, as `Retry-After: 0` is.
            asked = min(failure.retry_after, longest)
            wait = max(asked, wait) if has_followed else asked
            has_followed = True
        tries = min(tries + 1, 60)
        failure.wait = wait
        failure = yield 0


def _note_tries(details: Any) -> None:
    details["exception"].tries = details["tries"]


def _shown_wait(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < _YEAR else "more than a year"
