"""Streams that are read from a log, and an ACTIVATE_VERSION that takes rows of theirs away: a TRUNCATE, or a new start (docs/decisions/0080).

A load of the whole stream comes again, and tells each time what is gone; the log tells it once. The states of our taps have the version of
the rows of each such stream, so that it is known whether rows of an older one were loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from singerkit_shell.errors import ConfigurationError

__all__ = ["LogVersions"]

_LOG = "_singerkit_log"


class LogVersions:
    """The versions of one run; ``lacks`` tells of a stream whether its rows carry none, so that an ACTIVATE_VERSION takes none away."""

    def __init__(self, lacks: Callable[[str], bool]) -> None:
        self._lacks = lacks
        self._oldest: dict[str, int] = {}

    def take_state(self, value: Any) -> None:
        """Note the versions that a state names: one from which the tap goes on, or a STATE whose rows are stored."""
        bookmarks = value.get("bookmarks") if isinstance(value, Mapping) else None
        for stream, part in (bookmarks if isinstance(bookmarks, Mapping) else {}).items():
            said = part.get(_LOG) if isinstance(part, Mapping) else None
            version = said.get("version") if isinstance(said, Mapping) else None
            if isinstance(version, int):
                self._oldest[stream] = min(version, self._oldest.get(stream, version))

    def activate(self, stream: str, version: int) -> None:
        """See that no row would stay that is gone.

        Raises:
            ConfigurationError: rows of an older version were loaded, and cannot be told from those of this one.
        """
        if self._lacks(stream) and self._oldest.get(stream, version) < version:
            raise ConfigurationError(
                f"Stream `{stream}` was emptied at its source (TRUNCATE), or has been read anew, and which of its rows are gone cannot be told: they carry no version "
                "without `add_record_metadata`; nothing of it was committed, and what was before is safe: set `add_record_metadata` to true and run again, which tells "
                "what removes the rows that were loaded without a version; or set `activate_version` to false, and all stay."
            )
