"""One connection and the thread that owns it: jobs run there in order while the next block is being decoded.

psycopg2 releases the GIL while PostgreSQL works, so COPY and decoding share the machine's cores.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import psycopg2
from psycopg2 import errorcodes

from singerkit_postgres.connect import Connection
from singerkit_shell.errors import SingerkitError, Stopped
from singerkit_shell.signals import StopFlag, stop_flag
from target_postgres.faults import WAITS, ConnectionLost, fault

__all__ = ["Session", "Unopened", "process_of_a_load"]

_T = TypeVar("_T")
_THREAD = "postgres"
_TURN = 0.2  # seconds between two looks at the stop flag
_SWITCH_SECONDS = 0.0005  # how long the decoding thread may keep the GIL from the one that feeds PostgreSQL
_GRACE = 1.0  # seconds that a statement may take after a signal; then it is cancelled
_HANG_UP_AFTER = 4.0  # seconds after a signal in which cancelling did not help
_COMMITTING = "committing"  # what the job that commits is called
_WAITING_JOBS = 1  # blocks in memory besides the one being copied


@dataclass
class _Job:
    run: Callable[[Connection], Any]
    doing: str
    done: threading.Event = field(default_factory=threading.Event)
    result: Any = None


# Locks that others hold on ordinary tables of this database, but for those of readers.
_HOLDERS = """
    SELECT DISTINCT a.pid, a.application_name FROM pg_catalog.pg_locks l
    JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p') AND c.relnamespace <> 11
    JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.granted AND l.mode <> 'AccessShareLock' AND l.pid <> pg_catalog.pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    ORDER BY a.pid LIMIT 5
"""


def _others(connection: Connection) -> str:
    """Name the sessions that hold locks now; the failed transaction, which is lost anyway, is rolled back first."""
    try:
        connection.rollback()
        with connection.cursor() as cursor:
            cursor.execute(_HOLDERS)
            found = [f"pid {pid} ({name})" if name else f"pid {pid}" for pid, name in cursor.fetchall()]
        connection.rollback()
    except psycopg2.Error:
        return ""  # only a help: the failure itself is reported without it
    return f"; locks are held by {', '.join(found)}" if found else ""


def _unless_of_psycopg2(
    hook: Callable[..., Any], kind: type[BaseException], error: BaseException, trace: Any
) -> None:
    """Leave out what psycopg2 prints when a COPY fails and the connection with it: it quotes rows.

    Only the print is left out, the error itself is raised.
    """
    if threading.current_thread().name != _THREAD:
        hook(kind, error, trace)


@contextlib.contextmanager
def process_of_a_load() -> Iterator[None]:
    """Set what is one for the whole process as a load needs it: how often threads take turns, and what psycopg2 may print."""
    interval, hook = sys.getswitchinterval(), sys.excepthook
    sys.setswitchinterval(_SWITCH_SECONDS)
    sys.excepthook = partial(_unless_of_psycopg2, hook)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        sys.excepthook = hook


class Session:
    """Runs jobs on a connection. After a failed job the rest is skipped until `reset`."""

    def __init__(
        self, connection: Connection, stop: StopFlag = stop_flag, *, answer_seconds: float = 3600.0
    ) -> None:
        self.connection = connection
        self.backend_pid: int = connection.info.backend_pid
        self._stop = stop
        self._answer_seconds = answer_seconds
        self._working_since: float | None = None
        self._doing = ""
        self._heard_at: float | None = None
        self._is_cancelled = False
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_WAITING_JOBS)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=_THREAD, daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[Connection], None], doing: str) -> None:
        """Queue a job; waits while the queue is full. ``doing`` completes the sentence of an error.

        Raises:
            SingerkitError: an earlier job has failed.
        """
        self._raise_failure()
        self._put(_Job(run, doing))

    def call(self, run: Callable[[Connection], _T], doing: str) -> _T:
        """Run a job after all queued ones and return its result.

        Raises:
            SingerkitError: it or an earlier one has failed.
        """
        job = _Job(run, doing)
        self._put(job)
        self._wait_for(job)
        self._raise_failure()
        return job.result  # type: ignore[no-any-return]

    def reset(self) -> BaseException | None:
        """Let the queued jobs end or be skipped, and forget the failure, which is returned."""
        job = _Job(lambda _connection: None, "waiting")
        self._put(job)
        self._wait_for(job)
        failure, self._failure = self._failure, None
        return failure

    @property
    def is_alive(self) -> bool:
        return not self.connection.closed

    def close(self) -> None:
        """Stop the thread and close the connection; an open transaction rolls back."""
        self._put(None)
        while self._thread.is_alive():
            self._thread.join(_TURN)
            self._interrupt()
        self.connection.close()

    def _put(self, job: _Job | None) -> None:
        while True:
            try:
                self._jobs.put(job, timeout=_TURN)
                return
            except queue.Full:
                self._interrupt()

    def _wait_for(self, job: _Job) -> None:
        while not job.done.wait(_TURN):
            self._interrupt()

    def _interrupt(self) -> None:
        """End what takes long: after a signal soon, after a second one at once (FAULTS P5), a silent server later."""
        if self.connection.closed:
            return
        now = time.monotonic()
        if self._stop and self._heard_at is None:
            self._heard_at = now
        if self._stop.count > 1:
            self.connection.cancel()
        since = self._working_since
        if since is None:
            return
        if now - since > self._answer_seconds:
            self._hang_up()
        # COMMIT alone is left to end by itself: a cancelled one may have been done.
        if self._heard_at is not None and self._doing != _COMMITTING:
            late = now - max(since, self._heard_at)
            if late > _GRACE and not self._is_cancelled:
                self._is_cancelled = True
                # A connection of its own, which may wait as long as the first.
                threading.Thread(target=self._cancel, daemon=True).start()
            if late > _HANG_UP_AFTER:
                self._hang_up()

    def _cancel(self) -> None:
        with contextlib.suppress(psycopg2.Error):
            self.connection.cancel()

    def _hang_up(self) -> None:
        """End the connection under the thread that waits for an answer; to it the connection is lost."""
        try:
            with socket.socket(fileno=os.dup(self.connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
        except (OSError, psycopg2.Error):
            return  # it has gone by itself

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._failure is None:
                self._doing, self._working_since = job.doing, time.monotonic()
                self._run(job)
                self._working_since = None
            job.done.set()
            del job  # and with it what it has written, before the next one comes

    def _run(self, job: _Job) -> None:
        try:
            job.result = job.run(self.connection)
        except psycopg2.Error as error:
            is_ended = error.pgcode in (None, errorcodes.QUERY_CANCELED)
            if is_ended and self._is_cancelled and self._stop.signum is not None:
                self._failure = Stopped(
                    self._stop.signum,
                    f"Stopped by {signal.Signals(self._stop.signum).name} while {job.doing}, which took long; what "
                    "was committed is safe: run again to continue.",
                )
                return
            others = _others(self.connection) if error.pgcode in WAITS else ""
            self._failure = fault(error, job.doing, others)
        except BaseException as error:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self.connection.closed:
            raise ConnectionLost(
                "The connection to PostgreSQL is closed", "; what was committed is safe: run again."
            )


class Unopened:
    """What stands in the place of a session before `Loader.open` and after `close`: nothing to roll back, nothing to end."""

    is_alive = False
    backend_pid = 0

    def submit(self, _run: Callable[[Connection], None], doing: str) -> None:
        """There is nobody to do it."""
        raise SingerkitError(f"There is no connection to PostgreSQL for {doing}; what was committed is safe.")

    def call(self, _run: Callable[[Connection], _T], doing: str) -> _T:
        """There is nobody to do it."""
        raise SingerkitError(f"There is no connection to PostgreSQL for {doing}; what was committed is safe.")

    def reset(self) -> BaseException | None:
        """Nothing has failed."""
        return None

    def close(self) -> None:
        """Nothing is open."""
