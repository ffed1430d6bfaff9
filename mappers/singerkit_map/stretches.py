"""Runs of one stream with nothing but STATEs between them, mapped as one: a hundred blocks of ten records would take ten times as long."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from singerkit_shell.errors import BadDataError
from singerkit_wire.batch import Letters, Reject
from singerkit_wire.messages import Message, Run

__all__ = ["dealt", "runs_of", "stretches"]


def stretches(parts: Iterable[Run | Message]) -> Iterator[list[Run | Message]]:
    """Yield parts in their order: runs and STATEs that follow each other together, every other message alone.

    Raises:
        BadDataError: as ``parts``, once all before it is yielded.
    """
    stretch: list[Run | Message] = []
    problem: BadDataError | None = None
    try:
        for part in parts:
            if isinstance(part, Run) or part.type == "STATE":
                stretch.append(part)
                continue
            if stretch:
                yield stretch
                stretch = []
            yield [part]
    except BadDataError as error:
        problem = error
    if stretch:
        yield stretch
    if problem is not None:
        raise problem


def runs_of(stretch: Sequence[Run | Message]) -> dict[str, dict[int, Run]]:
    """Return the runs by their stream, and by their places."""
    found: dict[str, dict[int, Run]] = {}
    for place, part in enumerate(stretch):
        if isinstance(part, Run):
            found.setdefault(part.stream, {})[place] = part
    return found


def dealt(made: Iterable[Run | Letters], runs: Sequence[Run]) -> list[list[Run | Letters]] | None:
    """Return what has become of each of the runs, by the lines of what has become of all; None: the lines are no longer in order."""
    starts = [run.line_number(0) for run in runs]
    found: list[list[Run | Letters]] = [[] for _ in runs]
    for one in made:
        if isinstance(one, Letters):
            _deal_letters(one, starts, found)
        elif one.numbers and list(one.numbers) != sorted(one.numbers):
            return None
        else:
            _deal_rows(one, starts, found)
    return found


def _deal_letters(letters: Letters, starts: Sequence[int], found: Sequence[list[Run | Letters]]) -> None:
    by_run: dict[int, list[Reject]] = {}
    for reject in letters.rejects:
        by_run.setdefault(bisect_right(starts, reject.line) - 1, []).append(reject)
    for place, rejects in by_run.items():
        found[place].append(
            Letters(letters.type, letters.stream, letters.line, rejects[0].line, tuple(rejects))
        )


def _deal_rows(run: Run, starts: Sequence[int], found: Sequence[list[Run | Letters]]) -> None:
    assert run.columns is not None  # noqa: S101  what a map makes
    numbers = run.numbers or range(run.first_line, run.first_line + run.lines)
    ends = [*(bisect_left(numbers, start) for start in starts[1:]), run.lines]
    begin = 0
    for place, end in enumerate(ends):
        if end > begin:
            part = run.columns.part(begin, end)
            found[place].append(Run(run.stream, part, part.count, numbers[begin], tuple(numbers[begin:end])))
        begin = end
