"""The pages of one read, one after the other: `Pages.after` takes the step just made and its page, and returns the next step.

How it is found stands in `kinds`, when there is none in `ends`; the guards against endless paging, and against an end that
leaves pages out (`unread`), stand here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Raw

from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor
from singerkit_shell.words import counted
from singerkit_state.bookmarks import canonical_json
from singerkit_wire.encode import RawRecord
from tap_rest.answers.answer import Response
from tap_rest.long.rows import digest_of
from tap_rest.pages.configlines import line_of, line_part, said_in
from tap_rest.pages.ends import (
    EMPTY,
    ENDS_AT_ONCE,
    MANY,
    all_came,
    end_at_itself,
    end_of_circle,
    ends_here,
    has_end,
    is_over,
)
from tap_rest.pages.fitting import as_asked
from tap_rest.pages.here import Experience, Here, Seen
from tap_rest.pages.keyset import Keyset
from tap_rest.pages.kinds import BY_TOKEN, NEXT, place_name, place_of
from tap_rest.pages.lastpage import End, LastPage, Place, Sign, Weight
from tap_rest.pages.placing import told_place, variable_of
from tap_rest.pages.steps import Step, first_step, step_after_page, step_behind_key
from tap_rest.pages.unread import (
    may_name_a_page_before,
    sign_of_a_page_before,
    signs_of_totals,
    totals_of,
    verdicts,
)
from tap_rest.records.cutting import ReadPage
from tap_rest.settings.pagination import Pagination, param_of

__all__ = ["Pages"]

_logger = logging.getLogger("tap-rest")
_MISLEADING = ("unread", "stop_on_short_page")  # what would end the read at the same page again


_SAID_BY_ANSWER = (End.PAGES, End.NOTHING, End.RULE, End.LAST)
_EMPTY = (End.EMPTY, End.EMPTY_SAID)
_NAMED = (End.EMPTY_SAID, End.STATUS)
"""Ends by the word of the config, where the page before may have named another."""
_OF_NEXT = (Weight.NEXT, Weight.FLAG)


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
        hook: Callable[[ReadPage], Any] | None = None,
    ) -> None:
        self._hook = hook
        self._settings = settings
        self._warn = warn
        self._name = name
        self._limit = limit
        self._seen = Seen()
        self._tokens: set[int] = set()
        self._came: set[int] = set()
        """Of pages that are asked for by a token, what came on them."""
        self._has_same_token = False
        self._last_records: Sequence[RawRecord] | None = None
        self._first_page: tuple[Response, Sequence[str] | None] | None = None
        """What is looked at for totals once there is a second page."""
        self._before: LastPage | None = None
        """The page before, which is the last where the next answer is no page."""
        self._is_first = is_first
        self._experience = experience or Experience()
        self._keyset = Keyset(settings, name, warn) if settings.type == "keyset" else None
        self._was_more_told = False
        """Whether the page before had records, and named another."""
        self.first = first_step(settings)

    @property
    def number(self) -> int:
        """Count of the page to come, from 1."""
        return self._seen.pages + 1

    def after(
        self,
        step: Step,
        page: ReadPage,
        before_now: Callable[[], Sequence[RawRecord]] | None = None,
        page_now: Callable[[], ReadPage | None] | None = None,
        smaller_now: Callable[[], ReadPage | None] | None = None,
    ) -> Step | None:
        """Return the step that follows, or None when this page was the last.

        ``before_now`` asks for the page before once more, and returns its records; ``page_now`` for this one, and ``smaller_now``
        for this one with a single row.

        Raises:
            BadDataError: the pages go round in circles, are too many, or lack what a rule needs; the field of `keyset`
                is not unique; or this page, the last, shows that there is another.
        """
        self._count(page)
        if self._first_page is not None:
            self._seen.totals, self._first_page = totals_of(*self._first_page), None
        self._look_for_a_cap(page)
        self._refuse_repeated_page(page, before_now)
        self._refuse_a_page_of_the_same_token(step, page)
        self._refuse_a_page_before(page)
        last_key = self._keyset.take(page.came, self._seen.pages) if self._keyset else None
        here = self._here(step, page, last_key)
        end = is_over(here)
        following = None if end is not None else NEXT[self._settings.type](here)
        if following is not None and _leads_to_itself(following, here):
            end = end_at_itself(here)
            following = following if end is None else None
        if following is None:
            why = end or ENDS_AT_ONCE.get(self._settings.type, End.NOTHING)
            following = self._end(why, here, page_now, smaller_now)
        self._was_more_told = following is not None and bool(page.came)
        if following is None:
            return None
        self._before = self._last_page(End.STATUS, here, Place.SAID)
        if self._seen.pages == 1:
            self._first_page = page.answer, page.records_at
        self._experience.has_seen_place = True
        if self._settings.total_pages or self._settings.total_count:
            self._experience.has_seen_total = True
        self._tokens.add(_token(Step(url=page.answer.url)))
        self._refuse_circles(following, here)
        return following

    def after_none(self, step: Step, *, is_end: bool) -> Step | None:
        """Return the step behind an answer that by a rule is no page, or None: ``is_end``, or nothing says how to go on.

        Raises:
            BadDataError: the page before shows that there is another.
        """
        self._was_more_told = False
        if not is_end and self._goes_on_without:
            self._seen.pages += 1
            self._seen.empty_pages += 1
            self._seen.empty_in_a_row += 1
            if self._seen.empty_in_a_row >= EMPTY:
                raise BadDataError(
                    f"{EMPTY} pages of stream {self._name} in a row are none by `errors` (`ignore`), the last is page {self._seen.pages}; say "
                    "`end` in place of `ignore` if that is the end."
                )
            return step_after_page(self._settings, step, self._settings.size or self._seen.largest_page)
        if self._before is not None:
            found = self._found(End.STATUS, self._before)
            self._note_end(End.STATUS, self._before, found)
            self._tell_of_more(End.STATUS, self._before, found)
        return None

    @property
    def _goes_on_without(self) -> bool:
        """Tell whether the next page is asked for by a number that needs no answer, and a page without records is no end."""
        settings = self._settings
        size = settings.size or self._seen.largest_page
        return settings.empty_page == "continue" and settings.type in ("page", "offset") and bool(size)

    def second_looks(self, step: Step, page: ReadPage) -> list[Step]:
        """Return how to ask again about an end without records behind a page that named another, or went by a record.

        A server that is going down answers so, and one that is asked for what follows a record that has been deleted.
        """
        if page.came or not self._was_more_told or not ends_here(self._here(step, page)):
            return []
        if self._keyset is None:
            return [step]
        if self._keyset.compares and not self._has_flag:
            return []
        values = self._keyset.before_last()
        return [
            self.first if value is None else step_behind_key(step, self._settings, value) for value in values
        ]

    def beyond(self, page: ReadPage) -> tuple[bool, list[Raw]]:
        """Leave to a page that a second look by another record found what follows the last one; tell whether it had some that came.

        Return also what stands ahead of the last one, and came to be there meanwhile.
        """
        if self._keyset is None:
            return False, []
        follow, ahead = self._keyset.beyond(page.came)
        is_known = len(follow) + len(ahead) < len(page.came)
        behind, before = set(map(id, follow)), set(map(id, ahead))
        found = [record for record in page.records if id(record) in before]
        page.records = [record for record in page.records if id(record) in behind]
        page.unfiltered = follow if page.unfiltered is not None else None
        return is_known, found

    def tell_of_lost_end(self, *, is_known: bool) -> None:
        """Warn of an end without records that contradicts the page before, by its flag or by the records themselves.

        ``is_known``: another record showed that it is the end nonetheless.
        """
        if is_known or self._goes_by_tokens:
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
    def needs_witness(self) -> bool:
        """Whether an end that contradicts the page before is believed only where rows that came before still come.

        So it is where nothing but a token or a link tells of the next page, and nobody is warned, unless the config says that a
        page without records is the end (`empty_page`).
        """
        return self._goes_by_tokens and self._settings.empty_page != "stop"

    @property
    def _goes_by_tokens(self) -> bool:
        return not self._has_flag and self._keyset is None

    @property
    def _has_flag(self) -> bool:
        return (self._settings.has_more or self._settings.is_last) is not None

    def _here(self, step: Step, page: ReadPage, last_key: Any = None) -> Here:
        return Here(
            step,
            page,
            last_key,
            settings=self._settings,
            name=self._name,
            seen=self._seen,
            experience=self._experience,
            doubt=self._doubt,
            hook=self._hook,
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
                f"may count pages by either; set `size` to what it gives (`{line_of(said_in(self._settings) | {'size': largest})}`)."
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
            raise BadDataError(
                f"Page {self._seen.pages} of stream {self._name} equals the page before; most likely the "
                f"server ignores the {told_place(settings)}. {self._way_to_another_param()}, or set `allow_repeated_pages`."
            )
        self._last_records = records

    def _refuse_a_page_of_the_same_token(self, step: Step, page: ReadPage) -> None:
        """A source that keeps the place itself has one token for all pages (a scroll of Elasticsearch, Crossref): they differ."""
        if self._settings.type not in BY_TOKEN:
            return
        came = digest_of(page.came)
        if self._has_same_token and came in self._came:
            raise self._circle(self._here(step, page))
        self._came.add(came)

    def _way_to_another_param(self) -> str:
        """Return where the parameter is named; that of a token has the token's own name as often as not."""
        settings = self._settings
        variable = variable_of(settings)
        if variable is not None:
            return f"See that `graphql.query` hands on `${variable}` to what it asks for"
        own = re.findall(r"[\w-]+", settings.cursor or "")[-1:]
        if settings.request_header is not None or settings.place not in ("query", "body") or not own:
            return "Check `pagination`"
        names = [name for name in (*own, "cursor") if name != param_of(settings)]
        return f"Name the one that it takes in `pagination`, for instance `{line_part('param', names[0])}`"

    def _refuse_a_page_before(self, page: ReadPage) -> None:
        """Numbers begin with 0 here and with 1 there, and the first page would never be read."""
        settings = self._settings
        if self._seen.pages > 1 or settings.start is not None or settings.type not in ("page", "offset"):
            return
        answer, at = page.answer, page.records_at
        around = answer.around(at[0]) if at is not None and len(at) == 1 else None
        alike = None if around is None else (around, *answer.headers)
        if alike is not None and self._experience.first_page == alike:
            return
        seen = sign_of_a_page_before(LastPage(answer, at, len(page.came), 0, 1))
        if seen is None:
            self._experience.first_page = None if may_name_a_page_before(answer.headers) else alike
            return
        fits = said_in(settings) | {"start": 0}
        sentence = (
            f"The first page that is asked for in stream {self._name} seems to have one before it: "
            f"{redactor.mask_foreign(seen)}; say "
            f"`{line_of(fits)}`, or the `start` that is right."
        )
        if settings.unread != "warn":
            raise BadDataError(sentence)
        self._warn(sentence)

    def _doubt(self, sentence: str) -> None:
        """Say that rows are missing or may be: an error where none has come and no run before has proved the config."""
        if self._seen.records == 0 and self._is_first and self._settings.unread != "warn":
            raise BadDataError(sentence)
        self._warn(sentence)

    def _end(
        self,
        end: End,
        here: Here,
        page_now: Callable[[], ReadPage | None] | None,
        smaller_now: Callable[[], ReadPage | None] | None,
    ) -> Step | None:
        """Look for what speaks for another page, and end the read; return the step behind it if a second look shows one.

        Raises:
            BadDataError: there is another page, and nobody has said that it is not wanted.
        """
        place = Place.SAID if self._experience.has_seen_place else place_of(here)
        last = self._last_page(end, here, place)
        found = self._found(end, last)
        if place is Place.ABSENT and any(
            meaning == "fail" and sign.weight is Weight.FULL for meaning, sign in found
        ):
            place = self._place_by_a_smaller_page(here, smaller_now)
            last = self._last_page(end, here, place)
            found = self._found(end, last)
        if any(meaning == "warn" and sign.is_total for meaning, sign in found):
            following = self._seen_now(here, page_now)
            if following is not None:
                return following
        if end is End.NOTHING:
            self._tell_of_single_page(place, here.page)
        self._note_end(end, last, found)
        self._tell_of_more(end, last, found)
        self._experience.has_seen_place = place is Place.SAID
        return None

    def _place_by_a_smaller_page(
        self, here: Here, smaller_now: Callable[[], ReadPage | None] | None
    ) -> Place:
        """Tell whether what `pagination` names is there where there has to be a next page: then a full page without it is the last."""
        page = None if smaller_now is None else smaller_now()
        if page is None or len(page.came) != 1:
            return Place.ABSENT
        return (
            Place.SAID if place_of(self._here(here.step, page, here.last_key)) is Place.SAID else Place.ABSENT
        )

    def _seen_now(self, here: Here, page_now: Callable[[], ReadPage | None] | None) -> Step | None:
        """Return the step behind a page that ends before its total, where it names one when it is asked for once more.

        Not where the source keeps the place itself: there another question is one for the next page.
        """
        if (
            page_now is None
            or not here.page.came
            or self._has_same_token
            or self._settings.empty_page == "stop"
        ):
            return None
        page = page_now()
        if page is None or page.came != here.page.came:
            return None
        now = self._here(here.step, page, here.last_key)
        return None if is_over(now) is not None else NEXT[self._settings.type](now)

    def _last_page(self, end: End, here: Here, place: Place) -> LastPage:
        page = here.page
        skipped = (self._settings.start or 0) if self._settings.type == "offset" else 0
        is_exact = (
            self._has_just_come(here) if end in (End.PAGES, End.TOTAL) else not page.came and all_came(here)
        )
        return LastPage(
            here.response,
            page.records_at,
            len(page.came),
            self._seen.records + skipped,
            self._seen.pages,
            place,
            self._is_first,
            self._experience.has_seen_total,
            is_exact,
        )

    def _found(self, end: End, last: LastPage) -> list[tuple[str, Sign]]:
        """Return what speaks for another page, but for totals that came meanwhile, and for what each read of this API ends with."""
        found = [
            (meaning, sign) for meaning, sign in verdicts(end, last) if not self._came_in(end, sign, last)
        ]
        return [
            ("ignore" if meaning == "warn" and self._is_usual(end, sign, last) else meaning, sign)
            for meaning, sign in found
        ]

    def _is_usual(self, end: End, sign: Sign, last: LastPage) -> bool:
        endings = self._experience.endings
        if end in _NAMED and sign.weight in _OF_NEXT:
            return endings.was_so("named")
        is_said = (
            sign.is_denied
            or end in _SAID_BY_ANSWER
            or (end in _EMPTY and self._settings.type not in ("page", "offset"))
        )
        if end is End.UNSAID or not is_said or not sign.is_total or sign.total_at is None:
            return False
        return endings.is_known(sign.total_at, _came(sign, last), sign.total or 0, is_first=self._is_first)

    def _note_end(self, end: End, last: LastPage, found: Sequence[tuple[str, Sign]]) -> None:
        """Note for later runs how this read ends."""
        endings = self._experience.endings
        for sign in signs_of_totals(last.response, last.records_at):
            if sign.total_at is not None:
                endings.note_total(sign.total_at, _came(sign, last), sign.total or 0, is_first=self._is_first)
        if self._goes_by_tokens and self._settings.type not in ("page", "offset") and last.pages > 1:
            endings.note("empty", is_so=self._was_more_told and not last.count)
        if end in _NAMED:
            endings.note("named", is_so=any(sign.weight in _OF_NEXT for _, sign in found))

    def _tell_of_more(self, end: End, last: LastPage, found: Sequence[tuple[str, Sign]]) -> None:
        telling = [sign for meaning, sign in found if meaning != "ignore"]
        if not telling:
            return
        sentence = self._of_more(end, telling, last)
        if self._settings.unread != "warn" and any(meaning == "fail" for meaning, _ in found):
            raise BadDataError(sentence)
        self._warn(sentence)

    def _has_just_come(self, here: Here) -> bool:
        """Tell whether `total_count` says as many rows as have come, which no source that caps its totals (at 10,000) would."""
        path, seen = self._settings.total_count, self._seen
        if path is None or seen.empty_pages or here.number(path) != seen.records:
            return False
        return len(here.page.came) < seen.largest_page or seen.records % 100 != 0

    def _came_in(self, end: End, sign: Sign, last: LastPage) -> bool:
        """Tell whether all has come that the first page told, so that what there is more came in meanwhile.

        In a read by `page`, where one that is not read since pages begin with another number is in the total of the first; or
        where the answer says that it is the last. By `offset` a total that is to be reached (`total_count`) brings what came in.
        Where all rows have come, a number of pages is of pages of another size.
        """
        is_said = end in _SAID_BY_ANSWER
        if is_said and sign.is_total and sign.weight is Weight.PAGES and last.pages > 1:
            totals = signs_of_totals(last.response, last.records_at)
            return any(one.weight is Weight.COUNT and one.total == last.received for one in totals)
        told = self._seen.totals.get(sign.total_at) if sign.total is not None else None
        if told is None or sign.weight is not Weight.COUNT:
            return False
        return told <= last.received if is_said else self._settings.type == "page" and told == last.received

    def _tell_of_single_page(self, place: Place, page: ReadPage) -> None:
        """One page is a common and honest end, and also what a mistyped path looks like."""
        if place is Place.SAID or self._seen.pages > 1 or not page.came:
            return
        if not self._experience.has_told_of_single_page:
            self._experience.has_told_of_single_page = True
            _logger.info(
                "The first page of stream %s has no %s, so it is the only one.",
                self._name,
                place_name(self._settings),
            )

    def _of_more(self, end: End, signs: list[Sign], last: LastPage) -> str:
        """Say why reading ends, what speaks for another page, and what to do."""
        seen = redactor.mask_foreign(" and ".join(dict.fromkeys(sign.seen for sign in signs[:3])))
        fits = dict(as_asked(signs[0].fits, last.response))
        if fits["type"] == self._settings.type:
            fits = {
                key: value
                for key, value in (said_in(self._settings) | fits).items()
                if key not in _MISLEADING
            }
        begins_late = end is End.EMPTY or (end is End.SHORT and signs[0].is_denied)
        if begins_late and self._settings.type == "page" and "total_count" in signs[0].fits:
            fits = said_in(self._settings) | {"start": 0 if self._settings.start != 0 else 1}
        if all(sign.is_total for sign in signs) and self._has_no_other_way(end, signs[0], last):
            advice = self._way_to_what_is_counted(signs)
        elif end in _NAMED and signs[0].weight in _OF_NEXT:
            setting = "`empty_page`" if end is End.EMPTY_SAID else "`end_status`, or the rule in `errors`,"
            advice = f"if each page of the API names another, all is well, and this is said once; if rows follow, leave {setting} out"
        elif end is End.SINGLE:
            advice = f"if it is to be read, say `{line_of(fits)}`"
        else:
            all_there_is = (
                '`"pagination": {"type": "single"}`'
                if end is End.UNSAID
                else '`"unread": "warn"` in `pagination`'
            )
            advice = f"say `{line_of(fits)}` or what else asks for it, or {all_there_is} if this is all that is wanted"
        return (
            f"Page {self._seen.pages} of stream {self._name} would be the last ({end.value}) and seems to have a next: "
            f"{seen}; {advice}{self._way_to_parts(signs)}."
        )

    def _has_no_other_way(self, end: End, sign: Sign, last: LastPage) -> bool:
        """Tell whether each page was read that the answers have named, so that no other `pagination` reads more."""
        if end in _SAID_BY_ANSWER:
            return last.pages > 1 or sign.is_denied
        if end in (End.STATUS, End.REPEATED):
            return True
        return end in _EMPTY and sign.is_denied and self._settings.type != "page"

    def _way_to_what_is_counted(self, signs: Sequence[Sign]) -> str:
        """Return what to do where each page was read and a total says that there are more."""
        endings = self._experience.endings
        if any(endings.was_reached(sign.total_at or "", is_first=self._is_first) for sign in signs):
            return (
                "a run before got all that was counted, so rows may be missing: run again; if by now the API counts rows that it "
                f"does not list, run `singerkit-state reset STATE --stream {self._name}` and start over"
            )
        return (
            "rows may be missing: compare with what the API shows elsewhere, and run again; if it counts rows that it does not list, "
            "this is said once"
        )

    def _way_to_parts(self, signs: Sequence[Sign]) -> str:
        """Return what to do where an API may give no more of one question, though it counts more."""
        rows, most = self._seen.records, self._settings.max_rows
        if (
            rows < MANY
            or most is not None
            or self._seen.pages < 2
            or not all(sign.is_total for sign in signs)
        ):
            return ""
        return (
            f"; if the API gives no more than {rows} rows of one question, set `pagination.max_rows` to that"
        )

    def _refuse_circles(self, step: Step, here: Here) -> None:
        if self._seen.pages >= self._limit:
            raise BadDataError(
                f"Stream {self._name} has more than {counted(self._limit, 'page')}; check `pagination`, or raise "
                "`limits.pages`."
            )
        token = _token(step)
        self._has_same_token = token in self._tokens
        if self._has_same_token and not (self._settings.type in BY_TOKEN and has_end(self._settings)):
            raise self._circle(here)
        self._tokens.add(token)

    def _circle(self, here: Here) -> BadDataError:
        fits = end_of_circle(here)
        if fits and fits.items() <= said_in(self._settings).items():
            fits = {}  # it is said already
        way = (
            f"if it is the last, say `{line_of(said_in(self._settings) | fits)}`."
            if fits
            else "check `pagination`, or say there what else shows that a page is the last (`is_last`, `has_more`, "
            "`total_count`, `stop_on_short_page`)."
        )
        return BadDataError(
            f"The pages of stream {self._name} go round in circles: page {self._seen.pages} leads back to one that was read before; {way}"
        )


def _came(sign: Sign, last: LastPage) -> int:
    return last.pages if sign.weight is Weight.PAGES else last.received


def _leads_to_itself(following: Step, here: Here) -> bool:
    return _token(following) in (_token(here.step), _token(Step(url=here.response.url)))


def _token(step: Step) -> int:
    sent = step.sent
    is_plain = all(type(value) is str or type(value) is int for value in sent.values())
    # As text: Python's hash of -1 is that of -2.
    return hash((step.url, repr(sorted(sent.items())) if is_plain else canonical_json(sent)))
