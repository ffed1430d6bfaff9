"""The sync loop of log-based streams: changes in, RECORD lines out, a STATE only where a transaction ends.

All log-based streams share one log and one position in it. A run reads the streams that are new to the state chunk by chunk
(`log_contract`), each time followed by the log up to where the chunk has seen it, and then the log up to where it ended when
the run began, or on and on. What a STATE says is true of the rows before it: where a target has committed it, the next run
reads on from there and nothing is there twice, with a key or without.

**When a STATE is written.** Behind a chunk; where a transaction ends, after ``state_every`` records, or a second, or, where
nothing came for these streams, ten; at the end, and at a signal where the transaction in hand ends.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from singer_sdk import metrics

from singerkit_shell.errors import ConfigurationError, SingerkitError
from singerkit_shell.progress import Progress as ProgressLine
from singerkit_shell.signals import stop_flag
from singerkit_state.readas import READ_AS
from singerkit_tap.fields import SentFields
from singerkit_tap.log_contract import Change, LogGone, LogPage, LogReader, Position, ReadyChanges, TableGone
from singerkit_tap.log_keeper import Keeper
from singerkit_tap.log_settings import LogSettings
from singerkit_tap.log_state import LOG, LOG_KEY, OpenChunk, Progress, identity_of, position_text
from singerkit_tap.stream import BlockStream
from singerkit_wire.encode import RawRecord
from singerkit_wire.output import Output
from singerkit_wire.stream import DELETED_AT

__all__ = ["LogSync"]

CHUNK_RECORDS = 5_000
"""Records encoded at once."""
STATE_SECONDS = 1.0
IDLE_STATE_SECONDS = 10.0
GRACE_SECONDS = 5.0
"""How long a transaction in hand may go on after a signal; its part is dropped by the target otherwise."""

_SAFE = "what was confirmed by the target is safe, run again to continue."


class _Member:
    """One log-based stream in one run."""

    def __init__(self, stream: BlockStream, part: Any) -> None:
        if stream.children:
            raise ConfigurationError(
                f"Stream `{stream.name}` is read from the log, and `{stream.children[0].name}` below it needs it read as a whole; "
                "choose another `replication-method` in the catalog."
            )
        if DELETED_AT in stream.kinds:
            raise ConfigurationError(
                f"Stream `{stream.name}` has a field `{DELETED_AT}` of its own, by which live rows would be taken for deleted ones; "
                f"leave it out with `!{stream.name}.{DELETED_AT}` in `select`, or choose another `replication-method` in the catalog."
            )
        self.stream = stream
        self.part: dict[str, Any] = dict(part or {})
        self.progress = Progress.of(self.part) or Progress(_newer(0))
        self.fields = SentFields(stream, self.part, None, is_wanted=True, goes_on=True)
        self.counter: metrics.Counter = stream.get_record_counter()
        self.take_schema()

    def take_schema(self) -> None:
        """Write records by the schema of the stream as it is now."""
        self.encoder = self.stream.encoder()
        self.fields.take_schema()

    def state(self, position: Position, reader: LogReader) -> dict[str, Any] | None:
        """Return the stream's part of the state; None: nothing of it is certain."""
        if self.progress.is_new:
            return None
        identity = reader.identity(self.stream.name, position) or identity_of(self.part)
        kept = {key: item for key, item in self.part.items() if key not in (LOG, LOG_KEY)}
        return {
            **kept,
            "replication_key": LOG_KEY,
            "replication_key_value": position_text(position),
            LOG: {**self.progress.written(), **({} if identity is None else {"identity": identity})},
            READ_AS: self.fields.read_as().written(),
        }


class LogSync:
    """The log-based streams of one run.

    ``state``: what the given state says of the log, or None; ``parts``: its parts by stream. ``write_state`` writes a STATE with
    `update` taken into account, ``write_schema`` the SCHEMA of a stream. ``committed`` returns what the state that the
    target has committed in this run says of the log, None where it has committed none.
    """

    def __init__(
        self,
        streams: Sequence[BlockStream],
        state: Mapping[str, Any] | None,
        parts: Mapping[str, Any],
        output: Output,
        progress: ProgressLine,
        settings: LogSettings,
        *,
        state_every: int,
        write_state: Callable[[], None],
        write_schema: Callable[[BlockStream], Any],
        committed: Callable[[], Mapping[str, Any] | None] | None = None,
    ) -> None:
        self._members = {stream.name: _Member(stream, parts.get(stream.name)) for stream in streams}
        self._given = state if self._goes_on else None
        self._output, self._progress, self._settings = output, progress, settings
        self._state_every = state_every
        self._write_state_message, self._write_schema = write_state, write_schema
        self._committed = committed
        self._position: Position = None
        self._written: Position = None
        self._end: Position = None
        self._since, self._state_at = 0, time.monotonic()
        self._deadline: float | None = None
        self._stop_by: float | None = None
        self._to_activate: dict[str, int] = {}

    # The run

    @contextlib.contextmanager
    def reading(self, reader: LogReader) -> Iterator[None]:
        """Begin with the log, and keep its source answered inside; the reader is closed behind.

        Raises:
            ConfigurationError: the log is another one than that of the state, or does not reach back to it.
        """
        self._reader = reader
        with contextlib.closing(reader):
            self._begin(reader)
            position = None if self._committed is None else self._committed_position
            with Keeper(reader, self._settings.keep_alive_seconds, position) as self._keeper:
                if self._given is not None:
                    self._keeper.acknowledge(self._given["position"])
                yield

    def _begin(self, reader: LogReader) -> None:
        self._source = reader.source
        given = self._given
        if given is not None and given["source"] != self._source:
            raise self._cannot_go_on(
                f"The state is of the log `{given['source']}`, and the source has the log `{self._source}`, so that nobody knows "
                "which changes are missing",
                "name that source again",
            )
        self._start_anew(reader)
        given = self._given
        try:
            self._position = self._written = reader.begin(None if given is None else given["position"])
        except LogGone as error:
            if error.is_told:  # a target that has committed a later state brings an older one up to date by what the run begins with
                self._write_state_message()
            raise self._gone(error) from None
        if not self._settings.follows:
            self._end = reader.end()
        if self._settings.max_seconds is not None:
            self._deadline = time.monotonic() + self._settings.max_seconds

    @property
    def _goes_on(self) -> bool:
        return any(not member.progress.is_new for member in self._members.values())

    def _start_anew(self, reader: LogReader) -> None:
        """Let streams start anew whose table is another one than that of the state."""
        former = {name: member for name, member in self._members.items() if not member.progress.is_new}
        try:
            anew = reader.anew({name: identity_of(member.part) for name, member in former.items()})
        except TableGone as error:
            raise self._table_gone(error) from None
        for name, why in anew.items():
            self._tell_of_start_anew(former[name], why)
            self._members[name] = _Member(former[name].stream, None)
            self._members[name].progress.version = _newer(former[name].progress.version)
        self._given = self._given if self._goes_on else None

    @staticmethod
    def _tell_of_start_anew(member: _Member, why: str) -> None:
        member.stream.logger.warning(
            "Stream `%s` starts anew, with a new version of all of its rows: %s.", member.stream.name, why
        )

    def run(self) -> None:
        """Read the starts that are not complete, then the log up to the end of the run."""
        with ExitStack() as stack:
            for member in self._members.values():
                self._write_schema(member.stream)
                stack.enter_context(member.counter)
                stack.enter_context(member.stream.get_sync_timer())
            try:
                self._read_to_end()
            except SingerkitError:
                # What was written before and is covered need not be read again.
                if self._is_between_transactions and not self._is_said:
                    self.write_state()
                raise
        for name in self._members:
            self._progress.done(name)
        self.write_state()

    def _read_to_end(self) -> None:
        """Read the starts, then the log; again where the log has a stream start anew."""
        while True:
            for member in self._members.values():
                while not member.progress.is_started and not self._is_over:
                    self._go_on_with_start(member)
            if self._is_over:
                return
            self._read(self._end, to_end=True)
            if self._is_over or self._all_started:
                return

    @property
    def _all_started(self) -> bool:
        return all(member.progress.is_started for member in self._members.values())

    def read_one(self, stream: BlockStream, reader: LogReader) -> None:
        """Write the first rows of a stream, up to its limit, as ``--test`` does; the log is left alone."""
        member = self._members[stream.name]
        left = stream.ABORT_AT_RECORD_COUNT
        self._write_schema(stream)
        with contextlib.closing(reader), member.counter:
            for page in reader.read_chunk(stream.name, None, None).pages:
                records = page.records if left is None else page.records[:left]
                self._write(member, records)
                left = None if left is None else left - len(records)
                if left == 0:
                    return

    def renew_schema(self, stream: BlockStream) -> bool:
        """Go on with a schema that has changed in mid-log, before its first page; False: the stream is none of these."""
        member = self._members.get(stream.name)
        if member is not None:
            member.take_schema()
            self._write_schema(stream)
        return member is not None

    # The state

    def update(self, rest: dict[str, Any], bookmarks: dict[str, Any]) -> None:
        """Put what is known of the log into the parts of a state."""
        parts = {name: member.state(self._position, self._reader) for name, member in self._members.items()}
        for name, part in parts.items():
            if part is not None:
                bookmarks[name] = part
            else:
                bookmarks.pop(name, None)
        if any(part is not None for part in parts.values()):
            rest[LOG] = {"source": self._source, "position": self._position}

    def write_state(self) -> None:
        """Write a STATE, and before it which rows are gone with it."""
        for name, version in self._to_activate.items():
            self._output.activate_version(name, version)
        self._to_activate.clear()
        self._write_state_message()
        self._since, self._written, self._state_at = 0, self._position, time.monotonic()

    @property
    def _is_said(self) -> bool:
        return not self._since and not self._to_activate and self._written == self._position

    def _write_state_if_due(self) -> None:
        if self._is_said:
            return
        pause = STATE_SECONDS if self._since else IDLE_STATE_SECONDS
        if self._since >= self._state_every or time.monotonic() - self._state_at >= pause:
            self.write_state()

    def _committed_position(self) -> Position | None:
        """Return the position that the target has committed in this run, as it is read back."""
        said = self._committed() if self._committed is not None else None
        return None if said is None or said.get("source") != self._source else said.get("position")

    # The start of a stream

    def _go_on_with_start(self, member: _Member) -> None:
        progress = member.progress
        if progress.chunk is None:
            self._read_chunk(member)
            self.write_state()
        chunk = progress.chunk
        if chunk is None:
            return
        self._read(chunk.until)
        if self._is_over:
            return  # perhaps before the end of the chunk: the state has it
        if progress.chunk is chunk:  # else a TRUNCATE has begun the start anew
            progress.chunk = None
        if progress.is_started:
            self._to_activate[member.stream.name] = progress.version

    def _read_chunk(self, member: _Member) -> None:
        progress = member.progress
        begin = progress.after
        # Not under the lock: a query may take long, and the log's connection is answered meanwhile.
        chunk = self._reader.read_chunk(member.stream.name, begin, self._position)
        after = begin
        self._is_between_transactions = False
        for page in chunk.pages:
            self._write(member, page.records)
            after = page.after
            stop_flag.raise_if_set(_SAFE)
        if after is not None and after == begin:
            raise SingerkitError(
                f"The reader of the log gave no row of stream `{member.stream.name}` and no end of it, which is a fault of the tap; "
                "what was confirmed by the target is safe: please report it."
            )
        progress.is_new, progress.is_read, progress.after = False, after is None, after
        progress.chunk = OpenChunk(begin, chunk.snapshot, chunk.until)
        self._is_between_transactions = True

    # The log

    def _read(self, until: Position | None, *, to_end: bool = False) -> None:
        """Read the log up to ``until``, or on and on; less where the run is over, or, ``to_end``, where a stream has to start anew."""
        pages = self._reader.read(self._position, until)
        with _closing(pages):
            try:
                for page in self._each(pages):
                    self._take(page)
                    if self._is_over or (to_end and self._is_between_transactions and not self._all_started):
                        return
            except LogGone as error:
                raise self._gone(error) from None
            except TableGone as error:
                raise self._table_gone(error) from None
        if not self._is_between_transactions:
            raise SingerkitError(
                "The reader of the log ended inside a transaction, which is a fault of the tap; what was confirmed by the target "
                "is safe, nothing of that transaction is: please report it."
            )

    def _each(self, pages: Iterator[Any]) -> Iterator[Any]:
        """Yield what the reader gives; it is not called while somebody else calls it."""
        while True:
            with self._keeper.lock:
                self._keeper.tend()
                page = next(pages, None)
            if page is None:
                return
            yield page

    def _take(self, page: LogPage) -> None:
        if page.changes:
            self._is_between_transactions = False
            self._write_changes(page.changes)
        if page.position is not None:
            self._position = page.position
            self._is_between_transactions = True
            stop_flag.raise_if_set(_SAFE)  # the STATE is written on the way out
            self._write_state_if_due()
        elif stop_flag:
            self._stop_by = self._stop_by or time.monotonic() + GRACE_SECONDS
            if stop_flag.count != 1 or time.monotonic() > self._stop_by:
                stop_flag.raise_if_set(_SAFE)

    @property
    def _is_over(self) -> bool:
        """Whether the time of this run is over, and nothing is in hand."""
        return (
            self._deadline is not None
            and self._is_between_transactions
            and time.monotonic() >= self._deadline
        )

    _is_between_transactions = True

    def _write_changes(self, changes: Sequence[Change]) -> None:
        if isinstance(changes, ReadyChanges) and self._all_are_rows(changes):
            self._write_ready(changes)
            return
        for is_row, run in groupby(changes, key=lambda change: change.record is not None):
            if is_row:
                rows = list(run)
                for begin in range(0, len(rows), CHUNK_RECORDS):
                    self._write_rows(rows[begin : begin + CHUNK_RECORDS])
            else:
                for change in run:
                    self._empty(change)

    def _all_are_rows(self, changes: ReadyChanges) -> bool:
        """Tell whether each change is sent, whatever a chunk has seen."""
        return self._all_started and all(change.record is not None for change in changes.others.values())

    def _write_ready(self, changes: ReadyChanges) -> None:
        encoded = [
            (part.places, self._lines(member, part.rows, None))
            for part in changes.parts
            if (member := self._members.get(part.stream)) is not None
        ]
        encoded += self._grouped(changes.others)
        self._write_lines(encoded, len(changes))

    def _write_rows(self, changes: Sequence[Change]) -> None:
        """Write changes in their order; those of one stream are encoded at once, however they alternate."""
        self._write_lines(self._grouped(dict(enumerate(changes))), len(changes))

    def _grouped(self, changes: Mapping[int, Change]) -> list[tuple[Sequence[int], bytes]]:
        """Return the lines of changes by streams, with their places."""
        groups: dict[tuple[str, str | None], list[int]] = {}
        for place, change in changes.items():
            groups.setdefault((change.stream, change.deleted_at), []).append(place)
        encoded = []
        for (name, deleted_at), places in groups.items():
            member = self._members.get(name)
            if member is not None:
                taken = self._taken(member, changes, places)
                records = [changes[place].record or b"" for place in taken]
                encoded.append((taken, self._lines(member, records, deleted_at)))
        return encoded

    def _write_lines(self, encoded: Sequence[tuple[Sequence[int], bytes]], count: int) -> None:
        if len(encoded) == 1:
            self._output.records(encoded[0][1])
            return
        lines = [b""] * count
        for places, some in encoded:
            for place, line in zip(places, some.split(b"\n"), strict=False):  # behind the last one is nothing
                lines[place] = line + b"\n"
        self._output.records(b"".join(lines))

    def _taken(self, member: _Member, changes: Mapping[int, Change], places: Sequence[int]) -> Sequence[int]:
        if member.progress.is_started:
            return places
        with self._keeper.lock:
            return [place for place in places if member.progress.takes(changes[place], self._reader)]

    def _empty(self, change: Change) -> None:
        member = self._members.get(change.stream)
        if member is None:
            return
        if change.doubt is not None:
            self._doubt(member, change, change.doubt)
            return
        version = _newer(member.progress.version)
        with self._keeper.lock:
            is_emptied = member.progress.empty(change, self._reader, version)
        if is_emptied:
            self._to_activate[change.stream] = version

    def _doubt(self, member: _Member, change: Change, why: str) -> None:
        """Let a stream start anew where a change of it is not known."""
        with self._keeper.lock:
            if not member.progress.doubts(change, self._reader):
                return
        if not self._reader.starts_anew:
            raise self._table_gone(TableGone(member.stream.name, why))
        self._tell_of_start_anew(member, why)
        member.progress.begin_anew(_newer(member.progress.version))
        self._to_activate.pop(member.stream.name, None)

    def _write(self, member: _Member, records: Sequence[RawRecord]) -> None:
        """Write rows of a snapshot."""
        for begin in range(0, len(records), CHUNK_RECORDS):
            self._output.records(self._lines(member, records[begin : begin + CHUNK_RECORDS], None))

    def _lines(self, member: _Member, records: Sequence[RawRecord], deleted_at: str | None) -> bytes:
        """Return the RECORD lines of ``records``, which are counted as written."""
        if not records:
            return b""
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        rows = member.encoder.decode(records, {DELETED_AT: deleted_at})
        member.counter.increment(len(records))
        self._progress.add(member.stream.name, len(records))
        self._since += len(records)
        return member.encoder.lines(rows, now, member.progress.version)

    # What is told

    def _gone(self, error: LogGone) -> ConfigurationError:
        later = self._first.way_to_go_on if error.is_told else ""
        otherwise = (
            f"if the target has committed a later state, and has not brought the file up to it now, {later}and run again; else "
            if later
            else ""
        )
        return self._cannot_go_on(
            f"The log no longer reaches back to where the state stands ({error}), so that changes are missing",
            f"{otherwise}give the source its log back",
        )

    def _table_gone(self, error: TableGone) -> ConfigurationError:
        way = self._members[error.stream].stream.way_to_start_over
        return ConfigurationError(
            f"Stream `{error.stream}` cannot be gone on with ({error}); what is loaded is safe: start it over with {way}."
        )

    def _cannot_go_on(self, finding: str, way: str) -> ConfigurationError:
        count = max(1, len(self._known))
        each = f" (and so for each of the {count} streams; without `--stream`, for all)" if count > 1 else ""
        return ConfigurationError(
            f"{finding}; what is loaded is safe: {way}, or start over with {self._first.way_to_start_over}{each}."
        )

    @property
    def _known(self) -> list[_Member]:
        return [member for member in self._members.values() if not member.progress.is_new]

    @property
    def _first(self) -> BlockStream:
        """The first stream that the state goes on with, or that there is."""
        return (self._known or [*self._members.values()])[0].stream


def _newer(version: int) -> int:
    """Return a version of rows that is greater than another, and than those of runs before."""
    return max(version + 1, time.time_ns() // 1_000_000)


@contextlib.contextmanager
def _closing(pages: Any) -> Iterator[None]:
    try:
        yield
    finally:
        if hasattr(pages, "close"):
            pages.close()
