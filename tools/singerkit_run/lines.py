"""Which lines of the programs of a pipe are told: those that matter, unless all are asked for.

A tap's news are its target's, too, once they are loaded; so of a tap, and of a mapper, only what is a warning or worse is told, and of none METRIC lines. What says of
itself nothing that is known here is told: it may be a traceback. What is left out is kept for the case that the pipe fails.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

__all__ = ["Lines"]

_OURS = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ \| (?P<level>[A-Z]+) *\| (?P<logger>\S+) *\| (?P<words>.*)",
    re.DOTALL,
)
"""As singer-sdk writes them, and so do ours."""
_THEIRS = re.compile(
    r"(?:^|[\s|:\[\"'=])(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)(?:$|[\s|:\]\"',])",
    re.IGNORECASE,
)
_LEVEL_WITHIN = 200
"""Characters of a line in which its level is looked for."""
_QUIET = {"TRACE", "DEBUG"}
_NEWS = {"INFO", "NOTICE"}
_KEPT = 30
"""How many lines that were not told are remembered."""


class Lines:
    """The lines of one pipeline; what is told goes to ``tell``, with who says it: `tap`, or `tap WARNING`."""

    def __init__(self, tell: Callable[[str, str], None], everything: bool) -> None:
        self._tell, self._everything = tell, everything
        self.left_out: deque[tuple[str, str]] = deque(maxlen=_KEPT)

    def hear(self, side: str, line: str) -> None:
        if self._everything or side not in ("tap", "mapper", "target"):
            self._tell(side, line)
            return
        level, words = _level_and_words(line)
        if _matters(side, level, words):
            self._tell(f"{side} {level}" if words is not line and level not in _NEWS else side, words)
        else:
            self.left_out.append((side, line))

    def tell_what_was_left_out(self) -> None:
        """Tell the last lines that did not matter until the pipe failed."""
        while self.left_out:
            self._tell(*self.left_out.popleft())


def _level_and_words(line: str) -> tuple[str, str]:
    """Return the level of a line, "" where it says none, and what stands behind that; of a line in a form that is not ours, all of it."""
    if found := _OURS.fullmatch(line):
        return found["level"], found["words"]
    if found := _THEIRS.search(line[:_LEVEL_WITHIN]):
        return found[1].upper(), line
    return "", line


def _matters(side: str, level: str, words: str) -> bool:
    if level in _QUIET or "METRIC: {" in words:
        return False
    return side == "target" or level not in _NEWS
