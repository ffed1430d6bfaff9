"""What was found: counted by check, told up to a limit, never with row content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from singerkit_check.rules import CHECKS, Check, Severity

__all__ = ["Finding", "Findings", "shown"]

_LONGEST_NAME = 80


@dataclass(frozen=True)
class Finding:
    """One thing that is not as a rule has it; ``line`` counts from 1, 0 stands for the stream as a whole."""

    check: str
    line: int
    stream: str | None
    sentence: str
    severity: Severity

    @property
    def rule(self) -> str:
        return CHECKS[self.check].rule


@dataclass
class Findings:
    """Counts findings and hands them to ``tell``, at most ``limit`` of each check and stream (0 = all).

    A rule in ``waived`` is never more than information. Memory grows with the checks and streams, not with rows.
    """

    tell: Callable[[Finding], None]
    limit: int = 10
    waived: Collection[str] = ()
    counts: Counter[tuple[str, Severity]] = field(default_factory=Counter)
    """Findings by check and severity, those that were not told included."""
    _told: Counter[tuple[str, str | None]] = field(default_factory=Counter)

    def add(self, check: str, line: int, sentence: str, stream: str | None = None) -> None:
        """Note a finding; ``sentence`` says expectation, finding and place."""
        severity = self._severity(CHECKS[check])
        self.counts[check, severity] += 1
        self._told[check, stream] += 1
        told = self._told[check, stream]
        if self.limit and told > self.limit:
            return
        if told == self.limit:
            sentence += "; further ones like it are counted only (--limit)"
        self.tell(Finding(check, line, stream, sentence, severity))

    def _severity(self, check: Check) -> Severity:
        return Severity.INFO if check.rule in self.waived else check.severity

    def total(self, severity: Severity) -> int:
        return sum(count for (_, found), count in self.counts.items() if found is severity)

    def rules(self, severity: Severity) -> dict[str, int]:
        """Return how many findings of this severity each rule has, in the order of the checks."""
        counts: Counter[str] = Counter()
        for name, check in CHECKS.items():
            if count := self.counts[name, severity]:
                counts[check.rule] += count
        return dict(counts)


def shown(name: str) -> str:
    """Return a name of a stream or field for a sentence: quoted, on one line, not too long."""
    text = name.encode("unicode_escape").decode() if not name.isprintable() else name
    return f"`{text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 3] + '...'}`"
