"""How the next page is found: nine kinds, each a function from one page to the step that asks for the next.

A `Step` is what a request has beyond its stream's path and parameters. `Pages.after` takes the step just made
and its page, and returns the next step, or None at the end. The rules that end a stream are the same for all
kinds and stand in `_is_over`; the guards against endless paging, and against an end that leaves pages out
(`tap_rest.pages.unread`), stand in `Pages`.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any
from urllib.parse import urljoin

import msgspec
from requests.structures import CaseInsensitiveDict

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.secrets import redactor
from singerkit_shell.words import counted
from singerkit_wire.encode import RawRecord
from tap_rest import exact
from tap_rest.client import Response
from tap_rest.config import Pagination
from tap_rest.pages.keyset import Keyset
from tap_rest.pages.links import parse_links, without_values
from tap_rest.pages.unread import (
    End,
    LastPage,
    Place,
    Sign,
    Weight,
    flag_that_ends,
    is_flag_of_more,
    is_flag_of_the_end,
    sign_of_a_page_before,
    totals_of,
    verdicts,
)
from tap_rest.paths import Found, has_place, parse_path, scalar_text
from tap_rest.records import ReadPage

__all__ = ["Experience", "Pages", "Step", "body_paths", "position_behind", "step_after_page", "step_behind"]

_logger = logging.getLogger("tap-rest")
_IN_HEADER = "header:"
_WHOLE = re.compile(r"\s*(-?[0-9]{1,18})(?:\.0+)?\s*")
_MISLEADING = ("unread", "stop_on_short_page")  # what would end the read at the same page again
_BY_TOKEN = ("cursor", "header_cursor")
_EMPTY = 100
"""So many empty pages in a row are a flag that is always true, rather than a source with a hole."""
_ENDS = {"unsaid": End.UNSAID, "single": End.SINGLE}


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a series: ``url`` stands in place of the stream's URL and parameters when it is set."""

    url: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    position: int = 0  # page number or offset, where there is one


@dataclass(slots=True)
class _Seen:
    """What came so far: pages, records, and an estimate of records that empty pages stand for."""

    pages: int = 0
    records: int = 0
    empty_pages: int = 0
    empty_in_a_row: int = 0
    largest_page: int = 0


@dataclass(slots=True)
class Experience:
    """What the reads of a stream before this one showed: whether the token or link of `pagination` was ever seen,
    whether a total was above what one page holds, and how many records the largest page had."""

    has_seen_place: bool = False
    has_seen_total: bool = False
    has_told_of_single_page: bool = False
    largest_page: int = 0


def body_paths(settings: Pagination) -> list[str]:
    """Return the paths that a kind needs from each body, those of the stop rules included."""
    rules = [
        settings.total_pages,
        settings.total_count,
        _relation_path(settings),
        settings.has_more,
        settings.is_last,
    ]
    paths = [path for path in rules if path is not None and not path.startswith(_IN_HEADER)]
    token = _token_path(settings)
    return list(dict.fromkeys([*paths, token] if token is not None else paths))


def _relation_path(settings: Pagination) -> str | None:
    """Return where Elasticsearch says whether a total is exact (`{"value": 10000, "relation": "gte"}`)."""
    path = settings.total_count or ""
    if path.startswith(_IN_HEADER) or not path.endswith(".value"):
        return None
    return path.removesuffix("value") + "relation"


def _token_path(settings: Pagination) -> str | None:
    own = {"cursor": settings.cursor, "next_url": _next_path(settings), "hateoas": _links_path(settings)}
    return own.get(settings.type)


class Pages:
    """The pages of one read of a stream. ``name`` is the stream's, for errors; ``limit`` counts pages.

    ``first`` is the step of the first request; ``warn`` is given a sentence when reading ends where there may be more.
    ``is_first`` says that the stream has no bookmark yet; ``experience`` is kept from read to read.
    """

    def __init__(
        self,
        settings: Pagination,
        name: str,
        limit: int,
        warn: Callable[[str], None] = _logger.warning,
        *,
        is_first: bool = True,
        experience: Experience | None = None,
    ) -> None:
        self._settings = settings
        self._warn = warn
        self._name = name
        self._limit = limit
        self._seen = _Seen()
        self._tokens: set[int] = set()
        self._came: set[int] = set()
        """Of pages that are asked for by a token, what came on them."""
        self._has_same_token = False
        self._last_records: Sequence[RawRecord] | None = None
        self._totals: Mapping[str | None, int] = {}
        """What the first page told of the whole, by where it stands."""
        self._is_first = is_first
        self._experience = experience or Experience()
        self._keyset = Keyset(settings, name, warn) if settings.type == "keyset" else None
        self._was_more_told = False
        """Whether the page before had records, and named another."""
        self.first = _first_step(settings)

    @property
    def number(self) -> int:
        """Count of the page to come, from 1."""
        return self._seen.pages + 1

    def after(
        self,
        step: Step,
        response: Response,
        page: ReadPage,
        before_now: Callable[[], Sequence[RawRecord]] | None = None,
    ) -> Step | None:
        """Return the step that follows, or None when this page was the last.

        ``before_now`` asks for the page before once more, and returns its records.

        Raises:
            BadDataError: the pages go round in circles, are too many, or lack what a rule needs; the field of `keyset`
                is not unique; or this page, the last, shows that there is another.
        """
        self._count(page)
        self._look_for_a_cap(page)
        self._refuse_repeated_page(page, before_now)
        self._refuse_a_page_of_the_same_token(step, response, page)
        self._refuse_a_page_before(response, page)
        last_key = self._keyset.take(page.came, self._seen.pages) if self._keyset else None
        here = self._here(step, response, page, last_key)
        end = _is_over(here)
        following = None if end is not None else _NEXT[self._settings.type](here)
        self._was_more_told = following is not None and bool(page.came)
        if following is None:
            self._look_for_more(end or _ENDS.get(self._settings.type, End.NOTHING), here)
            return None
        if self._seen.pages == 1:
            self._totals = totals_of(response, page.records_at)
        self._experience.has_seen_place = True
        if self._settings.total_pages or self._settings.total_count:
            self._experience.has_seen_total = True
        self._tokens.add(_token(Step(url=response.url)))
        self._refuse_circles(following, here)
        return following

    def second_looks(self, step: Step, response: Response, page: ReadPage) -> list[Step]:
        """Return how to ask again about an end without records behind a page that named another, or went by a record.

        A server that is going down answers so, and one that is asked for what follows a record that has been deleted.
        """
        if page.came or not self._was_more_told or not _ends_here(self._here(step, response, page)):
            return []
        if self._keyset is None:
            return [step]
        if self._keyset.compares and not self._has_flag:
            return []
        texts = self._keyset.before_last()
        return [self.first if text is None else _behind_key(step, self._settings, text) for text in texts]

    def beyond(self, page: ReadPage) -> bool:
        """Leave out what has come of a page that a second look by another record found; tell whether it had some of it."""
        if self._keyset is None:
            return False
        came, left = len(page.came), self._keyset.beyond(page.came)
        new = set(map(id, left))
        page.records = [record for record in page.records if id(record) in new]
        page.unfiltered = left if page.unfiltered is not None else None
        return len(left) < came

    def tell_of_lost_end(self, *, is_known: bool) -> None:
        """Warn of an end without records that contradicts the page before, by its flag or by the records themselves.

        ``is_known``: another record showed that it is the end nonetheless.
        """
        if is_known or not (self._has_flag or self._keyset):
            return
        told = (
            f"says by `{self._settings.has_more or self._settings.is_last}` that there is more"
            if self._has_flag
            else "has records, and those before the last are followed by none any more"
        )
        self._warn(
            f"Page {self.number - 1} of stream {self._name} {told}, and page {self.number} has no records, each time it is asked "
            "for: rows may be missing if the API failed, or if rows were deleted meanwhile; load the stream anew if so."
        )

    @property
    def _has_flag(self) -> bool:
        return (self._settings.has_more or self._settings.is_last) is not None

    def _here(self, step: Step, response: Response, page: ReadPage, last_key: str | None = None) -> _Here:
        return _Here(
            step,
            response,
            page,
            last_key,
            settings=self._settings,
            name=self._name,
            seen=self._seen,
            experience=self._experience,
            doubt=self._doubt,
        )

    def _count(self, page: ReadPage) -> None:
        self._seen.pages += 1
        self._seen.records += len(page.came)
        self._seen.empty_pages += not page.came
        self._seen.empty_in_a_row = 0 if page.came else self._seen.empty_in_a_row + 1
        self._seen.largest_page = max(self._seen.largest_page, len(page.came))
        self._experience.largest_page = max(self._experience.largest_page, len(page.came))

    def _look_for_a_cap(self, page: ReadPage) -> None:
        """Servers that give less than `size` go on by what they gave, or by what they were asked for: then rows are left out."""
        size, largest = self._settings.size or 0, self._seen.largest_page
        if self._settings.type == "page" and self._seen.pages == 2 and page.came and largest < size:
            self._warn(
                f"The pages of stream {self._name} have {largest} records at most, and `size` is {size}: a server that caps them "
                f"may count pages by either; set `size` to what it gives (`{_line(_set_of(self._settings) | {'size': largest})}`)."
            )

    def _refuse_repeated_page(
        self, page: ReadPage, before_now: Callable[[], Sequence[RawRecord]] | None
    ) -> None:
        """By the records: what surrounds them may be new each time, as the time of the answer.

        Where the page before is another one by now, the source has changed, and its rows stand on the next page rightly.
        """
        settings = self._settings
        if settings.type not in ("page", "offset", "keyset", "cursor", "header_cursor") or not page.came:
            return
        records = page.came
        if (
            records == self._last_records
            and not settings.allow_repeated_pages
            and (before_now is None or list(before_now()) == records)
        ):
            sent = (
                f"header `{settings.request_header}`"
                if settings.request_header
                else f"parameter `{_param(settings)}`"
            )
            raise BadDataError(
                f"Page {self._seen.pages} of stream {self._name} equals the page before; most likely the "
                f"server ignores the {sent}. {self._way_to_another_param()}, or set `allow_repeated_pages`."
            )
        self._last_records = records

    def _refuse_a_page_of_the_same_token(self, step: Step, response: Response, page: ReadPage) -> None:
        """A source that keeps the place itself has one token for all pages (a scroll of Elasticsearch, Crossref): they differ."""
        if self._settings.type not in _BY_TOKEN:
            return
        came = hash(b",".join(page.came))
        if self._has_same_token and came in self._came:
            raise self._circle(self._here(step, response, page))
        self._came.add(came)

    def _way_to_another_param(self) -> str:
        """Return where the parameter is named; that of a token has the token's own name as often as not."""
        settings = self._settings
        own = re.findall(r"[\w-]+", settings.cursor or "")[-1:]
        if settings.request_header is not None or not own:
            return "Check `pagination`"
        names = [name for name in (*own, "cursor") if name != _param(settings)]
        return f"Name the one that it takes in `pagination`, for instance `{_line_part('param', names[0])}`"

    def _refuse_a_page_before(self, response: Response, page: ReadPage) -> None:
        """Numbers begin with 0 here and with 1 there, and the first page would never be read."""
        settings = self._settings
        if self._seen.pages > 1 or settings.start is not None or settings.type not in ("page", "offset"):
            return
        seen = sign_of_a_page_before(LastPage(response, page.records_at, len(page.came), 0, 1))
        if seen is None:
            return
        fits = _set_of(settings) | {"start": 0}
        sentence = (
            f"The first page that is asked for in stream {self._name} seems to have one before it: "
            f"{redactor.mask_foreign(seen)}; say "
            f"`{_line(fits)}`, or the `start` that is right."
        )
        if settings.unread != "warn":
            raise BadDataError(sentence)
        self._warn(sentence)

    def _doubt(self, sentence: str) -> None:
        """Say that rows are missing or may be: an error where none has come and no run before has proved the config."""
        if self._seen.records == 0 and self._is_first and self._settings.unread != "warn":
            raise BadDataError(sentence)
        self._warn(sentence)

    def _look_for_more(self, end: End, here: _Here) -> None:
        page = here.page
        place = Place.SAID if self._experience.has_seen_place else _place(here)
        if end is End.NOTHING:
            self._tell_of_single_page(place, page)
        skipped = (self._settings.start or 0) if self._settings.type == "offset" else 0
        last = LastPage(
            here.response,
            page.records_at,
            len(page.came),
            self._seen.records + skipped,
            self._seen.pages,
            place,
            self._is_first,
            self._experience.has_seen_total,
            end is End.TOTAL and self._has_just_come(here),
        )
        found = [(meaning, sign) for meaning, sign in verdicts(end, last) if not self._came_in(sign, last)]
        telling = [sign for meaning, sign in found if meaning != "ignore"] or self._missing_from_the_front(
            end, found
        )
        self._experience.has_seen_place = place is Place.SAID
        if not telling:
            return
        sentence = self._of_more(end, telling)
        if self._settings.unread != "warn" and any(meaning == "fail" for meaning, _ in found):
            raise BadDataError(sentence)
        self._warn(sentence)

    def _has_just_come(self, here: _Here) -> bool:
        """Tell whether `total_count` says as many rows as have come, which no source that caps its totals (at 10,000) would."""
        path, seen = self._settings.total_count, self._seen
        if path is None or seen.empty_pages or here.number(path) != seen.records:
            return False
        return len(here.page.came) < seen.largest_page or seen.records % 100 != 0

    def _came_in(self, sign: Sign, last: LastPage) -> bool:
        """Tell whether all has come that the first page told, so that what there is more came in meanwhile, in a read by `page`.

        A page that is not read since pages begin with another number is in the total of the first. By `offset` a total that
        is to be reached (`total_count`) brings what came in.
        """
        told = self._totals.get(sign.total_at) if sign.total is not None else None
        return self._settings.type == "page" and told == last.received and sign.weight is Weight.COUNT

    def _missing_from_the_front(self, end: End, found: Sequence[tuple[str, Sign]]) -> list[Sign]:
        """Return the totals above what came where nobody said that pages begin with 1, whatever says that this is the last."""
        settings = self._settings
        if (
            end not in (End.EMPTY, End.SHORT)
            or settings.type != "page"
            or settings.start is not None
            or not self._is_first
        ):
            return []
        return [sign for _, sign in found if "total_count" in sign.fits]

    def _tell_of_single_page(self, place: Place, page: ReadPage) -> None:
        """One page is a common and honest end, and also what a mistyped path looks like."""
        if place is Place.SAID or self._seen.pages > 1 or not page.came:
            return
        if not self._experience.has_told_of_single_page:
            self._experience.has_told_of_single_page = True
            _logger.info(
                "The first page of stream %s has no %s, so it is the only one.",
                self._name,
                _place_name(self._settings),
            )

    def _of_more(self, end: End, signs: list[Sign]) -> str:
        """Say why reading ends, what speaks for another page, and what to write into the config."""
        seen = redactor.mask_foreign(" and ".join(dict.fromkeys(sign.seen for sign in signs[:3])))
        fits = dict(signs[0].fits)
        if fits["type"] == self._settings.type:
            fits = {
                key: value
                for key, value in (_set_of(self._settings) | fits).items()
                if key not in _MISLEADING
            }
        begins_late = end is End.EMPTY or (end is End.SHORT and signs[0].weight is Weight.HINT)
        if begins_late and self._settings.type == "page" and "total_count" in signs[0].fits:
            fits = _set_of(self._settings) | {"start": 0 if self._settings.start != 0 else 1}
        if end is End.SINGLE:
            advice = f"if it is to be read, say `{_line(fits)}`"
        else:
            all_there_is = (
                '`"pagination": {"type": "single"}`'
                if end is End.UNSAID
                else '`"unread": "warn"` in `pagination`'
            )
            advice = f"say `{_line(fits)}` or what else asks for it, or {all_there_is} if this is all that is wanted"
        return (
            f"Page {self._seen.pages} of stream {self._name} would be the last ({end.value}) and seems to have a next: "
            f"{seen}; {advice}."
        )

    def _refuse_circles(self, step: Step, here: _Here) -> None:
        if self._seen.pages >= self._limit:
            raise BadDataError(
                f"Stream {self._name} has more than {counted(self._limit, 'page')}; check `pagination`, or raise "
                "`limits.pages`."
            )
        token = _token(step)
        self._has_same_token = token in self._tokens
        if self._has_same_token and not (self._settings.type in _BY_TOKEN and _has_end(self._settings)):
            raise self._circle(here)
        self._tokens.add(token)

    def _circle(self, here: _Here) -> BadDataError:
        fits = _end_of_circle(here)
        if fits and fits.items() <= _set_of(self._settings).items():
            fits = {}  # it is said already
        way = (
            f"if it is the last, say `{_line(_set_of(self._settings) | fits)}`."
            if fits
            else "check `pagination`, or say there what else shows that a page is the last (`is_last`, `has_more`, "
            "`total_count`, `stop_on_short_page`)."
        )
        return BadDataError(
            f"The pages of stream {self._name} go round in circles: page {self._seen.pages} leads back to one that was read before; {way}"
        )


def _has_end(settings: Pagination) -> bool:
    """Tell whether something besides the token says where pages end."""
    rules = (settings.total_pages, settings.total_count, settings.has_more, settings.is_last)
    return any(rules) or settings.stop_on_short_page or settings.empty_page == "stop"


def _end_of_circle(here: _Here) -> dict[str, Any]:
    """Return the rule by which a page that leads back is the last, from what it holds; none where nothing says so.

    Some APIs repeat the token that they were asked by, or the URL, when there is no more; others send 0.
    """
    settings, page = here.settings, here.page
    if not page.came:
        return {"empty_page": "stop"}
    flag = flag_that_ends(here.response, page.records_at)
    if flag is not None:
        return dict(flag)
    token = f"{_IN_HEADER}{settings.header}" if settings.type == "header_cursor" else settings.cursor
    if token is not None and "0" in (here.step.params.get(_param(settings)), *here.step.headers.values()):
        return {"has_more": token}
    if len(page.came) >= here.seen.largest_page:
        return {}
    fits = {"size": settings.size or here.seen.largest_page, "stop_on_short_page": True}
    last = LastPage(
        here.response, page.records_at, len(page.came), here.seen.records, here.seen.pages, is_first=True
    )
    is_refused = any(meaning == "fail" for meaning, _ in verdicts(End.SHORT, last))
    return fits | {"unread": "warn"} if is_refused else fits


def _set_of(settings: Pagination) -> dict[str, Any]:
    """Return what the config says."""
    said: dict[str, Any] = msgspec.to_builtins(settings)
    return {key: value for key, value in said.items() if value is not None and value is not False}


def _line(pagination: Mapping[str, Any]) -> str:
    return f'"pagination": {redactor.mask_foreign(json.dumps(pagination))}'


def _token(step: Step) -> int:
    return hash((step.url, tuple(step.params.items()), tuple(step.headers.items())))


@dataclass(slots=True)
class _Here:
    """Where a read stands: the step just made and its answer, and what came before it in this read and in others."""

    step: Step
    response: Response
    page: ReadPage
    last_key: str | None
    _: KW_ONLY
    settings: Pagination
    name: str
    seen: _Seen
    experience: Experience
    doubt: Callable[[str], None]

    def rule(self, path: str) -> str | None:
        """Return the text at a body path or in a response header."""
        if path.startswith(_IN_HEADER):
            return self.header(path.removeprefix(_IN_HEADER))
        return scalar_text(self.page.fields[path], f"`{path}` of stream {self.name}")

    def header(self, name: str) -> str | None:
        return CaseInsensitiveDict(self.response.headers).get(name.strip())

    def number(self, path: str) -> int:
        """Return the whole number at ``path``, from the end of `0-24/3573` too."""
        text = self.rule(path)
        whole = _WHOLE.fullmatch((text or "").rpartition("/")[2])
        if whole is None:
            raise BadDataError(
                f"Expected a whole number at `{path}` on page {self.seen.pages} of stream {self.name}, got "
                f"{'nothing' if text is None else 'something else'}; check `pagination`."
            )
        return int(whole[1])


# The end of a stream


def _ends_here(here: _Here) -> bool:
    """Tell whether a page without records is the end of what the page before it has promised."""
    settings = here.settings
    if settings.has_more is not None or settings.is_last is not None:
        return (_by_has_more(here) or _by_is_last(here)) is not None
    if settings.type in ("page", "offset", *_ENDS):
        return False
    return settings.type == "keyset" or _NEXT[settings.type](here) is None


def _is_over(here: _Here) -> End | None:
    settings = here.settings
    if settings.type in _ENDS:
        return _ENDS[settings.type]
    ends = [_by_total_pages(here), _by_total_count(here), _by_has_more(here), _by_is_last(here)]
    met = next((end for end in ends if end is not None), None)
    if met is not None:
        return met
    if not here.page.came:
        said = End.EMPTY_SAID if settings.empty_page == "stop" else End.EMPTY
        return said if _is_over_when_empty(here) else None
    return End.SHORT if settings.stop_on_short_page and _is_short(here) else None


def _is_short(here: _Here) -> bool:
    """Tell whether a page has fewer records than `size`, and not because the server gives no more than that at once.

    Only a larger page shows that it does. So where none has come yet one more is asked for, unless a token leads to it, which
    tells by itself.
    """
    came = len(here.page.came)
    is_proved = here.settings.type in _BY_TOKEN or came < here.experience.largest_page
    return came < (here.settings.size or 0) and is_proved


def _by_total_pages(here: _Here) -> End | None:
    path = here.settings.total_pages
    if path is None:
        return None
    end = _by_total(here, path, here.seen.pages, 0, "page")
    if end is not None and not here.page.came and here.seen.pages > 1:
        here.doubt(
            f"`{path}` counts page {here.seen.pages} of stream {here.name} and it has no records: if the pages are counted "
            f"from {0 if here.settings.start != 0 else 1}, set `start` in `pagination` to that, or a page is not read."
        )
    return end


def _by_total_count(here: _Here) -> End | None:
    path = here.settings.total_count
    if path is None:
        return None
    # An empty page in the middle stands for as many records as a full one, so that counting comes to an end.
    skipped = here.seen.empty_pages * (here.settings.size or here.seen.largest_page or 1)
    if _is_lower_bound(here):
        is_full = here.page.came and len(here.page.came) >= here.seen.largest_page
        return None if is_full or here.seen.records + skipped < here.number(path) else End.TOTAL
    return _by_total(here, path, here.seen.records, skipped, "row")


def _is_lower_bound(here: _Here) -> bool:
    """Tell whether the total counts at least so many rows, so that a full page does not end there."""
    path = _relation_path(here.settings)
    said = here.page.fields.get(path) if path is not None else None
    return said is not None and scalar_text(said, f"`{path}` of stream {here.name}") != "eq"


def _by_total(here: _Here, path: str, came: int, skipped: int, thing: str) -> End | None:
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


_NO = ("0", "", "false", "no", "n", "null", "none")
_YES = ("1", "true", "yes", "y")


def _by_has_more(here: _Here) -> End | None:
    path = here.settings.has_more
    if path is None:
        return None
    _refuse_end_flag(path, here.name)
    text = _flag_text(here, "has_more", path)
    return End.RULE if text is None or text in _NO else None


def _by_is_last(here: _Here) -> End | None:
    path = here.settings.is_last
    if path is None:
        return None
    _refuse_flag_of_more(path, here.name)
    text = _flag_text(here, "is_last", path)
    if text is None or text in _NO:
        return None
    if text not in _YES:
        raise BadDataError(
            f"Expected true or false at `{path}` on page {here.seen.pages} of stream {here.name}, got something else; check "
            "`pagination.is_last`."
        )
    return End.LAST


def _flag_text(here: _Here, setting: str, path: str) -> str | None:
    """Return what a flag says, in small letters; a path that leads nowhere on the first page is mistyped."""
    text = here.rule(path)
    is_there = path.startswith(_IN_HEADER) or here.page.fields[path] is not None
    if text is None and not is_there and here.seen.pages == 1 and here.page.came:
        raise BadDataError(
            f"Expected `{path}` on the first page of stream {here.name}, got nothing there; check "
            f"`pagination.{setting}`."
        )
    return None if text is None else text.strip().lower()


def _refuse_end_flag(path: str, name: str) -> None:
    """See that `has_more` names no flag that is true at the end: reading would stop at the first page."""
    words = re.findall(r"[\w-]+", path)
    if words and is_flag_of_the_end(words[-1]):
        raise ConfigurationError(
            f"`pagination.has_more` of stream {name} is `{path}`, which by its name is true on the last page, and reading "
            f"stops where it is false; say `{_line_part('is_last', path)}` in its place."
        )


def _refuse_flag_of_more(path: str, name: str) -> None:
    """See that `is_last` names no flag that is true as long as there is more."""
    words = re.findall(r"[\w-]+", path)
    if words and is_flag_of_more(words[-1]):
        raise ConfigurationError(
            f"`pagination.is_last` of stream {name} is `{path}`, which by its name is true as long as there is more, and "
            f"reading stops where it is true; say `{_line_part('has_more', path)}` in its place."
        )


def _line_part(key: str, value: str) -> str:
    return f"{json.dumps(key)}: {json.dumps(value)}"


def _place(here: _Here) -> Place:
    """Tell whether the answer has what `pagination` names, be it null."""
    settings = here.settings
    match settings.type:
        case "link_header":
            return Place.ABSENT if here.header("Link") is None else Place.SAID
        case "header_cursor":
            return Place.ABSENT if here.header(settings.header or "") is None else Place.SAID
    text = _token_path(settings)
    if text is None or here.page.fields.get(text) not in (None, []):
        return Place.SAID
    path = parse_path(text, "pagination")
    if path.names is None or len(path.names) < 2:
        return Place.ABSENT
    return Place.OMITTED if has_place(here.response.body, path.names[:-1]) else Place.ABSENT


def _place_name(settings: Pagination) -> str:
    rel = settings.rel or "next"
    match settings.type:
        case "link_header":
            return f"Link header with rel `{rel}`"
        case "header_cursor":
            return f"header `{settings.header}`"
        case "hateoas":
            return f"`{_links_path(settings)}` with rel `{rel}`"
        case _:
            return f"`{_token_path(settings)}`"


def _is_over_when_empty(here: _Here) -> bool:
    settings = here.settings
    flag = settings.has_more or settings.is_last
    has_rule = any((settings.total_pages, settings.total_count, flag))
    by_position = settings.type in ("page", "offset", "keyset")
    if settings.empty_page is None and flag and here.seen.empty_in_a_row >= _EMPTY and by_position:
        raise BadDataError(
            f"{_EMPTY} pages of stream {here.name} in a row have no records, the last is page {here.seen.pages}, and "
            f"`{flag}` still says that there is more; say `empty_page` in `pagination`: `stop` if that is "
            "the end, `continue` if records may follow."
        )
    choice = settings.empty_page or ("stop" if by_position and not has_rule else "continue")
    if settings.type == "keyset" and choice == "continue":
        choice = "stop"
    if choice == "fail" and (here.seen.pages > 1 or has_rule):
        raise BadDataError(
            f"Page {here.seen.pages} of stream {here.name} has no records and is not the last "
            "(`pagination.empty_page` is `fail`); run again, or change it."
        )
    return choice == "stop" or (choice == "fail" and by_position)


# The nine kinds


def _first_step(settings: Pagination) -> Step:
    size = {_size_param(settings): str(settings.size)} if settings.size is not None else {}
    match settings.type:
        case "page":
            return _at(Step(params=size), settings, 1 if settings.start is None else settings.start)
        case "offset":
            return _at(Step(params=size), settings, settings.start or 0)
        case _:
            return Step(params=size)


def step_behind(settings: Pagination, rows: int, size: int) -> Step:
    """Return the step of `page` or `offset` that asks for the row behind ``rows``, and for some before it, in pages of ``size``."""
    first = _first_step(settings)
    counts_rows = settings.type == "offset"
    return _at(first, settings, position_behind(first.position, rows, size, counts_rows=counts_rows))


def position_behind(first: int, rows: int, size: int, *, counts_rows: bool) -> int:
    """Return the number of the page that holds the row behind ``rows``, or of a row of it, counted from ``first``."""
    return first + max(rows - size + 1 if counts_rows else (rows - 1) // size, 0)


def step_after_page(settings: Pagination, step: Step, rows: int) -> Step:
    """Return the step behind a page of ``rows``, by `page` or `offset`."""
    return _at(step, settings, step.position + (1 if settings.type == "page" else rows))


def _at(step: Step, settings: Pagination, position: int) -> Step:
    return replace(step, params={**step.params, _param(settings): str(position)}, position=position)


def _param(settings: Pagination) -> str:
    return settings.param or {"page": "page", "offset": "offset"}.get(settings.type, "cursor")


def _size_param(settings: Pagination) -> str:
    return settings.size_param or ("per_page" if settings.type == "page" else "limit")


def _next_path(settings: Pagination) -> str:
    return settings.next or "$.next"


def _links_path(settings: Pagination) -> str:
    return settings.links or "$._links"


def _after_page(here: _Here) -> Step | None:
    return _at(here.step, here.settings, here.step.position + 1)


def _after_offset(here: _Here) -> Step | None:
    # By what came, not by what was asked for: a server may cap the page silently.
    came = len(here.page.came) or here.settings.size or here.seen.largest_page
    if not came:
        raise BadDataError(
            f"The first page of stream {here.name} is empty and is not the last; set `pagination.size` to "
            "know where the next begins."
        )
    return _at(here.step, here.settings, here.step.position + came)


def _after_cursor(here: _Here) -> Step | None:
    path = here.settings.cursor or ""
    return _with_token(here, here.rule(path))


def _after_header_cursor(here: _Here) -> Step | None:
    name = here.settings.header or ""
    return _with_token(here, here.header(name))


def _with_token(here: _Here, token: str | None) -> Step | None:
    if not token:
        return None
    if here.settings.request_header is not None:
        return replace(here.step, headers={here.settings.request_header: token})
    return replace(here.step, params={**here.step.params, _param(here.settings): token})


def _after_link_header(here: _Here) -> Step | None:
    try:
        links = parse_links(here.header("Link") or "")
    except ValueError as error:
        raise BadDataError(
            f"The Link header on page {here.seen.pages} of stream {here.name} cannot be read ({error}), so there may be "
            "more pages; the server has to mend it, or another `pagination` has to be chosen."
        ) from None
    for link in links:
        if link.has_rel(here.settings.rel or "next"):
            return _to(here, link.url)
    return None


def _after_next_url(here: _Here) -> Step | None:
    path = _next_path(here.settings)
    url = here.rule(path)
    if not url:
        return None
    return _to(here, url)


def _after_hateoas(here: _Here) -> Step | None:
    path = _links_path(here.settings)
    wanted = here.settings.rel or "next"
    link = _link(_loaded(here.page.fields[path]), wanted)
    url = link.get("href", link.get("url")) if isinstance(link, dict) else link
    if url is None or url is False or url == "":
        return None
    if not isinstance(url, str):
        raise BadDataError(
            f"Expected a URL at `{path}` with rel `{wanted}` on page {here.seen.pages} of stream "
            f"{here.name}, got something else; check `pagination.links`."
        )
    return _to(here, url, is_template=isinstance(link, dict) and link.get("templated") is True)


def _loaded(found: Found) -> Any:
    if isinstance(found, list):
        return [exact.loads(bytes(item)) for item in found]
    return None if found is None else exact.loads(bytes(found))


def _link(links: Any, wanted: str) -> Any:
    """Return the link of a relation, or its URL, from `[{rel, href}]`, `{next: {href}}` or `{next: url}`."""
    if isinstance(links, list):
        rels = [
            link
            for link in links
            if isinstance(link, dict) and wanted in (link.get("rel"), link.get("relation"))
        ]
        return rels[0] if rels else None
    return links.get(wanted) if isinstance(links, dict) else None


def _after_keyset(here: _Here) -> Step | None:
    name = here.settings.field or ""
    value = here.last_key
    if value is None:
        raise BadDataError(
            f"Expected a value in `{name}` of the last record on page {here.seen.pages} of stream "
            f"{here.name}, got nothing; `pagination.field` must be a field that every record has."
        )
    return _behind_key(here.step, here.settings, value)


def _behind_key(step: Step, settings: Pagination, value: str) -> Step:
    text = (settings.template or "{value}").replace("{value}", value)
    return replace(step, params={**step.params, _param(settings): text})


def _to(here: _Here, url: str, *, is_template: bool = False) -> Step:
    try:
        whole = without_values(url, is_template=is_template)
    except ValueError as error:
        raise BadDataError(
            f"Expected the URL of the next page on page {here.seen.pages} of stream {here.name}, got a template that leaves "
            f"`{redactor.mask_foreign(str(error))[:60]}` open; name another link in `pagination` (`links`, `rel`), or ask for "
            "pages by number."
        ) from None
    try:
        return Step(url=urljoin(here.response.url, whole))
    except ValueError:
        raise BadDataError(
            f"Expected the URL of the next page on page {here.seen.pages} of stream {here.name}, got something that is none; "
            "check `pagination`."
        ) from None


_NEXT: dict[str, Callable[[_Here], Step | None]] = {
    "page": _after_page,
    "offset": _after_offset,
    "cursor": _after_cursor,
    "header_cursor": _after_header_cursor,
    "link_header": _after_link_header,
    "next_url": _after_next_url,
    "hateoas": _after_hateoas,
    "keyset": _after_keyset,
}
