"""What speaks for another page in the headers of an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tap_rest.names import plain_name
from tap_rest.pages.bodysigns import body_signs, pages_read, rows_came
from tap_rest.pages.fitting import by_position, whole_number
from tap_rest.pages.lastpage import LastPage, Sign, Weight
from tap_rest.pages.links import parse_links
from tap_rest.pages.membernames import LATE_TOKENS, MORE, PAGE_TOTALS, TOKENS, TOTALS, may_be_token
from tap_rest.pages.members import inside, members_of
from tap_rest.pages.pointers import is_asked, is_token

__all__ = ["has_rel", "header_signs"]


def header_signs(page: LastPage) -> Iterator[Sign]:
    yield from _status_signs(page)
    for name, text in page.response.headers.items():
        lower = name.lower()
        if lower == "link" and has_rel(text, ("next",)):
            yield Sign(Weight.NEXT, "the Link header has rel `next`", {"type": "link_header"})
        elif lower == "content-range":
            yield from _range_signs(text, page)
        elif lower.startswith(("x-", "pagination-")) or may_be_token(name):
            yield from _own_header_signs(name, text, page)


def _status_signs(page: LastPage) -> Iterator[Sign]:
    """206 says that this is a part; so it is on the last page, too, where the pages before it were the others."""
    ranges = [text for name, text in page.response.headers.items() if name.lower() == "content-range"]
    if (
        page.response.status == 206
        and page.count
        and not any(re.search(r"/\s*\d+\s*$", text) for text in ranges)
    ):
        yield Sign(Weight.LATE, "the status is 206 (partial content)", by_position((), page))


def has_rel(text: str, wanted: Sequence[str]) -> bool:
    try:
        return any(link.has_rel(rel) for link in parse_links(text) for rel in wanted)
    except ValueError:
        return re.search(rf"\brel\s*=\s*\"?[^\";,]*\b(?:{'|'.join(wanted)})\b", text, re.I) is not None


def _range_signs(text: str, page: LastPage) -> Iterator[Sign]:
    match = re.search(r"([0-9]{1,18})\s*-\s*([0-9]{1,18})\s*/\s*([0-9]{1,18})\s*$", text)
    if match and int(match[2]) + 1 < int(match[3]):
        fits = {**by_position((), page), "type": "offset", "total_count": "header:Content-Range"}
        seen = f"the header Content-Range ends with {match[1]}-{match[2]}/{match[3]}"
        yield Sign(Weight.COUNT, seen, fits, int(match[3]))


def _own_header_signs(name: str, text: str, page: LastPage) -> Iterator[Sign]:
    if text.lstrip().startswith("{"):  # X-Pagination of ASP.NET holds JSON
        yield from _json_header_signs(name, text, page)
        return
    plain = plain_name(re.sub(r"(?i)^(x-)?(wp-|pagination-|page-(?=next|total))?", "", name))
    number = whole_number(text.strip())
    seen = f"the header {name} is {number}"
    if plain in TOKENS and plain != "offset" and is_token(text.strip()):
        fits = {"type": "header_cursor", "header": name, "param": TOKENS[plain]}
        yield Sign(Weight.NEXT, f"the header {name} names the next page", fits)
    elif may_be_token(name) and is_token(text.strip()) and not is_asked(text.strip(), page):
        fits = {"type": "header_cursor", "header": name, "param": LATE_TOKENS.get(plain) or "cursor"}
        yield Sign(Weight.LATE, f"the header {name} holds a token", fits)
    elif plain in MORE and text.strip().lower() in ("true", "1", "yes"):
        yield Sign(Weight.FLAG, f"the header {name} is true", {"type": "page", "has_more": f"header:{name}"})
    elif number is not None and plain in PAGE_TOTALS and number > page.pages:
        fits = {"type": "page", "total_pages": f"header:{name}"}
        yield Sign(Weight.PAGES, f"{seen} and {pages_read(page)} read", fits, number)
    elif number is not None and plain in TOTALS and page.records_at is not None and number > page.received:
        fits = {**by_position((), page), "total_count": f"header:{name}"}
        yield Sign(Weight.COUNT, f"{seen} and {rows_came(page)} came", fits, number)


def _json_header_signs(name: str, text: str, page: LastPage) -> Iterator[Sign]:
    for sign in body_signs(list(members_of(inside(text.encode()), (), None)), page):
        seen = f"the header {name} says that {sign.seen}"
        fits = {"type": "page"} if sign.weight is not Weight.HINT else sign.fits
        yield Sign(sign.weight, seen, fits)
