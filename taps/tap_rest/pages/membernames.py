"""Names of members and headers around the records, as they are compared: which of them speak of pages, and what they say."""

from __future__ import annotations

from typing import Any

from tap_rest.names import plain_name, words_of

__all__ = [
    "BEFORE",
    "BODY_SIZES",
    "HAS_BEFORE",
    "IS_FIRST",
    "LATE_TOKENS",
    "LINKS",
    "MORE",
    "NEXT_URLS",
    "PAGE_TOTALS",
    "QUERY_SIZES",
    "ROWS",
    "TOKENS",
    "TOKEN_OBJECTS",
    "TOTALS",
    "is_container",
    "is_flag_of_more",
    "is_flag_of_the_end",
    "is_pointer",
    "may_be_in_part",
    "may_be_token",
    "says_no_more",
]

NEXT_URLS = frozenset(
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
LINKS = frozenset(("links", "link"))
TOKENS = {
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
LATE_TOKENS = {
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
TOKEN_OBJECTS = frozenset(("lastevaluatedkey", "afterkey", "searchafter", "continue", "nextkey", "nexttoken"))
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
MORE = frozenset(
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
BEFORE = frozenset(
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
HAS_BEFORE = frozenset(("hasprev", "hasprevious", "hasprevpage", "haspreviouspage"))
IS_FIRST = frozenset(("first", "isfirst", "firstpage", "isfirstpage"))
TOTALS = frozenset(
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
PAGE_TOTALS = frozenset(
    ["totalpages", "pagecount", "pages", "lastpage", "numpages", "nbpages", "pagestotal", "maxpage"]
)
BODY_SIZES = frozenset(
    ["limit", "perpage", "pagesize", "itemsperpage", "maxresults", "pagelimit", "resultsperpage"]
)
QUERY_SIZES = BODY_SIZES | frozenset(
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
ROWS = frozenset(("rows", "records", "items", "results", "pages"))


def is_container(name: str) -> bool:
    return plain_name(name) in _CONTAINERS or bool(words_of(name) & _CONTAINER_WORDS)


def may_be_token(name: str) -> bool:
    """Tell whether a name that is in no list speaks of the next page."""
    words = words_of(name)
    if words & _OTHER_WORDS:
        return False
    return bool(
        words & _TOKEN_WORDS
        or ("next" in words and words & _PAGE_WORDS)
        or ("token" in words and words & {"page", "pagination", "paging", "list", "result", "results"})
    )


def is_pointer(name: str) -> bool:
    """Tell whether a member of this name may lead to the next page."""
    plain = plain_name(name)
    return plain in NEXT_URLS or plain in TOKENS or plain in LATE_TOKENS or may_be_token(name)


def is_flag_of_more(name: str) -> bool:
    """Tell whether a flag is true as long as there is another page, by its name."""
    return plain_name(name) in MORE or _may_say_more(name)


def is_flag_of_the_end(name: str) -> bool:
    """Tell whether a flag, which speaks of pages, is true on the last one, by its name."""
    words = words_of(name)
    speaks_of_end = bool(words & _ENDS) and not words & (
        _OF_MORE | _PAGE_WORDS - {"page", "batch", "records", "results"}
    )
    return says_no_more(name) or plain_name(name) in _WHOLE or speaks_of_end


def says_no_more(name: str) -> bool:
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


def may_be_in_part(name: str, value: Any) -> bool:
    return (value is True and plain_name(name) in _IN_PART) or (value is False and plain_name(name) in _WHOLE)


def _may_say_more(name: str) -> bool:
    words = words_of(name)
    things = {"items", "results", "pages", "page", "data", "records", "rows", "available", "exists"}
    return not words & {"prev", "previous", "no"} and bool(
        ("has" in words and words & {"more", "next"})
        or (words & {"more", "next"} and words & things and len(words) > 2)
        or words == {"continue"}
    )
