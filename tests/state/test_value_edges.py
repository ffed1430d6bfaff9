"""What is exact about the STATE value's text and mark: others read them, a database shows them."""

from __future__ import annotations

import pytest

from singerkit_state.value import Mark, encode, is_utf8, read_mark, with_mark


def test_the_mark_stands_under_the_key_that_is_agreed() -> None:
    """docs/architecture.md, "Agreements": a tap and a target of different versions meet in the pipe."""
    mark = Mark(run="r-1", pipeline="orders", complete=True)
    wire = {"bookmarks": {}, "_singerkit": {"run": "r-1", "pipeline": "orders", "complete": True}}
    assert with_mark({"bookmarks": {}}, mark) == wire
    assert read_mark(wire) == mark


@pytest.mark.parametrize("key", ["run", "pipeline", "complete"])
def test_each_part_of_a_mark_is_checked(key: str) -> None:
    mark = {"run": "r-1", "pipeline": "orders", "complete": True}
    assert read_mark({"_singerkit": mark}) is not None
    assert read_mark({"_singerkit": mark | {key: 5}}) is None


def test_true_false_and_null_are_not_numbers() -> None:
    assert encode([True, False, None, 1, 0]) == "[true,false,null,1,0]"


def test_text_is_written_as_it_is_unless_utf_8_has_no_form_for_it() -> None:
    assert encode({"Größe": "日本"}) == '{"Größe":"日本"}'
    assert encode(["é\ud800"]) == r'["\u00e9\ud800"]'


def test_what_json_cannot_say_is_named() -> None:
    with pytest.raises(TypeError, match="Expected text as a key of a STATE value, got `int`"):
        encode({1: "a"})
    with pytest.raises(TypeError, match="Expected a JSON value in a STATE value, got `set`"):
        encode({"a": set()})


@pytest.mark.parametrize(
    ("said", "read"), [("file", "file"), ("url", "url"), (None, None), (5, None), ([], None)]
)
def test_the_mark_may_say_where_its_run_began(said: object, read: str | None) -> None:
    wire = {"_singerkit": {"run": "r-1", "pipeline": "orders", "complete": True, "resumes": said}}
    assert read_mark(wire) == Mark("r-1", "orders", True, read)
    assert read_mark({"_singerkit": {"run": "r-1", "pipeline": "orders", "complete": True}}) == Mark(
        "r-1", "orders", True, None
    )


def test_bytes_that_are_no_utf_8_are_noticed_after_they_were_read() -> None:
    assert is_utf8("Größe 日本")
    assert is_utf8("") is True
    assert is_utf8(b"\xff".decode(errors="surrogateescape")) is False
