"""One job in a thread of its own: statements of a database leave the processor's other cores to who reads the input."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Beside"]


class Beside:
    """Runs one job at a time; an error of one is raised in the thread that asks for it, as often as it asks."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, job: Callable[[], None]) -> None:
        """Start a job; the one before has ended (`end`). Where there is no room for a thread it is done here."""

        def run() -> None:
            try:
                job()
            except BaseException as error:
                self._error = error

        thread = threading.Thread(target=run, name="committing")
        try:
            thread.start()
        except RuntimeError:
            run()
        else:
            self._thread = thread

    @property
    def is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def has_failed(self) -> bool:
        """Whether a job has, once it has ended."""
        self.wait()
        return self._error is not None

    def wait(self) -> None:
        """Wait until nothing is done; raises nothing."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def end(self) -> None:
        """Wait until nothing is done; raise what a job has raised, now or before."""
        self.wait()
        if self._error is not None:
            raise self._error
