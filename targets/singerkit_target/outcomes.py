"""What was done to the rows of each stream: how many are new, changed and gone. A store that cannot tell says nothing of the stream."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["Outcome", "Outcomes"]


class Outcome(NamedTuple):
    """``deleted`` are also those that were only marked, all at once, as of another version; ``older`` is what came and changed nothing for that.

    ``partial``: new rows of a log that left out a field, whose value nobody knows: it was to keep what is stored.
    """

    new: int = 0
    changed: int = 0
    deleted: int = 0
    older: int = 0
    partial: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """What became of rows, each of which is at most one of these; those that are ``partial`` are among the new ones."""
        return {name: count for name, count in self._asdict().items() if name != "partial"}

    def plus(self, other: Outcome) -> Outcome:
        return Outcome(*(one + more for one, more in zip(self, other, strict=True)))


class Outcomes:
    """By stream, of one unit or of all that are committed; nothing is known of a stream as soon as one of its is not."""

    def __init__(self) -> None:
        self._of: dict[str, Outcome | None] = {}
        self.columns: dict[str, list[str]] = {}
        """Those that tables have got which were there before."""

    def note(self, stream: str, outcome: Outcome | None) -> None:
        """Count what a statement did; None: it cannot be told."""
        before = self._of.get(stream, Outcome())
        self._of[stream] = None if before is None or outcome is None else before.plus(outcome)

    def note_columns(self, stream: str, columns: Iterable[str]) -> None:
        if columns := list(columns):
            self.columns.setdefault(stream, []).extend(columns)

    def add(self, other: Outcomes) -> None:
        for stream, outcome in other._of.items():
            self.note(stream, outcome)

    def clear(self) -> None:
        self._of.clear()

    def copy(self) -> Outcomes:
        made = Outcomes()
        made._of = dict(self._of)
        return made

    def back_to(self, former: Outcomes) -> None:
        self._of = dict(former._of)

    @contextlib.contextmanager
    def unless_refused(self) -> Iterator[None]:
        """What is done inside was not done where an exception comes out."""
        before = self.copy()
        try:
            yield
        except BaseException:
            self.back_to(before)
            raise

    def known(self) -> dict[str, Outcome]:
        return {stream: outcome for stream, outcome in self._of.items() if outcome is not None}
