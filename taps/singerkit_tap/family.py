"""The streams that are read together, a parent and all below it, with what is known of each during the run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from singer_sdk import metrics
from singer_sdk.singerlib import SelectionMask

from singerkit_shell.errors import ConfigurationError, SingerkitError
from singerkit_state.bookmarks import Bookmark, StreamBookmarks, canonical_json, context_key
from singerkit_state.order import UnorderableError
from singerkit_state.readas import READ_AS
from singerkit_state.tracker import BookmarkTracker
from singerkit_tap.absent import ABSENT, AbsentParents
from singerkit_tap.continuation import CONTINUATION, Continuations
from singerkit_tap.contract import Context
from singerkit_tap.copied import COPIED, COPIED_BELOW, CopiedFields
from singerkit_tap.failing import FailedReads
from singerkit_tap.fields import SentFields
from singerkit_tap.findings import (
    seen_in,
    told_of_answers,
    told_of_bookmark,
    told_of_equal_partitions,
    told_of_local_times,
    told_of_many_partitions,
    told_of_no_place,
    told_of_nulls,
    told_of_partitions,
)
from singerkit_tap.fullload import LOAD, FullLoad
from singerkit_tap.keys import Keys, KeyWatch, keys_of
from singerkit_tap.position import POSITION, KeptPosition
from singerkit_tap.reads import Read, StartingPoint
from singerkit_tap.repeats import RepeatWatch
from singerkit_tap.starts import check_contexts, told_apart_by
from singerkit_tap.stream import BlockStream
from singerkit_tap.sweeps import Sweep
from singerkit_wire.encode import Record, RecordEncoder, Rows, SentRows

__all__ = ["EnoughRecords", "Family", "Member", "family_of", "lineage"]

_RECENT_CONTEXTS = 300_000
"""Of each parent up to three are kept: its context, that with what else it is asked by, and with what is copied of it."""
_DRIVEN_BY = "_singerkit_driven_by"
_DRIVEN_BELOW = "_singerkit_driven_below"
"""The same of a stream that is read for those below it alone, while none of its own rows were written."""
_READ_AT = "_singerkit_read_at"
"""What the source's clock showed before a parent was last read whole, and its children below it, and the newest value of before."""
Warn = Callable[[BlockStream, str], None]
"""Warns of something about a stream, now and once more at the end of the run."""


class EnoughRecords(Exception):
    """The record limit of --test is reached."""


class Family:
    """The streams that are read together, with what is known of each during the run."""

    def __init__(
        self,
        root: BlockStream,
        wanted: Collection[str],
        bookmarks: Mapping[str, Any],
        start_date: str | None,
        warn: Warn,
    ) -> None:
        """``wanted``: the streams that are written; ``bookmarks``: the parts of the state, by stream."""
        self.members = {
            stream.name: Member(
                stream, bookmarks.get(stream.name), start_date, warn, is_wanted=stream.name in wanted
            )
            for stream in family_of(root)
            if any(below.name in wanted for below in family_of(stream))
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

    def active_children(self, member: Member) -> list[Member]:
        return [self.members[child.name] for child in member.stream.children if child.name in self.members]

    def has_children(self, member: Member) -> bool:
        return bool(self.active_children(member))

    def hands_on(self, member: Member) -> bool:
        """Whether something is read for the records of ``member``."""
        return any(child.stream.reads_parent_records for child in self.active_children(member))

    def covers_children(self, member: Member) -> bool:
        """Whether the position of a page of ``member`` covers what was read below it."""
        return member.position is not None or not self.has_children(member)

    def new_contexts(
        self, child: Member, records: Sequence[Record], context: Context | None
    ) -> Iterator[Context]:
        """Return the contexts of a page's records that this run has not read yet, those together that are asked for at once.

        One whose context was read, but is asked for by something else, is another parent, or a URL that was signed anew while
        the parents were read: it is read, and has no bookmark, since that would be the other's. One of which something else is
        copied has changed meanwhile: its rows come again, if they can take their place.
        """
        return iter(child.stream.grouped(self._each_new_context(child, records, context)))

    def _each_new_context(
        self, child: Member, records: Sequence[Record], context: Context | None
    ) -> Iterator[Context]:
        recent = self._recent.setdefault(child.stream.name, {})
        for child_context in child.stream.child_contexts(records, context):
            own = context_key(child_context)
            asked = canonical_json(child.stream.asked_by(child_context))
            copied = child.stream.copied(child_context) if child.replaces_rows else ()
            key, request = hash(own), hash((own, asked))
            whole = hash((request, canonical_json(copied))) if copied else request
            if whole in recent:
                continue
            if key in recent and request not in recent:
                child.note_equal(child_context)
            yield child_context
            # Bounded: among very many parents one that comes twice, far apart, is read twice.
            recent |= {key: None, request: None, whole: None}
            while len(recent) > _RECENT_CONTEXTS:
                del recent[next(iter(recent))]

    def left_absent(self) -> Iterator[tuple[Member, Context]]:
        """Yield the parents of former runs below which a child was not found, as far as this run has not asked there."""
        for member in self.members.values():
            if member.absent is not None:
                for context in member.absent.left():
                    yield member, context

    @property
    def is_replacing(self) -> bool:
        """Whether a commit here would take rows away for which not all others have come."""
        return any(member.is_replacing for member in self.members.values())

    def may_write_state(self) -> bool:
        """Tell whether a commit here could not double rows of any stream."""
        return not any(
            member.is_behind or (member.uncovered and member.needs_cover) for member in self.members.values()
        )

    def cover(self, member: Member) -> None:
        """Note that the bookmark of ``member`` covers all rows of it, and of its children, so far."""
        member.uncovered = 0
        for child in self.active_children(member):
            self.cover(child)

    def begin_read(self, member: Member, context: Context | None) -> Read:
        """Begin to read a stream, or a partition of it."""
        return member.begin_read(
            context, drives_all=self._drives_all(member), has_children=self.has_children(member)
        )

    def _drives_all(self, member: Member) -> bool:
        """Tell whether something below ``member`` has to see all its rows; what is far below, too, is read by way of them."""
        return any(child.needs_all_parents for child in self.active_children(member)) or any(
            below.has_missed_parents
            for below in map(self.members.get, (stream.name for stream in family_of(member.stream)[1:]))
            if below is not None
        )

    def leave_behind(self, bookmarks: dict[str, Any]) -> None:
        """Note, in the parts of the state, which children a parent went on without: they have to see all its rows again."""
        went_on = {name for name, member in self.members.items() if member.has_news}
        for name, part in bookmarks.items():
            if name not in self.members and isinstance(part, Mapping):
                missed = [note for note in (_DRIVEN_BY, _DRIVEN_BELOW) if part.get(note) in went_on]
                bookmarks[name] = {key: value for key, value in part.items() if key not in missed}

    def finish(self) -> None:
        """Note that the family has been read to its end."""
        for member in self.members.values():
            member.finish()
            if self.has_children(member):
                member.note_read(self.clock)

    def may_go_on_without(self, member: Member) -> bool:
        """Tell whether no row that was written would be doubled, where a read of ``member`` is left in its middle."""
        below = [self.members[one.name] for one in family_of(member.stream)[1:] if one.name in self.members]
        return member.can_leave_read and all(one.can_hold_back for one in below)

    def may_go_on_without_all(self) -> bool:
        """Tell the same of all its streams, where the first of them fails."""
        return not self.is_replacing and all(
            (member.replaces_rows and member.position is None) or not (member.uncovered or member.is_behind)
            for member in self.members.values()
        )

    def note_failed(self, member: Member, context: Context, error: SingerkitError) -> bool:
        """Note that a read of ``member`` has failed: what stands below it has not been seen as a whole, either.

        Return whether too many have failed to go on with others.
        """
        member.note_failed(context, error)
        for one in family_of(member.stream)[1:]:
            if one.name in self.members:
                self.members[one.name].failed.is_any = True
        return member.failed.is_given_up

    def may_be_read_again(self, child: Member) -> bool:
        """Tell whether rows of a child, and of all below it, that come again take their place or are recognised."""
        stream = child.stream
        return (not child.is_wanted or stream.bookmark_key is not None or bool(stream.primary_keys)) and all(
            map(self.may_be_read_again, self.active_children(child))
        )

    @contextlib.contextmanager
    def metrics(self) -> Iterator[None]:
        """Count and time each stream that is written, as singer-sdk does."""
        with ExitStack() as stack:
            for member in self.members.values():
                if member.is_wanted:
                    stack.enter_context(member.counter)
                    stack.enter_context(member.stream.get_sync_timer())
            yield


class Member:
    """One stream of a family: its bookmarks, its encoder, its counters."""

    def __init__(
        self, stream: BlockStream, state: Any, start_date: str | None, warn: Warn, *, is_wanted: bool
    ) -> None:
        self.stream = stream
        self.is_wanted = is_wanted
        # Records that tell changes have one key each time by their nature, and each of them counts.
        self._has_rows_by_key = bool(stream.primary_keys) and not stream.sends_partial_records
        start_date = stream.start_date or start_date
        self._start_date, self._warn = start_date, warn
        self._state = told_apart_by(stream.context_fields, state if isinstance(state, dict) else {})
        self.bookmarks = StreamBookmarks(
            self._state,
            stream.bookmark_key,
            is_selected=is_wanted,
            limit=stream.partition_limit,
            keeps_all=is_wanted and self._has_own_bookmarks and not stream.primary_keys,
        )
        self.fields = SentFields(
            stream, self._state, start_date, is_wanted=is_wanted, goes_on=not self.bookmarks.is_empty
        )
        self.take_schema()
        self.fields.expect(self.encoder.fields)
        self._whole = stream.encoder(whole=True)
        watches_keys = is_wanted and self._has_rows_by_key and not stream.is_key_unique
        self.watch = KeyWatch(stream) if watches_keys else None
        has_no_key = is_wanted and not stream.primary_keys
        self.repeats = RepeatWatch(stream) if has_no_key and not stream.follows_key else None
        goes_on_below = stream.parent is not None and stream.bookmark_key is not None
        self._copied_part = COPIED if is_wanted else COPIED_BELOW
        self.copied = (
            CopiedFields(
                stream,
                self._state.get(self._copied_part, self._state.get(COPIED)),
                replaces=self._has_rows_by_key or not is_wanted,
            )
            if goes_on_below
            else None
        )
        """What rows, or those below them, carry of their parents; None: nothing that could grow old."""
        self.position = KeptPosition.of(stream, self._state) if is_wanted else None
        """How far all runs have come; None: the stream goes on otherwise."""
        self.load = _load_of(stream, self._state, start_date) if is_wanted else None
        """The full load of a stream; None: it is read otherwise."""
        self.continuations = Continuations(stream, self._state)
        self.is_unchanged = False
        """Whether the source has said of a read that nothing has changed since the one before."""
        self.counter: metrics.Counter = stream.get_record_counter()
        self.failed = FailedReads()
        self.uncovered = 0
        self._written_before = 0
        """Rows that were written before the read in hand."""
        self.is_amid_page = False
        self.is_replacing = False
        """Whether rows have been sent away (`Page.replaces`), and not all have come that take their place."""
        self.has_news = False
        """Whether rows came that the run before had not seen."""
        self._reached: tuple[Read, Context | None] | None = None
        self._written = 0
        self._shared: BookmarkTracker | None = None
        own_driver = self._state.get(_DRIVEN_BY)
        self._driven_by: str | None = own_driver if is_wanted else self._state.get(_DRIVEN_BELOW, own_driver)
        self._will_be_driven_by: str | None = None
        self.absent: AbsentParents | None = None
        """Parents below which it was not found; None: it is read for all that are there in each run."""
        self._driver: Member | None = None
        """The stream above this one whose bookmark says which parents come again."""
        said = self._state.get(_READ_AT)
        self._read: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
        self._newest_before: Any = None
        self._warned_of_nulls = self._told_of_local_times = False
        self._told: set[str] = set()
        self._context_fields: tuple[str, ...] = ()

    def take_schema(self) -> None:
        """Read and write records by the schema of the stream as it is now."""
        self.encoder = self.stream.encoder() if self.is_wanted else _key_reader_of(self.stream)
        # Which parent a row stands below counts by itself; what is copied of it may change, and the row is the same.
        copied = self.stream.copied_fields if self.is_wanted and not self._has_rows_by_key else ()
        self._recognised_by = self.stream.encoder(without=copied) if copied else None
        self.fields.take_schema()

    def keys(
        self,
        rows: Rows,
        records: Sequence[Record],
        constants: Mapping[str, Any] | None,
        *,
        is_incremental: bool,
    ) -> Keys | None:
        """Return the key of each row, where somebody looks at it."""
        if not self._has_rows_by_key or not (self.watch is not None or is_incremental):
            return None
        if not self.is_wanted:
            return keys_of(self._whole, self._whole.decode(records, constants), self.stream.primary_keys)
        return keys_of(self.encoder, rows, self.stream.primary_keys)

    def note_parent(self, parent: Member) -> None:
        """Note whose records this child is read for.

        A child that was not selected before, or was left out while its parent went on (`Family.leave_behind`), has to see
        the parents that lie behind the parent's bookmark too. Until a run has shown it all of them, its state does not say
        that it knows them. A parent without a bookmark is read for those above it, and so is this child.
        """
        driver = self._driver = parent if parent.stream.bookmark_key is not None else parent._driver
        if driver is None:
            return
        self._will_be_driven_by = driver.stream.name
        if not self.stream.sees_all_parents:
            self.absent = AbsentParents(self.stream, self._state)
            if self.absent.is_torn:
                self._driven_by = None
        if driver.bookmarks.is_empty:
            self._driven_by = driver.stream.name
        elif self.has_missed_parents and not self.stream.sees_all_parents:
            self.stream.logger.info(
                "Stream `%s` is read for all rows of `%s` this time: the state does not say that it was read for those up to "
                "the bookmark.",
                self.stream.name,
                driver.stream.name,
            )

    def note_read(self, clock: float | None) -> None:
        """Note that the stream has been read, and its children below it, since the source's clock showed ``clock``."""
        self._read = {} if clock is None else {"clock": int(clock), "newest": self._newest_before}

    @property
    def replaces_rows(self) -> bool:
        """Whether rows that are written again take their place."""
        return self.is_wanted and self._has_rows_by_key

    @property
    def needs_cover(self) -> bool:
        """Whether rows that no bookmark and no position covers keep a STATE from being written: of others each run sends all again."""
        goes_on = self.stream.bookmark_key is not None or self.position is not None
        return goes_on or not self.stream.primary_keys

    @property
    def needs_all_parents(self) -> bool:
        return self.stream.ignore_parent_replication_key or self.has_missed_parents

    @property
    def has_missed_parents(self) -> bool:
        """Whether the parent's bookmark may stand behind rows that this child was not read for."""
        return self._will_be_driven_by is not None and self._driven_by != self._will_be_driven_by

    @property
    def _is_asked_for_all(self) -> bool:
        """Whether this run reads it below all records of the streams above it."""
        return self.stream.sees_all_parents or self.has_missed_parents

    @property
    def _has_own_bookmarks(self) -> bool:
        """Whether each partition has a bookmark of its own."""
        return self.stream.bookmark_key is not None and not self.has_one_bookmark

    @property
    def has_one_bookmark(self) -> bool:
        """Whether all contexts of this child share one bookmark."""
        return self.stream.parent is not None and not self.stream.partition_bookmarks

    def begin_read(self, context: Context | None, *, drives_all: bool, has_children: bool) -> Read:
        """Begin to read the stream, or a partition of it; see `Read`."""
        self._written_before = self._written
        if self.absent is not None and context:
            self.absent.begin(context)
        has_changed = bool(context) and self._has_changed(context or {})
        is_anew = has_changed and self.replaces_rows
        point = self._starting_point(context, is_anew=is_anew or self.is_swept)
        tracker = self._tracker(context, is_anew=is_anew)
        if tracker is not None and context is None:
            self._newest_before = tracker.newest_before
        return Read(
            self.stream,
            self.bookmarks,
            tracker,
            context,
            point,
            is_shared=self.has_one_bookmark,
            # What has changed may have been copied further down.
            drives_all=drives_all or (has_changed and has_children) or self.is_swept,
        )

    @property
    def is_swept(self) -> bool:
        """Whether this run reads all rows of an incremental stream, to see which are gone."""
        return self.load is not None and self.load.is_due and self.stream.bookmark_key is not None

    @property
    def doubt_of_nulls(self) -> str | None:
        """Why a sweep that goes on by the replication key may have missed rows without one: they are asked for by number."""
        if not (self.is_swept and self.stream.follows_key and self.fields.has_nulls):
            return None
        return "rows without a replication key are read by number behind the others, where one may be missed while rows go"

    def _has_changed(self, context: Context) -> bool:
        """Tell whether what is copied has changed in a parent, or in one of those that are asked for at once."""
        copied = self.copied
        return copied is not None and any(
            [copied.has_changed(one) for one in self.stream.members_of(context)]
        )

    def _starting_point(self, context: Context | None, *, is_anew: bool) -> StartingPoint:
        clock = self._read.get("clock")
        return StartingPoint(
            self._start_date,
            is_anew=is_anew,
            position=self._start_position,
            clock=clock if isinstance(clock, int) else None,
            newest=self._read.get("newest"),
            continuation=self.continuations.of(context) if self.is_wanted else None,
            is_sweep=self.is_swept,
        )

    @property
    def _start_position(self) -> Any:
        if self.position is not None:
            return self.position.reached
        return self.load.position if self.load is not None else None

    def note_position(self, position: Any) -> bool:
        """Take the position of a safe page; return whether it covers all rows that were written."""
        if position is None or not (self.position or self.load):
            return False
        if self.position is not None:
            self.position.reached = position
        elif self.load is not None:
            self.load.position = position
        return True

    def _tracker(self, context: Context | None, *, is_anew: bool) -> BookmarkTracker | None:
        """Return what follows the replication key through one read; None for a full table."""
        if self.stream.bookmark_key is None:
            return None
        if self.has_one_bookmark:
            self._shared = self._shared or self._new_tracker(self.bookmarks.get(), is_sorted=False)
            return self._shared
        if context:
            self._context_fields = tuple(context)
            check_contexts(self.stream, self._state, context)
        formers = self.stream.former_contexts(context) if context else ()
        start = self.bookmarks.get(context, formers)
        is_sorted = (
            self.stream.is_sorted and not self.is_swept
        )  # what a sweep finds when it looks again is in no order
        return self._new_tracker(Bookmark() if is_anew else start, is_sorted=is_sorted)

    def _new_tracker(self, start: Bookmark, *, is_sorted: bool) -> BookmarkTracker:
        stream = self.stream
        try:
            return BookmarkTracker(
                stream.bookmark_kind,
                start,
                is_sorted=is_sorted,
                in_parts=stream.in_parts,
                lookback=stream.lookback,
                start_date=self._start_date,
                keeps_older=stream.keeps_older_rows,
                signpost=stream.signpost,
                follows_key=stream.follows_key and not self.has_one_bookmark,
                has_first_answer=not self.has_one_bookmark,
                has_key=bool(stream.primary_keys),
                by_key=self._has_rows_by_key,
                memory=stream.memory_rows // 10
                if stream.is_partitioned and not self.has_one_bookmark
                else stream.memory_rows,
            )
        except UnorderableError as error:
            raise ConfigurationError(
                f"{error} as bookmark of stream `{self.stream.name}` in the state; correct `replication_key_format`, "
                f"{stream.way_to_go_on}or start the stream over with {stream.way_to_start_over}."
            ) from None

    def reader(self, constants: Mapping[str, Any] | None) -> SentRows:
        """Return what tells which records are the same: what is sent of them, or all of a parent that is not sent."""
        encoder = self.encoder if self.is_wanted else self._whole
        return SentRows(encoder, constants, self.fields.former_schemas, self._recognised_by)

    def within_limit(self, rows: Rows) -> Rows:
        limit = self.stream.ABORT_AT_RECORD_COUNT
        return rows if limit is None else rows[: max(0, limit - self._written)]

    def count(self, rows: int) -> None:
        self._written += rows
        self.uncovered += rows
        self.counter.increment(rows)

    def raise_if_enough(self) -> None:
        limit = self.stream.ABORT_AT_RECORD_COUNT
        if limit is not None and self._written >= limit:
            raise EnoughRecords

    @property
    def rows_written(self) -> int:
        return self._written

    @property
    def is_behind(self) -> bool:
        """Whether what was reached can no longer be told from what came after it."""
        return self._reached is not None and self.is_amid_page

    @property
    def version(self) -> int | None:
        """What each record carries; None: nothing."""
        return self.load.version if self.load is not None else None

    def reach(self, read: Read, context: Context | None, *, now: bool) -> None:
        """Note a place where ``read`` can be resumed; it is only put into words ``now``, or when a STATE is written."""
        self.is_amid_page = False
        if now:
            self._put(read, context)
        else:
            self._reached = read, context

    def _put(self, read: Read, context: Context | None) -> None:
        self._reached = None
        if self.copied is not None and context:
            for one in self.stream.members_of(context):
                self.copied.note(one)
        bookmark = read.bookmark
        if bookmark is None or self.has_one_bookmark:
            return
        before = self.bookmarks.forgotten
        self.bookmarks.put(bookmark, context)
        if before == 0 and self.bookmarks.forgotten:
            self._warn(self.stream, told_of_many_partitions(self.stream, self.bookmarks.limit))

    @property
    def can_leave_read(self) -> bool:
        """Whether nothing is doubled where the read in hand ends in its middle, and comes again as a whole."""
        if self.is_replacing:
            return False
        if self.stream.bookmark_key is None:
            return self.replaces_rows or self._written == self._written_before
        return self.can_hold_back and (self.replaces_rows or not (self.uncovered or self.is_behind))

    @property
    def can_hold_back(self) -> bool:
        """Whether nothing is doubled where a bookmark that all partitions share does not move."""
        return self.replaces_rows or not (self.has_one_bookmark and self.uncovered)

    def note_failed(self, context: Context, error: SingerkitError) -> None:
        """Note that the read in hand has failed: its bookmark stays where it has come to, and later runs ask there again."""
        if self._reached is not None and not self.is_amid_page:
            self._put(*self._reached)
        self._reached, self.is_amid_page = None, False
        self.failed.note(error)
        if self.absent is not None:
            self.absent.note(context, is_there=False)

    def note_unchanged(self, context: Context | None) -> None:
        """Note that a read has shown no rows, since nothing has changed since the one before: all that is known of it stays."""
        self.is_unchanged = True
        self.continuations.note(context, self.continuations.of(context))
        if self.absent is not None and context:
            self.absent.note(context, is_there=True)

    def refuse_without_place(self, context: Context | None) -> None:
        """See that the rows of a partition, which are about to be written, will be covered by a bookmark.

        Raises:
            ConfigurationError: they would be doubled by the next run.
        """
        if context and self.bookmarks.lacks_place(context):
            raise ConfigurationError(told_of_no_place(self.stream, self.bookmarks.limit))

    def note_equal(self, context: Context) -> None:
        """Note that another partition with this context comes: no bookmark is that of both, and none is kept."""
        self.bookmarks.drop(context)
        has_own_bookmarks = self._has_own_bookmarks
        if (
            "equal" not in self._told
            and self.is_wanted
            and (has_own_bookmarks or not self.stream.primary_keys)
        ):
            self._told.add("equal")
            self._warn(
                self.stream,
                told_of_equal_partitions(self.stream, tuple(context), has_own_bookmarks=has_own_bookmarks),
            )

    def close(
        self, read: Read, context: Context | None, *, is_absent: bool = False, continuation: Any = None
    ) -> None:
        """Store the bookmark of a partition, or of the stream, that has been read to its end, and its ``continuation``.

        One that is not there (``is_absent``) has not been read: its bookmark stays, since what changed before is still to come.
        """
        if continuation is not None and self.is_wanted:
            self.continuations.note(context, continuation)
        if self.absent is not None and context:
            self.absent.note(context, is_there=not is_absent)
        if is_absent:
            self._reached, self.is_amid_page = None, False
            return
        self._put(read, context)
        self.is_amid_page = self.is_replacing = False
        self.failed.note_read()
        if read.tracker is not None and not self.has_one_bookmark:
            self.uncovered = 0
            self._tell_of(read.tracker, asks=not read.drives_all)
        self._tell_of_local_times(read)
        if read.nulls and not self._warned_of_nulls:
            self._warned_of_nulls = self.fields.has_nulls = True
            # One bookmark of many reads may still come from a later one.
            goes_on = self.has_one_bookmark or (read.bookmark is not None and read.bookmark.value is not None)
            self.stream.logger.warning("%s", told_of_nulls(self.stream, read.nulls, goes_on=goes_on))

    def _tell_of_local_times(self, read: Read) -> None:
        if read.bookmark is not None and not self._told_of_local_times:
            sentence = told_of_local_times(self.stream, read.bookmark.value)
            if sentence is not None:
                self._told_of_local_times = True
                self.stream.logger.warning("%s", sentence)

    def _tell_of(self, tracker: BookmarkTracker, *, asks: bool) -> None:
        """Say what a read shows of the bookmark and of the source; of each kind of the latter once per stream.

        ``asks``: the source was asked for what comes from the bookmark on.
        """
        if not self.is_wanted:
            return
        for sentence in told_of_bookmark(tracker, self.stream):
            self._warn(self.stream, sentence)
        for sentence in seen_in(tracker, self.stream):
            self.stream.logger.info("%s", sentence)
        for kind, sentence in told_of_answers(
            tracker, self.stream, self.fields, self.stream.start_setting if asks else None
        ):
            if kind not in self._told:
                self._told.add(kind)
                self._warn(self.stream, sentence)
                if kind == "changed":
                    self.fields.note_told()

    def _tell_of_strangers(self) -> None:
        """Say that the parents of this run are all others, as far as the state knows, where all of them were read."""
        strangers = self.bookmarks.strangers
        if strangers is None or not self.is_wanted or self.stream.parent is None:
            return
        known, came = strangers
        if self._is_asked_for_all:
            self._warn(self.stream, told_of_partitions(self.stream, known, came, self._context_fields))

    def finish(self) -> None:
        """Note that the stream has been read to its end."""
        self._tell_of_strangers()
        for sentence in self.stream.doubts_of_parents():
            self._warn(self.stream, sentence)
        if self._shared is not None and self.failed.is_any:
            self.bookmarks.put(self._shared.so_far())
            self._shared = None
        if self._shared is not None:
            self._shared.finish()
            self._shared.counts_unmet = self.stream.start_setting is not None and self._is_asked_for_all
            self.bookmarks.put(self._shared.bookmark())
            # Where parents that have not changed are passed over, rows below them do not come, whatever is asked.
            self._tell_of(self._shared, asks=self._is_asked_for_all)
            self._shared = None
        self._driven_by = None if self.failed.is_given_up else self._will_be_driven_by or self._driven_by
        self.uncovered = 0
        if self.load is not None:
            self.load.position = None
        of_all = () if self.failed.is_any else (self.fields, self.copied)
        for watch in (*of_all, self.watch, self.repeats, self.absent):
            for sentence in watch.finish() if watch is not None else ():
                self._warn(self.stream, sentence)

    def state(self) -> dict[str, Any]:
        """Return the stream's part of the state."""
        if self._reached is not None and not self.is_amid_page:
            self._put(*self._reached)
        if self._shared is not None:
            self.bookmarks.put(self._shared.so_far())
        state = {
            key: value
            for key, value in self.bookmarks.state().items()
            if key
            not in (
                _DRIVEN_BY,
                _DRIVEN_BELOW,
                _READ_AT,
                READ_AS,
                LOAD,
                ABSENT,
                COPIED,
                COPIED_BELOW,
                CONTINUATION,
                POSITION,
            )
        }
        state |= (
            self.position.written()
            if self.position is not None
            else {name: said for name, said in self._state.items() if name == POSITION}
        )
        if self.load is not None and (load := self.load.written()):
            state[LOAD] = load
        if continuations := self.continuations.written():
            state[CONTINUATION] = continuations
        has_lost_parents = self.absent is not None and self.absent.has_lost
        if self._driven_by is not None and not has_lost_parents:
            state[_DRIVEN_BY if self.is_wanted else _DRIVEN_BELOW] = self._driven_by
        if not self.is_wanted and self._driver is not None and not self._driver.has_news:
            state |= {note: name for note, name in self._state.items() if note == _DRIVEN_BY}
        if self._read and self.stream.bookmark_key is not None:
            state[_READ_AT] = dict(self._read)
        if self.absent is not None and (absent := self.absent.written()):
            state[ABSENT] = absent
        for part in (COPIED, COPIED_BELOW):
            is_of_run = self.copied is not None and part == self._copied_part
            if copied := self.copied.written() if is_of_run and self.copied else self._state.get(part):
                state[part] = copied
        return {**state, READ_AS: self.fields.read_as().written()}


def _load_of(stream: BlockStream, part: Mapping[str, Any], start_date: str | None) -> FullLoad | None:
    if stream.sweeps_every is not None and stream.bookmark_key is not None:
        return Sweep(stream, part, stream.sweeps_every, start_date)
    return FullLoad(stream, part) if _is_full_load(stream) else None


def _is_full_load(stream: BlockStream) -> bool:
    """Tell whether each run reads the stream as a whole; a child, for all rows of its parent, and with a version."""
    if stream.parent is None:
        return stream.bookmark_key is None and not stream.goes_on_by_position
    return stream.sends_versions and all(one.bookmark_key is None for one in lineage(stream))


def lineage(stream: BlockStream) -> list[BlockStream]:
    """Return a stream and all above it."""
    return [stream, *(lineage(stream.parent) if stream.parent is not None else ())]


def _key_reader_of(stream: BlockStream) -> RecordEncoder:
    """Return an encoder for a stream that is not written: it only reads the replication key."""
    properties: dict[str, Any] = {key: {} for key in [stream.bookmark_key] if key is not None}
    return RecordEncoder(stream.name, {"properties": properties}, SelectionMask())


def family_of(root: BlockStream) -> list[BlockStream]:
    """Return a stream and all below it, parents first."""
    return [root, *(below for child in root.children for below in family_of(child))]
