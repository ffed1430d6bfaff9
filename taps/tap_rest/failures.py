"""What an answer says of itself around its rows: that it failed, that it is a part, that there was nothing to find.

An answer without rows ends a read, so what stands beside them decides whether it is an end or a failure under status
200. `members_around` names what is looked at, `failure_of` judges an answer without rows, `part_of` one with rows. What
the answers with rows of the same stream say is known from `Habits`: a word that never changed there says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_shell.nesting import is_deep
from tap_rest.names import plain_name, words_of
from tap_rest.unread import is_pointer

__all__ = ["Failure", "Habits", "Member", "Weight", "failure_of", "members_around", "own_members", "part_of"]

_SMALL = 64 * 1024  # bytes: what is longer than that is data
_LEVELS = 50  # what looks at a value recurses
_LONG = "\0"  # stands for a value that is too long, or too deep, to be looked at
Member = tuple[tuple[str, ...], Any]


class Weight(Enum):
    """What a failure that an answer tells of means."""

    SURE = "it says so in a member that has no other meaning"
    LIKELY = "it says so in words"
    MAYBE = "it says something else than the answers with rows"


@dataclass(frozen=True, slots=True)
class Failure:
    """A member that tells of a failure; ``is_busy``: asking again may help."""

    names: tuple[str, ...]
    weight: Weight
    is_busy: bool = False

    @property
    def shown(self) -> str:
        return ".".join(self.names)


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

_ERRORS = frozenset(
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
_NO_ERRORS = frozenset(
    [
        *("url", "uri", "link", "links", "href", "doc", "docs", "documentation", "rate", "policy"),
        *("handler", "mode", "threshold", "on", "format", "level", "channel", "email", "callback"),
        *("enabled", "tolerance", "allowed", "max", "before", "margin", "reporting"),
    ]
)
"""Words that make a name with one of errors speak of something else: `error_url`, `on_error`."""
_PARTS = frozenset(("timedout", "incompleteresults", "incomplete", "partialresults"))
_GOOD = frozenset(("ok", "success", "successful", "succeeded", "issuccess", "issuccessful"))
_STATUS = _GOOD | frozenset(
    [
        *("status", "stat", "state", "code", "result", "ret", "retcode", "returncode", "response", "ack"),
        *("rc", "statuscode", "responsecode", "responsestatus", "resultcode", "resultstatus", "rspcode"),
        *("respcode", "httpstatus", "httpcode", "httpstatuscode", "statustext", "statusmessage"),
        *("resultstate", "returnvalue", "retval", "returnstatus", "retstatus", "rtncode", "returncd"),
    ]
)
_MESSAGES = frozenset(
    [
        *("message", "msg", "reason", "detail", "details", "info", "information", "note", "notice"),
        *("cause", "statusmessage", "responsemessage", "resultmessage", "retmsg", "respmsg", "resultmsg"),
        "text",
    ]
)
_DESCRIPTIONS = frozenset(("description", "desc", "statusdescription"))
"""Messages where they stand beside a code that is not well; without one they may describe the rows."""
_WARNINGS = frozenset(("warning", "warnings", "alert", "alerts", "notices"))
_BARRED = frozenset(
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
_GRANTED = frozenset(
    [
        *("authenticated", "authorized", "authorised", "loggedin", "signedin", "allowed", "permitted"),
        *("granted", "hasaccess", "accessgranted", "auth", "access", "online", "connected"),
    ]
)
"""What, if no longer true, says so."""
_ACCESS = frozenset(
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
_TYPES = frozenset(("type", "kind", "object", "class"))


def _is_error_name(name: str) -> bool:
    words = words_of(name)
    if words & _NO_ERRORS:
        return False
    return bool(words & (_ERRORS | _FAULTS)) or any(
        word.startswith("error") or word.endswith(("error", "errors", "exception")) for word in words
    )


def _is_status(names: tuple[str, ...]) -> bool:
    return plain_name(names[-1]) in _STATUS and _is_of_the_answer(names)


def _is_message(names: tuple[str, ...]) -> bool:
    return plain_name(names[-1]) in _MESSAGES and _is_of_the_answer(names)


def _is_of_the_answer(names: tuple[str, ...]) -> bool:
    return all(words_of(name) & _SPEAKERS for name in names[:-1])


# Values

_FINE = frozenset(
    [
        *("ok", "okay", "success", "successful", "succeeded", "successfully", "true", "yes", "y"),
        *("complete", "completed", "done", "finished", "none", "null", "nil", "normal", "no error"),
        *("no errors", "n/a"),
    ]
)
_FAILING = re.compile(
    r"error|fail|invalid|denied|exceed|expired|unauthori[sz]ed|not authori[sz]ed|forbidden|not allowed|not permitted|"
    r"time[ds]?.?out|unavailable|quota|throttl|too many|try again(?! (?:with|using|by)\b)|exception|unable|can(?:no|')t|could ?n[o']t|bad request|"
    r"rate.?limited|limit (?:was |is |has been )?(?:reached|hit|over)|(?:reach|hit|over|trigger)\w* .*limit|maintenance|"
    r"(?:calls?|quota|credits?|requests?|limit|allowance)(?: \w+)? exhausted|exhausted .*(?:calls|quota|credits|requests|limit)|"
    r"not (?:registered|subscribed|activated)|overload|suspended|missing|required|wrong|not ?ok|blocked|refused|rejected|aborted|revoked|insufficient"
)
_FAILING_STATUS = re.compile(
    r"limit|\bko\b|\bnok\b|\bbad\b|unauth|disabled|busy|abuse|\bfalse\b|forbid|reject|refuse|abort|block|suspend"
)
_BUSY = re.compile(
    r"(?:rate|query|quota|request|frequency|call|usage).?limit|limit (?:\w+ )?(?:reached|exceeded|hit)|"
    r"(?:reach|exceed|over)\w* .*(?:limit|quota)|throttl|too many|time[ds]?.?out|unavailable|try again(?! (?:with|using|by)\b)|overload|\bbusy\b|"
    r"maintenance|temporar"
)
_OF_LIMITS = re.compile(
    r"limit (?:\w+ )?(?:reached|exceeded|hit)|(?:reach|exceed|over|hit)\w* .*(?:limit|quota)|throttl|too many|too busy|"
    r"time[ds]?.?out|unavailable|overload|exhausted|denied|unauthori|forbidden|not allowed|expired|under maintenance"
)
"""What makes more of a warning than advice."""
_BUSY_CODES = (408, 425, 429, 500, 502, 503, 504)
_NO = frozenset(("no", "zero", "0", "nothing", "none", "empty", "without"))
_THINGS = frozenset(
    [
        *("result", "results", "record", "records", "data", "row", "rows", "item", "items", "entry"),
        *("entries", "match", "matches", "object", "objects", "document", "documents", "content", "page"),
        *("pages", "hits", "elements", "updates", "changes", "transactions", "events"),
    ]
)
_AFTER_NO = _THINGS | frozenset(
    [
        *("found", "more", "new", "further", "left", "available", "matching", "matched"),
    ]
)
_OF_ACCESS = frozenset(
    [
        *("permission", "permissions", "access", "api", "key", "keys", "token", "auth", "credential"),
        *("credentials", "such", "valid", "longer", "server", "service", "connection", "worker"),
        *("workers", "capacity", "response", "request", "requests", "call", "calls", "credit", "credits"),
        *("license", "subscription", "route", "rights", "because", "due", "until", "unless"),
    ]
)
_OF_THIS_QUESTION = re.compile(r" (?:for|to) (?:this|the|your) (?:request|api call|call)\b")
_AT_THE_END = re.compile(
    r"\bend of (?:the |your |this |all )?(?:list|results?|data|records?|items?|feed|pages?|collection|set|stream)\b|"
    r"\b(?:page|offset|skip)\b.* out of (?:range|bounds)|^no ?data error$"
)
_WENT_WELL = re.compile(r"\bsuccess(?:ful|fully)?\b")
_WENT_WELL_IN_PART = re.compile(r"\b(?:not|no|partial\w*|without|but)\b")
_NOT_THERE = (404, 410, 416)


def _text(value: Any) -> str:
    """`ZERO_RESULTS`, `zeroResults` and `Zero results.` are zero results."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-]+", " ", str(value))
    return " ".join(spaced.lower().split()).strip(" .!;,")


def _says_end(value: Any) -> bool:
    """Tell whether a text says that there is nothing to find, and nothing else."""
    if not isinstance(value, str) or len(value) > 200:
        return False
    text = _OF_THIS_QUESTION.sub("", _text(value))
    words = re.findall(r"[a-z0-9']+", text)
    if _AT_THE_END.search(text):
        return True
    if _FAILING.search(text) or _OF_ACCESS & set(words):
        return False
    is_not_found = words[-2:] == ["not", "found"] and set(words[:-2]) <= _THINGS
    is_end = words[:2] in (["end", "of"], ["empty"], ["end"]) or text in ("eof", "exhausted")
    return (
        is_not_found
        or is_end
        or words == ["nothing"]
        or " not match any " in text
        or bool(_NO & set(words) and _AFTER_NO & set(words))
    )


def _is_fine(value: Any) -> bool:
    """Tell whether a value says that all is well, or nothing."""
    if value is None or value is False or value == [] or value == {}:
        return True
    number = _number(value)
    if number is not None:
        return number == 0 or 200 <= number < 300
    if isinstance(value, dict):
        codes = [part for name, part in value.items() if plain_name(name) in ("code", "errcode", "status")]
        return any(_is_fine(code) for code in codes if code is not None) or all(map(_is_fine, value.values()))
    if isinstance(value, list):
        return all(map(_is_fine, value))
    if not isinstance(value, str):
        return False
    text = _text(value)
    is_nothing = text == "false" or text.strip("0") == ""
    return text in _FINE or is_nothing or _says_end(value) or _says_it_went_well(text)


def _says_it_went_well(text: str) -> bool:
    """`results returned successfully. note: any missing values ...`: what follows is advice."""
    first = text.partition(". ")[0]
    is_well = _WENT_WELL.search(first) and not _WENT_WELL_IN_PART.search(first)
    return bool(is_well and not _FAILING.search(first))


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    is_number = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}", value.strip())
    return int(value) if is_number else None


def _is_failing_status(name: str, value: Any) -> bool:
    number = _number(value)
    if number is not None:
        is_of_http = 400 <= number < 600 and number not in _NOT_THERE
        return number == 0 if name in _GOOD else is_of_http or number < 0
    if isinstance(value, bool):
        return value is False and name not in ("state", "code")
    if name in _GOOD and isinstance(value, str) and value.lower() in ("n", "no", "f"):
        return True
    return isinstance(value, str) and name != "statusmessage" and _is_failing_word(value)


def _is_failing_word(text: str) -> bool:
    shown = _text(text)
    return len(shown) <= 200 and bool(_FAILING.search(shown) or _FAILING_STATUS.search(shown))


def _is_judged(names: tuple[str, ...]) -> bool:
    is_warning = plain_name(names[-1]) in _WARNINGS
    return is_warning or _is_status(names) or _is_message(names) or _is_error_name(names[-1])


def _may_tell(names: tuple[str, ...], value: Any) -> bool:
    """Tell whether a text or flag that is not known here may say something about the answer."""
    name = names[-1]
    if isinstance(value, str):
        text = value.strip()
        is_word = len(text) <= 300 and "://" not in text and not text.startswith("/")
        is_word = is_word and (" " in text or not re.search(r"\d", text))  # not an id, an instant, a token
    else:
        is_word = isinstance(value, bool)
    is_known = plain_name(name) in _TYPES or bool(words_of(name) & (_CHANGING | _ECHOES)) or is_pointer(name)
    return is_word and not is_known and _is_of_the_answer(names)


def _says_busy(members: Sequence[Member]) -> bool:
    """Tell whether a status, a message or an error says that the same question may get an answer later."""
    return any(_is_busy(value) for names, value in members if _is_judged(names))


def _is_busy(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_is_busy, value.values() if isinstance(value, dict) else value))
    number = _number(value)
    if number is not None:
        return number in _BUSY_CODES
    return isinstance(value, str) and bool(_BUSY.search(_text(value)))


# What the answers with rows say


@dataclass(slots=True)
class Habits:
    """What status and messages of the answers with rows have been: a value, or `_VARIES`."""

    pages: int = 0
    said: dict[tuple[str, ...], Any] = field(default_factory=dict)
    around: frozenset[str] = frozenset()

    def learn(self, members: Sequence[Member]) -> None:
        """Take in an answer with rows."""
        here = {
            names: _comparable(value)
            for names, value in members
            if _is_judged(names) or (_may_tell(names, value) and (not self.pages or names in self.said))
        }
        top = frozenset(names[0] for names, _ in members if not is_pointer(names[0]))
        if not self.pages:
            self.said, self.around = dict(here), top
        else:
            for names in {*here, *self.said}:
                if here.get(names) != self.said.get(names):
                    self.said[names] = _VARIES
            self.around &= top
        self.pages += 1

    def is_usual(self, names: tuple[str, ...], value: Any) -> bool:
        """Tell whether the answers with rows say the same."""
        return names in self.said and self.said[names] == _comparable(value)

    def is_unusual(self, names: tuple[str, ...], value: Any) -> bool:
        """Tell whether all answers with rows say something else."""
        return bool(self.pages) and self.said.get(names) not in (_VARIES, _comparable(value))

    def has_all(self, members: Sequence[Member]) -> bool:
        """Tell whether all is there that stood around the rows in every answer."""
        return bool(self.around) and self.around <= {names[0] for names, _ in members}

    def has_all_gone(self, members: Sequence[Member]) -> bool:
        """Tell whether nothing is there of what stood around the rows in every answer."""
        return bool(self.around) and not self.around & {names[0] for names, _ in members}


_VARIES = object()


def _comparable(value: Any) -> Any:
    """`10 items` and `0 items` are alike; a number is not."""
    if isinstance(value, list | dict):
        return str(value)
    return re.sub(r"\d+", "#", value) if isinstance(value, str) and _number(value) is None else value


# Verdicts


def own_members(members: Sequence[Member], records_at: Sequence[str] | None) -> list[Member]:
    """Return the members of the object that holds the records, where it is a thing with an identity (an order and its lines).

    Its `status` is that of the order, not that of the answer. An answer about rows has `id` nowhere, and little else than
    statuses, counts and places of pages.
    """
    above = tuple(records_at or ())[:-1]
    below = [(names, value) for names, value in members if names[: len(above)] == above]
    own = {names[len(above)] for names, _ in below if len(names) > len(above)}
    others = [name for name in own if not (_is_of_answers(name) or _is_error_name(name) or is_pointer(name))]
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
    return plain_name(name) in _STATUS | _MESSAGES | _TYPES or bool(words_of(name) & (_OF_ANSWERS | _ECHOES))


def failure_of(
    members: Sequence[Member],
    habits: Habits,
    *,
    has_list: bool = True,
    is_first: bool = False,
    own: Sequence[Member] = (),
    here: Habits | None = None,
) -> Failure | None:
    """Return what says that an answer without rows failed; ``has_list``: there was a place for rows.

    ``is_first``: no answer of this read came before, so ``habits`` are those of other questions. ``own`` are members of a
    thing that holds the records: what they say of failures is mostly its own. ``here`` are the habits of this read alone.
    """
    if own:
        theirs = {names for names, _ in own}
        others = [member for member in members if member[0] not in theirs]
        around = failure_of(others, habits, is_first=is_first, here=here)
        is_told = around is not None and around.weight is not Weight.MAYBE
        return around if is_told else _failure_of_a_thing(own, habits) or around
    sure = _sure_failure(members)
    if sure is not None:
        return sure
    new = [(names, value) for names, value in members if not habits.is_usual(names, value)]
    told = _error_member(new) or _telling_type(new) or _failing_message(new) or _telling_warning(new)
    told = told or _barred(new, habits)
    if told is not None:
        return Failure(told[0], Weight.LIKELY, _says_busy(new))
    words = [(names, value) for names, value in new if _is_status(names) or _is_message(names)]
    if any(_says_end(value) for _, value in words):
        return None
    statuses = [(names, value) for names, value in words if _is_status(names)]
    for names, value in statuses:
        if _is_failing_status(plain_name(names[-1]), value):
            return Failure(names, Weight.LIKELY, _says_busy(words))
    told = _redirected(words)
    if told is not None:
        return Failure(told[0], Weight.LIKELY, _says_busy(words))
    gone = next((names for names, value in statuses if _number(value) in _NOT_THERE), None)
    if gone is not None:
        return Failure(gone, Weight.MAYBE) if is_first else None
    is_well = any(_is_status(names) and _is_said_well(value) for names, value in members)
    strange = _strange_word(words, habits, is_first=is_first)
    if strange is not None and is_first and isinstance(dict(words)[strange], str):
        return Failure(strange, Weight.MAYBE)  # another question: what it is about may have another status
    strange = strange or (None if has_list or is_well else _word(new))
    if strange is None:
        changed = _error_count(new) or _changed(members, here)
        return Failure(changed, Weight.MAYBE) if changed else None
    return Failure(strange, Weight.MAYBE if is_well and not _is_status(strange) else Weight.LIKELY)


def _failure_of_a_thing(own: Sequence[Member], habits: Habits) -> Failure | None:
    """`{"id": 7, "status": "failed", "items": []}` has failed, or is an order that has; `"error": "rate limit"` is no order's."""
    told = _sure_failure(own) or failure_of(
        [member for member in own if not habits.is_usual(*member)], Habits()
    )
    if told is None:
        return None
    value = dict(own)[told.names]
    is_busy = plain_name(told.names[-1]) in ("error", "errors") and _is_busy(value)
    return Failure(told.names, Weight.LIKELY if is_busy else Weight.MAYBE, is_busy)


def part_of(members: Sequence[Member]) -> tuple[str, ...] | None:
    """Return the member beside rows that says that others may be missing."""
    for names, value in members:
        name = plain_name(names[-1])
        if len(names) > 1 and not _is_of_the_answer(names):
            continue
        if name in ("error", "errors") and not _is_fine(value):
            return names
        if name in ("ok", "success") and (
            value is False or (isinstance(value, str) and value.lower() == "false")
        ):
            return names
        if _is_part(name, value):
            return names
    return None


def _is_part(name: str, value: Any) -> bool:
    if name == "shards":  # Elasticsearch
        return isinstance(value, dict) and value.get("failed", 0) != 0
    return name in _PARTS and name != "incomplete" and value is True


def _sure_failure(members: Sequence[Member]) -> Failure | None:
    """Members at the top that speak of errors and of nothing else, whatever the answers with rows have there."""
    for names, value in members:
        name = plain_name(names[-1])
        is_top = len(names) == 1
        failed = (
            (name in ("error", "errors") and is_top and not _is_fine(value))
            or (name in ("ok", "success") and is_top and (value is False or value in (0, "false", "False")))
            or (
                name in ("status", "result")
                and is_top
                and _text(value) in ("error", "fail", "failed", "failure")
            )
            or (_is_part(name, value) and _is_of_the_answer(names))
        )
        if failed and not _is_redeemed(name, members):
            return Failure(names, Weight.SURE, _says_busy(members))
    return None


def _is_redeemed(name: str, members: Sequence[Member]) -> bool:
    """`{"success": false, "message": "No records found"}` is an end."""
    return name not in ("error", "errors") and any(
        _is_message(names) and _says_end(value) for names, value in members
    )


def _error_member(members: Sequence[Member]) -> Member | None:
    is_coded = any(_is_error_code(names[-1]) and _number(value) == 0 for names, value in members)
    for names, value in members:
        if not _is_error_name(names[-1]) or _is_fine(value):
            continue
        if len(names) > 2 and not _is_of_the_answer(names):
            continue
        is_count = isinstance(value, int | list) and not isinstance(value, bool)
        is_count = is_count and (not _is_of_errors(names[-1]) or _counts(names[-1]))
        is_text_of_a_zero = is_coded and isinstance(value, str) and not _is_failing_word(value)
        if not is_count and not is_text_of_a_zero:
            return names, value
    return None


def _is_of_errors(name: str) -> bool:
    """`failed: 3` and `exceptions: [...]` may count and list what the rows are about."""
    words = words_of(name)
    return bool(words & _ERRORS) or any("error" in word for word in words)


def _counts(name: str) -> bool:
    return bool(words_of(name) & {"count", "counts", "total"})


def _error_count(members: Sequence[Member]) -> tuple[str, ...] | None:
    """`error_count: 3` may be about the answer, or about the data."""
    for names, value in members:
        if _is_error_name(names[-1]) and _counts(names[-1]) and not _is_fine(value):
            return names
    return None


def _is_error_code(name: str) -> bool:
    return _is_error_name(name) and plain_name(name).endswith(("code", "no", "num"))


def _telling_type(members: Sequence[Member]) -> Member | None:
    """`{"type": "error"}`, `{"__type": "ThrottlingException"}`."""
    for names, value in members:
        is_type = len(names) == 1 and plain_name(names[0]) in _TYPES and isinstance(value, str)
        if is_type and value.lower().endswith(("error", "exception", "fault", "failure")):
            return names, value
    return None


def _failing_message(members: Sequence[Member]) -> Member | None:
    for names, value in members:
        is_text = isinstance(value, str) and (_is_message(names) or _describes(names, members))
        if is_text and not _is_fine(value) and _FAILING.search(_text(value)[:1000]):
            return names, value
    return None


def _describes(names: tuple[str, ...], members: Sequence[Member]) -> bool:
    """`{"returnCode": "1001", "description": "session expired"}`."""
    return plain_name(names[-1]) in _DESCRIPTIONS and any(
        other[:-1] == names[:-1] and _is_status(other) and _number(value) is not None and not _is_fine(value)
        for other, value in members
    )


def _telling_warning(members: Sequence[Member]) -> Member | None:
    for names, value in members:
        is_warning = plain_name(names[-1]) in _WARNINGS and _is_of_the_answer(names)
        if is_warning and any(_OF_LIMITS.search(_text(text)) for text in _texts(value)):
            return names, value
    return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value[:1000]
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _barred(members: Sequence[Member], habits: Habits) -> Member | None:
    """`{"throttled": true}`, `{"access": "denied"}`, and `{"authenticated": false}` where it was true beside rows."""
    for names, value in members:
        if not _is_of_the_answer(names):
            continue
        name = plain_name(names[-1]).removeprefix("is")
        is_barred = value is True and name in _BARRED
        is_taken = value is False and name in _GRANTED and habits.said.get(names) is True
        is_denied = (
            name in _ACCESS and isinstance(value, str) and not _is_fine(value) and _is_failing_word(value)
        )
        if is_barred or is_taken or is_denied:
            return names, value
    return None


def _redirected(words: Sequence[Member]) -> Member | None:
    """300 to 399 beside a message: Baidu's `{"status": 302, "message": ...}` is a quota."""
    is_told = any(
        _is_message(names) and isinstance(value, str) and not _is_fine(value) for names, value in words
    )
    for names, value in words:
        number = _number(value)
        if is_told and _is_status(names) and number is not None and 300 <= number < 400 and number != 304:
            return names, value
    return None


def _changed(members: Sequence[Member], here: Habits | None) -> tuple[str, ...] | None:
    """Return a text or flag that all answers with rows of this read had, and this one has otherwise."""
    for names, value in members if here is not None else ():
        former = here.said.get(names) if here is not None else None
        is_word = not _is_judged(names) and _may_tell(names, value) and isinstance(former, str | bool)
        if is_word and former != _comparable(value) and (isinstance(value, bool) or not _is_fine(value)):
            return names
    return None


def _is_said_well(value: Any) -> bool:
    return value is True or (value is not None and value is not False and value != "" and _is_fine(value))


def _strange_word(words: Sequence[Member], habits: Habits, *, is_first: bool) -> tuple[str, ...] | None:
    """Return the status or message that the answers with rows do not have.

    Those to other questions, which is all there are before the first answer, tell only where they say that all is well.
    """
    for names, value in words:
        is_word = isinstance(value, str) or _is_status(names)  # OpenWeather's `message` is a number
        if not is_word or not habits.is_unusual(names, value) or isinstance(value, list | dict):
            continue
        former, number = habits.said.get(names), _number(value)
        if is_first and not _is_said_well(former):
            continue
        is_zero_of_others = number == 0 and _number(former) not in (None, 0)
        is_count = plain_name(names[-1]) in ("result", "response") and number is not None
        if not is_count and (is_zero_of_others or not (_is_fine(value) or value is True)):
            return names
    return None


def _word(members: Sequence[Member]) -> tuple[str, ...] | None:
    """Return the message of an answer that has no place for rows."""
    for names, value in members:
        is_text = len(names) == 1 and plain_name(names[0]) in _MESSAGES and isinstance(value, str)
        if is_text and not _is_fine(value):
            return names
    return None
