"""Order, hashes and limits of bookmarks, without a tap around them."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries

from singerkit_state.bookmarks import SEEN_LIMIT, Bookmark, StreamBookmarks
from singerkit_state.order import UnorderableError, ValueKind, order_key
from singerkit_state.tracker import BookmarkTracker, Signpost, UnsortedError

INSTANT, NUMBER, TEXT = ValueKind.INSTANT, ValueKind.NUMBER, ValueKind.TEXT


def column(*values: Any) -> list[msgspec.Raw]:
    return [
        msgspec.Raw(value if isinstance(value, bytes) else json.dumps(value).encode()) for value in values
    ]


def rows(count: int) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(count)]


def track(
    kind: ValueKind, *pages: list[Any], start: Bookmark | None = None, **settings: Any
) -> BookmarkTracker:
    tracker = BookmarkTracker(kind, start or Bookmark(), **settings)
    for page in pages:
        tracker.take(column(*page), rows(len(page)))
        tracker.end_page()
    return tracker


@pytest.mark.parametrize(
    ("smaller", "greater"),
    [
        ("2024-01-01T01:00:00+02:00", "2024-01-01T00:00:00Z"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000000001Z"),
        ("2024-01-01T00:00:00.09Z", "2024-01-01T00:00:00.1Z"),
        ("2024-01-01", "2024-01-01T00:00:00.1"),
        ("2024-01-01T23:59:59.9Z", "2024-01-01T23:59:60Z"),
        ("0000-12-31T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T00:00:00Z", "10000-01-01T00:00:00Z"),
        ("-0044-03-15T00:00:00Z", "0000-01-01T00:00:00Z"),
    ],
)
def test_instants(smaller, greater):
    assert order_key(smaller, INSTANT) < order_key(greater, INSTANT)
    tracker = track(INSTANT, [smaller, greater, smaller], is_sorted=True)
    assert tracker.bookmark().value == greater


def test_equal_instants_in_other_words_are_ties():
    same = ["2024-01-01T00:00:00Z", "2024-01-01 00:00:00.000", "2024-01-01T02:00:00+0200", "2024-01-01"]
    assert len({order_key(value, INSTANT) for value in same}) == 1
    found = track(INSTANT, same, is_sorted=True).bookmark()
    assert found.seen.total() + sum(rows.total() for rows in found.others.values()) == 4


def test_numbers_are_exact():
    tracker = track(NUMBER, [b"9007199254740993", b"9007199254740992.5", b"1e3"], is_sorted=True)
    assert tracker.bookmark().value == 9007199254740993
    assert track(NUMBER, [b"0.1", b"0.10000000000000000001"], is_sorted=True).bookmark().value == Decimal(
        "0.10000000000000000001"
    )


def test_text_is_compared_by_code_point():
    assert track(TEXT, ["Z", "a", "é"], is_sorted=True).bookmark().value == "é"


INSTANTS = st.builds(
    lambda day, fraction, zone: f"2024-01-{day:02}T12:00:00{fraction}{zone}",
    st.integers(1, 3),
    st.sampled_from(["", ".5", ".500", ".123456789", ".123456788", ".1234567"]),
    st.sampled_from(["Z", "+00:00", "+01:00", "-12:00", ""]),
)


@settings(max_examples=tries(80), deadline=None)
@given(st.lists(st.none() | INSTANTS, min_size=1, max_size=12))
def test_the_fast_way_through_a_column_finds_what_comparing_all_values_finds(values):
    present = [value for value in values if value is not None]
    tracker = track(INSTANT, values, is_sorted=True)
    bookmark = tracker.bookmark()
    if not present:
        assert bookmark == Bookmark()
        return
    highest = max(order_key(value, INSTANT) for value in present)
    assert order_key(bookmark.value, INSTANT) == highest
    remembered = {bookmark.value: bookmark.seen, **bookmark.others}
    at_highest = {value: rows for value, rows in remembered.items() if order_key(value, INSTANT) == highest}
    assert sum(rows.total() for rows in at_highest.values()) == sum(
        order_key(value, INSTANT) == highest for value in present
    )
    assert tracker.nulls == values.count(None)


def test_the_rows_remembered_at_the_boundary_are_limited():
    many = ["2024-01-01T00:00:00Z"] * (SEEN_LIMIT + 1)
    assert track(INSTANT, many, is_sorted=True).bookmark().seen is None
    moved_on = track(INSTANT, many, ["2024-01-02T00:00:00Z"], is_sorted=True, follows_key=True).bookmark()
    assert moved_on.seen.total() == 1


def test_a_sorted_source_may_not_go_back_behind_a_page_but_may_within_one():
    track(NUMBER, [2, 1, 3], [3, 4], is_sorted=True)
    with pytest.raises(UnsortedError):
        track(NUMBER, [2], [1], is_sorted=True)
    track(NUMBER, [2], [1], is_sorted=False)


def test_the_state_has_the_shape_of_singer_sdk():
    bookmarks = StreamBookmarks({"note": "of another", "progress_markers": {}}, "at")
    bookmarks.put(Bookmark("2024-01-01T00:00:00Z"))
    bookmarks.put(Bookmark("2024-01-02T00:00:00Z"), {"a": 1})
    assert bookmarks.state() == {
        "note": "of another",
        "replication_key": "at",
        "replication_key_value": "2024-01-01T00:00:00Z",
        "partitions": [
            {"context": {"a": 1}, "replication_key": "at", "replication_key_value": "2024-01-02T00:00:00Z"}
        ],
    }
    again = StreamBookmarks(bookmarks.state(), "at")
    assert again.get().value == "2024-01-01T00:00:00Z"
    assert again.get({"a": 1}).value == "2024-01-02T00:00:00Z"
    assert again.get({"a": 2}).value is None


@pytest.mark.parametrize("value", ['"NaN"', '"Infinity"', '"-Infinity"', "1e999999999999999999999"])
@pytest.mark.parametrize("beside", [[], ['"1"'], ["1"]])
def test_a_number_that_is_none_is_refused_and_becomes_no_bookmark(value: str, beside: list[str]) -> None:
    tracker = BookmarkTracker(ValueKind.NUMBER, Bookmark(), is_sorted=True)
    column = [msgspec.Raw(text.encode()) for text in (value, *beside)]
    with pytest.raises(UnorderableError, match="Expected a number"):
        tracker.take(column, [b"x"] * len(column))
    assert tracker.bookmark().value is None


def test_where_a_key_is_taken_away_each_row_is_known_whenever_it_comes() -> None:
    keyed = BookmarkTracker(NUMBER, Bookmark(), by_key=True, signpost=Signpost.NONE)
    first = keyed.take(column(5, 5), rows(2), keys=[0, 1])
    keyed.finish()
    bookmark, sent = keyed.bookmark(), [first]
    for numbers in ([0], [0, 1]):
        tracker = BookmarkTracker(NUMBER, bookmark, has_key=False, signpost=Signpost.NONE)
        found = [rows(2)[number] for number in numbers]
        sent.append(tracker.take(column(*[5] * len(found)), found))
        tracker.finish()
        bookmark = tracker.bookmark()
    assert sent == [None, [], []]


def test_a_row_whose_name_in_the_state_was_edited_comes_again() -> None:
    start = Bookmark(5, Counter({"12345678\u00e9!!!!!": 1}))
    assert BookmarkTracker(NUMBER, start, by_key=True).take(column(5), rows(1), keys=[0]) in ([0], None)


def test_where_all_rows_are_sent_again_what_the_read_before_has_sent_counts_no_more() -> None:
    """A row that changes while it is read, and back: the target has what came in between."""
    former = BookmarkTracker(NUMBER, Bookmark(), by_key=True, signpost=Signpost.NONE)
    former.take(column(5, 5), rows(2), keys=[0, 1])
    former.finish()
    start = former.bookmark()
    assert BookmarkTracker(NUMBER, start, by_key=True).take(column(5), rows(1), keys=[0]) == []
    again = BookmarkTracker(NUMBER, start, by_key=True)
    assert again.take(column(5), [b'{"n":7}'], keys=[0], whole=True) is None
    assert again.take(column(5, 5), rows(2), keys=[0, 1]) == [0]


def test_of_all_rows_that_are_sent_again_those_before_the_start_date_are_none() -> None:
    """They are left out, so the target has the row that the read before has sent."""
    start_date = "2024-01-02T00:00:00Z"
    at = ["2024-01-01T00:00:00Z", start_date, None]
    former = track(INSTANT, [start_date], start_date=start_date, by_key=False)
    former.finish()
    for keeps_older in (True, False):
        tracker = BookmarkTracker(INSTANT, former.bookmark(), start_date=start_date, keeps_older=keeps_older)
        assert tracker.take(column(*at), rows(3), whole=True) == (None if keeps_older else [1, 2])
    keyed = BookmarkTracker(INSTANT, Bookmark(), start_date=start_date, by_key=True, signpost=Signpost.NONE)
    keyed.take(column(start_date), rows(1), keys=[0])
    keyed.finish()
    tracker = BookmarkTracker(INSTANT, keyed.bookmark(), start_date=start_date, by_key=True)
    assert tracker.take(column(*at[:2]), [b'{"n":7}', b'{"n":8}'], keys=[0, 1], whole=True) == [1]
    assert tracker.take(column(start_date), rows(1), keys=[0]) == []


@pytest.mark.parametrize("between", [None, 9])
def test_a_row_that_comes_back_to_what_it_said_is_sent_once_more(between: int | None) -> None:
    """Whatever value it had in between, or none: the target has what it said then."""
    former = BookmarkTracker(NUMBER, Bookmark(), by_key=True, signpost=Signpost.NONE)
    former.take(column(5), rows(1), keys=[0])
    former.finish()
    now = BookmarkTracker(NUMBER, former.bookmark(), by_key=True)
    assert now.take(column(between), [b'{"n":7}'], keys=[0]) in ([0], None)
    assert now.take(column(5), rows(1), keys=[0]) in ([0], None)


def test_of_a_row_that_has_lost_its_value_the_state_remembers_nothing() -> None:
    former = BookmarkTracker(NUMBER, Bookmark(), by_key=True, signpost=Signpost.NONE)
    former.take(column(5, 5), rows(2), keys=[0, 1])
    former.take(column(None), [b'{"n":7}'], keys=[0])
    former.finish()
    now = BookmarkTracker(NUMBER, former.bookmark(), by_key=True)
    assert now.take(column(5, 5), rows(2), keys=[0, 1]) == [0]
