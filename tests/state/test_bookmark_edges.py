"""Edges of the bookmarks: what the state holds from run to run, and where the fast and the exact way part."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from singerkit_state import bookmarks, order
from singerkit_state.bookmarks import Bookmark, StreamBookmarks
from singerkit_state.memory import row_hash, version_hash
from singerkit_state.order import UnorderableError, ValueKind, less_lookback, order_key
from singerkit_state.others import StateError, recognised_part
from singerkit_state.tracker import BookmarkTracker, UnsortedError

INSTANT, NUMBER, TEXT = ValueKind.INSTANT, ValueKind.NUMBER, ValueKind.TEXT
T1, T2, T3 = (f"2024-01-0{day}T00:00:00Z" for day in (1, 2, 3))


def column(*values: Any) -> list[msgspec.Raw]:
    return [
        msgspec.Raw(value if isinstance(value, bytes) else json.dumps(value).encode()) for value in values
    ]


def row(value: Any) -> bytes:
    return b'{"v":%s}' % bytes(column(value)[0])


def take(tracker: BookmarkTracker, *values: Any, salt: bytes = b"") -> list[int] | None:
    """Give rows that differ by their replication key only."""
    return tracker.take(column(*values), [row(value) for value in values], salt)


def stored(tracker: BookmarkTracker) -> Bookmark:
    """Return what may be stored at the end of a page."""
    tracker.end_page()
    return tracker.bookmark()


def hashes(*values: Any, salt: bytes = b"") -> Counter[str]:
    return Counter(row_hash(row(value), salt) for value in values)


# a column


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (INSTANT, [T1, T2, None]),
        (INSTANT, ["2024-01-01", "2024-01-02"]),
        (NUMBER, [1, 3, 2]),
        (NUMBER, [1, b"2.5", None]),
        (TEXT, ["a", None, "b"]),
    ],
)
def test_usual_columns_take_the_fast_way(kind: ValueKind, values: list[Any], monkeypatch: Any) -> None:
    monkeypatch.delattr(order, "exact_keys")
    tracker = BookmarkTracker(kind, Bookmark())
    assert take(tracker, *values) is None
    assert tracker.nulls == values.count(None)


@pytest.mark.parametrize(
    ("kind", "values", "highest"),
    [
        (INSTANT, [T1, "2024-01-02T00:00:00", None], "2024-01-02T00:00:00"),
        (INSTANT, ["2024-01-01", T3, "2024-01-02"], T3),
        (INSTANT, ["10000-01-01T00:00:00Z", T1], "10000-01-01T00:00:00Z"),
    ],
)
def test_mixed_columns_are_compared_one_by_one(kind: ValueKind, values: list[Any], highest: Any) -> None:
    tracker = BookmarkTracker(kind, Bookmark(), is_sorted=True)
    take(tracker, *values)
    assert stored(tracker) == Bookmark(highest, hashes(highest))
    assert tracker.nulls == values.count(None)


def test_a_column_of_the_wrong_kind_is_refused() -> None:
    for kind, values in ((NUMBER, [1, True]), (NUMBER, [1, "x"]), (INSTANT, [T1, 5]), (INSTANT, ["soon"])):
        with pytest.raises(UnorderableError):
            take(BookmarkTracker(kind, Bookmark()), *values)


def test_nulls_are_counted_over_all_chunks() -> None:
    tracker = BookmarkTracker(NUMBER, Bookmark(5), is_sorted=True)
    for chunk in ([None, 6], [None, None], [None, None], [7, None]):
        take(tracker, *chunk)
    assert tracker.nulls == 6
    assert stored(tracker).value == 7


# what a hash stands for


def test_the_hash_of_a_row_is_the_same_in_every_version() -> None:
    """States hold them: with other hashes all rows at the boundary would be sent again."""
    assert row_hash(b'{"a":1}') == "1hFJWPUJYeM"
    assert row_hash(b'{"a":1}', b"salt") == "t6HGFe3fVwI"
    assert {len(row_hash(b"%d" % number)) for number in range(300)} == {11}


def test_the_salt_tells_contexts_apart() -> None:
    tracker = BookmarkTracker(NUMBER, Bookmark(1, hashes(1, salt=b"x")))
    assert take(tracker, 1, salt=b"x") == []
    assert take(tracker, 1) == [0]
    unsalted = BookmarkTracker(NUMBER, Bookmark(1, hashes(1)))
    assert unsalted.take(column(1), [row(1)]) == []


# what is sent


def test_without_a_start_everything_is_sent() -> None:
    tracker = BookmarkTracker(NUMBER, Bookmark())
    assert tracker.start_value is None
    assert tracker.take([], []) is None
    assert take(tracker, 2, None, 1) is None


def test_rows_behind_the_start_are_sent_only_where_that_is_wanted() -> None:
    start = Bookmark(5, hashes(5))
    assert take(BookmarkTracker(NUMBER, start), 4, 5, 6, None) == [2, 3]
    assert take(BookmarkTracker(NUMBER, start, keeps_older=True), 4, 5, 6, None) == [0, 2, 3]
    assert take(BookmarkTracker(NUMBER, start), 6, 7) is None
    assert take(BookmarkTracker(NUMBER, Bookmark(5)), 6, 7) is None


def test_boundaries_are_exact() -> None:
    start = b"0.10000000000000000001"
    tracker = BookmarkTracker(NUMBER, Bookmark(Decimal(start.decode()), hashes(start)))
    assert take(tracker, b"0.1", start, b"0.10000000000000000002") == [2]


def test_a_row_that_was_sent_once_is_left_out_once() -> None:
    tracker = BookmarkTracker(NUMBER, Bookmark(5, hashes(5, 5)))
    assert take(tracker, 5, 5, 5) == [2]
    assert take(tracker, 5) == [0]
    assert take(BookmarkTracker(NUMBER, Bookmark(5)), 5) == [0], (
        "nothing is known of the rows at the boundary"
    )


def test_with_a_lookback_the_window_is_sent_again_and_nothing_before_it() -> None:
    tracker = BookmarkTracker(NUMBER, Bookmark(5, hashes(5)), lookback=2)
    assert tracker.start_value == 3
    assert take(tracker, 2, 3, 4, 5, 6) == [1, 2, 3, 4]
    dated = BookmarkTracker(INSTANT, Bookmark(T3), lookback=86400)
    assert dated.start_value == T2
    assert take(dated, T1, T2, T3) == [1, 2]


def test_the_start_date_counts_without_a_bookmark_and_for_dates_only() -> None:
    assert BookmarkTracker(INSTANT, Bookmark(), start_date=T2).start_value == T2
    assert take(BookmarkTracker(INSTANT, Bookmark(), start_date=T2), T1, T2, T3) == [1, 2]
    assert BookmarkTracker(INSTANT, Bookmark(T3), start_date=T2).start_value == T3
    assert BookmarkTracker(NUMBER, Bookmark(), start_date=T2).start_value is None
    assert BookmarkTracker(TEXT, Bookmark(), start_date=T2).start_value is None


# what may be stored


def test_an_unsorted_read_stores_nothing_before_its_end() -> None:
    start = Bookmark(1, hashes(1))
    tracker = BookmarkTracker(NUMBER, start)
    take(tracker, 3, 2)
    tracker.end_page()
    assert tracker.covers_all is False
    assert tracker.bookmark() == start
    tracker.finish()
    assert tracker.covers_all is True
    assert tracker.bookmark() == Bookmark(3, hashes(3))


def test_a_sorted_read_stores_what_it_has_seen() -> None:
    tracker = BookmarkTracker(NUMBER, Bookmark(), is_sorted=True)
    assert tracker.covers_all is True
    assert tracker.bookmark() == Bookmark()
    take(tracker, 1, 2)
    take(tracker, 2)
    assert stored(tracker) == Bookmark(2, hashes(2, 2))


def test_a_bookmark_never_moves_back() -> None:
    start = Bookmark(5, hashes(5))
    tracker = BookmarkTracker(NUMBER, start, is_sorted=True, lookback=3)
    take(tracker, 3, 4)
    assert stored(tracker) == start


def test_at_the_same_value_the_rows_of_both_runs_are_remembered() -> None:
    start = Bookmark(5, hashes(5) + Counter(other=1))
    tracker = BookmarkTracker(NUMBER, start, is_sorted=True)
    take(tracker, 5, 5)
    assert stored(tracker) == Bookmark(5, hashes(5, 5) + Counter(other=1))


def test_rows_at_the_boundary_that_were_not_known_are_known_then() -> None:
    tracker = BookmarkTracker(NUMBER, Bookmark(5), is_sorted=True)
    take(tracker, 5)
    assert stored(tracker) == Bookmark(5, hashes(5))


@pytest.mark.parametrize(("limit", "known"), [(3, True), (2, False)])
@pytest.mark.parametrize("has_key", [True, False])
def test_the_rows_remembered_are_limited(limit: int, known: bool, has_key: bool) -> None:
    def tracker_of(start: Bookmark) -> BookmarkTracker:
        return BookmarkTracker(NUMBER, start, is_sorted=True, follows_key=True, has_key=has_key, memory=limit)

    tracker = tracker_of(Bookmark())
    take(tracker, 5, 5)
    take(tracker, 5)
    assert stored(tracker).seen == (hashes(5, 5, 5) if known else None)
    take(tracker, 5)
    assert stored(tracker).seen is None
    take(tracker, 6)
    assert stored(tracker).seen == hashes(6)
    both = tracker_of(Bookmark(5, Counter(a=1, b=1)))
    take(both, 5)
    assert stored(both).seen == (hashes(5) + Counter(a=1, b=1) if known else None)
    unknown = tracker_of(Bookmark(5, Counter(a=1)))
    take(unknown, *[5] * (limit + 1))
    assert stored(unknown) == Bookmark(5, None, again=limit + 2 if has_key else 0)


def test_pages_of_a_sorted_source_may_touch_and_not_overlap() -> None:
    tracker = BookmarkTracker(NUMBER, Bookmark(), is_sorted=True)
    tracker.end_page()
    take(tracker, 2, 1)
    take(tracker, 3, 1)
    tracker.end_page()
    take(tracker, None)
    tracker.end_page()
    take(tracker, 3)
    tracker.end_page()
    take(tracker, 4)
    take(tracker, 2)
    with pytest.raises(UnsortedError):
        tracker.end_page()


# the stream's part of the state


def entry(value: Any, key: str = "at", **more: Any) -> dict[str, Any]:
    return {"replication_key": key, "replication_key_value": value, **more}


def test_seen_rows_come_back_from_the_state() -> None:
    state = StreamBookmarks({}, "at")
    state.put(Bookmark(T1, Counter(b=2, a=1)))
    stored = state.state()
    assert stored == entry(T1, _singerkit_seen={"at": T1, "rows": ["a", "b", "b"]})
    assert StreamBookmarks(stored, "at").get() == Bookmark(T1, Counter(b=2, a=1))
    moved_by_hand = stored | {"replication_key_value": T2}
    assert StreamBookmarks(moved_by_hand, "at").get() == Bookmark(T2)
    for odd in ("x", [], {"rows": ["a"]}, None):
        assert StreamBookmarks(stored | {"_singerkit_seen": odd}, "at").get() == Bookmark(T1)
    no_rows = stored | {"_singerkit_seen": {"at": T1}}
    assert StreamBookmarks(no_rows, "at").get() == Bookmark(T1)


@pytest.mark.parametrize("unmet", ["x", None, -1, True, [], 1.5, Decimal("1.5")])
def test_a_count_that_is_none_counts_from_the_start(unmet: Any) -> None:
    """As in a state edited by hand: it ended with 70."""
    edited = entry(T1, _singerkit_seen={"at": T1, "unmet": unmet})
    assert StreamBookmarks(edited, "at").get() == Bookmark(T1)
    assert recognised_part(edited, "at") == edited


@pytest.mark.parametrize(
    ("named", "value"),
    [
        ("rows", [1]),
        ("rows", [["a"]]),
        ("others", None),
        ("others", [5]),
        ("others", [[]]),
        ("others", [[{}, "a"]]),
        ("others", [[T2, ["a"]]]),
        ("fields", None),
        ("fields", [5]),
        ("fields", {"a": 5}),
        ("top", {}),
        ("bookmark", [T1]),
    ],
)
def test_a_memory_that_is_none_of_ours_is_named(named: str, value: Any) -> None:
    """As in a state edited by hand: most ended with 70."""
    edited = entry(T1, _singerkit_seen={"at": T1, named: value})
    for part in (edited, {"partitions": [{"context": {"a": 1}, **edited}]}):
        with pytest.raises(StateError, match=rf"nothing that this tap writes \(`{named}`\)"):
            recognised_part(part, "at")


def test_rows_are_only_named_when_they_are_known() -> None:
    state = StreamBookmarks({}, "at")
    state.put(Bookmark(T1, Counter(a=1)))
    state.put(Bookmark(T2))
    assert state.state() == entry(T2)
    state.put(Bookmark(T3, Counter()))
    assert state.state() == entry(T3, _singerkit_seen={"at": T3, "rows": []})


def test_a_bookmark_of_another_replication_key_does_not_count() -> None:
    assert StreamBookmarks(entry(T1, "created"), "at").get() == Bookmark()
    assert StreamBookmarks({"replication_key_value": T1}, "at").get() == Bookmark(T1), (
        "older SDKs name no key"
    )
    assert StreamBookmarks({"replication_key": "at"}, "at").get() == Bookmark()


def test_a_float_of_another_tap_is_read_exactly() -> None:
    found = StreamBookmarks(entry(0.1), "at").get()
    assert found == Bookmark(Decimal("0.1"))


def test_no_replication_key_no_bookmark() -> None:
    state = StreamBookmarks({"note": 1}, None)
    state.put(Bookmark(T1))
    state.put(Bookmark(T1), {"a": 1})
    assert state.state() == {"note": 1}
    assert state.is_empty


def test_a_bookmark_without_a_value_removes_what_is_stored() -> None:
    state = StreamBookmarks(
        {**entry(T1), "note": 1, "partitions": [{"context": {"a": 1}, **entry(T1)}]}, "at"
    )
    state.put(Bookmark())
    state.put(Bookmark(), {"a": 1})
    assert state.state() == {"note": 1}


@pytest.mark.parametrize(
    "key", ["progress_markers", "starting_replication_value", "replication_key_signpost"]
)
def test_what_singer_sdk_notes_about_a_run_in_progress_is_dropped(key: str) -> None:
    partition = {"context": {"a": 1}, **entry(T1), key: 1, "note": 2}
    state = StreamBookmarks({**entry(T1), key: 1, "partitions": [partition]}, "at")
    assert key not in state.state()
    state.put(Bookmark(T2), {"a": 1})
    assert state.state()["partitions"] == [{"context": {"a": 1}, "note": 2, **entry(T2)}]


@pytest.mark.parametrize("partitions", [None, [], ["odd", None, 5]])
def test_odd_partitions_are_none(partitions: Any) -> None:
    assert StreamBookmarks({"partitions": partitions}, "at").state() == {}


def test_a_partition_is_known_by_its_context_in_any_order() -> None:
    state = StreamBookmarks({"partitions": [{"context": {"b": 2, "a": 1}, **entry(T1)}, entry(T2)]}, "at")
    assert state.get({"a": 1, "b": 2}).value == T1
    assert state.get({"a": 1}) == Bookmark()
    assert state.get({"at": Decimal("1.5")}) == Bookmark()
    assert not state.is_empty
    state.put(Bookmark(T3), {"a": 1, "b": 2})
    assert state.state()["partitions"] == [entry(T2), {"context": {"b": 2, "a": 1}, **entry(T3)}]


def test_is_empty() -> None:
    assert StreamBookmarks({"note": 1}, "at").is_empty
    assert not StreamBookmarks(entry(T1), "at").is_empty
    assert not StreamBookmarks({"partitions": [{"context": {"a": 1}, **entry(T1)}]}, "at").is_empty


def test_a_parent_read_for_its_children_keeps_a_bookmark_of_its_own() -> None:
    driven = StreamBookmarks({**entry(T1), "note": 1}, "at", is_selected=False)
    assert driven.get().value == T1, "it starts where the stream itself stood"
    driven.put(Bookmark(T2))
    stored = driven.state()
    assert stored == {**entry(T1), "note": 1, "_singerkit_driven": entry(T2)}
    assert StreamBookmarks(stored, "at", is_selected=False).get().value == T2
    selected = StreamBookmarks(stored, "at")
    assert selected.get().value == T1
    selected.put(Bookmark(T3))
    assert selected.state() == {"note": 1, **entry(T3)}
    driven.put(Bookmark())
    assert driven.state() == {**entry(T1), "note": 1, "_singerkit_driven": {}}


def partition(number: int, value: Any = T1) -> dict[str, Any]:
    return {"context": {"n": number}, **entry(value)}


def test_with_too_many_partitions_the_one_not_read_for_longest_gives_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bookmarks, "PARTITION_LIMIT", 3)
    state = StreamBookmarks({"partitions": [partition(n) for n in range(3)]}, "at")
    state.put(Bookmark(T2), {"n": 0})
    assert state.forgotten == 0, "it had its place"
    state.put(Bookmark(T2), {"n": 7})
    assert [one["context"]["n"] for one in state.state()["partitions"]] == [2, 0, 7]
    assert state.forgotten == 1
    assert state.get({"n": 1}).value == T1, "for this run it is still known"
    state.put(Bookmark(T3), {"n": 1})
    assert [one["context"]["n"] for one in state.state()["partitions"]] == [0, 7, 1]
    state.put(Bookmark(T3), {"n": 8})
    assert [one["context"]["n"] for one in state.state()["partitions"]] == [0, 7, 1], (
        "all were read in this run"
    )
    assert state.forgotten == 3
    assert StreamBookmarks(state.state(), "at").get({"n": 8}) == Bookmark()


def test_a_state_with_more_partitions_than_the_limit_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookmarks, "PARTITION_LIMIT", 2)
    state = StreamBookmarks({"partitions": [partition(n) for n in range(5)]}, "at")
    state.put(Bookmark(T2), {"n": 9})
    assert [one["context"]["n"] for one in state.state()["partitions"]] == [4, 9]
    assert state.forgotten == 4


def test_where_rows_would_be_doubled_no_partition_gives_way() -> None:
    state = StreamBookmarks({"partitions": [partition(n) for n in range(2)]}, "at", limit=2, keeps_all=True)
    assert not state.lacks_place({"n": 1})
    assert state.lacks_place({"n": 7})
    state.put(Bookmark(T2), {"n": 1})
    state.put(Bookmark(T2), {"n": 0})
    assert [one["context"]["n"] for one in state.state()["partitions"]] == [1, 0]
    assert state.forgotten == 0
    state.drop({"n": 1})
    state.put(Bookmark(T2), {"n": 1})
    assert not state.lacks_place({"n": 7}), "what is dropped makes room"
    state.put(Bookmark(T2), {"n": 7})
    assert not state.lacks_place({"n": 1}), "and has no bookmark in any case"
    assert state.lacks_place({"n": 8})


# rows with a key that move from one partition to another


def version(said: str, number: int) -> str:
    return version_hash(said.encode(), number)


def holding(number: int, *names: str, at: Any = T1) -> dict[str, Any]:
    """A partition that remembers its first row at its bookmark, and the others above."""
    seen = {"at": at, "rows": list(names[:1]), **({"others": [[T2, *names[1:]]]} if names[1:] else {})}
    return {"context": {"n": number}, **entry(at), "_singerkit_seen": seen}


def remembered(state: StreamBookmarks, number: int) -> set[str]:
    found = state.get({"n": number})
    return {name for rows in (found.seen or {}, *found.others.values()) for name in rows}


def test_a_version_that_one_partition_sends_voids_what_the_others_remember_of_the_row() -> None:
    a, b, c = version("a", 1), version("b", 2), version("c", 3)
    state = StreamBookmarks({"partitions": [holding(0, a, b), holding(1, a), holding(2, c)]}, "at")
    assert remembered(state, 0) == {a, b}
    assert state.remembered_elsewhere([1, 2, 3, 4], {"n": 2}) == {1, 2}
    state.supersede({1: a, 2: version("new", 2), 4: version("d", 4)}, {"n": 2})
    assert remembered(state, 0) == remembered(state, 1) == {a}, "the same version is no other"
    assert remembered(state, 2) == {c}
    again = StreamBookmarks(state.state(), "at")
    assert remembered(again, 0) == {a}
    again.put(Bookmark(T1, Counter([version("x", 9)])), {"n": 5})
    again.get({"n": 0})
    again.supersede({9: version("y", 9)}, {"n": 0})
    assert remembered(again, 5) == set(), "one that was read in this run has no other memory"


def test_where_two_partitions_remember_different_versions_neither_counts() -> None:
    a, b = version("a", 1), version("b", 1)
    state = StreamBookmarks({"partitions": [holding(0, a), holding(1, b), holding(2, version("c", 2))]}, "at")
    assert [len(remembered(state, number)) for number in range(3)] == [0, 0, 1]


def test_a_partition_without_a_place_forgets_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookmarks, "PARTITION_LIMIT", 1)
    state = StreamBookmarks({"partitions": [holding(0, version("a", 1)), holding(1, version("b", 2))]}, "at")
    assert state.get({"n": 1}).value == T1
    state.put(Bookmark(T2), {"n": 1})
    state.supersede({1: version("new", 1)}, {"n": 1})
    assert remembered(state, 0) == set()


def test_of_a_parent_that_is_read_for_its_children_the_memory_for_them_forgets() -> None:
    a = version("a", 1)
    driven = {
        "replication_key": "at",
        "replication_key_value": T1,
        "_singerkit_seen": {"at": T1, "rows": [a]},
    }
    stored = {**holding(0, a), "_singerkit_driven": driven}
    state = StreamBookmarks({"partitions": [stored]}, "at", is_selected=False)
    assert remembered(state, 0) == {a}
    state.supersede({1: version("new", 1)}, {"n": 1})
    assert remembered(state, 0) == set()
    assert remembered(StreamBookmarks(state.state(), "at"), 0) == {a}, "what was sent stands where it stood"


# the borders of what a calendar and a number may be


@pytest.mark.parametrize(
    "value",
    [
        "2024-00-01",
        "2024-13-01",
        "2024-01-00",
        "2024-01-32",
        "2024-01-01T25:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:61Z",
    ],
)
def test_what_no_calendar_has_is_no_instant(value: str) -> None:
    with pytest.raises(UnorderableError):
        order_key(value, INSTANT)
    with pytest.raises(UnorderableError):
        take(BookmarkTracker(INSTANT, Bookmark()), T1, value)


@pytest.mark.parametrize(
    "value",
    ["2024-01-01", "2024-12-31", "2024-01-01T24:00:00Z", "2024-01-01T00:59:00Z", "2024-01-01T00:00:60Z"],
)
def test_what_a_calendar_or_a_leap_second_has_is_one(value: str) -> None:
    order_key(value, INSTANT)
    take(BookmarkTracker(INSTANT, Bookmark()), T1, value)


@pytest.mark.parametrize(
    "values",
    [
        [b'"NaN"'],
        [b'"NaN"', b"1"],
        [b"1.5", b'"sNaN"'],
        [b'"Infinity"', b"1"],
        [b"1", b'"-Infinity"'],
        [b'"NaN"', None],
    ],
)
def test_a_number_that_is_none_becomes_no_bookmark(values: list[Any]) -> None:
    with pytest.raises(UnorderableError):
        take(BookmarkTracker(NUMBER, Bookmark()), *values)


def test_a_number_out_of_range_becomes_no_bookmark() -> None:
    with pytest.raises(UnorderableError, match="out of range"):
        take(BookmarkTracker(NUMBER, Bookmark()), b"1e999999999999999999999")
    with pytest.raises(UnorderableError, match="out of range"):
        take(BookmarkTracker(NUMBER, Bookmark(5)), 5, b"1e999999999999999999999")


@pytest.mark.parametrize(
    ("value", "lookback", "earlier"),
    [
        ("2024-03-02", Decimal("0.5"), "2024-03-01"),
        ("2024-03-02", Decimal("1.5"), "2024-02-29"),
        ("2024-03-01T00:00:10Z", Decimal("0.5"), "2024-03-01T00:00:09Z"),
    ],
)
def test_a_part_of_a_day_or_second_is_rounded_up(value: str, lookback: Decimal, earlier: str) -> None:
    assert less_lookback(value, INSTANT, lookback) == earlier


def test_what_was_put_is_what_is_got_in_the_same_run() -> None:
    state = StreamBookmarks({"partitions": [{"context": {"a": 1}, "note": 5, **entry(T1)}]}, "at")
    state.put(Bookmark(T2), {"a": 1})
    assert state.get({"a": 1}) == Bookmark(T2)
    state.put(Bookmark(T3), {"a": 1})
    assert state.state()["partitions"] == [{"context": {"a": 1}, "note": 5, **entry(T3)}]


def test_rows_without_a_value_to_stand_at_are_none() -> None:
    assert StreamBookmarks(entry(None, _singerkit_seen={"at": None, "rows": ["a"]}), "at").get() == Bookmark()
