"""What lies far away is fetched by a thread of its own, a piece or two ahead, so that reading, unpacking and waiting go on side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from singerkit_shell.signals import stop_flag

__all__ = ["Ahead"]

_PIECES = 2
_TURN = 0.1  # seconds between two looks at the stop flag


class Ahead:
    """The content of a file, whose next bytes ``fetch`` returns, b"" at the end; ``release`` lets go of what it holds.

    Both are called by one thread, never at the same time. At most three pieces are in memory.
    """

    def __init__(self, fetch: Callable[[], bytes], release: Callable[[], None] = lambda: None) -> None:
        self._fetch, self._release = fetch, release
        self._fetched: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
        self._room = threading.Semaphore(_PIECES)
        self._is_closed = self._is_at_end = False
        self._piece = memoryview(b"")
        threading.Thread(target=self._work, name="ahead", daemon=True).start()

    def read(self, size: int, /) -> bytes:
        """As `contract.Content.read` says.

        Raises:
            Stopped: a signal came while there was nothing to read.
        """
        if not self._piece and not self._is_at_end:
            self._piece = memoryview(self._next())
            self._is_at_end = not self._piece
        given, self._piece = self._piece[:size], self._piece[size:]
        return bytes(given)

    def close(self) -> None:
        self._is_closed = True
        self._room.release()

    def _next(self) -> bytes:
        while True:
            try:
                fetched = self._fetched.get(timeout=_TURN)
            except queue.Empty:
                stop_flag.raise_if_set("a file was being read, what was committed is safe.")
                continue
            if isinstance(fetched, BaseException):
                self._fetched.put(fetched)  # whoever asks again hears it again
                raise fetched
            self._room.release()
            return fetched

    def _work(self) -> None:
        try:
            piece = b"-"
            while piece:
                self._room.acquire()
                if self._is_closed:
                    return
                piece = self._fetch()
                self._fetched.put(piece)
        except BaseException as error:
            self._fetched.put(error)
        finally:
            self._release()
