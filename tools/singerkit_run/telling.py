"""What a run says: the lines of its programs with their pipeline before them, how far it is, and at the end what became of each."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from singerkit_run.durations import shown
from singerkit_run.lines import Lines
from singerkit_run.outcomes import worst_of
from singerkit_run.progress import ERASED, Progress
from singerkit_run.tries import Result, Telling
from singerkit_shell.aligned import aligned
from singerkit_shell.secrets import redactor
from singerkit_shell.words import counted, visible

__all__ = ["Teller", "summary", "verdict"]


class Teller:
    """Writes whole lines to stderr, whichever thread has them; with ``everything`` all that the programs say. Use as a context manager."""

    def __init__(self, everything: bool = False) -> None:
        self._lock = threading.Lock()
        self._everything = everything
        self._is_terminal = sys.stderr.isatty()
        self._progress = Progress(sys.stderr, self._lock)
        self._stack = ExitStack()

    def __enter__(self) -> Teller:
        if self._is_terminal:
            self._stack.enter_context(self._progress)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def of(self, pipeline: str) -> Telling:
        say = self.say if self._everything else self._stamped  # what is told as it comes has times of its own
        lines = Lines(lambda who, line: say(f"{pipeline} {who} | {line}"), self._everything)
        return Telling(
            lines.hear,
            lambda news: self._stamped(f"{pipeline} {news}"),
            partial(self._progress.begin, pipeline),
            partial(self._end, lines),
        )

    def _end(self, lines: Lines, result: Result) -> None:
        self._progress.end(result.name)
        if result.outcome.code and not result.outcome.is_stop and lines.left_out:
            self._stamped(f"{result.name} had said, too:")
            lines.tell_what_was_left_out()
        self._stamped(f"{result.name} {_end(result)}")

    def _stamped(self, line: str) -> None:
        self.say(f"{time.strftime('%H:%M:%S' if self._is_terminal else '%Y-%m-%d %H:%M:%S')} {line}")

    def say(self, line: str) -> None:
        with self._lock:
            print(
                f"{ERASED if self._is_terminal else ''}{visible(redactor.mask(line))}",
                file=sys.stderr,
                flush=True,
            )


def _end(result: Result) -> str:
    seconds = shown(result.seconds)
    if result.outcome.is_stop:
        return f"was stopped after {seconds}."
    if result.outcome.is_busy:
        return f"was not run ({result.outcome.code}): {result.outcome.why}"
    if result.outcome.code:
        return f"failed after {seconds} with {result.outcome.code}: {result.outcome.why}"
    return (
        f"ended well after {seconds}."
        if result.committed
        else f"ended well after {seconds}; there was nothing new."
    )


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
    if result.skipped_for and result.outcome.is_busy:
        return f"not run, since another run of {result.skipped_for} is at work"
    if result.skipped_for:
        return f"not run, since {result.skipped_for} has not ended well"
    if result.outcome.is_busy:
        return f"not run ({result.outcome.code}), since another run is at work"
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
    failed = sum(bool(result.outcome.code) and result.outcome.is_busy == worst.is_busy for result in results)
    did = "found another run at work" if worst.is_busy else "failed"
    skipped = sum(bool(result.skipped_for) for result in results)
    beside = f", and {counted(skipped, 'other')} not run for that" if skipped else ""
    return worst.code, (
        f"{failed} of {counted(len(results), 'pipeline')} {did}{beside}; `{first.name}` ended with {worst.code}: {worst.why}"
    )
