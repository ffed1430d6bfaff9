"""The requests of one stream: its pages one after the other, and those that are asked for again, or from another place on.

One page is asked for again here, in any read, where answers contradict each other: a page without records that the one before
has named (`Pages.second_looks`), an end before the total, a page that equals the one before. All pages are read again by
`confirming.Confirmation`, where no answer is in doubt and rows that do not come are to leave the target.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from itertools import islice, takewhile
from typing import Any, Protocol

from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError, RetryableError
from singerkit_tap.contract import Context
from singerkit_wire.encode import RawRecord
from tap_rest.answers.answer import Response, excerpt
from tap_rest.answers.rules import Rules
from tap_rest.answers.tokens import paths_of_token
from tap_rest.answers.witness import Witness
from tap_rest.asking.composing import Composer, Frame
from tap_rest.asking.first import AS_CONFIGURED, NOT_MODIFIED, Beginning
from tap_rest.asking.jobs import JobRunner
from tap_rest.asking.questions import Question
from tap_rest.asking.urls import with_params
from tap_rest.config import ApiSettings
from tap_rest.deletes.marks import Deletions
from tap_rest.doubts import told_of_lost_page, told_of_lost_parameters, told_of_uneven_pages
from tap_rest.formats.layouts import layout_of
from tap_rest.formats.translating import Translator
from tap_rest.hook.loading import Hooks
from tap_rest.http.client import Client
from tap_rest.http.storing import Limits
from tap_rest.pages.caps import Cap
from tap_rest.pages.endings import Endings
from tap_rest.pages.fitting import size_in
from tap_rest.pages.here import Experience
from tap_rest.pages.kinds import body_paths
from tap_rest.pages.likely import likely_steps
from tap_rest.pages.numbering import Numbering, numbering_of, numbering_of_token
from tap_rest.pages.overlaps import Overlaps
from tap_rest.pages.pagination import Pages
from tap_rest.pages.steps import Step, first_step, step_after_page, step_behind
from tap_rest.parents.fields import ParentFields
from tap_rest.parents.groups import Groups, is_group
from tap_rest.records.cutting import PageReader, ReadPage
from tap_rest.records.shaping import Shaping
from tap_rest.settings.each import values_used_by
from tap_rest.settings.pagination import param_of
from tap_rest.settings.parent import fields_of_parent
from tap_rest.settings.stream import StreamSettings

__all__ = ["Api", "Asking", "Told"]

Begin = tuple[Context | None, Mapping[str, Any]]
_logger = logging.getLogger("tap-rest")
_NO_SUCH_PAGE = (404, 416)


class Api(Protocol):
    """What is asked: the settings of the API, and the client that reaches it."""

    @property
    def api(self) -> ApiSettings: ...
    @property
    def client(self) -> Client: ...
    @property
    def hooks(self) -> Hooks: ...
    @property
    def began(self) -> datetime: ...


class Told(Protocol):
    """Who is told of what the answers show: the stream."""

    @property
    def primary_keys(self) -> Sequence[str]: ...

    def warn(self, sentence: str) -> None:
        """Take a sentence about rows that may be missing."""

    def note_skipped(self) -> None:
        """Take note that what was asked for below a parent was not found, and is skipped."""

    def note_numbering(self) -> None:
        """Take note that the first read of a stream goes by numbers inside links or tokens."""


class Asking:
    """All requests of one stream, with what is known of its answers from one read to the next.

    ``types``: the schema that says what the texts of CSV and XML are, as far as one does.
    """

    def __init__(
        self,
        source: Api,
        settings: StreamSettings,
        parents: ParentFields,
        told: Told,
        types: Mapping[str, Any],
    ) -> None:
        self._source, self._settings, self._parents, self._told = source, settings, parents, told
        self.groups = Groups(settings, parents)
        self._composer = Composer(source.api, settings, self.groups.values, lambda: source.began)
        self._types = types
        self._hook = source.hooks.of(settings)
        self._altering = self._hook if "prepare_request" in settings.hooked else None
        self._experience = Experience()
        self._shaping = Shaping(settings, told.warn, self._hook)
        self._shaped = self._shaping.shaped
        rules = Rules.of(settings, source.api.errors)
        self._rules = {is_first: rules.at(is_first=is_first) for is_first in (True, False)}
        self._job = (
            None
            if settings.job is None
            else JobRunner(
                lambda: source.client, source.api.base_url, settings, settings.job, rules, self._altering
            )
        )
        self.numbering: Numbering | None = None
        """How the links or tokens number the pages, once two of them have shown it."""
        self.rows_came = 0
        self.rows_left_out = 0
        """By a hook; of a stream that makes rows of its records otherwise, too, it says nothing."""
        self.first_url: str | None = None
        """The first that has been answered."""
        self.reader = PageReader(
            settings.name,
            settings.rows_at,
            [*dict.fromkeys([*body_paths(settings.pagination), *paths_of_token(settings.token)])],
            settings.missing_records,
            settings.partial_answers,
            told.warn,
            asks_for_things=_asks_for_things(settings.path.partition("?")[0]),
            is_ndjson=settings.format == "ndjson",
            layout=layout_of(settings, types),
            is_one_each=not settings.makes_rows and not settings.inside,
            shaped=self._shaped,
        )

    def first_params(self, context: Context | None) -> Mapping[str, Any]:
        """Return what is sent as long as there is no token."""
        return self._composer.wanted_at_first(context)

    def question(self, context: Context | None, wanted: Mapping[str, Any]) -> list[Any]:
        """Return all of which the first request of a read is made."""
        question = self._composer.frame(context, wanted).question(first_step(self._settings.pagination))
        payload = None if question.payload is None else question.payload.content.decode()
        return [question.url, question.params, question.headers, question.method, payload]

    @property
    def deletions(self) -> Deletions:
        """How records say that their rows are gone."""
        return self._shaping.deletions

    @property
    def endings(self) -> Endings:
        """How the reads of the stream end."""
        return self._experience.endings

    @property
    def most_pages(self) -> int:
        """How many pages a read may have."""
        return self._source.api.limits.pages

    @cached_property
    def _witness(self) -> Witness:
        client = self._source.client
        limits = Limits.of(self._source.api.limits.response_bytes)
        translator = Translator(self._settings, self._types, limits, client.shown, self._told.warn)
        translate = translator.translate
        if self._hook is not None and self._hook.has("parse_response"):
            translate = partial(self._hook.translate, translate, limits)
        return Witness(client, self.reader, translate)

    def pages(
        self,
        context: Context | None,
        wanted: Mapping[str, Any],
        *,
        is_first: bool = True,
        begins_read: bool = True,
        beginning: Beginning = AS_CONFIGURED,
    ) -> Iterator[ReadPage]:
        """Yield what each request finds, with what is ``wanted`` (`bookmark_asked`) besides the config; ``is_first``: see `Pages`.

        ``begins_read``: none of these pages was asked for before, so that the first may show that there is no such child.
        ``beginning``: how the first request differs.

        Raises:
            BadDataError, NotAuthorisedError, RetryableError, ConfigurationError, Stopped: see `Client.ask`,
                `PageReader.read` and `Pages.after`.
        """
        ask = partial(
            self._pages, wanted=wanted, beginning=beginning, is_first=is_first, begins_read=begins_read
        )
        try:
            yield from self.groups.pages(context, ask)
        finally:  # another read asks for itself
            self._source.client.expect((self._settings.name, "pages"), ())

    def _pages(
        self,
        context: Context | None,
        wanted: Mapping[str, Any],
        beginning: Beginning,
        *,
        is_first: bool,
        begins_read: bool,
    ) -> Iterator[ReadPage]:
        settings = self._settings
        if self._job is not None:
            job, last = self._done(context, wanted)
            wanted = {**wanted, "job": job}
            if self._job.has_no_result(job):
                yield ReadPage([], {}, last, is_last=True)
                return
        frame = self._composer.frame(context, wanted)
        pages = self._read(is_first=is_first)
        rows, cap = 0, Cap(settings)
        overlaps = Overlaps(settings.pagination.size)
        step: Step | None = beginning.step(pages.first, settings.pagination)
        before: Question | None = None
        while step is not None:
            where = f"page {pages.number} of stream {settings.name}"
            begins = pages.number == 1
            question = beginning.asked(self._question(frame, step, is_first=begins), is_first=begins)
            asks_on = begins and wanted and self._settings.token is None
            history = partial(self._history, context, step) if asks_on else None
            with cap.explained():
                response, is_served = self._answer(question, where, history, is_first=begins)
            if response.status in beginning.ends_with or response.taken_for == "start_over":
                yield ReadPage([], {}, response, is_unchanged=response.status == NOT_MODIFIED)
                return
            self._witness.refuse_rows_left_out(response, where)
            if response.taken_for == "skip":
                if not (begins and begins_read):
                    raise BadDataError(told_of_lost_page(where, response.status, excerpt(response)))
                yield self._absent(where, response)
                return
            if response.taken_for is not None:
                page = ReadPage([], {}, response)
                step = pages.after_none(step, is_end=response.taken_for == "end")
                page.is_last = step is None
                yield page
                continue
            page = self.reader.read(response, where, is_first=begins, is_served=is_served)
            page, step, asked = self._looked_again(pages, page, step, frame, question)
            self._note(page)
            if begins and page.came:
                self._witness.remember(asked)
            # Before its rows are written: a page whose end is in doubt must not move a bookmark.
            before_now = partial(self._records_now, before) if before else None
            page.is_capped = cap.is_reached(page)
            if not page.is_capped:
                step = pages.after(
                    step, page, before_now, partial(self._page_now, asked), partial(self._smaller_now, asked)
                )
                page.is_capped = step is not None and cap.is_near(page)
            before = asked
            page.is_last = step is None
            if page.is_capped:
                yield page
                raise cap.error()
            if begins and step is not None and settings.may_be_numbered:
                self._note_numbering(page, step, frame, is_first=is_first)
            self._note_overlap(overlaps, page)
            rows += len(page.came)
            if step is not None:
                self._expect_behind(frame, step, page, pages.number - 1, rows)
            yield page

    def expect_reads(self, now: Begin, coming: Iterable[Begin]) -> None:
        """Take note of the reads that are likely to begin behind ``now``: each below a context, with what it wants."""
        client = self._source.client
        most = client.questions_ahead
        if not most or self._job is not None:  # a job has to be done before its rows are asked for
            return
        first = [self._begin_of(*begin) for begin in islice(coming, most)]
        client.expect(
            (self._settings.name, "reads"), [one for one in first if one is not None], self._begin_of(*now)
        )

    def expect_behind(self, context: Context | None, wanted: Mapping[str, Any] | None) -> None:
        """Take note of what is asked behind the page at hand by what its rows end with; None: nothing, or nobody knows yet."""
        client = self._source.client
        is_alone = self._job is None and (context is None or not is_group(context))
        is_known = wanted is not None and is_alone and client.questions_ahead > 0
        question = self._begin_of(context, wanted) if is_known and wanted is not None else None
        client.expect((self._settings.name, "behind"), [] if question is None else [question])

    def _begin_of(self, context: Context | None, wanted: Mapping[str, Any]) -> Question | None:
        """Return the first question of a read; None: there is none, which is told when its turn has come."""
        with contextlib.suppress(BadDataError, ConfigurationError):
            frame = self._composer.frame(context, wanted)
            return self._question(frame, first_step(self._settings.pagination), is_first=True)
        return None

    def _expect_behind(self, frame: Frame, step: Step, page: ReadPage, pages: int, rows: int) -> None:
        """Take note of the pages that are likely to be asked for behind one, unless the read goes on by something else."""
        client, settings = self._source.client, self._settings
        most = client.questions_ahead
        if not most or settings.follows_key or settings.may_follow_key:
            return
        steps = likely_steps(settings.pagination, step, page, pages, rows, most)
        client.expect((settings.name, "pages"), [self._question(frame, likely) for likely in steps])

    def _done(self, context: Context | None, wanted: Mapping[str, Any]) -> tuple[Mapping[str, Any], Response]:
        """Make the job of a read; return what its answers hold, and the last of them."""
        assert self._job is not None  # noqa: S101  asked before
        with _naming(f"the job of stream {self._settings.name}"):
            return self._job.run(self._composer.values(context, wanted))

    def _read(self, *, is_first: bool) -> Pages:
        return Pages(
            self._settings.pagination,
            self._settings.name,
            self.most_pages,
            self._told.warn,
            is_first=is_first,
            experience=self._experience,
            hook=self._next_by_hook,
        )

    def _next_by_hook(self, page: ReadPage) -> Any:
        assert self._hook is not None  # noqa: S101  a pagination by a hook has one
        return self._hook.token(page.answer, page.came)

    def _question(self, frame: Frame, step: Step, *, is_first: bool = False) -> Question:
        """Return the request that a step makes, the first of a read or a later one."""
        return replace(frame.question(step), rules=self._rules[is_first], hook=self._altering)

    def _history(self, context: Context | None, step: Step) -> Question | None:
        """Return the question for rows of former runs, None where it cannot be asked without a bookmark, or is a job."""
        if self._job is not None:
            return None
        try:
            return replace(self._question(self._composer.frame(context, {}), step, is_first=True), accept=())
        except ConfigurationError:
            return None

    def _answer(
        self, question: Question, where: str, history: Callable[[], Question | None] | None, *, is_first: bool
    ) -> tuple[Response, bool]:
        with _naming(where):
            return self._witness.ask(question, is_first=is_first, history=history)

    def _absent(self, where: str, response: Response) -> ReadPage:
        """Return what stands for a child that was not found, and say so."""
        how = (
            "was not found and is skipped (`on_404`)"
            if response.status == 404
            else f"is skipped (status {response.status})"
        )
        _logger.warning("%s %s.", where[:1].upper() + where[1:], how)
        self._told.note_skipped()
        return ReadPage([], {}, response, is_absent=True)

    def _note(self, page: ReadPage) -> None:
        """Note that a page has come."""
        if page.answer.left_out:
            self._told.warn(told_of_lost_parameters(self._settings.name, page.answer.left_out))
        self.first_url = self.first_url or page.answer.url
        self.rows_came += len(page.records)
        if "post_process" in self._settings.hooked:
            self.rows_left_out += len(page.came) - len(page.records)

    def _looked_again(
        self, pages: Pages, page: ReadPage, step: Step, frame: Frame, question: Question
    ) -> tuple[ReadPage, Step, Question]:
        """Return the page, or what another look finds behind the page before, where an end without records contradicts that."""
        where = f"page {pages.number} of stream {self._settings.name}, asked for once more"
        is_known, looks = False, pages.second_looks(step, page)
        for look in looks:
            asked = self._question(frame, look)
            try:
                answer, is_served = self._witness.ask(
                    asked, is_first=False, is_contradicted=pages.needs_witness
                )
                found = self.reader.read(answer, where, is_first=False, is_served=is_served)
            except (BadDataError, NotAuthorisedError):
                continue  # a token that leads on once only, or a record that is gone
            is_known, meanwhile = pages.beyond(found)
            if found.came:
                return (
                    replace(found, records=[*meanwhile, *found.records], unfiltered=found.came),
                    look,
                    asked,
                )
            if is_known:
                page = replace(page, records=meanwhile, unfiltered=[])
                break
        if looks:
            pages.tell_of_lost_end(is_known=is_known)
        return page, step, question

    def _records_now(self, question: Question) -> Sequence[RawRecord]:
        """Ask once more, and return the records."""
        return self._asked_again(question).came

    def _page_now(self, question: Question) -> ReadPage | None:
        """Ask once more for a page; None: a token that leads on once only."""
        try:
            return self._asked_again(question)
        except (BadDataError, NotAuthorisedError):
            return None

    def _smaller_now(self, question: Question) -> ReadPage | None:
        """Ask for a page with a single row; None: nothing says how many it has, or the API does not take that."""
        size = size_in([(name, str(value)) for name, value in question.params.items()])
        if not size or question.method != "GET":
            return None
        return self._page_now(replace(question, params={**question.params, size["size_param"]: 1}))

    def _asked_again(self, question: Question) -> ReadPage:
        response, is_served = self._witness.ask(question, is_first=False)
        where = f"a page of stream {self._settings.name} that is asked for once more"
        return self.reader.read(response, where, is_first=False, is_served=is_served)

    def pages_behind(
        self,
        context: Context | None,
        numbering: Numbering | None,
        wanted: Mapping[str, Any],
        rows: int,
        size: int,
    ) -> Iterator[ReadPage]:
        """Yield the pages of ``size`` from about the one on that holds the row behind ``rows``, until one is empty.

        That a page does not exist (404, 416) is the end, too.
        """
        settings = self._settings
        if self._job is not None or (numbering is not None and numbering.is_signed):
            return
        if numbering is None and settings.pagination.type not in ("page", "offset"):
            return
        frame = self._composer.frame(context, wanted)
        step = (
            numbering.step_behind(rows, size) if numbering else step_behind(settings.pagination, rows, size)
        )
        last: list[RawRecord] | None = None
        for number in range(rows // size + 1, self.most_pages):
            question = replace(self._question(frame, step), accept=_NO_SUCH_PAGE)
            response, is_served = self._witness.ask(question, is_first=False)
            if response.status in _NO_SUCH_PAGE or response.taken_for is not None:
                return
            where = f"page {number} of stream {settings.name}"
            page = self.reader.read(response, where, is_first=False, is_served=is_served)
            if not page.came or page.came == last:
                return
            last = list(page.came)
            self.rows_came += len(page.records)
            came = len(page.records)
            step = (
                numbering.step_after(step, came)
                if numbering
                else step_after_page(settings.pagination, step, came)
            )
            yield page

    def _note_numbering(
        self,
        page: ReadPage,
        step: Step,
        frame: Frame,
        *,
        is_first: bool,
    ) -> None:
        """See whether the way to the second page has its number in it, so that rows may shift between the pages."""
        pagination, answer = self._settings.pagination, page.answer
        if step.url is None and (pagination.place != "query" or pagination.request_header):
            self.numbering = numbering_of_token(answer.asked, param_of(pagination), step, page.came)
        else:
            question = frame.question(step)
            try:
                following = with_params(question.url, question.params)
            except ValueError:
                return  # a token that cannot be sent; the request says so
            self.numbering = numbering_of(answer.url, following, page.came)
        if is_first and self.numbering is not None:
            self._told.note_numbering()

    def _note_overlap(self, overlaps: Overlaps, page: ReadPage) -> None:
        """Note which rows of a page by `offset` have just come; without a key they are there twice."""
        if self._settings.pagination.type != "offset":
            return
        again = set(map(bytes, self._shaped(page.came[: overlaps.take(page.came)], "rows that came before")))
        page.begins_again = sum(1 for _ in takewhile(lambda record: bytes(record) in again, page.records))
        if (page.begins_again or overlaps.is_uneven) and not self._told.primary_keys:
            self._told.warn(told_of_uneven_pages(self._settings.name))


def _asks_for_things(path: str) -> bool:
    return bool(fields_of_parent(path) or values_used_by(path))


@contextlib.contextmanager
def _naming(where: str) -> Iterator[None]:
    """Let an error of a request say for what it was made: one run asks for many streams."""
    try:
        yield
    except (BadDataError, ConfigurationError, RetryableError) as error:
        error.args = (f"{where[:1].upper()}{where[1:]}: {error}",)
        raise
