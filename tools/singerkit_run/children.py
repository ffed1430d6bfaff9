"""Programs that the runner starts: in groups of their own, with what they say in lines, and never left behind."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from singerkit_shell.signals import StopFlag
from singerkit_state.statefile import LONGEST

__all__ = ["STARTING", "Child", "code_of", "run_alone"]

_LEASH = str(Path(__file__).with_name("leash.py"))
_LONGEST_LINE = 1 << 20
"""Bytes of a line that is looked at; a longer one comes in pieces."""

_LAST_WORDS_SECONDS = 2.0
"""How long what a program has said is waited for where something that it has started holds its output open; then that is killed."""
_TURN = 0.1
_GRACE_SECONDS = 20.0
"""How long a program that was told to stop may take; a target of ours commits the safe part meanwhile."""

STARTING = threading.Lock()
"""Held while a program is started: until it is one, the new process holds whatever we have open, the pipes of others among it."""


class Child:
    """A program at work; it puts itself into ``ended`` when it is gone, and all that it has said has been told."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: str,
        env: Mapping[str, str],
        on_line: Callable[[str], None],
        ended: queue.SimpleQueue[Child] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdin_words: bytes | None = None,
        stdout: int | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> None:
        """Start it; ``on_line`` is given the lines of stderr, ``on_output`` those of stdout, whole, unless ``stdout`` is where that goes."""
        with STARTING:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", _LEASH, str(os.getpid()), *command],
                cwd=folder,
                env=dict(env),
                stdin=stdin if stdin_words is None else subprocess.PIPE,
                stdout=subprocess.PIPE if stdout is None else stdout,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        self._ended, self._gone = ended, threading.Event()
        self.code: int | None = None
        self.is_over = False
        """Whether it has ended; what it has said may still be on its way."""
        self._readers = [_reading(self._process.stderr, _LONGEST_LINE, _text_to(on_line))]
        if stdout is None:
            longest = _LONGEST_LINE if on_output is None else LONGEST
            self._readers.append(_reading(self._process.stdout, longest, on_output or _text_to(on_line)))
        threading.Thread(target=self._wait, daemon=True).start()
        if stdin_words is not None:
            threading.Thread(target=self._tell, args=(stdin_words,), daemon=True).start()

    def _tell(self, words: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101  it is a pipe
        with contextlib.suppress(OSError), self._process.stdin as stdin:  # it need not listen
            stdin.write(words)

    def _wait(self) -> None:
        code = self._process.wait()
        self.is_over = True
        until = time.monotonic() + _LAST_WORDS_SECONDS
        for reader in self._readers:
            reader.join(max(0.0, until - time.monotonic()))
        if any(reader.is_alive() for reader in self._readers):
            self.remains()
            for reader in self._readers:
                reader.join(_TURN)
        self.code = code
        self._gone.set()
        if self._ended is not None:
            self._ended.put(self)

    def written(self) -> int | None:
        """Return how many bytes it has written, to whatever; None where the system does not tell."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(Path(f"/proc/{self._process.pid}/io").read_text().split("wchar:")[1].split()[0])
        return None

    def wait(self, seconds: float) -> bool:
        """Wait so long for its end; return whether that has come."""
        return self._gone.wait(seconds)

    def send(self, signum: int) -> None:
        """Send a signal to the program and all that it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signum)

    def end(self, signum: int | None, stop: StopFlag) -> None:
        """Send it a signal, unless it has been sent one, and wait for its end; where that takes too long, or whoever stops the run asks twice, it is killed."""
        if self.code is None and signum is not None:
            self.send(signum)
        until = time.monotonic() + _GRACE_SECONDS
        while not self.wait(_TURN):
            if time.monotonic() >= until or stop.count > 1:
                self.send(signal.SIGKILL)

    def remains(self) -> None:
        """End whatever it has left behind."""
        self.send(signal.SIGKILL)


def code_of(code: int) -> int:
    """Return what a shell calls it: 128 and the signal where one has ended the program."""
    return 128 - code if code < 0 else code


def _text_to(on_line: Callable[[str], None]) -> Callable[[bytes], None]:
    return lambda line: on_line(line.decode("utf-8", "replace").rstrip("\r\n"))


def _reading(stream: IO[bytes] | None, longest: int, on_line: Callable[[bytes], None]) -> threading.Thread:
    assert stream is not None  # noqa: S101  it is a pipe

    def read() -> None:
        with stream:
            while line := stream.readline(longest):
                on_line(line)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def run_alone(
    command: Sequence[str],
    *,
    folder: str,
    env: Mapping[str, str],
    on_line: Callable[[str], None],
    timeout: float,
    stop: StopFlag,
    words: bytes | None = None,
    on_output: Callable[[bytes], None] | None = None,
) -> int | None:
    """Run a program to its end, with ``words`` on its stdin; return its exit code, None where it was stopped, by a signal or after ``timeout`` seconds."""
    child = Child(command, folder=folder, env=env, on_line=on_line, on_output=on_output, stdin_words=words)
    deadline = time.monotonic() + timeout
    try:
        while not child.wait(_TURN):
            if stop or time.monotonic() >= deadline:
                child.end(signal.SIGTERM, stop)
                return None
    finally:
        child.remains()
    return code_of(child.code or 0)
