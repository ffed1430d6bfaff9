"""On a terminal, one line that tells how far the pipes are that run; it is written anew each second, and gone when they have ended."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

from singerkit_shell.words import bytes_in_words

__all__ = ["ERASED", "Progress"]

ERASED = "\r\x1b[K"
"""Back to the beginning of the line, and what stands there is gone."""
_EVERY_SECONDS = 1.0


@dataclass
class _Pipe:
    written: Callable[[], int | None]
    began: float = field(default_factory=time.monotonic)
    before: tuple[float, int] = (0.0, 0)


class Progress:
    """The pipes at work, and their line. Use as a context manager; ``lock`` is held while anything is written to ``stream``."""

    def __init__(self, stream: TextIO, lock: threading.Lock) -> None:
        self._stream, self._lock = stream, lock
        self._pipes: dict[str, _Pipe] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with self._lock:
            self._write(ERASED)

    def begin(self, name: str, written: Callable[[], int | None]) -> None:
        """``written`` returns how many bytes the tap of a pipe has written so far, None where nobody knows."""
        with self._lock:
            self._pipes[name] = _Pipe(written)

    def end(self, name: str) -> None:
        with self._lock:
            self._pipes.pop(name, None)

    def _run(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            with self._lock:
                self._write(ERASED + self.line(shutil.get_terminal_size().columns - 1))

    def line(self, width: int) -> str:
        now = time.monotonic()
        words = ", ".join(_shown(name, pipe, now) for name, pipe in self._pipes.items())
        return words if len(words) <= width else f"{words[: max(width - 1, 0)]}…"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _shown(name: str, pipe: _Pipe, now: float) -> str:
    minutes, seconds = divmod(int(now - pipe.began), 60)
    words = f"{name} {minutes}:{seconds:02}"
    written = pipe.written()
    if written is None:
        return words
    (then, so_far), pipe.before = pipe.before, (now, written)
    speed = f", {bytes_in_words((written - so_far) / (now - then))}/s" if then and now > then else ""
    return f"{words} ({bytes_in_words(written)}{speed})"
