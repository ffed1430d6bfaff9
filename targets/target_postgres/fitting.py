"""Where a table is made or altered: before the unit, beside it, or in it (DESIGN 2: readers do not wait for a load)."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn, TypeVar

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import cursor as Cursor

from singerkit_postgres.connect import Connection
from singerkit_shell.errors import (
    BadDataError,
    ConfigurationError,
    LockHeldError,
    RetryableError,
    SingerkitError,
)
from singerkit_shell.signals import StopFlag
from singerkit_target.contract import UnitInTheWay
from singerkit_target.held import HeldLog
from target_postgres import ahead, ddl
from target_postgres.before import New
from target_postgres.beside import Beside
from target_postgres.faults import WAITS, RowsInTheWay, fault
from target_postgres.tables import Table, build_key

__all__ = ["Fit", "Fitting", "takes_ddl"]

_T = TypeVar("_T")

Fit = Callable[[Cursor, logging.Logger], Table]

_MOST_GIVEN_UP = 3
"""How often a unit is given up, so that a table is altered before it: each time what came of it so far is written again."""

_MOST_GIVEN_UP_FOR_ROWS = 20
"""The same where the table cannot be altered in the unit at all."""

_BUILD_SECONDS = 0.5
"""How long is waited for those who write to a table before the index of its key is built under the lock of all."""
_LOOKS = 20
_LOOK_AGAIN_SECONDS = 0.02
"""How often is looked for a moment without readers, and how soon again: the others wait to write meanwhile."""

_QUIET = logging.Logger("target_postgres.trial", logging.CRITICAL + 1)


class Fitting:
    """Each of these is called with a ``fit`` that makes or alters the table of a stream, and commits nothing itself.

    ``before``: what the unit was given up for, and is to be made before it is written again.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        place: Callable[[str], tuple[str, str]],
        log: logging.Logger,
        stop: StopFlag,
        *,
        lock_timeout_seconds: float,
        answer_seconds: float,
    ) -> None:
        self._beside = Beside(connect, stop, answer_seconds=answer_seconds)
        self._place = place
        self._log = log
        self._stop = stop
        self._lock_timeout = lock_timeout_seconds
        self._told_of_own_lock: set[str] = (
            set()
        )  # streams whose tables the unit alters, since it has locked them
        self._gave_way: set[str] = set()  # streams for whose tables this unit was given up
        self._given_up = 0  # how often it was since rows of it wait for others
        self.before: tuple[str, Fit] | None = None
        self._in_use_once: set[str] = set()  # streams whose tables were not to be had beside a unit

    def before_unit(self, stream: str, fit: Fit, doing: str, connection: Connection) -> Table:
        """On the session of the unit, in which nothing was done so far, but for a safe point."""
        try:
            told, held = self._told(fit)
            table = ahead.in_own_transaction(connection, told, seconds=self._lock_timeout, stop=self._stop)
            held.say(held.take())
            return table
        except psycopg2.Error as error:
            if error.pgcode == errorcodes.LOCK_NOT_AVAILABLE:  # no lock of ours that another waits for
                raise self._in_use(connection, stream, doing, error) from error
            raise

    def _told(self, fit: Fit) -> tuple[Callable[[Cursor], Table], HeldLog]:
        """What a try tells of is said once its transaction is committed."""
        held = HeldLog(self._log)

        def told(cursor: Cursor) -> Table:
            held.back_to()
            return fit(cursor, held)

        return told, held

    def beside_unit(self, stream: str, fit: Fit, doing: str, pid: int, new: New) -> Table | None:
        """On a session of its own, while that of the unit holds its locks; None where it is to be done in the unit.

        Raises:
            UnitInTheWay: one of the locks of the unit is in the way.
        """
        try:
            session = self._beside.session()
        except (RetryableError, ConfigurationError) as error:
            self._log.warning(
                "There is no second connection for preparing the table of stream `%s`, so that it is prepared in the unit of commit, "
                "and who reads it may wait for the end of that: %s",
                stream,
                error,
            )
            return None
        place = self._place(stream)
        told, held = self._told(fit)

        def alone(connection: Connection) -> Table | None:
            def is_ours() -> bool:
                return ahead.held_by(connection, pid, *place)

            try:
                return ahead.in_own_transaction(
                    connection,
                    told,
                    seconds=self._lock_timeout,
                    stop=self._stop,
                    is_hopeless=is_ours,
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
        except BaseException:
            self._beside.close()
            raise
        if table is None:
            self.give_way(stream, fit, new)
        held.say(held.take())
        return table

    def give_way(self, stream: str, fit: Fit, new: New) -> None:
        """Have the unit given up, so that a table which it has locked is altered before it; ``new`` is what the unit has made of it.

        Raises:
            UnitInTheWay: it may be, for this table once.
        """
        if new.is_table:
            return  # to others it is empty
        if stream not in self._gave_way and len(self._gave_way) < _MOST_GIVEN_UP:
            self._gave_way.add(stream)
            self.before = stream, fit
            raise UnitInTheWay(
                f"The table of stream `{stream}` is altered, which the unit of commit has locked already, and who reads it would wait "
                "for the end of that",
                ". What was committed is safe: run again.",
            )
        self.before = None
        if stream not in self._told_of_own_lock:
            self._told_of_own_lock.add(stream)
            self._log.warning(
                "The unit of commit has locked the table of stream `%s` already, with rows of it or by way of a foreign key, a trigger or "
                "inheritance of another one, and is not written again for it: the table is altered in the unit, and who reads it waits for "
                "the end of that. Where the tap sends this stream before the others, or a STATE between them, or the unit is held "
                "(`replay_bytes`), nobody waits.",
                stream,
            )

    def give_way_to_rows(self, stream: str, fit: Fit, why: str) -> NoReturn:
        """Have the unit given up: a table is to be altered, of which rows wait for others that may come later; ``why`` they are refused.

        Raises:
            RowsInTheWay: it may be given up.
            BadDataError: it was too often.
        """
        found = f"The table of stream `{stream}` is to be altered while rows of the unit of commit wait for those that they refer to ({why})"
        rest = (
            "; what was committed is safe: correct those rows at the source, or let the tap send what they refer to before a SCHEMA that "
            "changes, or a STATE between them, or raise `replay_bytes`, so that the unit can be written again behind the change; then run "
            "again."
        )
        if self._given_up == _MOST_GIVEN_UP_FOR_ROWS:
            raise BadDataError(found + rest)
        self._given_up += 1
        self.before = stream, fit
        raise RowsInTheWay(found, rest)

    def end_unit(self) -> None:
        """The unit is committed, or given up: nothing is to be done beside it."""
        self._beside.close()

    def commit(self) -> None:
        """The unit is committed; the next one may be given up as often."""
        self._gave_way.clear()
        self._given_up = 0

    def in_unit(self, cursor: Cursor, stream: str, job: Callable[[Cursor], _T], doing: str) -> _T:
        """Do what needs locks in the transaction of the unit."""
        try:
            return ahead.in_unit(cursor, job, seconds=self._lock_timeout, stop=self._stop)
        except psycopg2.Error as error:
            if error.pgcode != errorcodes.LOCK_NOT_AVAILABLE:
                raise
            raise self._in_use(cursor.connection, stream, doing, error) from error

    def build_key(self, cursor: Cursor, table: Table) -> str | None:
        """Build the index of a key that changes while others read the table, and lock it then; None: `lock_out` comes first.

        It waits for no reader: one who has read and waits to write would wait for us as well.
        """
        cursor.execute("SAVEPOINT singerkit_key")
        try:
            build = partial(build_key, table=table)
            seconds = min(_BUILD_SECONDS, self._lock_timeout)
            index = ahead.in_unit(cursor, build, seconds=seconds, stop=self._stop)
            locked = index is not None and self._is_locked_at_once(cursor, table)
        except psycopg2.Error:
            if cursor.connection.closed:
                raise
            locked = False  # what is wrong is told by who does it under the lock
        if not locked:
            cursor.execute("ROLLBACK TO SAVEPOINT singerkit_key")
        cursor.execute("RELEASE SAVEPOINT singerkit_key")
        return index if locked else None

    def _is_locked_at_once(self, cursor: Cursor, table: Table) -> bool:
        """Find a moment in which nobody uses the table."""
        cursor.execute("SAVEPOINT singerkit_at_once")
        for _ in range(_LOOKS):
            try:
                ddl.lock_at_once(cursor, table.identifier)
            except psycopg2.Error as error:
                if error.pgcode != errorcodes.LOCK_NOT_AVAILABLE:
                    raise
                cursor.execute("ROLLBACK TO SAVEPOINT singerkit_at_once")
                time.sleep(_LOOK_AGAIN_SECONDS)
            else:
                return True
        return False

    def lock_out(self, cursor: Cursor, table: Table) -> None:
        """Take the lock under which the key changes, at once, since one that grows to it meets others that do."""
        lock = partial(ddl.lock_for_altering, table=table.identifier)
        self.in_unit(cursor, table.stream, lock, f"changing the key of the table of stream `{table.stream}`")

    def _in_use(
        self, connection: Connection, stream: str, doing: str, error: psycopg2.Error
    ) -> SingerkitError:
        """What others hold for longer than was to be waited ends the run."""
        with contextlib.suppress(psycopg2.Error), connection.cursor() as cursor:
            others = ahead.holders(cursor, *self._place(stream))
            return LockHeldError(str(fault(error, doing, others)))
        return fault(error, doing)


def takes_ddl(cursor: Cursor, fit: Fit) -> bool:
    """Tell whether something has to be made or altered; nothing is, and no lock is kept."""
    cursor.execute("SAVEPOINT singerkit_trial_fit")
    cursor.execute("SET LOCAL lock_timeout TO '1ms'")
    cursor.execute("SET LOCAL transaction_read_only TO on")
    try:
        fit(cursor, _QUIET)
        found = False
    except psycopg2.Error as error:
        if error.pgcode not in (errorcodes.READ_ONLY_SQL_TRANSACTION, errorcodes.LOCK_NOT_AVAILABLE):
            raise
        found = True
    except SingerkitError:
        found = False  # it is told by who fits the table
    cursor.execute("ROLLBACK TO SAVEPOINT singerkit_trial_fit")
    cursor.execute("RELEASE SAVEPOINT singerkit_trial_fit")
    return found
