"""What the last page that is read says about pages after it, so that none is left out in silence.

Asked once per read, about the page where reading would stop: `signs_of_more` looks at the headers, at the members of
the body around the records, and at how full the page is. A record itself is never looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tap_rest.answers.answer import Response
from tap_rest.names import plain_name
from tap_rest.pages.bodysigns import body_signs, flag_of, fullness
from tap_rest.pages.headersigns import has_rel, header_signs
from tap_rest.pages.lastpage import End, LastPage, Place, Sign, Weight
from tap_rest.pages.membernames import BEFORE, HAS_BEFORE, IS_FIRST, LINKS, says_no_more
from tap_rest.pages.members import body_members, path_of
from tap_rest.pages.pointers import is_token, link_in_list

__all__ = [
    "flag_that_ends",
    "sign_of_a_page_before",
    "signs_of_more",
    "signs_of_totals",
    "totals_of",
    "verdicts",
]

_SAID_BY_RULE = (End.PAGES, End.TOTAL, End.RULE, End.LAST)
_SAID_BY_USER = (End.EMPTY_SAID, End.STATUS, End.REPEATED)


def verdicts(end: End, page: LastPage) -> list[tuple[str, Sign]]:
    """Return the signs that there is another page, each with what it means here: `fail`, `warn` or `ignore`."""
    signs = signs_of_more(page)
    is_full = any(sign.weight is Weight.FULL for sign in signs)
    return [(_verdict(end, sign, page, is_full), sign) for sign in signs]


def _verdict(end: End, sign: Sign, page: LastPage, is_full: bool) -> str:
    if sign.is_denied:
        return _of_a_total_denied(end)
    weight = sign.weight
    match end:
        case End.SINGLE:
            return "ignore" if weight in (Weight.HINT, Weight.LATE) else "warn"
        case End.UNSAID:
            return "warn" if weight is Weight.HINT else "fail"
        case End.NOTHING if page.pages == 1:
            return _where_nothing_was_found(weight, page)
        case End.PAGES | End.TOTAL if page.pages == 1 and not page.is_total_proved:
            return _after_the_first_total(weight, is_full)
        case End.RULE | End.LAST if page.pages == 1 and weight in (Weight.PAGES, Weight.COUNT):
            return "warn"  # a false that is no flag: 0 of another meaning
    if weight is Weight.NEXT and page.is_total_exact:
        return "ignore"  # some have a link on each page, or a token that is always the same
    if weight is Weight.NEXT and end is End.REPEATED:
        return "ignore"  # it leads to the page itself
    if weight in (Weight.NEXT, Weight.FLAG):
        return "warn" if end in (*_SAID_BY_RULE, *_SAID_BY_USER) else "fail"
    is_other_total = weight is Weight.PAGES and end is not End.PAGES
    if end is not End.TOTAL and (is_other_total or weight is Weight.COUNT):
        # A total may count what a filter leaves out, or change while pages are read.
        is_nothing_of_many = end is End.EMPTY and page.received == 0 and page.is_first
        return "fail" if end is End.SHORT or is_nothing_of_many else "warn"
    return "ignore"


def _of_a_total_denied(end: End) -> str:
    """One answer says that it is the last, and that there is more than came: one of both is wrong."""
    return "ignore" if end is End.TOTAL else "warn"


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
    body = list(body_members(page.response, page.records_at))
    signs = [*header_signs(page), *body_signs(body, page), *fullness(body, page)]
    return sorted(signs, key=lambda sign: -sign.weight.value)


def signs_of_totals(response: Response, records_at: Sequence[str] | None) -> list[Sign]:
    """Return the totals that an answer tells, whatever has come."""
    return [sign for sign in signs_of_more(LastPage(response, records_at, 0, 0, 0)) if sign.is_total]


def totals_of(response: Response, records_at: Sequence[str] | None) -> dict[str | None, int]:
    """Return the totals that an answer tells, by where they stand."""
    return {sign.total_at: sign.total or 0 for sign in signs_of_totals(response, records_at)}


def may_name_a_page_before(headers: Mapping[str, str]) -> bool:
    """Tell whether some header speaks of a page before, if only by another value."""
    return any(name.lower() == "link" or plain_name(name).removeprefix("x") in BEFORE for name in headers)


def sign_of_a_page_before(page: LastPage) -> str | None:
    """Return what says, in words, that the first page of a read has one before it; None where nothing does."""
    for name, text in page.response.headers.items():
        if name.lower() == "link" and has_rel(text, ("prev", "previous")):
            return "the Link header has rel `prev`"
        if plain_name(name).removeprefix("x") in BEFORE and is_token(text.strip()):
            return f"the header {name} names a page before"
    for names, value in body_members(page.response, page.records_at):
        plain = plain_name(names[-1])
        if (plain in HAS_BEFORE | BEFORE and value is True) or (plain in IS_FIRST and value is False):
            return f"`{path_of(names)}` is {json.dumps(value)}"
        if plain in BEFORE and value is not False and isinstance(value, str | int) and is_token(value):
            return f"`{path_of(names)}` names a page before"
        if plain not in LINKS or not isinstance(value, list):
            continue
        if link_in_list(value, path_of(names), ("prev", "previous")):
            return f"`{path_of(names)}` has a link with rel `prev`"
    return None


def flag_that_ends(response: Response, records_at: Sequence[str] | None) -> Mapping[str, str] | None:
    """Return the rule of `pagination` that ends a read at this answer, by a flag in it; None where flags do not say so."""
    flags = [
        (names, flag_of(names, value) is True)
        for names, value in body_members(response, records_at)
        if flag_of(names, value) is not None
    ]
    if not flags or any(says_more for _, says_more in flags):
        return None
    names = flags[0][0]
    return {"is_last" if says_no_more(names[-1]) else "has_more": path_of(names)}
