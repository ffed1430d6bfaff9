"""What this run has made of tables for rows that are not committed: it stays with the commit, and goes with a run that ends without it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial

from singerkit_shell.errors import SingerkitError
from singerkit_shell.signals import StopFlag
from singerkit_sql_target.fitting import quoted
from singerkit_target.held import SCHEMA_CHANGE
from target_postgres import ahead, ddl
from target_postgres.before import NOTHING_NEW, New
from target_postgres.session import Session, Unopened

__all__ = ["Made"]

_SECONDS = 0.5
"""How long is tried to take it back from those who use it."""


class Made:
    """By stream, what was made for the unit in hand: ahead of it, in transactions of its own, and in the unit itself."""

    def __init__(self) -> None:
        self._new: dict[str, New] = {}
        self._ahead: dict[
            str, New
        ] = {}  # of streams for which the unit makes more: what was there before that

    def of(self, stream: str) -> New:
        """Return what was made for a stream."""
        return self._new.get(stream, NOTHING_NEW)

    def note(self, stream: str, new: New) -> None:
        """Keep what was made for a stream by now."""
        self._new[stream] = new

    def begin_in_unit(self, stream: str) -> None:
        """What is made for a stream from here on goes with the transaction of the unit."""
        self._ahead.setdefault(stream, self.of(stream))

    def lose_unit(self) -> None:
        """The transaction of the unit is gone, and what was made in it."""
        self._new |= self._ahead
        self._ahead.clear()

    def beyond(self, kept: Callable[[str], Collection[str]]) -> dict[str, New]:
        """Return what is left to be taken back when a unit is committed up to a place where tables had the columns ``kept``."""
        return {stream: _without(new, kept(stream)) for stream, new in (self._new | self._ahead).items()}

    def commit(self, left: dict[str, New]) -> dict[str, list[str]]:
        """The unit is committed, and with it what was made for it, but for what is ``left``; return the columns of tables that were there."""
        made = {
            stream: [short for short in new.columns if short not in left.get(stream, NOTHING_NEW).columns]
            for stream, new in (self._new | self._ahead).items()
            if not new.is_table
        }
        self._new = left
        self._ahead.clear()
        return {stream: columns for stream, columns in made.items() if columns}

    def take_back(
        self,
        session: Session | Unopened,
        place: Callable[[str], tuple[str, str]],
        stop: StopFlag,
        log: logging.Logger,
    ) -> None:
        """Drop it, if nobody has written into it: it has the types of a SCHEMA or a setting that were refused, and the next run may
        bring others. Who is killed leaves it.
        """
        for stream, new in (self._new | self._ahead).items():
            schema, table = place(stream)
            take = partial(
                ddl.take_back,
                schema=schema,
                table=table,
                oid=new.oid,
                columns=new.columns,
                is_table=new.is_table,
            )
            alone = partial(ahead.in_own_transaction, job=take, seconds=_SECONDS, stop=stop)
            with contextlib.suppress(SingerkitError):  # it is in use, or the run is to end at once
                session.reset()
                if new.columns and session.is_alive:
                    doing = f"dropping what was made for rows of `{stream}` that are not committed"
                    gone = session.call(alone, doing)
                    _tell_gone(log, stream, gone, f"{schema}.{table}" if new.is_table else None)


def _tell_gone(log: logging.Logger, stream: str, columns: Sequence[str], table: str | None) -> None:
    """What was told when it was made is told to be no more."""
    if columns and table is None:
        log.info(
            "Columns of stream `%s` are dropped again, since no row with them is committed: %s.",
            stream,
            quoted(columns),
            extra=SCHEMA_CHANGE,
        )
    elif columns:
        log.info(
            "Table %s, made for stream `%s`, is dropped again, since no row of it is committed.",
            table,
            stream,
            extra=SCHEMA_CHANGE,
        )


def _without(new: New, kept: Collection[str]) -> New:
    columns = {short: number for short, number in new.columns.items() if short not in kept}
    return New(columns, new.oid, is_table=new.is_table and not kept)
