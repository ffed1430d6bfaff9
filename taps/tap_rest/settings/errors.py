"""`errors`: what an answer means, by its status and by what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from singerkit_shell.errors import ConfigurationError
from tap_rest.asking.placeholders import asked_of
from tap_rest.paths import parse_path
from tap_rest.settings import setting
from tap_rest.settings.windows import end_is_asked

__all__ = [
    "END_STATUSES",
    "ERRORS",
    "ErrorRule",
    "error_problems",
    "idle_rules",
    "splits",
    "statuses_problem",
    "test_problems",
]

_FOLLOWED = (301, 302, 303, 307, 308)
_LATER = (408, 425, 429)
_NO_PAGE = ("ignore", "end")
"""What takes an answer for one without records, so that a failure which it tells would be taken for it, too."""
_STATUS = {"type": "integer", "minimum": 200, "maximum": 599}
_SCALAR = ["string", "number", "boolean", "null"]

END_STATUSES = {
    "type": "array",
    "items": {"type": "integer", "minimum": 400, "maximum": 499},
    "minItems": 1,
    "description": "Statuses that say, behind the first page, that there are no more (`[404]`). Before it is believed, the first "
    "page and this one are asked for once more.",
}

ERRORS = {
    "type": "array",
    "minItems": 1,
    "items": setting.group(
        "A rule: which answers, and what they mean.",
        {
            "status": {
                "type": ["integer", "array"],
                "minimum": 200,
                "maximum": 599,
                "items": _STATUS,
                "minItems": 1,
                "description": "The status, or several. Default: any.",
            },
            "path": setting.name(
                "JSONPath of a value in the body, which `equals`, `contains` or `matches` is about; alone: there is something, be it no "
                "null, `false`, 0, or nothing inside."
            ),
            "equals": {
                "type": [*_SCALAR, "array"],
                "items": {"type": _SCALAR},
                "minItems": 1,
                "secret": False,
                "description": "The value at `path` is this one, or one of these. A number equals its text.",
            },
            "contains": setting.name(
                "The value at `path`, or without `path` the body, has this text in it, in capitals or not.",
                minLength=1,
            ),
            "matches": setting.name(
                "The value at `path`, or without `path` the body, has something in it that this regular expression (of Python) finds.",
                minLength=1,
            ),
            "then": setting.text(
                "`retry`: ask again, as after 503. `rate_limited`: ask again as after 429. `refresh`: renew the credentials and ask "
                "once more. `fail`: end with an error, at once. `ignore`: a page without records. `end`: behind the first page, the end "
                "of the pages. `skip`: of the first request below a parent, or for a value of `for_each`, pass over it with a warning. `start_over`: "
                "the `incremental.token` that was sent has expired, so all rows are read again, with a warning. `split`: too much was asked for "
                "at a time, so the window is asked for in halves.",
                enum=[
                    "retry",
                    "rate_limited",
                    "refresh",
                    "fail",
                    "ignore",
                    "end",
                    "skip",
                    "start_over",
                    "split",
                ],
            ),
            "message": setting.name("`fail`: the sentence to end with.", minLength=1),
            "wait": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 31_536_000,
                "description": "`retry`, `rate_limited`: seconds to wait where the answer does not say.",
            },
        },
        ["then"],
    ),
    "description": "What answers mean; the first rule that fits counts, and those of a stream come before those of the top level. An answer "
    "that none fits is judged by its status.",
}


class ErrorRule(msgspec.Struct, frozen=True):
    """One of `errors`; ``equals`` is UNSET where it is not said, since null may be."""

    then: str
    status: int | tuple[int, ...] | None = None
    path: str | None = None
    equals: Any = msgspec.UNSET
    contains: str | None = None
    matches: str | None = None
    message: str | None = None
    wait: float | None = None

    @property
    def statuses(self) -> tuple[int, ...]:
        """The statuses that it is about; none: any."""
        return (self.status,) if isinstance(self.status, int) else self.status or ()

    @property
    def looks_inside(self) -> bool:
        """Whether the body decides."""
        return self.path is not None or self.contains is not None or self.matches is not None


def statuses_problem(statuses: Sequence[int], place: str) -> str | None:
    """Return which of the statuses of `end_status` never says that there are no more pages."""
    refused = [status for status in statuses if status in (401, 403, 407, *_LATER)]
    if not refused:
        return None
    return f"`{place}` has {refused[0]}, which is never the end of a list, but a question of credentials or of waiting; take it out"


def error_problems(rules: Sequence[Mapping[str, Any]], place: str) -> list[str]:
    """Return a sentence for each rule that says nothing, contradicts itself, or is never reached."""
    problems: list[str] = []
    typed = [msgspec.convert(dict(rule), ErrorRule) for rule in rules]
    for index, rule in enumerate(typed):
        here = f"{place}[{index}]"
        problems += _problems_of(rule, rules[index], here)
        before = next((number for number in range(index) if _covers(typed[number], rule)), None)
        if before is not None:
            problems.append(
                f"`{here}` is never reached, since `{place}[{before}]` fits all answers that it fits; take one of them out, or put it first"
            )
    return problems


def idle_rules(config: Mapping[str, Any]) -> Iterator[str]:
    """Name rules that no answer can meet, since there is nothing that they could do."""
    streams = config["streams"]
    has_auth = config.get("auth", {"type": "none"})["type"] != "none"
    groups = [("errors", config.get("errors", ()), streams)]
    groups += [
        (f"streams[{index}].errors", stream.get("errors", ()), [stream])
        for index, stream in enumerate(streams)
    ]
    for place, rules, about in groups:
        whose = "no stream has" if about is streams else "the stream has no"
        paged = [one.get("pagination", config.get("pagination", {"type": "single"})) for one in about]
        for index, rule in enumerate(rules):
            idle = f"`{place}[{index}]` has no effect"
            if rule["then"] == "skip" and not any("parent" in one or "for_each" in one for one in about):
                yield f"{idle}, since {whose} `parent` or `for_each`, of which one could be skipped"
            if rule["then"] == "start_over" and not any(
                "token" in one.get("incremental", {}) for one in about
            ):
                yield f"{idle}, since {whose} {'an ' if about is streams else ''}`incremental.token` that could expire"
            if rule["then"] == "split" and not any(_asks_for_times(one, config) for one in about):
                yield f"{idle}, since {whose} windows of time to be asked for in halves (`incremental.until_param`)"
            if rule["then"] == "refresh" and not has_auth:
                yield f"{idle} without `auth`: there are no credentials to renew"
            if rule["then"] == "end" and all(one["type"] == "single" for one in paged):
                yield f"{idle}, since {'each' if about is streams else 'the'} stream has one page, and no rule ends a read before that"


def splits(stream: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Tell whether a rule has windows of a stream asked for in halves, be it one of the top level."""
    rules = (*stream.get("errors", ()), *config.get("errors", ()))
    return any(rule["then"] == "split" for rule in rules) and _asks_for_times(stream, config)


def _asks_for_times(stream: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Tell whether a stream is asked for both ends; how far numbers go is asked without an end, which is not to be halved."""
    incremental = stream.get("incremental", {})
    asked = [config.get("params"), config.get("headers"), *(value for _, value in asked_of(stream))]
    has_end = end_is_asked(incremental.get("until_param"), asked)
    return "incremental" in stream and has_end and not isinstance(incremental.get("window"), int | float)


def _problems_of(rule: ErrorRule, said: Mapping[str, Any], here: str) -> list[str]:
    problems = []
    if not rule.statuses and not rule.looks_inside:
        problems.append(
            f"Expected `status`, `path`, `contains` or `matches` in `{here}`, since it fits every answer"
        )
    followed = [status for status in rule.statuses if status in _FOLLOWED]
    if followed:
        problems.append(f"`{here}.status` {followed[0]} is never seen: redirects are followed")
    if "equals" in said and rule.path is None:
        problems.append(f"`{here}.equals` needs `{here}.path`")
    for key, thens in (("message", ("fail",)), ("wait", ("retry", "rate_limited"))):
        if key in said and rule.then not in thens:
            problems.append(f"`{here}.{key}` does not go with `{here}.then` `{rule.then}`")
    problems += test_problems(said, here)
    is_of_failures = bool(rule.statuses) and min(rule.statuses) >= 300
    if (rule.contains or rule.matches) and rule.path is None and not is_of_failures:
        problems.append(
            f"`{here}` looks for a text in bodies with records, too, where a record may have it; say a `path`, or a `status`"
        )
    if rule.then in _NO_PAGE and not rule.looks_inside:
        problems += [
            f"`{here}` takes {status} for {'the end' if rule.then == 'end' else 'no records'}, also where the API fails; say by `path`, "
            "`contains` or `matches` which of these answers it is, or take it out"
            for status in rule.statuses
            if status in (401, 407, *_LATER) or status >= 500
        ][:1]
    if rule.then == "split":
        problems += [
            f"`{here}` has {status}, which no shorter window changes: it is a question of credentials or of waiting; take it out"
            for status in rule.statuses
            if status in (401, 407, *_LATER) and not rule.looks_inside
        ][:1]
    if any(200 <= status < 300 for status in rule.statuses) and not rule.looks_inside and rule.then != "fail":
        good = [status for status in rule.statuses if status in (200, 203)]
        if good:
            problems.append(f"`{here}` fits each good answer ({good[0]}); say by `path` which it is")
    return problems


def test_problems(said: Mapping[str, Any], here: str) -> list[str]:
    """Return what is wrong with what `path`, `equals`, `contains` and `matches` say of a body."""
    problems = []
    tests = [key for key in ("equals", "contains", "matches") if key in said]
    if len(tests) > 1:
        problems.append(f"`{here}` has `{tests[0]}` and `{tests[1]}`; take one of them")
    if "path" in said:
        try:
            parse_path(said["path"], f"{here}.path")
        except ConfigurationError as error:
            problems.append(str(error).rstrip("."))
    if "matches" in said:
        try:
            re.compile(said["matches"])
        except re.error as error:
            problems.append(
                f"Expected a regular expression at `{here}.matches`, got one that cannot be read ({error})"
            )
    return problems


def _covers(first: ErrorRule, second: ErrorRule) -> bool:
    """Tell whether all answers that ``second`` fits are taken by ``first``, which stands before it."""
    if first.statuses and not (second.statuses and set(second.statuses) <= set(first.statuses)):
        return False
    if first.then in ("end", "start_over") and second.then != first.then:
        return False  # it says nothing of a first page, or of a read without a token
    inside = ("path", "equals", "contains", "matches")
    return not first.looks_inside or all(getattr(first, name) == getattr(second, name) for name in inside)
