"""The state of a pipeline whose target is not ours: what that prints, kept in the state file as it comes."""

from __future__ import annotations

import json

from singerkit_shell.errors import SingerkitError
from singerkit_state import statefile
from singerkit_state.history import same_text

__all__ = ["Collected", "Watched"]


class Watched:
    """A state file as it was when a pipe began."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._before = statefile.text_in(path)

    def has_changed(self) -> bool:
        """Whether another state than before is committed; the mark of a run alone makes none."""
        return not same_text(self._before, statefile.text_in(self._path))


class Collected:
    """Writes each state that a target prints to a file; ``failure`` is why one could not be written."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.failure: SingerkitError | None = None

    def take(self, line: str) -> None:
        """Take a line of the target's stdout: a JSON object is a state, and anything else is not."""
        if self.failure is not None or not _is_object(line):
            return
        try:
            statefile.write(self._path, line.strip())
        except SingerkitError as error:
            self.failure = error


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
