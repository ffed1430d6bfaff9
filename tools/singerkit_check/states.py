"""STATE: its shape, its size, the bookmarks in it, and the mark with which runs of singerkit begin and end."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping
from typing import Any

from singerkit_check.findings import Findings, shown
from singerkit_check.progress import bookmark_in, sent_before
from singerkit_check.records import Stream, has_zone
from singerkit_check.values import kind_of
from singerkit_state.value import Mark, is_empty, read_mark

__all__ = ["States"]

_LARGEST = 1 << 20  # bytes
_MOST_PARTITIONS = 1_000
_MOST_ROWS = 1_000_000
_DAY = 86_400
"""Seconds by which the clocks of source and reader may differ."""


class States:
    """Follows the STATEs of a stream. ``streams`` are those declared so far, by name."""

    def __init__(
        self, streams: Mapping[str, Stream], findings: Findings, clock: Callable[[], float] = time.time
    ) -> None:
        self._streams, self._findings, self._clock = streams, findings, clock
        self.count = 0
        self._last: Any = None
        self._rows_at_last = 0
        self._mark: Mark | None = None
        self._told: set[tuple[str, str]] = set()

    def begin(self, value: Any) -> None:
        """Say with which STATE value the run began."""
        self._last = value
        for stream in self._streams.values():
            self.stream_begins(stream)

    def stream_begins(self, stream: Stream) -> None:
        """Take what the states so far say about a stream that was declared now."""
        entry = _entries(self._last).get(stream.name)
        if stream.progress.field is None and isinstance(entry, Mapping):
            name = entry.get("replication_key")
            if isinstance(name, str):
                stream.follow(name)
        if self._last is not None and not stream.rows:
            stream.progress.begins_at(bookmark_in(entry, stream.progress.field), sent_before(entry))

    def state(self, message: Mapping[str, Any], size: int, line: int, rows: int) -> None:
        """Check a STATE message of ``size`` bytes that comes after ``rows`` rows of all streams."""
        self.count += 1
        self._rows_at_last = rows
        if "value" not in message:
            self._add("state-value", line, "Expected `value` in STATE, got none")
            return
        value = message["value"]
        self._check_shape(value, line)
        self._check_mark(value, line)
        if is_empty(value):
            if not is_empty(self._last):
                self._add(
                    "state-empty", line, "Expected a STATE no poorer than the last one, got an empty one"
                )
            if self._last is None:
                self._begin_with(value, line)
            return
        self._check_size(value, size, line)
        self._check_streams(value, line)
        self._begin_with(value, line)

    def _begin_with(self, value: Any, line: int) -> None:
        self._last = value
        entries = _entries(value)
        for stream in self._streams.values():
            entry = entries.get(stream.name)
            if stream.progress.field is None and isinstance(entry, Mapping) and not stream.rows:
                self.stream_begins(stream)
            bookmark = bookmark_in(entry, stream.progress.field)
            stream.progress.state(bookmark, line, sent_before(entry))
            if bookmark is not None and isinstance(bookmark.value, str) and self._is_future(bookmark.value):
                self._tell_once(
                    "future",
                    stream.name,
                    line,
                    f"Expected a bookmark of {shown(stream.name)} in the past, got one in the future",
                )

    def _is_future(self, text: str) -> bool:
        if not has_zone(text):
            return False
        try:
            return datetime.datetime.fromisoformat(text).timestamp() > self._clock() + _DAY
        except (ValueError, OverflowError):
            return False

    def _check_shape(self, value: Any, line: int) -> None:
        if not isinstance(value, dict):
            if value is not None:
                sentence = f"Expected an object as the value of STATE, got {kind_of(value)}"
                self._tell_once("state-shape", "", line, sentence)
        elif not isinstance(value.get("bookmarks"), dict) and not is_empty(value):
            found = kind_of(value["bookmarks"]) if "bookmarks" in value else "none"
            self._tell_once(
                "state-shape", "", line, f"Expected `bookmarks`, by stream, in STATE, got {found}"
            )

    def _check_size(self, value: Any, size: int, line: int) -> None:
        if size > _LARGEST:
            self._tell_once(
                "state-size", "", line, f"Expected a STATE of at most {_LARGEST:,} bytes, got {size:,}"
            )
        for name, entry in _entries(value).items():
            partitions = entry.get("partitions") if isinstance(entry, Mapping) else None
            if isinstance(partitions, list) and len(partitions) > _MOST_PARTITIONS:
                self._tell_once(
                    "state-size",
                    name,
                    line,
                    f"Expected at most {_MOST_PARTITIONS:,} partitions of {shown(name)} in STATE, got "
                    f"{len(partitions):,}: does it grow by one for each parent?",
                )

    def _check_streams(self, value: Any, line: int) -> None:
        gone = _entries(self._last).keys() - _entries(value).keys()
        for name in sorted(gone):
            self._tell_once(
                "state-forgets",
                name,
                line,
                f"Expected {shown(name)} in STATE, as in the one before, got none",
            )

    # The mark

    def _check_mark(self, value: Any, line: int) -> None:
        mark = read_mark(value)
        self._check_end(line, mark)
        if mark is not None:
            self._mark = mark

    def _check_end(self, line: int, mark: Mark | None) -> None:
        if self._mark is None or not self._mark.complete or (mark is not None and mark.run != self._mark.run):
            return
        self._tell_once(
            "end-passed",
            self._mark.run,
            line,
            "Expected nothing after the STATE that says `complete`, got more of the run",
        )

    def other_message(self, line: int) -> None:
        """Note a message of another kind."""
        if self._mark is not None and self._mark.complete:
            self._check_end(line, None)

    def end(self, line: int, rows: int) -> None:
        """Look at the whole of it when the input has ended; ``rows`` came in all."""
        if self._mark is not None and not self._mark.complete:
            self._add(
                "end-missing",
                line,
                "Expected a STATE that says `complete` at the end of a run of singerkit, got the end of the input: the "
                "run was cut short",
            )
        elif self.count and rows > self._rows_at_last:
            late = rows - self._rows_at_last
            self._add(
                "state-rare",
                line,
                f"Expected a STATE after the last row, got {late:,} of the rows after the last one",
            )
        elif not self.count and any(
            stream.progress.field and stream.rows for stream in self._streams.values()
        ):
            self._add(
                "state-rare", line, f"Expected a STATE with the bookmarks of the rows ({rows:,}), got none"
            )

    def row_passed(self, rows: int, line: int) -> None:
        """Note that a row has come, ``rows`` in all."""
        if rows - self._rows_at_last > _MOST_ROWS:
            self._tell_once(
                "state-rare", "", line, f"Expected a STATE at least every {_MOST_ROWS:,} rows, got none"
            )
        if self._mark is not None and self._mark.complete:
            self._check_end(line, None)

    def _add(self, check: str, line: int, sentence: str) -> None:
        self._findings.add(check, line, sentence)

    def _tell_once(self, check: str, name: str, line: int, sentence: str) -> None:
        if (check, name) not in self._told and len(self._told) < 1000:
            self._told.add((check, name))
            self._add(check, line, sentence)


def _entries(value: Any) -> Mapping[str, Any]:
    bookmarks = value.get("bookmarks") if isinstance(value, dict) else None
    return bookmarks if isinstance(bookmarks, dict) else {}
