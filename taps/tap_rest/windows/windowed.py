"""A read that asks for one window after the other, each of them whole before the next (decision 43).

Rows outside the window that was asked for are left out: they stand in another one, and come there. After each window but the
last the read has come so far (`ReadPage.reached`), whether rows came or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from singerkit_shell.errors import BadDataError, ConfigurationError, RetryableError
from singerkit_shell.walltime import wall_time
from singerkit_state.instants import iso_instant
from singerkit_state.memory import row_hash
from singerkit_state.order import UnorderableError, Value, ValueKind, comparable_keys
from singerkit_wire.encode import RawRecord, SentRows
from tap_rest.answers.clock import clock_of
from tap_rest.pages.caps import up_to_cap
from tap_rest.records.cutting import ReadPage
from tap_rest.settings.stream import StreamSettings
from tap_rest.windows.bounds import Bound, Numbers, Scale, Times, Window
from tap_rest.windows.gaps import Seams
from tap_rest.windows.halves import Halves
from tap_rest.windows.keycolumn import KeyColumn
from tap_rest.windows.outside import Outside
from tap_rest.windows.shards import Turns
from tap_rest.windows.within import Within

__all__ = ["RunStart", "WindowedRead"]

_STEPS_BACK = (0, 1, 3, 7, 15, 31, 63, 127, 255, 511)
"""Which windows are looked at for the newest rows, counted back from the last one."""


def own_clock() -> float:
    """Return what the clock of this machine shows."""
    return wall_time.now()


class RunStart:
    """When the first answer of a stream was given: by the clock of the API, and until it tells, by that of this machine."""

    def __init__(self) -> None:
        self._own: int | None = None
        self._told: int | None = None

    def see(self, page: ReadPage) -> None:
        """Look at an answer, as long as none has told."""
        if self._told is None:
            clock = clock_of(replace(page.answer, seconds=0), 0)
            self._told = None if clock is None else int(clock)

    @property
    def seconds(self) -> int:
        if self._own is None:
            self._own = int(own_clock())
        return self._own if self._told is None else self._told


class WindowedRead:
    """The windows of one stream, or of one partition of it.

    ``ask`` yields the pages of a window, and ``expect`` is told before which windows come behind it; ``look`` yields the pages of a request that shows how far the rows go.
    """

    def __init__(
        self,
        settings: StreamSettings,
        kind: ValueKind,
        column: KeyColumn,
        rows: SentRows,
        ask: Callable[[Window], Iterator[ReadPage]],
        expect: Callable[[Window, Iterator[Window]], None],
        look: Callable[[Mapping[str, Any]], Iterator[ReadPage]],
        run_start: RunStart,
        seams: Seams,
        most: int,
        turns: Turns | None = None,
    ) -> None:
        """``rows`` tells which rows are the same; ``most``: so many windows are read, and no more; ``turns``: the spans that are read, None: all."""
        assert settings.incremental is not None  # noqa: S101  where the end is said
        self._stream, self._settings = settings, settings.incremental
        self._kind, self._column = ValueKind.NUMBER if self._settings.counts else kind, column
        self._key, self._rows = settings.replication_key or "", rows
        end = settings.end_date
        self._end_date = None if end is None else iso_instant(end, kind.zone)[0]
        self._ask, self._expect, self._look = ask, expect, look
        self._halves = Halves(settings)
        self._run_start, self._seams, self._most, self._turns = run_start, seams, most, turns

    def pages(self, first: Value | None) -> Iterator[ReadPage]:
        """Yield the pages of all windows from ``first`` on; None: there is no bookmark and no start date."""
        if self._settings.counts:
            yield from self._over_numbers(self._numbers(first))
            return
        yield from self._over_times(self._times(first))

    def _times(self, first: Value | None) -> Times:
        if first is None:
            raise ConfigurationError(
                f"Stream `{self._stream.name}` asks for both ends of a window, and there is no "
                "`start_date` that says where the first one begins; set it."
            )
        return Times(self._settings, self._kind, first)

    def newest(self, first: Value | None) -> Iterator[ReadPage]:
        """Yield pages that have rows, of the newest windows; what `pages` reads last of all."""
        if self._settings.counts:
            numbers = self._numbers(None)
            yield from self._look({"bookmark": numbers.first.asked})
            return
        times = self._times(first)
        for window in self._looked_at(times):
            has_rows = False
            for page in self._halves.looked_at(times, window, self._look_at_window):
                self._run_start.see(page)
                has_rows = has_rows or bool(page.records)
                if page.records:
                    yield page
            if has_rows:
                return

    def _within(self, scale: Scale) -> Within:
        outside = Outside(self._stream.name, self._key, self._digests, self._look_at_window, scale.around)
        return Within(self._kind, self._column, outside, self._seams, self._digests)

    def _look_at_window(self, window: Window) -> Iterator[ReadPage]:
        return self._look(window.wanted)

    def _look_at_seam(self, scale: Scale, window: Window, within: Within) -> None:
        seam = self._seams.to_look_at(scale, window)
        for page in up_to_cap(self._look(seam.wanted)) if seam is not None else ():
            within.look_at_seam(page, seam or window, window)

    def _digests(self, records: Sequence[RawRecord]) -> list[str]:
        return [row_hash(text) for text in self._rows.texts(records)] if records else []

    # Points in time

    def _over_times(self, times: Times) -> Iterator[ReadPage]:
        yield from self._signposts(times, self._looked_at(times))
        begin, is_last, within = self._own_from(times, times.first), False, self._within(times)
        is_first = begin is times.first
        while begin is not None and not is_last:
            answer, ahead = None, list[ReadPage]()
            window, pages = self._halves.pages(
                times,
                self._window_from(times, begin),
                partial(self._ask_in_turn, times),
                partial(self._look_ahead, times, ahead),
            )
            yield from ahead
            for page in pages:
                if answer is None:
                    self._run_start.see(page)
                    is_last = window.end.place >= times.at(self._end).place
                answer = page.answer
                within.keep(page, window, is_first=is_first, is_last=is_last)
                page.is_safe = self._stream.is_sorted or not self._stream.in_parts
                yield page
                if page.is_absent:
                    return
            if answer is None:
                return  # stopped
            within.end_window(window, is_last=is_last)
            if not is_last:
                self._look_at_seam(times, window, within)
                yield ReadPage([], {}, answer, reached=window.end.value)
            is_first = False  # also where it was empty, and the next one begins at the same moment
            begin = self._own_from(times, window.end)
            if begin is not window.end:
                within.leave()

    def _own_from(self, times: Times, bound: Bound) -> Bound | None:
        """Return where the first window begins that is to be read at or above a bound; None: there is none before the end of the read."""
        place = bound.place if self._turns is None else self._turns.first_from(bound.place)
        if place == bound.place:
            return bound
        return None if place is None or place >= self._end else self._exactly(times, int(place))

    def _exactly(self, times: Times, place: int) -> Bound:
        """Return a bound of a span.

        Raises:
            ConfigurationError: the API cannot be asked from there on, so that two shards would have the rows between, or none.
        """
        bound = times.at(place)
        if bound.place != place:
            raise ConfigurationError(
                f"`incremental.shard_window` `{self._settings.shard_window}` of stream `{self._stream.name}` ends where the API cannot be asked: `{bound.asked}` is another moment; "
                "nothing of it was read: set a longer one, of days or months, or a finer `format` or `granularity`."
            )
        return bound

    def _ask_in_turn(self, times: Times, window: Window) -> Iterator[ReadPage]:
        self._expect(window, self._windows_behind(times, window))
        return self._ask(window)

    def _windows_behind(self, times: Times, window: Window) -> Iterator[Window]:
        last = times.at(self._end).place
        while window.end.place < last and (begin := self._own_from(times, window.end)) is not None:
            window = self._window_from(times, begin)
            yield window

    def _span_end(self, bound: Bound) -> Any:
        return None if self._turns is None else self._turns.end(bound.place)

    def _end_of_window(self, times: Times, begin: Bound) -> Bound | None:
        span = self._span_end(begin)
        if span is None or span >= self._end:
            return times.after(begin, self._end)
        return times.after(begin, int(self._exactly(times, int(span)).place))

    def _window_from(self, times: Times, begin: Bound) -> Window:
        last = self._end
        end = self._end_of_window(times, begin)
        if end is None or end.place >= times.at(last).place:
            window = times.last_window(begin, last, is_hard=last < self._run_start.seconds)
        else:
            window = times.window(begin, end)
        return self._halves.shortened(times, window)

    @property
    def _end(self) -> int:
        """Where the read ends, as far as is known by now, in Unix seconds."""
        now, end = self._run_start.seconds, self._end_date
        return now if end is None else min(now, end)

    def _look_ahead(self, times: Times, found: list[ReadPage], too_long: Window) -> None:
        """Look for a signpost at the end of a read that was to be one window, before any part of it is read."""
        if too_long.begin is times.first and too_long.end.place >= times.at(self._end).place:
            found += self._signposts(times, times.ends_of(too_long))

    def _signposts(self, times: Times, windows: Iterable[Window]) -> Iterator[ReadPage]:
        """Yield the first page of the first of ``windows`` that has rows: they were there before the read began.

        Without them a first load would be read once more by the next run, from its first window on.
        """
        if self._stream.bookmark.signpost in ("date_header", "none") or self._stream.shares_bookmark:
            return
        for window in windows:
            if window.begin is times.first:
                return  # it has its own first answer
            try:
                page = self._first_page(times, window)
            except (BadDataError, RetryableError):
                return  # if it is no passing fault, the window itself will say so
            if page is None:
                return  # stopped
            if page.records:
                page.is_signpost = True
                yield page
                return

    def _first_page(self, times: Times, window: Window) -> ReadPage | None:
        """Return the first page of a window; of one that is refused, the first that has rows."""
        page = None
        for page in self._halves.looked_at(times, window, self._look_at_window):
            self._run_start.see(page)
            if page.records or not self._stream.splits:
                break
        return page

    def _looked_at(self, times: Times) -> Iterator[Window]:
        """Yield the windows in which the newest rows are looked for, the last one first."""
        bounds = self._bounds(times)
        for back in _STEPS_BACK:
            if back < len(bounds):
                yield self._window_from(times, bounds[-1 - back])

    def _bounds(self, times: Times) -> list[Bound]:
        """Return where each window begins, as far as is known now.

        Raises:
            ConfigurationError: there are more than `limits.pages`.
        """
        bounds, last = [times.first], times.at(self._end).place
        self._check_count(times.fewest_windows(last))
        while (end := self._end_of_window(times, bounds[-1])) is not None and end.place < last:
            bounds.append(end)
            self._check_count(len(bounds))
        return bounds

    def _check_count(self, windows: int) -> None:
        if windows > self._most:
            raise ConfigurationError(
                f"`incremental.window` `{self._settings.window}` makes more than {self._most} requests of stream "
                f"`{self._stream.name}` from where it begins; set a longer one, or a later `start_date`, or raise `limits.pages`."
            )

    # Numbers

    def _numbers(self, first: Value | None) -> Numbers:
        try:
            return Numbers(self._settings, first)
        except UnorderableError:
            return Numbers(self._settings, None)  # a start date

    def _over_numbers(self, numbers: Numbers) -> Iterator[ReadPage]:
        """Yield windows as long as there are rows beyond: a question without an end shows it."""
        begin, is_first, within = self._own_number(numbers, numbers.first), True, self._within(numbers)
        greatest: Any = None
        came_so_far: ReadPage | None = None
        while True:
            if greatest is None or begin.place > greatest:
                page, greatest = self._beyond(begin)
                if greatest is None:
                    if is_first and page is not None:
                        yield replace(page, records=[])
                    return
                if is_first and page is not None:
                    yield replace(page, is_signpost=True)
            if came_so_far is not None:
                yield came_so_far  # not before there is a row beyond: until then the window may get more of them
            answer = None
            window, pages = self._halves.pages(
                numbers,
                self._halves.shortened(numbers, numbers.window_from(begin, self._span_end(begin))),
                self._ask,
            )
            for page in pages:
                answer = page.answer
                within.keep(page, window, is_first=begin is numbers.first, is_last=False)
                page.is_safe = self._stream.is_sorted or not self._stream.in_parts
                yield page
                if page.is_absent:
                    return
            if answer is None:
                return  # stopped
            within.end_window(window, is_last=False)
            self._look_at_seam(numbers, window, within)
            came_so_far = ReadPage([], {}, answer, reached=window.end.value)
            begin, is_first = self._own_number(numbers, window.end), False
            if begin is not window.end:
                within.leave()

    def _own_number(self, numbers: Numbers, bound: Bound) -> Bound:
        place = bound.place if self._turns is None else self._turns.first_from(bound.place)
        return bound if place is None or place == bound.place else numbers.at(place)

    def _beyond(self, begin: Bound) -> tuple[ReadPage | None, Any]:
        """Return the first page that has a row at or above ``begin``, and its greatest value; None: there is no such row."""
        page = None
        for page in self._look({"bookmark": begin.asked}):
            keys = comparable_keys(self._column.of(page), self._kind).present if page.records else []
            greatest = max(keys, default=None)
            if greatest is not None and not greatest < begin.place:
                return page, greatest
        return page, None
