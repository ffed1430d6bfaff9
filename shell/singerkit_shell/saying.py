"""What code of a user prints goes to the log, line by line and without secrets: stdout is the pipe, and stderr is read by people."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["heard", "listen"]

_STDOUT = 1


class _Heard(threading.local):
    """Who is told of what code of a user prints while it is at work in this thread, and the line that it has begun."""

    def __init__(self) -> None:
        self.say: Callable[[str], None] | None = None
        self.line = ""


_now = _Heard()


class _Lines(io.RawIOBase):
    """What is written as bytes."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if _now.say is not None:
            _say(bytes(data).decode("utf-8", "replace"), _now.say)
        return len(data)


class _Ear:
    """A standard stream; what is written to it while code of a user is at work in the same thread is told of.

    ``of_threads`` is told of text of other threads, which ours write none of; None: such text is ours.
    """

    def __init__(self, stream: Any, of_threads: Callable[[str], None] | None = None) -> None:
        self._stream, self._of_threads = stream, of_threads

    def _told(self) -> Callable[[str], None] | None:
        if _now.say is None and threading.current_thread() is not threading.main_thread():
            return self._of_threads
        return _now.say

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def buffer(self) -> Any:
        return _Lines() if _now.say else self._stream.buffer

    def write(self, text: str) -> int:
        say = self._told()
        if say is None:
            return int(self._stream.write(text))
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        _say(text, say)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


def listen(of_threads: Callable[[str], None] | None = None) -> None:
    """Put ears over stdout and stderr, and keep programs that such code starts from the pipe: theirs is stderr.

    ``of_threads`` is told of text that threads write to stdout, where our own write bytes alone.

    To be called before anything holds the descriptor of stdout.
    """
    if not isinstance(sys.stdout, _Ear):
        sys.stdout = _Ear(_away_from_children(sys.stdout), of_threads)
    if not isinstance(sys.stderr, _Ear):
        sys.stderr = _Ear(sys.stderr)


def _away_from_children(stdout: Any) -> Any:
    """Return the pipe under a descriptor that is not inherited, and put stderr where it was."""
    try:
        if stdout.fileno() != _STDOUT:
            return stdout
    except (OSError, ValueError, AttributeError):  # a buffer in memory
        return stdout
    stdout.flush()
    wire = open(os.dup(_STDOUT), "w", encoding=stdout.encoding, errors=stdout.errors)  # noqa: SIM115  for the process's life
    os.dup2(2, _STDOUT)
    return wire


@contextlib.contextmanager
def heard(say: Callable[[str], None]) -> Iterator[None]:
    """Have ``say`` called with each line that this thread prints meanwhile."""
    before, _now.say = _now.say, say
    try:
        yield
    finally:
        line, _now.line = _now.line, ""
        if line:
            _tell(line, say)
        _now.say = before


def _say(text: str, say: Callable[[str], None]) -> None:
    *lines, _now.line = (_now.line + text).split("\n")
    for line in lines:
        _tell(line, say)


def _tell(line: str, say: Callable[[str], None]) -> None:
    before, _now.say = _now.say, None  # a handler of logs may write to stderr, which is an ear
    try:
        say(line)
    finally:
        _now.say = before
