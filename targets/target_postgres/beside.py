"""A second session beside that of the unit, for what is committed before the unit is."""

from __future__ import annotations

import select
from collections.abc import Callable

from singerkit_postgres.connect import Connection
from singerkit_shell.signals import StopFlag
from target_postgres.session import Session

__all__ = ["Beside"]


class Beside:
    """Opened when it is needed first, and kept until the unit ends: each new one costs the server a process and its caches."""

    def __init__(self, connect: Callable[[], Connection], stop: StopFlag, *, answer_seconds: float) -> None:
        self._connect = connect
        self._stop = stop
        self._answer_seconds = answer_seconds
        self._session: Session | None = None

    def session(self) -> Session:
        """Return the session, in which nothing is open.

        Raises:
            RetryableError, ConfigurationError, NotAuthorisedError: there is no second connection.
        """
        if self._session is not None and _has_ended(self._session.connection):
            self.close()
        if self._session is None:
            self._session = Session(self._connect(), self._stop, answer_seconds=self._answer_seconds)
        return self._session

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _has_ended(connection: Connection) -> bool:
    """Tell whether the server has hung up meanwhile, of which libpq knows nothing before it is asked."""
    return bool(connection.closed or select.select([connection], [], [], 0)[0])
