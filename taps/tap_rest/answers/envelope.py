"""What stands around the records of an answer, and what the answers with rows of a stream have had there.

`members_around` names what is looked at, `Habits` keeps what the answers with rows say: a word that never changed there
says nothing. Names are told apart by their words: a status, a message, an error, what may change from page to page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_shell.nesting import is_deep
from tap_rest.answers.words import GOOD, number_in
from tap_rest.names import in_words, plain_name, words_of
from tap_rest.pages.membernames import is_pointer

__all__ = [
    "ACCESS",
    "BARRED",
    "DESCRIPTIONS",
    "ERRORS",
    "GRANTED",
    "MESSAGES",
    "PARTS",
    "TYPES",
    "VARIES",
    "WARNINGS",
    "Around",
    "Habits",
    "Member",
    "comparable",
    "is_echo",
    "is_error_name",
    "is_judged",
    "is_message",
    "is_of_the_answer",
    "is_status",
    "may_tell",
    "members_around",
    "own_members",
]

_SMALL = 64 * 1024  # bytes: what is longer than that is data
_LEVELS = 50  # what looks at a value recurses
_LONG = "\0"  # stands for a value that is too long, or too deep, to be looked at
Member = tuple[tuple[str, ...], Any]


# What is looked at


def members_around(members: Mapping[str, Raw], records_at: Sequence[str] | None) -> list[Member]:
    """Return names and value of what stands beside the whole way to the records, and one level in it.

    Of `response.body.items` that is also `response.header` and what is in it. Long ones are not decoded.
    """
    way = tuple(records_at or ())
    above: tuple[str, ...] = ()
    found: list[Member] = []
    while True:
        below: Raw | None = None
        for name, raw in members.items():
            if way[: len(above) + 1] == (*above, name):
                below = raw
                continue
            value = _decoded(raw)
            found.append(((*above, name), value))
            if isinstance(value, dict) and not words_of(name) & _ECHOES:
                found += [((*above, name, inner), part) for inner, part in value.items()]
        above = way[: len(above) + 1]
        if below is None or above == way:
            return found
        members = dict(_inside(below))


def _decoded(raw: Raw) -> Any:
    if len(memoryview(raw)) > _SMALL:
        return _LONG
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return _LONG
    return _LONG if isinstance(value, dict | list) and is_deep(value, _LEVELS) else value


def _inside(raw: Raw) -> Iterator[tuple[str, Raw]]:
    if memoryview(raw)[:1].tobytes() == b"{":
        try:
            yield from msgspec.json.decode(raw, type=dict[str, Raw]).items()
        except (msgspec.DecodeError, RecursionError):
            return


_ECHOES = frozenset(
    [
        *("query", "queries", "param", "params", "parameter", "parameters", "filter", "filters"),
        *("request", "input", "inputs", "args", "arguments", "criteria", "search", "where", "variables"),
        "links",
    ]
)
"""Objects that repeat what was asked for: `{"query": {"status": "failed"}}`."""
_SPEAKERS = frozenset(
    [
        *("response", "resp", "result", "results", "status", "header", "head", "meta", "metadata"),
        *("info", "envelope", "api", "base", "body", "data", "d"),
    ]
)
"""Objects whose status is that of the answer, not that of an order or a job."""

# Names

ERRORS = frozenset(
    [
        *("error", "errors", "err", "errs", "errcode", "errno", "errmsg", "errstr", "errinfo"),
        "errormsg",
    ]
)
_FAULTS = frozenset(
    [
        *("fault", "faultcode", "faultstring", "exception", "failure", "failed", "fail", "problem"),
        "timedout",
    ]
)
_NO_ERRORS_BEHIND = frozenset(
    ("on", "max", "last", "previous", "prev", "before", "ignore", "skip", "allowed", "margin", "standard")
)
"""Words before one of errors that make it speak of something else: `on_error`, `last_error`."""
_OF_AN_ERROR = frozenset(
    (
        *("code", "codes", "message", "messages", "msg", "text", "str", "string", "detail", "details"),
        *("description", "desc", "reason", "reasons", "cause", "info", "information", "type", "kind", "name"),
        *(
            "title",
            "id",
            "no",
            "num",
            "number",
            "status",
            "state",
            "list",
            "flag",
            "count",
            "counts",
            "total",
        ),
        *("occurred", "summary", "response", "object", "data", "key"),
    )
)
"""What an error has: a name ends with such words where it speaks of one, unlike `error_budget` and `error_url`."""
PARTS = frozenset(("timedout", "incompleteresults", "incomplete", "partialresults"))
_STATUS = GOOD | frozenset(
    [
        *("status", "stat", "state", "code", "result", "ret", "retcode", "returncode", "response", "ack"),
        *("rc", "statuscode", "responsecode", "responsestatus", "resultcode", "resultstatus", "rspcode"),
        *("respcode", "httpstatus", "httpcode", "httpstatuscode", "statustext", "statusmessage"),
        *("resultstate", "returnvalue", "retval", "returnstatus", "retstatus", "rtncode", "returncd"),
    ]
)
MESSAGES = frozenset(
    [
        *("message", "msg", "reason", "detail", "details", "info", "information", "note", "notice"),
        *("cause", "statusmessage", "responsemessage", "resultmessage", "retmsg", "respmsg", "resultmsg"),
        "text",
    ]
)
DESCRIPTIONS = frozenset(("description", "desc", "statusdescription"))
"""Messages where they stand beside a code that is not well; without one they may describe the rows."""
WARNINGS = frozenset(("warning", "warnings", "alert", "alerts", "notices"))
BARRED = frozenset(
    [
        *("throttled", "ratelimited", "ratelimitexceeded", "ratelimitreached", "limitreached"),
        *("limitexceeded", "quotaexceeded", "quotareached", "overlimit", "overquota", "maintenance"),
        *(
            "maintenancemode",
            "inmaintenance",
            "undermaintenance",
            "blocked",
            "banned",
            "suspended",
            "expired",
        ),
        *("tokenexpired", "sessionexpired", "denied", "accessdenied", "forbidden", "unauthorized"),
        *("unauthorised", "loginrequired", "requireslogin", "needlogin", "needslogin", "authrequired"),
        *("authenticationrequired", "captcharequired", "overloaded", "degraded", "partial"),
    ]
)
"""What, if true, says that nobody is served, or not in full."""
GRANTED = frozenset(
    [
        *("authenticated", "authorized", "authorised", "loggedin", "signedin", "allowed", "permitted"),
        *("granted", "hasaccess", "accessgranted", "auth", "access", "online", "connected"),
    ]
)
"""What, if no longer true, says so."""
ACCESS = frozenset(
    [
        *("access", "auth", "authentication", "authorization", "authorisation", "permission"),
        *("permissions", "login", "session", "quota"),
    ]
)
_CHANGING = frozenset(
    [
        *(
            "id",
            "ids",
            "uuid",
            "guid",
            "etag",
            "hash",
            "key",
            "sha",
            "time",
            "date",
            "at",
            "timestamp",
            "generated",
        ),
        *(
            "url",
            "uri",
            "link",
            "links",
            "href",
            "self",
            "cursor",
            "token",
            "next",
            "prev",
            "previous",
            "first",
        ),
        *(
            "last",
            "more",
            "end",
            "final",
            "has",
            "page",
            "pages",
            "paging",
            "range",
            "count",
            "total",
            "took",
        ),
        *("duration", "elapsed", "cache", "cached", "version", "build", "server", "host", "node", "trace"),
        *(
            "name",
            "title",
            "label",
            "complete",
            "completed",
            "done",
            "finished",
            "empty",
            "exists",
            "results",
        ),
        *("result", "found", "match", "matches", "data", "items", "rows", "records", "exact", "estimated"),
        *(
            "updated",
            "since",
            "until",
            "from",
            "to",
            "start",
            "before",
            "after",
            "position",
            "scroll",
            "remaining",
        ),
        *("batchcomplete", "truncated", "collapsed"),
    ]
)
"""Words of names whose values differ from page to page, or on the last one, in good answers."""
TYPES = frozenset(("type", "kind", "object", "class"))


def is_error_name(name: str) -> bool:
    """Tell whether a name speaks of an error: its last word does, but for what an error has (`error_message`)."""
    words = list(in_words(name))
    while words and words[-1] in _OF_AN_ERROR:
        words.pop()
    return bool(words) and _is_of_errors(words[-1]) and not _NO_ERRORS_BEHIND & set(words[:-1])


def _is_of_errors(word: str) -> bool:
    return (
        word in ERRORS | _FAULTS
        or word.startswith("error")
        or word.endswith(("error", "errors", "exception"))
    )


def is_status(names: tuple[str, ...]) -> bool:
    return plain_name(names[-1]) in _STATUS and is_of_the_answer(names)


def is_message(names: tuple[str, ...]) -> bool:
    return plain_name(names[-1]) in MESSAGES and is_of_the_answer(names)


def is_of_the_answer(names: tuple[str, ...]) -> bool:
    return all(words_of(name) & _SPEAKERS for name in names[:-1])


def is_echo(name: str) -> bool:
    """Tell whether a member repeats what was asked for."""
    return bool(words_of(name) & _ECHOES)


def is_judged(names: tuple[str, ...]) -> bool:
    is_warning = plain_name(names[-1]) in WARNINGS
    return is_warning or is_status(names) or is_message(names) or is_error_name(names[-1])


def may_tell(names: tuple[str, ...], value: Any) -> bool:
    """Tell whether a text or flag that is not known here may say something about the answer."""
    name = names[-1]
    if isinstance(value, str):
        text = value.strip()
        is_word = len(text) <= 300 and "://" not in text and not text.startswith("/")
        is_word = is_word and (" " in text or not re.search(r"\d", text))  # not an id, an instant, a token
    else:
        is_word = isinstance(value, bool)
    is_known = plain_name(name) in TYPES or bool(words_of(name) & (_CHANGING | _ECHOES)) or is_pointer(name)
    return is_word and not is_known and is_of_the_answer(names)


# What the answers with rows say


class Around:
    """What stands around the rows of one answer, as it is compared with that of others."""

    __slots__ = ("said", "top")

    def __init__(self, members: Sequence[Member]) -> None:
        self.said = {names: comparable(value) for names, value in members}
        self.top = frozenset(names[0] for names, _ in members if not is_pointer(names[0]))


@dataclass(slots=True)
class Habits:
    """What stood around the rows of the answers so far: a value that was always the same, or `VARIES`."""

    pages: int = 0
    said: dict[tuple[str, ...], Any] = field(default_factory=dict)
    around: frozenset[str] = frozenset()

    def learn(self, answer: Around) -> None:
        """Take in an answer with rows."""
        here, top = answer.said, answer.top
        if not self.pages:
            self.said, self.around = dict(here), top
        elif here != self.said:
            for names in {*here, *self.said}:
                if here.get(names) != self.said.get(names):
                    self.said[names] = VARIES
        self.around &= top
        self.pages += 1

    def is_usual(self, names: tuple[str, ...], value: Any) -> bool:
        """Tell whether the answers with rows say the same."""
        return names in self.said and self.said[names] == comparable(value)

    def is_unusual(self, names: tuple[str, ...], value: Any) -> bool:
        """Tell whether all answers with rows say something else."""
        return bool(self.pages) and self.said.get(names) not in (VARIES, comparable(value))

    def has_all(self, members: Sequence[Member]) -> bool:
        """Tell whether all is there that stood around the rows in every answer."""
        return bool(self.around) and self.around <= {names[0] for names, _ in members}

    def has_all_gone(self, members: Sequence[Member]) -> bool:
        """Tell whether nothing is there of what stood around the rows in every answer."""
        return bool(self.around) and not self.around & {names[0] for names, _ in members}


VARIES = object()


def comparable(value: Any) -> Any:
    """`10 items` and `0 items` are alike; a number is not."""
    if isinstance(value, list | dict):
        return str(value)
    return re.sub(r"\d+", "#", value) if isinstance(value, str) and number_in(value) is None else value


def own_members(members: Sequence[Member], records_at: Sequence[str] | None) -> list[Member]:
    """Return the members of the object that holds the records, where it is a thing with an identity (an order and its lines).

    Its `status` is that of the order, not that of the answer. An answer about rows has `id` nowhere, and little else than
    statuses, counts and places of pages.
    """
    above = tuple(records_at or ())[:-1]
    below = [(names, value) for names, value in members if names[: len(above)] == above]
    own = {names[len(above)] for names, _ in below if len(names) > len(above)}
    others = [name for name in own if not (_is_of_answers(name) or is_error_name(name) or is_pointer(name))]
    is_thing = any(plain_name(name) in _IDENTITIES for name in own) or len(others) > _FEW
    return below if is_thing else []


_IDENTITIES = frozenset(("id", "uuid", "guid", "sha"))
_FEW = 5
_OF_ANSWERS = frozenset(
    [
        *("page", "pages", "total", "count", "limit", "offset", "size", "took", "time", "timestamp"),
        *(
            "version",
            "request",
            "query",
            "next",
            "previous",
            "prev",
            "more",
            "start",
            "cursor",
            "results",
            "length",
        ),
    ]
)


def _is_of_answers(name: str) -> bool:
    return plain_name(name) in _STATUS | MESSAGES | TYPES or bool(words_of(name) & (_OF_ANSWERS | _ECHOES))
