"""`--rules FILE`: the records of a stream held against rules of quality, by the judge that targets hold them against."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from singerkit_check.findings import Finding
from singerkit_check.rules import Severity
from singerkit_quality.judge import Judge, Judged
from singerkit_quality.rules import On, Rules, problems_of, rules_of
from singerkit_quality.settings import CHECKS
from singerkit_shell.configfile import read_json_object
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.validate import config_problems
from singerkit_shell.words import ended
from singerkit_state.value import read_mark
from singerkit_wire.batches import Missing
from singerkit_wire.blocks import BlockDecoder, Judgement
from singerkit_wire.declarations import Declaration, declared_stream, read_declaration
from singerkit_wire.lines import Chunk
from singerkit_wire.messages import Message, Run, Splitter, decoded
from singerkit_wire.unstorable import Policy

__all__ = ["Quality", "RuleFinding", "read_rules"]

_MOST_BYTES = 1 << 20
_LOG = logging.getLogger("singerkit-check.rules")
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False


def read_rules(path: str) -> Rules:
    """Return the rules in a file: that of a target's config, or one with `checks` alone.

    Raises:
        ConfigurationError: there are none, or they are wrong.
    """
    said = {"checks": read_json_object(path, "rules").get("checks")}
    if said["checks"] is None:
        raise ConfigurationError(
            f"Expected `checks` in {path}, as the config of a target has it, got none; nothing was read."
        )
    schema = {"type": "object", "properties": {"checks": CHECKS}, "additionalProperties": False}
    problems = config_problems(said, schema) or problems_of(said["checks"])
    if problems:
        raise ConfigurationError(
            ended(f"The rules in {path} are not valid: {'; '.join(problems)}") + " Nothing was read."
        )
    return rules_of(said["checks"])


@dataclass(frozen=True)
class RuleFinding(Finding):
    """A record that breaks a rule; `check` is what kind of one."""

    place: str = ""

    @property
    def rule(self) -> str:
        return self.place


class Quality:
    """Takes the lines of a stream (`take`, then `end`), and tells of the records that break a rule: at most ``limit`` of each, 0 is all.

    ``problem``: what is wrong with a rule, as far as it showed with a SCHEMA.
    """

    def __init__(self, rules: Rules, tell: Callable[[Finding], None], limit: int) -> None:
        self._judge, self._tell, self._limit = Judge(rules), tell, limit
        self._splitter = Splitter()
        self._decoders: dict[str, BlockDecoder] = {}
        self._declared: dict[str, bytes] = {}
        self._is_ours = False
        self._lines: list[bytes] = []
        self._first = 1
        self._size = 0
        self.judged: Counter[Judged] = Counter()
        self.broken: Counter[Judged] = Counter()
        self.problem: ConfigurationError | None = None

    def take(self, line: bytes | None, number: int) -> None:
        """Take a line, None one that is too long to be looked at."""
        if line is None or number != self._first + len(self._lines):
            self.flush()
            self._first = number + (line is None)
        if line is not None:
            self._lines.append(line)
            self._size += len(line)
        if self._size >= _MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Judge what was taken."""
        lines, first = self._lines, self._first
        self._lines, self._size, self._first = [], 0, first + len(lines)
        if not lines or self.problem is not None:
            return
        try:
            for part in self._parts(lines, first):
                self._see(part)
        except ConfigurationError as error:
            self.problem = error

    def _parts(self, lines: Sequence[bytes], first: int) -> list[Run | Message]:
        """Return the messages of lines, but of what is none."""
        try:
            return list(self._splitter.split(Chunk(b"\n".join([*lines, b""]), len(lines), first, 0)))
        except BadDataError:
            if len(lines) == 1:
                return []
            return [part for number, line in enumerate(lines, first) for part in self._parts([line], number)]

    def _see(self, part: Run | Message) -> None:
        try:
            if isinstance(part, Run):
                self._judge_run(part)
            elif part.type == "SCHEMA":
                self._declare(part)
            elif part.type == "STATE":
                self._is_ours = (
                    self._is_ours or read_mark(decoded(part, dict[str, Any]).get("value")) is not None
                )
        except BadDataError:
            return  # what is wrong with it, others tell

    def _declare(self, message: Message) -> None:
        declaration: Declaration = read_declaration(message)
        if self._declared.get(declaration.stream) == declaration.fingerprint:
            return
        stream = declared_stream(declaration, message.number, keeps_text=False, max_columns=None)
        self._judge.declare(stream)
        self._declared[stream.name] = declaration.fingerprint
        missing = Missing.KEEP if self._is_ours else Missing.NULL
        judgement = Judgement(quarantine=True, unstorable=Policy.QUARANTINE, sets_aside=True, missing=missing)
        self._decoders[stream.name] = BlockDecoder(stream, judgement, lambda one: one, _LOG)

    def _judge_run(self, run: Run) -> None:
        decoder = self._decoders.get(run.stream)
        if decoder is None:
            return
        batches, _ = decoder.decode(run)
        judged, broken = self._judge.find(decoder.stream, batches)
        self.judged.update(judged)
        for one in broken:
            rule = Judged(one.stream, one.rule)
            self.broken[rule] += 1
            told = self.broken[rule]
            if self._limit and told > self._limit:
                continue
            more = "; further ones like it are counted only (--limit)" if told == self._limit else ""
            key = f" (key {one.key})" if one.key else ""
            sentence = f"Expected a record of `{one.stream}` that keeps {one.rule.called()}, got one that does not{key}{more}"
            self._tell(
                RuleFinding(
                    one.rule.kind, one.line, one.stream, sentence, _severity(one.rule.on), one.rule.place
                )
            )

    @property
    def errors(self) -> Mapping[str, int]:
        """How many records break each rule that ends a run, by its place."""
        return self._of(Severity.ERROR)

    @property
    def warnings(self) -> Mapping[str, int]:
        return self._of(Severity.WARNING)

    def _of(self, severity: Severity) -> dict[str, int]:
        found: Counter[str] = Counter()
        for (_, rule), count in self.broken.items():
            if _severity(rule.on) is severity:
                found[rule.place] += count
        return dict(found)

    def standing(self) -> list[dict[str, Any]]:
        """Return what came of each rule of a record, and of those of all rows that they are not judged in a pipe."""
        of_rows = [self._standing(one) for one in self._judge.row_rules()]
        of_sets = [
            _said(Judged(stream, rule), "not judged", 0, 0)
            for stream, rules in self._judge.set_rules().items()
            for rule in rules
        ]
        return [*of_rows, *of_sets]

    def _standing(self, one: Judged) -> dict[str, Any]:
        judged, broken = self.judged[one], self.broken[one]
        verdict = "broken" if broken else "kept" if judged else "not judged"
        return _said(one, verdict, judged, broken)

    def unmatched(self) -> list[str]:
        return self._judge.unmet()


def _said(one: Judged, verdict: str, judged: int, broken: int) -> dict[str, Any]:
    rule = one.rule
    return {
        "stream": one.stream,
        "rule": rule.kind,
        "fields": list(rule.fields),
        "place": rule.place,
        "on": rule.on.value,
        "verdict": verdict,
        "judged": judged,
        "broken": broken,
    }


def _severity(on: On) -> Severity:
    """What ends a run is an error; a record that is set aside, or only told of, ends none."""
    return Severity.ERROR if on is On.FAIL else Severity.WARNING
