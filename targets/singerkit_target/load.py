"""The commit loop: read blocks, write rows, commit at STATE (DESIGN 5).

A unit of commit is everything received since the last commit up to a STATE, of all streams, plus that STATE.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, zip_longest
from typing import IO, Any, TypeVar

import msgspec

from singerkit_quality.judge import Judge, Verdict
from singerkit_quality.rules import On
from singerkit_shell.configtext import RepeatedKeyError, without_repeats
from singerkit_shell.errors import BadDataError, ConfigurationError, RetryableError, SingerkitError
from singerkit_shell.signals import StopFlag
from singerkit_shell.words import counted
from singerkit_state import statefile
from singerkit_state.edit import has_part
from singerkit_state.lineage import WaysOut, check_start
from singerkit_state.nostate import looks_like
from singerkit_state.value import Mark, before_map, behind_map, decode, encode, is_empty, is_utf8, read_mark
from singerkit_target.along import Along
from singerkit_target.contract import (
    CommitsBeside,
    DecodesAhead,
    GivesWay,
    JudgesSets,
    KeepsLists,
    Loader,
    RowsGone,
    SafePoint,
    TableRemade,
    UnitInTheWay,
    UnitLost,
    check_room,
)
from singerkit_target.divided import Divided, check_set, pipeline_of
from singerkit_target.held import HeldLog
from singerkit_target.logversions import LogVersions
from singerkit_target.lookahead import Begun, Lookahead, Parts
from singerkit_target.mapping import MapOfTarget
from singerkit_target.missing import missing_of
from singerkit_target.overwriting import Overwrites
from singerkit_target.publish import Publisher
from singerkit_target.quality import Quality
from singerkit_target.repeats import Repeats
from singerkit_target.replay import TRIES, UnitInHand, waits
from singerkit_target.runs import Found, RunNotes
from singerkit_target.summary import Counts, Moved, Summary
from singerkit_target.units import in_load_order, segments
from singerkit_target.unnesting import Unnesting
from singerkit_target.versions import Versions
from singerkit_target.warned import Warned
from singerkit_wire.batch import Batch, Letters, Reject
from singerkit_wire.batches import Missing
from singerkit_wire.batchfiles import batch_files
from singerkit_wire.blocks import BlockDecoder, Judgement, MalformedLine
from singerkit_wire.declarations import declared_stream, read_declaration
from singerkit_wire.fit import DoesNotFit
from singerkit_wire.lines import Chunk, has_come, read_chunks
from singerkit_wire.messages import Message, Run, Splitter, as_version, decoded, state_text
from singerkit_wire.replacing import read_replacement
from singerkit_wire.stream import DELETED_AT, Stream

__all__ = ["Limits", "Load", "SchemaMissing"]


class SchemaMissing(BadDataError):
    """A RECORD came before the SCHEMA of its stream."""


@dataclass(frozen=True)
class Limits:
    """When to commit, and how much of anything is admitted. Sizes in bytes, times in seconds; ``whole_run``: once, at the end."""

    commit_rows: int = 500_000
    commit_bytes: int = 256 << 20
    commit_seconds: float = 10.0
    chunk_bytes: int = 1 << 20
    max_line_bytes: int = 64 << 20
    wait_seconds: float = 0.5
    max_rejects: int = 1000
    replay_bytes: int = 0
    whole_run: bool = False
    commits_early: bool = False
    """Where the target commits beside the rows that come, it says when that is worth while."""


_T = TypeVar("_T")


class _VersionMessage(msgspec.Struct):
    stream: str
    version: msgspec.Raw


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a run, and the records to set aside, in the kinds in which the stream was given when they were decoded.

    ``moved`` counts the values, by field, that stand in a variant; ``verdict``: what the rules of quality have made of the rows.
    """

    verdict: Verdict
    rejects: Sequence[Reject]
    stream: Stream
    moved: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _State:
    """A STATE message with its value, as text and decoded: one that the next run can read, from any place."""

    message: Message
    text: str
    value: Any


_Content = _Rows | _State | None
"""What `_decode` finds in a part of the input, before anything of its segment is taken."""


@dataclass
class _Unit:
    """What has been written since the last commit."""

    rows: int = 0
    size: int = 0
    has_tables: bool = False
    has_removals: bool = False
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class _Told:
    """What is to be told of a unit once it is committed: its state, the counts up to it, and lines of the log."""

    state: str | None
    counts: Counts
    said: Sequence[logging.LogRecord]


class Load:
    """One run of a target over one input."""

    def __init__(
        self,
        loader: Loader,
        judgement: Judgement,
        limits: Limits,
        publisher: Publisher,
        stop: StopFlag,
        log: logging.Logger,
        *,
        pipeline: str | None = None,
        always_exact: bool = False,
        missing_fields: str | None = None,
        accepts_gone_rows: bool = False,
        ends_with_state: bool = False,
        ways: Callable[[str], WaysOut] = lambda _pipeline: WaysOut(("TARGET",)),
        mapping: MapOfTarget | None = None,
        unnesting: Unnesting | None = None,
        notes: RunNotes | None = None,
        unmet: Callable[[], Sequence[str]] = tuple,
        judge: Judge | None = None,
    ) -> None:
        self._judge = judge
        if judge is not None:
            judge.stores_nothing_for_missing = loader.abilities.is_log
        self._quality = Quality(judge)
        self._notes = notes or RunNotes.none()
        self._unmet = unmet
        self._ways = ways
        self._mapping = mapping or MapOfTarget(None, log)
        self._unnesting = unnesting or Unnesting(lambda _stream: None, log)
        self._unnesting.missing_is_null = lambda stream: self._missing(stream) is Missing.NULL
        self._unnesting.keys = loader.abilities.keys
        if isinstance(loader, KeepsLists):
            self._unnesting.lists = partial(self._lists_of, loader)
        self._loader = loader
        # A unit that may have to be written again is committed before the next one begins.
        self._beside = loader if isinstance(loader, CommitsBeside) and not limits.replay_bytes else None
        self._under_way: _Told | None = None
        # What a map looks at is decoded in its turn.
        ahead = loader if isinstance(loader, DecodesAhead) and self._mapping.is_empty else None
        self._lookahead = Lookahead(ahead, lambda: self._decoders)
        self._abilities = loader.abilities
        self._judgement = judgement
        self._missing_fields = missing_fields
        self._accepts_gone_rows = accepts_gone_rows
        self._ends_with_state = ends_with_state
        self._limits = limits
        self._publisher = publisher
        self._stop = stop
        self._log = log
        self._unit_log = HeldLog(log)
        self._pipeline = pipeline
        self._always_exact = always_exact
        self._splitter = Splitter()
        self._decoders: dict[str, BlockDecoder] = {}
        self._declared: dict[str, bytes] = {}
        self._point = (
            SafePoint()
        )  # the last STATE; its rows may still be refused until the loader has committed them
        self._committed_state: str | None = None
        self._mark: Mark | None = None
        self._rows_after_state = False
        self._version_after_state = self._replaced_after_state = False
        self._ends_empty = False
        self._last_value: Any = None
        self._stored: Any = None
        self._begun = False
        self._pipeline_name, self._divided = "", Divided("", None)
        self._unit = _Unit()
        self._in_hand = UnitInHand(limits.replay_bytes)
        self._versions = Versions()
        self._warned: set[str] = set()
        self._repeats = Repeats(
            lambda sentence, stream: self._warn_once(sentence, f"again {stream}"), self._way_to_start_over
        )
        self._overwrites = Overwrites(
            self._abilities.overwrites,
            self._abilities.replaces,
            lambda sentence, stream: self._warn_once(sentence, f"overwritten {stream}"),
            self._way_to_start_over,
        )
        self._log_versions = LogVersions(self._abilities.lacks_versions)
        self.summary = Summary()
        self._along = Along(log)

    # --- the run -------------------------------------------------------------------------------------------

    def run(self, source: IO[Any]) -> Summary:
        """Load everything in ``source``.

        Raises:
            BadDataError: the input is malformed, cut short or invalid; the safe part is committed.
            Stopped: a signal came; the safe part is committed.
            RetryableError, ConfigurationError: as the target says; nothing uncommitted is kept.
        """
        warned = Warned(self._log)
        try:
            with self._notes.ending(partial(self._found, warned), self._whose), warned:
                self._run(source)
        finally:
            self._loader.close()
            if self.summary.received or self.summary.commits:
                self.summary.log(
                    self._log,
                    self._loader.set_aside_in,
                    self._stored,
                    self._committed_value,
                    self._loader.outcomes,
                )
            warned.tell(self.summary.seconds())
        return self.summary

    def _run(self, source: IO[Any]) -> None:
        try:
            self._loader.open()
            if isinstance(self._loader, GivesWay) and not has_come(source):
                self._loader.give_way()
            self._notes.is_open = True
            try:
                self._read(source)
                self._finish()
            finally:  # whatever has happened meanwhile, the commit comes first
                self._end_commit()
                for sentence in self._mapping.nulls():
                    self._log.warning("%s", sentence)
            for sentence in [*self._unmet(), *self._mapping.unmet(), *self._quality.unmet()]:
                self._log.warning("%s", sentence)
        except BadDataError as error:
            self._quality.see(error)
            self._keep_safe_part()
            raise BadDataError(
                f"{error} {self._rows_are()} committed, up to the last STATE before it."
            ) from error
        except SingerkitError:
            self._loader.rollback()
            if self._stop.count > 1:
                self._stop.raise_if_set(self._committed_so_far())
            raise

    @property
    def _committed_value(self) -> Any:
        return None if self._committed_state is None else decode(self._committed_state)

    def _found(self, warned: Warned) -> Found:
        after = self._stored if self._committed_state is None else self._committed_value
        return Found(
            self.summary,
            self._stored,
            after,
            list(self._decoders),
            self._loader.outcomes,
            warned.said,
            warned.changes,
            self._quality.told(self.summary.done),
        )

    def _whose(self) -> str:
        """The pipeline of a run that has not come to hold one."""
        named = self._pipeline or self._pipeline_name
        known = () if named else self._loader.pipelines()
        return named or (known[0] if len(known) == 1 else "default")

    def _read(self, source: IO[Any]) -> None:
        limits = self._limits
        chunks = read_chunks(
            source,
            chunk_bytes=limits.chunk_bytes,
            max_line_bytes=limits.max_line_bytes,
            wait_seconds=limits.wait_seconds,
            stop=self._stop,
        )
        full = limits.chunk_bytes // 2
        for begun in self._lookahead.chunks(chunks, self._parts, full=full):
            self._load_chunk(begun)
            if self._stop:
                break
            if len(begun.chunk.data) < full or not self._is_committing:
                self._end_commit()  # nothing better is to be done, or it has ended
            self._commit_if_due()
            del begun  # which may be one line of many megabytes, and the next one is read now

    def _load_chunk(self, begun: Begun) -> None:
        try:
            # The STATE from which the tap goes on is none that a later one covers.
            due = segments(begun.parts, lambda: not self._begun or bool(self._versions.due(self._decoders)))
            for segment in self._unnesting.segments(due):
                self._handle_segment(segment)
                if self._stop.count > 1:
                    break
        except MalformedLine as error:
            raise error.at(begun.chunk) from None
        if begun.problem is not None and not self._stop:
            raise begun.problem

    def _parts(self, chunk: Chunk) -> Parts:
        """Return what stands before the first malformed line of a chunk, and what is wrong with that line."""
        parts: list[Run | Message] = []
        if chunk.is_cut and not _is_json(chunk.data):
            return parts, BadDataError(
                f"The input ended in the middle of a message (line {chunk.first_line}); run the tap again."
            )
        try:
            parts.extend(self._mapping.parts(self._splitter.split(chunk)))
        except BadDataError as error:
            return parts, error
        return parts, None

    def _handle_segment(self, segment: Sequence[Run | Message]) -> None:
        """Load a segment with its runs joined; one by one when a record is bad, to keep what stands before it."""
        try:
            decoded_parts = [
                (part, self._surviving(partial(self._decode, part))) for part in in_load_order(segment)
            ]
        except BadDataError:
            if len(segment) == 1:
                raise
            for part in segment:
                self._handle(part, self._surviving(partial(self._decode, part)))
            return
        for (part, content), after in zip_longest(decoded_parts, [part for part, _ in decoded_parts[1:]]):
            self._handle(part, content, after)

    def _handle(self, part: Run | Message, content: _Content, after: Run | Message | None = None) -> None:
        """Take a part, and commit at a STATE, unless another is to come ``after`` it, which covers the same rows.

        Where rules of all rows are judged with the last unit, whether one was the last shows when something comes behind it.
        """
        if self._quality.holds_last and not _is_state(part):
            self._commit_if_due(behind=True)
        self._surviving(lambda: self._take(part, content))
        self._in_hand.add(part)
        if _is_state(part) and not _is_state(after):
            self._commit_if_due()

    def _take(self, part: Run | Message, content: _Content) -> None:
        if isinstance(content, _State):
            self._take_state(content)
            return
        if isinstance(part, Run):
            assert content is not None  # noqa: S101  decoded, as every run
            if content.stream is not self._decoders[part.stream].stream:
                # The stream was declared anew meanwhile, and its columns may want their values in other kinds.
                self._take(part, self._decode(part))
            else:
                self._write(part, content)
            return
        match part.type:
            case "SCHEMA":
                self._declare(part)
            case "ACTIVATE_VERSION":
                self._versions.wait(*_version_of(part))
                self._version_after_state = True
            case "REPLACE":
                self._replace(part)
            case "BATCH":
                self._take_batch(part)
            case _ if isinstance(part, Letters):
                self._take_letters(part)
            case _:
                self._warn_once(
                    f"Unknown message type `{part.type[:40]}` at line {part.number}: skipped.", part.type
                )

    def _take_batch(self, message: Message) -> None:
        limits = self._limits
        for file in batch_files(message):
            set_aside = self.summary.rejected.total()
            runs = file.runs(
                chunk_bytes=limits.chunk_bytes, max_line_bytes=limits.max_line_bytes, stop=self._stop
            )
            try:
                for made in self._mapping.runs(runs):
                    for part in [made] if isinstance(made, Message) else self._unnesting.parts([made]):
                        self._take(part, self._decode(part))
            except BadDataError as error:
                raise file.in_it(error) from None
            if self.summary.rejected.total() > set_aside:
                self._unit_log.warning(
                    "Records of the batch file `%s` were set aside: their line numbers are those of that file.",
                    file.name,
                )

    def _take_letters(self, letters: Letters) -> None:
        """Set aside what the map has set aside: as of records that are decoded, in the unit that is being written."""
        stream = self._decoders[letters.rejects[0].stream].stream
        self._unit.rows += len(letters.rejects)
        self._rows_after_state = True
        self._set_aside(stream, letters.rejects)

    def _warn_once(self, text: str, about: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            self._log.warning("%s", text)

    def _begin(self, start: Any, mark: Mark | None) -> None:
        """At the first message: ``start`` and ``mark`` are those of its STATE, if it is one."""
        if self._begun:
            return
        self._mark = mark
        pipeline = pipeline_of(self._pipeline, mark)
        if "\x00" in pipeline or not is_utf8(pipeline):
            raise BadDataError(
                "Expected a name of the pipeline that can be stored, got one with NUL or a lone surrogate."
            )
        if mark is not None and mark.pipeline != pipeline and self._publisher.state_file is not None:
            raise ConfigurationError(
                f"The tap sends the state of the pipeline `{mark.pipeline}`, and `pipeline` in the config is `{pipeline}`: the "
                f"next run would refuse the state file {self._publisher.state_file} for it; nothing was written. Give both "
                "one `pipeline`, or leave it out here."
            )
        self._pipeline_name, self._divided = pipeline, Divided(pipeline, mark)
        stored = self._loader.begin(pipeline)
        self._begun = True
        self._notes.begin(pipeline)
        if stored is None:
            check_set(pipeline, self._loader.pipelines(with_state=True), self._ways(pipeline))
        self._stored = None if stored is None else decode(stored)
        self._mapping.check(self._stored, start)
        goes_on_from, had = behind_map(start), behind_map(self._stored)
        self._repeats.begin(goes_on_from, had)
        self._overwrites.begin(goes_on_from if mark else had)
        self._log_versions.take_state(goes_on_from if mark else had)
        loader = self._loader
        if others := self._divided.others_in(self._loader):
            self._loader.expect_rows_of(others)
        starts_over = check_start(
            pipeline, stored, start, mark, self._publisher, loader.was_former, self._ways(pipeline), self._log
        )
        if starts_over or self._accepts_gone_rows:
            loader.expect_gone_rows(always=self._accepts_gone_rows)

    # --- a unit that was lost ------------------------------------------------------------------------------

    def _surviving(self, write: Callable[[], _T]) -> _T:
        """Call ``write``; when the unit in hand is lost meanwhile, begin it anew and call it again.

        Raises:
            UnitLost: the unit is no longer held, or was lost again and again.
        """
        attempt = write
        for pause in islice(waits(), TRIES):
            try:
                return attempt()
            except UnitLost as error:
                if not self._begun or not self._in_hand.is_whole:
                    raise
                self._log.warning(
                    "%s; the unit in hand is written again, and the run goes on.", error.finding
                )
            self._stop.wait(pause)
            self._stop.raise_if_set(self._committed_so_far())
            attempt = partial(self._begin_again, write)
        return attempt()

    def _begin_again(self, then: Callable[[], _T]) -> _T:
        self._loader.recover()
        self.summary.begin_again()
        self._unit_log.back_to()
        self._unit = _Unit(started=self._unit.started)
        self._overwrites.begin_again()
        self._point = SafePoint(self._committed_state)
        self._declare_as_before()
        for part in self._in_hand.parts:
            self._take(part, self._decode(part))
        return then()

    def _declare_as_before(self) -> None:
        """Bring the streams back to what they were when the unit began; their tables have gone back too."""
        before = self._in_hand
        self._declared = dict(before.declared)
        self._versions = before.versions.copy()
        self._decoders = {name: self._decoders[name] for name in before.streams}
        for name, stream in before.streams.items():
            # Another one where others have altered the table meanwhile.
            self._decoders[name].back_to(self._given(stream))

    # --- messages ------------------------------------------------------------------------------------------

    def _declare(self, part: Message) -> None:
        self._begin(None, None)
        declaration = read_declaration(part)
        if self._declared.get(declaration.stream) == declaration.fingerprint:
            return
        stream = declared_stream(
            declaration,
            part.number,
            keeps_text=self._abilities.is_log,
            max_columns=self._loader.domain.columns,
            key=self._abilities.keys(declaration.stream),
        )
        if self._judge is not None:
            self._judge.declare(stream)
        overwrites, replaces = self._overwrites.of(stream.name), self._overwrites.replaces(stream.name)
        self._divided.check_load(stream.name, self._abilities, overwrites=overwrites, replaces=replaces)
        self._overwrites.declare(stream.name, marks_its_end=self._marks_its_end)
        stream = self._given(replace(stream, said=bytes(part.line)))
        self._unnesting.see_columns(stream)
        if self._mark is not None and self._abilities.appends(stream.name):
            tells_changes = (
                bool(declaration.bookmark_properties)
                or declaration.goes_on is True
                or DELETED_AT in stream.column_names
            )
            self._repeats.declare(stream, is_incremental=tells_changes)
        self._unit.has_tables = True
        self._declared[stream.name] = declaration.fingerprint
        self._decoders[stream.name] = BlockDecoder(
            stream,
            replace(
                self._judgement,
                missing=self._missing(stream.name),
                domain=self._loader.domain,
                reads_texts=self._abilities.reads_texts,
                sets_aside=self._judge is not None and self._judge.sets_aside(stream.name),
            ),
            lambda one: self._or_give_way(partial(self._loader.declare, one)),
            self._log,
            always_exact=self._always_exact,
            look=None if self._judge is None else self._judge.look(stream.name),
        )

    def _lists_of(self, loader: KeepsLists, *asked: Any) -> Mapping[str, bool]:
        self._begin(None, None)
        return self._surviving(partial(loader.lists_of, *asked))

    def _missing(self, stream: str) -> Missing:
        return missing_of(self._missing_fields, self._abilities, stream, is_ours=self._mark is not None)

    @property
    def _marks_its_end(self) -> bool:
        """Whether the end of the input is known to be that of a run which is complete."""
        return self._mark is not None or self._ends_with_state

    def _given(self, stream: Stream) -> Stream:
        """Declare a stream; return it with the kinds in which its values are to be given."""
        try:
            given = self._or_give_way(partial(self._loader.declare, stream))
        except RowsGone as error:
            raise self._with_ways_out(error, stream) from None
        self._tell_doubts(stream.name)
        return given

    def _or_give_way(self, do: Callable[[], _T]) -> _T:
        try:
            return do()
        except UnitInTheWay:
            if self._in_hand.is_whole:
                raise
            return do()

    def _with_ways_out(self, error: RowsGone, stream: Stream) -> RetryableError:
        if isinstance(error, TableRemade):
            return RetryableError(
                f"{error} Nothing of this stream was written: if it has all rows, go on with {self._ways_out().accept()}; "
                f"else {self._reading_anew(stream.name)}; where others make it anew after each run, set "
                '`"rows_gone": "accept"` in the config.'
            )
        return RetryableError(
            f"{error} Nothing of this stream was written: {error.put_back}; or {self._ways_back(stream.name, error)}."
        )

    def _tell_doubts(self, stream: str) -> None:
        for doubt in self._loader.doubts:
            self._warn_once(
                f"{doubt} The saved state does not tell how far this stream was read: if the tap sends only what is new, "
                f"those rows do not come again. Then put them back; or {self._ways_back(stream, RowsGone())}.",
                doubt,
            )
        self._loader.doubts.clear()

    def _ways_back(self, stream: str, error: RowsGone) -> str:
        each_run = (
            ""
            if error.each_run is None
            else f', or {error.each_run} with `"rows_gone": "accept"` in the config'
        )
        return f"{error.before_anew}{self._reading_anew(stream)}; or {error.go_on} with {self._ways_out().accept()}{each_run}"

    def _reading_anew(self, stream: str) -> str:
        stream = before_map(self._stored, self._unnesting.owner(stream))
        is_apart = has_part(self._stored, stream)
        return (
            f"read {'the stream' if is_apart else 'everything'} from the beginning with "
            f"{self._ways_out().start_over(stream if is_apart else None)}{self._divided.likewise(stream)}"
        )

    def _ways_out(self) -> WaysOut:
        return replace(self._ways(self._pipeline_name), state_file=self._publisher.state_file)

    def _way_to_start_over(self, stream: str) -> str:
        return self._ways_out().start_over(before_map(self._stored, stream))

    def _take_state(self, state: _State) -> None:
        mark = read_mark(state.value)
        self._begin(state.value, mark)
        if self._mark is not None:
            self._mark = mark
        value = behind_map(state.value)
        self._overwrites.take_state(value)
        self._rows_after_state = self._version_after_state = self._replaced_after_state = False
        for stream in self._versions.due(self._decoders):
            self._activate(stream)
            del self._versions.waiting[stream]
        self._log_versions.take_state(value)
        self._ends_empty, self._last_value = is_empty(value), value
        self._point = SafePoint(
            self._last_word(state), self.summary.counts(), state.message, self._unit_log.position()
        )
        self._loader.mark_safe(self._point)

    def _activate(self, stream: str) -> None:
        owner = self._unnesting.owner(stream)
        if self._abilities.overwrites(owner):
            self._overwrites.vouch(owner)
            return
        self._log_versions.activate(owner, self._versions.waiting[stream])
        siblings = self._divided.siblings(owner)
        self._loader.activate_version(self._decoders[stream].stream, self._versions.waiting[stream], siblings)
        self._unit.has_removals = True

    def _replace(self, message: Message) -> None:
        replacement = read_replacement(message)
        decoder = self._decoders.get(replacement.stream)
        if decoder is None:
            raise SchemaMissing(
                f"Expected a SCHEMA before the REPLACE of stream `{replacement.stream}` at line {message.number}."
            )
        stream = decoder.stream
        if replacement.where is None and stream.lists_of is None:
            raise BadDataError(f"Expected `where` in the REPLACE message at line {message.number}, got null.")
        self._rows_after_state = self._replaced_after_state = True
        self._unit.has_removals = True
        where = None if replacement.where is None else decoder.condition(replacement)
        if where is not None or replacement.where is None:
            self._or_give_way(partial(self._loader.replace, stream, where))

    def _state_of(self, part: Message) -> _State:
        text, value = _decoded_state(part)
        reason = statefile.why_no_start(value, text)
        if reason is not None:
            raise BadDataError(
                f"The value of the STATE message at line {part.number} {reason}, and no run could start from it."
            )
        file = self._publisher.state_file
        found = looks_like(value) if file is not None and value else None
        if found is not None:
            raise BadDataError(
                f"The value of the STATE message at line {part.number} {found}, and the next run would refuse the state "
                f"file {file} for it: leave `--state-file` out, and keep the last line that is printed."
            )
        return _State(part, text, value)

    def _last_word(self, state: _State) -> str | None:
        """An empty STATE erases nothing of an earlier run; what this run has said before is the tap's own to clear."""
        if not is_empty(state.value):
            return state.text
        if self._point.state is None:
            return None
        return "{}" if state.value is None else state.text

    def _decode(self, run: Run | Message) -> _Content:
        if not isinstance(run, Run):
            # A bad STATE is found before the rows it covers are written.
            return self._state_of(run) if run.type == "STATE" else None
        decoder = self._decoders.get(run.stream)
        if decoder is None:
            raise SchemaMissing(
                f"Expected a SCHEMA before the first RECORD of stream `{run.stream}`, got the RECORD at line "
                f"{run.first_line}."
            )
        ahead = self._lookahead.decoded(decoder, run)
        batches, rejects = decoder.decode(run) if ahead is None else (ahead, [])
        verdict = Verdict(batches) if self._judge is None else self._judge.judge(decoder.stream, batches)
        moved = decoder.moved if ahead is None else {}
        return _Rows(verdict, [*rejects, *verdict.rejects], decoder.stream, moved)

    def _write(self, run: Run, rows: _Rows) -> None:
        stream, rejects = rows.stream, list(rows.rejects)
        for batch in rows.verdict.batches:
            rejects += self._write_what_fits(stream, batch)
        self._note_verdict(rows.verdict)
        self.summary.received[run.stream] += run.lines - run.ends - len(rejects)
        if rows.moved:
            self._tell_moved(stream, rows.moved, run)
        self._unit.rows += run.lines
        self._unit.size += run.size
        self.summary.size[run.stream] += run.size
        self.summary.spent.on(run.stream)
        self._along.tell(self.summary)
        if rejects:
            self._set_aside(stream, rejects)
        self._rows_after_state = True
        self._versions.see_records(run.stream)
        self._overwrites.see_rows(run.stream)

    def _note_verdict(self, verdict: Verdict) -> None:
        self.summary.judge(verdict.judged, verdict.broken)
        for broken in verdict.examples:
            if broken.rule.on is On.WARN:
                self._unit_log.warn_once(f"rule {broken.stream} {broken.rule.place}", broken.warning())

    def _tell_moved(self, stream: Stream, moved: Mapping[str, int], run: Run) -> None:
        beside = {column.variant_of: column.name for column in stream.columns}
        for name, count in sorted(moved.items()):
            self.summary.moved[Moved(stream.name, name, beside[name])] += count
            why = self._decoders[stream.name].why_moved.get(name)
            self._unit_log.warn_once(
                f"moved {stream.name} {name}",
                f"Stream `{stream.name}`: a value of `{name}` is not of the type of its column, at line {run.first_line} or soon after: it stands "
                f"as it came in `{beside[name]}`, and so do all others like it (`on_type_conflict`).{f' {why}.' if why else ''}",
            )

    def _write_what_fits(self, stream: Stream, batch: Batch) -> list[Reject]:
        """Write a batch; return what the loader cannot hold of it and `on_unstorable` sets aside."""
        rejects: list[Reject] = []
        while batch.wire_rows:
            try:
                self._or_give_way(partial(self._loader.write, stream, batch))
                break
            except DoesNotFit as error:
                batch, more = self._decoders[stream.name].without(batch, error.misfits)
                rejects += more
        return rejects

    def _set_aside(self, stream: Stream, rejects: Sequence[Reject]) -> None:
        self._loader.reject(rejects)
        self.summary.set_aside(stream.name, rejects)
        check_room(self._limits.max_rejects, self.summary.rejected.total(), rejects[-1])

    # --- commits -------------------------------------------------------------------------------------------

    def _commit_if_due(self, *, behind: bool = False) -> None:
        if self._limits.whole_run or self._overwrites.is_open or (self._quality.holds_last and not behind):
            return
        last = self._committed_state if self._under_way is None else self._under_way.state
        if self._rows_after_state or (self._unit.rows == 0 and self._point.state == last):
            return
        if self._is_due():
            self._commit(beside=self._beside)

    def _is_due(self) -> bool:
        unit, limits, beside = self._unit, self._limits, self._beside
        return (
            unit.rows >= limits.commit_rows
            or unit.size >= limits.commit_bytes
            or time.monotonic() - unit.started >= limits.commit_seconds
            or (beside is not None and limits.commits_early and beside.is_enough(unit.rows))
        )

    def _commit(self, *, activate: bool = False, beside: CommitsBeside | None = None) -> None:
        self._end_commit()
        state = self._point.state
        refused = self._surviving(partial(self._finish_unit, state, activate=activate, beside=beside))
        self._under_way = _Told(state, self.summary.without(refused), self._unit_log.take())
        self._unit = _Unit()
        streams = [decoder.stream for decoder in self._decoders.values()]
        self._in_hand.restart(self._declared, streams, self._versions)
        if beside is None:
            self._end_commit()

    @property
    def _is_committing(self) -> bool:
        return self._beside is not None and self._beside.is_committing()

    def _end_commit(self) -> None:
        """Wait for the commit that is under way, if one is, and tell of it."""
        if self._under_way is None:
            return
        if self._beside is not None:
            self._beside.end_commit()
        told, self._under_way = self._under_way, None
        self.summary.commit(told.counts)
        self._unit_log.say(told.said)
        if told.state is not None and told.state != self._committed_state:
            self._committed_state = told.state
            self._publisher.publish(told.state)

    def _finish(self) -> None:
        self._end_commit()
        if self._stop:
            self._keep_safe_part()
            self._stop.raise_if_set(self._committed_so_far())
        if not self._begun:
            raise BadDataError(
                "The input was empty: the tap ended before its first message, its own last line says why."
            )
        if self._mark is not None and (not self._mark.complete or self._rows_after_state):
            raise BadDataError(
                "The input ended before the tap had finished, whose own last line says why; rows after its last STATE "
                "were dropped: mend that, then run again."
            )
        if self._ends_with_state and (self._rows_after_state or self._version_after_state):
            what = "rows" if self._rows_after_state else "an ACTIVATE_VERSION"
            raise BadDataError(
                f"The input ended behind its last STATE, with {what} after it, which `end_of_input` in the config takes for a "
                "tap that has died: nothing after that STATE was taken; see why the tap ended, then run again, or, if it "
                "always ends so, take `end_of_input` out of the config."
            )
        if self._replaced_after_state:
            raise BadDataError(
                "The input ended behind a REPLACE without a STATE after it, so that nothing says that all rows have come which take the place of "
                "those that go: nothing after the last STATE was taken; see why the tap ended, then run again."
            )
        unknown = self._versions.waiting.keys() - self._decoders.keys()
        for stream in sorted(unknown):
            self._log.warning(
                "ACTIVATE_VERSION of stream `%s` is passed over, and its rows stay as they are: no SCHEMA of it came in this "
                "run; let the tap send one, even where the stream has no records.",
                stream,
            )
            del self._versions.waiting[stream]
        unit = self._unit
        if (
            any(map(self._overwrites.awaits_end, self._decoders))
            or unit.rows
            or unit.has_tables
            or unit.has_removals
            or self._versions.waiting
            or self._has_new_state
            or self._quality.holds_last
        ):
            self._judge_sets()
            self._commit(activate=True)
        self._tell_of_empty_end()
        self._repeats.end(self._last_value)

    def _tell_of_empty_end(self) -> None:
        if not self._ends_empty:
            return
        if self._committed_state is not None:
            self._log.info("The tap has cleared its state: its next run reads from the beginning.")
        elif not is_empty(self._stored) and self._mark is None:
            self._log.warning(
                "The tap ended with an empty STATE, and an empty one erases nothing: the state of an earlier run is kept, "
                "and the next run starts from it. If the tap has read everything and begins anew, forget that state with %s.",
                self._ways_out().start_over(),
            )

    def _judge_sets(self) -> None:
        """Have the rules of all rows judged with the last unit."""
        if not self._quality.holds_last:
            return
        keys = {name: decoder.stream.key_properties for name, decoder in self._decoders.items()}
        asked = self._quality.asked(keys, self.summary.received)
        if isinstance(self._loader, JudgesSets):
            self._loader.judge_sets(asked, self._quality.take)

    def _finish_unit(
        self, state: str | None, *, activate: bool, beside: CommitsBeside | None
    ) -> Mapping[str, int]:
        if activate:
            for stream in self._versions.waiting:
                self._activate(stream)
            self._overwrite()
        refused = self._loader.settle()
        if refused:
            check_room(self._limits.max_rejects, self.summary.rejected.total() + sum(refused.values()))
        if beside is None:
            self._loader.commit(state)
        else:
            beside.begin_commit(state)
        return refused

    def _overwrite(self) -> None:
        """At the complete end of a run."""
        loads = self._overwrites.complete(self._decoders, self._last_value, marks_its_end=self._marks_its_end)
        for name, removes in loads.items():
            self._loader.overwrite(self._decoders[name].stream, removes=removes)

    def _keep_safe_part(self) -> None:
        """Commit up to the last STATE that the loader has reached, drop what follows. A second signal, and ``whole_run``, drop all of the unit."""
        drops_all = self._limits.whole_run or self._overwrites.is_open or self._stop.count > 1
        try:
            if not self._begun or drops_all or not self._is_back_at_state():
                self._loader.rollback()
            else:
                self._commit()
        except BadDataError as error:  # what is left of the unit cannot be committed either
            self._log.warning("Nothing of the unit in hand can be kept: %s", error)
            self._loader.rollback()

    def _is_back_at_state(self) -> bool:
        """Go back to the last STATE that was reached; False when there is none, or none that is worth a commit."""
        kept = self._surviving(self._loader.back_to_safe)
        self._point = kept or SafePoint(self._committed_state)
        if kept is None:
            return False
        self.summary.back_to(kept.counts)
        self._unit_log.back_to(kept.told)
        self._in_hand.back_to(kept.message)
        return self._has_new_state

    @property
    def _has_new_state(self) -> bool:
        return self._point.state is not None and self._point.state != self._committed_state

    def _committed_so_far(self) -> str:
        return f"{self._rows_are()} committed up to the last saved state, nothing after it: run again to continue."

    def _rows_are(self) -> str:
        rows = self.summary.committed_rows
        return f"{counted(rows, 'row')} {'is' if rows == 1 else 'are'}"


def _is_state(part: Run | Message | None) -> bool:
    return isinstance(part, Message) and part.type == "STATE"


def _decoded_state(part: Message) -> tuple[str, Any]:
    try:
        message = decode(str(part.line, "utf-8"), without_repeats)
    except UnicodeDecodeError:
        raise BadDataError(f"The STATE message at line {part.number} is not UTF-8 text.") from None
    except RepeatedKeyError as error:
        raise BadDataError(f"The STATE message at line {part.number} {error}.") from None
    except ValueError as error:
        raise BadDataError(f"The STATE message at line {part.number} is not valid: {error}.") from None
    if "value" not in message:
        raise BadDataError(f"The STATE message at line {part.number} is not valid: it has no `value`.")
    return _text_of(part, message["value"]), message["value"]


def _text_of(part: Message, value: Any) -> str:
    """Return the value as it was sent; msgspec reads no half of a surrogate pair, for which a text column has a policy."""
    try:
        return state_text(part)
    except msgspec.MsgspecError:
        return encode(value)


def _version_of(part: Message) -> tuple[str, int]:
    message: _VersionMessage = decoded(part, _VersionMessage)
    try:
        return message.stream, as_version(decode(str(bytes(message.version), "utf-8")))
    except ValueError as error:
        raise BadDataError(f"The {part.type} message at line {part.number} is not valid: {error}.") from None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True
