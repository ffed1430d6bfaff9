"""One pipe: a tap, a target, what may stand between the two, and what they have come to.

The write end of each part of it stays open here until it is known what its writer ended with. So a program sees the end of its input only behind one that has ended
well; behind one that has failed it is stopped, and a target commits nothing beyond the last STATE.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    pipe = _Pipe(commands.is_target_ours, ground.stop)
    try:
        pipe.start(commands, ground)
        yield pipe
    finally:
        pipe.leave()


def sentence_in(words: str, side: str) -> str:
    """Return the sentence in the last line of a program's stderr."""
    return redactor.mask(_LED.sub("", words)) or f"The {side} said nothing."


class _Link:
    """What joins two programs: the write end, which is held here, too, until the first of them has ended."""

    def __init__(self) -> None:
        self.read_end: int | None = None
        self.write_end: int | None = None
        self.read_end, self.write_end = os.pipe()

    def end_input(self) -> None:
        """Let the reader see the end of its input, whatever the writer has left behind."""
        if self.write_end is not None:
            end_writers(self.write_end)
            self.read_end = reader_of(self.write_end)
            os.close(self.write_end)
            self.write_end = None

    def hand_over(self) -> None:
        """The reader has its end: only whoever reads is to hold it."""
        if self.read_end is not None:
            os.close(self.read_end)
            self.read_end = None

    def leave(self) -> None:
        for end in (self.write_end, self.read_end):
            if end is not None:
                os.close(end)
        self.write_end = self.read_end = None


@dataclass
class _Part:
    """A program of the pipe: ``side`` is what it is called, ``words`` its last ones."""

    side: str
    child: Child
    words: Sequence[str]

    @property
    def sentence(self) -> str:
        return sentence_in("".join(self.words), self.side)

    @property
    def outcome(self) -> Outcome:
        """What it has come to by itself; that it has ended at all is wrong here."""
        return Outcome(code_of(self.child.code or 0) or UNAVAILABLE, self.sentence)


class _Pipe:
    """The programs in their order, and what joins each with the next."""

    def __init__(self, is_target_ours: bool, stop: StopFlag) -> None:
        self._is_target_ours, self._stop = is_target_ours, stop
        self._ended: queue.SimpleQueue[Child] = queue.SimpleQueue()
        self._parts: list[_Part] = []
        self._links: list[_Link] = []

    def start(self, commands: Commands, ground: Ground) -> None:
        """Start all of them, the target first: what is written has somebody to read it then."""
        sides = commands.in_order()
        for _ in sides[1:]:
            self._links.append(_Link())
        for at, (side, command, env) in reversed(list(enumerate(sides))):
            ends: dict[str, Any] = {} if at == 0 else {"stdin": self._links[at - 1].read_end}
            ends |= (
                {"on_output": ground.on_state}
                if at == len(sides) - 1
                else {"stdout": self._links[at].write_end}
            )
            self._parts.insert(0, self._begun(side, command, {**ground.env, **env}, ground, ends))
            if at:
                self._links[at - 1].hand_over()
        ground.at_work(self._parts[0].child.written)

    def _begun(
        self, side: str, command: list[str], env: Mapping[str, str], ground: Ground, ends: Mapping[str, Any]
    ) -> _Part:
        words: list[str] = []

        def on_line(line: str) -> None:
            if line.strip():
                words[:] = [line.strip()]
            ground.say(side, line)

        child = Child(command, folder=ground.folder, env=env, ended=self._ended, on_line=on_line, **ends)
        return _Part(side, child, words)

    @property
    def _target(self) -> _Part:
        return self._parts[-1]

    def outcome(self, timeout: float | None) -> Outcome:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            child = self._next_to_end(_TURN)
            if child is not None:
                at = next(at for at, part in enumerate(self._parts) if part.child is child)
                outcome = self._ended_at(at)
                if outcome is not None:
                    return outcome
            elif self._stop:
                return self._stopped()
            elif deadline is not None and time.monotonic() >= deadline and not self._target.child.is_over:
                return self._timed_out(timeout or 0)

    def _ended_at(self, at: int) -> Outcome | None:
        """Return what the pipe has come to, of which a program has ended; None: it goes on, and the next one sees the end of its input."""
        part = self._parts[at]
        if part is self._target:
            return self._target_ended()
        if part.child.code or not self._has_read_all(at):
            return self._failed(at)
        part.child.remains()
        self._links[at].end_input()
        return None

    def _has_read_all(self, at: int) -> bool:
        """Whether all before a program have ended well, and it has left nothing of what they wrote."""
        return all(part.child.code == 0 for part in self._parts[:at]) and not (
            at and bytes_in(self._links[at - 1].read_end)
        )

    def _failed(self, at: int) -> Outcome:
        """End the pipe around a program that has failed: those before it have no reader, and those behind it take what it had written."""
        part = self._parts[at]
        outcomes = [
            part.outcome if part.child.code else Outcome(UNAVAILABLE, self._why_unread(at, part.side))
        ]
        for before in self._parts[:at]:
            before.child.end(signal.SIGTERM, self._stop)
        for behind, link in zip(self._parts[at + 1 :], self._links[at:], strict=True):
            self._drain(link, behind.child)
            if behind.child.code is not None:
                outcomes.append(behind.outcome)
            self._end_reader(link, behind)
        return _reason_of(outcomes)

    def _why_unread(self, at: int, side: str) -> str:
        before = self._parts[at - 1]
        if before.child.code == 0:
            unread = bytes_in(self._links[at - 1].read_end)
            return f"The {side} ended with 0 before it had read the last {unread} bytes that its {before.side} wrote."
        return f"The {side} ended with 0 before its {before.side} had ended: it has not read all that the {before.side} wrote."

    def _target_ended(self) -> Outcome:
        at = len(self._parts) - 1
        code = code_of(self._target.child.code or 0)
        why = "" if code or self._has_read_all(at) else self._why_unread(at, "target")
        for part in self._parts[:at]:
            part.child.end(signal.SIGTERM, self._stop)
        if code:
            return Outcome(code, self._target.sentence)
        return Outcome(UNAVAILABLE, why) if why else Outcome(0)

    def _stopped(self) -> Outcome:
        self._stop_all()
        return stopped_by(self._stop)

    def _timed_out(self, timeout: float) -> Outcome:
        late = next(part.side for part in self._parts if part.child.code is None)
        self._stop_all()
        return Outcome(
            UNAVAILABLE,
            f"Stopped after {shown(timeout)} (`timeout`): the {late} had not ended; what was committed is safe.",
        )

    def _stop_all(self) -> None:
        at_work = [part.child for part in self._parts if part.child.code is None]
        for child in at_work:
            child.send(signal.SIGTERM)
        for child in at_work:
            child.end(None, self._stop)

    def _end_reader(self, link: _Link, part: _Part) -> None:
        """End a program behind one that has failed.

        A mapper sees the end of its input, and what it has in hand goes on. A target of ours is sent SIGTERM, and commits up to the last STATE; one of others may take a
        break for an end, and is killed.
        """
        if part is not self._target:
            link.end_input()
            part.child.end(None, self._stop)
        else:
            part.child.end(signal.SIGTERM if self._is_target_ours else signal.SIGKILL, self._stop)

    def _drain(self, link: _Link, reader: Child) -> None:
        """Wait until a program has read what the one before it had written: the last STATE may be in it."""
        until = time.monotonic() + _DRAIN_SECONDS
        while (
            reader.code is None and bytes_in(link.write_end) and time.monotonic() < until and not self._stop
        ):
            self._next_to_end(_TURN / 10)
        self._next_to_end(_TURN)

    def _next_to_end(self, seconds: float) -> Child | None:
        with contextlib.suppress(queue.Empty):
            return self._ended.get(timeout=seconds)
        return None

    def leave(self) -> None:
        """Leave nothing behind: neither a program, nor what one has started."""
        for part in self._parts:
            part.child.remains()
        for link in self._links:
            link.leave()


def _reason_of(outcomes: Sequence[Outcome]) -> Outcome:
    """Return which of several programs that have failed, from the first in the pipe on, says why: one whose reader has gone says that, and it is not the reason."""
    *before, reason = outcomes
    for one in reversed(before):
        if one.code not in (_SIGPIPE, UNAVAILABLE):
            reason = worst_of([one, reason])
    return reason
