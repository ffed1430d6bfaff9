"""Rules of all rows of a stream: what came of one, and how that is told."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from singerkit_quality.judge import Judged
from singerkit_quality.rules import On, Rule
from singerkit_shell.errors import SingerkitError
from singerkit_shell.words import counted

__all__ = ["AskedSet", "Found", "SetsBroken", "Standing", "broken_sets"]


class Standing(enum.Enum):
    """What came of a rule."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class AskedSet:
    """A rule that is asked of the table of a stream; ``keys``: its fields that tell rows apart, ``received``: rows that this run has had of it."""

    stream: str
    rule: Rule
    keys: Sequence[str] = ()
    received: int | None = None


@dataclass(frozen=True)
class Found:
    """What came of a rule: of ``judged`` rows ``broken`` break it; ``keys`` of some of these.

    ``why``: half a sentence where the numbers do not say it, as in ``it has 900 rows, and 100 is usual``. ``measured``: what the next run is compared with.
    """

    stream: str
    rule: Rule
    standing: Standing
    judged: int = 0
    broken: int = 0
    why: str = ""
    keys: Sequence[str] = ()
    measured: Mapping[str, float] = field(default_factory=dict)

    @property
    def of(self) -> Judged:
        return Judged(self.stream, self.rule)

    def told(self) -> str:
        """Half a sentence that says what came of it."""
        if self.standing is Standing.NOT_JUDGED:
            return f"{self.rule.called()} was not judged: {self.why}"
        if self.why:
            return f"{self.rule.called()} is {self.standing.value}: {self.why}"
        some = (
            f" (key {'; '.join(self.keys)}{' and others' if self.broken > len(self.keys) else ''})"
            if self.keys
            else ""
        )
        return f"{self.rule.called()} is {self.standing.value} by {self.broken:,} of {counted(self.judged, 'row')}{some}"


class SetsBroken(SingerkitError):
    """Rules of all rows that end a run are broken: the unit that they were asked in is given up."""

    exit_code = 65

    def __init__(self, broken: Sequence[Found]) -> None:
        said = "; ".join(f"stream `{one.stream}`: {one.told()}" for one in broken)
        super().__init__(
            f"Rules of quality are broken, so that the last unit of this run was not committed: {said}. What was committed before is safe: correct it at the "
            "source, or have it only told (`on: warn`), then run again; with `atomic: run` nothing of a run is committed before its rules are judged."
        )
        self.broken = broken


def broken_sets(found: Sequence[Found]) -> list[Found]:
    """Return what ends a run."""
    return [one for one in found if one.standing is Standing.BROKEN and one.rule.on is On.FAIL]
