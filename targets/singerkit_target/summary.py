"""What a run has loaded, for the log and for the sentences of errors."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from singerkit_quality.judge import Judged
from singerkit_quality.rules import On
from singerkit_shell.words import counted
from singerkit_state.runs import SENTENCES, reason_of
from singerkit_target.ended import Ended
from singerkit_target.measured import measure
from singerkit_target.outcomes import Outcomes
from singerkit_target.spent import Spent
from singerkit_wire.batch import Reject, told_set_aside

__all__ = ["Counts", "Moved", "Summary"]


class Moved(NamedTuple):
    """The field of values that its own column does not hold, and the column beside it in which they stand."""

    stream: str
    field: str
    column: str


@dataclass(frozen=True)
class Counts:
    """How many records of each stream were received and set aside up to some point of the run, and values put beside their columns; the bytes of their lines, why they were set aside, and how many each rule of quality was held against, and was broken by."""

    received: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    moved: Counter[Moved] = field(default_factory=Counter)
    size: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    judged: Counter[Judged] = field(default_factory=Counter)
    broken: Counter[Judged] = field(default_factory=Counter)


@dataclass
class Summary:
    """Rows by stream: received, of these committed, and records set aside; values that were ``moved`` beside their columns."""

    received: Counter[str] = field(default_factory=Counter)
    committed: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    rejected_before: Counter[str] = field(default_factory=Counter)
    moved: Counter[Moved] = field(default_factory=Counter)
    moved_before: Counter[Moved] = field(default_factory=Counter)
    size: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    judged: Counter[Judged] = field(default_factory=Counter)
    broken: Counter[Judged] = field(default_factory=Counter)
    done: Counts = field(default_factory=Counts)
    """What is committed, of all of these."""
    commits: int = 0
    replays: int = 0
    started: float = field(default_factory=time.monotonic)
    spent: Spent = field(default_factory=Spent, compare=False)

    def counts(self) -> Counts:
        return Counts(
            self.received.copy(),
            self.rejected.copy(),
            self.moved.copy(),
            self.size.copy(),
            self.reasons.copy(),
            self.judged.copy(),
            self.broken.copy(),
        )

    def back_to(self, counts: Counts) -> None:
        """What came after ``counts`` were taken was given up."""
        self.received = counts.received.copy()
        self.rejected = counts.rejected.copy()
        self.moved = counts.moved.copy()
        self.size = counts.size.copy()
        self.reasons = counts.reasons.copy()
        self.judged = counts.judged.copy()
        self.broken = counts.broken.copy()

    def set_aside(self, stream: str, rejects: Sequence[Reject]) -> None:
        """Count records that were refused."""
        self.rejected[stream] += len(rejects)
        for one in rejects:
            self._give_reason(reason_of(one.stream, one.path, one.reason))

    def judge(self, judged: Counter[Judged], broken: Counter[Judged]) -> None:
        """Count rows that rules of quality were held against, and those that broke them."""
        self.judged.update(judged)
        self.broken.update(broken)

    def _give_reason(self, reason: str, count: int = 1) -> None:
        self.reasons[reason if reason in self.reasons or len(self.reasons) < SENTENCES else "others"] += count

    def without(self, refused: Mapping[str, int]) -> Counts:
        """Return the counts up to the end of a unit; ``refused`` of its records the target has set aside, by stream."""
        self.received.subtract(refused)
        self.rejected.update(refused)
        for stream, count in refused.items():
            self._give_reason(f"{stream}: refused by the database", count)
        return self.counts()

    def commit(self, counts: Counts) -> None:
        """A unit is committed, with which ``counts`` are reached; records of the next one may have been received meanwhile."""
        self.spent.on_each(counts.received - self.committed)
        self.done = counts
        self.committed = counts.received.copy()
        self.rejected_before = counts.rejected.copy()
        self.moved_before = counts.moved.copy()
        self.commits += 1

    def begin_again(self) -> None:
        """The unit in hand is to be written once more."""
        self.back_to(self.done)
        self.replays += 1

    @property
    def committed_rows(self) -> int:
        return self.committed.total()

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def log(
        self,
        log: logging.Logger,
        aside: str,
        before: Any = None,
        after: Any = None,
        outcomes: Outcomes | None = None,
    ) -> None:
        """What was loaded by stream, then a line for the run; ``aside`` is where records are set aside, ``before`` and ``after`` are states."""
        outcomes = outcomes or Outcomes()
        ended = Ended(self.committed, self.rejected_before, before, after, outcomes, self.spent.seconds)
        for said in ended.said():
            log.info("%s", said)
        measure(self.committed, self.spent.seconds, outcomes.known())
        for stream, count in sorted(self.rejected_before.items()):
            if count:
                log.warning("%s", told_set_aside(stream, count, aside))
        for moved, count in sorted(self.moved_before.items()):
            log.warning(
                "Stream `%s`: %s of `%s` %s not of the type of that column, and %s as sent in `%s`%s.",
                moved.stream,
                counted(count, "value"),
                moved.field,
                "is" if count == 1 else "are",
                "stands" if count == 1 else "stand",
                moved.column,
                ", unless its record is set aside" if self.rejected_before[moved.stream] else "",
            )
        for (name, rule), count in sorted(self.done.broken.items(), key=lambda one: one[0].rule.place):
            log.warning(
                "Stream `%s`: %s is broken by %s of %s: %s.",
                name,
                rule.called(),
                f"{count:,}",
                counted(self.done.judged[Judged(name, rule)], "record"),
                "set aside" if rule.on is On.QUARANTINE else self._loaded_all_the_same(name),
            )
        seconds = self.seconds()
        log.info(
            "%s in %.1f s (%s/s), %s%s.",
            counted(self.committed_rows, "row"),
            seconds,
            counted(int(self.committed_rows / seconds) if seconds else 0, "row"),
            counted(self.commits, "commit"),
            f", a unit written again {counted(self.replays, 'time')}" if self.replays else "",
        )

    def _loaded_all_the_same(self, stream: str) -> str:
        others_set_aside = any(rule.on is On.QUARANTINE for name, rule in self.done.broken if name == stream)
        return "loaded all the same (`on: warn`)" + (
            ", but for those that another rule sets aside" if others_set_aside else ""
        )
