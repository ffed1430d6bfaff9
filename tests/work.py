"""Work that is counted, not timed: the lines of our code that Python runs, the same on a busy machine as on an idle one.

What runs in C costs nothing here, a comprehension over rows one line for each: so a hot path that begins to look at rows
one by one is seen, whatever the machine.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["lines_per_row", "lines_run"]

_OURS = ("singerkit_", "tap_", "target_")


def lines_run(work: Callable[[], object]) -> int:
    """Return how many lines of our code run in a piece of work, those of threads that it starts among them."""
    count = 0

    def within(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return within

    def entered(frame: FrameType, event: str, argument: Any) -> Any:
        is_ours = str(frame.f_globals.get("__name__", "")).startswith(_OURS)
        return within(frame, event, argument) if is_ours else None

    before = sys.gettrace()
    sys.settrace(entered)
    threading.settrace(entered)
    try:
        work()
    finally:
        sys.settrace(before)
        threading.settrace(None)  # type: ignore[arg-type]  # as `threading` has it at first
    return count


def lines_per_row(work: Callable[[int], object], few: int, many: int) -> float:
    """Return how many lines of our code each further row costs, where ``work`` handles that many."""
    work(few)  # what is made once, by the first
    counts = [lines_run(lambda rows=rows: work(rows)) for rows in (few, many)]  # type: ignore[misc]
    return (counts[1] - counts[0]) / (many - few)
