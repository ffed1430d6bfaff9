"""What a status or a message says: that all is well, that there is nothing to find, that something failed, to ask later."""

from __future__ import annotations

import re
from typing import Any

from tap_rest.names import plain_name

__all__ = [
    "FAILING",
    "GOOD",
    "NOT_THERE",
    "OF_LIMITS",
    "OF_THIS_PAGE",
    "is_busy",
    "is_failing_status",
    "is_failing_word",
    "is_fine",
    "number_in",
    "plain_text",
    "says_end",
    "says_limit",
]

GOOD = frozenset(("ok", "success", "successful", "succeeded", "issuccess", "issuccessful"))
_FINE = frozenset(
    [
        *("ok", "okay", "success", "successful", "succeeded", "successfully", "true", "yes", "y"),
        *("complete", "completed", "done", "finished", "none", "null", "nil", "normal", "no error"),
        *("no errors", "n/a"),
    ]
)
FAILING = re.compile(
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
_LIMIT_MET = re.compile(
    r"(?:(?:rate|request|call|query|usage|api)\w* limits?|quota)\b.{0,40}?\b(?:exceed|reached|hit|over)|"
    r"\b(?:exceed|reach|hit|over)\w*\b.{0,40}?(?:limit|quota)|throttl|too many requests"
)
OF_LIMITS = re.compile(
    r"limit (?:\w+ )?(?:reached|exceeded|hit)|(?:reach|exceed|over|hit)\w* .*(?:limit|quota)|throttl|too many|too busy|"
    r"time[ds]?.?out|unavailable|overload|exhausted|denied|unauthori|forbidden|not allowed|expired|under maintenance"
)
"""What makes more of a warning than advice."""
OF_THIS_PAGE = re.compile(
    r"too (?:large|many|deep|big|high|far|long)|\b(?:max|maximum|limit|depth|window|deep)\b|time[ds]?.?out|internal|server error|exception"
)
"""What may be so of one question while others are answered."""
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
    r"\b(?:page|offset|skip)\b.* out of (?:range|bounds)|^no ?data error$|"
    r"\bpage\b.* (?:exceeds?|beyond|past|behind|after|greater than|larger than) .*\b(?:pages|last)\b|"
    r"\bup to date\b|^(?:results|records|items|rows|list|data|pages|feed) exhausted$"
)
_NOTHING_FOUND = re.compile(
    r"\b(?:could not|couldn't|cannot|can't|can not|unable to|did not|didn't) find any\b"
)
_WENT_WELL = re.compile(r"\bsuccess(?:ful|fully)?\b")
_WENT_WELL_IN_PART = re.compile(r"\b(?:not|no|partial\w*|without|but)\b")
NOT_THERE = (404, 410, 416)


def plain_text(value: Any) -> str:
    """`ZERO_RESULTS`, `zeroResults` and `Zero results.` are zero results."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-]+", " ", str(value))
    return " ".join(spaced.lower().split()).strip(" .!;,")


def says_end(value: Any) -> bool:
    """Tell whether a text says that there is nothing to find, and nothing else."""
    if not isinstance(value, str) or len(value) > 200:
        return False
    text = _OF_THIS_QUESTION.sub("", plain_text(value))
    words = re.findall(r"[a-z0-9']+", text)
    if _AT_THE_END.search(text):
        return True
    if _OF_ACCESS & set(words):
        return False
    if _NOTHING_FOUND.search(text):
        return True
    if FAILING.search(text):
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


def is_fine(value: Any) -> bool:
    """Tell whether a value says that all is well, or nothing."""
    if value is None or value is False or value == [] or value == {}:
        return True
    number = number_in(value)
    if number is not None:
        return number == 0 or 200 <= number < 300
    if isinstance(value, dict):
        codes = [part for name, part in value.items() if plain_name(name) in ("code", "errcode", "status")]
        return any(is_fine(code) for code in codes if code is not None) or all(map(is_fine, value.values()))
    if isinstance(value, list):
        return all(map(is_fine, value))
    if not isinstance(value, str):
        return False
    text = plain_text(value)
    is_nothing = text == "false" or text.strip("0") == ""
    return text in _FINE or is_nothing or says_end(value) or _says_it_went_well(text)


def _says_it_went_well(text: str) -> bool:
    """`results returned successfully. note: any missing values ...`: what follows is advice."""
    first = text.partition(". ")[0]
    is_well = _WENT_WELL.search(first) and not _WENT_WELL_IN_PART.search(first)
    return bool(is_well and not FAILING.search(first))


def number_in(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    is_number = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}", value.strip())
    return int(value) if is_number else None


def is_failing_status(name: str, value: Any) -> bool:
    number = number_in(value)
    if number is not None:
        is_of_http = 400 <= number < 600 and number not in NOT_THERE
        return number == 0 if name in GOOD else is_of_http or number < 0
    if isinstance(value, bool):
        return value is False and name not in ("state", "code")
    if name in GOOD and isinstance(value, str) and value.lower() in ("n", "no", "f"):
        return True
    return isinstance(value, str) and name != "statusmessage" and is_failing_word(value)


def is_failing_word(text: str) -> bool:
    shown = plain_text(text)
    return len(shown) <= 200 and bool(FAILING.search(shown) or _FAILING_STATUS.search(shown))


def is_busy(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(is_busy, value.values() if isinstance(value, dict) else value))
    number = number_in(value)
    if number is not None:
        return number in _BUSY_CODES
    return isinstance(value, str) and bool(_BUSY.search(plain_text(value)))


def says_limit(text: str) -> bool:
    """Tell whether the body of a refusal says that a rate limit is met: `rateLimitExceeded`, `You have exceeded a secondary rate limit`."""
    return _LIMIT_MET.search(plain_text(text)) is not None
