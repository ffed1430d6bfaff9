"""What an answer means where the config says so (`errors`, `end_status`, `on_404`), before its status is judged."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import replace

from singerkit_shell.errors import BadDataError, NotAuthorisedError, SingerkitError
from singerkit_wire import jsonexact as exact
from tap_rest.answers.answer import ForbiddenError, RefusingAnswer, Response, TooManyRowsError, excerpt
from tap_rest.formats.xmltext import as_json
from tap_rest.http.retries import FailingServer, Transient
from tap_rest.http.waiting import wait_asked_for
from tap_rest.paths import Finder, Found, finder_of, parse_path
from tap_rest.settings.errors import ErrorRule
from tap_rest.settings.stream import StreamSettings

__all__ = ["NO_RULES", "Rules", "enforced", "fits_of"]

_TEXT = 64 * 1024
"""Bytes of a body or value in which a text is looked for."""
_SHORT = 16
_NOTHING = (b"null", b"false", b"0", b'""', b"[]", b"{}")
_DJANGO = ErrorRule("end", 404, "$.detail", "Invalid page.")
"""What Django REST framework answers behind the last page, and to no other question."""
_NOTHING_LEFT = ErrorRule("end", (200, 203))
"""Whose body is null: as Go writes a list that was never made."""
_EXPIRED = ErrorRule("start_over", 410)
"""What Google and Microsoft Graph answer to a token that they take no more."""
_NOTHING_NEW = ErrorRule("ignore", 304)
"""What RFC 9110 has a server answer to `If-Modified-Since` where nothing is new."""
_BY_NUMBER = ("page", "link_header", "next_url", "hateoas")


class Rules:
    """The rules of one stream; the first that fits an answer counts."""

    def __init__(self, rules: Sequence[ErrorRule] = ()) -> None:
        self._rules = [(rule, fits_of(rule)) for rule in rules]

    @classmethod
    def of(cls, settings: StreamSettings, of_all: Sequence[ErrorRule]) -> Rules:
        """Return those of a stream, and ``of_all`` behind them, with what other settings say in their way."""
        rules = [*settings.errors, *of_all]
        if not settings.splits:
            rules = [
                replace(rule, then="fail", message=_TOO_MUCH) if rule.then == "split" else rule
                for rule in rules
            ]
        if settings.parent is not None and settings.parent.on_404 == "skip":
            rules.append(ErrorRule("skip", 404))
        if settings.token is not None:
            rules.append(_EXPIRED)
        incremental = settings.incremental
        if incremental is not None and incremental.place == "header" and incremental.asks_if_modified:
            rules.append(_NOTHING_NEW)
        if settings.pagination.end_status:
            rules.append(ErrorRule("end", settings.pagination.end_status))
        if settings.pagination.type in _BY_NUMBER:
            rules.append(_DJANGO)
        found = cls(rules)
        if settings.pagination.type in ("page", "offset"):
            found._rules.append((_NOTHING_LEFT, _is_null))
        return found

    def at(self, *, is_first: bool) -> Rules:
        """Return those for a first request of a read (``is_first``), or for a later one."""
        return self.without("end") if is_first else self

    def without(self, then: str) -> Rules:
        """Return all others than those that say so."""
        if all(rule.then != then for rule, _ in self._rules):
            return self
        found = Rules()
        found._rules = [(rule, fits) for rule, fits in self._rules if rule.then != then]
        return found

    def rule_for(self, response: Response, accept: Collection[int] = ()) -> ErrorRule | None:
        """Return the first rule that fits an answer; of a status in ``accept`` it is asked whether to ask again, and no more."""
        for rule, fits in self._rules:
            if (not rule.statuses or response.status in rule.statuses) and fits(response):
                return rule if response.status not in accept or rule.then in _ONCE_MORE else None
        return None


_TOO_MUCH = "more than it gives in answer to one question, by `errors`; ask window by window (`incremental.until_param`)"
NO_RULES = Rules()
_ONCE_MORE = ("retry", "rate_limited", "refresh")


def enforced(rule: ErrorRule, response: Response, *, shown: Callable[[str], str]) -> Response:
    """Return the answer with what it is taken for (`Response.taken_for`), or raise what the rule says.

    Raises:
        Transient: it is to be asked for again.
        NotAuthorisedError, FailingServer, RefusingAnswer: it is an error.
    """
    status = response.status
    if rule.then in ("retry", "rate_limited"):
        asked = wait_asked_for(429 if rule.then == "rate_limited" else status, response.headers)
        raise Transient(
            f"status {status}, {'a rate limit' if rule.then == 'rate_limited' else 'to be asked for again'} by `errors`",
            rule.wait if asked is None else asked,
            f", it says: {excerpt(response)}",
            is_early=rule.then == "rate_limited",
        )
    if rule.then not in ("fail", "refresh", "split"):
        response.taken_for = rule.then
        return response
    says = excerpt(response)
    if rule.then == "split":
        raise TooManyRowsError(
            f"{shown(response.url)} answered {status}: {_TOO_MUCH}; it says: {says}",
            _refusal(rule, response, f"the API answers {status}, too much by `errors`: {says}"),
        )
    raise _refusal(
        rule,
        response,
        f"{shown(response.url)} answered {status}: {rule.message or 'an error by `errors`'}; it says: {says}",
    )


def _refusal(rule: ErrorRule, response: Response, sentence: str) -> SingerkitError:
    status = response.status
    if status in (401, 403, 407) or rule.then == "refresh":
        return (ForbiddenError if status == 403 else NotAuthorisedError)(sentence)
    if status >= 500 or status in (408, 425, 429):
        return FailingServer(sentence)
    return RefusingAnswer(sentence, excerpt(response))


def _is_null(response: Response) -> bool:
    return len(response.body) < _SHORT and response.body.strip() == b"null"


def fits_of(rule: ErrorRule) -> Callable[[Response], bool]:
    """Return whether what a rule says of bodies is so of the body of an answer."""
    fits = _value_test(rule)
    if rule.path is None:
        return (lambda response: fits(Raw(response.body[:_TEXT]))) if rule.looks_inside else lambda _: True
    path = parse_path(rule.path, "errors")
    find = finder_of([path])
    return lambda response: any(map(fits, _values(find, path.text, as_json(response.body))))


def _values(find: Finder, path: str, body: bytes) -> list[Raw]:
    try:
        found: Found = find(body, "an answer")[path]
    except BadDataError:
        return []
    return found if isinstance(found, list) else [] if found is None else [found]


def _value_test(rule: ErrorRule) -> Callable[[Raw], bool]:
    if rule.contains is not None:
        wanted = rule.contains.lower()
        return lambda raw: wanted in _text(raw).lower()
    if rule.matches is not None:
        pattern = re.compile(rule.matches)
        return lambda raw: pattern.search(_text(raw)) is not None
    if rule.equals is UNSET:
        return lambda raw: bytes(raw).strip() not in _NOTHING
    accepted = {_scalar(one) for one in (rule.equals if isinstance(rule.equals, list) else [rule.equals])}
    return lambda raw: _text(raw) in accepted if bytes(raw).lstrip()[:1] not in b"[{" else False


def _text(raw: Raw) -> str:
    """Return what a value says: a text without its quotes, all else as it is written."""
    body = bytes(raw).strip()
    if body[:1] == b'"':
        try:
            return str(exact.loads(body))
        except ValueError:
            pass
    return body[:_TEXT].decode("utf-8", "replace")


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
