"""Rows that a tap of ours sends again, where a target appends: they replace nothing there, and are there twice.

A tap promises `effectively_once` where a row that comes again replaces itself by its key. Only the target knows that it
does not replace, and only the tap which rows come again: it says so in its state (`singerkit_state.bookmarks`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from singerkit_shell.words import counted
from singerkit_state.bookmarks import sent_again
from singerkit_state.edit import has_part
from singerkit_wire.stream import Stream

__all__ = ["Repeats"]

_READER = "or take the newest of each key where you read them"


class Repeats:
    """Tells of the streams of one run, each once.

    ``tell`` is given a sentence and the stream it is about; ``start_over`` returns the command that forgets the state of one.
    """

    def __init__(self, tell: Callable[[str, str], None], start_over: Callable[[str], str]) -> None:
        self._tell, self._start_over = tell, start_over
        self._start: Any = None
        self._stored: Any = None
        self._streams: list[str] = []

    def begin(self, start: Any, stored: Any) -> None:
        """Take the state that the tap starts from, and the one that was committed by the runs before."""
        self._start, self._stored = start, stored

    def declare(self, stream: Stream, *, is_incremental: bool) -> None:
        """Note a stream of this run, and tell of rows that come again in it."""
        if not stream.key_properties or stream.name in self._streams:
            return
        self._streams.append(stream.name)
        rows = sent_again(_part(self._start, stream.name))
        if rows and rows is not True:
            self._tell_of_rows(stream.name, rows, "this run sends")
        if not is_incremental and self._is_new(stream.name):
            self._tell(
                f"Stream `{stream.name}` is read without a bookmark, so each run sends its rows again, and rows are appended "
                f"here: they are there once for each run. Give the stream a `replication_key`, {_READER}. This is said once.",
                stream.name,
            )

    def end(self, state: Any) -> None:
        """Tell of rows that come again in the next run, as the last ``state`` of a complete one says."""
        for name in self._streams:
            rows = sent_again(_part(state, name))
            if rows is not True and rows:
                self._tell_of_rows(name, rows, "the next run sends")
            elif rows and self._is_new(name):
                self._tell(
                    f"Stream `{name}` has a `lookback`, so each run sends the rows of that window again, and rows are appended "
                    f"here: they are there several times. Take `lookback` out, {_READER}. This is said once.",
                    name,
                )

    def _is_new(self, name: str) -> bool:
        return not has_part(self._stored, name)

    def _tell_of_rows(self, name: str, rows: int, when: str) -> None:
        self._tell(
            f"Rows of stream `{name}` are appended, and {when} up to {counted(rows, 'row')} again that the tap no longer "
            f"remembers: they are there twice then. To have each once, set `bookmark.memory` of the stream in the config of "
            f"tap-rest above {rows}, and load it anew: empty its file or table, run {self._start_over(name)}, and run again; "
            f"{_READER}.",
            name,
        )


def _part(state: Any, stream: str) -> Any:
    bookmarks = state.get("bookmarks") if isinstance(state, Mapping) else None
    return bookmarks.get(stream) if isinstance(bookmarks, Mapping) else None
