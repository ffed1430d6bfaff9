"""Rules as a config says them, each with its place there; what is wrong with them, as far as no stream is known."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from singerkit_catalog.patterns import most_exact, unmatched
from singerkit_quality.matching import PatternError, pattern_of
from singerkit_quality.settings import ROW_RULES, TAKES
from singerkit_shell.validate import line_of, nearest

__all__ = ["On", "Rule", "Rules", "problems_of", "rules_of"]

SETTING = "checks"


class On(enum.Enum):
    """What a broken rule does."""

    FAIL = "fail"
    QUARANTINE = "quarantine"
    WARN = "warn"


@dataclass(frozen=True)
class Rule:
    """A rule of a stream; ``place``: where it stands in the config, ``said``: what it says beside."""

    place: str
    kind: str
    on: On
    said: Mapping[str, Any] = field(hash=False)

    @property
    def is_of_rows(self) -> bool:
        return self.kind in ROW_RULES

    @property
    def field(self) -> str | None:
        return self.said.get("field")

    @property
    def fields(self) -> Sequence[str]:
        """The fields of its stream that it reads."""
        return self.said.get("fields") or ([self.field] if self.field is not None else [])

    def called(self) -> str:
        """How it is named in sentences, as in ``rule `not_null` of `email` ``."""
        of = " and ".join(f"`{name}`" for name in self.fields)
        return f"rule `{self.kind}`{f' of {of}' if of else ''} (`{self.place}`)"


@dataclass(frozen=True)
class Rules:
    """The rules of all streams, by pattern; the most exact one counts."""

    by_pattern: Mapping[str, Sequence[Rule]]

    def of(self, stream: str) -> Sequence[Rule]:
        """Return the rules of a stream.

        Raises:
            ConfigurationError: two patterns are as exact as each other, and say different things.
        """
        return most_exact(self.by_pattern, stream, SETTING) or ()

    def unmatched(self, streams: Collection[str]) -> list[str]:
        return unmatched(self.by_pattern, streams)


def rules_of(said: Mapping[str, Sequence[Mapping[str, Any]]]) -> Rules:
    """Return the rules of a setting without `problems_of`."""
    return Rules(
        {
            pattern: tuple(_rule(f"{SETTING}.{pattern}[{index}]", one) for index, one in enumerate(rules))
            for pattern, rules in said.items()
        }
    )


def _rule(place: str, said: Mapping[str, Any]) -> Rule:
    rest = {name: value for name, value in said.items() if name not in ("rule", "on")}
    return Rule(place, said["rule"], On(said.get("on", "fail")), rest)


def problems_of(said: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Say what is wrong with rules that their schema admits, a sentence each without its full stop."""
    return [
        f"{problem} at `{rule.place}{where}`{line_of(rule.place)}"
        for rules in rules_of(said).by_pattern.values()
        for rule in rules
        for problem, where in _problems(rule)
    ]


def _problems(rule: Rule) -> Iterator[tuple[str, str]]:
    needed, possible = TAKES[rule.kind]
    for name in needed:
        if name not in rule.said:
            yield f"Expected `{name}`, which rule `{rule.kind}` needs, got none", ""
    for name in rule.said:
        if name not in (*needed, *possible):
            near = nearest(name, [*needed, *possible])
            hint = f" (did you mean `{near}`?)" if near else ""
            yield (
                f"Expected nothing that has no effect, got `{name}`, of which rule `{rule.kind}` knows nothing{hint}",
                f".{name}",
            )
    if rule.kind in ("range", "length"):
        yield from _problems_of_bounds(rule)
    if rule.kind == "matches" and isinstance(rule.said.get("pattern"), str):
        try:
            pattern_of(rule.said["pattern"])
        except PatternError as error:
            yield f"Expected a pattern that cannot backtrack, got one that {error}", ".pattern"
    if not rule.is_of_rows and rule.on is On.QUARANTINE:
        yield (
            f"Expected `fail` or `warn`, got `quarantine`: rule `{rule.kind}` is one of all rows together, and tells of no record that could be set aside",
            ".on",
        )


def _problems_of_bounds(rule: Rule) -> Iterator[tuple[str, str]]:
    bounds = {name: rule.said[name] for name in ("min", "max") if name in rule.said}
    if not bounds:
        yield f"Expected `min` or `max`, of which rule `{rule.kind}` needs one, got none", ""
    if rule.kind == "length":
        for name, value in bounds.items():
            if not isinstance(value, int) or value < 0:
                yield "Expected a number of characters, got something else", f".{name}"
                return
    kinds = {isinstance(value, str) for value in bounds.values()}
    if len(kinds) > 1:
        yield "Expected `min` and `max` of one kind, got a number and a text", ""
    elif len(bounds) == 2 and kinds == {False} and bounds["min"] > bounds["max"]:
        yield "Expected `min` to be no more than `max`, got one that no value keeps", ""
