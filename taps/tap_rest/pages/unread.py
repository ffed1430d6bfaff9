"""What the last page that is read says about pages after it, so that none is left out in silence.

Asked once per read, about the page where reading would stop: `signs_of_more` looks at the headers, at the members of
the body around the records, and at how full the page is. A record itself is never looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Raw

from tap_rest.client import Response
from tap_rest.names import plain_name, words_of
from tap_rest.pages.links import parse_links

__all__ = [
    "End",
    "LastPage",
    "Place",
    "Sign",
    "Weight",
    "flag_that_ends",
    "is_flag_of_more",
    "is_flag_of_the_end",
    "is_pointer",
    "sign_of_a_page_before",
    "signs_of_more",
    "totals_of",
    "verdicts",
]

_DEPTH = 4
_SMALL = 100_000  # bytes: what is longer than that is data, not a word about pages


class End(Enum):
    """Why a read ends."""

    UNSAID = "no `pagination` is configured"
    SINGLE = "`pagination` is `single`"
    TOTAL = "`total_pages` or `total_count`"
    RULE = "`has_more`"
    LAST = "`is_last`"
    SHORT = "`stop_on_short_page`"
    EMPTY = "a page without records"
    EMPTY_SAID = "`empty_page` is `stop`"
    NOTHING = "no token or link to the next page"


_SAID_BY_RULE = (End.TOTAL, End.RULE, End.LAST)


class Place(Enum):
    """Whether the token or link that `pagination` names was seen, in this answer or in an earlier one of the stream."""

    SAID = "seen"  # a null counts: it says that there is no next page
    OMITTED = "omitted"  # what it would stand in is there: so APIs say on the last page that it is the last
    ABSENT = "absent"  # so they do, too, and so does a path that is mistyped


class Weight(Enum):
    """How far a sign can be trusted."""

    NEXT = 6  # it names the next page
    FLAG = 5  # it says that there is one
    LATE = 4  # it may name the next page; some APIs send it on the last page too
    PAGES = 3  # there are more pages than were read
    COUNT = 2  # there are more rows than came
    FULL = 1  # the page is as full as was asked for
    HINT = 0  # what is seen on last pages as often, a round number of rows


@dataclass(frozen=True, slots=True)
class Sign:
    """Something that speaks for another page: what was seen, in words, and the `pagination` that fits.

    ``total``: of what, where it is one.
    """

    weight: Weight
    seen: str
    fits: Mapping[str, Any]
    total: int | None = None

    @property
    def total_at(self) -> str | None:
        """Where the total stands."""
        found: str | None = self.fits.get("total_count") or self.fits.get("total_pages")
        return found


@dataclass(frozen=True, slots=True)
class LastPage:
    """The page where reading would stop.

    ``records_at`` names the place of the records in the body, None where it is no simple path; ``count`` are the
    records of this page, ``received`` those of the whole read, ``pages`` its pages. ``is_first`` says that no run has
    proved the config yet: the stream has no bookmark. ``is_total_proved``: the total that ends reads was above what a page
    holds, in this run.
    """

    response: Response
    records_at: Sequence[str] | None
    count: int
    received: int
    pages: int
    place: Place = Place.SAID
    is_first: bool = False
    is_total_proved: bool = False
    is_total_exact: bool = False


def verdicts(end: End, page: LastPage) -> list[tuple[str, Sign]]:
    """Return the signs that there is another page, each with what it means here: `fail`, `warn` or `ignore`."""
    signs = signs_of_more(page)
    is_full = any(sign.weight is Weight.FULL for sign in signs)
    return [(_verdict(end, sign.weight, page, is_full), sign) for sign in signs]


def _verdict(end: End, weight: Weight, page: LastPage, is_full: bool) -> str:
    match end:
        case End.SINGLE:
            return "ignore" if weight in (Weight.HINT, Weight.LATE) else "warn"
        case End.UNSAID:
            return "warn" if weight is Weight.HINT else "fail"
        case End.NOTHING if page.pages == 1:
            return _where_nothing_was_found(weight, page)
        case End.TOTAL if page.pages == 1 and not page.is_total_proved:
            return _after_the_first_total(weight, is_full)
        case End.RULE | End.LAST if page.pages == 1 and weight in (Weight.PAGES, Weight.COUNT):
            return "warn"  # a false that is no flag: 0 of another meaning
    if weight is Weight.NEXT and page.is_total_exact:
        return "ignore"  # some have a link on each page, or a token that is always the same
    if weight in (Weight.NEXT, Weight.FLAG):
        return "warn" if end in (*_SAID_BY_RULE, End.EMPTY_SAID) else "fail"
    if weight in (Weight.PAGES, Weight.COUNT) and end not in _SAID_BY_RULE:
        # A total may count what a filter leaves out, or change while pages are read.
        is_nothing_of_many = end is End.EMPTY and page.received == 0 and page.is_first
        return "fail" if end is End.SHORT or is_nothing_of_many else "warn"
    return "ignore"


def _where_nothing_was_found(weight: Weight, page: LastPage) -> str:
    """One page is a common and honest end, and what a mistyped path looks like."""
    if weight is Weight.LATE:
        return {Place.ABSENT: "fail", Place.OMITTED: "warn", Place.SAID: "ignore"}[page.place]
    if weight is Weight.FULL:
        if page.place is Place.SAID:
            return "ignore"
        return "fail" if page.place is Place.ABSENT and page.is_first else "warn"
    if weight is Weight.HINT:
        return "warn" if page.place is Place.ABSENT and page.is_first else "ignore"
    return "fail"


def _after_the_first_total(weight: Weight, is_full: bool) -> str:
    """A total that the first page reaches may be the total of that page."""
    if weight in (Weight.HINT, Weight.LATE):
        return "ignore"
    return "fail" if is_full and weight is not Weight.FULL else "warn"


def signs_of_more(page: LastPage) -> list[Sign]:
    """Return the signs that there is another page, the most telling first."""
    body = list(_body_members(page.response, page.records_at))
    signs = [*_header_signs(page), *_body_signs(body, page), *_fullness(body, page)]
    return sorted(signs, key=lambda sign: -sign.weight.value)


def totals_of(response: Response, records_at: Sequence[str] | None) -> dict[str | None, int]:
    """Return the totals that an answer tells, by where they stand."""
    signs = signs_of_more(LastPage(response, records_at, 0, 0, 0))
    return {sign.total_at: sign.total for sign in signs if sign.total is not None}


def sign_of_a_page_before(page: LastPage) -> str | None:
    """Return what says, in words, that the first page of a read has one before it; None where nothing does."""
    for name, text in page.response.headers.items():
        if name.lower() == "link" and _has_rel(text, ("prev", "previous")):
            return "the Link header has rel `prev`"
        if plain_name(name).removeprefix("x") in _BEFORE and _is_token(text.strip()):
            return f"the header {name} names a page before"
    for names, value in _body_members(page.response, page.records_at):
        plain, path = plain_name(names[-1]), _path(names)
        if (plain in _HAS_BEFORE | _BEFORE and value is True) or (plain in _IS_FIRST and value is False):
            return f"`{path}` is {json.dumps(value)}"
        if plain in _BEFORE and value is not False and isinstance(value, str | int) and _is_token(value):
            return f"`{path}` names a page before"
        if plain in _LINKS and isinstance(value, list) and _link_in_list(value, path, ("prev", "previous")):
            return f"`{path}` has a link with rel `prev`"
    return None


def flag_that_ends(response: Response, records_at: Sequence[str] | None) -> Mapping[str, str] | None:
    """Return the rule of `pagination` that ends a read at this answer, by a flag in it; None where flags do not say so."""
    flags = [
        (names, _flag(names, value) is True)
        for names, value in _body_members(response, records_at)
        if _flag(names, value) is not None
    ]
    if not flags or any(says_more for _, says_more in flags):
        return None
    names = flags[0][0]
    return {"is_last" if _says_no_more(names[-1]) else "has_more": _path(names)}


# Names, as they are compared

_NEXT_URLS = frozenset(
    [
        "next",
        "nexturl",
        "nextlink",
        "nextpage",
        "nextpageurl",
        "nextpagelink",
        "nextpageuri",
        "nexturi",
        "nexthref",
        "nextrecordsurl",
        "nextresults",
        "moreurl",
    ]
)
_LINKS = frozenset(("links", "link"))
_TOKENS = {
    "nextcursor": "cursor",
    "nextpagecursor": "cursor",
    "cursornext": "cursor",
    "nextpagetoken": "pageToken",
    "nexttoken": "nextToken",
    "continuationtoken": "continuationToken",
    "nextcontinuationtoken": "continuation-token",
    "continue": "continue",
    "nextmarker": "marker",
    "nextpageid": "page",
    "nextpagestart": "start",
    "nextoffset": "offset",
    "nextstart": "start",
    "nextpage": "page",
    "next": "cursor",
    "after": "after",
    "offset": "offset",  # as a text: Airtable
}
"""Name of a token -> the parameter that usually takes it."""
_LATE_TOKENS = {
    "cursor": "cursor",
    "endcursor": "after",
    "after": "after",
    "scrollid": "scroll_id",
    "bookmark": "bookmark",
    "marker": "marker",
    "nextcursormark": "cursorMark",
    "continuation": "continuation",
    "resumptiontoken": "resumptionToken",
    "skiptoken": "$skiptoken",
    "pagetoken": "pageToken",
    "startafter": "start_after",
    "startingafter": "starting_after",
    "searchafter": "search_after",
    "pageafter": "after",
    "afterurl": "after",
    "afterkey": "after",
    "aftercursor": "after",
    "nextid": "id",
    "nextmaxid": "max_id",
    "lastevaluatedkey": "ExclusiveStartKey",
    "lastkey": "startKey",
    "startkey": "startKey",
}
"""Name of a token that some APIs send on the last page too -> the parameter that usually takes it."""
_TOKEN_OBJECTS = frozenset(
    ("lastevaluatedkey", "afterkey", "searchafter", "continue", "nextkey", "nexttoken")
)
"""Tokens that may be an object or an array."""
_TOKEN_WORDS = frozenset(
    ("cursor", "marker", "continuation", "continue", "scroll", "bookmark", "resumption", "skiptoken")
)
_PAGE_WORDS = frozenset(
    [
        "page",
        "cursor",
        "token",
        "id",
        "url",
        "uri",
        "link",
        "href",
        "marker",
        "key",
        "start",
        "offset",
        "after",
        "set",
        "batch",
        "records",
        "results",
        "position",
        "max",
    ]
)
_OTHER_WORDS = frozenset(
    [
        "prev",
        "previous",
        "before",
        "first",
        "start",
        "current",
        "self",
        "this",
        "back",
        "last",
        "sync",
        "delta",
        "csrf",
        "xsrf",
        "auth",
        "access",
        "refresh",
        "session",
        "request",
        "api",
        "bearer",
    ]
)
"""What makes a name with `cursor` or `token` in it speak of something else than the next page."""
_MORE = frozenset(
    [
        "hasmore",
        "more",
        "hasnext",
        "hasnextpage",
        "hasmoreitems",
        "hasmorepages",
        "hasmoreresults",
        "moreitems",
        "moreavailable",
        "moreresults",
        "moreresult",
        "istruncated",
        "truncated",
        "exceededtransferlimit",
        "next",
    ]
)
_IN_PART = frozenset(("partial", "incomplete", "limited", "limitreached", "limitexceeded", "resultslimited"))
_WHOLE = frozenset(("complete", "iscomplete", "completed", "finished", "isfinished", "final", "isfinal"))
"""Names that may speak of the records, or of the thing that they belong to."""
_NO_MORE = frozenset(
    [
        "last",
        "islast",
        "islastpage",
        "lastpage",
        "done",
        "endofstream",
        "endofresults",
        "endoflist",
        "isend",
        "reachedend",
        "nomore",
        "nomoreresults",
        "nomorepages",
    ]
)
_BEFORE = frozenset(
    [
        *(
            "prev",
            "previous",
            "prevpage",
            "previouspage",
            "prevurl",
            "previousurl",
            "prevlink",
            "previouslink",
        ),
        *("prevpageurl", "previouspageurl", "prevpageuri", "previouspageuri", "prevuri", "previousuri"),
    ]
)
_HAS_BEFORE = frozenset(("hasprev", "hasprevious", "hasprevpage", "haspreviouspage"))
_IS_FIRST = frozenset(("first", "isfirst", "firstpage", "isfirstpage"))
_TOTALS = frozenset(
    [
        "total",
        "totalcount",
        "totalresults",
        "totalitems",
        "totalrecords",
        "totalelements",
        "totalhits",
        "totalrows",
        "totalentries",
        "totalsize",
        "count",
        "numfound",
        "recordstotal",
        "nbhits",
        "totalnumber",
        "resultstotal",
        "itemstotal",
        "filteredtablerowscount",
        "recordcount",
        "rowcount",
        "resultcount",
        "itemcount",
        "matches",
    ]
)
_PAGE_TOTALS = frozenset(
    ["totalpages", "pagecount", "pages", "lastpage", "numpages", "nbpages", "pagestotal", "maxpage"]
)
_BODY_SIZES = frozenset(
    ["limit", "perpage", "pagesize", "itemsperpage", "maxresults", "pagelimit", "resultsperpage"]
)
_QUERY_SIZES = _BODY_SIZES | frozenset(
    [
        "size",
        "count",
        "top",
        "first",
        "rows",
        "num",
        "take",
        "max",
        "maxrecords",
        "resultrecordcount",
        "page[size]",
        "page[limit]",
    ]
)
_CONTAINERS = frozenset(
    [
        "meta",
        "metadata",
        "paging",
        "pagination",
        "paginator",
        "page",
        "pages",
        "pageinfo",
        "links",
        "link",
        "navigation",
        "nav",
        "cursor",
        "cursors",
        "responsemetadata",
        "listmetadata",
        "response",
        "result",
        "results",
        "data",
        "info",
        "hits",
        "view",
        "collection",
        "summary",
        "query",
        "list",
        "d",
        "next",
        "total",
        "additionaldata",
    ]
)
_CONTAINER_WORDS = frozenset(
    (
        "meta",
        "metadata",
        "page",
        "pages",
        "paging",
        "pagination",
        "paginator",
        "pager",
        "cursor",
        "cursors",
        "links",
    )
)
_ROWS = frozenset(("rows", "records", "items", "results", "pages"))
_ROUND = frozenset((10, 20, 25, 30, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000))


def _is_container(name: str) -> bool:
    return plain_name(name) in _CONTAINERS or bool(words_of(name) & _CONTAINER_WORDS)


def _may_be_token(name: str) -> bool:
    """Tell whether a name that is in no list speaks of the next page."""
    words = words_of(name)
    if words & _OTHER_WORDS:
        return False
    return bool(
        words & _TOKEN_WORDS
        or ("next" in words and words & _PAGE_WORDS)
        or ("token" in words and words & {"page", "pagination", "paging", "list", "result", "results"})
    )


def _path(names: Sequence[str]) -> str:
    """Return a path of the config."""
    parts = (
        f".{name}" if re.fullmatch(r"[A-Za-z_][\w-]*|@[\w@-]+(?:\.[\w@-]+)*", name) else f"['{name}']"
        for name in names
    )
    return f"${''.join(parts)}"


# The body

_Member = tuple[tuple[str, ...], Any]


def _body_members(response: Response, records_at: Sequence[str] | None) -> Iterator[_Member]:
    """Yield names and value of the members around the records; only small values are decoded."""
    if records_at is not None and not records_at:
        return  # the body is the records, or the record
    yield from _members(response.members or {}, (), None if records_at is None else tuple(records_at))


def _inside(raw: Raw | bytes) -> dict[str, Raw]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError):
        return {}


def _members(
    found: Mapping[str, Raw], path: tuple[str, ...], records_at: tuple[str, ...] | None
) -> Iterator[_Member]:
    for name, value in found.items():
        names = (*path, name)
        if names == records_at:
            continue
        first = memoryview(value)[:1].tobytes()
        is_above = records_at is not None and records_at[: len(names)] == names
        is_small = len(memoryview(value)) <= _SMALL
        if first == b"{" and plain_name(name) in _BEFORE:
            yield (
                names,
                bytes(value).strip(b"{} \n\r\t") != b"",
            )  # that it is there; what is in it is of that page
            continue
        if is_small and first in (b"[", b"{") and plain_name(name) in _TOKEN_OBJECTS:
            yield names, _decoded(value)
        elif first == b"{" and len(names) < _DEPTH and (is_above or _is_container(name)):
            yield names, {}
            yield from _members(_inside(value), names, records_at)
        elif is_small and (first not in (b"[", b"{") or plain_name(name) in _LINKS):
            yield names, _decoded(value)


def _decoded(raw: Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def _body_signs(body: Sequence[_Member], page: LastPage) -> Iterator[Sign]:
    flags = {_flag(names, value) for names, value in body}
    says_no_more = False in flags and True not in flags
    is_null = says_no_more or any(value in (None, "") and is_pointer(names[-1]) for names, value in body)
    for names, value in body:
        sign = _pointer(names, value, page)
        if sign is not None:
            is_late = sign.weight is Weight.LATE
            yield sign if not (is_null if is_late else says_no_more) else _as_hint(sign)
        elif _may_be_in_part(names[-1], value):
            seen = f"`{_path(names)}` is {json.dumps(value)}"
            yield Sign(Weight.HINT, seen, _fits_flag(names, {}, body, page))
        elif _flag(names, value):
            rule = {"is_last" if _says_no_more(names[-1]) else "has_more": _path(names)}
            seen = f"`{_path(names)}` is {json.dumps(value)}"
            yield Sign(Weight.FLAG, seen, _fits_flag(names, rule, body, page))
        else:
            sign = _count(names, value, body, page)
            if sign is not None:
                yield sign if not is_null else _as_hint(sign)


def _as_hint(sign: Sign) -> Sign:
    return Sign(Weight.HINT, sign.seen, sign.fits)


def is_pointer(name: str) -> bool:
    """Tell whether a member of this name may lead to the next page."""
    plain = plain_name(name)
    return plain in _NEXT_URLS or plain in _TOKENS or plain in _LATE_TOKENS or _may_be_token(name)


def _pointer(names: tuple[str, ...], value: Any, page: LastPage) -> Sign | None:
    name, path = plain_name(names[-1]), _path(names)
    if name in _LINKS and isinstance(value, list):
        return _link_in_list(value, path)
    if name in _TOKEN_OBJECTS and isinstance(value, dict | list):
        return _token_in_object(names, value)
    if isinstance(value, bool) or not isinstance(value, str | int) or not _is_token(value):
        return None
    above = plain_name(names[-2]) if len(names) > 1 else ""
    if above == "next" and name in ("href", "url"):
        links = _path(names[:-2])
        return Sign(Weight.NEXT, f"`{path}` is a URL", {"type": "hateoas", "links": links})
    if above == "nextpage" and name in ("href", "url", "uri", "link"):
        return Sign(Weight.NEXT, f"`{path}` is a URL", {"type": "next_url", "next": path})
    if isinstance(value, str) and name in _NEXT_URLS and _is_url(value):
        return Sign(Weight.NEXT, f"`{path}` is a URL", {"type": "next_url", "next": path})
    if name == "link" and above == "next":
        return Sign(Weight.NEXT, f"`{path}` is a URL", {"type": "next_url", "next": path})
    if name == "offset" and (not isinstance(value, str) or value.isdigit()):
        # An echo of what was asked for, as a rule; the offset of the next page is the number of rows that came.
        return _late(path, "offset") if value == page.received and not _is_asked(value, page) else None
    if name in _TOKENS and above != "cursors":
        if not str(value).isdigit() and _is_asked(value, page):
            return None  # of a source that keeps the place itself, it is always the same
        fits = {"type": "cursor", "cursor": path, "param": _TOKENS[name]}
        return Sign(Weight.NEXT, f"`{path}` holds a token", fits)
    if name in _LATE_TOKENS or _may_be_token(names[-1]):
        if _is_asked(value, page):
            return None
        if isinstance(value, str) and value.startswith(("http://", "https://", "/")):
            return Sign(Weight.LATE, f"`{path}` is a URL", {"type": "next_url", "next": path})
        sign = _late(path, _LATE_TOKENS.get(name) or names[-1])
        # Facebook sends `cursors` on the last page, too, and leaves `next` out.
        return sign if above != "cursors" or page.place is Place.ABSENT else _as_hint(sign)
    if name == "token" or name == "maxid":
        return _as_hint(_late(path, names[-1]))
    return None


def _late(path: str, param: str) -> Sign:
    return Sign(Weight.LATE, f"`{path}` holds a token", {"type": "cursor", "cursor": path, "param": param})


def _is_asked(value: Any, page: LastPage) -> bool:
    return str(value) in [text for _, text in _query(page)]


def _token_in_object(names: tuple[str, ...], value: Mapping[str, Any] | Sequence[Any]) -> Sign | None:
    """`lastEvaluatedKey: {"id": 5}`, `continue: {"cmcontinue": "page|5", "continue": "-||"}`."""
    if not value:
        return None
    inner = [name for name in value if name != "continue"] if isinstance(value, Mapping) else []
    if len(inner) != 1:
        return _late(_path(names), _LATE_TOKENS.get(plain_name(names[-1])) or names[-1])
    return _late(_path((*names, inner[0])), inner[0])


def _link_in_list(links: Sequence[Any], path: str, wanted: Sequence[str] = ("next",)) -> Sign | None:
    for link in links:
        if isinstance(link, dict) and {link.get("rel"), link.get("relation")} & set(wanted):
            return Sign(
                Weight.NEXT, f"`{path}` has a link with rel `next`", {"type": "hateoas", "links": path}
            )
    return None


def _is_token(value: str | int) -> bool:
    return value not in ("", 0, "0", -1, "-1", "null", "None", "false")


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://", "/", "?", "./")) or "?" in text


def _flag(names: tuple[str, ...], value: Any) -> bool | None:
    """Return what a flag says about more pages, None where it is none."""
    name = plain_name(names[-1])
    says_more = is_flag_of_more(names[-1])
    says_end = _says_no_more(names[-1])
    if isinstance(value, str) and (says_more or says_end):
        value = _SAID.get(value.lower(), value)
    if isinstance(value, bool):
        return not value if says_end else value if says_more else None
    if says_more and name.startswith("has") and value in (0, 1):
        return bool(value)
    return None


_SAID = {"true": True, "yes": True, "y": True, "false": False, "no": False, "n": False}


def is_flag_of_more(name: str) -> bool:
    """Tell whether a flag is true as long as there is another page, by its name."""
    return plain_name(name) in _MORE or _may_say_more(name)


def is_flag_of_the_end(name: str) -> bool:
    """Tell whether a flag, which speaks of pages, is true on the last one, by its name."""
    words = words_of(name)
    speaks_of_end = bool(words & _ENDS) and not words & (
        _OF_MORE | _PAGE_WORDS - {"page", "batch", "records", "results"}
    )
    return _says_no_more(name) or plain_name(name) in _WHOLE or speaks_of_end


def _says_no_more(name: str) -> bool:
    words = words_of(name)
    return (
        plain_name(name) in _NO_MORE
        or {"end", "of"} <= words
        or {"no", "more"} <= words
        or (("last" in words or "final" in words) and words <= _LAST_PAGE)
    )


_LAST_PAGE = frozenset(("is", "the", "last", "final", "page", "batch", "chunk", "results", "records"))
_ENDS = frozenset(
    [
        *("last", "final", "end", "ended", "eof", "done", "finished", "complete", "completed"),
        *("exhausted", "depleted", "drained"),
    ]
)
_OF_MORE = frozenset(("has", "more", "next", "not", "until", "before", "remaining", "left"))
"""Words beside which one of the end says something else: `has_last_page`, `notFinished`."""


def _may_be_in_part(name: str, value: Any) -> bool:
    return (value is True and plain_name(name) in _IN_PART) or (value is False and plain_name(name) in _WHOLE)


def _may_say_more(name: str) -> bool:
    words = words_of(name)
    things = {"items", "results", "pages", "page", "data", "records", "rows", "available", "exists"}
    return not words & {"prev", "previous", "no"} and bool(
        ("has" in words and words & {"more", "next"})
        or (words & {"more", "next"} and words & things and len(words) > 2)
        or words == {"continue"}
    )


def _fits_flag(
    names: tuple[str, ...], rule: Mapping[str, str], body: Sequence[_Member], page: LastPage
) -> Mapping[str, Any]:
    """Return what reads on beside a flag, with the ``rule`` by which it says where the end is."""
    for other, found in body:
        if other[:-1] == names[:-1] and plain_name(other[-1]) in ("endcursor", "cursor", "after") and found:
            return {"type": "cursor", "cursor": _path(other), "param": "after", **rule}
    signs = filter(None, (_pointer(other, found, page) for other, found in body))
    fits = [sign.fits for sign in signs if sign.weight is not Weight.HINT]
    if fits:  # the parameter that takes a token is a guess, a URL has it
        return {**min(fits, key=lambda fit: fit["type"] == "cursor"), **rule}
    if (("object",), "list") in body:
        return {"type": "keyset", "field": "id", "param": "starting_after", **rule}
    for other, found in body:
        if plain_name(other[-1]) in _PAGE_TOTALS and isinstance(found, int) and not isinstance(found, bool):
            return _fits_pages(_path(other), body)
    asked = [name for name, _ in _query(page)]
    has_offset = any(plain_name(other[-1]) in _OFFSETS for other, _ in body) or any(
        name in _PARTNERS or plain_name(name) in _OFFSETS for name in asked
    )
    return {**(_by_position(body, page) if has_offset else {"type": "page"}), **rule}


def _fits_pages(path: str, body: Sequence[_Member]) -> Mapping[str, Any]:
    """Pages are counted from 0 where the answer to the first request says `number` 0, as Spring Data does."""
    if any(plain_name(names[-1]) == "number" and value == 0 for names, value in body):
        return {"type": "page", "start": 0, "total_pages": path}
    return {"type": "page", "total_pages": path}


def _count(names: tuple[str, ...], value: Any, body: Sequence[_Member], page: LastPage) -> Sign | None:
    name, path = plain_name(names[-1]), _path(names)
    if name == "value" and len(names) > 1 and plain_name(names[-2]) == "total":
        name = "total"  # hits.total.value of Elasticsearch
    number = _whole(value)
    if number is None:
        return None
    if name in _PAGE_TOTALS and number > page.pages:
        seen = f"`{path}` is {number} and {_pages(page)} read"
        return Sign(Weight.PAGES, seen, _fits_pages(path, body), number)
    if name in _TOTALS and page.records_at is not None and number > page.received:
        seen = f"`{path}` is {number} and {_rows(page)} came"
        return Sign(Weight.COUNT, seen, {**_by_position(body, page), "total_count": path}, number)
    is_left = name == "remainingitemcount" or (
        words_of(names[-1]) & {"remaining", "left"} and words_of(names[-1]) & _ROWS
    )
    if is_left and number > 0:
        return Sign(Weight.COUNT, f"`{path}` is {number}", _by_position(body, page))
    return None


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _pages(page: LastPage) -> str:
    return f"{page.pages} {'was' if page.pages == 1 else 'were'}"


def _rows(page: LastPage) -> str:
    return f"{page.received} row{'' if page.received == 1 else 's'}"


def _by_position(body: Sequence[_Member], page: LastPage) -> dict[str, Any]:
    """Return a `pagination` by page number or offset, whichever the answer and the request speak of."""
    query = _query(page)
    asked = [name for name, _ in query]
    names = [*asked, *(names[-1] for names, value in body if value != {})]
    if {plain_name(name) for name in names} & {"page", "currentpage", "pagenumber", "perpage", "pageindex"}:
        return {"type": "page", **_size(query)}
    partners = [_PARTNERS[name] for name in asked if name in _PARTNERS]
    offsets = [name for name in names if plain_name(name) in _OFFSETS]
    param = [*(name for name in offsets if name in asked), *partners, *offsets, "offset"][0]
    return {"type": "offset", **({} if param == "offset" else {"param": param}), **_size(query)}


_OFFSETS = frozenset(("offset", "startat", "skip", "start", "from", "page[offset]", "resultoffset"))
_PARTNERS = {
    "_limit": "_start",
    "$top": "$skip",
    "page[limit]": "page[offset]",
    "resultRecordCount": "resultOffset",
    "take": "skip",
    "maxResults": "startAt",
}
"""Name of a parameter for a size -> the one for the offset that goes with it."""


def _query(page: LastPage) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(page.response.url).query)


def _size(query: Sequence[tuple[str, str]]) -> dict[str, Any]:
    for name, value in query:
        if plain_name(name) in _QUERY_SIZES and _whole(value):
            return {"size": _whole(value), "size_param": name}
    return {}


# The page itself


def _fullness(body: Sequence[_Member], page: LastPage) -> Iterator[Sign]:
    if page.records_at is None or page.count < 2:
        return
    asked = _size(_query(page))
    if asked.get("size") == page.count:
        seen = f"the page holds exactly the {page.count} rows that `{asked['size_param']}` asks for"
        yield Sign(Weight.FULL, seen, _by_position(body, page))
        return
    for names, value in body:
        if plain_name(names[-1]) in _BODY_SIZES and _whole(value) == page.count:
            seen = f"the page holds {page.count} rows and `{_path(names)}` is {page.count}"
            yield Sign(Weight.FULL, seen, _by_position(body, page))
            return
    if page.count in _ROUND and asked.get("size", page.count) >= page.count:
        yield Sign(Weight.HINT, f"exactly {page.count} rows came", _by_position(body, page))


# Headers


def _header_signs(page: LastPage) -> Iterator[Sign]:
    yield from _status_signs(page)
    for name, text in page.response.headers.items():
        lower = name.lower()
        if lower == "link" and _has_rel(text, ("next",)):
            yield Sign(Weight.NEXT, "the Link header has rel `next`", {"type": "link_header"})
        elif lower == "content-range":
            yield from _range_signs(text, page)
        elif lower.startswith(("x-", "pagination-")) or _may_be_token(name):
            yield from _own_header_signs(name, text, page)


def _status_signs(page: LastPage) -> Iterator[Sign]:
    """206 says that this is a part; so it is on the last page, too, where the pages before it were the others."""
    ranges = [text for name, text in page.response.headers.items() if name.lower() == "content-range"]
    if (
        page.response.status == 206
        and page.count
        and not any(re.search(r"/\s*\d+\s*$", text) for text in ranges)
    ):
        yield Sign(Weight.LATE, "the status is 206 (partial content)", _by_position((), page))


def _has_rel(text: str, wanted: Sequence[str]) -> bool:
    try:
        return any(link.has_rel(rel) for link in parse_links(text) for rel in wanted)
    except ValueError:
        return re.search(rf"\brel\s*=\s*\"?[^\";,]*\b(?:{'|'.join(wanted)})\b", text, re.I) is not None


def _range_signs(text: str, page: LastPage) -> Iterator[Sign]:
    match = re.search(r"([0-9]{1,18})\s*-\s*([0-9]{1,18})\s*/\s*([0-9]{1,18})\s*$", text)
    if match and int(match[2]) + 1 < int(match[3]):
        fits = {**_by_position((), page), "type": "offset", "total_count": "header:Content-Range"}
        seen = f"the header Content-Range ends with {match[1]}-{match[2]}/{match[3]}"
        yield Sign(Weight.COUNT, seen, fits, int(match[3]))


def _own_header_signs(name: str, text: str, page: LastPage) -> Iterator[Sign]:
    if text.lstrip().startswith("{"):  # X-Pagination of ASP.NET holds JSON
        yield from _json_header_signs(name, text, page)
        return
    plain = plain_name(re.sub(r"(?i)^(x-)?(wp-|pagination-|page-(?=next|total))?", "", name))
    number = _whole(text.strip())
    seen = f"the header {name} is {number}"
    if plain in _TOKENS and plain != "offset" and _is_token(text.strip()):
        fits = {"type": "header_cursor", "header": name, "param": _TOKENS[plain]}
        yield Sign(Weight.NEXT, f"the header {name} names the next page", fits)
    elif _may_be_token(name) and _is_token(text.strip()) and not _is_asked(text.strip(), page):
        fits = {"type": "header_cursor", "header": name, "param": _LATE_TOKENS.get(plain) or "cursor"}
        yield Sign(Weight.LATE, f"the header {name} holds a token", fits)
    elif plain in _MORE and text.strip().lower() in ("true", "1", "yes"):
        yield Sign(Weight.FLAG, f"the header {name} is true", {"type": "page", "has_more": f"header:{name}"})
    elif number is not None and plain in _PAGE_TOTALS and number > page.pages:
        fits = {"type": "page", "total_pages": f"header:{name}"}
        yield Sign(Weight.PAGES, f"{seen} and {_pages(page)} read", fits, number)
    elif number is not None and plain in _TOTALS and page.records_at is not None and number > page.received:
        fits = {**_by_position((), page), "total_count": f"header:{name}"}
        yield Sign(Weight.COUNT, f"{seen} and {_rows(page)} came", fits, number)


def _json_header_signs(name: str, text: str, page: LastPage) -> Iterator[Sign]:
    for sign in _body_signs(list(_members(_inside(text.encode()), (), None)), page):
        seen = f"the header {name} says that {sign.seen}"
        fits = {"type": "page"} if sign.weight is not Weight.HINT else sign.fits
        yield Sign(sign.weight, seen, fits)
