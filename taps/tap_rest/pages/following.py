"""Going on by the last replication key instead of the page number (decision 15).

Rows shift between numbered pages when the source changes. A stream that ascends by its replication key, and is asked
for it, can be read without that gap: after each page the API is asked anew for rows from the greatest value on, and
what came with that value before is left out. More rows of one value than a page holds are read by number, until two
passes have found the same, and neither holds a row on two pages: then the API sorts rows of one value otherwise from page to
page, and lacks one for each that comes twice, however often it is asked. Rows without a value are no answer to such a question: those that stand behind all others
are asked for by number, at the end of a first read.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from singerkit_shell.errors import BadDataError, NotAuthorisedError, RetryableError
from singerkit_state.memory import row_hash
from singerkit_state.order import Compared, OrderKey, UnorderableError, ValueKind, comparable_keys, exact_keys
from singerkit_tap.contract import BookmarkValue
from singerkit_tap.keys import keys_of
from singerkit_wire.encode import RecordEncoder, SentRows
from tap_rest.records.cutting import ReadPage
from tap_rest.windows.keycolumn import KeyColumn

__all__ = ["Following", "Questions"]

Params = Mapping[str, Any]
_PASSES = 20
_KEPT = 2
"""Pages that are held while it is not known how their order goes on; more of one value are asked for again."""


@dataclass(frozen=True, slots=True)
class Questions:
    """How the API is asked.

    ``pages`` makes the numbered pages of one question; ``params_of`` the parameters that ask from a value on. ``pages_behind``
    makes the pages of a question from the one on that holds the row behind so many; it is given that number, and how many rows a
    page has. ``coming`` is told of the question behind a page before its rows are handed on; None: there is none.
    """

    pages: Callable[[Params], Iterator[ReadPage]]
    params_of: Callable[[BookmarkValue], Params]
    pages_behind: Callable[[Params, int, int], Iterator[ReadPage]]
    coming: Callable[[Params | None], None] = lambda _: None


class _Row(NamedTuple):
    """What tells a row from others: its key, if the stream has one, and a hash of what it says."""

    key: Any
    digest: str


class _Yielded:
    """Rows of one value that were yielded: of those with a key what each said last, of others how often each came."""

    def __init__(self) -> None:
        self._last: dict[Any, str] = {}
        self._counts: Counter[str] = Counter()

    def has(self, row: _Row, times: int = 1) -> bool:
        """Tell whether ``row``, which comes for the so-manieth time in a pass, need not be yielded."""
        return self._counts[row.digest] >= times if row.key is None else self._last.get(row.key) == row.digest

    def add(self, row: _Row) -> None:
        if row.key is None:
            self._counts[row.digest] += 1
        else:
            self._last[row.key] = row.digest


class _Pass:
    """What one pass over the pages of one value has found."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        self._places: dict[Any, int] = {}
        self._pages = 0
        self.twice = 0
        """Rows that stand on a page though they stood on one before: by their key, or by their whole text."""

    def note(self, row: _Row, record: msgspec.Raw) -> None:
        name = hash(bytes(record)) if row.key is None else row.key
        self.twice += self._places.setdefault(name, self._pages) < self._pages

    def end_page(self) -> None:
        self._pages += 1


class Following:
    """One read that goes on by the replication key.

    ``rows`` tells which records are the same, ``encoder`` returns what they are sent by, and ``names`` are the fields of their
    key.
    """

    def __init__(
        self,
        stream: str,
        key: str,
        kind: ValueKind,
        rows: SentRows,
        encoder: Callable[[], RecordEncoder],
        names: Sequence[str],
        questions: Questions,
        warn: Callable[[str], None],
        advice_on_order: Callable[[], str],
    ) -> None:
        self._stream, self._key, self._kind = stream, key, kind
        self._rows, self._names = rows, names
        self._advice_on_order = advice_on_order
        self._column = KeyColumn(stream, key, encoder)
        self._ask, self._params_of = questions.pages, questions.params_of
        self._ask_behind, self._coming = questions.pages_behind, questions.coming
        self._warn = warn
        self._last: msgspec.Raw | None = None
        """The greatest value, as it came: what it compares as is found anew beside the values of each page."""
        self._compared: tuple[Any, Compared] = (None, Compared([], [], [], ascends=True, is_quick=False))
        self._told_last: dict[bytes, _Row] = {}
        """The rows that were told apart last, by their text."""
        self._last_params: Params | None = None
        self._asked: Params | None = None
        """The question that gave the rows at the last value."""
        self._known = _Yielded()
        """The rows at the last value, but for `_only`."""
        self._only: msgspec.Raw | None = None
        """The row at the last value where it is the only one, as it mostly is: it is told from others when it comes in other words."""
        self._largest = 0
        self._questions = 0
        self._came = 0
        self._has_null_later = False
        """Whether a question from a value on gives rows without one, too."""
        self._known_nulls = _Yielded()
        """The rows without a value: an API may give them to each question."""
        self._found_nulls: Counter[str] = Counter()
        """How often one question has given each of them."""
        self._nulls: Counter[str] = Counter()
        """Hashes of the rows without a value on the last page of the first question that has others."""

    def pages(self, params: Params, *, reads_all: bool) -> Iterator[ReadPage]:
        """Yield the pages, each without the rows that have come before; ``reads_all``: those without a value, too.

        Raises:
            BadDataError: the rows of a page do not ascend, or the API does not listen to what it is asked, or more
                rows of one value than a page holds change faster than they are read, or come in another order.
        """
        following: Params | None = params
        try:
            while following is not None:
                self._questions += 1
                following = yield from self._question(following)
        finally:  # another read asks for itself
            self._coming(None)
        if reads_all and self._questions > 1 and not self._has_null_later:
            yield from self._behind(params)

    def _behind(self, params: Params) -> Iterator[ReadPage]:
        """Yield the rows without a value that stand behind all others in the first question (PostgreSQL: NULLS LAST).

        No question from a value on gives them. Where they begin is known by the number of rows that came, up to a page of
        rows that left, or came twice, meanwhile.

        Raises:
            BadDataError, RetryableError: not all of them could be read.
        """
        has_found = has_come = False
        try:
            for number, page in enumerate(self._ask_behind(params, self._came, self._largest)):
                has_come = True
                size, page.records = len(page.records), self._without_value(page)
                if not page.records and (number or size < self._largest):
                    return
                has_found = has_found or bool(page.records)
                page.records = self._new_nulls(page.records)
                yield page
        except (BadDataError, NotAuthorisedError, RetryableError) as error:
            if has_found:
                raise
            self._warn_of_no_page(f": {error}")
            return
        if not has_come and not self._has_page_before(params):
            self._warn_of_no_page(".")

    def _has_page_before(self, params: Params) -> bool:
        """Tell whether the API gives the page before the last one: rows that moved while they were read count twice."""
        rows = max(self._came - self._largest, 1)
        return next(self._ask_behind(params, rows, self._largest), None) is not None

    def _warn_of_no_page(self, why: str) -> None:
        """Say that the API does not go to the last rows of the first question, as a search beyond its row 10,000."""
        self._warn(
            f"Whether rows without a value in `{self._key}` stand behind the others of stream {self._stream} is not known, "
            f"since the API gives no page there{why} If there are such rows, they were not read: set "
            "`pagination.continue_by` to `number`, and start the stream over."
        )

    def _without_value(self, page: ReadPage) -> list[msgspec.Raw]:
        compared = self._keys_of(page)
        if not compared.has_null:
            return []
        return [row for key, row in zip(compared.keys, page.records, strict=True) if key is None]

    def _new_nulls(self, records: Sequence[msgspec.Raw]) -> list[msgspec.Raw]:
        new = []
        for record, digest in zip(records, self._hashes(records), strict=True):
            self._nulls[digest] -= 1
            if self._nulls[digest] < 0:
                new.append(record)
        return new

    def _question(self, params: Params) -> Generator[ReadPage, None, Params | None]:
        """Yield the pages of one question until the key has moved on; return the next question."""
        is_full = False
        self._found_nulls = Counter()
        for number, page in enumerate(self._first(params) if self._asked is None else self._ask(params)):
            if number == 0 and self._asked not in (None, params):
                self._check_is_inclusive(page)
            if number and self._last is not None and (is_full or page.records):
                return (yield from self._within_tie(params))
            is_full = len(page.records) >= self._largest
            self._largest = max(self._largest, len(page.records))
            has_moved = self._take(page)
            if has_moved:
                self._asked = params
            goes_on = has_moved and not page.is_last and self._last_params != params
            if goes_on:
                self._coming(self._last_params)
            yield page
            if page.is_last:
                return None
            if goes_on:
                return self._last_params
        return None

    def _first(self, params: Params) -> Iterator[ReadPage]:
        """Yield the pages of the first question, which is not left before it is known that they ascend, too.

        Raises:
            BadDataError: a page has an earlier value than the first; whoever goes on from the greatest value of that one
                would never ask for it.
        """
        pages = self._ask(params)
        seen: list[ReadPage] = []
        ends: tuple[msgspec.Raw, ...] = ()
        for number, page in enumerate(pages, start=1):
            if number <= _KEPT:
                seen.append(page)
            keys, marks, present, *_ = self._ascending_keys(page, *ends)
            if present and not ends:
                ends = tuple(self._value(page, keys.index(present[end])) for end in (0, -1))
                marks = [present[0], present[-1]]
            if present and present[0] < marks[0]:
                raise BadDataError(
                    f"Expected the pages of stream {self._stream} in ascending order of `{self._key}`, since it is declared "
                    f"sorted, got earlier rows on page {number} than on page 1; {self._advice_on_order()}."
                )
            # Of a page without values, or with such as have no order, the engine says what is wrong with it.
            if (
                page.is_last
                or page.is_capped
                or not ends
                or (number > 1 and present and present[-1] > marks[1])
            ):
                break
        yield from seen
        yield from pages if number <= _KEPT else islice(self._ask(params), _KEPT, None)

    def _check_is_inclusive(self, page: ReadPage) -> None:
        """Where no row at the value that was asked for comes, see whether there still is one.

        Raises:
            BadDataError: there is: the API gives rows after that value only, and others at it would be missed.
        """
        if self._has_rows_up_to_last(page):
            return
        assert self._asked is not None  # noqa: S101  the caller has looked
        assert self._last is not None  # noqa: S101  there is no second question without one
        for before in self._ask(self._asked):
            if self._has_rows_at_last(before):
                raise BadDataError(
                    f"Stream {self._stream} was asked for rows from a value of `{self._key}` on, and the answer has only "
                    "later ones, though there still is a row with that value: others with the same value would be missed. "
                    'Say `"from": "exclusive"` in `incremental` if the API gives rows after the value only, or ask for rows from the value on (`>=`).'
                )
            keys, last = self._keys_and_last(before)
            if before.is_last or any(key is not None and key > last for key in keys):
                return

    def _has_rows_up_to_last(self, page: ReadPage) -> bool:
        keys, last = self._keys_and_last(page)
        return any(key is None or not key > last for key in keys)

    def _has_rows_at_last(self, page: ReadPage) -> bool:
        keys, last = self._keys_and_last(page)
        at_last = [record for key, record in zip(keys, page.records, strict=True) if key == last]
        return any(map(self._known_now().has, self._told(at_last)))

    def _keys_and_last(self, page: ReadPage) -> tuple[list[OrderKey | None], OrderKey]:
        """Return what the rows of a page are ordered by, and what the greatest value is beside them, None if there is none."""
        keys, marks, *_ = self._keys_of(page, *(() if self._last is None else (self._last,)))
        return keys, marks[0] if marks else None

    def _keys_of(self, page: ReadPage, *marks: msgspec.Raw) -> Compared:
        """Return what the rows of a page are ordered by, and what ``marks`` are beside them; null for all without an order."""
        column = self._column.of(page)
        asked, found = self._compared
        if asked is None or asked[0] is not column or asked[1] != marks:
            try:
                found = comparable_keys(column, self._kind, marks)
            except UnorderableError:
                of_marks = exact_keys(marks, self._kind)
                found = Compared([None] * len(column), of_marks, [], ascends=True, is_quick=False)
            self._compared = (column, marks), found
        return found

    def _value(self, page: ReadPage, number: int) -> msgspec.Raw:
        """Return the value in a row, without the page that it is a part of."""
        return msgspec.Raw(bytes(self._column.of(page)[number]))

    def _within_tie(self, params: Params) -> Generator[ReadPage, None, Params | None]:
        """Read more rows of one value than a page holds, by number, until two passes have found the same.

        A row that leaves while it is read shifts those behind it, and is missing in the pass that follows. One that comes in
        shifts them, too, and one of them comes twice, but not in the pass that follows.

        Raises:
            BadDataError: no two passes have found the same, or they have found rows twice.
        """
        before: tuple[Counter[str], ReadPage | None] | None = None
        for _ in range(_PASSES):
            this = _Pass()
            found, held = this.found, None
            for page in self._ask(params):
                beyond = self._split(page, this)
                yield page
                if beyond or page.is_last:
                    held = replace(page, records=beyond)
                    break
            if before is not None and before[0] == found:
                self._look_for_order(this)
                return (yield from self._go_beyond(before[1], params))
            before = found, held
        raise BadDataError(
            f"More rows of stream {self._stream} than a page holds have one value of `{self._key}`, and they change faster "
            "than they are read, or come in another order each time; run again, nothing is lost. If each run ends so, ask for larger pages "
            f"(`pagination.size`), and, unless the API sorts so already, in `params` for an order by `{self._key}` and then a field that "
            "is unique."
        )

    def _look_for_order(self, last: _Pass) -> None:
        """Say that a pass that will not change any more holds rows on two pages.

        Without a key it may be two rows that say the same.

        Raises:
            BadDataError: the rows have a key.
        """
        if not last.twice:
            return
        first = self._names[0] if self._names else "id"
        advice = (
            f"ask for an order that is the same on each page, by `{self._key}` and then a field that is unique (in `params`, "
            f'as the API has it, like `"sort": "{self._key},{first}"`), or for pages that hold all rows of one value '
            "(`pagination.size`)"
        )
        what = f"More rows of stream {self._stream} than a page holds have one value of `{self._key}`, and {last.twice} of them"
        if self._names:
            raise BadDataError(
                f"{what} stood on two pages each time they were read: the API gives rows of one value in another order on each "
                f"page, and as many others are on none; what was confirmed by the target is safe: {advice}, and run again."
            )
        self._warn(
            f"{what} stood on two pages each time they were read. If they are not rows that say the same, the API gives rows of "
            f"one value in another order on each page; then they are sent twice, and as many others not at all: {advice}."
        )

    def _split(self, page: ReadPage, this: _Pass) -> list[msgspec.Raw]:
        """Keep the rows at the last value that are new, count those at it, and return the rows beyond it."""
        (keys, *_), last = self._keys(page)
        beyond = [
            record for key, record in zip(keys, page.records, strict=True) if key is not None and key > last
        ]
        at_last = [
            (key, record)
            for key, record in zip(keys, page.records, strict=True)
            if key is None or key == last
        ]
        new = []
        again = set(map(id, page.records[: page.begins_again]))
        told, known_here = self._told([record for _, record in at_last]), self._known_now()
        for (key, record), row in zip(at_last, told, strict=True):
            if id(record) not in again:  # else the question itself has asked for it twice
                this.note(row, record)
            this.found[row.digest] += 1
            known = self._known_nulls if key is None else known_here
            if not known.has(row, this.found[row.digest]):
                known.add(row)
                new.append(record)
        this.end_page()
        page.records = new
        self._note(len(new), has_null=None in keys)
        return beyond

    def _note(self, count: int, *, has_null: bool) -> None:
        self._came += count
        self._has_null_later = self._has_null_later or (has_null and self._questions > 1)

    def _go_beyond(self, page: ReadPage | None, params: Params) -> Generator[ReadPage, None, Params | None]:
        if page is None or not page.records:
            return None
        if self._take(page):
            self._asked = params
        yield page
        return (
            None if page.is_last else self._last_params
        )  # the same question again, where it holds many values

    def _take(self, page: ReadPage) -> bool:
        """Leave out what is known; return whether the greatest value has moved on."""
        compared, before = self._keys(page)
        keys, present = compared.keys, compared.present
        nulls = [number for number, key in enumerate(keys) if key is None] if compared.has_null else []
        if len(nulls) == len(keys):
            page.records = [
                record
                for record, row in zip(page.records, self._told(page.records), strict=True)
                if self._is_new_null(row)
            ]
            self._note(len(page.records), has_null=bool(nulls))
            return False
        if self._questions == 1:
            self._nulls = Counter(self._hashes(self._without_value(page)))
        has_moved = before is None or bool(present[-1] > before)
        last = present[-1] if has_moved else before
        numbers = range(len(keys)) if not nulls else [n for n, key in enumerate(keys) if key is not None]
        from_before, behind_before = _bounds_of(present, before)
        from_last, _ = _bounds_of(present, last)
        is_plain = not nulls and has_moved and from_last == len(keys) - 1
        is_plain = is_plain and self._is_only(page.records[from_before:behind_before])
        known, found = self._known if is_plain else self._known_now(), Counter[str]()
        if has_moved:
            self._known, self._only = _Yielded(), None
            self._last = self._value(page, numbers[from_last])
            self._last_params = self._params_of(_any_value.decode(self._last))
        if is_plain:
            self._only = msgspec.Raw(bytes(page.records[-1]))
            page.leave_out_first(behind_before)
            self._note(len(page.records), has_null=False)
            return True
        # Only rows at the ends of a page, and those without a value, can come twice: the others are not looked at.
        left_out = set(numbers[:from_before])
        ends = [*nulls, *numbers[from_before:behind_before], *numbers[max(from_last, behind_before) :]]
        for number, row in zip(ends, self._told([page.records[number] for number in ends]), strict=True):
            key = keys[number]
            if key is None:
                if not self._is_new_null(row):
                    left_out.add(number)
                continue
            if before is not None and key == before:
                found[row.digest] += 1
                if known.has(row, found[row.digest]):
                    left_out.add(number)
                    continue
                known.add(row)
            if has_moved and key == last:
                self._known.add(row)
        if left_out == set(range(len(left_out))):  # as nearly always
            page.leave_out_first(len(left_out))
        else:
            page.records = [record for number, record in enumerate(page.records) if number not in left_out]
        self._note(len(page.records), has_null=bool(nulls))
        return has_moved

    def _is_only(self, records: Sequence[msgspec.Raw]) -> bool:
        """Tell whether rows at the value that was asked for are none, or the one that came with it before, in the same words."""
        return not records or (
            len(records) == 1 and self._only is not None and bytes(records[0]) == bytes(self._only)
        )

    def _known_now(self) -> _Yielded:
        """Return the rows at the last value, told from others."""
        if self._only is not None:
            self._known.add(*self._told([self._only]))
            self._only = None
        return self._known

    def _is_new_null(self, row: _Row) -> bool:
        """Note a row without a value that this question gives; tell whether it gives more of them than those before."""
        self._found_nulls[row.digest] += 1
        is_new = not self._known_nulls.has(row, self._found_nulls[row.digest])
        if is_new:
            self._known_nulls.add(row)
        return is_new

    def _told(self, records: Sequence[msgspec.Raw]) -> list[_Row]:
        """Return what tells these rows from others; of a row that stands at the end of a page it is known at the next one."""
        texts = list(map(bytes, records))
        new = {
            text: record for text, record in zip(texts, records, strict=True) if text not in self._told_last
        }
        keys: Sequence[Any] = [None] * len(new)
        if self._names and new:
            encoder = self._rows.encoder
            keys = keys_of(encoder, encoder.decode([*new.values()], self._rows.constants), self._names)
        found = dict(zip(new, map(_Row, keys, self._hashes([*new.values()])), strict=True))
        told = [found.get(text) or self._told_last[text] for text in texts]
        self._told_last = dict(zip(texts, told, strict=True))
        return told

    def _hashes(self, records: Sequence[msgspec.Raw]) -> list[str]:
        return [row_hash(text) for text in self._rows.texts(records)]

    def _keys(self, page: ReadPage) -> tuple[Compared, OrderKey]:
        """Return what the rows of a page are ordered by, and what the greatest value so far is beside them.

        Null for all where the engine will say what is wrong with them.
        """
        compared = self._ascending_keys(page, *(() if self._last is None else (self._last,)))
        last = compared.marks[0] if compared.marks else None
        greatest = compared.present[-1] if compared.present else None
        if greatest is not None and last is not None and greatest < last:
            value = _any_value.decode(self._value(page, compared.keys.index(greatest)))
            if (
                self._params_of(value) != self._last_params
            ):  # else the format has cut off what makes them differ
                raise BadDataError(
                    f"Stream {self._stream} was asked for rows from a value of `{self._key}` on, and the answer has only "
                    "earlier ones; most likely the server ignores the parameter. Check `incremental.param`, or set "
                    "`pagination.continue_by` to `number`."
                )
        return compared, last

    def _ascending_keys(self, page: ReadPage, *marks: msgspec.Raw) -> Compared:
        compared = self._keys_of(page, *marks)
        if not compared.ascends:
            raise BadDataError(
                f"Expected the rows of stream {self._stream} in ascending order of `{self._key}`, since it is declared "
                f"sorted, got others; {self._advice_on_order()}."
            )
        if page.decoded is not None and page.decoded.records is page.records:
            is_known = compared.is_quick and not compared.has_null
            page.decoded.order = (self._kind, compared.keys) if is_known else None
        return compared


def _bounds_of(keys: Sequence[OrderKey], key: OrderKey) -> tuple[int, int]:
    """Return where, in keys that ascend, those begin and end that equal ``key``; without one nothing does."""
    return (0, 0) if key is None else (bisect_left(keys, key), bisect_right(keys, key))


_any_value: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any, float_hook=Decimal)
