"""When a page is the last: rules that are the same for all kinds of pagination."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.words import counted
from tap_rest.pages.configlines import line_part
from tap_rest.pages.here import IN_HEADER, Here
from tap_rest.pages.kinds import BY_TOKEN, NEXT, relation_path
from tap_rest.pages.lastpage import End, LastPage
from tap_rest.pages.membernames import is_flag_of_more, is_flag_of_the_end
from tap_rest.pages.unread import flag_that_ends, totals_of, verdicts
from tap_rest.paths import scalar_text
from tap_rest.settings.pagination import Pagination

__all__ = [
    "EMPTY",
    "ENDS_AT_ONCE",
    "MANY",
    "all_came",
    "end_at_itself",
    "end_of_circle",
    "ends_here",
    "has_end",
    "is_over",
]

EMPTY = 100
"""So many empty pages in a row are a flag that is always true, rather than a source with a hole."""
MANY = 500
"""From so many rows of one question on an end may be that of what the API gives of one."""
ENDS_AT_ONCE = {"unsaid": End.UNSAID, "single": End.SINGLE}


def ends_here(here: Here) -> bool:
    """Tell whether a page without records is the end of what the page before it has promised."""
    settings = here.settings
    if settings.has_more is not None or settings.is_last is not None:
        return (_by_has_more(here) or _by_is_last(here)) is not None
    if settings.type in ("page", "offset", *ENDS_AT_ONCE):
        return False
    return settings.type == "keyset" or NEXT[settings.type](here) is None


def is_over(here: Here) -> End | None:
    settings = here.settings
    if settings.type in ENDS_AT_ONCE:
        return ENDS_AT_ONCE[settings.type]
    ends = [_by_total_pages(here), _by_total_count(here), _by_has_more(here), _by_is_last(here)]
    met = next((end for end in ends if end is not None), None)
    if met is not None:
        return met
    if not here.page.came:
        said = End.EMPTY_SAID if settings.empty_page == "stop" else End.EMPTY
        return said if _is_over_when_empty(here) else None
    return End.SHORT if settings.stop_on_short_page and _is_short(here) else None


def _is_short(here: Here) -> bool:
    """Tell whether a page has fewer records than `size`, and not because the server gives no more than that at once.

    Only a larger page shows that it does. So where none has come yet one more is asked for, unless a token leads to it, which
    tells by itself.
    """
    came = len(here.page.came)
    is_proved = here.settings.type in BY_TOKEN or came < here.experience.largest_page
    return came < (here.settings.size or 0) and is_proved


def _by_total_pages(here: Here) -> End | None:
    path = here.settings.total_pages
    if path is None:
        return None
    end = _by_total(here, path, here.seen.pages, 0, "page")
    end = None if end is None else End.PAGES
    if end is not None and not here.page.came and here.seen.pages > 1:
        here.doubt(
            f"`{path}` counts page {here.seen.pages} of stream {here.name} and it has no records: if the pages are counted "
            f"from {0 if here.settings.start != 0 else 1}, set `start` in `pagination` to that, or a page is not read."
        )
    return end


def _by_total_count(here: Here) -> End | None:
    path = here.settings.total_count
    if path is None:
        return None
    # An empty page in the middle stands for as many records as a full one, so that counting comes to an end.
    skipped = here.seen.empty_pages * (here.settings.size or here.seen.largest_page or 1)
    if _is_lower_bound(here):
        is_full = here.page.came and len(here.page.came) >= here.seen.largest_page
        return None if is_full or here.seen.records + skipped < here.number(path) else End.TOTAL
    return _by_total(here, path, here.seen.records, skipped, "row")


def _is_lower_bound(here: Here) -> bool:
    """Tell whether the total counts at least so many rows, so that a full page does not end there."""
    path = relation_path(here.settings)
    said = here.page.fields.get(path) if path is not None else None
    return said is not None and scalar_text(said, f"`{path}` of stream {here.name}") != "eq"


def _by_total(here: Here, path: str, came: int, skipped: int, thing: str) -> End | None:
    """Return the end that a total says; one below what came already ends no read whose page is full."""
    total = here.number(path)
    if came + skipped < total:
        return None
    said = f"`{path}` says {counted(total, thing)} on page {here.seen.pages} of stream {here.name}"
    if came < total:
        here.doubt(
            f"{said} and {came} came, since pages without records were counted as full ones; check "
            '`start`, `size` and `param` in `pagination`, or say `"unread": "warn"` there if that is right.'
        )
    elif came > total and here.page.came:
        here.doubt(
            f"{said}, below the {came} that had come by then; if it counts the {thing}s that are left, or those of one "
            "page, it is no total and has to leave `pagination`; if rows were deleted meanwhile, others may have been "
            "missed."
        )
        is_full = len(here.page.came) >= here.seen.largest_page
        return None if is_full else End.TOTAL
    return End.TOTAL


def all_came(here: Here) -> bool:
    """Tell whether as many rows have come as a total tells, here and on the first page."""
    told = totals_of(here.response, here.page.records_at)
    came = here.seen.records
    return came > 0 and any(total == came == here.seen.totals.get(at) for at, total in told.items())


_NO = ("0", "", "false", "no", "n", "null", "none")
_YES = ("1", "true", "yes", "y")


def _by_has_more(here: Here) -> End | None:
    path = here.settings.has_more
    if path is None:
        return None
    _refuse_contrary(path, here.name, "has_more", "is_last", is_flag_of_the_end, "on the last page", "false")
    text = _flag_text(here, "has_more", path)
    return End.RULE if text is None or text in _NO else None


def _by_is_last(here: Here) -> End | None:
    path = here.settings.is_last
    if path is None:
        return None
    _refuse_contrary(
        path, here.name, "is_last", "has_more", is_flag_of_more, "as long as there is more", "true"
    )
    text = _flag_text(here, "is_last", path)
    if text is None or text in _NO:
        return None
    if text not in _YES:
        raise BadDataError(
            f"Expected true or false at `{path}` on page {here.seen.pages} of stream {here.name}, got something else; check "
            "`pagination.is_last`."
        )
    return End.LAST


def _flag_text(here: Here, setting: str, path: str) -> str | None:
    """Return what a flag says, in small letters; a path that leads nowhere on the first page is mistyped."""
    text = here.rule(path)
    is_there = path.startswith(IN_HEADER) or here.page.fields[path] is not None
    if text is None and not is_there and here.seen.pages == 1 and here.page.came:
        raise BadDataError(
            f"Expected `{path}` on the first page of stream {here.name}, got nothing there; check "
            f"`pagination.{setting}`."
        )
    return None if text is None else text.strip().lower()


@lru_cache(maxsize=64)  # a config says the same for each page
def _refuse_contrary(
    path: str, name: str, setting: str, other: str, means_other: Callable[[str], bool], true: str, stops: str
) -> None:
    """See that a flag is not what by its name the ``other`` setting takes: reading would stop where there is more.

    ``true``: when such a flag is; ``stops``: at which of its values ``setting`` ends a read.
    """
    words = re.findall(r"[\w-]+", path)
    if words and means_other(words[-1]):
        raise ConfigurationError(
            f"`pagination.{setting}` of stream {name} is `{path}`, which by its name is true {true}, and reading "
            f"stops where it is {stops}; say `{line_part(other, path)}` in its place."
        )


def _is_over_when_empty(here: Here) -> bool:
    settings = here.settings
    flag = settings.has_more or settings.is_last
    has_rule = any((settings.total_pages, settings.total_count, flag))
    by_position = settings.type in ("page", "offset", "keyset")
    if settings.empty_page is None and here.seen.empty_in_a_row >= EMPTY and (flag or not has_rule):
        says = f"`{flag}` still says that there is more" if flag else "each of them names a next one"
        raise BadDataError(
            f"{EMPTY} pages of stream {here.name} in a row have no records, the last is page {here.seen.pages}, and "
            f"{says}; say `empty_page` in `pagination`: `stop` (`{line_part('empty_page', 'stop')}`) if that is "
            "the end, `continue` if records may follow."
        )
    if settings.empty_page is None and not by_position and not has_rule and all_came(here):
        return True  # a link on each page, as CKAN has it, and a total that is reached
    choice = settings.empty_page or ("stop" if by_position and not has_rule else "continue")
    if settings.type == "keyset" and choice == "continue":
        choice = "stop"
    if choice == "fail" and (here.seen.pages > 1 or has_rule):
        raise BadDataError(
            f"Page {here.seen.pages} of stream {here.name} has no records and is not the last "
            "(`pagination.empty_page` is `fail`); run again, or change it."
        )
    return choice == "stop" or (choice == "fail" and by_position)


def has_end(settings: Pagination) -> bool:
    """Tell whether something besides the token says where pages end."""
    rules = (settings.total_pages, settings.total_count, settings.has_more, settings.is_last)
    return any(rules) or settings.stop_on_short_page or settings.empty_page == "stop"


def end_at_itself(here: Here) -> End | None:
    """Return the end that a page is which leads to itself: by the word of the config, or by a flag of its own.

    So Zendesk ends an export: `next_page` is always there, and `end_of_stream` says that it leads nowhere.
    """
    page = here.page
    flag = flag_that_ends(here.response, page.records_at)
    if flag is not None:
        return End.LAST
    if here.settings.at_itself != "stop":
        return None
    if page.came and len(page.came) >= here.seen.largest_page and here.seen.pages > 1:
        here.doubt(
            f"Page {here.seen.pages} of stream {here.name} leads to itself and is as full as the fullest page: if more rows follow, such as "
            "have the same time, they are not read; ask for larger pages (`size`) if so."
        )
    return End.REPEATED


def end_of_circle(here: Here) -> dict[str, Any]:
    """Return the rule by which a page that leads back is the last, from what it holds; none where nothing says so.

    Some APIs repeat the token that they were asked by, or the URL, when there is no more; others send 0.
    """
    settings, page = here.settings, here.page
    if not page.came:
        return {"empty_page": "stop"}
    flag = flag_that_ends(here.response, page.records_at)
    if flag is not None:
        return dict(flag)
    token = f"{IN_HEADER}{settings.header}" if settings.type == "header_cursor" else settings.cursor
    if token is not None and here.step.sent.get("cursor") in ("0", 0):
        return {"has_more": token}
    if len(page.came) >= here.seen.largest_page:
        return {}
    fits = {"size": settings.size or here.seen.largest_page, "stop_on_short_page": True}
    last = LastPage(
        here.response, page.records_at, len(page.came), here.seen.records, here.seen.pages, is_first=True
    )
    is_refused = any(meaning == "fail" for meaning, _ in verdicts(End.SHORT, last))
    return fits | {"unread": "warn"} if is_refused else fits
