"""The state of a pipeline whose target is not ours: what that prints, kept in the state file as it comes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from typing import Any

from singerkit_shell.errors import BadDataError, ConfigurationError, SingerkitError
from singerkit_state import statefile
from singerkit_state.edit import streams_of
from singerkit_state.history import same_text
from singerkit_state.howfar import bookmark_in, lag_behind
from singerkit_state.runs import StreamRun
from singerkit_state.value import decode

__all__ = ["Collected", "Watched"]

_OBJECT = re.compile(rb'\{\s*(?:["}]|$)')


class Watched:
    """A state file as it was when a pipe began."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._before = statefile.text_in(path)

    def has_changed(self) -> bool:
        """Whether another state than before is committed; the mark of a run alone makes none."""
        return not same_text(self._before, statefile.text_in(self._path))

    def streams(self, rows: Mapping[str, int] | None) -> Mapping[str, StreamRun]:
        """Return what the file says of each stream, before the pipe and now. ``rows``: how many of each are loaded, None where nobody knows."""
        before, after = _value_of(self._before), _value_of(statefile.text_in(self._path))
        counts: Mapping[str, int | None] = {} if rows is None else rows
        names = sorted({*streams_of(before), *streams_of(after), *counts})
        return {
            name: _stream(bookmark_in(before, name), bookmark_in(after, name), counts.get(name))
            for name in names
        }


def _value_of(text: str | None) -> dict[str, Any] | None:
    try:
        value = None if text is None else decode(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _stream(before: str, after: str, rows: int | None) -> StreamRun:
    return StreamRun(
        rows, bookmark_before=before or None, bookmark_after=after or None, lag_seconds=lag_behind(after)
    )


class Collected:
    """Writes each state that a target prints to a file; ``failure`` is why one cannot be kept, ``any`` whether there was one."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.failure: SingerkitError | None = None
        self.any = False

    def take(self, line: bytes) -> None:
        """Take a line of the target's stdout: what begins as a JSON object is a state, and anything else is none; of several the last one counts."""
        line = line.removeprefix(codecs.BOM_UTF8).strip()
        if not _OBJECT.match(line):
            return
        try:
            statefile.write(self._path, _state_in(line))
            self.any, self.failure = True, None
        except SingerkitError as error:
            self.failure = error


def _state_in(line: bytes) -> str:
    """Return the text of a state.

    Raises:
        BadDataError: no run could start from it.
    """
    what = "state that the target printed"
    text = line.decode("utf-8", "surrogateescape")
    try:
        value = statefile.state_object(text, what, None, "each has to be one line of JSON")
    except ConfigurationError as error:
        raise BadDataError(
            f"{error} The rows are loaded, and the next run begins where this one did."
        ) from None
    if why := statefile.why_no_start(value, text):
        raise BadDataError(
            f"The {what} {why}; the rows are loaded, and the next run begins where this one did."
        )
    return text
