"""Where a table is made or altered: before the unit, beside it, or in it (DESIGN 2: readers do not wait for a load)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import partial

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor

from singerkit_shell.errors import ConfigurationError, LockHeldError, RetryableError, SingerkitError
from singerkit_shell.signals import StopFlag
from target_postgres import ahead, ddl
from target_postgres.connect import Connection
from target_postgres.faults import WAITS, fault
from target_postgres.names import identifier
from target_postgres.session import Session
from target_postgres.tables import Table

__all__ = ["Fitting"]

Fit = Callable[[Cursor], Table]


class Fitting:
    """Each of these is called with a ``fit`` that makes or alters the table of a stream, and commits nothing itself."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        schema: str,
        log: logging.Logger,
        stop: StopFlag,
        *,
        lock_timeout_seconds: float,
        answer_seconds: float,
    ) -> None:
        self._connect = connect
        self._schema = schema
        self._log = log
        self._stop = stop
        self._lock_timeout = lock_timeout_seconds
        self._answer_seconds = answer_seconds
        self._told_of_own_lock: set[str] = (
            set()
        )  # streams whose tables the unit alters, since it has locked them
        self._in_use_once: set[str] = set()  # streams whose tables were not to be had beside a unit

    def before_unit(self, stream: str, fit: Fit, doing: str, connection: Connection) -> Table:
        """On the session of the unit, in which nothing was done so far, but for a safe point."""
        try:
            return ahead.in_own_transaction(connection, fit, seconds=self._lock_timeout, stop=self._stop)
        except psycopg2.Error as error:
            if error.pgcode == errorcodes.LOCK_NOT_AVAILABLE:  # no lock of ours that another waits for
                raise self._in_use(connection, stream, doing, error) from error
            raise

    def beside_unit(self, stream: str, fit: Fit, doing: str, pid: int) -> Table | None:
        """On a session of its own, while that of the unit holds its locks; None where one of these is in the way."""
        try:
            connection = self._connect()
        except (RetryableError, ConfigurationError) as error:
            self._log.warning(
                "There is no second connection for preparing the table of stream `%s`, so that it is prepared in the unit of commit, "
                "and who reads it may wait for the end of that: %s",
                stream,
                error,
            )
            return None
        session = Session(connection, self._stop, answer_seconds=self._answer_seconds)
        name = identifier(stream)

        def alone(connection: Connection) -> Table | None:
            def is_ours() -> bool:
                return ahead.held_by(connection, pid, self._schema, name)

            try:
                return ahead.in_own_transaction(
                    connection, fit, seconds=self._lock_timeout, stop=self._stop, is_hopeless=is_ours
                )
            except psycopg2.Error as error:
                if error.pgcode in WAITS and is_ours():
                    return None
                if error.pgcode == errorcodes.LOCK_NOT_AVAILABLE and stream in self._in_use_once:
                    raise self._in_use(connection, stream, doing, error) from error
                if error.pgcode == errorcodes.LOCK_NOT_AVAILABLE:
                    # The unit is written again: another one may wait for what it has locked.
                    self._in_use_once.add(stream)
                raise

        try:
            table = session.call(alone, doing)
        finally:
            session.close()
        if table is None and stream not in self._told_of_own_lock:
            self._told_of_own_lock.add(stream)
            self._log.warning(
                "The unit of commit has locked the table of stream `%s` already, to which a foreign key, a trigger or inheritance of "
                "another one leads: it is altered in the unit, and who reads it waits for the end of that. Where the tap sends this stream "
                "before the others, or a STATE between them, nobody waits.",
                stream,
            )
        return table

    def lock_out(self, cursor: Cursor, table: Table) -> None:
        """Take the lock under which the key changes, at once, since one that grows to it meets others that do."""
        try:
            lock = partial(ddl.lock_for_altering, table=table.identifier)
            ahead.in_unit(cursor, lock, seconds=self._lock_timeout, stop=self._stop)
        except psycopg2.Error as error:
            if error.pgcode != errorcodes.LOCK_NOT_AVAILABLE:
                raise
            doing = f"changing the key of the table of stream `{table.stream}`"
            raise self._in_use(cursor.connection, table.stream, doing, error) from error

    def _in_use(
        self, connection: Connection, stream: str, doing: str, error: psycopg2.Error
    ) -> SingerkitError:
        """What others hold for longer than was to be waited ends the run."""
        with contextlib.suppress(psycopg2.Error), connection.cursor() as cursor:
            others = ahead.holders(cursor, self._schema, identifier(stream))
            return LockHeldError(str(fault(error, doing, others)))
        return fault(error, doing)
