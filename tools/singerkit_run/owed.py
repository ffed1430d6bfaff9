"""What `after_commit` is owed: a run has committed something, and what is to run behind that has not ended well since.

A file beside the state says so. It is there from before a pipe begins, so that whatever is killed is not forgotten, and goes when the commands have
ended well, or nothing was committed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping

from singerkit_state.statefile import replace_file

__all__ = ["Loaded", "Owed"]

_SAID = "What `after_commit` says has not ended well since this pipeline committed something, or was killed: the next run does it.\n"
_METRIC = "METRIC: {"
_RECORDS, _CHANGES = "record_count", "changed_record_count"


class Owed:
    """The file of one pipeline; one without commands that wait for a commit needs none."""

    def __init__(self, state_file: str, is_needed: bool) -> None:
        self._path = f"{state_file.removesuffix('.json')}.owed"
        self._is_needed = is_needed
        self.is_from_before = False
        """Whether an earlier run has left it."""

    def begin(self) -> None:
        """Owe it until the end of the pipe shows that nothing was committed.

        Raises:
            CannotWriteError: nobody would know of it.
        """
        if not self._is_needed:
            return
        self.is_from_before = os.path.exists(self._path)
        if not self.is_from_before:
            replace_file(self._path, _SAID.encode(), "note of what `after_commit` is owed")

    def end(self) -> None:
        """It is owed no more."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)


class Loaded:
    """Listens to what a target says of rows, in the METRIC lines that ours and those of singer-sdk write: a state is the same behind each load of a full table."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, float]] = {_RECORDS: {}, _CHANGES: {}}

    def hear(self, line: str) -> None:
        _, metric, said = line.partition(_METRIC)
        if not metric:
            return
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            point = json.loads(f"{{{said}")
            of, stream = self._of[point["metric"]], str(point["tags"]["stream"])
            of[stream] = of.get(stream, 0) + float(point["value"])

    def rows(self) -> Mapping[str, int]:
        """Return how many records came of each stream, where the target says so."""
        return {stream: int(count) for stream, count in self._of[_RECORDS].items()}

    def any(self) -> bool:
        """Whether rows have changed, or came where the target cannot tell."""
        return any((self._of[_RECORDS] | self._of[_CHANGES]).values())
