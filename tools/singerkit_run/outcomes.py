"""What tries and pipelines have come to, and which of several is the worst."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass

from singerkit_shell.signals import StopFlag

__all__ = ["BUSY", "UNAVAILABLE", "Outcome", "stopped_by", "worst_of"]

UNAVAILABLE = 69
BUSY = 75
_WORST_FIRST = (70, 78, 77, 65, 64)
_LEAST = (74, 76, 69, 75)
"""What is worth another try; between these and the first ones stand the codes of others."""


@dataclass(frozen=True)
class Outcome:
    """An exit code, and a sentence where it is not 0.

    ``is_stop`` where the run itself was told to stop; ``is_busy`` where another run of the pipeline is at work, and this one has done nothing (a target ends with 75 for other locks, too).
    """

    code: int
    why: str = ""
    is_stop: bool = False
    is_busy: bool = False


def stopped_by(stop: StopFlag, what_is_safe: str = "what was committed is safe") -> Outcome:
    """Return what becomes of whatever a signal has stopped, or kept from beginning."""
    signum = stop.signum or signal.SIGTERM
    return Outcome(128 + signum, f"Stopped by {signal.Signals(signum).name}; {what_is_safe}.", is_stop=True)


def worst_of(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the outcome that tells most: what has to be mended before what may go well next time."""
    return min(outcomes, key=_rank, default=Outcome(0))


def _rank(outcome: Outcome) -> int:
    code = outcome.code
    if outcome.is_stop:
        return -1
    if code in _WORST_FIRST:
        return _WORST_FIRST.index(code)
    if code in _LEAST:
        return 20 + _LEAST.index(code)
    return 99 if code == 0 else 10
