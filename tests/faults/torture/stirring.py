"""Sources of this machine to which somebody writes while a run is under way, a change after the other."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from faults.torture.source import HttpFault

__all__ = ["Stirred"]


class Stirred:
    """What such a source has. ``stirring``: the changes that are still to come; ``at_once``: so many things each of them is."""

    stirring = 0
    at_once = 1

    def emit(self, count: int) -> None:
        raise NotImplementedError

    @contextlib.contextmanager
    def stirred(self) -> Iterator[None]:
        """Write while a run is under way, until it has ended."""
        ended = threading.Event()

        def write() -> None:
            while self.stirring and not ended.wait(0.01):
                self.stirring -= 1
                self.emit(self.at_once)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            yield
        finally:
            ended.set()
            writer.join()

    # what a source over HTTP has besides

    def arm(self, *faults: HttpFault) -> None:
        assert not faults

    def serve_connection(self, connection: socket.socket) -> None:
        connection.close()
