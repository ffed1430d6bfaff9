"""Windows with more rows than the API gives of one question, by their number or by its own error: they are asked for in halves, until each has fewer.

The rows of a window are held back until all of it has come. What was read of one that is too long is thrown away, and
comes again with its halves: so no row comes twice, with or without a key, and a bookmark stands behind whole windows only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from singerkit_shell.errors import BadDataError, SingerkitError
from tap_rest.answers.answer import TooManyRowsError
from tap_rest.http.retries import FailingServer
from tap_rest.pages.caps import tells_too_many
from tap_rest.records.cutting import ReadPage
from tap_rest.settings.stream import StreamSettings
from tap_rest.windows.bounds import Scale, Times, Window

__all__ = ["Halves"]

Ask = Callable[[Window], Iterator[ReadPage]]


class Halves:
    """How long the windows of one read may be, as its answers show."""

    def __init__(self, settings: StreamSettings) -> None:
        self._settings, self._pagination = settings, settings.pagination
        self._halvings = 0
        """How often a window has to be halved, as far as the last answers tell."""
        self._most = self._pagination.max_rows
        """So many rows one question has at most; where only the API knows, as many as have come of one."""

    @property
    def is_needed(self) -> bool:
        """Whether windows may be too long: a read that goes on by its key asks a new question for each page."""
        is_capped = self._pagination.max_rows is not None and not self._settings.follows_key
        return is_capped or self._settings.splits

    def shortened(self, scale: Scale, window: Window) -> Window:
        """Return the window, or as much of it as is likely to come in answer to one question."""
        for _ in range(self._halvings):
            window = scale.half(window) or window
        return window

    def pages(
        self, scale: Scale, window: Window, ask: Ask, note_too_long: Callable[[Window], None] | None = None
    ) -> tuple[Window, Iterator[ReadPage]]:
        """Return as much of a window, from its beginning on, as comes in answer to one question, with its pages.

        ``note_too_long`` is told of a window before a shorter one is asked for.

        Raises:
            BadDataError: the shortest window that can be asked for has too many rows.
        """
        if not self.is_needed:
            return window, ask(window)
        while True:
            shorter = scale.half(window)
            held = self._held(ask, window, is_shortest=shorter is None)
            if held is not None or shorter is None:
                return window, iter(held or ())
            if note_too_long is not None:
                note_too_long(window)
            window = shorter
            self._halvings += 1

    def looked_at(
        self, times: Times, window: Window, look: Callable[[Window], Iterator[ReadPage]]
    ) -> Iterator[ReadPage]:
        """Yield pages of a window, or where the API refuses that much, of the first part of it that has rows and is given."""
        part, has_rows = window, False
        while True:
            try:
                for page in look(part):
                    has_rows = has_rows or bool(page.records)
                    yield page
            except TooManyRowsError as error:
                shorter = times.half(part)
                if error.refusal is None or (shorter is None and not has_rows):
                    raise
                if shorter is not None and not has_rows:
                    part = shorter
                    continue
            if has_rows or part.end.place >= window.end.place:
                return
            part = times.window(part.end, window.end)

    def _held(self, ask: Ask, window: Window, *, is_shortest: bool) -> list[ReadPage] | None:
        """Return the pages of a window; None: they are too many."""
        held: list[ReadPage] = []
        try:
            for page in ask(window):
                if not is_shortest and tells_too_many(self._pagination, page):
                    return None
                held.append(page)
        except TooManyRowsError as error:
            if is_shortest:
                raise self._too_many(window, error.refusal) from None
            return None
        rows = sum(len(page.came) for page in held)
        if self._most is None or 3 * rows < self._most:
            self._halvings = max(self._halvings - 1, 0)
        if self._pagination.max_rows is None:
            self._most = max(self._most or 1, rows)
        return held

    def _too_many(self, window: Window, refusal: SingerkitError | None) -> SingerkitError:
        incremental = self._settings.incremental
        names = "`incremental.granularity`"
        if incremental is not None and incremental.window is None:
            names = f"`incremental.window` and {names}"
        finer = (
            f"set {names}, if the API takes the end for all of that day or second, or "
            if incremental is not None
            and incremental.granularity is None
            and incremental.until == "inclusive"
            else ""
        )
        said = (
            f"the API gives as many rows of stream {self._settings.name} as it gives of one question (`pagination.max_rows` "
            f"{self._pagination.max_rows}): others may be missing"
            if refusal is None
            else str(refusal).rstrip(".")
        )
        kind = FailingServer if isinstance(refusal, FailingServer) else BadDataError
        return kind(
            f"Asked for `{window.begin.asked}` to `{window.until.asked}`, the shortest window that can be asked for, {said}. What "
            f"was confirmed by the target is safe; {finer}ask for fewer rows at a time: by a finer `incremental.format`, or for each of several "
            "values (`for_each`)."
        )
