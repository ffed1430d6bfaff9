"""A statement that waits in the server, for a lock say, is cancelled once a signal has come."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psycopg2
from psycopg2.extensions import connection as Connection

from singerkit_shell.errors import Stopped
from singerkit_shell.signals import stop_flag
from singerkit_sql_tap.faults import SAFE

__all__ = ["unless_stopped"]

_T = TypeVar("_T")


def unless_stopped(connection: Connection, work: Callable[[], _T]) -> _T:
    """Return what ``work`` returns, which has the server run something on a connection.

    Raises:
        Stopped: a signal has come, and the statement is cancelled.
        Exception: as ``work`` does.
    """
    try:
        return stop_flag.waiting_for(work, f"{SAFE}, run again to continue.")
    except Stopped:
        with suppress(psycopg2.Error):
            connection.cancel()
        raise
