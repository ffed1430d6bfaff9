"""Units of commit in a database: rows, dead letters and the state row in one transaction (DESIGN 5)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from singerkit_shell.errors import LockHeldError, SingerkitError
from singerkit_shell.signals import StopFlag, stop_flag
from singerkit_sql_target import merge, overwriting
from singerkit_sql_target.ahead import Ahead
from singerkit_sql_target.begun import Begun, Noted
from singerkit_sql_target.beside import Beside
from singerkit_sql_target.dialect import ORDER, Dialect, Field, OutcomeUnknown, Session
from singerkit_sql_target.fitting import Fitting
from singerkit_sql_target.history import Histories
from singerkit_sql_target.incoming import Incoming
from singerkit_sql_target.judging import Sets
from singerkit_sql_target.keyless import told_of_keyless
from singerkit_sql_target.letters import Letter, Letters
from singerkit_sql_target.lists import Lists
from singerkit_sql_target.loads import LOADS, has_versions
from singerkit_sql_target.names import Places, check_alone, place_of
from singerkit_sql_target.newest import told_of_older
from singerkit_sql_target.partial import mark_if_partial, told_of_partial
from singerkit_sql_target.rejects import REJECTS, RejectTable, Writer
from singerkit_sql_target.replacing import Replacing
from singerkit_sql_target.runtable import RUNS, RunTable, runs_in
from singerkit_sql_target.settings import Settings, unmet, with_former
from singerkit_sql_target.stage import Part, Position, Stage
from singerkit_sql_target.states import HISTORY, TABLE, StateRow, StateTable
from singerkit_sql_target.tables import Table, check_key, columns_of, fit_table, holds_rows, holds_values
from singerkit_sql_target.versions import Others, Versions
from singerkit_state.lineage import WaysOut
from singerkit_state.runids import new_run_id
from singerkit_state.runs import Run, with_killed
from singerkit_target.contract import Asked, Edit, SafePoint
from singerkit_target.held import HeldLog
from singerkit_target.outcomes import Outcome, Outcomes
from singerkit_target.overwriting import interrupted_streams
from singerkit_target.pastruns import AskedRuns
from singerkit_target.siblings import Siblings, check_no_history
from singerkit_wire.batch import Batch, Reject
from singerkit_wire.blocks import BlockDecoder
from singerkit_wire.messages import Run as RunOfRecords
from singerkit_wire.stream import DELETED_AT, Stream
from singerkit_wire.wirecolumns import WireColumns

__all__ = ["SqlLoader"]

_T = TypeVar("_T")

_GOING_SECONDS = 3.0
"""How long the start of a run waits for who has the store: a tap that reads its state, a run that is ending."""
_LOOK_AGAIN_SECONDS = 0.05
_ENOUGH_ROWS = 100_000
"""A commit beside the rows behind it is worth its own cost from so many on."""
_ENOUGH_OF_STORED = 1 / 8
"""And from this part of the rows on that are stored."""


_Advanced = tuple[StateRow, Noted, Outcomes]
"""What the row of the state says behind a commit, what is noted there, and what it did to the rows of streams."""


@dataclass
class _UnderWay:
    """A commit in another thread: how many bytes its unit holds, and what it has come to, once it has ended well."""

    held: int
    advanced: _Advanced | None = None


class SqlLoader:
    """The `Loader` of a database.

    What waits for its unit is in a stage of the session; `commit` applies it. So everything before `commit` leaves the
    tables as they are, but for columns and tables that were added.

    While a commit is under way in another thread (`begin_commit`), that thread alone has the session, and rows behind it wait in a
    stage of their own, in memory. Whatever needs the session waits for its end first (`_guarded`).
    """

    def __init__(
        self,
        dialect: Dialect,
        settings: Settings,
        log: logging.Logger,
        *,
        ways: Callable[[str], WaysOut],
        stop: StopFlag = stop_flag,
    ) -> None:
        self.domain = dialect.domain
        self.abilities = replace(
            dialect.abilities,
            keys=settings.keying.fields,
            appends=settings.appends,
            newest_by=settings.newest_by.of,
            overwrites=settings.overwrites,
            replaces=settings.replaces,
            lacks_versions=settings.lacks_versions,
            deletes=settings.deletes_marked,
            reads_texts=True,
        )
        self.doubts: list[str] = []
        self._began_with: str | None = None
        self.outcomes = Outcomes()
        self._dialect, self._settings, self._log = dialect, settings, log
        self._ways, self._stop = ways, stop
        self.run_id = new_run_id()
        self._runs = RunTable(dialect, settings.schema)
        self._sets = Sets(dialect, settings)
        self.judge_sets = self._sets.ask
        self._writer = Writer(self.run_id)
        self._replayed: list[str] = []  # statements that remove the letters of the unit in hand
        self._states = StateTable(dialect, settings.schema)
        self._rejects = RejectTable(dialect, settings.schema)
        self._unit_log = HeldLog(log)  # what tells of the unit that is committed
        self._versions = Versions(dialect, settings, self._unit_log, (settings.schema, TABLE))
        self._replacing = Replacing(dialect, settings)
        self._incoming = Incoming(settings, self._versions)
        self._places = Places(settings, dialect, (TABLE, HISTORY, REJECTS, LOADS, RUNS))
        self._lists = Lists(dialect, settings, log)
        self._histories = Histories(dialect, settings, self._unit_log)
        self._stage = Stage()
        self._ahead = Ahead(dialect.encode_ahead, log, stop)
        self._tables: dict[str, Table] = {}
        self._named: dict[str, Stream] = {}  # what former SCHEMAs of the run have named
        self._open: Session | None = None
        self._run: Begun[StateRow] | None = None
        self._safe: tuple[SafePoint, Position] | None = None
        self._beside = Beside()
        self._under_way: _UnderWay | None = None
        self._stored: dict[str, int] = {}
        self._enough: float = _ENOUGH_ROWS

    # --- the run -------------------------------------------------------------------------------------------

    def open(self) -> None:
        """See that the store can be opened and written."""
        self._open = self._connect()
        self._guarded(self._states.ensure, "preparing the state table")

    def give_way(self) -> None:
        if self._dialect.one_writer:
            self._leave()

    def begin(self, pipeline: str) -> str | None:
        """Begin a new epoch of the pipeline; return the state it has committed."""
        row = self._guarded(
            lambda session: self._states.acquire(session, pipeline, self.run_id),
            f"beginning a run of the pipeline `{pipeline}`",
        )
        self._run = Begun.with_row(row)
        self._histories.interrupted = interrupted_streams(row.state_text)
        self._began_with = row.state_text
        return row.state_text

    @property
    def set_aside_in(self) -> str:
        return f"the table {self._settings.schema}.{REJECTS}"

    def expect_rows_of(self, pipelines: Collection[str]) -> None:
        states = self._guarded(self._states.texts, "reading the states of the other shards")
        self._run = self._begun.beside(states[name] for name in pipelines if name in states)

    def pipelines(self, *, with_state: bool = False) -> Sequence[str]:
        return self._guarded(
            partial(self._states.pipelines, with_state=with_state), "reading the names of the pipelines"
        )

    def was_former(self, value: Any) -> bool:
        return self._begun.was_former(value)

    def expect_gone_rows(self, *, always: bool = False) -> None:
        self._run = self._begun.starting_over(always=always)

    def change_state(self, edit: Edit, why: str, *, as_it_is: bool = False) -> str | None:
        """Replace the state in the row, in a transaction of its own."""
        pipeline = self._row.pipeline
        changed = self._guarded(
            lambda session: self._states.change(session, pipeline, edit, why, as_it_is=as_it_is),
            f"changing the state ({why})",
        )
        return changed.state_text

    @property
    def sequence(self) -> int | None:
        return None if self._run is None else self._row.sequence

    def begin_run(self, run: Run, keep_days: float) -> None:
        """Note a run in the table of runs, which is made with the first."""
        self._note_run(run, self._runs.beginning(run, keep_days))

    def end_run(self, run: Run) -> None:
        """Note what it has come to; the session is left as it was found."""
        was_open = self._open is not None
        self._note_run(run, self._runs.ending(run))
        if not was_open:
            self._leave()

    def past_runs(self, asked: AskedRuns) -> Sequence[Run]:
        found = runs_in(self._dialect.read_only(self._runs.reading(asked)))
        # Where one process has the store at a time, nobody is at work in one that can be read.
        return with_killed(found, lambda _run: not self._dialect.one_writer)

    def _note_run(self, run: Run, statements: Sequence[str]) -> None:
        def note(session: Session) -> None:
            with session.transaction():
                for statement in (self._runs.making(), *statements):
                    session.execute(statement)

        self._beside.wait()
        self._run_job(note, f"noting the run {run.id}")

    def close(self) -> None:
        """Leave the store; what was not committed was never in it."""
        self._ahead.close()
        self._beside.wait()
        self._leave()
        self._stage.forget()

    # --- rows before their turn ------------------------------------------------------------------------------

    def ask_ahead(self, decoder: BlockDecoder, run: RunOfRecords) -> Asked | None:
        table = self._tables.get(run.stream)
        if table is None or self._incoming.looks_at_rows(table):
            return None
        return self._ahead.ask(decoder, table.fields(decoder.columns), run)

    # --- writing -------------------------------------------------------------------------------------------

    def lists_of(self, stream: str, keys: Sequence[str], named: Sequence[str]) -> Mapping[str, bool]:
        look = partial(self._lists.of, stream=stream, keys=keys, named=named)
        return self._guarded(look, f"looking for tables of lists of stream `{stream}`")

    def declare(self, stream: Stream) -> Stream:
        """Fit the table to the stream, in transactions of its own; rows that wait keep the shape they came in."""
        former = self._tables.get(stream.name)
        if former is not None:
            self._named[stream.name] = with_former(self._named.get(stream.name), former.given)
        self._places.take(stream.name)
        start_over = self._ways(self._row.pipeline).start_over(stream.lists_of or stream.name)
        # What is gone of an overwritten one comes again with the whole load.
        is_begun = former is None and not (self._settings.overwrites(stream.name) or stream.is_unnamed)

        def fit(session: Session) -> Table:
            if former is None:
                self._look_around(session, stream, start_over)
            return fit_table(
                session,
                self._dialect,
                stream,
                self._settings,
                self._log,
                start_over,
                former=former,
                waiting=self._stage.types(stream.name),
                change_waiting=partial(self._stage.change, session, stream.name),
                must_hold=is_begun and self._begun.must_hold(stream.name, stream.lists_of),
                doubts=self.doubts
                if is_begun and self._begun.should_hold(stream.name, stream.lists_of)
                else None,
            )

        table = self._guarded(fit, f"preparing the table of stream `{stream.name}`")
        self._tables[stream.name] = table
        self.outcomes.note_columns(stream.name, table.added)
        return table.given

    def _look_around(self, session: Session, stream: Stream, start_over: str) -> None:
        """See who else loads the table of a stream, and whether its rows are in another one."""
        if (others := self._others(session, stream.name)).names:
            others.tell(stream.name, self._settings, self._log)
        place = place_of(stream.name, self._settings, self._dialect)
        check_alone(
            stream.name,
            self._states.streams_in(self._row, place),
            ".".join(place),
            self._ways(self._row.pipeline),
        )
        before = self._states.place_of(self._row, stream.name)
        fitting = Fitting(self._dialect, self._settings, self._log, stream, start_over)
        if before not in (None, (fitting.schema, fitting.name)) and session.inspect(*before) is not None:
            fitting.tell_moved(before, must_hold=self._begun.must_hold(stream.name, stream.lists_of))

    def _others(self, session: Session, stream: str) -> Others:
        place = place_of(stream, self._settings, self._dialect)
        names = self._states.others_with(session, self._row.pipeline, place)
        return Others(names, self._ways(self._row.pipeline).start_over_as)

    def write(self, stream: Stream, batch: Batch) -> None:
        """Put a batch into the stage."""
        table = self._tables[stream.name]
        batch = self._incoming.whole(table, batch)
        self._incoming.tells_of_deletions(table, batch)
        size = 0 if batch.run is None else batch.run.size
        self._put(
            stream.name, table.fields(batch.columns), batch.by_column, size, table.history or table.keys
        )

    def _put(
        self,
        stream: str,
        fields: Sequence[Field],
        rows: WireColumns,
        size: int,
        keys: tuple[str, ...] = (),
    ) -> None:
        doing = f"staging rows of `{stream}`"
        self._behind_rows(
            lambda session: self._stage.append(session, stream, fields, rows, size, keys), doing
        )
        if self._stage.is_full(0 if self._under_way is None else self._under_way.held):
            self._guarded(self._flush_if_full, doing)

    def _behind_rows(self, job: Callable[[Session], None], doing: str) -> None:
        """Put something behind the rows that wait; what a commit that is under way works on is not touched."""
        if self._open is None:
            self._guarded(lambda _session: None, doing)
        self._run_job(job, doing)

    def _flush_if_full(self, session: Session) -> None:
        if self._stage.is_full():
            self._stage.flush(session)

    def reject(self, rejects: Sequence[Reject]) -> None:
        """Put refused records behind the rows that wait; they go into their table with them."""
        streams = {name: table.given for name, table in self._tables.items()}
        rows = self._rejects.rows(self._row.pipeline, self._writer, rejects, streams)
        self._put(REJECTS, self._rejects.fields, WireColumns(rows), sum(len(one.record) for one in rejects))

    # --- dead letters ---------------------------------------------------------------------------------------

    @property
    def letters(self) -> Letters:
        return Letters(self._dialect, self._settings)

    def ask(self, job: Callable[[Session], _T], doing: str, otherwise: _T) -> _T:
        """Return what ``job`` finds, outside any unit; ``otherwise`` where the store takes no such value."""

        def asked(session: Session) -> _T:
            try:
                return job(session)
            except self._dialect.errors as error:
                if self._dialect.is_refusal(error):
                    return otherwise
                raise

        return self._guarded(asked, doing)

    def replay(self, letter: Letter) -> None:
        """Remove a letter with the unit in hand; if its record is refused again, it keeps when it was first."""
        self._replayed.append(self.letters.removal(letter))
        self._writer = Writer(letter.run_id, letter.rejected_at)

    def activate_version(self, stream: Stream, version: int, siblings: Siblings | None = None) -> None:
        """Behind the rows that wait: rows of other versions go, or are marked; rows without one stay."""
        if self._versions.is_kept(stream.name, version):
            return
        check_no_history(stream.name, siblings, is_kept=bool(self._tables[stream.name].history))
        self._stage.activate(stream.name, self._versions.activated(stream.name, version, siblings))

    def replace(self, stream: Stream, where: Batch | None) -> None:
        """Behind the rows that wait: those that have these values go, or are marked."""
        table = self._tables[stream.name]
        self._replacing.check(table)
        if where is None:
            self._stage.following.add(stream.name)
            return
        mark = None if self._settings.hard_delete else table.columns[DELETED_AT]
        self._behind_rows(
            lambda session: self._stage.remove(
                session, stream.name, table.fields(where.columns), where.wire_rows[0], table.keys, mark
            ),
            f"staging what replaces rows of `{stream.name}`",
        )

    def overwrite(self, stream: Stream, *, removes: bool) -> None:
        """Behind the rows that wait."""
        self._stage.overwrite(stream.name, removes=removes)

    # --- units of commit -----------------------------------------------------------------------------------

    def mark_safe(self, point: SafePoint) -> None:
        self._safe = point, self._stage.position()

    def back_to_safe(self) -> SafePoint | None:
        """Give up what came after the last safe point; None when there is none since the last commit."""
        if self._safe is None or self._beside.has_failed:
            return None
        point, position = self._safe
        self._guarded(lambda session: self._stage.back_to(session, position), "going back to a safe point")
        return point

    def rollback(self) -> None:
        self._safe = None
        self._replayed.clear()
        self._beside.wait()
        if self._open is not None:
            self._run_job(self._stage.clear, "rolling back")

    def settle(self) -> Mapping[str, int]:
        """What the store cannot hold was refused when it was decoded."""
        return {}

    def commit(self, state: str | None) -> None:
        """Apply what waits and advance the state row in one transaction: all of it or nothing."""
        self.end_commit()
        self._advance(self._committed(self._stage, self._row, state))
        self._safe = None
        self._replayed.clear()
        self._stored.clear()

    def begin_commit(self, state: str | None) -> None:
        """Have the same done in another thread, where the dialect says that it works beside this one."""
        if not self._dialect.works_beside:
            self.commit(state)
            return
        self.end_commit()
        self._under_way = under_way = _UnderWay(self._stage.held)
        unit, row = self._stage, self._row
        self._stage, self._safe = Stage(), None
        self._stored.clear()

        def job() -> None:
            under_way.advanced = self._committed(unit, row, state)

        self._beside.start(job)

    def is_committing(self) -> bool:
        return self._beside.is_busy

    def end_commit(self) -> None:
        """Wait for the commit that is under way; when it has failed what waits behind it is not committed either, ever."""
        self._beside.end()
        if self._under_way is not None:
            assert self._under_way.advanced is not None  # noqa: S101  it has ended, and raised nothing
            self._advance(self._under_way.advanced)
            self._under_way = None

    def _advance(self, advanced: _Advanced) -> None:
        row, noted, outcomes = advanced
        self._run = self._begun.at(row, noted)
        self.outcomes.add(outcomes)
        self._unit_log.say(self._unit_log.take())

    def is_enough(self, rows: int) -> bool:
        """Whether ``rows`` that wait are worth a commit beside those that come behind them.

        Tables with a key are looked through at each commit, so it is not made for a small part of what they hold. Where the commit before takes long
        it is waited for: many rows behind it would be committed with nothing beside.
        """
        if not self._dialect.works_beside:
            return False
        if self.is_committing():
            return rows >= 2 * self._enough
        if rows < _ENOUGH_ROWS:
            return False
        stored = self._guarded(self._rows_stored, "counting rows")
        self._enough = max(_ENOUGH_ROWS, stored * _ENOUGH_OF_STORED)
        return rows >= self._enough

    def _rows_stored(self, session: Session) -> int:
        """How many rows the tables have that rows which wait are looked for in."""
        keyed = {stream for stream, part in self._stage if isinstance(part, Part) and part.keys}
        for stream in keyed - self._stored.keys():
            [(self._stored[stream],)] = session.execute(f"SELECT count(*) FROM {self._tables[stream].quoted}")
        return sum(self._stored[stream] for stream in keyed)

    def _committed(self, unit: Stage, row: StateRow, state: str | None) -> _Advanced:
        """Commit a unit behind what ``row`` says."""
        advanced: list[_Advanced] = []
        outcomes = Outcomes()

        def apply(session: Session) -> None:
            emptied = unit.activated() | unit.replaced()
            unit.offer(session, self._is_read_twice)
            self._histories.prepare(session, self._tables.values())
            with session.transaction():
                # The fence comes first: who is no longer the pipeline's run changes nothing.
                fenced = self._states.advance(session, row, state)
                for statement in self._replayed:
                    session.execute(statement)
                loads = overwriting.begin(
                    session, self._dialect, self._tables, unit, self._settings, outcomes
                )
                emptied |= loads.keys()
                emptied |= {table.stream for table in overwriting.elements_of(self._tables, loads)}
                by: dict[str, tuple[str, ...]] = {}
                for stream, part in unit:
                    if isinstance(part, Part) and by.setdefault(stream, part.keys) != part.keys:
                        by[stream] = part.keys
                        check_key(session, self._dialect, self._tables[stream], self._tables[stream].keys)
                    try:
                        if self._apply(session, stream, part, outcomes):
                            emptied.add(stream)
                    except self._dialect.errors as error:
                        raise self._dialect.error(error, f"storing rows of stream `{stream}`") from error
                self._follow(session, unit, outcomes)
                overwriting.end(session, self._dialect, self._tables, loads, outcomes)
                self._sets.judge(session, self._begun.row.pipeline)
                look = partial(_holding_rows, session)
                noted = self._begun.noted(self._tables, emptied, look)
                places = {table.stream: (table.schema, table.name) for table in self._tables.values()}
                said = self._states.note_loaded(session, fenced, noted.loaded, places)
                advanced.append((said, noted, outcomes))

        def apply_surely(session: Session) -> None:
            try:
                apply(session)
            except OutcomeUnknown:
                if not self._was_committed(unit, advanced[0][0]):
                    raise

        self._run_job(apply_surely, "committing")
        self._run_job(unit.clear, "emptying the stage")
        return advanced[0]

    def _is_read_twice(self, stream: str) -> bool:
        table = self._tables.get(stream)
        return self._settings.replaces(stream) or (table is not None and table.given.lists_of is not None)

    def _apply(self, session: Session, stream: str, part: Any, outcomes: Outcomes) -> bool:
        """Put a part into its table; True: records of it have said that their rows are gone, and those are deleted."""
        if stream == REJECTS:
            self._rejects.ensure(session)
            self._rejects.insert(session, part.source)
            return False
        table = self._tables[stream]
        if table.given.is_unnamed and not isinstance(part, Part):
            return False  # at the end of the unit
        if table.history:
            outcomes.note(stream, self._keep(session, table, part))
            return False
        if not isinstance(part, Part):
            removed = self._versions.apply(session, table, part, self._others(session, stream))
            outcomes.note(stream, Outcome(deleted=removed))
            return False
        columns = columns_of(part.fields, self._dialect)
        if part.removes:
            which = _found_in(session, table, part.source, columns)
            outcomes.note(stream, Outcome(deleted=self._replacing.apply(session, table, which)))
            return False
        self._replace(session, table, part, outcomes)
        if not part.keys:
            new = session.written(merge.insert(table.quoted, part.source, columns))
            outcomes.note(stream, Outcome(new=new))
            return False
        is_of_lists = table.given.lists_of is not None
        gone = self._gone(session, part, is_of_lists=is_of_lists)
        newest = None if table.newest is None else table.newest.among(columns)
        keys = [self._dialect.quote(key) for key in part.keys]
        mark = mark_if_partial(table.given, table.columns, [one.name for one in part.fields])
        mark = None if mark is None else self._dialect.quote(mark)
        outcomes.note(stream, session.merge(table.quoted, part.source, columns, keys, gone, newest, mark))
        if gone is not None and is_of_lists:
            behind = session.written(merge.delete_onward(table.quoted, part.source, keys, gone))
            marked = session.written(merge.mark_elements(table.quoted, part.source, keys, gone))
            outcomes.note(stream, Outcome(deleted=behind, changed=marked))
        return gone is not None

    def _replace(self, session: Session, table: Table, part: Part, outcomes: Outcomes) -> None:
        """Take away what goes among the rows of a part: of what is stored, and of what came before it."""
        for fields, removed in part.removed.items():
            columns = columns_of(fields, self._dialect)
            stored = [session.in_full(table.quoted, one, of=table.quoted) for one in columns]
            gone = self._replacing.apply(session, table, _is_in(removed, zip(stored, columns, strict=True)))
            outcomes.note(table.stream, Outcome(deleted=gone))
            waiting = ((f"{part.source}.{one}", one) for one in columns)
            came_before = _is_in(removed, waiting, f" AND {part.source}.{ORDER} < given.{ORDER}")
            session.execute(self._replacing.of_waiting(table, part.source, came_before))

    def _follow(self, session: Session, unit: Stage, outcomes: Outcomes) -> None:
        """Have elements go with records that went with their version, or in whose place others are."""
        unnamed = {name for name in unit.activated() if self._tables[name].given.is_unnamed}
        for streams, follow in ((unnamed, self._versions.follow), (unit.following, self._replacing.follow)):
            for table in map(self._tables.__getitem__, streams):
                if table.given.lists_of is not None:
                    gone = follow(session, table, self._tables[table.given.lists_of])
                    outcomes.note(table.stream, Outcome(deleted=gone))

    def _keep(self, session: Session, table: Table, part: Any) -> Outcome:
        """Put a part into the history of a stream."""
        if isinstance(part, Part):
            return self._histories.merge(session, table, part)
        others = self._others(session, table.stream)
        if has_versions(table):
            return self._histories.end_gone(session, table, part, others)
        return Outcome(deleted=self._versions.apply(session, table, part, others))

    def _gone(self, session: Session, part: Part, *, is_of_lists: bool) -> str | None:
        """The column of a part by which rows are to be deleted, where it has a value in any."""
        marks = [
            one
            for one in part.fields
            if one.column.name == DELETED_AT and (self._settings.deletes_marked or is_of_lists)
        ]
        names = columns_of(marks, self._dialect)
        return names[0] if names and holds_values(session, part.source, names[0]) else None

    def _was_committed(self, unit: Stage, advanced: StateRow) -> bool:
        """The answer to COMMIT was lost: the row's sequence number says what happened (FAULTS D2)."""
        self._reconnect()
        unit.forget()
        return self._run_job(
            lambda session: self._states.was_committed(session, advanced),
            "looking whether a unit was committed",
        )

    def recover(self) -> None:
        """Begin anew on a new session; the tables are fitted anew by `declare`."""
        self._beside.wait()
        self._reconnect()
        self._stage.forget()
        self._safe = None
        self._replayed.clear()
        self._run = self._begun.again(self._tables)
        self._tables.clear()

    def unmet(self) -> list[str]:
        """What the config says of streams and columns that the run did not have, what it does not say of those without a key, and how many rows were older."""
        streams = {name: table.given for name, table in self._tables.items()}
        named = {name: with_former(self._named.get(name), given) for name, given in streams.items()}
        return [
            *unmet(self._settings, named),
            *told_of_keyless(self._settings, streams, self._began_with),
            *told_of_older(self.outcomes.known(), self._settings.newest_by),
            *told_of_partial(self.outcomes.known(), self._ways(self._row.pipeline).start_over),
        ]

    # --- the session ---------------------------------------------------------------------------------------

    @property
    def _begun(self) -> Begun[StateRow]:
        if self._run is None:
            raise SingerkitError("A loader was asked of its pipeline before begin(); please report this.")
        return self._run

    @property
    def _row(self) -> StateRow:
        return self._begun.row

    def _connect(self) -> Session:
        """Open a session; wait a moment for whoever has the store for a moment.

        Raises:
            LockHeldError: another run has it.
        """
        deadline = time.monotonic() + _GOING_SECONDS
        while True:
            try:
                return self._dialect.connect()
            except LockHeldError:
                if self._stop or time.monotonic() >= deadline:
                    raise
            self._stop.wait(_LOOK_AGAIN_SECONDS)

    def _reconnect(self) -> None:
        self._leave()
        self._open = self._connect()

    def _leave(self) -> None:
        session, self._open = self._open, None
        if session is not None:
            session.close()

    def _guarded(self, job: Callable[[Session], _T], doing: str) -> _T:
        """Do something with the session, once no commit is under way, as `_run_job`."""
        self.end_commit()
        return self._run_job(job, doing)

    def _run_job(self, job: Callable[[Session], _T], doing: str) -> _T:
        """Do something with the session, opening it where it was left; the driver's errors come out as ours."""
        if self._open is None:
            self._open = self._connect()
        try:
            return job(self._open)
        except OutcomeUnknown as unknown:
            raise self._dialect.error(unknown.error, doing) from unknown
        except self._dialect.errors as error:
            raise self._dialect.error(error, doing) from error


def _is_in(source: str, pairs: Iterable[tuple[str, str]], more: str = "") -> str:
    """The condition that values are those of a row of a source; pairs of what is compared, and the column of the source."""
    same = " AND ".join(f"{own} IS NOT DISTINCT FROM given.{one}" for own, one in pairs)
    return f"EXISTS (SELECT 1 FROM {source} AS given WHERE {same}{more})"


def _found_in(session: Session, table: Table, source: str, columns: Sequence[str]) -> str:
    """The condition that a row of a table has the values of the one row of a source: one by one, so that parts of the table are passed over."""
    [row] = session.execute(f"SELECT {', '.join(columns)} FROM {source}")
    stored = [session.in_full(table.quoted, one, of=table.quoted) for one in columns]
    return " AND ".join(
        f"{own} IS NULL" if value is None else f"{own} = (SELECT {one} FROM {source})"
        for own, one, value in zip(stored, columns, row, strict=True)
    )


def _holding_rows(session: Session, tables: Collection[Table]) -> frozenset[str]:
    return frozenset(table.stream for table in tables if holds_rows(session, table))
