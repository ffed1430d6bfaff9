"""The page where reading would stop, why it would, and what speaks for another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tap_rest.answers.answer import Response

__all__ = ["End", "LastPage", "Place", "Sign", "Weight", "query_of"]


class End(Enum):
    """Why a read ends."""

    UNSAID = "no `pagination` is configured"
    SINGLE = "`pagination` is `single`"
    PAGES = "`total_pages`"
    TOTAL = "`total_count`"
    RULE = "`has_more`"
    LAST = "`is_last`"
    SHORT = "`stop_on_short_page`"
    EMPTY = "a page without records"
    EMPTY_SAID = "`empty_page` is `stop`"
    STATUS = "an answer that is no page"
    REPEATED = "`on_repeated_token`"
    NOTHING = "no token or link to the next page"


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

    ``total``: of what, where it is one. ``is_denied``: the answer says that there is no next page.
    """

    weight: Weight
    seen: str
    fits: Mapping[str, Any]
    total: int | None = None
    is_denied: bool = False

    @property
    def is_total(self) -> bool:
        """Whether it is a total above what came."""
        return self.total is not None and self.weight in (Weight.PAGES, Weight.COUNT)

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


def query_of(page: LastPage) -> list[tuple[str, str]]:
    return [*parse_qsl(urlsplit(page.response.url).query), *page.response.asked]
