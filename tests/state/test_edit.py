"""Changes to a STATE value by hand: the whole of it, a stream, or a stream less."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from singerkit_shell.errors import ConfigurationError, UsageError
from singerkit_state.edit import (
    given_part,
    given_value,
    has_part,
    others_of,
    part_of,
    replaced,
    streams_of,
    with_stream,
    without_streams,
)

OURS: dict[str, Any] = {"run": "r1", "pipeline": "ours", "complete": True}
THEIRS: dict[str, Any] = {"run": "r2", "pipeline": "theirs", "complete": False}


def text_of(bookmarks: Any, mark: Any = None, **others: Any) -> str:
    return json.dumps({"bookmarks": bookmarks} | others | ({"_singerkit": mark} if mark else {}))


def bookmarks(text: str | None) -> Any:
    assert text is not None
    return json.loads(text)["bookmarks"]


def mark(text: str) -> Any:
    return json.loads(text).get("_singerkit")


# the parts of a value


@pytest.mark.parametrize("value", [None, {}, {"bookmarks": None}, {"bookmarks": [1]}])
def test_a_value_without_streams(value: Any) -> None:
    assert streams_of(value) == {}
    with pytest.raises(UsageError, match=r"no stream `a`; its streams: none\.$"):
        part_of(value, "a")


def test_the_parts_of_a_value_without_bookmarks() -> None:
    """As taps of others keep it: by stream at the top level, or not by stream at all."""
    text = json.dumps({"a": "2020", "b": None, "currently_syncing": "a", "_singerkit": OURS})
    value = json.loads(text)
    assert part_of(value, "a") == "2020"
    assert has_part(value, "b")
    assert [has_part(value, name) for name in ("c", "currently_syncing", "_singerkit")] == [False] * 3
    assert not has_part(None, "a")
    with pytest.raises(
        UsageError, match="no `c` at its top level, which has `a`, `b`; set or forget the whole of it"
    ):
        without_streams(["c"])(text)
    with pytest.raises(UsageError, match="nothing was changed: set the whole value"):
        with_stream("a", {"n": 1})(text)
    assert without_streams(["a"])('{"a":1,"b":2}') == '{"b":2}'
    assert without_streams(["a", "b"])('{"a":1,"b":2}') is None


def test_the_parts_of_a_value() -> None:
    value = {"bookmarks": {"a": {"n": 1}, "b": None}, "currently_syncing": "a", "_singerkit": OURS}
    assert streams_of(value) == {"a": {"n": 1}, "b": None}
    assert others_of(value) == {"currently_syncing": "a"}
    assert part_of(value, "a") == {"n": 1}
    assert part_of(value, "b") is None
    with pytest.raises(UsageError, match=r"no stream `c`; its streams: `a`, `b`\.$"):
        part_of(value, "c")
    assert set(value) == {"bookmarks", "currently_syncing", "_singerkit"}, "it is as it was"


def test_bookmarks_that_are_no_object_are_beside_the_streams() -> None:
    assert others_of({"bookmarks": [1], "a": 2}) == {"bookmarks": [1], "a": 2}
    assert others_of(None) == {}


# what a user gives


def test_a_value_that_is_given() -> None:
    assert given_value('{"bookmarks":{"a":{"n":1.10}}}', "value") == {
        "bookmarks": {"a": {"n": Decimal("1.10")}}
    }
    with pytest.raises(ConfigurationError, match=r"^The value .*; give one JSON object, the STATE value\."):
        given_value("[1]", "value")
    with pytest.raises(
        UsageError, match=r"^The value is an empty state; to forget .*`singerkit-state reset`\."
    ):
        given_value('{"bookmarks":{}}', "value")


def test_a_part_that_is_given() -> None:
    assert given_part('{"n":1.10}', "value") == {"n": Decimal("1.10")}
    for text, words in (("{", "is not JSON"), ("[1]", "not an object"), ("null", "not an object")):
        with pytest.raises(ConfigurationError, match=f"^The value is .*{words.removeprefix('is ')}"):
            given_part(text, "value")
    with pytest.raises(UsageError, match=r"^The value is an empty object; .*singerkit-state reset"):
        given_part("{}", "value")


# the whole value


def test_a_value_without_a_mark_inherits_the_former_one() -> None:
    edit = replaced({"bookmarks": {"a": 1}}, "ours", adopt=False)
    assert mark(edit(text_of({"a": 0}, OURS))) == OURS
    assert bookmarks(edit(text_of({"a": 0}, OURS))) == {"a": 1}


@pytest.mark.parametrize("former", [None, '{"torn', text_of({"a": 0}), "[1]"])
def test_nothing_to_inherit(former: str | None) -> None:
    assert mark(replaced({"bookmarks": {"a": 1}}, "ours", adopt=False)(former)) is None
    assert mark(replaced({"bookmarks": {"a": 1}}, None, adopt=False)(former)) is None


def test_the_mark_that_is_given_counts() -> None:
    given = {"bookmarks": {"a": 1}, "_singerkit": {**OURS, "run": "r9"}}
    for pipeline in ("ours", None):
        assert mark(replaced(given, pipeline, adopt=False)(text_of({"a": 0}, OURS)))["run"] == "r9"
    assert mark(replaced(given, None, adopt=False)(None))["pipeline"] == "ours"


@pytest.mark.parametrize(("pipeline", "former"), [("ours", None), (None, text_of({}, OURS)), ("ours", "{}")])
def test_a_value_of_another_pipeline(pipeline: str | None, former: str | None) -> None:
    given = {"bookmarks": {"a": 1}, "_singerkit": THEIRS}
    with pytest.raises(
        ConfigurationError, match=r"pipeline `theirs`, .* `ours`; nothing was changed.*--adopt"
    ):
        replaced(given, pipeline, adopt=False)(former)
    adopted = replaced(given, pipeline, adopt=True)(former)
    assert mark(adopted) == {**THEIRS, "pipeline": "ours"}
    assert bookmarks(adopted) == {"a": 1}


def test_the_place_knows_better_than_the_former_value() -> None:
    edit = replaced({"bookmarks": {"a": 1}, "_singerkit": OURS}, "ours", adopt=False)
    assert mark(edit(text_of({}, THEIRS))) == OURS


# one stream


def test_a_stream_is_replaced_or_added() -> None:
    former = text_of({"a": {"n": 1, "m": 2}, "b": 5}, OURS, currently_syncing="a")
    assert json.loads(with_stream("a", {"n": 3})(former)) == {
        "bookmarks": {"a": {"n": 3}, "b": 5},
        "currently_syncing": "a",
        "_singerkit": OURS,
    }
    assert bookmarks(with_stream("c", {"n": 3}, is_new=True)(former)) == {
        "a": {"n": 1, "m": 2},
        "b": 5,
        "c": {"n": 3},
    }
    assert json.loads(with_stream("a", {"n": 1})(None)) == {"bookmarks": {"a": {"n": 1}}}


def test_a_stream_of_a_torn_value_is_refused() -> None:
    for edit in (with_stream("a", {"n": 1}), without_streams(["a"])):
        with pytest.raises(
            ConfigurationError, match=r"^The state that is there .*; set a whole value, or reset it\."
        ):
            edit('{"bookmarks"')


def test_streams_are_forgotten() -> None:
    former = text_of({"a": 1, "b": 2, "c": 3}, OURS, currently_syncing="a")
    found = without_streams(["a", "c"])(former)
    assert bookmarks(found) == {"b": 2}
    assert json.loads(found or "")["_singerkit"] == OURS
    assert json.loads(found or "")["currently_syncing"] == "a"
    with pytest.raises(UsageError, match="no stream `x`"):
        without_streams(["a", "x"])(former)
    with pytest.raises(UsageError, match="no stream `a`"):
        without_streams(["a"])(None)


def test_the_last_stream_leaves_no_state() -> None:
    assert without_streams(["a", "b"])(text_of({"a": 1, "b": 2}, OURS)) is None
    assert bookmarks(without_streams(["a"])(text_of({"a": 1}, OURS, version=2))) == {}
