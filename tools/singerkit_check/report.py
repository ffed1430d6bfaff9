"""Findings and summary: a line each for people, a JSON object each for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from singerkit_check.checker import Checker
from singerkit_check.findings import Finding, Findings, shown
from singerkit_check.quality import Quality
from singerkit_check.rules import Severity

__all__ = ["Outcome", "Writer", "finding_json", "finding_text", "summary_json", "summary_text"]

_MOST_STREAMS = 20
"""Streams of which the text summary has a number each."""


@dataclass(frozen=True)
class Outcome:
    """What came of it. ``is_whole`` is False when the reader of the stream went away before its end."""

    checker: Checker
    findings: Findings
    is_strict: bool
    seconds: float
    is_whole: bool = True
    was_passed_on: bool = False

    @property
    def broken(self) -> dict[str, int]:
        """Findings that count, by rule."""
        broken = dict(self.findings.rules(Severity.ERROR))
        if self.is_strict:
            for rule, count in self.findings.rules(Severity.WARNING).items():
                broken[rule] = broken.get(rule, 0) + count
        quality = self.checker.quality
        if quality is not None:
            broken |= quality.errors
            if self.is_strict:
                broken |= quality.warnings
        return broken

    @property
    def verdict(self) -> str:
        """Say in a sentence that rules are broken."""
        rules = ", ".join(self.broken)
        places = _number(sum(self.broken.values()), "place")
        kind = "rules" if self.is_strict else "required rules"
        own = " and those of quality" if self.checker.quality is not None else ""
        return (
            f"Expected a stream that keeps the {kind} of Singer{own}, got one that breaks {rules} in {places} (see above); "
            f"{'it was passed on unchanged: ' if self.was_passed_on else ''}correct the tap, or waive a rule with --waive."
        )


@dataclass
class Writer:
    """Writes a line at once. What cannot be written stops nothing: the stream matters more than its report."""

    out: IO[str]
    is_json: bool
    failure: OSError | None = None

    def finding(self, finding: Finding) -> None:
        self._write(finding_json(finding) if self.is_json else finding_text(finding))

    def summary(self, outcome: Outcome) -> None:
        self._write(summary_json(outcome) if self.is_json else summary_text(outcome))

    def _write(self, line: str) -> None:
        if self.failure is not None:
            return
        try:
            self.out.write(line + "\n")
            self.out.flush()
        except OSError as error:
            self.failure = error


# For people


def finding_text(finding: Finding) -> str:
    place = f"line {finding.line}: " if finding.line else ""
    level = "" if finding.severity is Severity.ERROR else f" ({finding.severity.value})"
    return f"{place}{finding.rule}{level}: {finding.sentence}"


def summary_text(outcome: Outcome) -> str:
    checker, findings = outcome.checker, outcome.findings
    messages = _counted(checker.messages.most_common(), _number(checker.messages.total(), "message"))
    streams = [(stream.name, stream.rows) for stream in checker.streams.values()]
    lines = _number(checker.lines, "line")
    text = [f"{messages} in {lines} and {outcome.seconds:.1f} s"]
    if streams:
        rows = sum(count for _, count in streams)
        shown_rows = _counted(
            [(shown(name), count) for name, count in streams[:_MOST_STREAMS]], _number(rows, "row")
        )
        more = f" and {len(streams) - _MOST_STREAMS} streams more" if len(streams) > _MOST_STREAMS else ""
        text.append(shown_rows + more)
    for severity, word in (
        (Severity.ERROR, "error"),
        (Severity.WARNING, "warning"),
        (Severity.INFO, "note"),
    ):
        if rules := findings.rules(severity):
            text.append(_counted(list(rules.items()), _number(findings.total(severity), word)))
    if checker.quality is not None:
        text += _of_quality(checker.quality)
    if not outcome.is_whole:
        text.append("the reader of the stream went away before its end")
    if not outcome.broken:
        text.append("no required rule is broken" if not outcome.is_strict else "no rule is broken")
    return "singerkit-check: " + "; ".join(text)


def _of_quality(quality: Quality) -> list[str]:
    said = quality.standing()
    text = [
        f"{one['place']} (`{one['rule']}`) is broken by {one['broken']:,} of {_number(one['judged'], 'record')}"
        for one in said
        if one["broken"]
    ]
    if idle := [f"{one['place']} (`{one['rule']}`)" for one in said if one["verdict"] == "not judged"]:
        text.append(f"not judged: {', '.join(idle)}")
    return [*text, *(sentence.removesuffix(".") for sentence in quality.unmatched())]


def _number(count: int, word: str) -> str:
    return f"one {word}" if count == 1 else f"{count:,} {word}s"


def _counted(items: Sequence[tuple[str, int]], title: str) -> str:
    return title + (f" ({', '.join(f'{name} {count:,}' for name, count in items)})" if items else "")


# For machines


def finding_json(finding: Finding) -> str:
    return json.dumps(
        {
            "kind": "finding",
            "line": finding.line,
            "rule": finding.rule,
            "check": finding.check,
            "severity": finding.severity.value,
            "stream": finding.stream,
            "message": finding.sentence,
        }
    )


def summary_json(outcome: Outcome) -> str:
    checker, findings = outcome.checker, outcome.findings
    return json.dumps(
        {
            "kind": "summary",
            "broken": bool(outcome.broken),
            "whole": outcome.is_whole,
            "lines": checker.lines,
            "messages": dict(checker.messages),
            "streams": {stream.name: stream.rows for stream in checker.streams.values()},
            "findings": {severity.value: findings.rules(severity) for severity in Severity},
            "seconds": round(outcome.seconds, 3),
            **({} if checker.quality is None else {"quality": checker.quality.standing()}),
        }
    )
