"""One pipe: a tap, a target, and what the two of them have come to.

The write end stays open here until the tap's exit code is known. So a target sees the end of its input only behind a tap that has ended well;
behind one that has failed it is stopped, and commits nothing beyond the last STATE.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from singerkit_run.children import Child, code_of
from singerkit_run.commands import Commands
from singerkit_run.durations import shown
from singerkit_run.leftovers import bytes_in, end_writers, reader_of
from singerkit_run.outcomes import UNAVAILABLE, Outcome, stopped_by, worst_of
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import StopFlag

__all__ = ["Ground", "run_pipe", "sentence_in"]

_TURN = 0.1
"""Seconds between two looks at the clock and at the signals."""
_DRAIN_SECONDS = 10.0
"""How long a target may take to read what a tap that has failed had written."""
_SIGPIPE = 128 + signal.SIGPIPE
_LED = re.compile(r".*\b(?:CRITICAL|ERROR) +(?:[\w.-]+: )?")
"""What stands before the sentence in a last line of ours."""


@dataclass(frozen=True)
class Ground:
    """Where a pipe runs, and to whom it tells what: ``say`` lines of either side, ``on_state`` lines of the target's stdout, ``at_work`` how much the tap has written."""

    folder: str
    env: Mapping[str, str]
    stop: StopFlag
    say: Callable[[str, str], None]
    on_state: Callable[[bytes], None]
    at_work: Callable[[Callable[[], int | None]], None] = lambda _written: None


def run_pipe(commands: Commands, ground: Ground, timeout: float | None) -> Outcome:
    """Run a pipe to its end, which comes by itself, by a signal, or after ``timeout`` seconds."""
    with _started(commands, ground) as pipe:
        return pipe.outcome(timeout)


@contextlib.contextmanager
def _started(commands: Commands, ground: Ground) -> Iterator[_Pipe]:
    read_end, write_end = os.pipe()
    pipe = _Pipe(write_end, commands.is_target_ours, ground.stop)
    try:
        try:
            # The target first: what a tap writes has somebody to read it then.
            pipe.target = pipe.start("target", commands, ground, stdin=read_end, on_output=ground.on_state)
        finally:
            os.close(read_end)
        pipe.tap = pipe.start("tap", commands, ground, stdout=write_end)
        ground.at_work(pipe.tap.written)
        yield pipe
    finally:
        pipe.leave()


def sentence_in(words: str, side: str) -> str:
    """Return the sentence in the last line of a program's stderr."""
    return redactor.mask(_LED.sub("", words)) or f"The {side} said nothing."


class _Pipe:
    """The two programs; ``words`` are the last ones of each."""

    tap: Child | None = None
    target: Child | None = None

    def __init__(self, write_end: int, is_target_ours: bool, stop: StopFlag) -> None:
        self._write_end: int | None = write_end
        self._read_end: int | None = None
        self._is_target_ours, self._stop = is_target_ours, stop
        self._ended: queue.SimpleQueue[Child] = queue.SimpleQueue()
        self._words: dict[str, str] = {}

    def start(self, side: str, commands: Commands, ground: Ground, **ends: object) -> Child:
        is_tap = side == "tap"

        def on_line(line: str) -> None:
            if line.strip():
                self._words[side] = line.strip()
            ground.say(side, line)

        return Child(
            commands.tap if is_tap else commands.target,
            folder=ground.folder,
            env={**ground.env, **(commands.tap_env if is_tap else commands.target_env)},
            ended=self._ended,
            on_line=on_line,
            **ends,  # type: ignore[arg-type]
        )

    def outcome(self, timeout: float | None) -> Outcome:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            child = self._next_to_end(_TURN)
            if child is not None and child is self.tap and child.code == 0:
                self._tap_ended_well()
            elif child is self.tap and child is not None:
                return self._tap_failed()
            elif child is self.target and child is not None:
                return self._target_ended()
            elif self._stop:
                return self._stopped()
            elif deadline is not None and time.monotonic() >= deadline and not self._is_over():
                return self._timed_out(timeout or 0)

    def _is_over(self) -> bool:
        """Whether the target has ended, and all that is waited for is what it has said."""
        return self._sure(self.target).is_over

    def _tap_failed(self) -> Outcome:
        self._drain()
        target = self._sure(self.target)
        by_itself = target.code is not None
        self._stop_target()
        mine = Outcome(code_of(self._sure(self.tap).code or 0), self._sentence("tap"))
        if not by_itself:
            return mine
        theirs = Outcome(code_of(target.code or 0) or UNAVAILABLE, self._sentence("target"))
        # A tap whose reader has gone says so, and that is not the reason.
        return theirs if mine.code in (_SIGPIPE, UNAVAILABLE) else worst_of([mine, theirs])

    def _target_ended(self) -> Outcome:
        code = code_of(self._sure(self.target).code or 0)
        tap = self._sure(self.tap)
        if tap.code == 0:
            if not code and (unread := bytes_in(self._read_end)):
                return Outcome(
                    UNAVAILABLE,
                    f"The target ended with 0 before it had read the last {unread} bytes that its tap wrote.",
                )
            return Outcome(code, self._sentence("target") if code else "")
        tap.end(signal.SIGTERM, self._stop)
        if code:
            return Outcome(code, self._sentence("target"))
        return Outcome(
            UNAVAILABLE,
            "The target ended with 0 before its tap had ended: it has not read all that the tap wrote.",
        )

    def _stopped(self) -> Outcome:
        self._stop_both()
        return stopped_by(self._stop)

    def _timed_out(self, timeout: float) -> Outcome:
        late = "the tap had not ended" if self._sure(self.tap).code is None else "the target had not ended"
        self._stop_both()
        return Outcome(
            UNAVAILABLE, f"Stopped after {shown(timeout)} (`timeout`): {late}; what was committed is safe."
        )

    def _stop_both(self) -> None:
        both = [child for child in (self.tap, self.target) if child is not None and child.code is None]
        for child in both:
            child.send(signal.SIGTERM)
        for child in both:
            child.end(None, self._stop)

    def _stop_target(self) -> None:
        """End a target behind a tap that has failed: ours commits up to the last STATE; others may take the break for an end, and are killed."""
        signum = signal.SIGTERM if self._is_target_ours else signal.SIGKILL
        self._sure(self.target).end(signum, self._stop)

    def _drain(self) -> None:
        """Wait until the target has read what the tap had written: the last STATE may be in it."""
        until = time.monotonic() + _DRAIN_SECONDS
        while (
            self._sure(self.target).code is None
            and bytes_in(self._write_end)
            and time.monotonic() < until
            and not self._stop
        ):
            self._next_to_end(_TURN / 10)
        self._next_to_end(_TURN)

    def _next_to_end(self, seconds: float) -> Child | None:
        with contextlib.suppress(queue.Empty):
            return self._ended.get(timeout=seconds)
        return None

    def _tap_ended_well(self) -> None:
        """Let the target see the end of its input, whatever the tap has left behind."""
        self._sure(self.tap).remains()
        if self._write_end is not None:
            end_writers(self._write_end)
            self._read_end = reader_of(self._write_end)
        self._end_input()

    def _end_input(self) -> None:
        if self._write_end is not None:
            os.close(self._write_end)
            self._write_end = None

    def leave(self) -> None:
        """Leave nothing behind: neither a program, nor what one has started."""
        for child in (self.tap, self.target):
            if child is not None:
                child.remains()
        self._end_input()
        if self._read_end is not None:
            os.close(self._read_end)

    def _sentence(self, side: str) -> str:
        return sentence_in(self._words.get(side, ""), side)

    @staticmethod
    def _sure(child: Child | None) -> Child:
        assert child is not None  # noqa: S101  both have been started
        return child
