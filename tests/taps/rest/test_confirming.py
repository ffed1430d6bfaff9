"""When a load is sure to have met all rows: pages against pages, without an API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any

import pytest
from msgspec import Raw
from requests.structures import CaseInsensitiveDict

from singerkit_tap.contract import Context
from tap_rest.answers.answer import Response
from tap_rest.deletes import confirming
from tap_rest.deletes.confirming import Confirmation
from tap_rest.records.cutting import ReadPage

FIRST = [[1, 2], [3, 4]]


def page(rows: list[int], headers: Mapping[str, str] | None = None, **more: Any) -> ReadPage:
    answer = Response("http://x/rows", 200, CaseInsensitiveDict(headers or {}), b"")
    return ReadPage([Raw(b"%d" % row) for row in rows], {}, answer, **more)


def aged(rows: list[int], **headers: str) -> ReadPage:
    return page(rows, headers)


class Source:
    """What each further time shows, the last one again and again."""

    def __init__(self, *times: list[ReadPage]) -> None:
        self.times, self.asked = times, 0

    def __call__(self) -> Iterator[ReadPage]:
        self.asked += 1
        yield from self.times[min(self.asked, len(self.times)) - 1]


def pages(*rows: list[int]) -> list[ReadPage]:
    return [page(numbers) for numbers in rows]


def confirm(
    first: list[ReadPage], again: Source, *, keyed: bool = True, unique: bool = True, sure: bool = False
) -> tuple[list[list[int]], str | None]:
    """Return the rows that are sent, by page, and the doubt."""
    confirmation = Confirmation(lambda rows, _: [*map(bytes, rows)], has_key=keyed, is_key_unique=unique)
    found = [*first]
    for one in first:
        confirmation.note(one, None, is_all=False)
    if confirmation.answers > 1 and not sure:
        found += [one for _, one in confirmation.missed(lambda: zip(repeat(None), again(), strict=False))]
    return [[json.loads(bytes(row)) for row in one.records] for one in found], confirmation.doubt


def test_two_times_alike_are_enough() -> None:
    for keyed in (True, False):
        again = Source(pages(*FIRST))
        assert confirm(pages(*FIRST), again, keyed=keyed) == (FIRST, None)
        assert again.asked == 1


def test_one_answer_and_pages_that_are_sure_are_read_once() -> None:
    again = Source(pages([9]))
    assert confirm(pages([1, 2]), again) == ([[1, 2]], None)
    assert confirm(pages(*FIRST), again, sure=True) == (FIRST, None)
    assert again.asked == 0


def test_what_is_new_is_sent_once_and_then_confirmed() -> None:
    moved = pages([2, 5], [3, 4])
    again = Source(moved, moved)
    assert confirm(pages(*FIRST), again) == ([*FIRST, [5]], None)
    assert again.asked == 2


def test_a_page_of_which_a_part_is_sent_begins_with_no_row_of_the_page_before() -> None:
    confirmation = Confirmation(lambda rows, _: [*map(bytes, rows)], has_key=True, is_key_unique=True)
    again = Source([page([2, 5, 6], begins_again=2)])
    for first in pages(*FIRST):
        confirmation.note(first, None, is_all=False)
    *_, (_, last) = confirmation.missed(lambda: zip(repeat(None), again(), strict=False))
    assert last.records == [Raw(b"5"), Raw(b"6")]
    assert last.begins_again == 0


def test_a_source_that_never_rests_is_asked_three_times_more() -> None:
    again = Source(*(pages([1, 2], [number]) for number in range(10, 20)))
    sent, doubt = confirm(pages(*FIRST), again)
    assert again.asked == 3
    assert sent == [*FIRST, [10], [11], [12]]
    assert "other rows each time" in str(doubt)


def test_the_third_time_may_be_the_one_that_confirms() -> None:
    again = Source(pages([5]), pages([6]), pages([6]))
    assert confirm(pages(*FIRST), again) == ([*FIRST, [5], [6]], None)
    assert again.asked == 3


def test_rows_that_say_the_same_count_each() -> None:
    for second, is_sure in (([[7, 7], [8]], True), ([[7], [8]], False), ([[7, 7], [8, 8]], False)):
        sent, doubt = confirm(pages([7, 7], [8]), Source(pages(*second)), keyed=False)
        assert sent == [[7, 7], [8]], "without a key they would be there twice"
        assert (doubt is None) == is_sure


@pytest.mark.parametrize("unique", [True, False])
def test_a_key_that_comes_twice_is_a_doubt_where_it_has_to_be_of_one_row(unique: bool) -> None:
    again = Source(pages([1, 2], [2], [3]))
    sent, doubt = confirm(pages([1, 2], [2]), again, unique=unique)
    assert sent == [[1, 2], [2], [3]]
    assert (doubt is not None and "gave rows twice" in doubt) == unique
    assert again.asked == (1 if unique else 2)


def test_a_first_page_that_is_not_found_any_more() -> None:
    for first in (FIRST, [[], []]):
        again = Source([page([], is_absent=True)])
        sent, doubt = confirm(pages(*first), again)
        assert sent == first
        assert again.asked == 1
        assert "was not found when it was read once more" in str(doubt)


@pytest.mark.parametrize("age", ["7", " 1", "0", "", " 0 "])
@pytest.mark.parametrize("at", [0, 1])
def test_one_page_of_a_cache_is_enough_to_doubt(age: str, at: int) -> None:
    first = pages([1, 2], [3, 4])
    first[at] = aged([1, 2] if at == 0 else [3, 4], AGE=age, Date="7")
    sent, doubt = confirm(first, Source(pages(*FIRST)))
    assert sent == FIRST
    assert ("came out of a cache" in str(doubt)) == (age.strip() not in ("", "0"))


@pytest.mark.parametrize("limit", [3, 4])
def test_more_rows_than_can_be_remembered_are_a_doubt(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "_MEMORY", limit)
    again = Source(pages(*FIRST))
    sent, doubt = confirm(pages(*FIRST), again)
    assert sent == FIRST
    assert (doubt is not None and "too many to see" in doubt) == (limit < 4)
    assert again.asked == (0 if limit < 4 else 1)
    assert confirm(pages(*FIRST), again, sure=True)[1] is None, "there nothing has to be remembered"
    assert confirm(pages([1, 2, 3, 4, 5]), again)[1] is None, "one answer is of one moment"


def test_an_answer_of_a_cache_at_the_second_time_is_a_doubt_too() -> None:
    again = Source([page([1, 2]), aged([3, 4], Age="7")])
    sent, doubt = confirm(pages(*FIRST), again)
    assert (sent, again.asked) == (FIRST, 1)
    assert "came out of a cache" in str(doubt)


def test_the_first_doubt_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "_MEMORY", 3)
    assert "came out of a cache" in str(confirm([page([1, 2]), aged([3, 4], Age="7")], Source(pages()))[1])


@pytest.mark.parametrize("second", [[[1, 2], [3, 5]], [[1, 2], [5, 5]]])
def test_without_a_key_other_rows_are_a_doubt_and_none_of_them_is_sent(second: list[list[int]]) -> None:
    sent, doubt = confirm(pages(*FIRST), Source(pages(*second)), keyed=False)
    assert sent == FIRST
    assert "other rows each time" in str(doubt)


@pytest.mark.parametrize("keyed", [True, False])
def test_a_row_is_told_apart_by_the_parent_that_it_stands_below(keyed: bool) -> None:
    """What is below one parent the first time, and below the other the second, has moved."""

    def rows_below(rows: Sequence[Raw], context: Context | None) -> list[object]:
        assert context is not None
        return [(context["team"], bytes(row)) for row in rows]

    def read(*teams: int) -> Iterator[tuple[Context, ReadPage]]:
        return zip(({"team": team} for team in teams), pages([1], [1]), strict=True)

    for second, is_same in (((1, 2), True), ((1, 3), False)):
        confirmation = Confirmation(rows_below, has_key=keyed, is_key_unique=True)
        for context, one in read(1, 2):
            confirmation.note(one, context, is_all=False)
        again = partial(read, *second)
        sent = [(context, [*map(bytes, one.records)]) for context, one in confirmation.missed(again)]
        assert sent == ([] if is_same or not keyed else [({"team": 3}, [b"1"])])
        assert (confirmation.doubt is None) == (is_same or keyed)
