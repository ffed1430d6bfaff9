"""The `pagination` that would go on behind a page, as far as the answer and the request show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tap_rest.answers.answer import Response
from tap_rest.names import plain_name
from tap_rest.pages.lastpage import LastPage, Weight, query_of
from tap_rest.pages.membernames import PAGE_TOTALS, QUERY_SIZES
from tap_rest.pages.members import Member, path_of
from tap_rest.pages.pointers import pointer_sign

__all__ = ["as_asked", "by_position", "fits_flag", "fits_pages", "size_in", "whole_number"]


def as_asked(fits: Mapping[str, Any], response: Response) -> Mapping[str, Any]:
    """Return a `pagination` that fits an answer, as it is said for requests that have a body."""
    if response.method == "GET" or fits["type"] not in ("page", "offset", "cursor", "keyset"):
        return fits
    if any(name == "query" for name, _ in response.asked) and str(fits.get("cursor")).endswith(
        ".pageInfo.endCursor"
    ):
        return {"type": "relay"}
    return {"type": fits["type"], "in": "body", **fits}


def fits_flag(
    names: tuple[str, ...], rule: Mapping[str, str], body: Sequence[Member], page: LastPage
) -> Mapping[str, Any]:
    """Return what reads on beside a flag, with the ``rule`` by which it says where the end is."""
    for other, found in body:
        if other[:-1] == names[:-1] and plain_name(other[-1]) in ("endcursor", "cursor", "after") and found:
            return {"type": "cursor", "cursor": path_of(other), "param": "after", **rule}
    signs = filter(None, (pointer_sign(other, found, page) for other, found in body))
    fits = [sign.fits for sign in signs if sign.weight is not Weight.HINT]
    if fits:  # the parameter that takes a token is a guess, a URL has it
        return {**min(fits, key=lambda fit: fit["type"] == "cursor"), **rule}
    if (("object",), "list") in body:
        return {"type": "keyset", "field": "id", "param": "starting_after", **rule}
    for other, found in body:
        if plain_name(other[-1]) in PAGE_TOTALS and isinstance(found, int) and not isinstance(found, bool):
            return fits_pages(path_of(other), body)
    asked = [name for name, _ in query_of(page)]
    has_offset = any(plain_name(other[-1]) in _OFFSETS for other, _ in body) or any(
        name in _PARTNERS or plain_name(name) in _OFFSETS for name in asked
    )
    return {**(by_position(body, page) if has_offset else {"type": "page"}), **rule}


def fits_pages(path: str, body: Sequence[Member]) -> Mapping[str, Any]:
    """Pages are counted from 0 where the answer to the first request says `number` 0, as Spring Data does."""
    if any(plain_name(names[-1]) == "number" and value == 0 for names, value in body):
        return {"type": "page", "start": 0, "total_pages": path}
    return {"type": "page", "total_pages": path}


def by_position(body: Sequence[Member], page: LastPage) -> dict[str, Any]:
    """Return a `pagination` by page number or offset, whichever the answer and the request speak of."""
    query = query_of(page)
    asked = [name for name, _ in query]
    names = [*asked, *(names[-1] for names, value in body if value != {})]
    if {plain_name(name) for name in names} & {"page", "currentpage", "pagenumber", "perpage", "pageindex"}:
        return {"type": "page", **size_in(query)}
    partners = [_PARTNERS[name] for name in asked if name in _PARTNERS]
    offsets = [name for name in names if plain_name(name) in _OFFSETS]
    param = [*(name for name in offsets if name in asked), *partners, *offsets, "offset"][0]
    return {"type": "offset", **({} if param == "offset" else {"param": param}), **size_in(query)}


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


def size_in(query: Sequence[tuple[str, str]]) -> dict[str, Any]:
    for name, value in query:
        if plain_name(name) in QUERY_SIZES and whole_number(value):
            return {"size": whole_number(value), "size_param": name}
    return {}


def whole_number(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
