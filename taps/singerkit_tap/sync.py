"""The sync loop: pages in, RECORD lines out, bookmarks forward, STATE where nothing can be lost or doubled.

Streams are read in families: a parent and the children that are read with contexts made from its records. After
each page of a parent its children are read; then the position is a safe point of the whole family.

**When a STATE is written.** First of all one with the bookmarks the run starts from; one at the end of each
family; the last says ``complete``. In between at safe points, once ``state_every`` records have been written
since the last one, and only if committing there cannot double rows: the bookmarks of the family cover every row
written so far. Rows of full-table streams with a key need no cover: each run sends them again anyway.

**Which bookmark.** That of a sorted stream moves at the end of each page, any other at the end of the stream or
partition. A sorted parent's bookmark moves after the children of its page are done, so it covers them too. How far:
`singerkit_state.tracker`. The source's clock is that of the first answer of a read; for children that share a
bookmark, that of the first answer of the family.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from singer_sdk import metrics
from singer_sdk.singerlib import SelectionMask

from singerkit_catalog.schema import admitting_missing
from singerkit_shell.errors import BadDataError, ConfigurationError, SingerkitError
from singerkit_shell.progress import Progress
from singerkit_shell.signals import stop_flag
from singerkit_shell.words import counted
from singerkit_state.bookmarks import Bookmark, StreamBookmarks
from singerkit_state.instants import has_no_offset
from singerkit_state.memory import version_hash
from singerkit_state.order import UnknownOrderError, UnorderableError, starting_value
from singerkit_state.others import bookmark_left
from singerkit_state.readas import READ_AS, ReadAs
from singerkit_state.tracker import BookmarkTracker, UnsortedError
from singerkit_state.value import Mark, with_mark
from singerkit_tap.changes import (
    KEYS,
    WHOLE,
    change_since,
    comes_whole,
    earlier,
    gone_sentence,
    whole_sentence,
    withdrawn_sentence,
)
from singerkit_tap.contract import Context, Page, RawRecord, Start
from singerkit_tap.findings import told_of_answers, told_of_bookmark
from singerkit_tap.keys import Keys, KeyWatch, bits_of_keys, keys_of
from singerkit_tap.output import Output
from singerkit_tap.records import RecordEncoder, Rows, SentRows
from singerkit_tap.starts import check_contexts, checked_state, unknown_to_config
from singerkit_tap.stream import BlockStream

__all__ = ["CHUNK_RECORDS", "SyncRun"]

CHUNK_RECORDS = 5_000
"""Records decoded and encoded at once: a page of any size needs only so much memory besides its own."""

_RECENT_CONTEXTS = 100_000
_DRIVEN_BY = "_singerkit_driven_by"
_SAFE = "what was confirmed by the target is safe, run again to continue."


class _EnoughRecords(Exception):
    """The record limit of --test is reached."""


class SyncRun:
    """One run over the streams of a tap.

    ``state`` is the state to continue, without its mark; parts of it that belong to no stream of this run are
    kept as they are. ``start_date`` is RFC 3339 or None.
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
        self._family: _Family | None = None
        self._warnings: list[tuple[BlockStream, str]] = []

    # Entrances

    def run(self, streams: Sequence[BlockStream]) -> None:
        """Read all selected streams; the first and the last STATE carry the mark of the run.

        Raises:
            ConfigurationError: the state, the start date or a lookback means nothing to a stream, among others.
        """
        self._check_state(streams)
        self.write_state()
        for root in streams:
            if root.parent is None and (root.selected or root.has_selected_descendents):
                self._read_family(root, {stream.name for stream in _family_of(root) if stream.selected})
        stop_flag.raise_if_set(_SAFE)
        self.write_state(is_complete=True)
        for stream, sentence in self._warnings:
            stream.logger.warning("Once more, what this run warned of: %s", sentence)

    def read_one(self, stream: BlockStream, context: Context | None = None) -> None:
        """Read one stream by itself, as singer-sdk's --test does, up to its record limit."""
        self._check_state(stream.tap.block_streams)
        with contextlib.suppress(_EnoughRecords):
            if context is None:
                self._read_family(_root_of(stream), {stream.name})
            else:
                family = self._family = _Family(self, stream, {stream.name})
                with family.metrics():
                    self._read_partition(family, family.members[stream.name], context)
        self.write_state()
        self._family = None

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
                stream.recall(former)
                for sentence in (
                    change_since(stream, part, self._start_date),
                    withdrawn_sentence(stream, former),
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
            self._output.schema(stream.name, schema, stream.primary_keys, [key] if key is not None else [])
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
        member = self._family.members.get(stream.name) if self._family is not None else None
        if member is None:
            return
        member.take_schema()
        if member.is_wanted:
            self.write_schema(stream)

    def write_state(self, *, is_complete: bool = False) -> None:
        """Write a STATE with what is known now."""
        if self._family is not None:
            self._family.since_state = 0
            for member in self._family.members.values():
                self._bookmarks[member.stream.name] = member.state()
        value = {**self._rest, "bookmarks": self._bookmarks}
        mark = replace(self._mark, complete=is_complete)
        self._output.state(with_mark(value, mark))
        self._mark = replace(self._mark, location=None)  # where it started is said once

    # A family

    def _read_family(self, root: BlockStream, wanted: set[str]) -> None:
        stop_flag.raise_if_set(_SAFE)
        family = self._family = _Family(self, root, wanted)
        for member in family.members.values():
            if member.is_wanted:
                self.write_schema(member.stream)
        with family.metrics():
            try:
                for context in root.partitions_to_read():
                    self._read_partition(family, family.members[root.name], context)
                self._show_done(family)
            except SingerkitError:
                # What was written before and is covered need not be read again.
                if family.since_state and family.may_write_state():
                    self.write_state()
                raise
        family.finish(self)
        if root.ABORT_AT_RECORD_COUNT is None:
            self.write_state()
        self._family = None

    def warn(self, stream: BlockStream, sentence: str) -> None:
        """Warn now, and once more at the end of the run; of each thing once."""
        if (stream, sentence) not in self._warnings:
            self._warnings.append((stream, sentence))
            stream.logger.warning("%s", sentence)

    def _show_done(self, family: _Family) -> None:
        for member in family.members.values():
            if member.is_wanted:
                self._progress.done(member.stream.name)

    def _read_partition(self, family: _Family, member: _Member, context: Context | None) -> None:
        read = _Read(member, context, self._start_date, family.active_children(member))
        if member.watch is not None:
            member.watch.begin_read(context, read.start)
        with _closing(member.stream.read_pages(context, read.start)) as pages:
            for page in pages:
                family.see_clock(page.clock)
                read.note_clock(page.clock, family.clock, page.margin)
                try:
                    kept = self._write_page(family, member, read, page, context)
                    read.end_page()
                except UnsortedError as error:
                    member.bookmarks.put(read.old_bookmark, context)
                    self.write_state()
                    raise BadDataError(
                        f"{error} in stream `{member.stream.name}`, which is declared sorted; declare it "
                        "unsorted. The bookmark was put back, nothing is lost."
                    ) from None
                for child in family.active_children(member):
                    for child_context in family.new_contexts(child, kept, context):
                        self._read_partition(family, child, child_context)
                if page.is_safe:
                    self._safe_point(family, member, read, context)
                stop_flag.raise_if_set(_SAFE)
        # A connector that saw the flag while waiting returned early: this is no end.
        stop_flag.raise_if_set(_SAFE)
        read.finish()
        member.close(read, context, self)

    def _safe_point(self, family: _Family, member: _Member, read: _Read, context: Context | None) -> None:
        if read.covers_all:
            member.reach(read, context, now=family.has_children(member))
            family.cover(member)
        if family.since_state >= self._state_every and family.may_write_state():
            self.write_state()

    def _write_page(
        self, family: _Family, member: _Member, read: _Read, page: Page, context: Context | None
    ) -> list[RawRecord]:
        """Write the records of a page that are new, and return those that its children are read for."""
        constants = {**(context or {}), **(page.constants or {})} if context or page.constants else None
        kept: list[RawRecord] = []
        time_extracted = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        first = 0
        for records in _chunks(page.records):
            stop_flag.raise_if_set(
                _SAFE
            )  # before rows are written: later they would stand behind no bookmark
            rows = member.encoder.decode(records, constants)
            member.is_amid_page = True
            member.see_fields(rows)
            keys = member.keys(rows, records, constants, is_incremental=read.is_incremental)
            numbers = read.take(member.encoder, rows, records, member.reader(constants), keys)
            if member.watch is not None and keys is not None:
                member.watch.look(member.encoder, rows, keys, page, first, constants)
            first += len(records)
            driving = records
            if numbers is not None:
                rows = [rows[number] for number in numbers]
                driving = records if read.drives_all else [records[number] for number in numbers]
            if member.is_wanted and rows:
                rows = member.within_limit(rows)
                self._output.records(member.encoder.lines(rows, time_extracted))
                member.count(len(rows))
                family.since_state += len(rows)
                self._progress.add(member.stream.name, len(rows))
                member.raise_if_enough()
            if family.has_children(member):
                kept.extend(driving)
        return kept

    @property
    def start_date(self) -> str | None:
        """The start date of the config."""
        return self._start_date

    @property
    def known_bookmarks(self) -> Mapping[str, Any]:
        """The ``bookmarks`` of the state, as they were read or last written."""
        return self._bookmarks


class _Family:
    """The streams that are read together, with what is known of each during the run."""

    def __init__(self, run: SyncRun, root: BlockStream, wanted: set[str]) -> None:
        streams = _family_of(root)
        self.root = root
        self.members = {
            stream.name: _Member(
                stream, run.known_bookmarks.get(stream.name), stream.name in wanted, run.start_date
            )
            for stream in streams
            if any(below.name in wanted for below in _family_of(stream))
        }
        self.since_state = 0
        self.clock: float | None = None
        """What the source's clock showed when the family's first request was sent."""
        self._has_answer = False
        self._recent: dict[str, dict[int, None]] = {}
        for member in self.members.values():
            parent = member.stream.parent
            if parent is not None and parent.name in self.members:
                member.note_parent(self.members[parent.name])

    def see_clock(self, clock: float | None) -> None:
        """Note the clock of the first answer; later ones say nothing about when the family was begun."""
        if not self._has_answer:
            self._has_answer, self.clock = True, clock

    def active_children(self, member: _Member) -> list[_Member]:
        return [self.members[child.name] for child in member.stream.children if child.name in self.members]

    def has_children(self, member: _Member) -> bool:
        return bool(self.active_children(member))

    def new_contexts(
        self, child: _Member, records: Sequence[RawRecord], context: Context | None
    ) -> Iterator[Context]:
        """Yield the contexts of a page's records that this run has not read yet."""
        recent = self._recent.setdefault(child.stream.name, {})
        for child_context in child.stream.child_contexts(records, context):
            key = hash(json.dumps(child_context, sort_keys=True, default=str))
            if key not in recent:
                yield child_context
                # Bounded: among very many parents one that comes twice, far apart, is read twice.
                recent[key] = None
                if len(recent) > _RECENT_CONTEXTS:
                    del recent[next(iter(recent))]

    def may_write_state(self) -> bool:
        """Tell whether a commit here could not double rows of any stream."""
        return not any(
            member.is_behind
            or (
                member.uncovered
                and (member.stream.bookmark_key is not None or not member.stream.primary_keys)
            )
            for member in self.members.values()
        )

    def cover(self, member: _Member) -> None:
        """Note that the bookmark of ``member`` covers all rows of it, and of its children, so far."""
        member.uncovered = 0
        for child in self.active_children(member):
            self.cover(child)

    def finish(self, run: SyncRun) -> None:
        """Note that the family has been read to its end."""
        for member in self.members.values():
            member.finish(run)

    @contextlib.contextmanager
    def metrics(self) -> Iterator[None]:
        """Count and time each stream that is written, as singer-sdk does."""
        with ExitStack() as stack:
            for member in self.members.values():
                if member.is_wanted:
                    stack.enter_context(member.counter)
                    stack.enter_context(member.stream.get_sync_timer())
            yield


class _Member:
    """One stream of a family: its bookmarks, its encoder, its counters."""

    def __init__(self, stream: BlockStream, state: Any, is_wanted: bool, start_date: str | None) -> None:
        self.stream = stream
        self.is_wanted = is_wanted
        self._state = state if isinstance(state, dict) else {}
        self.bookmarks = StreamBookmarks(self._state, stream.bookmark_key, is_selected=is_wanted)
        self._former = ReadAs.of(self._state)
        self._start_date = earlier(start_date, self._former.start_date) if self._goes_on else start_date
        self.take_schema()
        self._unseen = set() if stream.sends_partial_records else set(self.encoder.fields)
        """Fields that no record of this run has."""
        self._gone = self._former.gone
        self._whole = stream.encoder(whole=True)
        # Records that tell changes have one key each time by their nature, and each of them counts.
        self._has_rows_by_key = bool(stream.primary_keys) and not stream.sends_partial_records
        self.watch = KeyWatch(stream) if is_wanted and self._has_rows_by_key else None
        self.counter: metrics.Counter = stream.get_record_counter()
        self.uncovered = 0
        self.is_amid_page = False
        self._reached: tuple[_Read, Context | None] | None = None
        self._written = 0
        self._shared: BookmarkTracker | None = None
        self._driven_by: str | None = self._state.get(_DRIVEN_BY)
        self._will_be_driven_by: str | None = None
        self._warned_of_nulls = self._told_of_local_times = False
        self._has_nulls = self._former.has_nulls
        self._told: set[str] = set()
        self._has_rows = False

    def take_schema(self) -> None:
        """Read and write records by the schema of the stream as it is now."""
        self.encoder = self.stream.encoder() if self.is_wanted else _key_reader_of(self.stream)
        self._fields = self.stream.kinds if self.is_wanted else self._former.fields

    def see_fields(self, rows: Rows) -> None:
        """Look which fields the records have."""
        self._has_rows = self._has_rows or bool(rows)
        self._unseen -= {name for name in self._unseen if self.encoder.stands_in(rows, name)}

    def keys(
        self,
        rows: Rows,
        records: Sequence[RawRecord],
        constants: Mapping[str, Any] | None,
        *,
        is_incremental: bool,
    ) -> Keys | None:
        """Return the key of each row, where somebody looks at it."""
        if not self._has_rows_by_key or not (self.is_wanted or is_incremental):
            return None
        if not self.is_wanted:
            return keys_of(self._whole, self._whole.decode(records, constants), self.stream.primary_keys)
        return keys_of(self.encoder, rows, self.stream.primary_keys)

    @property
    def _goes_on(self) -> bool:
        """Whether what an earlier run has read counts."""
        return self._former.is_known and not self.bookmarks.is_empty

    def note_parent(self, parent: _Member) -> None:
        """Note whose records this child is read for.

        A child that was not selected before has to see the parents that lie behind the parent's bookmark too.
        Until a run has shown it all of them, its state does not say that it knows them.
        """
        if parent.stream.bookmark_key is None:
            return
        self._will_be_driven_by = parent.stream.name
        if parent.bookmarks.is_empty:
            self._driven_by = parent.stream.name

    @property
    def needs_all_parents(self) -> bool:
        return self.stream.ignore_parent_replication_key or (
            self._will_be_driven_by is not None and self._driven_by != self._will_be_driven_by
        )

    @property
    def has_one_bookmark(self) -> bool:
        """Whether all contexts of this child share one bookmark."""
        return self.stream.parent is not None and not self.stream.partition_bookmarks

    def tracker(self, context: Context | None, start_date: str | None) -> BookmarkTracker | None:
        """Return what follows the replication key through one read; None for a full table."""
        if self.stream.bookmark_key is None:
            return None
        if self.has_one_bookmark:
            self._shared = self._shared or self._new_tracker(
                self.bookmarks.get(), start_date, is_sorted=False
            )
            return self._shared
        if context:
            check_contexts(self.stream, self._state, context)
        return self._new_tracker(self.bookmarks.get(context), start_date, is_sorted=self.stream.is_sorted)

    def _new_tracker(self, start: Bookmark, start_date: str | None, *, is_sorted: bool) -> BookmarkTracker:
        stream = self.stream
        try:
            return BookmarkTracker(
                stream.bookmark_kind,
                start,
                is_sorted=is_sorted,
                lookback=stream.lookback,
                start_date=start_date,
                keeps_older=stream.keeps_older_rows,
                signpost=stream.signpost,
                follows_key=stream.follows_key and not self.has_one_bookmark,
                has_first_answer=not self.has_one_bookmark,
                has_key=bool(stream.primary_keys),
                by_key=self._has_rows_by_key,
                memory=stream.memory_rows
                if stream.parent is None or self.has_one_bookmark
                else stream.memory_rows // 10,
            )
        except UnorderableError as error:
            raise ConfigurationError(
                f"{error} as bookmark of stream `{self.stream.name}` in the state; correct `replication_key_format`, "
                f"{stream.way_to_go_on}or start the stream over with {stream.way_to_start_over}."
            ) from None

    def reader(self, constants: Mapping[str, Any] | None) -> SentRows:
        """Return what tells which records are the same: what is sent of them, or all of a parent that is not sent."""
        return SentRows(self.encoder if self.is_wanted else self._whole, constants)

    def within_limit(self, rows: list[Any]) -> list[Any]:
        limit = self.stream.ABORT_AT_RECORD_COUNT
        return rows if limit is None else rows[: max(0, limit - self._written)]

    def count(self, rows: int) -> None:
        self._written += rows
        self.uncovered += rows
        self.counter.increment(rows)

    def raise_if_enough(self) -> None:
        limit = self.stream.ABORT_AT_RECORD_COUNT
        if limit is not None and self._written >= limit:
            raise _EnoughRecords

    @property
    def is_behind(self) -> bool:
        """Whether what was reached can no longer be told from what came after it."""
        return self._reached is not None and self.is_amid_page

    def reach(self, read: _Read, context: Context | None, *, now: bool) -> None:
        """Note a place where ``read`` can be resumed; it is only put into words ``now``, or when a STATE is written."""
        self.is_amid_page = False
        if now:
            self._put(read, context)
        else:
            self._reached = read, context

    def _put(self, read: _Read, context: Context | None) -> None:
        self._reached = None
        bookmark = read.bookmark
        if bookmark is None or self.has_one_bookmark:
            return
        before = self.bookmarks.forgotten
        self.bookmarks.put(bookmark, context)
        if before == 0 and self.bookmarks.forgotten:
            self.stream.logger.warning(
                "Stream `%s` has more partitions than bookmarks are kept for; those without one are read from "
                "the start each time.",
                self.stream.name,
            )

    def close(self, read: _Read, context: Context | None, run: SyncRun) -> None:
        """Store the bookmark of a partition, or of the stream, that has been read to its end."""
        self._put(read, context)
        self.is_amid_page = False
        if read.is_incremental and not self.has_one_bookmark:
            self.uncovered = 0
            self._warn_of(read.tracker, run)
            self._look_at_answers(read.tracker, run, asks=not read.drives_all)
        self._tell_of_local_times(read)
        if read.nulls and not self._warned_of_nulls:
            self._warned_of_nulls = self._has_nulls = True
            self.stream.logger.warning(
                "%s of stream `%s` %s no value in the replication key `%s`: what has none was sent, and %s.",
                counted(read.nulls, "row"),
                self.stream.name,
                "has" if read.nulls == 1 else "have",
                self.stream.bookmark_key,
                self.stream.fate_of_nulls(),
            )

    def _tell_of_local_times(self, read: _Read) -> None:
        kind = self.stream.bookmark_kind
        if read.bookmark is None or self._told_of_local_times or kind.zone is not None:
            return
        if kind.has_local_times and (kind.pattern or has_no_offset(read.bookmark.value)):
            self._told_of_local_times = True
            self.stream.logger.warning(
                "The replication key `%s` of stream `%s` holds times without an offset, which are taken for UTC. If they "
                "are local times, rows may be missed when the clocks go back: set `time_zone` (`UTC` if it is that).",
                self.stream.bookmark_key,
                self.stream.name,
            )

    def _warn_of(self, tracker: BookmarkTracker | None, run: SyncRun) -> None:
        if tracker is None or not self.is_wanted:
            return
        for sentence in told_of_bookmark(tracker, self.stream):
            run.warn(self.stream, sentence)
        if tracker.is_all_young:
            self.stream.logger.info(
                "All rows of stream `%s` are younger than what was certain when the read began (its `bookmark.margin`), "
                "so its bookmark stays; a later run moves it.",
                self.stream.name,
            )

    def _look_at_answers(self, tracker: BookmarkTracker | None, run: SyncRun, *, asks: bool) -> None:
        """Say what the answers show of how the source understands the bookmark; of each kind once per stream."""
        if tracker is None or not self.is_wanted:
            return
        name, setting = self.stream.name, self.stream.start_setting
        if tracker.remembered:
            self.stream.logger.info(
                "Stream `%s`: of %s that the state remembers %d came again, recognised and not sent again.",
                name,
                counted(tracker.remembered, "row"),
                tracker.recognised,
            )
        for kind, sentence in told_of_answers(tracker, self.stream, setting if asks else None):
            if kind not in self._told:
                self._told.add(kind)
                run.warn(self.stream, sentence)

    def finish(self, run: SyncRun) -> None:
        if self._shared is not None:
            self._shared.finish()
            self._shared.counts_unmet = self.stream.start_setting is not None and self.needs_all_parents
            self.bookmarks.put(self._shared.bookmark())
            self._warn_of(self._shared, run)
            # Where parents that have not changed are passed over, rows below them do not come, whatever is asked.
            self._look_at_answers(self._shared, run, asks=self.needs_all_parents)
            self._shared = None
        self._driven_by = self._will_be_driven_by or self._driven_by
        self.uncovered = 0
        self._tell_gone(run)
        for told in self.watch.finish() if self.watch is not None else ():
            run.warn(self.stream, told)

    def _tell_gone(self, run: SyncRun) -> None:
        """Say which fields are null from now on, where all records were read and none has them."""
        if not (self.is_wanted and self._has_rows and comes_whole(self.stream)):
            return
        news = self._unseen.intersection(self._former.fields) - self._gone
        if news:
            run.warn(self.stream, gone_sentence(self.stream, sorted(news)))
        self._gone |= news

    def state(self) -> dict[str, Any]:
        """Return the stream's part of the state."""
        if self._reached is not None and not self.is_amid_page:
            self._put(*self._reached)
        if self._shared is not None:
            self.bookmarks.put(self._shared.so_far())
        state = {
            key: value for key, value in self.bookmarks.state().items() if key not in (_DRIVEN_BY, READ_AS)
        }
        if self._driven_by is not None:
            state[_DRIVEN_BY] = self._driven_by
        return {**state, READ_AS: self._read_as().written()}

    def _read_as(self) -> ReadAs:
        source = {
            name: self._former.source.get(name) if part is None else part
            for name, part in self.stream.asks_of().items()
        }
        source[KEYS] = list(self.stream.primary_keys) if self.is_wanted else self._former.source.get(KEYS)
        if self.is_wanted and self.stream.bookmark_key is None and bookmark_left(self._state) is not None:
            source[WHOLE] = True
        known = {name: part for name, part in source.items() if part is not None}
        gone = self._gone
        if self.is_wanted and not self.stream.sends_partial_records:
            # Of a field that was never met nobody has to be told.
            new = self._fields.keys() - self._former.fields.keys()
            gone = (gone | new).intersection(self._unseen)
        added = self._former.added
        if self.is_wanted:
            now = set(self.stream.adds)
            added = (added | now) - (self._fields.keys() - now)
        return ReadAs(
            self._fields, known, self._start_date, has_nulls=self._has_nulls, gone=gone, added=added
        )


class _Read:
    """One read of a stream or partition: where it starts, which rows are new, how far it has come."""

    def __init__(
        self, member: _Member, context: Context | None, start_date: str | None, children: Sequence[_Member]
    ) -> None:
        self._stream = member.stream
        self._is_shared = member.has_one_bookmark
        self._bookmarks, self._context = member.bookmarks, context
        self.tracker = self._tracker = member.tracker(context, start_date)
        self._has_page = False
        self._salt = json.dumps(context, sort_keys=True, default=str).encode() if context else b""
        self._has_taken = False
        self.drives_all = any(child.needs_all_parents for child in children)
        if self._tracker is not None:
            self._tracker.counts_unmet = member.stream.start_setting is not None and not self.drives_all
        self.old_bookmark = self._tracker.bookmark() if self._tracker else Bookmark()
        self.start = self._start(start_date)

    def _start(self, start_date: str | None) -> Start:
        if self._tracker is None:
            return Start()
        if self.drives_all:
            first = starting_value(start_date, self._stream.bookmark_kind)
            return Start(first, self.old_bookmark.start)
        return Start(self._tracker.start_value, self.old_bookmark.start)

    def note_clock(self, own: float | None, familys: float | None, margin: float) -> None:
        """Tell the tracker what the clock showed when its read, or the read of the family, was begun."""
        if self._tracker is not None and not self._has_page:
            self._tracker.note_clock(familys if self._is_shared else own, margin)
        self._has_page = True

    def take(
        self,
        encoder: RecordEncoder,
        rows: list[Any],
        records: Sequence[RawRecord],
        reader: SentRows,
        keys: Keys | None,
    ) -> list[int] | None:
        """Return the numbers of the rows to send; None means all."""
        key = self._stream.bookmark_key
        if self._tracker is None or key is None:
            return None
        try:
            column = encoder.column(rows, key)
            bits = None if keys is None else bits_of_keys(keys)
            numbers = self._tracker.take(column, records, self._salt, reader, bits)
            self._has_taken = self._has_taken or bool(rows)
            if bits is not None:
                self._supersede(bits, range(len(rows)) if numbers is None else numbers, records, reader)
            return numbers
        except UnknownOrderError as error:
            raise self._unknown_order(error) from None
        except UnorderableError as error:
            raise BadDataError(
                f"{error} at {self._stream.name}.$.{key}, the replication key; correct its type in the schema, or "
                "`replication_key_format`."
            ) from None

    def _supersede(
        self, bits: Sequence[int], numbers: Sequence[int], records: Sequence[RawRecord], reader: SentRows
    ) -> None:
        """Void what other partitions remember of the rows that are sent: a row may come back to where it was."""
        if self._is_shared or not self._context:
            return
        keys = self._bookmarks.remembered_elsewhere((bits[number] for number in numbers), self._context)
        if keys:
            moved = [number for number in numbers if bits[number] in keys]
            texts = reader.texts([records[number] for number in moved])
            versions = {
                bits[number]: version_hash(text, bits[number])
                for number, text in zip(moved, texts, strict=True)
            }
            self._bookmarks.supersede(versions, self._context)

    def _unknown_order(self, error: UnknownOrderError) -> SingerkitError:
        where = f"`{self._stream.bookmark_key}`, the replication key of stream `{self._stream.name}`"
        if self._has_taken:
            return BadDataError(
                f'Expected times at {where}, as before, got a text of another look, like `"{error.value}"`; see '
                "`replication_key_format`."
            )
        named = " or ".join(f'`"{name}"`' for name in error.formats[:3])
        fits = f"; {named} reads all values seen" if named else ""
        return ConfigurationError(
            f'The order of {where}, is not known: it holds text like `"{error.value}"`, no row was sent; set '
            f'`"replication_key_format"` of the stream{fits}, `"text"` compares as text, by code point.'
        )

    def end_page(self) -> None:
        if self._tracker is not None:
            self._tracker.end_page()

    def finish(self) -> None:
        if self._tracker is not None and not self._is_shared:
            self._tracker.finish()

    @property
    def is_incremental(self) -> bool:
        return self._tracker is not None

    @property
    def covers_all(self) -> bool:
        return self._tracker is not None and self._tracker.covers_all

    @property
    def bookmark(self) -> Bookmark | None:
        return self._tracker.bookmark() if self._tracker else None

    @property
    def nulls(self) -> int:
        return self._tracker.nulls if self._tracker else 0


@contextlib.contextmanager
def _closing(pages: Iterator[Page]) -> Iterator[Iterator[Page]]:
    """Close a generator where it stands, so that it releases its connections now."""
    try:
        yield pages
    finally:
        if isinstance(pages, Generator):
            pages.close()


def _key_reader_of(stream: BlockStream) -> RecordEncoder:
    """Return an encoder for a stream that is not written: it only reads the replication key."""
    properties: dict[str, Any] = {key: {} for key in [stream.bookmark_key] if key is not None}
    return RecordEncoder(stream.name, {"properties": properties}, SelectionMask())


def _chunks(records: Sequence[RawRecord]) -> Iterator[Sequence[RawRecord]]:
    if len(records) <= CHUNK_RECORDS:
        yield records
        return
    for begin in range(0, len(records), CHUNK_RECORDS):
        yield records[begin : begin + CHUNK_RECORDS]


def _family_of(root: BlockStream) -> list[BlockStream]:
    return [root, *(below for child in root.children for below in _family_of(child))]


def _root_of(stream: BlockStream) -> BlockStream:
    return stream if stream.parent is None else _root_of(stream.parent)
