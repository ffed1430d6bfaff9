"""What a run says: the lines of its programs with their pipeline before them, and at the end what became of each."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

from singerkit_run.durations import shown
from singerkit_run.outcomes import worst_of
from singerkit_run.tries import Result, Telling
from singerkit_shell.aligned import aligned
from singerkit_shell.secrets import redactor
from singerkit_shell.words import counted

__all__ = ["Teller", "summary", "verdict"]


class Teller:
    """Writes whole lines to stderr, whichever thread has them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def of(self, pipeline: str) -> Telling:
        return Telling(
            lambda side, line: self.say(f"{pipeline} {side} | {line}"),
            lambda news: self.say(f"{pipeline} {news}"),
        )

    def say(self, line: str) -> None:
        with self._lock:
            print(redactor.mask(line), file=sys.stderr, flush=True)


def summary(results: Sequence[Result]) -> list[str]:
    """Return a table of what became of each pipeline."""
    return aligned(
        ("pipeline", "result", "tries", "time"),
        [
            (one.name, _result(one), str(one.tries or ""), shown(one.seconds) if one.tries else "")
            for one in results
        ],
        ("tries", "time"),
    )


def _result(result: Result) -> str:
    if result.skipped_for:
        return f"not run, since {result.skipped_for} has not ended well"
    if result.outcome.code:
        return f"failed ({result.outcome.code})" if not result.outcome.is_stop else "stopped"
    if not result.tries:
        return "not run"
    return "done" if result.committed else "nothing new"


def verdict(results: Sequence[Result]) -> tuple[int, str]:
    """Return the exit code of a run, which is the worst one, and its last line, which says whose that is."""
    worst = worst_of(result.outcome for result in results)
    if not worst.code:
        return 0, f"{counted(len(results), 'pipeline')} done."
    [first, *_] = [result for result in results if result.outcome == worst]
    failed = sum(bool(result.outcome.code) for result in results)
    skipped = sum(bool(result.skipped_for) for result in results)
    beside = f", and {counted(skipped, 'other')} not run for that" if skipped else ""
    return worst.code, (
        f"{failed} of {counted(len(results), 'pipeline')} failed{beside}; `{first.name}` ended with {worst.code}: {worst.why}"
    )
