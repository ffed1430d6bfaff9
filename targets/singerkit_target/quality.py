"""What a run knows of its rules of quality: which are asked at its end, and what came of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from singerkit_quality.judge import Judge, Judged, RuleBroken
from singerkit_quality.sets import AskedSet, Found, SetsBroken, Standing, broken_sets
from singerkit_state.runs import RuleRun
from singerkit_target.summary import Counts

__all__ = ["Quality"]


class Quality:
    """``judge`` None: there are no rules."""

    def __init__(self, judge: Judge | None) -> None:
        self._judge = judge
        self._found: Sequence[Found] = ()
        self._ended_by: Judged | None = None

    @property
    def holds_last(self) -> bool:
        """Whether rules of all rows are judged with the last unit, which is therefore not committed before the end of the input."""
        return self._judge is not None and bool(self._judge.set_rules())

    def asked(self, keys: Mapping[str, Sequence[str]], received: Mapping[str, int]) -> list[AskedSet]:
        """Return the rules of all rows; ``keys`` and ``received`` are those of each stream."""
        assert self._judge is not None  # noqa: S101  whoever calls has looked
        return [
            AskedSet(stream, rule, keys[stream], received.get(stream, 0))
            for stream, rules in self._judge.set_rules().items()
            for rule in rules
        ]

    def take(self, found: Sequence[Found]) -> None:
        """Take what came of them.

        Raises:
            SetsBroken: a rule is broken that ends the run.
        """
        self._found = found
        if broken := broken_sets(found):
            raise SetsBroken(broken)

    def see(self, error: BaseException) -> None:
        """See what ends the run."""
        if isinstance(error, RuleBroken):
            self._ended_by = Judged(error.broken.stream, error.broken.rule)

    def unmet(self) -> list[str]:
        """Return what is to be warned of at the end of a complete run."""
        if self._judge is None:
            return []
        told = [
            f"Stream `{one.stream}`: {one.told()}."
            for one in self._found
            if one.standing is not Standing.KEPT
        ]
        return [*self._judge.unmet(), *told]

    def told(self, done: Counts) -> list[RuleRun]:
        """Return what came of each rule, for the history; ``done``: what is committed."""
        if self._judge is None:
            return []
        found = {one.of: one for one in self._found}
        rules = [
            *self._judge.row_rules(),
            *(Judged(stream, rule) for stream, rules in self._judge.set_rules().items() for rule in rules),
        ]
        return [
            _of_set(found[one]) if one in found else _of_rows(one, done, is_broken=one == self._ended_by)
            for one in rules
        ]


def _of_rows(one: Judged, done: Counts, *, is_broken: bool) -> RuleRun:
    judged, broken = done.judged[one], done.broken[one]
    if is_broken or broken:
        standing, why = Standing.BROKEN, "it has ended the run" if is_broken else ""
    elif judged:
        standing, why = Standing.KEPT, ""
    else:
        standing = Standing.NOT_JUDGED
        why = "no record came" if one.rule.is_of_rows else "the run did not come to its end"
    return RuleRun(*_named(one), verdict=standing.value, judged=judged, broken=broken, why=why)


def _of_set(one: Found) -> RuleRun:
    return RuleRun(
        *_named(one.of),
        verdict=one.standing.value,
        judged=one.judged,
        broken=one.broken,
        why=one.why,
        measured=one.measured,
    )


def _named(one: Judged) -> tuple[str, str, str, str, str]:
    rule = one.rule
    return one.stream, rule.kind, ", ".join(rule.fields), rule.place, rule.on.value
