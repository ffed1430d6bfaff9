"""What speaks for another page in a body, beside its records: pointers, flags, totals, and how full the page is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from tap_rest.names import plain_name, words_of
from tap_rest.pages.fitting import by_position, fits_flag, fits_pages, size_in, whole_number
from tap_rest.pages.lastpage import LastPage, Sign, Weight, query_of
from tap_rest.pages.membernames import (
    BODY_SIZES,
    PAGE_TOTALS,
    ROWS,
    TOTALS,
    is_flag_of_more,
    is_pointer,
    may_be_in_part,
    says_no_more,
)
from tap_rest.pages.members import Member, path_of
from tap_rest.pages.pointers import as_hint, pointer_sign

__all__ = ["body_signs", "flag_of", "fullness", "pages_read", "rows_came"]


def body_signs(body: Sequence[Member], page: LastPage) -> Iterator[Sign]:
    flags = {flag_of(names, value) for names, value in body}
    is_end_said = False in flags and True not in flags
    is_null = is_end_said or any(value in (None, "") and is_pointer(names[-1]) for names, value in body)
    for names, value in body:
        sign = pointer_sign(names, value, page)
        if sign is not None:
            is_late = sign.weight is Weight.LATE
            yield sign if not (is_null if is_late else is_end_said) else as_hint(sign)
        elif may_be_in_part(names[-1], value):
            seen = f"`{path_of(names)}` is {json.dumps(value)}"
            yield Sign(Weight.HINT, seen, fits_flag(names, {}, body, page))
        elif flag_of(names, value):
            rule = {"is_last" if says_no_more(names[-1]) else "has_more": path_of(names)}
            seen = f"`{path_of(names)}` is {json.dumps(value)}"
            yield Sign(Weight.FLAG, seen, fits_flag(names, rule, body, page))
        else:
            sign = _count(names, value, body, page)
            if sign is not None:
                yield sign if not is_null else _denied(sign)


def _denied(sign: Sign) -> Sign:
    """Return a total beside a null or a flag that says that this is the last page."""
    return as_hint(sign) if sign.total is None else replace(sign, is_denied=True)


def flag_of(names: tuple[str, ...], value: Any) -> bool | None:
    """Return what a flag says about more pages, None where it is none."""
    name = plain_name(names[-1])
    says_more = is_flag_of_more(names[-1])
    says_end = says_no_more(names[-1])
    if isinstance(value, str) and (says_more or says_end):
        value = _SAID.get(value.lower(), value)
    if isinstance(value, bool):
        return not value if says_end else value if says_more else None
    if says_more and name.startswith("has") and value in (0, 1):
        return bool(value)
    return None


_SAID = {"true": True, "yes": True, "y": True, "false": False, "no": False, "n": False}


def _count(names: tuple[str, ...], value: Any, body: Sequence[Member], page: LastPage) -> Sign | None:
    name, path = plain_name(names[-1]), path_of(names)
    if name == "value" and len(names) > 1 and plain_name(names[-2]) == "total":
        name = "total"  # hits.total.value of Elasticsearch
    number = whole_number(value)
    if number is None:
        return None
    if name in PAGE_TOTALS and number > page.pages:
        seen = f"`{path}` is {number} and {pages_read(page)} read"
        return Sign(Weight.PAGES, seen, fits_pages(path, body), number)
    if name in TOTALS and page.records_at is not None and number > page.received:
        seen = f"`{path}` is {number} and {rows_came(page)} came"
        return Sign(Weight.COUNT, seen, {**by_position(body, page), "total_count": path}, number)
    is_left = name == "remainingitemcount" or (
        words_of(names[-1]) & {"remaining", "left"} and words_of(names[-1]) & ROWS
    )
    if is_left and number > 0:
        return Sign(Weight.COUNT, f"`{path}` is {number}", by_position(body, page))
    return None


def pages_read(page: LastPage) -> str:
    return f"{page.pages} {'was' if page.pages == 1 else 'were'}"


def rows_came(page: LastPage) -> str:
    return f"{page.received} row{'' if page.received == 1 else 's'}"


def fullness(body: Sequence[Member], page: LastPage) -> Iterator[Sign]:
    if page.records_at is None or page.count < 2:
        return
    asked = size_in(query_of(page))
    if asked.get("size") == page.count:
        seen = f"the page holds exactly the {page.count} rows that `{asked['size_param']}` asks for"
        yield Sign(Weight.FULL, seen, by_position(body, page))
        return
    for names, value in body:
        if plain_name(names[-1]) in BODY_SIZES and whole_number(value) == page.count:
            seen = f"the page holds {page.count} rows and `{path_of(names)}` is {page.count}"
            yield Sign(Weight.FULL, seen, by_position(body, page))
            return
    if page.count in _ROUND and asked.get("size", page.count) >= page.count:
        yield Sign(Weight.HINT, f"exactly {page.count} rows came", by_position(body, page))


_ROUND = frozenset((10, 20, 25, 30, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000))
