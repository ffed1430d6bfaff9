"""From the body of a page to its records, as raw JSON objects whose text nobody has touched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from msgspec import Raw

from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor
from singerkit_tap.contract import BookmarkValue
from singerkit_wire import jsonexact as exact
from singerkit_wire.encode import Decoded, split_records
from tap_rest.answers.answer import RefusingAnswer, Response, excerpt
from tap_rest.answers.envelope import Around, Habits, Member, members_around, own_members
from tap_rest.answers.failures import Failure, Weight, failure_of, left_of, may_be_a_things, part_of
from tap_rest.answers.lastrow import LastRow
from tap_rest.answers.signs import new_member, signs_in_headers, signs_of
from tap_rest.answers.words import says_end
from tap_rest.formats.layouts import Layout
from tap_rest.long.rows import changed
from tap_rest.paths import (
    Finder,
    Found,
    Opener,
    Path,
    finder_of,
    has_member,
    opener_of,
    parse_path,
    unfiltered,
)
from tap_rest.records.bodies import (
    check_is_json,
    description,
    error_in,
    first_inside,
    is_object,
    kind_of,
    members_in,
    refuse_message,
)
from tap_rest.records.detecting import ASK_FOR_OBJECTS, array_at, arrays_of_objects, detected, is_head

__all__ = ["PageReader", "ReadPage"]

_logger = logging.getLogger("tap-rest")
_OPENERS = 3  # as often as the bodies of a stream had members that were new
_WHOLE = (200, 203)
_PARTIAL = 206
_NONE = 204
_IN_PART = (202, 207, 208, 226)
_SHORT = 4096  # bytes of an answer without rows
_UNKNOWN = Path("", None, True)


@dataclass(slots=True)
class ReadPage:
    """The records of one page, what the pagination's paths found in it, and the answer that it was.

    ``unfiltered`` are the records before a filter in `records`, and as they came, where either makes others of them; `came` are
    all that the server has sent, by which pages are counted and asked for. ``is_last``: no page follows. ``records_at`` names the members of the body down to the records, None where `records` is no simple path.
    ``is_unchanged``: the API says that nothing has changed since the last read.
    ``left`` returns what a later run asks by (`singerkit_tap.contract.Page.continuation`), once the page has been looked at.
    ``is_absent``: it was not found, and is passed over.
    ``begins_again``: so many of the first records are the last ones of the page before, which was asked for in part again.
    ``decoded``: what has been decoded of them; it counts as long as it is of these very ``records``.
    ``is_capped``: whether there are more rows is not known, as the API gives no more of this question.
    ``is_safe``, ``reached``, ``is_signpost``: see `singerkit_tap.contract.Page`.
    """

    records: Sequence[Raw]
    fields: dict[str, Found]
    answer: Response
    records_at: tuple[str, ...] | None = None
    is_last: bool = False
    is_unchanged: bool = False
    left: Callable[[], Any] | None = None
    begins_again: int = 0
    is_absent: bool = False
    unfiltered: Sequence[Raw] | None = None
    decoded: Decoded | None = None
    is_safe: bool = True
    reached: BookmarkValue | None = None
    is_signpost: bool = False
    is_capped: bool = False

    def leave_out_first(self, count: int) -> None:
        """Leave out the first ``count`` records, which came before."""
        left = self.records[count:]
        if self.decoded is not None and self.decoded.records is self.records:
            self.decoded = self.decoded.behind(count, left)
        self.records = left

    @property
    def came(self) -> Sequence[Raw]:
        return self.records if self.unfiltered is None else self.unfiltered


class PageReader:
    """Reads the pages of one stream.

    ``records`` is the selector, None to find the records on the first page; ``fields`` are further paths to
    look up in each body; ``missing`` is `fail` or `empty`, ``partial`` is `fail` or `warn`; ``warn`` is given a sentence.
    ``layout`` makes objects of rows that are none, and ``shaped`` of the records of a page, the place of which it is given, what is sent;
    ``is_one_each``: of each record it makes one.
    ``asks_for_things``: each read is another question, so that the answer may be the thing that was asked for (`/orders/7`).
    """

    def __init__(
        self,
        stream: str,
        records: str | None,
        fields: Sequence[str],
        missing: str,
        partial: str = "fail",
        warn: Callable[[str], None] = _logger.warning,
        *,
        asks_for_things: bool = False,
        is_ndjson: bool = False,
        layout: Layout | None = None,
        is_one_each: bool = True,
        shaped: Callable[[Sequence[Raw], str], Sequence[Raw]] = lambda records, _: records,
    ) -> None:
        self._stream = stream
        self._layout, self._shaped, self._is_one_each = layout, shaped, is_one_each
        self._is_partial_fine = partial == "warn"
        self._asks_for_things = asks_for_things
        self._last_row = LastRow(is_ndjson=is_ndjson)
        self._warn = warn
        self._fields = [parse_path(text, f"a path of stream {stream}") for text in fields]
        self._is_missing_empty = missing == "empty"
        self._path = parse_path(records, f"records of stream {stream}") if records is not None else None
        self._find: Finder | None = None
        self._find_rows: tuple[Path, Finder] | None = None
        self._open: Opener | None = None
        """Finds all in one look, in a body that has the members of those before."""
        self._names: dict[str, None] = {}
        self._openers = 0
        self._is_told = records is not None
        at = unfiltered(records) if records is not None else None
        self._unfiltered = None if at is None else parse_path(at, f"records of stream {stream}")
        self._habits = Habits()
        self._headers: set[str] = set()
        """Names of the headers of answers with rows."""
        self._beside: tuple[Any, Around] | None = None
        """What stood around the records of the last answer, if it told of no error."""
        self._here = Habits()  # of the read that is under way
        self._is_served = False  # while the answer came that is looked at
        self._told: set[tuple[str, ...]] = set()

    def expect(self, place: Any) -> None:
        """Look where former runs have found the records (`place`), unless the config says where they are."""
        if self._is_told or not isinstance(place, list) or not all(isinstance(name, str) for name in place):
            return
        self._path, self._find, self._open = array_at(place), None, None

    @property
    def place(self) -> list[str] | str | None:
        """Where the records are: the names down to them, the text of a path that is not so simple, None until they are found."""
        if self._path is None:
            return None
        return self._path.text if self._path.names is None else list(self._path.names)

    def read(
        self, response: Response, where: str, *, is_first: bool = True, is_served: bool = False
    ) -> ReadPage:
        """Return the records of ``response``; ``where`` names it in errors ("page 3 of stream orders").

        ``is_first``: no page of this read came before. ``is_served``: before and after it others were served (`Witness`).

        Raises:
            BadDataError: the body is not the JSON that was promised; no records is never a guess.
            ConfigurationError: `records` is not configured, and more than one place may hold them.
        """
        self._is_served = is_served
        if is_first:
            self._here = Habits()
        if response.status == _NONE:
            return ReadPage([], {path.text: None for path in self._fields}, response)
        check_is_json(response, where)
        if self._path is None:
            # Where the rows are is not known yet, but that they are not is no reason to look for them.
            look = partial(self._look_at_none, response, where, _UNKNOWN, is_first=is_first)
            own = self._layout.place(response, where) if self._layout is not None else None
            self._path = own or detected(response, where, self._stream, look)
        self._find = self._find or finder_of([self._path, *self._fields, *filter(None, [self._unfiltered])])
        if not self._is_told and response.body.lstrip()[:1] == (b"[" if self._path.names else b"{"):
            self._look_at_none(response, where, _UNKNOWN, has_list=False, is_first=is_first)
            refuse_message(response, where)
            got = description(response.body)
            raise RefusingAnswer(f"{self._other_place(got, where, self._path)}.", got)
        found = self._found(response, where, self._path, self._find)
        records = self._records(found, self._path, response, where, is_first=is_first)
        before: Sequence[Raw] | None = (
            None if self._unfiltered is None else _list_of(found[self._unfiltered.text])
        )
        if not (records or before):
            self._look_at_none(response, where, self._unfiltered or self._path, is_first=is_first)
        else:
            self._headers.update(map(str.lower, response.headers))
            self._look_beside(response, where, self._unfiltered or self._path)
            self._look_at_last(records or before or (), response, where)
        self._look_at_status(response, where, is_empty=not (records or before), is_first=is_first)
        fields = {path.text: found[path.text] for path in self._fields}
        at = (self._unfiltered or self._path).names
        shaped = changed(records, lambda part: self._shaped(part, where), is_one_each=self._is_one_each)
        before = records if before is None and shaped is not records else before
        return ReadPage(shaped, fields, response, at, unfiltered=before)

    def _found(self, response: Response, where: str, path: Path, find: Finder) -> dict[str, Found]:
        """Return what the paths find in a body, which is long: those of one kind are scanned once."""
        opened = None if self._open is None else self._open(response.body)
        if opened is not None:
            found, response.members = opened
            return found
        self._open = None
        found = find(response.body, where)
        is_worth_it = self._habits.pages and self._openers < _OPENERS and len(path.names or ()) == 1
        if is_worth_it and response.members is not None:
            self._openers += 1
            self._names |= dict.fromkeys(response.members)
            self._open = opener_of(path, self._fields, [*self._names]) if self._unfiltered is None else None
        return found

    def finding_of_busy(self, response: Response, members: Sequence[Member]) -> str | None:
        """Return what an answer without rows says, in words, where it says that asking again may help."""
        failure = self._failure_of(members, self._rows_at)
        if failure is None or not failure.is_busy or self._is_partial_fine:
            return None
        way_out = f" (by `{redactor.mask_foreign(failure.shown)}`; {self._way_to_end_so})"
        return f"status {response.status} and no records, it says: {self.excerpt_of(response, [(failure.names, dict(members)[failure.names])])}{way_out}"

    def signs_of(self, response: Response, members: Sequence[Member], *, is_first: bool) -> frozenset[str]:
        """Return what an answer without rows says, and no answer with rows has said."""
        failure = self._failure_of(members, self._rows_at, is_first=is_first)
        told = () if failure is None else (failure.names,)
        return signs_of(members, self._habits, told, is_first=is_first) | signs_in_headers(
            response.headers, self._headers
        )

    @property
    def knows_rows(self) -> bool:
        """Whether an answer with rows is known, to compare others with."""
        return self._habits.pages > 0

    def learn(self, response: Response) -> None:
        """Take in what stands around the rows of an answer that is not read."""
        if is_object(response):
            at = self._rows_at
            members = members_in(response, "an answer")
            self._habits.learn(Around(members_around(members, at.names if at else None)))

    def has_rows(self, response: Response) -> bool:
        """Tell whether there are rows in an answer; one that cannot be read has none."""
        if not 200 <= response.status < 300 or response.status == _NONE or response.taken_for is not None:
            return False
        try:
            if not is_object(response):
                return response.body.lstrip()[:1] == b"[" and first_inside(Raw(response.body.strip())) != b"]"
            return self._has_rows(response, members_in(response, "an answer"), self._rows_at)
        except BadDataError:
            return False

    def excerpt_of(self, response: Response, members: Sequence[Member] = ()) -> str:
        """Return how an answer begins; where it may be a thing that was asked for, and so a row, only what ``members`` say."""
        if not self._asks_for_things:
            return excerpt(response)
        said = {".".join(names): value for names, value in members}
        return (
            excerpt(replace(response, body=exact.dumps(said))) if said else "what those with records do not"
        )

    @property
    def _rows_at(self) -> Path | None:
        return self._unfiltered or self._path

    def around_none(self, response: Response) -> list[Member] | None:
        """Return what stands around the place of the rows in a short answer without any; None for another answer."""
        is_good = 200 <= response.status < 300  # others that are accepted are answers: `on_404`
        if not is_good or len(response.body) > _SHORT or self.has_rows(response):
            return None
        if not is_object(response):
            return []
        try:
            members = members_in(response, "an answer")
        except BadDataError:
            return None
        at = self._rows_at
        return members_around(members, at.names if at else None)

    def _failure_of(
        self, members: Sequence[Member], at: Path | None, *, has_list: bool = True, is_first: bool = False
    ) -> Failure | None:
        is_like_others = has_list or self._habits.has_all(members)
        own = (
            own_members(members, at.names if at else None) if self._asks_for_things and is_like_others else ()
        )
        return failure_of(
            members, self._habits, has_list=has_list, is_first=is_first, own=own, here=self._here
        )

    @property
    def _way_to_end_so(self) -> str:
        return (
            "if that is how this API says that there are no more records, say "
            f'`"partial_answers": "warn"` in stream {self._stream}'
        )

    def _has_rows(self, response: Response, members: Mapping[str, Raw], at: Path | None) -> bool:
        if at is None:
            return bool(arrays_of_objects(members))
        if self._find_rows is None or self._find_rows[0] is not at:
            self._find_rows = at, finder_of([at])
        found = self._find_rows[1](response.body, "an answer")[at.text]
        return bool(found) if not isinstance(found, Raw) else bytes(found).strip() not in (b"null", b"[]")

    def _other_place(self, got: str, where: str, path: Path) -> str:
        """Word an answer that has nothing where records were found by themselves, earlier in this run or before."""
        return (
            f"Expected records at `{_shown(path)}` in {where}, where they were found before, got {got}; say where they are now in "
            f"`records` of stream {self._stream}"
        )

    def _tell_of_others(self, response: Response, where: str, path: Path) -> None:
        """Warn where what is taken for none has records at another place: so looks a path that is mistyped."""
        if not path.names or response.body.lstrip()[:1] != b"{" or has_member(response.body, path.names):
            return
        has_heads = self._layout is not None
        lists = arrays_of_objects(members_in(response, where))
        if others := [name for name in lists if not (has_heads and is_head(name))]:
            self._warn(
                f"Nothing is at `{_shown(path)}` in {where}, which `missing_records` takes for no records, while "
                f"`$.{redactor.mask_foreign(others[0])}[*]` holds some; check `records` of stream {self._stream}."
            )

    def _look_beside(self, response: Response, where: str, path: Path) -> None:
        """Refuse an answer that tells of an error beside its records: others may be missing.

        Raises:
            BadDataError: it does.
        """
        if path.names == () or not is_object(response):
            return
        beside = response.around(path.names[0]) if path.names is not None and len(path.names) == 1 else None
        if beside is not None and self._beside is not None and self._beside[0] == beside:
            self._habits.learn(self._beside[1])
            self._here.learn(self._beside[1])
            return
        members = members_around(members_in(response, where), path.names)
        around = Around(members)
        self._habits.learn(around)
        self._here.learn(around)
        names = part_of(members)
        self._beside = (beside, around) if names is None else None
        if names is None:
            return
        told = next(value for found, value in members if found == names)
        words = excerpt(replace(response, body=exact.dumps(told)))
        sentence = (
            f"The records in {where} come with `{redactor.mask_foreign('.'.join(names))}` beside them, which says {words}, so "
            f'others may be missing; if such answers are to be taken, say `"partial_answers": "warn"` in stream {self._stream}.'
        )
        self._refuse_in_part(sentence, words)

    def _look_at_last(self, records: Sequence[Raw], response: Response, where: str) -> None:
        """Refuse an answer whose last record is none, but tells that the API failed behind the others.

        Raises:
            BadDataError: it does.
        """
        error = self._last_row.error_in(records, response)
        if error is not None:
            words = excerpt(replace(response, body=bytes(error)))
            self._refuse_in_part(
                f"The last record in {where} has nothing of the others, and says {words}: the API may have failed in the middle of them, so others may be "
                f'missing; if it is a record, say `"partial_answers": "warn"` in stream {self._stream}.',
                words,
            )

    def _look_at_none(
        self, response: Response, where: str, path: Path, *, has_list: bool = True, is_first: bool
    ) -> None:
        """Refuse an answer without rows that tells of a failure, whatever its status: it is no end and no empty list.

        Raises:
            BadDataError: it does.
        """
        if path.names == () or not is_object(response):
            return
        members = members_around(members_in(response, where), path.names)
        failure = self._failure_of(members, path, has_list=has_list, is_first=is_first)
        is_thing = self._asks_for_things and is_first
        if failure is not None and self._is_served:
            failure = left_of(failure, members, is_thing=is_thing)
        elif (
            failure is not None and is_thing and may_be_a_things(failure, members) and not self._habits.pages
        ):
            failure = replace(failure, weight=Weight.MAYBE)
        if failure is None:
            new = new_member(members, self._habits) if self._is_served and not is_first else None
            if new is not None and not says_end(dict(members)[new]):
                self._tell_once(
                    new,
                    f"There are no records in {where}, and `{redactor.mask_foreign('.'.join(new))}` is in no answer with records: "
                    f"{self.excerpt_of(response, [(new, dict(members)[new])])}; others are served meanwhile, so it is taken for the end. If it tells of a limit to what is "
                    "shown, rows are missing.",
                )
            if not has_list and self._habits.has_all_gone(members):
                self._warn(
                    f"Nothing in {where} is where it was in the pages with rows, neither rows nor what stood around them, and "
                    "`missing_records` takes that for no records; if the API has failed there, rows are missing."
                )
            return
        name = redactor.mask_foreign(failure.shown)
        said = self.excerpt_of(response, [(failure.names, dict(members)[failure.names])])
        sentence = f"{error_in(response, where, said)} (by `{name}`); {self._way_to_end_so}."
        if failure.weight is Weight.MAYBE:
            what = (
                "is not what it is in answers with records" if self._habits.pages else "may tell of a failure"
            )
            self._tell_once(
                failure.names,
                f"There are no records in {where}, and `{name}` {what}: {said}; if that tells of a failure, rows are missing.",
            )
        else:
            self._refuse_in_part(sentence, said)

    def _tell_once(self, names: tuple[str, ...], sentence: str) -> None:
        """Warn of a member, once in a run."""
        if names not in self._told:
            self._told.add(names)
            self._warn(sentence)

    def _look_at_status(self, response: Response, where: str, *, is_empty: bool, is_first: bool) -> None:
        """Refuse an answer whose status says that it is not whole, or, where it has no records, not that it is.

        Raises:
            BadDataError: it does. 206 is common for one page of many, and an empty one may end them.
        """
        status = response.status
        if status in _WHOLE or (status == _PARTIAL and not (is_empty and is_first)):
            return
        if not is_empty and status not in _IN_PART:
            return
        what = "no records" if is_empty else "records"
        sentence = (
            f"Expected status 200 in {where}, got {status} with {what}, so others may be missing; if such answers are to be "
            f'taken, say `"partial_answers": "warn"` in stream {self._stream}.'
        )
        self._refuse_in_part(sentence)

    def _refuse_in_part(self, sentence: str, says: str = "") -> None:
        """Refuse an answer that may be a part, or warn of it where the config takes such answers. ``says`` is in the sentence.

        Raises:
            BadDataError: it does not.
        """
        if not self._is_partial_fine:
            raise RefusingAnswer(sentence, says)
        self._warn(sentence)

    def _records(
        self, all_found: Mapping[str, Found], path: Path, response: Response, where: str, *, is_first: bool
    ) -> Sequence[Raw]:
        found: Sequence[Raw] | Raw | None = all_found[path.text]
        if path.names is not None:
            found = response.rows.get(path.names, found)
        has_list = self._unfiltered is not None and all_found[self._unfiltered.text] is not None
        if isinstance(found, Raw):
            first = memoryview(found)[:1].tobytes()
            if first == b"[":
                found = split_records(found, where)
            elif first != b"n":
                found = [found]
            else:
                found = None
        if found is None or (path.names is None and not found and not has_list):
            self._look_at_none(
                response, where, path, has_list=path.names is None and found is None, is_first=is_first
            )
            if not self._is_missing_empty:
                refuse_message(response, where)
            if self._is_missing_empty:
                self._tell_of_others(response, where, path)
                return []
            got = description(response.body)
            if not self._is_told:
                raise RefusingAnswer(
                    f"{self._other_place(got, where, path)}, or, if this means that there are none, "
                    f'`"records": "{_shown(path)}", "missing_records": "empty"`.',
                    got,
                )
            raise RefusingAnswer(
                f"Expected records at `{_shown(path)}` in {where}, got {got}; check `records`, or set `missing_records` to `empty` "
                "if that means no records.",
                got,
            )
        if self._layout is not None:
            return self._layout.objects(found, response, where)
        # One look is enough for a selector that misses; the engine refuses any other record that is no object.
        if found and memoryview(found[0])[0] != 0x7B:
            kind = kind_of(bytes(found[0]))
            advice = f"check `records`; {ASK_FOR_OBJECTS}" if kind == "array" else "check `records`"
            raise BadDataError(
                f"Expected `object`, got `{kind}` as the first record at `{_shown(path)}` in {where}; {advice}."
            )
        return found


def _list_of(found: Found) -> list[Raw]:
    return found if isinstance(found, list) else []


def _shown(path: Path) -> str:
    """Return a path for a sentence: one that was found in an answer has names that others have written."""
    return redactor.mask_foreign(path.text)
