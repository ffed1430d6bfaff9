"""What a hook prints goes to the log, line by line and without secrets: stdout is the pipe, and stderr is read by people."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["heard", "listen"]

_logger = logging.getLogger("tap-rest.hook")
_STDOUT = 1


class _Heard(threading.local):
    """Whether a hook is at work in this thread, and the line that it has begun."""

    def __init__(self) -> None:
        self.name, self.line = "", ""


_now = _Heard()


class _Lines(io.RawIOBase):
    """What a hook writes as bytes."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        _say(bytes(data).decode("utf-8", "replace"))
        return len(data)


class _Ear:
    """A standard stream; what is written to it while a hook is at work in the same thread is logged.

    ``is_wire``: text of threads is that of a hook, too, as ours write messages only, in bytes.
    """

    def __init__(self, stream: Any, *, is_wire: bool) -> None:
        self._stream, self._is_wire = stream, is_wire

    def _is_a_hook_s(self) -> bool:
        return bool(_now.name) or (
            self._is_wire and threading.current_thread() is not threading.main_thread()
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def buffer(self) -> Any:
        return _Lines() if _now.name else self._stream.buffer

    def write(self, text: str) -> int:
        if not self._is_a_hook_s():
            return int(self._stream.write(text))
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        _say(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


def listen() -> None:
    """Put ears over stdout and stderr, and keep programs that a hook starts from the pipe: theirs is stderr.

    To be called before anything holds the descriptor of stdout.
    """
    if not isinstance(sys.stdout, _Ear):
        sys.stdout = _Ear(_away_from_children(sys.stdout), is_wire=True)
    if not isinstance(sys.stderr, _Ear):
        sys.stderr = _Ear(sys.stderr, is_wire=False)


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
def heard(path: str) -> Iterator[None]:
    """Log what this thread prints meanwhile, as said by the hook in ``path``."""
    before, _now.name = _now.name, path
    try:
        yield
    finally:
        _end_line()
        _now.name = before


def _say(text: str) -> None:
    *lines, _now.line = (_now.line + text).split("\n")
    for line in lines:
        _log(line)


def _end_line() -> None:
    line, _now.line = _now.line, ""
    if line:
        _log(line)


def _log(line: str) -> None:
    name, _now.name = _now.name, ""  # a handler may write to stderr, which is an ear
    try:
        _logger.info("Hook%s: %s", f" {name}" if name else "", line)
    finally:
        _now.name = name
