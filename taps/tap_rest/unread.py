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
from tap_rest.links import parse_links

__all__ = ["End", "LastPage", "Sign", "signs_of_more", "verdict"]

_DEPTH = 4
_SMALL = 100_000  # bytes: what is longer than that is data, not a word about pages


class End(Enum):
    """Why a read ends."""

    UNSAID = "no `pagination` is configured"
    SINGLE = "`pagination` is `single`"
    RULE = "`total_pages`, `total_count` or `has_more`"
    SHORT = "`stop_on_short_page`"
    EMPTY = "a page without records"
    EMPTY_SAID = "`empty_page` is `stop`"
    NOTHING = "no token or link to the next page"


class Weight(Enum):
    """How far a sign can be trusted."""

    NEXT = 5  # it names the next page
    FLAG = 4  # it says that there is one
    PAGES = 3  # there are more pages than were read
    COUNT = 2  # there are more rows than came
    FULL = 1  # the page is as full as was asked for
    HINT = 0  # a token that some APIs send on the last page too, a round number of rows


@dataclass(frozen=True, slots=True)
class Sign:
    """Something that speaks for another page: what was seen, in words, and the `pagination` that fits."""

    weight: Weight
    seen: str
    fits: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LastPage:
    """The page where reading would stop.

    ``records_at`` names the place of the records in the body, None where it is no simple path; ``count`` are the
    records of this page, ``received`` those of the whole read, ``pages`` its pages.
    """

    response: Response
    records_at: Sequence[str] | None
    count: int
    received: int
    pages: int


def verdict(end: End, sign: Sign, page: LastPage) -> str:
    """Return `fail`, `warn` or `ignore`: what a sign means where a read ended like this."""
    weight = sign.weight
    if end is End.SINGLE:
        return "ignore" if weight is Weight.HINT else "warn"
    if end is End.UNSAID:
        return "warn" if weight is Weight.HINT else "fail"
    if weight in (Weight.NEXT, Weight.FLAG):
        return "warn" if end in (End.RULE, End.EMPTY_SAID) else "fail"
    if weight in (Weight.PAGES, Weight.COUNT):
        if end is End.RULE:
            return "ignore"
        # A total may count what a filter leaves out, or change while pages are read.
        return "fail" if end is End.SHORT or (end is End.NOTHING and page.pages == 1) else "warn"
    return "warn" if weight is Weight.FULL and end is End.NOTHING and page.pages == 1 else "ignore"


def signs_of_more(page: LastPage) -> list[Sign]:
    """Return the signs that there is another page, the most telling first."""
    body = list(_body_members(page.response.body, page.records_at))
    signs = [*_header_signs(page), *_body_signs(body, page), *_fullness(body, page)]
    return sorted(signs, key=lambda sign: -sign.weight.value)


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
_LATE_TOKENS = {"cursor": "cursor", "scrollid": "scroll_id", "bookmark": "bookmark", "afterurl": "after"}
"""Tokens that many APIs send on the last page too."""
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
        "istruncated",
        "truncated",
        "next",
    ]
)
_NO_MORE = frozenset(
    ["last", "islast", "islastpage", "lastpage", "done", "endofstream", "endofresults", "isend"]
)
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
    ]
)
_PAGE_TOTALS = frozenset(
    ["totalpages", "pagecount", "pages", "lastpage", "numpages", "nbpages", "pagestotal", "maxpage"]
)
_BODY_SIZES = frozenset(
    ["limit", "perpage", "pagesize", "itemsperpage", "maxresults", "pagelimit", "resultsperpage"]
)
_QUERY_SIZES = _BODY_SIZES | frozenset(
    ["size", "count", "top", "first", "rows", "num", "take", "max", "maxrecords", "page[size]", "page[limit]"]
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
    ]
)
_ROUND = frozenset((10, 20, 25, 30, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000))


def _plain(name: str) -> str:
    """`hydra:next` and `__next` are next, `@odata.nextLink` and `next_link` are nextlink."""
    last = re.split(r"[:.]", name)[-1] if not name.startswith("page[") else name
    return re.sub(r"[@$_\- ]", "", last.lower())


def _path(names: Sequence[str]) -> str:
    """Return a path of the config."""
    parts = (
        f".{name}" if re.fullmatch(r"[A-Za-z_][\w-]*|@[\w@-]+(?:\.[\w@-]+)*", name) else f"['{name}']"
        for name in names
    )
    return f"${''.join(parts)}"


# The body

_Member = tuple[tuple[str, ...], Any]


def _body_members(body: bytes, records_at: Sequence[str] | None) -> Iterator[_Member]:
    """Yield names and value of the members around the records; only small values are decoded."""
    if records_at is not None and not records_at:
        return  # the body is the records, or the record
    yield from _members(Raw(body), (), None if records_at is None else tuple(records_at))


def _members(raw: Raw, path: tuple[str, ...], records_at: tuple[str, ...] | None) -> Iterator[_Member]:
    try:
        found = msgspec.json.decode(raw, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError):
        return
    for name, value in found.items():
        names = (*path, name)
        if names == records_at:
            continue
        first = memoryview(value)[:1].tobytes()
        is_above = records_at is not None and records_at[: len(names)] == names
        if first == b"{" and len(names) < _DEPTH and (is_above or _plain(name) in _CONTAINERS):
            yield names, {}
            yield from _members(value, names, records_at)
        elif len(memoryview(value)) <= _SMALL and (first not in (b"[", b"{") or _plain(name) in _LINKS):
            yield names, _decoded(value)


def _decoded(raw: Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def _body_signs(body: Sequence[_Member], page: LastPage) -> Iterator[Sign]:
    says_no_more = any(_flag(names, value) is False for names, value in body)
    is_null = says_no_more or any(
        value in (None, "") and (_plain(names[-1]) in _NEXT_URLS or _plain(names[-1]) in _TOKENS)
        for names, value in body
    )
    for names, value in body:
        sign = _pointer(names, value)
        if sign is not None:
            yield sign if not says_no_more else Sign(Weight.HINT, sign.seen, sign.fits)
        elif _flag(names, value):
            yield Sign(
                Weight.FLAG, f"`{_path(names)}` is {json.dumps(value)}", _fits_flag(names, value, body)
            )
        else:
            sign = _count(names, value, body, page)
            if sign is not None:
                yield sign if not is_null else Sign(Weight.HINT, sign.seen, sign.fits)


def _pointer(names: tuple[str, ...], value: Any) -> Sign | None:
    name, path = _plain(names[-1]), _path(names)
    if name in _LINKS and isinstance(value, list):
        return _link_in_list(value, path)
    if isinstance(value, bool) or not isinstance(value, str | int) or not _is_token(value):
        return None
    above = _plain(names[-2]) if len(names) > 1 else ""
    if above == "next" and name in ("href", "url"):
        links = _path(names[:-2])
        return Sign(Weight.NEXT, f"`{path}` is a URL", {"type": "hateoas", "links": links})
    if isinstance(value, str) and name in _NEXT_URLS and _is_url(value):
        return Sign(Weight.NEXT, f"`{path}` is a URL", {"type": "next_url", "next": path})
    if name == "link" and above == "next":
        return Sign(Weight.NEXT, f"`{path}` is a URL", {"type": "next_url", "next": path})
    if name == "offset" and (not isinstance(value, str) or value.isdigit()):
        return None
    if name in _TOKENS and above != "cursors":
        fits = {"type": "cursor", "cursor": path, "param": _TOKENS[name]}
        return Sign(Weight.NEXT, f"`{path}` holds a token", fits)
    late = {"endcursor": "after", "after": "after", **_LATE_TOKENS}
    if name in late:
        fits = {"type": "cursor", "cursor": path, "param": late[name]}
        return Sign(Weight.HINT, f"`{path}` holds a token", fits)
    return None


def _link_in_list(links: Sequence[Any], path: str) -> Sign | None:
    for link in links:
        if isinstance(link, dict) and "next" in (link.get("rel"), link.get("relation")):
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
    name = _plain(names[-1])
    if isinstance(value, str) and value.lower() in ("true", "false") and name in _MORE:
        value = value.lower() == "true"
    if isinstance(value, bool):
        return value if name in _MORE else not value if name in _NO_MORE else None
    if name == "hasmore" and value in (0, 1):
        return bool(value)
    return None


def _fits_flag(names: tuple[str, ...], value: Any, body: Sequence[_Member]) -> Mapping[str, Any]:
    path = _path(names)
    for other, found in body:
        if other[:-1] == names[:-1] and _plain(other[-1]) in ("endcursor", "cursor", "after") and found:
            return {"type": "cursor", "cursor": _path(other), "param": "after", "has_more": path}
    by_flag = {"has_more": path} if value else {}
    if (("object",), "list") in body:
        return {"type": "keyset", "field": "id", "param": "starting_after", **by_flag}
    for other, found in body:
        if _plain(other[-1]) in _PAGE_TOTALS and isinstance(found, int) and not isinstance(found, bool):
            return _fits_pages(_path(other), body)
    return {"type": "page", **by_flag}


def _fits_pages(path: str, body: Sequence[_Member]) -> Mapping[str, Any]:
    """Pages are counted from 0 where the answer to the first request says `number` 0, as Spring Data does."""
    if any(_plain(names[-1]) == "number" and value == 0 for names, value in body):
        return {"type": "page", "start": 0, "total_pages": path}
    return {"type": "page", "total_pages": path}


def _count(names: tuple[str, ...], value: Any, body: Sequence[_Member], page: LastPage) -> Sign | None:
    name, path = _plain(names[-1]), _path(names)
    if name == "value" and len(names) > 1 and _plain(names[-2]) == "total":
        name = "total"  # hits.total.value of Elasticsearch
    number = _whole(value)
    if number is None:
        return None
    if name in _PAGE_TOTALS and number > page.pages:
        seen = f"`{path}` is {number} and {_pages(page)} read"
        return Sign(Weight.PAGES, seen, _fits_pages(path, body))
    if name in _TOTALS and page.records_at is not None and number > page.received:
        seen = f"`{path}` is {number} and {_rows(page)} came"
        return Sign(Weight.COUNT, seen, {**_by_position(body, page), "total_count": path})
    if name == "remainingitemcount" and number > 0:
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
    names = {_plain(names[-1]) for names, _ in body} | {_plain(name) for name, _ in query}
    kind = "page" if names & {"page", "currentpage", "pagenumber", "perpage", "pageindex"} else "offset"
    offset = next((name for name in ("startAt", "skip", "start", "from") if _plain(name) in names), None)
    more = {"param": offset} if kind == "offset" and offset and "offset" not in names else {}
    return {"type": kind, **more, **_size(query)}


def _query(page: LastPage) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(page.response.url).query)


def _size(query: Sequence[tuple[str, str]]) -> dict[str, Any]:
    for name, value in query:
        if _plain(name) in _QUERY_SIZES and value.isdigit() and int(value) > 0:
            return {"size": int(value), "size_param": name}
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
        if _plain(names[-1]) in _BODY_SIZES and _whole(value) == page.count:
            seen = f"the page holds {page.count} rows and `{_path(names)}` is {page.count}"
            yield Sign(Weight.FULL, seen, _by_position(body, page))
            return
    if page.count in _ROUND and not asked:
        yield Sign(Weight.HINT, f"exactly {page.count} rows came", _by_position(body, page))


# Headers


def _header_signs(page: LastPage) -> Iterator[Sign]:
    for name, text in page.response.headers.items():
        lower = name.lower()
        if lower == "link" and _has_next(text):
            yield Sign(Weight.NEXT, "the Link header has rel `next`", {"type": "link_header"})
        elif lower == "content-range":
            yield from _range_signs(text, page)
        elif lower.startswith(("x-", "pagination-")):
            yield from _own_header_signs(name, text, page)


def _has_next(text: str) -> bool:
    try:
        return any(link.has_rel("next") for link in parse_links(text))
    except ValueError:
        return re.search(r"\brel\s*=\s*\"?[^\";,]*\bnext\b", text, re.I) is not None


def _range_signs(text: str, page: LastPage) -> Iterator[Sign]:
    match = re.search(r"(\d+)\s*-\s*(\d+)\s*/\s*(\d+)\s*$", text)
    if match and int(match[2]) + 1 < int(match[3]):
        fits = {**_by_position((), page), "type": "offset", "total_count": "header:Content-Range"}
        yield Sign(Weight.COUNT, f"the header Content-Range ends with {match[1]}-{match[2]}/{match[3]}", fits)


def _own_header_signs(name: str, text: str, page: LastPage) -> Iterator[Sign]:
    if text.lstrip().startswith("{"):  # X-Pagination of ASP.NET holds JSON
        yield from _json_header_signs(name, text, page)
        return
    plain = _plain(re.sub(r"(?i)^(x-)?(wp-|pagination-|page-(?=next|total))?", "", name))
    number = _whole(text.strip())
    seen = f"the header {name} is {number}"
    if plain in _TOKENS and plain != "offset" and _is_token(text.strip()):
        fits = {"type": "header_cursor", "header": name, "param": _TOKENS[plain]}
        yield Sign(Weight.NEXT, f"the header {name} names the next page", fits)
    elif plain in _MORE and text.strip().lower() in ("true", "1", "yes"):
        yield Sign(Weight.FLAG, f"the header {name} is true", {"type": "page", "has_more": f"header:{name}"})
    elif number is not None and plain in _PAGE_TOTALS and number > page.pages:
        fits = {"type": "page", "total_pages": f"header:{name}"}
        yield Sign(Weight.PAGES, f"{seen} and {_pages(page)} read", fits)
    elif number is not None and plain in _TOTALS and page.records_at is not None and number > page.received:
        fits = {**_by_position((), page), "total_count": f"header:{name}"}
        yield Sign(Weight.COUNT, f"{seen} and {_rows(page)} came", fits)


def _json_header_signs(name: str, text: str, page: LastPage) -> Iterator[Sign]:
    for sign in _body_signs(list(_members(Raw(text.encode()), (), None)), page):
        seen = f"the header {name} says that {sign.seen}"
        fits = {"type": "page"} if sign.weight is not Weight.HINT else sign.fits
        yield Sign(sign.weight, seen, fits)
