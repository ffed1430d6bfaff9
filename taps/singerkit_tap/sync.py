"""The sync loop: pages in, RECORD lines out, bookmarks forward, STATE where nothing can be lost or doubled.

Streams are read in families: a parent and the children that are read with contexts made from its records. After
each page of a parent its children are read; then the position is a safe point of the whole family.

**When a STATE is written.** First of all one with the bookmarks the run starts from; one at the end of each
family; the last says ``complete``. In between at safe points, once ``state_every`` records have been written
since the last one, or a part of a read is complete (`Page.reached`), and only if committing there cannot double rows: the bookmarks of the family cover every row
written so far. Rows of full-table streams with a key need no cover: each run sends them again anyway. Nor do those before the
place where a full load goes on when it is cut off (fullload.py). None stands between a page that replaces rows and the next safe one:
a target that committed there would have half of them.

Streams that are read from a log come last: `singerkit_tap.log_sync`.

**Which bookmark.** That of a sorted stream moves at the end of each page, any other at the end of the stream or
partition. A sorted parent's bookmark moves after the children of its page are done, so it covers them too. How far:
`singerkit_state.tracker`. The source's clock is that of the first answer of a read; for children that share a
bookmark, that of the first answer of the family.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from singerkit_catalog.schema import admitting_missing
from singerkit_shell.errors import BadDataError, ConfigurationError, SingerkitError
from singerkit_shell.progress import Progress
from singerkit_shell.signals import stop_flag
from singerkit_shell.words import beginning
from singerkit_state.readas import ReadAs
from singerkit_state.tracker import UnsortedError
from singerkit_state.value import Mark, read_mark, with_mark
from singerkit_tap.changes import (
    change_since,
    deselected_sentence,
    recased_sentence,
    resent_sentence,
    whole_sentence,
    withdrawn_sentence,
)
from singerkit_tap.contract import Context, Page
from singerkit_tap.failing import Failures
from singerkit_tap.family import EnoughRecords, Family, Member, family_of, lineage
from singerkit_tap.log_contract import LogReader
from singerkit_tap.log_settings import LogSettings
from singerkit_tap.log_state import LOG
from singerkit_tap.log_sync import LogSync
from singerkit_tap.reads import Read
from singerkit_tap.sharding import check_keys
from singerkit_tap.starts import checked_state, unknown_to_config
from singerkit_tap.stream import BlockStream
from singerkit_wire.encode import Record, picked
from singerkit_wire.output import Output
from singerkit_wire.readyrows import ReadyRows

__all__ = ["CHUNK_RECORDS", "SyncRun"]

CHUNK_RECORDS = 5_000
"""Records decoded and encoded at once: a page of any size needs only so much memory besides its own."""

_LONG_STATE = 100_000
"""Bytes of a STATE above which the end of a part of a read (`Page.reached`) is no reason to write another."""

_Pages = TypeVar("_Pages")
_SAFE = "what was confirmed by the target is safe, run again to continue."


class SyncRun:
    """One run over the streams of a tap.

    ``state`` is the state to continue, without its mark; parts of it that belong to no stream of this run are
    kept as they are. ``start_date`` is RFC 3339 or None. ``log``: how log-based streams are read, and ``log_reader`` what
    makes their reader; ``committed`` returns the
    state that is read back from where ``--state`` points, None where there is none.
    """

    def __init__(
        self,
        output: Output,
        state: Mapping[str, Any],
        mark: Mark,
        progress: Progress,
        *,
        state_every: int = 10_000,
        start_date: str | None = None,
        log: LogSettings | None = None,
        log_reader: Callable[[Sequence[BlockStream]], LogReader] | None = None,
        committed: Callable[[], Mapping[str, Any] | None] | None = None,
    ) -> None:
        self._output = output
        self._rest: dict[str, Any] = dict(state)
        self._bookmarks: dict[str, Any] = {}
        self._is_checked = False
        self._announced: tuple[str, dict[str, Any]] | None = None
        self._mark = mark
        self._progress = progress
        self._state_every = state_every
        self._start_date = start_date
        self._is_state_long = False
        self._family: Family | None = None
        self._warnings: list[tuple[BlockStream, str]] = []
        self._log_settings, self._log_reader, self._committed = log, log_reader, committed
        self._log: LogSync | None = None
        self._has_begun = False
        self._failures = Failures()

    # Entrances

    def run(self, streams: Sequence[BlockStream]) -> None:
        """Read all selected streams; the first and the last STATE carry the mark of the run.

        Raises:
            ConfigurationError: the state, the start date or a lookback means nothing to a stream, among others.
        """
        self._check_state(streams)
        log = self._log = self._log_of(streams)
        with nullcontext() if log is None else log.reading(self._reader_of(streams)):
            self.write_state()
            self._has_begun = True
            roots = [stream for stream in streams if _is_root_to_read(stream)]
            for root in roots:
                self._read_root(root, is_last=root is roots[-1] and log is None)
            if log is not None:
                stop_flag.raise_if_set(_SAFE)
                log.run()
                self._failures.note_read()
            stop_flag.raise_if_set(_SAFE)
            if not self._failures.are_any:
                self.write_state(is_complete=True)
        for stream, sentence in self._warnings:
            stream.logger.warning("Once more, what this run warned of: %s", beginning(sentence))
        self._failures.raise_any()

    def read_one(self, stream: BlockStream, context: Context | None = None) -> None:
        """Read one stream by itself, as singer-sdk's --test does, up to its record limit."""
        self._check_state(stream.tap.block_streams)
        if stream.is_log_based:
            log = self._log_of([stream])
            if log is not None:
                log.read_one(stream, self._reader_of([stream]))
            return
        with contextlib.suppress(EnoughRecords):
            if context is None:
                self._read_family(_root_of(stream), {stream.name})
            else:
                family = self._family = self._new_family(stream, {stream.name})
                with family.metrics():
                    self._read_partition(family, family.members[stream.name], context)
        self.write_state()
        self._family = None
        self._failures.raise_any()

    def _check_state(self, streams: Sequence[BlockStream]) -> None:
        if self._is_checked:
            return
        self._is_checked = True
        self._rest = checked_state(self._rest, self._mark.pipeline, streams, self._start_date)
        self._bookmarks = self._rest.pop("bookmarks", {})
        told = unknown_to_config(self._bookmarks, streams)
        if told is not None:
            self.warn(*told)
        for stream in streams:
            part = self._bookmarks.get(stream.name)
            if isinstance(part, Mapping) and (stream.selected or stream.has_selected_descendents):
                former = ReadAs.of(part)
                check_keys(stream, part)
                stream.recall(former)
                for sentence in (
                    change_since(stream, part, stream.start_date or self._start_date),
                    withdrawn_sentence(stream, part, former),
                    deselected_sentence(stream, former),
                    recased_sentence(stream, former),
                    resent_sentence(stream, part, former),
                    whole_sentence(stream, part, former),
                ):
                    if sentence is not None:
                        self.warn(stream, sentence)

    def announce(self, stream: BlockStream) -> None:
        """Write the SCHEMA of a stream that `read_one` may be asked for next."""
        self._announced = (stream.name, self.write_schema(stream))

    def write_schema(self, stream: BlockStream) -> dict[str, Any]:
        """Write the SCHEMA of a stream, unless that was the last word; return its schema."""
        schema = self._schema_of(stream)
        announced, self._announced = self._announced, None
        if announced != (stream.name, schema):
            key = stream.bookmark_key
            sent = schema["properties"]
            inferred = [name for name in stream.inferred_fields if name in sent]
            bookmarks = [key] if key is not None else []
            goes_on = stream.goes_on_by_position
            self._output.schema(
                stream.name, schema, stream.primary_keys, bookmarks, inferred, goes_on=goes_on
            )
        return schema

    @staticmethod
    def _schema_of(stream: BlockStream) -> dict[str, Any]:
        # A schema without properties means records as they are; targets want the keyword all the same.
        schema = {**stream.selected_schema}
        schema.setdefault("properties", {})
        if not stream.sends_partial_records:
            schema = admitting_missing(schema, stream.primary_keys)
        return schema

    def renew_schema(self, stream: BlockStream) -> None:
        """Go on with a schema that has grown in mid-run: a SCHEMA now, and the new fields from here on."""
        if self._log is not None and self._log.renew_schema(stream):
            return
        member = self._family.members.get(stream.name) if self._family is not None else None
        if member is None:
            return
        member.take_schema()
        if member.is_wanted:
            self.write_schema(stream)

    def write_state(self, *, is_complete: bool = False) -> None:
        """Write a STATE with what is known now; none while rows are gone for which not all others have come."""
        if self._family is not None and self._family.is_replacing:
            return
        if self._family is not None:
            self._family.since_state = 0
            self._take_states(self._family)
        if self._log is not None and self._has_begun:
            self._log.update(self._rest, self._bookmarks)
        value = {**self._rest, "bookmarks": self._bookmarks}
        mark = replace(self._mark, complete=is_complete)
        self._is_state_long = self._output.state(with_mark(value, mark)) > _LONG_STATE
        self._mark = replace(self._mark, location=None)  # where it started is said once

    def _take_states(self, family: Family) -> None:
        for member in family.members.values():
            self._bookmarks[member.stream.name] = member.state()
        family.leave_behind(self._bookmarks)

    # The log

    def _log_of(self, streams: Sequence[BlockStream]) -> LogSync | None:
        logged = [stream for stream in streams if stream.is_log_based and stream.selected]
        if not logged:
            return None
        settings = self._log_settings or LogSettings()
        if settings.acknowledges and self._committed is None:
            raise ConfigurationError(
                "Expected `--state` beside `log.acknowledge` `while_running`, since what is committed is read back from there; "
                "name the state file or the state URL, or leave `log.acknowledge` out."
            )
        if settings.follows and settings.max_seconds is None and not settings.acknowledges:
            logged[0].logger.warning(
                "The source keeps its log as long as this run goes on, since nothing is read back of what the target has committed: set "
                "`log.acknowledge` to `while_running`, beside a `--state` that the target writes, or have runs end (`log.max_seconds`)."
            )
        return LogSync(
            logged,
            self._rest.get(LOG),
            self._bookmarks,
            self._output,
            self._progress,
            settings,
            state_every=self._state_every,
            write_state=self.write_state,
            write_schema=self.write_schema,
            committed=self._committed_log if settings.acknowledges else None,
        )

    def _reader_of(self, streams: Sequence[BlockStream]) -> LogReader:
        assert self._log_reader is not None  # noqa: S101  of every tap with such streams
        return self._log_reader([stream for stream in streams if stream.is_log_based and stream.selected])

    def _committed_log(self) -> Mapping[str, Any] | None:
        """Return what the committed state says of the log, if this run has written it."""
        value = self._committed() if self._committed is not None else None
        mark = read_mark(value)
        if value is None or mark is None or mark.run != self._mark.run:
            return None
        said = value.get(LOG)
        return said if isinstance(said, Mapping) else None

    # A family

    def _read_root(self, root: BlockStream, *, is_last: bool) -> None:
        """Read a stream and those below it; an error that is its own is kept for the end of the run, if more is to be read."""
        wanted = set()
        for stream in family_of(root):
            unreadable = next(filter(None, (one.unreadable for one in lineage(stream))), None)
            if unreadable is None:
                wanted |= {stream.name} if stream.selected else set()
            elif stream.selected:
                self._failures.note(stream, unreadable)
        if not wanted:
            return
        try:
            self._read_family(root, wanted)
            self._failures.note_read()
        except SingerkitError as error:
            family = self._family
            if is_last and not self._failures.are_any:
                raise
            self._failures.refuse_final(
                error,
                root,
                is_safe=family is None or family.may_go_on_without_all(),
                is_replacing=family is not None and family.is_replacing,
            )
            self._failures.note(root, error)
            if family is not None:
                self._take_states(family)  # what was written is committed with the next STATE
            self._family = None

    def _read_family(self, root: BlockStream, wanted: set[str]) -> None:
        stop_flag.raise_if_set(_SAFE)
        family = self._family = self._new_family(root, wanted)
        for member in family.members.values():
            if member.is_wanted:
                self.write_schema(member.stream)
        with family.metrics():
            try:
                for context in root.partitions_to_read():
                    self._try_partition(family, family.members[root.name], context)
                for member, absent in family.left_absent():
                    self._try_partition(family, member, absent)
                for member in family.members.values():
                    self._read_again(family, member)
                self._show_done(family)
            except SingerkitError:
                # What was written before and is covered need not be read again.
                if family.since_state and family.may_write_state():
                    self.write_state()
                raise
        family.finish()
        if root.ABORT_AT_RECORD_COUNT is None:
            for member in family.members.values():
                self._activate_version(member)
            self.write_state()
        self._family = None

    def _read_again(self, family: Family, member: Member) -> None:
        """Write what a full load has missed below parents while rows went from one to another."""
        if member.version is None or member.failed.is_any:
            return
        with _closing(member.stream.read_again()) as pages:
            for context, page in pages:
                read = self._begin_read(family, member, context)
                self._write_page(family, member, read, page, context)
                member.close(read, context)
                stop_flag.raise_if_set(_SAFE)
        stop_flag.raise_if_set(_SAFE)

    def _activate_version(self, member: Member) -> None:
        """Say that all rows of a full load have come: those of other versions are gone at the source.

        Unless there is any doubt that all have come: a row that is there and was not read must not go.
        """
        if member.load is None or member.version is None or member.is_unchanged or not member.load.is_due:
            return
        rows = member.rows_written
        may_leave_rows = member.load.may_leave_rows(rows)
        doubt = member.load.end(rows, self._doubt_of_load(member.stream) or member.doubt_of_nulls)
        if doubt is not None:
            member.continuations.forget()  # the next load has to come, to take away what this one leaves
        if doubt is None:
            self._output.activate_version(member.stream.name, member.version)
            self._note_whole(member.stream.name, member.version)
            return
        if not may_leave_rows:
            return
        self.warn(
            member.stream,
            f"Rows of stream `{member.stream.name}` that are gone at the source stay in the target this time: of this load, {doubt}.",
        )

    def _note_whole(self, stream: str, version: int) -> None:
        """Tell other shards, by way of the state, that all of this one's part of a stream has come, and under which version."""
        divided = self._mark.divided or {}
        if stream in divided:
            self._mark = replace(self._mark, divided={**divided, stream: version})

    def _doubt_of_load(self, stream: BlockStream) -> str | None:
        """Return why rows may be missing from a load: those of a parent that did not come have children, too."""
        was_warned = any(warned is stream for warned, _ in self._warnings)
        doubt = stream.doubt_of_load(was_warned=was_warned)
        if self._failures.has(stream):
            doubt = "a part of it could not be read"
        if doubt is None and stream.parent is not None:
            return self._doubt_of_load(stream.parent)
        return doubt

    def _new_family(self, root: BlockStream, wanted: set[str]) -> Family:
        return Family(root, wanted, self._bookmarks, self._start_date, self.warn)

    def warn(self, stream: BlockStream, sentence: str) -> None:
        """Warn now, and once more at the end of the run; of each thing once."""
        if (stream, sentence) not in self._warnings:
            self._warnings.append((stream, sentence))
            stream.logger.warning("%s", sentence)

    def _show_done(self, family: Family) -> None:
        for member in family.members.values():
            if member.is_wanted:
                self._progress.done(member.stream.name)

    def _try_partition(self, family: Family, member: Member, context: Context | None) -> None:
        """Read a partition; one that fails, for reasons of its own, is left, and the error kept for the end of the run."""
        if member.failed.is_given_up:
            return
        try:
            self._read_partition(family, member, context)
        except SingerkitError as error:
            if context is None:
                raise
            self._failures.refuse_final(error, member.stream, is_safe=family.may_go_on_without(member))
            is_given_up = family.note_failed(member, context, error)
            self._failures.note(member.stream, error, is_partition=True, is_given_up=is_given_up)

    def _read_partition(self, family: Family, member: Member, context: Context | None) -> None:
        read = self._begin_read(family, member, context)
        is_absent = False
        continuation: Any = None
        with _closing(member.stream.read_pages(context, read.start)) as pages:
            for page in pages:
                is_absent = is_absent or page.is_absent
                continuation = page.continuation if page.continuation is not None else continuation
                if page.is_unchanged:
                    member.note_unchanged(context)
                    return
                family.see_clock(page.clock)
                read.note_clock(page.clock, family.clock, page.margin)
                if page.is_signpost:
                    self._note_signpost(member, read, page)
                    continue
                try:
                    kept, unsettled = self._write_page(family, member, read, page, context)
                    read.end_page(page)
                except UnsortedError as error:
                    member.bookmarks.put(read.old_bookmark, context)
                    self.write_state()
                    raise BadDataError(
                        f"{error} in stream `{member.stream.name}`, which is declared sorted; "
                        f"{member.stream.advice_on_order()}. The bookmark was put back, nothing is lost."
                    ) from None
                for child in family.active_children(member):
                    parents = [*kept, *unsettled] if family.may_be_read_again(child) else kept
                    for child_context in family.new_contexts(child, parents, context):
                        self._try_partition(family, child, child_context)
                if page.is_safe:
                    member.is_replacing = False
                    self._safe_point(family, member, read, context, page)
                stop_flag.raise_if_set(_SAFE)
        # A connector that saw the flag while waiting returned early: this is no end.
        stop_flag.raise_if_set(_SAFE)
        read.finish()
        member.close(read, context, is_absent=is_absent, continuation=continuation)

    def _begin_read(self, family: Family, member: Member, context: Context | None) -> Read:
        read = family.begin_read(member, context)
        if member.watch is not None:
            member.watch.begin_read(context, read.start)
        if member.repeats is not None:
            member.repeats.begin_read()
        return read

    @staticmethod
    def _note_signpost(member: Member, read: Read, page: Page) -> None:
        key, constants = member.stream.bookmark_key, page.constants
        if key is not None:
            read.note_signpost(member.encoder.column(member.encoder.decode(page.records, constants), key))

    def _safe_point(
        self, family: Family, member: Member, read: Read, context: Context | None, page: Page
    ) -> None:
        is_root = member.stream.parent is None
        if is_root and family.covers_children(member) and member.note_position(page.position):
            family.cover(member)
        if read.covers_all:
            member.reach(read, context, now=family.has_children(member))
            family.cover(member)
        is_due = family.since_state >= self._state_every or (
            page.reached is not None and not self._is_state_long
        )
        if is_due and family.may_write_state():
            self.write_state()

    def _write_page(
        self, family: Family, member: Member, read: Read, page: Page, context: Context | None
    ) -> tuple[list[Record], list[Record]]:
        """Write the records of a page that are new; return those that its children are read for, and others that may have changed."""
        if page.replaces is not None and member.is_wanted:
            self._replace(family, member, page.replaces)
        constants = {**(context or {}), **(page.constants or {})} if context or page.constants else None
        kept: list[Record] = []
        unsettled: list[Record] = []
        time_extracted = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        first = 0
        for records in _chunks(page.records):
            stop_flag.raise_if_set(
                _SAFE
            )  # before rows are written: later they would stand behind no bookmark
            rows = member.encoder.decode(records, constants, page.decoded)
            member.is_amid_page = True
            member.fields.see(member.encoder, rows)
            keys = member.keys(rows, records, constants, is_incremental=read.is_incremental)
            numbers = read.take(member.encoder, rows, records, member.reader(constants), keys, page.decoded)
            if member.watch is not None and keys is not None:
                member.watch.look(member.encoder, rows, keys, page, first, constants)
            first += len(records)
            driving = records
            if numbers is not None:
                rows = picked(rows, numbers)
                driving = records if read.drives_all else [records[number] for number in numbers]
            member.has_news = member.has_news or bool(rows)
            if member.is_wanted and rows:
                member.refuse_without_place(context)
                rows = member.within_limit(rows)
                if member.repeats is not None:
                    member.repeats.look(member.encoder, rows, page)
                self._output.records(member.encoder.lines(rows, time_extracted, member.version))
                member.count(len(rows))
                family.since_state += len(rows)
                self._progress.add(member.stream.name, len(rows))
                member.raise_if_enough()
            if family.hands_on(member):
                kept.extend(driving)
                if not read.drives_all:
                    unsettled.extend(records[number] for number in read.unsettled)
        return kept, unsettled

    def _replace(self, family: Family, member: Member, where: Mapping[str, Any]) -> None:
        """Write a REPLACE message, before the records that take the place of what goes.

        What was read before it is committed by a STATE of its own: it does not hang on whether all of these come.
        """
        stream = member.stream
        is_child = stream.parent is not None and not stream.goes_on_by_position
        if stream.bookmark_key is not None or is_child:
            raise SingerkitError(
                f"Stream `{stream.name}` has a replication key or a parent, and replaces rows; please report this."
            )
        hidden = [name for name in where if name not in stream.kinds]
        if hidden:
            raise ConfigurationError(
                f"Stream `{stream.name}` replaces rows by their `{hidden[0]}`, which is not selected, so that the target could not find them; "
                "nothing of them was sent: select it in the catalog, then run again."
            )
        stop_flag.raise_if_set(_SAFE)
        if family.since_state and family.may_write_state():
            self.write_state()
        self._output.replace(stream.name, where)
        member.is_replacing = True


def _is_root_to_read(stream: BlockStream) -> bool:
    is_wanted = stream.selected or stream.has_selected_descendents
    return is_wanted and stream.parent is None and not (stream.is_log_based and stream.selected)


@contextlib.contextmanager
def _closing(pages: Iterator[_Pages]) -> Iterator[Iterator[_Pages]]:
    """Close a generator where it stands, so that it releases its connections now."""
    try:
        yield pages
    finally:
        if isinstance(pages, Generator):
            pages.close()


def _chunks(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    if len(records) <= CHUNK_RECORDS or isinstance(records, ReadyRows):
        yield records
        return
    for begin in range(0, len(records), CHUNK_RECORDS):
        yield records[begin : begin + CHUNK_RECORDS]


def _root_of(stream: BlockStream) -> BlockStream:
    return stream if stream.parent is None else _root_of(stream.parent)
