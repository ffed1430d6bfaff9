"""One read of a stream: in one question or window by window, and each question by pages or by the key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice, repeat
from typing import Any, Protocol

from singerkit_state.order import Value, ValueKind
from singerkit_state.shards import Shard
from singerkit_tap.contract import Context, Start
from singerkit_wire.encode import RecordEncoder, SentRows
from tap_rest.asking.pages import Asking
from tap_rest.incremental import bookmark_asked, written
from tap_rest.pages.following import Following, Questions
from tap_rest.records.cutting import ReadPage
from tap_rest.schema.firstpages import FirstPages
from tap_rest.settings.incremental import Incremental
from tap_rest.settings.stream import StreamSettings
from tap_rest.windows.bounds import Window
from tap_rest.windows.enddate import EndDate
from tap_rest.windows.gaps import Seams
from tap_rest.windows.keycolumn import KeyColumn
from tap_rest.windows.shards import turns_of
from tap_rest.windows.windowed import RunStart, WindowedRead

__all__ = ["Reading"]

Params = Mapping[str, Any]
Ask = Callable[[Params], Iterator[ReadPage]]


class Reader(Protocol):
    """What a read knows of its stream."""

    @property
    def name(self) -> str: ...
    @property
    def shard(self) -> Shard | None: ...
    @property
    def settings(self) -> StreamSettings: ...
    @property
    def asking(self) -> Asking: ...
    @property
    def first_reads(self) -> FirstPages: ...
    @property
    def bookmark_key(self) -> str | None: ...
    @property
    def bookmark_kind(self) -> ValueKind: ...
    @property
    def encoder_now(self) -> RecordEncoder: ...
    @property
    def unique_key(self) -> Sequence[str]: ...
    @property
    def whole_rows(self) -> RecordEncoder: ...
    def expect_reads(self, context: Context | None, params: Params) -> None: ...
    def warn(self, sentence: str) -> None: ...
    def advice_on_order(self) -> str: ...


class Reading:
    """The reads of one stream."""

    def __init__(self, stream: Reader) -> None:
        self._stream = stream
        self._run_start = RunStart()
        incremental = stream.settings.incremental
        self._seams = Seams(incremental if incremental is not None else Incremental())

    def pages(self, context: Context | None, start: Start) -> Iterator[ReadPage]:
        """Yield the pages from ``start`` on."""
        stream, is_first, begins = self._stream, start.bookmark is None, chain([True], repeat(False))

        def ask(params: Params) -> Iterator[ReadPage]:
            begins_read = next(begins)
            begun = stream.first_reads.begun(context, params) if is_first and begins_read else None
            return begun or stream.asking.pages(context, params, is_first=is_first, begins_read=begins_read)

        if stream.settings.reads_windows and stream.bookmark_key is not None:
            pages = self._windows(context, ask).pages(start.value)
        else:
            params = self._params_from(start.value)
            stream.expect_reads(context, params)
            reads_all = is_first or start.is_sweep
            coming = partial(stream.asking.expect_behind, context)
            pages = self._question(context, ask, self._params_from, params, coming, reads_all=reads_all)
        # Rows without a key may stand behind all others, and be read when there is no bookmark yet.
        return self.to_the_end(pages, start, is_sorted=stream.settings.is_sorted and not is_first)

    def to_the_end(self, pages: Iterator[ReadPage], start: Start, *, is_sorted: bool) -> Iterator[ReadPage]:
        """Return pages without the rows from `end_date` on.

        Raises:
            ConfigurationError: the bookmark is there already, or the key is no point in time.
        """
        end = self._end()
        if end is None:
            return pages
        end.check(start.value)
        return end.pages(pages, is_sorted=is_sorted)

    def _end(self) -> EndDate | None:
        stream, end = self._stream, self._stream.settings.end_date
        if end is None or stream.bookmark_key is None:
            return None
        column = KeyColumn(stream.name, stream.bookmark_key, lambda: stream.encoder_now)
        return EndDate(stream.name, stream.bookmark_key, end, stream.bookmark_kind, column)

    def windows(self, context: Context | None) -> WindowedRead:
        """Return the windows of a read, to look at some of their pages."""
        look = partial(self._stream.first_reads.look, context)
        return self._windows(context, look, look)

    def _windows(self, context: Context | None, ask: Ask, look: Ask | None = None) -> WindowedRead:
        stream, incremental = self._stream, self._stream.settings.incremental
        return WindowedRead(
            stream.settings,
            stream.bookmark_kind,
            KeyColumn(stream.name, stream.bookmark_key or "", lambda: stream.encoder_now),
            SentRows(stream.whole_rows),
            partial(self._window, context, ask),
            partial(self._expect_windows, context),
            look or (lambda params: stream.asking.pages(context, params, is_first=False, begins_read=False)),
            self._run_start,
            self._seams,
            stream.asking.most_pages,
            None if incremental is None else turns_of(incremental, stream.bookmark_kind, stream.shard),
        )

    def _expect_windows(self, context: Context | None, now: Window, coming: Iterator[Window]) -> None:
        asked = (
            (context, {**window.wanted, "bookmark": window.begin.asked}) for window in chain([now], coming)
        )
        self._stream.asking.expect_reads(next(asked), asked)

    def _window(self, context: Context | None, ask: Ask, window: Window) -> Iterator[ReadPage]:
        stream, incremental = self._stream, self._stream.settings.incremental
        assert incremental is not None  # noqa: S101  there are windows

        def params_from(value: Value | None) -> Params:
            begin = window.begin.asked if value is None else written(incremental, value, stream.bookmark_kind)
            return {**window.wanted, "bookmark": begin}

        return self._question(context, ask, params_from, params_from(None), reads_all=False)

    def _params_from(self, value: Value | None) -> Params:
        return bookmark_asked(self._stream.settings.incremental, value, self._stream.bookmark_kind)

    def _question(
        self,
        context: Context | None,
        ask: Ask,
        params_from: Callable[[Value], Params],
        params: Params,
        coming: Callable[[Params | None], None] = lambda _: None,
        *,
        reads_all: bool,
    ) -> Iterator[ReadPage]:
        """Yield the pages of one question; ``reads_all``: it is not asked from a bookmark on. Where pages are numbered and sorted, it goes on by the key."""
        stream = self._stream
        key, settings, asking = stream.bookmark_key, stream.settings, stream.asking
        if key is None or not (settings.follows_key or settings.may_follow_key):
            return ask(params)
        ask_on: Ask = ask
        if settings.may_follow_key and not settings.follows_key:
            begun = ask(params)
            pages = chain(list(islice(begun, 1)), begun)
            if asking.numbering is None:
                return pages
            ask_on = _beginning_with(pages, ask)
        following = Following(
            stream.name,
            key,
            stream.bookmark_kind,
            # What is compared within one read does not change with a schema that grows meanwhile.
            SentRows(stream.whole_rows),
            lambda: stream.encoder_now,
            stream.unique_key,
            Questions(ask_on, params_from, partial(asking.pages_behind, context, asking.numbering), coming),
            stream.warn,
            stream.advice_on_order,
        )
        return following.pages(params, reads_all=reads_all)


def _beginning_with(begun: Iterator[ReadPage], ask: Ask) -> Ask:
    """Return ``ask``, whose first answer is one that has been begun already."""
    left = [begun]
    return lambda params: left.pop() if left else ask(params)
