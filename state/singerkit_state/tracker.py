"""Which value becomes the bookmark of a read, and which rows are new (decision 15).

A read takes time, and the source changes meanwhile: a row that changes behind the reading point is not seen, and a
later one ahead of it is. So the bookmark is not the greatest value seen, but bounded by a *signpost*: a value below
which nothing can change any more once the read has begun. Two such values are known, since the key grows with each
change:

* the greatest value of the *read before*: what changes in this read is not below what was there before it;
* the greatest value of the *first answer* of this read: what changes behind a later page is not below it.

The greater of them counts, and, where the source tells its clock, nothing beyond the clock less a margin: a row dated
ahead of it moves no bookmark, and a row that becomes visible late is asked for again. Rows between bookmark and
greatest value are asked for again by the next read and recognised (memory.py). Our own clock is asked for one thing only,
where the source tells none: a row dated more than a day ahead of it moves no bookmark.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from singerkit_shell.walltime import wall_time
from singerkit_state.bookmarks import SEEN_LIMIT, Bookmark, by_value
from singerkit_state.instants import has_no_offset, is_date, iso_of
from singerkit_state.memory import (
    AS_WRITTEN,
    VERSION,
    Record,
    RowMemory,
    RowReader,
    key_of_version,
    row_hash,
    rows_at_or_above,
    version_hash,
)
from singerkit_state.order import (
    Extremes,
    OrderKey,
    UnorderableError,
    Value,
    ValueKind,
    exact_keys,
    extremes,
    instant_of,
    less_lookback,
    order_key,
    starting_value,
)

__all__ = ["UNMET_RUNS", "BookmarkTracker", "Signpost", "UnsortedError"]

UNMET_RUNS = 2
"""So many reads in a row that meet none of the rows that they remember are more than chance, however few those are."""

_AHEAD = 14 * 3600
"""Seconds that a local time without an offset may be ahead of UTC."""
_BEHIND = 36 * 3600
"""Seconds that one, or a date, may be behind it: the offset, and the day."""
_FAR = 86400
"""Seconds ahead of our own clock from which on a row is not of today, whatever the clocks."""
_DAY = 86400
_COARSE = 2 * _DAY
"""Seconds below what was asked for that a request for whole days, in whatever zone, explains."""
_OVER = 2 * 3600
"""Seconds after which the unit of a time of day is over, clocks that differ and an hour that comes twice included."""
_SLACK = 60
"""Seconds that two clocks may differ without a word."""


class UnsortedError(ValueError):
    """Rows of a stream that is declared sorted came out of order. The message shows no value."""


class Signpost(StrEnum):
    """What bounds a bookmark."""

    AUTO = "auto"
    """The read before or the first answer, and the source's clock where it tells it."""
    READ_BEFORE = "read_before"
    """The read before or the first answer alone."""
    DATE_HEADER = "date_header"
    """The source's clock alone: the user says that it is the clock of the keys. Without one as `READ_BEFORE`."""
    NONE = "none"
    """Nothing: the user says that the source does not change while it is read."""


class _Mark(NamedTuple):
    key: OrderKey
    text: bytes
    """The raw value."""


class BookmarkTracker:
    """Follows the replication key through the pages of one read of a stream or partition.

    For each chunk of a page call `take`; at the page's end `end_page`; `bookmark` is what may be stored then,
    and after `finish` what may be stored at the end. An interrupted read of an unsorted source keeps the old
    bookmark; a sorted one goes on where it stood.

    ``start_date`` counts when there is no bookmark and the key is a point in time.
    ``keeps_older`` keeps rows below the start that the source sent all the same.
    ``in_parts``: of a sorted stream, it ascends by parts (`end_page`), and the rows of one come in any order.
    ``follows_key``: each page is asked for by the greatest value before it, ties included, so that no row can be
    passed. ``has_first_answer``: False for reads that are not all answers of one list, as children of many parents.
    ``has_key``: rows sent twice replace each other. ``by_key``: `take` is given the key of each row, and a row is known
    only if it says what the row with its key said when that was sent last. ``memory`` is the number of rows remembered.
    """

    def __init__(
        self,
        kind: ValueKind,
        start: Bookmark,
        *,
        is_sorted: bool = False,
        in_parts: bool = False,
        lookback: int | Decimal = 0,
        start_date: str | None = None,
        keeps_older: bool = False,
        signpost: Signpost = Signpost.AUTO,
        follows_key: bool = False,
        has_first_answer: bool = True,
        has_key: bool = True,
        by_key: bool = False,
        memory: int = SEEN_LIMIT,
    ) -> None:
        self._kind = kind
        self._start = start
        self._is_sorted = is_sorted
        self._in_parts = in_parts
        self._keeps_older = keeps_older
        self._signpost = signpost
        self._follows_key = follows_key
        self._has_first_answer = has_first_answer
        self._lookback = lookback
        self._has_key = has_key
        self._by_key = by_key
        self._start_key = None if start.start is None else order_key(start.start, kind)
        self.start_value = self._first_value(lookback, start_date)
        """What to ask the source for: rows at or above it."""
        self._floor = None if self.start_value is None else order_key(self.start_value, kind)
        self._start_date = start_date
        self._best = self._mark(start.value)
        self._before = None if start.position is not None else self._mark(start.top)
        self._top = self._mark(start.top) if start.position is not None else None
        self._high: _Mark | None = None
        self._page_low: OrderKey = None
        self._settled: _Mark | None = None
        self._reached: _Mark | None = None
        """The end of the last part of the read that is complete."""
        self._has_read_page = self._is_bounded = self._is_finished = False
        self._clock: int | None = None
        self._margin = 0
        self._is_own_clock = self._is_ahead = self._is_within_margin = False
        self._ahead: _Mark | None = None
        self.memory_limit = memory
        self._memory = RowMemory(memory, self._key_of, keeps_newest=not has_key and not lookback)
        self._unmatched: Counter[str] = Counter()
        self._last: dict[int, str] = {}
        """The version of each row that the read before has sent last, by key, unless this one has sent another."""
        self._met: set[int] = set()
        self._had_key = False
        self._known_to: OrderKey = None
        self._far_below = None if self.start_value is None else _far_below(self.start_value, kind)
        self.rows = 0
        """Rows that came."""
        self.older = 0
        """Rows that came though they are far below what was asked for."""
        self.counts_unmet = False
        """Whether a read that meets none of the rows that are remembered tells something."""
        self.remembered = 0
        """Rows that the state remembers."""
        self.compared = 0
        """Rows that came and could have been among them."""
        self.recognised = 0
        """Rows that were among them."""
        self._reader: RowReader | None = None
        self._withheld: list[int] = []
        if not lookback:  # with one the user wants the window again, its boundary included
            self._remember_again(start)
        self._from = self._best if self._best is not None else self._mark(self.start_value)
        self.nulls = 0
        """Rows whose replication key was null or missing; they are sent and move nothing."""

    def _first_value(self, lookback: int | Decimal, start_date: str | None) -> Value | None:
        if self._start.start is not None:
            return less_lookback(self._start.start, self._kind, lookback)
        return starting_value(start_date, self._kind)

    def _remember_again(self, start: Bookmark) -> None:
        groups = dict(start.others)
        if start.start is not None and start.seen is not None:
            # `1e18` and `1E+18` are one value, under two texts in the state.
            groups[start.start] = groups.get(start.start, Counter()) + start.seen
        groups = {value: self._in_own_form(rows) for value, rows in groups.items()}
        self._had_key = any(len(name) == VERSION for rows in groups.values() for name in rows)
        self._memory.know({_encoder.encode(value): rows for value, rows in groups.items()})
        for rows in groups.values():
            if self._by_key:
                self._last.update((key, name) for name in rows if (key := key_of_version(name)) is not None)
            else:
                self._unmatched.update(rows)
        self.remembered = self._unmatched.total() + len(self._last)
        column = [msgspec.Raw(_encoder.encode(value)) for value in groups]
        ends = extremes(column, self._kind) if column else None
        self._known_to = None if ends is None else ends.high

    def _in_own_form(self, rows: Counter[str]) -> Counter[str]:
        """Return what a state remembers, as far as it says what this read asks.

        One without keys, of an older version, does not say which of two versions of a row was sent last: those rows come
        again, once. Where there were keys and are none now, what the rows say counts.
        """
        if self._by_key:
            return Counter({name: 1 for name in rows if key_of_version(name) is not None})
        own: Counter[str] = Counter()
        for name, count in rows.items():
            own[name if key_of_version(name) is None else name[:VERSION]] += count
        return own

    def _mark(self, value: Value | None) -> _Mark | None:
        return None if value is None else _Mark(order_key(value, self._kind), _encoder.encode(value))

    def _key_of(self, text: bytes) -> OrderKey:
        return order_key(_any_value.decode(text), self._kind)

    def note_clock(self, seconds: float | None, margin: float = 0) -> None:
        """Take what the source's clock certainly showed when the read began (Unix time, less ``margin``)."""
        if self._signpost in (Signpost.AUTO, Signpost.DATE_HEADER) and (
            self._kind.is_time or self._kind.name == "ANY"
        ):
            self._is_own_clock = seconds is None
            self._clock = int(wall_time.now()) + _FAR if seconds is None else int(seconds // 1)
            self._margin = int(margin)

    def take(
        self,
        column: Sequence[msgspec.Raw],
        records: Sequence[Record],
        salt: bytes = b"",
        reader: RowReader = AS_WRITTEN,
        keys: Sequence[int] | None = None,
        former_salts: Sequence[bytes] = (),
        *,
        whole: bool = False,
        ascending: list[Any] | None = None,
    ) -> list[int] | None:
        """Note a chunk of rows and return the indexes of those to send; None means all of them.

        ``column`` holds the replication key of each of ``records`` as raw JSON; ``reader`` says which are the same.
        ``keys`` are 32 bits of the primary key of each. ``former_salts``: others that a state may have taken for ``salt``.
        ``whole``: all are sent, from ``start_date`` on, whatever was sent before. ``ascending``: see `extremes`.

        Raises:
            UnorderableError: a value is not of the stream's kind.
        """
        self._withheld = []
        if not column:
            return None
        self._reader = reader
        self.rows += len(column)
        ends = extremes(column, self._kind, ascending)
        if ends is None:
            self.nulls += len(column)
            self._send_instead(keys, range(len(column)))
            self._forget_unless(keys, None, ())
            return None
        sent = None
        may_be_known = self._remembers and not ends.low > self._known_to
        if whole:
            sent = self._from_first(column)
            self._send_instead(keys, range(len(column)) if sent is None else sent)
        elif may_be_known or (self._floor is not None and not ends.low > self._floor):
            sent = self._rows_to_send(ends, column, records, (salt, *former_salts), reader, keys)
        else:
            self._send_instead(keys, range(len(column)))
        self.nulls += ends.nulls
        self._follow(ends, column)
        self._remember(ends, column, records, salt, sent, reader, keys)
        return sent

    @property
    def kind(self) -> ValueKind:
        """How the values of the replication key compare."""
        return self._kind

    # The bookmark

    def _follow(self, ends: Extremes, column: Sequence[msgspec.Raw]) -> None:
        if self._page_low is None or ends.low < self._page_low:
            self._page_low = ends.low
        if self._high is None or ends.high > self._high.key:
            self._high = _Mark(ends.high, bytes(column[ends.at_high[0]]))
        greatest = self._greatest(ends, column)
        if greatest is None or self._is_left_out(greatest):
            return
        if self._top is None or greatest.key > self._top.key:
            self._top = greatest
        if self._moves_on:
            self._raise(greatest)

    def _is_left_out(self, mark: _Mark) -> bool:
        """Tell whether a row is not sent as it stands below what was asked for: it moves nothing either.

        A bookmark before the start date would let the next run begin there.
        """
        return self._floor is not None and mark.key < self._floor and not self._keeps_older

    @property
    def _moves_on(self) -> bool:
        """Whether what comes now may become the bookmark."""
        if self._start.position is not None:
            return False  # the read that is continued had its signpost
        return self._trusts_greatest or (self._has_first_answer and not self._has_read_page)

    @property
    def _trusts_greatest(self) -> bool:
        return self._follows_key or self._signpost is Signpost.NONE or self._is_by_clock

    @property
    def _is_by_clock(self) -> bool:
        return self._signpost is Signpost.DATE_HEADER and self._clock is not None and not self._is_own_clock

    def _raise(self, mark: _Mark) -> None:
        if self._best is None or mark.key > self._best.key:
            self._best = self._from = mark
            if (
                not self._in_parts
            ):  # else the read may be stopped before it comes so far, and goes on below it
                self._memory.raise_to(mark.key)

    def _greatest(self, ends: Extremes, column: Sequence[msgspec.Raw]) -> _Mark | None:
        """Return the greatest value of a column that the source's clock allows."""
        high = _Mark(ends.high, bytes(column[ends.at_high[0]]))
        if self._clock is None or not self._is_ahead_of_clock(high.text):
            return high
        self._is_ahead = True
        if self._ahead is None or high.key > self._ahead.key:
            self._ahead = high
        texts = self._below(ends, column, self._limit(high.text))
        keys = {text: self._key_of(text) for text in texts if not self._is_ahead_of_clock(text)}
        best = max(keys, key=keys.__getitem__, default=None)
        limit = self._limit(high.text) + self._margin + _SLACK
        if best is None and not ends.low > _key_at(limit, high.text, self._kind):
            self._is_within_margin = True
        return None if best is None else _Mark(keys[best], best)

    def _is_ahead_of_clock(self, text: bytes) -> bool:
        try:
            return self._clock is not None and instant_of(_any_value.decode(text), self._kind) > (
                self._limit(text),
                "",
            )
        except UnorderableError:  # a number that nobody calls an epoch
            return False

    def _limit(self, text: bytes) -> int:
        """Return what the source's clock allows for values of this look, in Unix seconds."""
        clock = self._clock or 0
        if not _is_local(_any_value.decode(text), self._kind):
            return clock
        is_sure = self._signpost is Signpost.DATE_HEADER and not self._is_own_clock
        return clock + (-_BEHIND if is_sure else _AHEAD)

    @staticmethod
    def _below(ends: Extremes, column: Sequence[msgspec.Raw], limit: int) -> set[bytes]:
        """Return the raw values among which the greatest at or below ``limit`` is: few, where that is quickly told."""
        values = ends.values
        try:
            moment = datetime.fromtimestamp(limit, UTC)
            if values is not None and values and all(value is None or value.tzinfo for value in values):
                below = max((value for value in values if value is not None and value < moment), default=None)
                return {bytes(raw) for raw, value in zip(column, values, strict=True) if value == below} - {
                    b"null"
                }
        except (AttributeError, OverflowError, ValueError, OSError):  # dates have no offset; odd clocks
            pass
        return set(map(bytes, column)) - {b"null"}

    def note_signpost(self, column: Sequence[msgspec.Raw]) -> None:
        """Take the values of rows that were there before the read began: nothing below them can change any more.

        Raises:
            UnorderableError: a value is not of the stream's kind.
        """
        if self._start.position is not None or self._trusts_greatest or not self._has_first_answer:
            return
        ends = extremes(column, self._kind) if column else None
        greatest = None if ends is None else self._greatest(ends, column)
        if greatest is not None and not self._is_left_out(greatest):
            self._raise_at_once(greatest)

    def end_page(self, *, is_safe: bool = True, reached: Value | None = None) -> None:
        """Close a page of a source, after which a read that is stopped can go on if ``is_safe``.

        ``reached``: a part of the read ends with it, all rows below this value have come, and none at or above it.

        Raises:
            UnsortedError: the stream is declared sorted, and this page goes back behind an earlier one.
        """
        if not is_safe:
            self._has_read_page = True
            self._bound()
            return
        if (
            self._is_sorted
            and self._settled is not None
            and self._page_low is not None
            and self._page_low < self._settled.key
        ):
            raise UnsortedError(
                "Expected pages in ascending order of the replication key, got an earlier value"
            )
        self._page_low = None
        self._settled = self._high if reached is None else self._mark(reached)
        if reached is not None and self._settled is not None:
            self._reached = self._settled
            if self._best is not None:
                self._memory.raise_to(min(self._best.key, self._settled.key))
        self._has_read_page = True
        self._bound()

    def _bound(self) -> None:
        """Take the greatest value of the read before as the signpost, if it is the greater one."""
        if self._is_bounded or self._trusts_greatest or self._start.position is not None:
            return
        self._is_bounded = True
        before = self._before
        if before is None or self._is_ahead_of_clock(before.text):
            return
        if self._has_first_answer:
            self._raise_at_once(before)
        elif self._best is None or before.key > self._best.key:
            self._best = before

    def _raise_at_once(self, mark: _Mark) -> None:
        """Take a signpost to which the read has not come yet."""
        if not self._is_sorted or self._in_parts:
            self._raise(mark)
        elif self._best is None or mark.key > self._best.key:
            self._best = (
                mark  # and the rows below it stay remembered: the read may end before it comes so far
            )

    def finish(self) -> None:
        """Say that the whole stream or partition has been read."""
        self._bound()
        self._is_finished = True

    @property
    def covers_all(self) -> bool:
        """Tell whether `bookmark` covers every row taken so far."""
        return self._is_finished or self._is_sorted

    def bookmark(self) -> Bookmark:
        """Return what may be stored now; never behind the bookmark this read started from."""
        if self._is_finished:
            return self._complete()
        if not self._is_sorted or self._settled is None:
            return self._start
        if self._is_left_out(self._settled) or (
            self._start_key is not None and self._settled.key < self._start_key
        ):
            return self._start
        return self._interrupted(self._settled)

    def _complete(self) -> Bookmark:
        self._pass_empty_parts()
        if self._best is not None:
            self._memory.raise_to(self._best.key)
        groups = self._memory.groups()
        best = self._covered()
        top = max(filter(None, [self._top, self._before]), key=lambda mark: mark.key, default=None)
        if top is not None and best is not None and not top.key > best.key:
            top = None
        return self._stored(best, groups, top=top, forgotten=self.forgotten)

    def _pass_empty_parts(self) -> None:
        """Move the bookmark to the end of the last complete part, where the source's clock is said to be that of the keys."""
        reached = self._reached
        if reached is None or not self._is_by_clock or self._is_ahead_of_clock(reached.text):
            return
        self._raise(reached)

    def _interrupted(self, position: _Mark) -> Bookmark:
        is_beyond = self._best is None or position.key > self._best.key
        memory = (self._memory.newest() if is_beyond else None) or self._memory
        memory.groups()
        best = self._covered() if self._has_key else self._covered(memory)
        if best is not None:
            memory.raise_to(min(best.key, position.key))
        groups = memory.groups()
        if best is not None and not position.key > best.key:
            # Nothing at or below the signpost can change any more: this is a bookmark like any other.
            before = self._before if self._before and self._before.key > position.key else None
            return self._stored(position, groups, top=before, forgotten=memory.forgotten)
        forgotten = self._forgotten_before + memory.forgotten
        return self._stored(position, groups, top=self._top, bookmark=(best,), forgotten=forgotten)

    def _covered(self, memory: RowMemory | None = None) -> _Mark | None:
        """Return the bookmark, moved up to where the memory begins if rows had to be forgotten."""
        text = (memory or self._memory).threshold
        if text is None:
            return self._best
        key = self._key_of(text)
        return _Mark(key, text) if self._best is None or key > self._best.key else self._best

    def _stored(
        self,
        at: _Mark | None,
        groups: dict[bytes, Counter[str]],
        *,
        top: _Mark | None,
        forgotten: int,
        bookmark: tuple[_Mark | None] | None = None,
    ) -> Bookmark:
        seen: Counter[str] | None = None
        if at is not None:
            lost = (not self._memory.is_whole and at is not self._reached) or (
                self._start_key == at.key and self._start.seen is None and at.text not in groups
            )
            seen = None if lost else groups.get(at.text, Counter())
        others = by_value(
            (_any_value.decode(text), rows) for text, rows in groups.items() if not at or text != at.text
        )
        value = None if at is None else _any_value.decode(at.text)
        top_value = None if top is None else _any_value.decode(top.text)
        again = (bool(self._lookback) or forgotten) if self._has_key else 0
        if bookmark is None:
            return Bookmark(
                value,
                seen,
                others,
                top_value,
                fields=self._fields_of(groups),
                unmet=self.reads_unmet,
                again=again,
            )
        best = bookmark[0]
        return Bookmark(
            None if best is None else _any_value.decode(best.text),
            seen,
            others,
            top_value,
            position=value,
            fields=self._fields_of(groups),
            unmet=self.reads_unmet,
            again=again,
        )

    @property
    def unmet(self) -> int:
        """Rows that are remembered and did not come; one with a key that came in another version has come."""
        return len(self._last.keys() - self._met) if self._by_key else self._unmatched.total()

    @property
    def reads_unmet(self) -> int:
        """How many complete reads in a row have met none of the rows that they remembered, this one included.

        One whose rows have all changed says nothing.
        """
        if not self._is_finished or not self.counts_unmet or not self.unmet:
            return self._start.unmet if not self.recognised else 0
        if self.recognised or self.compared:
            return 0
        # Of a read to which nothing came somebody is told at once.
        return min(self._start.unmet + 1, UNMET_RUNS) if self.rows else UNMET_RUNS

    @property
    def unmet_before(self) -> int:
        """The same of the reads before."""
        return self._start.unmet

    def so_far(self) -> Bookmark:
        """Return the old bookmark with the rows sent since: what may be stored when they are covered by others."""
        start = self._mark(self._start.start)
        before = None if self._start.top is None else self._mark(self._start.top)
        groups = self._memory.groups()
        return self._stored(start, groups, top=before, forgotten=max(self.forgotten, int(self._start.again)))

    @property
    def has_bookmark(self) -> bool:
        """Whether this read went on from a bookmark."""
        return self._start_key is not None

    @property
    def moved_up_to(self) -> Value | None:
        """The bookmark, where it passes its signpost because more rows came than can be remembered."""
        text, covered = self._memory.threshold, self._covered()
        is_moved = text is not None and covered is not None and covered is not self._best
        return _any_value.decode(text) if is_moved and text is not None else None

    @property
    def _forgotten_before(self) -> int:
        """Rows that this read has forgotten before it was stopped; they stand before the place where it goes on."""
        return 0 if self._start.position is None or self._lookback else int(self._start.again)

    @property
    def forgotten(self) -> int:
        """Rows, at most, that the next read asks for again and does not recognise."""
        return self._forgotten_before + self._memory.forgotten

    @property
    def forgets(self) -> bool:
        """Whether more rows came than can be remembered, so that the next read sends them again."""
        return not self._memory.is_whole

    @property
    def is_all_ahead(self) -> bool:
        """Whether rows came and all were dated ahead of the source's clock, margin aside."""
        return self._is_ahead and self._top is None and not self._is_within_margin and not self._is_own_clock

    @property
    def is_all_young(self) -> bool:
        """Whether rows came and all were younger than what was certain."""
        return self._is_ahead and self._top is None and self._is_within_margin

    @property
    def dated_ahead(self) -> Value | None:
        """The greatest value, where it is more than a day ahead of our own clock and so moved no bookmark."""
        is_far = self._is_own_clock and self._ahead is not None
        return _any_value.decode(self._ahead.text) if is_far and self._ahead is not None else None

    @property
    def passed_today(self) -> Value | None:
        """The bookmark, where it is more than a day ahead of our own clock."""
        best = self._covered()
        if best is None:
            return None
        value: Value = _any_value.decode(best.text)
        try:
            return value if instant_of(value, self._kind)[0] > wall_time.now() + _FAR + _AHEAD else None
        except UnorderableError:
            return None

    # The rows

    def _rows_to_send(
        self,
        ends: Extremes,
        column: Sequence[msgspec.Raw],
        records: Sequence[Record],
        salts: Sequence[bytes],
        reader: RowReader,
        keys_of_rows: Sequence[int] | None,
    ) -> list[int]:
        rows: Sequence[int] = range(len(column))
        may_be_known = rows
        floor, known_to = self._floor, self._known_to
        is_within = ends.nulls == 0 and (known_to is None or not ends.high > known_to)
        if not is_within or (floor is not None and ends.low < floor):
            keys = exact_keys(column, self._kind)
            if self._far_below is not None:
                self.older += sum(key is not None and key < self._far_below for key in keys)
            if floor is not None and not self._keeps_older:
                rows = [row for row in rows if keys[row] is None or not keys[row] < floor]
            may_be_known = [
                row
                for row in rows
                if known_to is not None and keys[row] is not None and not keys[row] > known_to
            ]
        if not self._remembers:
            return list(rows)
        self.compared += len(may_be_known)
        if keys_of_rows is not None:
            if may_be_known is not rows:
                self._send_instead(keys_of_rows, sorted(set(rows).difference(may_be_known)))
            again = self._sent_last(may_be_known, records, reader, keys_of_rows)
        else:
            again = self._sent_before(may_be_known, records, salts, reader)
        self._withheld = [row for row in rows if row in again]
        return [row for row in rows if row not in again]

    @property
    def newest_before(self) -> Value | None:
        """The newest value that the reads before have seen."""
        return self._start.value if self._start.top is None else self._start.top

    def unsettled(
        self, column: Sequence[msgspec.Raw], read_at: float | None, *, has_newest: bool
    ) -> list[int]:
        """Return those rows of the chunk just taken that are known and may have changed since, with the value that they had.

        A source that tells seconds gives a row that changes twice within one the same value twice. What is below the bookmark
        cannot have changed so, and what comes again is few rows, mostly of one value. ``read_at``: what the source's clock showed
        before rows that are known now were read for their children; what was over by then has not changed either. ``has_newest``:
        the children of those of the newest value were read once more since that value came.
        """
        if read_at is None or self._clock is None or self._is_own_clock:
            return self._withheld
        newest = None if has_newest else self._known_to
        return [row for row in self._withheld if not self._was_over(column[row], read_at, newest)]

    def _was_over(self, text: msgspec.Raw, moment: float, newest: OrderKey) -> bool:
        """Tell whether the second, minute or day that a value names was over at a moment; never of ``newest``."""
        if self._kind.name == "PATTERN" and "%H" not in self._kind.pattern:
            return False
        value = _any_value.decode(text)
        try:
            if newest is not None and not order_key(value, self._kind) < newest:
                return False
            over = instant_of(value, self._kind)[0] + _OVER
        except UnorderableError:  # a number that nobody calls an epoch
            return False
        return over + (_BEHIND + _DAY if _is_local(value, self._kind) else 0) < moment

    def _from_first(self, column: Sequence[msgspec.Raw]) -> list[int] | None:
        """Return the rows that a first read would send; None: all."""
        first = starting_value(self._start_date, self._kind)
        if first is None or self._keeps_older:
            return None
        floor, keys = order_key(first, self._kind), exact_keys(column, self._kind)
        return [row for row, key in enumerate(keys) if key is None or not key < floor]

    @property
    def _remembers(self) -> bool:
        return bool(self._unmatched or self._last)

    def _sent_last(
        self, rows: Sequence[int], records: Sequence[Record], reader: RowReader, keys: Sequence[int]
    ) -> set[int]:
        """Return those of ``rows`` that say what the row with their key said when it was sent last."""
        rows = [row for row in rows if keys[row] in self._last]
        again = set()
        texts = reader.texts([records[row] for row in rows]) if rows else ()
        for row, text in zip(rows, texts, strict=True):
            key = keys[row]
            if self._last.get(key) == version_hash(text, key):
                self._met.add(key)
                again.add(row)
            else:
                self._last.pop(key, None)
        self.recognised = len(self._met)
        return again

    def _send_instead(self, keys: Sequence[int] | None, rows: Sequence[int]) -> None:
        """Note that ``rows`` are sent: what the read before has sent with their keys stands in the target no more."""
        if keys is not None and self._last:
            for key in self._last.keys() & {keys[row] for row in rows}:
                del self._last[key]

    def _sent_before(
        self, rows: Sequence[int], records: Sequence[Record], salts: Sequence[bytes], reader: RowReader
    ) -> set[int]:
        """Return those of ``rows`` that the read before has sent."""
        chosen = [records[row] for row in rows]
        if not chosen:
            return set()
        texts = reader.texts(chosen)
        hashes = [row_hash(text, salts[0]) for text in texts]
        again = {row for row, name in zip(rows, hashes, strict=True) if self._was_sent(name)}
        if len(again) < len(rows) and self._unmatched:
            for names in self._former_names(chosen, texts, salts, reader):
                for row, former, name in zip(rows, names, hashes, strict=True):
                    if row not in again and self._was_sent(former):
                        again.add(row)
                        self._memory.rename(former, name)
        return again

    def _former_names(
        self, records: Sequence[Record], texts: Sequence[bytes], salts: Sequence[bytes], reader: RowReader
    ) -> Iterator[Sequence[str]]:
        """Yield by which other hashes the state may remember rows, all of one kind at once."""
        former = self._former_texts(records, reader)
        for salt in salts:
            if former:
                yield [row_hash(text, salt) for text in former]
            if salt != salts[0]:
                yield [row_hash(text, salt) for text in texts]
        if self._had_key:
            yield [row_hash(text)[:VERSION] for text in reader.whole.texts(records)]

    def _former_texts(self, records: Sequence[Record], reader: RowReader) -> Sequence[bytes]:
        """Return what the state remembers rows by, where that is something else than now; else nothing.

        A field that is new says nothing about rows sent before there was one, and one that is sent no more may still be in
        the records. They would be there twice without a key.
        """
        if self._has_key:
            return ()
        if self._start.fields is None:
            return AS_WRITTEN.texts(records)  # a state of an older version
        former, now = self._start.fields, reader.fields
        if not former or former == now:
            return ()
        # What is inside a field is looked at where it has changed.
        return reader.texts(
            records, {name: {} if now.get(name) == inside else inside for name, inside in former.items()}
        )

    def _was_sent(self, row: str) -> bool:
        count = self._unmatched.get(row)
        if count is None:
            return False
        self.recognised += 1
        # Counted, so that a new row that equals an old one of a stream without a key is not lost.
        if count == 1:
            del self._unmatched[row]
        else:
            self._unmatched[row] = count - 1
        return True

    def _fields_of(self, groups: Mapping[bytes, Counter[str]]) -> Mapping[str, Any] | None:
        """Return the fields that rows are remembered by; until all of a read has come, those of the read before."""
        if self._has_key or not groups:
            return None
        is_mixed = not self._is_finished and (self._start.seen or self._start.others)
        return self._start.fields if is_mixed or self._reader is None else self._reader.fields

    def _fast_value(self, mark: _Mark) -> Any:
        """Return what ``mark`` is, decoded quickly; None where that cannot be."""
        found = extremes([msgspec.Raw(mark.text)], self._kind)
        return None if found is None or found.values is None else found.values[0]

    def _remember(
        self,
        ends: Extremes,
        column: Sequence[msgspec.Raw],
        records: Sequence[Record],
        salt: bytes,
        sent: list[int] | None,
        reader: RowReader,
        keys: Sequence[int] | None,
    ) -> None:
        mark = self._from
        if mark is not None and ends.high < mark.key:
            self._forget_unless(keys, sent, ())
            return
        if mark is None:
            rows: Sequence[int] = range(len(column))
        elif mark.key == ends.high:
            rows = ends.at_high
        elif ends.nulls == 0 and not ends.low < mark.key:
            rows = range(len(column))
        else:
            rows = rows_at_or_above(
                ends.values, lambda: exact_keys(column, self._kind), self._fast_value(mark), mark.key
            )
        if sent is not None:
            chosen = set(sent)
            rows = [index for index in rows if index in chosen]
        if ends.nulls:
            rows = [index for index in rows if column[index] != _NULL]
        self._forget_unless(keys, sent, rows)
        low = ends.low if mark is None else max(ends.low, mark.key)
        self._memory.note(column, records, salt, rows, (low, ends.high), ends.values, reader, keys)

    def _forget_unless(
        self, keys: Sequence[int] | None, sent: list[int] | None, noted: Sequence[int]
    ) -> None:
        """Forget the former versions of rows that were sent, but for those whose new one is remembered."""
        if keys is None or (sent is None and len(noted) == len(keys)) or not self._memory.has_any(keys):
            return
        gone = {keys[row] for row in (range(len(keys)) if sent is None else sent)}
        self._memory.forget(gone.difference(keys[row] for row in noted))


_NULL = msgspec.Raw(b"null")
_any_value: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any, float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


def _is_local(value: Any, kind: ValueKind) -> bool:
    """Tell whether a value may be hours away from the instant that it is taken for: a date, or without an offset."""
    if kind.name == "PATTERN":
        return "%z" not in kind.pattern and (kind.zone is None or "%H" not in kind.pattern)
    if not isinstance(value, str) or kind.name not in ("INSTANT", "DATE", "ANY"):
        return False
    return is_date(value) or (kind.zone is None and has_no_offset(value))


def _key_at(seconds: int, like: bytes, kind: ValueKind) -> OrderKey:
    """Return the order key of a point in time, for a kind whose values look ``like`` this."""
    if kind.name == "EPOCH":
        return seconds * kind.scale
    if kind.name == "ANY" and isinstance(_any_value.decode(like), str):
        return order_key(iso_of((seconds, "")), kind)
    return (seconds, "")


def _far_below(value: Value, kind: ValueKind) -> OrderKey:
    """Return the key below which no rounding explains that a row comes which was not asked for."""
    try:
        return _key_at(instant_of(value, kind)[0] - _COARSE, _encoder.encode(value), kind)
    except UnorderableError:
        return order_key(value, kind)
