"""Files that could not be read while others were (`on_error` `continue`): each is named, and the run ends with the first error."""

from __future__ import annotations

from singerkit_shell.errors import SingerkitError
from singerkit_shell.words import counted, ended
from singerkit_tap.stream import BlockStream
from tap_files.packed.packing import archive_kind
from tap_files.telling import named
from tap_files.turns import Turn

__all__ = ["FailedFiles"]

_TOLD = 20
"""Errors that are shown, each by itself."""


class FailedFiles:
    """Those of one stream in one run."""

    def __init__(self, stream: BlockStream) -> None:
        self._stream = stream
        self._first: SingerkitError | None = None
        self._files: list[str] = []
        self.archives: set[str] = set()
        """Archives that could not be read: nobody knows which members they have."""

    def note(self, turn: Turn, error: SingerkitError) -> None:
        """Take the error of a file; others are read."""
        self._first = self._first or error
        self._files.append(turn.file)
        if archive_kind(turn.file) is not None:
            self.archives.add(turn.file)
        if len(self._files) <= _TOLD:
            self._stream.logger.error(
                "The file %s could not be read (the run goes on with any others): %s", turn.file, error
            )

    def raise_any(self, count: int) -> None:
        """Raise the first error, with the names of the files; nothing where there is none. ``count``: files that the run looked at."""
        if self._first is None:
            return
        others = "the others were, and " if count > len(self._files) else ""
        self._first.args = (
            f"{ended(str(self._first))} Not read to the end: {counted(len(self._files), 'file')} ({named(self._files)}); {others}what "
            "was loaded of them is safe.",
        )
        raise self._first
