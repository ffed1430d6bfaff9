"""Units of commit in PostgreSQL: rows, dead letters and the state row in one transaction (DESIGN 5)."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, cast

from psycopg2 import DataError, Error
from psycopg2.extensions import cursor as Cursor

from singerkit_postgres.connect import NO_WISHES, Connection, Wishes, connect, pid_of
from singerkit_shell.errors import BadDataError, FencedError, RetryableError, SingerkitError
from singerkit_shell.signals import StopFlag, stop_flag
from singerkit_sql_target.begun import Begun, Noted
from singerkit_sql_target.incoming import Incoming
from singerkit_sql_target.judging import Sets
from singerkit_sql_target.keyless import told_of_keyless
from singerkit_sql_target.letters import Letter, Letters
from singerkit_sql_target.lists import Lists
from singerkit_sql_target.names import Places, check_alone, place_of
from singerkit_sql_target.newest import told_of_older
from singerkit_sql_target.partial import told_of_partial
from singerkit_sql_target.rejects import Writer
from singerkit_sql_target.replacing import Replacing
from singerkit_sql_target.runtable import RUNS, RunTable
from singerkit_sql_target.settings import Settings, unmet, with_former
from singerkit_sql_target.versions import Others, Versions
from singerkit_state.lineage import WaysOut
from singerkit_state.postgres import history
from singerkit_state.postgres import row as rows_of_state
from singerkit_state.postgres.fencing import acquire, advance, end_lost, reclaim, was_committed
from singerkit_state.postgres.row import StateRow
from singerkit_state.postgres.store import change_row
from singerkit_state.postgres.table import DEFAULT_TABLE, ensure_table
from singerkit_state.postgres.url import StateUrl
from singerkit_state.reached import NOTHING
from singerkit_state.runids import new_run_id
from singerkit_state.runs import Run
from singerkit_state.shards import are_of_one
from singerkit_state.store import Change
from singerkit_target.contract import Edit, SafePoint, UnitLost
from singerkit_target.held import HeldLog
from singerkit_target.outcomes import Outcomes
from singerkit_target.overwriting import interrupted_streams
from singerkit_target.pastruns import AskedRuns
from singerkit_target.replay import waits
from singerkit_target.siblings import Siblings, check_no_history
from singerkit_wire.batch import Batch, Reject
from singerkit_wire.masks import is_masked
from singerkit_wire.stream import DELETED_AT, Stream
from target_postgres import ahead, overwriting, partitions, rejects, replacing, runs
from target_postgres.arrays import with_arrays
from target_postgres.domain import ABILITIES, DOMAIN
from target_postgres.enduring import LOST, endured
from target_postgres.faults import ConnectionLost, RowsInTheWay, ServerTrouble
from target_postgres.finishing import finish, run_before
from target_postgres.fitting import Fit, Fitting, takes_ddl
from target_postgres.guards import tell_of_hidden_rows
from target_postgres.made import Made
from target_postgres.parts import Overwrite, Part, Removal
from target_postgres.rows import Csv, as_csv, with_hex, with_utc
from target_postgres.session import Session, Unopened
from target_postgres.storing import Storing, holding_rows
from target_postgres.tables import Table, fit_table
from target_postgres.upkeep import NO_UPKEEP, Upkeep
from target_postgres.waiting import LONG_COPY, Waiting, WaitingRows, said, span
from target_postgres.words import WORDS, Asked, lock_for_unit

__all__ = ["PostgresLoader"]

_T = TypeVar("_T")

_OVERWRITTEN = "rows of a load that wait for its end"
"""Stands for them in what the unit in hand has done: nothing in a table."""

_NOT_BEGUN = Begun(StateRow("", 0, 0, None, None, None, "", ""), NOTHING)
"""Before `begin`: no pipeline, no state. A commit of it finds no row, and is fenced."""


@dataclass
class _Safe:
    """The last safe point that was reached, the tables as they were there, and of which something waited: the columns of rows in
    their stages, and the rest.
    """

    point: SafePoint
    tables: dict[str, Table]
    waits: dict[str, tuple[tuple[str, ...] | None, tuple[Part, ...]]]
    refused: Counter[str]
    outcomes: Outcomes
    told: int


class PostgresLoader:
    """The `Loader` of target-postgres. Its jobs run in order on the session's thread."""

    domain = DOMAIN

    def __init__(
        self,
        dsn: Callable[[], str],
        settings: Settings,
        log: logging.Logger,
        *,
        lock_timeout_seconds: float = 60.0,
        reconnect_seconds: float = 60.0,
        answer_seconds: float = 3600.0,
        wishes: Wishes = NO_WISHES,
        upkeep: Upkeep = NO_UPKEEP,
        state_table: str = DEFAULT_TABLE,
        sets_aside: Sequence[str] = (),
        quarantine_limit: int = 1000,
        close_server: Callable[[], None] = lambda: None,
        ways: Callable[[str], WaysOut] = lambda _pipeline: WaysOut(("target-postgres",)),
        stop: StopFlag = stop_flag,
    ) -> None:
        self.abilities = replace(
            ABILITIES,
            keys=settings.keying.fields,
            appends=settings.appends,
            newest_by=settings.newest_by.of,
            overwrites=settings.overwrites,
            replaces=settings.replaces,
            lacks_versions=settings.lacks_versions,
            deletes=settings.deletes_marked,
        )
        self._dsn_of, self._wishes, self._upkeep = dsn, wishes, upkeep
        self._settings = settings
        self._log = log
        self._lock_timeout = lock_timeout_seconds
        self._reconnect_seconds = reconnect_seconds
        self._answer_seconds = answer_seconds
        self._stop = stop
        self._hard_delete = settings.hard_delete
        self._deletes_marked = settings.deletes_marked
        self._state_table = state_table
        self._close_server = close_server
        self._ways, self._way = ways, ways("")
        self.run_id = new_run_id()
        self._runs = RunTable(WORDS, settings.schema)
        self._sets = Sets(WORDS, settings)
        self.judge_sets = self._sets.ask
        self._writer = Writer(self.run_id)
        self._places = Places(
            settings, WORDS, (state_table, history.name_of(state_table), rejects.TABLE, RUNS)
        )
        self._unit_log = HeldLog(log)  # what tells of the unit in hand
        self._versions = Versions(
            WORDS, settings, self._unit_log, (settings.schema, state_table), lock_for_unit
        )
        self._replacing = Replacing(WORDS, settings)
        self._incoming = Incoming(settings, self._versions)
        self._lists = Lists(WORDS, settings, log)
        self._tables: dict[str, Table] = {}
        self._named: dict[str, Stream] = {}  # what former SCHEMAs of the run have named
        self._declared = 0
        self._open_session: Session | Unopened = Unopened()
        self._begun = _NOT_BEGUN
        self._safe: _Safe | None = None
        self._committed_state: str | None = None  # by this run
        self._is_back = False  # at the last safe point, having given up what came after it
        self._waiting = WaitingRows(self._load)
        self._has_rejects = False
        self.doubts: list[str] = []
        self._began_with: str | None = None
        self.outcomes = Outcomes()
        self._told_of_others: set[str] = set()  # streams that other pipelines load, too
        self._others_seen: Sequence[rows_of_state.Other] | None = None  # in this unit
        self._pid_of_unit: int | None = None
        self._in_unit: set[str] = set()  # streams that the unit in hand has done something in the table of
        self._made = Made()
        self._fitting = Fitting(
            self._connect,
            self._place,
            log,
            stop,
            lock_timeout_seconds=lock_timeout_seconds,
            answer_seconds=answer_seconds,
        )
        self._storing = Storing(
            self._tables,
            self._fitting,
            log,
            self._unit_log,
            must_hold=self._must_hold,
            write_letters=self._write_letters,
            sets_aside=sets_aside,
            quarantine_limit=quarantine_limit,
            hard_delete=settings.hard_delete,
            versions=self._versions,
            replacing=self._replacing,
        )

    # --- the run -------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Connect and see that everything this role needs is allowed (FAULTS D9)."""
        self._start_session(self._connect())
        self._at_the_start(lambda c: ensure_table(c, self._settings.schema, self._state_table), "preparing")

    def _at_the_start(
        self,
        job: Callable[[Connection], _T],
        doing: str,
        then: Callable[[Connection], object] = lambda _connection: None,
    ) -> _T:
        """Do what a run begins with; where the connection is lost meanwhile, ``then`` on another one, and the job once more."""
        return endured(
            lambda: cast("_T", self._call(job, doing)),
            is_lost=lambda: not self._open_session.is_alive,
            reconnect=partial(self._reconnect, then),
            seconds=self._reconnect_seconds,
            stop=self._stop,
            log=self._log,
        )

    def _place(self, stream: str) -> tuple[str, str]:
        return place_of(stream, self._settings, WORDS)

    def _connect(self) -> Connection:
        return connect(self._dsn_of(), lock_timeout_seconds=self._lock_timeout, wishes=self._wishes)

    def begin(self, pipeline: str) -> str | None:
        """Take the pipeline's lock and begin a new epoch; return the state it has committed."""

        def take(connection: Connection) -> StateRow:
            return acquire(connection, self._settings.schema, self._state_table, pipeline, self.run_id)

        def end_lost_session(connection: Connection) -> None:
            end_lost(
                connection, self._settings.schema, self._state_table, pipeline, self._open_session.backend_pid
            )

        row = self._at_the_start(take, "taking the lock", end_lost_session)
        if self._upkeep.before:
            before = partial(run_before, statements=self._upkeep.before, schema=self._settings.schema)
            self._at_the_start(before, "running `pre_sql`", lambda connection: reclaim(connection, row))
        self._begun = Begun.with_row(row)
        self._way = self._ways(pipeline)
        self._storing.interrupted = interrupted_streams(row.state_text)
        self._began_with = row.state_text
        return row.state_text

    @property
    def sequence(self) -> int | None:
        return None if self._begun is _NOT_BEGUN else self._begun.row.sequence

    def begin_run(self, run: Run, keep_days: float) -> None:
        """Note a run in the table of runs."""
        self._note_run(self._runs.beginning(run, keep_days))

    def end_run(self, run: Run) -> None:
        """Note what it has come to, on a connection of its own where that of the run is gone."""
        if self._open_session.is_alive:
            self.rollback()
        if self._open_session.is_alive:
            self._note_run(self._runs.ending(run))
            return
        with contextlib.closing(self._connect()) as connection:
            _raise(runs.note(connection, self._runs, self._runs.ending(run)))

    def past_runs(self, asked: AskedRuns) -> Sequence[Run]:
        try:
            with contextlib.closing(self._connect()) as connection:
                return runs.read(
                    connection, self._runs, asked, WORDS.quote(self._settings.schema, self._state_table)
                )
        finally:
            self._close_server()

    def _note_run(self, statements: Sequence[str]) -> None:
        _raise(self._call(lambda connection: runs.note(connection, self._runs, statements), "noting the run"))

    @property
    def set_aside_in(self) -> str:
        return f"the table {self._settings.schema}.{rejects.TABLE}"

    def expect_rows_of(self, pipelines: Collection[str]) -> None:
        def texts(connection: Connection) -> list[str | None]:
            with connection, connection.cursor() as cursor:
                found = rows_of_state.rows(cursor, self._settings.schema, self._state_table)
                return [row.state_text for row in found if row.pipeline in pipelines]

        self._begun = self._begun.beside(self._call(texts, "reading the states of the other shards"))

    def pipelines(self, *, with_state: bool = False) -> Sequence[str]:
        def names(connection: Connection) -> list[str]:
            with connection, connection.cursor() as cursor:
                return rows_of_state.pipelines(
                    cursor, self._settings.schema, self._state_table, with_state=with_state
                )

        found: list[str] = self._call(names, "reading the names of the pipelines")
        return found

    def was_former(self, value: Any) -> bool:
        return self._begun.was_former(value)

    def expect_gone_rows(self, *, always: bool = False) -> None:
        self._begun = self._begun.starting_over(always=always)

    def change_state(self, edit: Edit, why: str, *, as_it_is: bool = False) -> str | None:
        """Replace the state in the row, in a transaction of its own; ``as_it_is`` forgets which tables held rows."""
        url = StateUrl(
            "", "this database", self._begun.row.pipeline, self._settings.schema, self._state_table
        )

        def change(connection: Connection) -> Change:
            with connection, connection.cursor() as cursor:
                return change_row(cursor, url, edit, why, as_it_is=as_it_is)

        change_made: Change = self._call(change, f"changing the state ({why})")
        return change_made.after.text

    def keep_up(self) -> None:
        """After a complete run, and its last commit: what the config wants of its tables, on a connection of its own."""
        if self._upkeep.has_end:
            with contextlib.closing(self._connect()) as connection:
                finish(self._upkeep, connection, self._tables.values(), self._settings.schema, self._log)

    def close(self) -> None:
        """Leave the lock and the connection; an open transaction rolls back, and what was made for it goes, too."""
        self._made.take_back(self._open_session, self._place, self._stop, self._log)
        self._fitting.end_unit()
        self._open_session.close()
        self._open_session = Unopened()
        self._close_server()

    # --- writing -------------------------------------------------------------------------------------------

    def lists_of(self, stream: str, keys: Sequence[str], named: Sequence[str]) -> Mapping[str, bool]:
        def look(connection: Connection) -> Mapping[str, bool]:
            with connection.cursor() as cursor:
                cursor.execute("SAVEPOINT singerkit_look")
                try:
                    return self._lists.of(Asked(cursor), stream, keys, named)
                finally:  # with it go the locks, which would be in the way of DDL beside the unit
                    cursor.execute("ROLLBACK TO SAVEPOINT singerkit_look; RELEASE SAVEPOINT singerkit_look")

        found: Mapping[str, bool] = self._call(look, f"looking for tables of lists of stream `{stream}`")
        return found

    def declare(self, stream: Stream) -> Stream:
        """Fit the table to the stream, before the unit where nothing of the unit is in the table yet."""
        former = self._tables.get(stream.name)
        if former is not None:
            self._named[stream.name] = with_former(self._named.get(stream.name), former.given)
        self._places.take(stream.name)
        if not self._settings.loads_extra:
            self._upkeep.check(stream)
        self._upkeep.check_division(stream)
        self._declared += 1
        doubts: list[str] = []
        overwrites = self._settings.overwrites(stream.name)  # what is gone comes again with the whole load
        is_begun = former is None and not (overwrites or stream.is_unnamed)
        fitting = partial(
            fit_table,
            stream=stream,
            settings=self._settings,
            number=self._declared,
            start_over=self._way.start_over(stream.lists_of or stream.name),
            former=former,
            waiting=frozenset() if former is None else self._columns_waiting(former, stream),
            must_hold=is_begun and self._begun.must_hold(stream.name, stream.lists_of),
            loaded_into=None if overwrites else self._begun.row.tables.get(stream.name),
            making=self._upkeep.making(stream.name),
            doubts=doubts if is_begun and self._begun.should_hold(stream.name, stream.lists_of) else None,
        )

        def fit(cursor: Cursor, log: logging.Logger) -> Table:
            doubts.clear()
            new, kept = self._made.of(stream.name), self._kept_columns(stream.name)
            table = fitting(cursor, log=log, new=new, kept=kept)
            if former is None:
                self._check_alone(cursor, table)
                self._tell_of_others(cursor, table)
            return table

        table = self._fit(stream.name, fit)
        self.doubts += doubts
        if former is not None:
            table.takes_copies = former.takes_copies and table.keys == former.keys
            table.has_repeats = former.has_repeats
            table.parts = former.parts
            if table.overwrites and table.parts:
                self._retype(former, table)
        else:
            tell_of_hidden_rows(stream.name, table.shape.row_security, self._log)
        self._tables[stream.name] = table
        self._made.note(stream.name, table.new)
        return table.given

    def _columns_waiting(self, table: Table, stream: Stream) -> frozenset[str]:
        def look(connection: Connection) -> frozenset[str]:
            with connection.cursor() as cursor:
                return overwriting.waiting_columns(cursor, table, stream)

        found: frozenset[str] = self._call(look, f"preparing the table of stream `{table.stream}`")
        return found

    def _retype(self, former: Table, table: Table) -> None:
        def change(connection: Connection) -> None:
            with connection.cursor() as cursor:
                overwriting.retype(cursor, former, table)

        self._call(change, f"preparing the table of stream `{table.stream}`")

    def _fit(self, stream: str, fit: Fit) -> Table:
        """Make or alter a table in a transaction of its own, or in the unit where that has locked the table already.

        Raises:
            UnitInTheWay: the unit is better written again, or (`RowsInTheWay`) has to be.
        """
        doing = f"preparing the table of stream `{stream}`"
        if not self._in_unit:
            return self._call(partial(self._before_unit, stream, fit, doing), doing)  # type: ignore[no-any-return]  # what `fit` returns
        if stream not in self._in_unit:
            pid = self._pid(doing)
            table = self._fitting.beside_unit(stream, fit, doing, pid, self._made.of(stream))
            if table is not None:
                return table
        else:
            self._make_room(stream, fit, doing)
        self._in_unit.add(stream)
        self._made.begin_in_unit(stream)
        return self._call(partial(self._within_unit, stream, fit, doing), doing)  # type: ignore[no-any-return]  # as above

    def _before_unit(self, stream: str, fit: Fit, doing: str, connection: Connection) -> Table:
        """On the session of the unit, in which nothing was done so far, but for a safe point."""
        try:
            return self._fitting.before_unit(stream, fit, doing, connection)
        finally:
            if self._safe is not None and not connection.closed:
                with connection.cursor() as cursor:
                    cursor.execute("SAVEPOINT singerkit_safe")

    def _make_room(self, stream: str, fit: Fit, doing: str) -> None:
        """Rows that wait under the old shape of the table go in first: they are what a change has to bear."""

        def write(connection: Connection) -> str | None:
            table = self._tables.get(stream)
            with connection.cursor() as cursor:
                if table is None:
                    return None
                if table.parts and not takes_ddl(cursor, fit):
                    self._storing.let_wait(table)
                    return None
                return self._storing.write_now(cursor, table)

        def takes(connection: Connection) -> bool:
            with connection.cursor() as cursor:
                return takes_ddl(cursor, fit)

        refused = self._call(write, doing)
        if refused is not None:
            self._fitting.give_way_to_rows(stream, fit, refused)
        if self._call(takes, doing):
            self._fitting.give_way(stream, fit, self._made.of(stream))

    def _within_unit(self, stream: str, fit: Fit, doing: str, connection: Connection) -> Table:
        def alter(cursor: Cursor) -> Table:
            give_way = partial(self._fitting.give_way_to_rows, stream, fit)
            return self._storing.altered(cursor, partial(fit, cursor, self._unit_log), give_way)

        with connection.cursor() as cursor:
            return self._fitting.in_unit(cursor, stream, alter, doing)

    def _kept_columns(self, stream: str) -> Collection[str]:
        """The columns of a table that are committed when the unit in hand ends here: those of its last safe point."""
        safe = self._safe
        if safe is None or safe.point.state in (None, self._committed_state):
            return ()
        return safe.tables[stream].columns.values() if stream in safe.tables else ()

    def _check_alone(self, cursor: Cursor, table: Table) -> None:
        where = ".".join(self._place(table.stream))
        check_alone(table.stream, self._begun.row.streams_in(table.shape.oid), where, self._way)
        if table.shape.oid is not None and self._upkeep.divisions:
            known = {**self._begun.row.tables, **{one.stream: one.shape.oid for one in self._tables.values()}}
            divided = [stream for stream in known if self._upkeep.making(stream).division is not None]
            above = partitions.divided_above(cursor, table.shape.oid)
            partitions.check_no_partition(
                table.stream, [stream for stream in divided if known[stream] in above], where
            )

    def _tell_of_others(self, cursor: Cursor, table: Table) -> None:
        """Warn of pipelines that load the same table: with one source between them that is fine, with two it is not."""
        if self._others_seen is None:
            self._others_seen = self._ask_others(cursor)
        others = self._others_of(self._others_seen, table)
        if others.names and table.stream not in self._told_of_others:
            self._told_of_others.add(table.stream)
            others.tell(table.stream, self._settings, self._log)

    def _ask_others(self, cursor: Cursor) -> Sequence[rows_of_state.Other]:
        return () if self._begun is _NOT_BEGUN else rows_of_state.others(cursor, self._begun.row)

    def _others_of(self, every: Sequence[rows_of_state.Other], table: Table) -> Others:
        ours = self._begun.row.pipeline
        names = [
            other.pipeline
            for other in every
            if other.has_loaded(table.stream, table.shape.oid) and not are_of_one(other.pipeline, ours)
        ]
        return Others(names, self._way.start_over_as)

    def _pid(self, doing: str) -> int:
        """The server's number of the session, the same as long as the unit is open; what was queued is done behind this call."""
        if self._pid_of_unit is None:
            self._pid_of_unit = self._call(pid_of, doing)
        else:
            self._call(_nothing, doing)  # a job looks at all tables, and another one is about to be there
        return self._pid_of_unit

    def write(self, stream: Stream, batch: Batch) -> None:
        """Encode a batch here and queue its COPY."""
        table = self._tables[stream.name]
        self._have_partitions(table, batch)
        self._in_unit.add(_OVERWRITTEN if table.overwrites else stream.name)
        batch = self._incoming.whole(table, batch)
        names, rows = batch.names, _for_columns(table, batch)
        masks: Sequence[str | None] = ()
        if is_masked(batch) and table.takes_copies and not self._storing.sets_aside:
            # No column of the table takes them, and straight COPY needs none: what a row leaves out is null there.
            names, masks, rows = names[1:], [row[0] for row in rows], [row[1:] for row in rows]
        csv = as_csv(rows, 0 if batch.run is None else batch.run.size)
        waiting = self._waiting.of(table, tuple(table.columns.get(name, name) for name in names), len(csv))
        if masks:
            waiting.take_masks(masks)
        waiting.lines = span(waiting.lines, batch.lines)
        if self._storing.sets_aside:
            waiting.batches.append((rows, batch))
        waiting.count += len(rows)
        waiting.has_marks = self._incoming.tells_of_deletions(table, batch) or waiting.has_marks
        self._waiting.gather(waiting, csv)

    def _have_partitions(self, table: Table, batch: Batch) -> None:
        """Have those that the rows of a batch need, before they come: committed beside the unit, so that nobody waits for its end."""
        wanted = partitions.needed(table.parted, batch)
        if not wanted or table.parted is None:
            return
        stream, doing = table.stream, f"making partitions of the table of stream `{table.stream}`"

        def fit(cursor: Cursor, log: logging.Logger) -> Table:
            assert table.parted is not None  # noqa: S101  as above
            partitions.make(cursor, log, table.parted, table, wanted)
            return table

        if not self._in_unit:
            self._call(partial(self._before_unit, stream, fit, doing), doing)
        else:
            pid = self._pid(doing)
            if self._fitting.beside_unit(stream, fit, doing, pid, self._made.of(stream)) is None:
                self._call(partial(self._within_unit, stream, fit, doing), doing)
                return  # what goes with the unit is not known to be there
        table.parted.known.update(wanted)

    def _load(self, waiting: Waiting, csv: Csv) -> None:
        def load(connection: Connection) -> None:
            with connection.cursor() as cursor:
                self._storing.load(cursor, waiting, csv)

        send = self._open_session.call if len(csv) > LONG_COPY else self._open_session.submit
        send(load, f"loading stream `{waiting.table.stream}`{said(waiting.lines)}")

    def _must_hold(self, stream: str) -> bool:
        """Whether the table of a stream held rows at the last commit."""
        is_watched = not (self._begun.accepts_gone_rows or self._settings.overwrites(stream))
        return is_watched and stream in (self._begun.row.loaded or ())

    def reject(self, letters: Sequence[Reject]) -> None:
        """Put refused records into the dead-letter table, in the same transaction."""

        def write(connection: Connection) -> None:
            with connection.cursor() as cursor:
                self._write_letters(cursor, letters)

        self._in_unit.add(rejects.TABLE)
        self._submit(write, "writing dead letters")

    def _write_letters(self, cursor: Cursor, letters: Sequence[Reject]) -> None:
        if not self._has_rejects:
            self._ensure_rejects(cursor)
            self._has_rejects = True
        streams = {name: table.given for name, table in self._tables.items()}
        rejects.insert(
            cursor, self._settings.schema, self._begun.row.pipeline, self._writer, letters, streams
        )

    def _ensure_rejects(self, cursor: Cursor) -> None:
        """Make the table, where there is none, on a session of its own: other runs would wait for the end of this unit."""
        if rejects.is_there(cursor, self._settings.schema):
            return
        connection = self._connect()
        try:
            make = partial(rejects.ensure_table, schema=self._settings.schema)
            ahead.in_own_transaction(connection, make, seconds=self._lock_timeout, stop=self._stop)
        finally:
            connection.close()

    @property
    def letters(self) -> Letters:
        return Letters(WORDS, self._settings)

    def ask(self, job: Callable[[Asked], _T], doing: str, otherwise: _T) -> _T:
        """Return what ``job`` finds, outside any unit; ``otherwise`` where the server takes no such value."""

        def asked(connection: Connection) -> _T:
            try:
                with connection.cursor() as cursor:
                    return job(Asked(cursor))
            except DataError:
                return otherwise
            finally:
                connection.rollback()

        found: _T = self._call(asked, doing)
        return found

    def replay(self, letter: Letter) -> None:
        """Remove a letter with the unit in hand; if its record is refused again, it keeps when it was first."""
        self._writer = Writer(letter.run_id, letter.rejected_at)
        statement = self.letters.removal(letter)

        def remove(connection: Connection) -> None:
            with connection.cursor() as cursor:
                Asked(cursor).execute(statement)

        self._in_unit.add(rejects.TABLE)
        self._submit(remove, "removing a dead letter")

    def activate_version(self, stream: Stream, version: int, siblings: Siblings | None = None) -> None:
        """Remove the rows of other versions, or mark them deleted; rows without one stay."""
        if self._versions.is_kept(stream.name, version):
            return
        table, asked = self._tables[stream.name], self._versions.activated(stream.name, version, siblings)
        check_no_history(stream.name, siblings, is_kept=bool(table.history))

        def remove(connection: Connection) -> None:
            with connection.cursor() as cursor:
                others = self._others_of(self._ask_others(cursor), table)
                self._storing.activate(cursor, table, Removal(asked, others))

        self._storing.activated.add(stream.name)
        self._in_unit.add(stream.name)
        self._submit(remove, f"activating version {version} of stream `{stream.name}`")

    def replace(self, stream: Stream, where: Batch | None) -> None:
        """Delete or mark the rows that have these values, in the unit, behind those that were written before."""
        table = self._tables[stream.name]
        self._replacing.check(table)
        which = (
            None if where is None else replacing.condition(table, where.names, _for_columns(table, where)[0])
        )

        def replace(connection: Connection) -> None:
            with connection.cursor() as cursor:
                if where is not None and replacing.lacks_index(cursor, table, where.names):
                    self._tell_of_no_index(table, where.names)
                self._storing.replace(cursor, table, which)

        self._in_unit.add(stream.name)
        self._submit(replace, f"replacing rows of stream `{stream.name}`")

    def _tell_of_no_index(self, table: Table, names: Sequence[str]) -> None:
        columns = ", ".join(WORDS.quote(table.columns[name]) for name in names)
        self._unit_log.warn_once(
            ("no index", table.stream),
            f"The table {table.where} has no index that begins with {columns}, by which rows of stream `{table.stream}` are replaced (REPLACE), so that "
            f"each time all of it is read: make one with `CREATE INDEX CONCURRENTLY ON {table.quoted} ({columns})`.",
        )

    def overwrite(self, stream: Stream, *, removes: bool) -> None:
        """Note that all rows of a load have come, behind those that wait."""
        self._waiting.send_all()
        self._tables[stream.name].overwrite = Overwrite(removes)
        self._in_unit.add(stream.name)

    # --- units of commit -----------------------------------------------------------------------------------

    def mark_safe(self, point: SafePoint) -> None:
        """Queue a savepoint behind the rows: ``point`` is reached once they are in, and never when one is refused."""

        def mark(connection: Connection) -> None:
            with connection.cursor() as cursor:
                if self._safe is not None:
                    cursor.execute("RELEASE SAVEPOINT singerkit_safe")
                cursor.execute("SAVEPOINT singerkit_safe")
            tables, storing = dict(self._tables), self._storing
            waits = {stream: (tables[stream].staged, tables[stream].parts) for stream in storing.touched}
            done = storing.refused.copy(), storing.outcomes.copy(), self._unit_log.position()
            self._safe = _Safe(point, tables, waits, *done)

        self._submit(mark, "marking a safe point")

    def back_to_safe(self) -> SafePoint | None:
        """Give up what came after the last safe point and return it; None when there is none in this transaction.

        Raises:
            UnitLost: the transaction is gone.
        """
        self._waiting.clear()
        session = self._open_session
        failure = session.reset()
        if isinstance(failure, UnitLost) and not isinstance(failure, RowsInTheWay):
            raise failure
        if not session.is_alive:
            raise ConnectionLost(
                "The connection to PostgreSQL was lost", "; what was committed is safe: run again."
            )
        if self._safe is None:
            return None
        self._is_back = True

        def back(connection: Connection) -> None:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK TO SAVEPOINT singerkit_safe")

        self._call(back, "going back to the last safe point")
        self._tables.clear()
        self._tables.update(self._safe.tables)
        for stream, table in self._safe.tables.items():
            table.staged, table.parts = self._safe.waits.get(stream, (None, ()))
            table.has_marks = bool(
                self._deletes_marked or table.history or table.given.lists_of
            ) and table.columns.get(DELETED_AT) in (table.staged or ())
            table.is_spent = table.staged is None
            table.is_locked = False  # the lock may have been taken behind the savepoint
        self._storing.touched = set(self._safe.waits)
        self._storing.refused = self._safe.refused.copy()
        self._storing.outcomes.back_to(self._safe.outcomes)
        self._unit_log.back_to(self._safe.told)
        return self._safe.point

    def rollback(self) -> None:
        """Give up everything since the last commit."""
        self._waiting.clear()
        session = self._open_session
        session.reset()
        if session.is_alive:
            session.call(lambda connection: connection.rollback(), "rolling back")
        for table in self._tables.values():
            table.has_stage = False  # one that this unit made is gone
        self._forget_unit()

    def settle(self) -> Mapping[str, int]:
        """Merge what is staged; return how many records were set aside because PostgreSQL refused them, by stream."""
        self._call(self._settle, "finishing a unit of commit")
        return self._storing.refused.copy()

    def _settle(self, connection: Connection) -> None:
        with connection.cursor() as cursor:
            self._storing.settle(cursor)

    def commit(self, state: str | None) -> None:
        """Merge what is staged, advance the state row, COMMIT; all of it or nothing."""
        row = self._begun.row

        def finish(connection: Connection) -> tuple[StateRow, Noted]:
            self._settle(connection)
            with connection.cursor() as cursor:
                self._sets.judge(Asked(cursor), self._begun.row.pipeline)
                self._storing.leave_stages(cursor)
                emptied = self._storing.activated | self._storing.deleted_from
                noted = self._begun.noted(self._tables, emptied, partial(holding_rows, cursor))
                oids = {t.stream: t.shape.oid for t in self._tables.values() if t.shape.oid is not None}
                return advance(cursor, row, state, noted.loaded, oids), noted

        advanced, noted = self._call(finish, "finishing a unit of commit")
        try:
            self._call(_commit, "committing")
        except (ConnectionLost, ServerTrouble):
            self._resolve_unknown_commit(advanced)
        except SingerkitError:
            self.rollback()  # a COMMIT that fails has rolled back: no safe point is left
            raise
        left = self._made.beyond(self._kept_columns) if self._is_back else {}
        self._begun = self._begun.at(advanced, noted)
        self._committed_state = state or self._committed_state
        self.outcomes.add(self._storing.outcomes)
        self._unit_log.say(self._unit_log.take())
        self._storing.commit()
        self._fitting.commit()
        for stream, columns in self._made.commit(left).items():
            self.outcomes.note_columns(stream, columns)
        for table in self._tables.values():
            table.lacks_key = False
        self._forget_unit()

    def _resolve_unknown_commit(self, advanced: StateRow) -> None:
        """The reply to COMMIT was lost: the row's sequence number says what happened (FAULTS D2)."""
        if not self._reconnect(lambda connection: was_committed(connection, advanced)):
            raise ConnectionLost(
                "The connection to PostgreSQL was lost during COMMIT and the unit was not committed",
                "; what was committed before is safe: run again.",
            )
        for table in self._tables.values():
            table.has_stage = False

    def recover(self) -> None:
        """Roll back, on a new connection if the old one is lost; the tables are fitted anew by `declare`."""
        row = self._begun.row
        if self._open_session.is_alive:
            self.rollback()
        else:
            self._waiting.clear()
            self._reconnect(lambda connection: reclaim(connection, row))
        self._forget_unit()
        self._begun = self._begun.again(self._tables)
        self._tables.clear()
        self._has_rejects = False
        if self._fitting.before is not None:
            self._fit_before(*self._fitting.before)

    def _fit_before(self, stream: str, fit: Fit) -> None:
        """Alter the table for which the unit was given up; what the unit is told of that is told when it comes there again."""
        self._fitting.before = None
        doing = f"preparing the table of stream `{stream}`"
        try:
            table: Table = self._call(partial(self._before_unit, stream, fit, doing), doing)
        except BadDataError:
            self._open_session.reset()
        else:
            self._made.note(stream, table.new)

    def _reconnect(self, take: Callable[[Connection], _T]) -> _T:
        """Go on with a new connection on which ``take`` takes the lock; return what it returns.

        Raises:
            RetryableError: there was none within `reconnect_seconds`.
            FencedError, Stopped: a newer run has taken over; a signal came.
        """
        end = time.monotonic() + self._reconnect_seconds
        pauses = waits()
        while True:
            try:
                connection, taken = self._connect_and(take)
                break
            except FencedError:
                raise
            except RetryableError:
                pause = next(pauses)
                if time.monotonic() + pause > end:
                    raise
            self._stop.wait(pause)
            self._stop.raise_if_set(LOST)
        self._open_session.close()
        self._start_session(connection)
        self._storing.interrupted |= self._tables.keys()  # what came of them before was known to the session
        return taken

    def _connect_and(self, take: Callable[[Connection], _T]) -> tuple[Connection, _T]:
        connection = self._connect()
        try:
            return connection, take(connection)
        except BaseException:
            connection.close()
            raise

    def _forget_unit(self) -> None:
        self._others_seen = self._pid_of_unit = None
        self._fitting.end_unit()
        self._safe = None
        self._storing.lose_unit()
        self._unit_log.back_to()
        self._in_unit.clear()
        self._made.lose_unit()
        for table in self._tables.values():
            table.staged = table.staged_lines = None
            table.parts, table.overwrite = (), None
            # Not because it held rows, but so that the next unit fills it in order: see `merge.empty_stage`.
            table.has_marks, table.is_spent = False, True
            table.is_locked = False

    def unmet(self) -> list[str]:
        """What the config says of streams and columns that the run did not have, what it does not say of those without a key, and how many rows were older."""
        streams = {name: table.given for name, table in self._tables.items()}
        named = {name: with_former(self._named.get(name), given) for name, given in streams.items()}
        return [
            *unmet(self._settings, named),
            *told_of_keyless(self._settings, streams, self._began_with),
            *told_of_older(self.outcomes.known(), self._settings.newest_by),
            *told_of_partial(self.outcomes.known(), self._way.start_over),
        ]

    # --- the session ---------------------------------------------------------------------------------------

    def _start_session(self, connection: Connection) -> None:
        self._open_session = Session(connection, self._stop, answer_seconds=self._answer_seconds)

    def _submit(self, job: Callable[[Connection], None], doing: str) -> None:
        self._waiting.send_all()
        self._open_session.submit(job, doing)

    def _call(self, job: Callable[[Connection], Any], doing: str) -> Any:
        self._waiting.send_all()
        return self._open_session.call(job, doing)


def _raise(refusal: Error | None) -> None:
    if refusal is not None:
        raise refusal


def _nothing(_connection: Connection) -> None:
    pass


def _for_columns(table: Table, batch: Batch) -> Sequence[tuple[Any, ...]]:
    """Return the rows of a batch as the columns of a table take them."""
    names, rows = batch.names, batch.wire_rows
    binary_at = [index for index, name in enumerate(names) if name in table.binary]
    local_at = [index for index, name in enumerate(names) if name in table.local]
    if binary_at:
        rows = with_hex(rows, binary_at)
    if local_at:
        rows = with_utc(rows, local_at, table.stream)
    if table.arrays:
        at = {index: table.arrays[name] for index, name in enumerate(names) if name in table.arrays}
        rows = with_arrays(rows, at)
    return rows


def _commit(connection: Connection) -> None:
    connection.commit()
