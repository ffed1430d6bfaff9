"""What differs between two STATE values, by streams and paths."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from singerkit_state.diff import Difference, compare


def part(context: Any, **others: Any) -> dict[str, Any]:
    return {"context": context, **others}


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ({"a": 1}, {"a": Decimal("1.0")}, []),
        ({"a": 1}, {"a": True}, ["changed a"]),
        ({"a": True}, {"a": 1}, ["changed a"]),
        ({"a": True}, {"a": True}, []),
        ({"a": [1, {"b": 0}]}, {"a": [1, {"b": False}]}, ["changed a"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}]}, []),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, ["changed a"]),
        ({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}, ["changed a"]),
        ({"a": [1]}, {"a": [1, 2]}, ["changed a"]),
        ({"a": [1, 2]}, {"a": [1]}, ["changed a"]),
        ({"a": []}, {"a": [1]}, ["changed a"]),
        ({"a": [1]}, {"a": []}, ["changed a"]),
        ({"a": []}, {"a": []}, []),
        ({"a": None}, {}, ["removed a"]),
        ({}, {"a": None}, ["added a"]),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2, "d": 3}}}, ["changed a.b.c", "added a.b.d"]),
        ({"a": {}}, {"a": []}, ["changed a"]),
        ({"a": []}, {"a": {}}, ["changed a"]),
        ({"_singerkit": 1}, {"_singerkit": 2}, []),
    ],
)
def test_diff_of_values(old: Any, new: Any, paths: list[str]) -> None:
    found = compare(old, new)
    assert [f"{item.what} {item.path}" for item in found.others] == paths
    assert bool(found) is bool(paths)
    in_stream = compare({"bookmarks": {"s": old}}, {"bookmarks": {"s": new}})
    if "_singerkit" not in old:
        assert [f"{item.what} {item.path}" for item in in_stream.streams.get("s", [])] == paths
        assert bool(in_stream) is bool(paths)


def test_a_difference_has_both_values() -> None:
    found = compare({"a": 1, "b": {"x": 1}}, {"a": 2, "c": 3})
    assert found.others == [
        Difference("a", "changed", 1, 2),
        Difference("b", "removed", {"x": 1}, None),
        Difference("c", "added", None, 3),
    ]


def test_streams_apart_and_only_those_that_differ() -> None:
    old = {"bookmarks": {"a": {"n": 1}, "b": {"n": 1}, "gone": {"n": 1}, "plain": 1}}
    new = {"bookmarks": {"a": {"n": 1}, "b": {"n": 2}, "new": {"n": 1}, "plain": 2}}
    assert compare(old, new).streams == {
        "b": [Difference("n", "changed", 1, 2)],
        "gone": [Difference("", "removed", {"n": 1}, None)],
        "plain": [Difference("", "changed", 1, 2)],
        "new": [Difference("", "added", None, {"n": 1})],
    }
    assert compare(old, new).others == []


def test_no_state_at_all() -> None:
    assert not compare(None, None)
    assert not compare(None, {"bookmarks": {}})
    assert compare(None, {"bookmarks": {"a": 1}}).streams == {"a": [Difference("", "added", None, 1)]}
    assert compare({"bookmarks": {"a": 1}}, None).streams == {"a": [Difference("", "removed", 1, None)]}


def test_partitions_are_told_apart_by_their_contexts_not_by_their_order() -> None:
    old = {"p": [part({"b": 2, "a": "x"}, n=1), part({"b": 3, "a": "x"}, n=1)]}
    new = {"p": [part({"a": "x", "b": 3}, n=1), part({"a": "x", "b": 2}, n=5), part({}, n=7)]}
    assert compare(old, new).others == [
        Difference("p[a=x,b=2].n", "changed", 1, 5),
        Difference("p[]", "added", None, {"context": {}, "n": 7}),
    ]
    in_stream = compare(
        {"bookmarks": {"s": [part({"a": 1}, n=1)]}}, {"bookmarks": {"s": [part({"a": 1}, n=2)]}}
    )
    assert in_stream.streams == {"s": [Difference("[a=1].n", "changed", 1, 2)]}


def test_a_context_is_written_as_json_but_for_texts() -> None:
    context = {"a": True, "b": None, "c": Decimal("1.10"), "d": "x", "e": [1]}
    (found,) = compare({"p": [part(context, n=1)]}, {"p": [part(context, n=2)]}).others
    assert found.path == "p[a=true,b=null,c=1.10,d=x,e=[1]].n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([part({"a": 1}, n=1)], [part({"a": 1}, n=1), part({"a": 1}, n=2)]),  # the same context twice
        ([part({"a": 1}, n=1), part({"a": 1}, n=2)], [part({"a": 1}, n=1)]),
        ([part({"a": 1})], [part({"a": 1}), 5]),  # not all are objects
        ([part({"a": 1})], [part({"a": 1}), {"n": 5}]),  # not all have a context
        ([part({"a": 1})], [part({"a": 1}), part("b")]),  # which is an object
        ([part({"a": 1})], []),
        ([], [part({"a": 1})]),
        ([part({"a": 1})], {"a": 1}),
        ({"a": 1}, [part({"a": 1})]),
    ],
)
def test_what_is_no_list_of_partitions_differs_as_a_whole(old: Any, new: Any) -> None:
    assert compare({"p": old}, {"p": new}).others == [Difference("p", "changed", old, new)]
