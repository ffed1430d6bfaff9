"""Pages that replace rows (`Page.replaces`): REPLACE before their records, and no STATE amid them, whatever happens."""

from __future__ import annotations

from typing import Any

import pytest

from singerkit_shell.errors import RetryableError, SingerkitError


def page(*numbers: int, **more: Any) -> dict[str, Any]:
    return {"records": [{"id": number, "note": "a"} for number in numbers], **more}


def again(*numbers: int, **more: Any) -> dict[str, Any]:
    return page(*numbers, replaces={"note": "a"}, **more)


def kinds(result: Any) -> list[str]:
    return [message["type"] for message in result.messages]


def every_page(example, **settings: Any) -> dict[str, Any]:
    return example.config(example.stream(resumes=True, **settings), state_every=1)


@pytest.mark.parametrize("keys", [["id"], []])
def test_replace_stands_before_the_records_and_no_state_between_it_and_the_next_safe_page(example, keys):
    example.pages(page(1), again(2, is_safe=False), page(3, is_safe=False), page(4), again(), page(5))
    result = example.sync(every_page(example, key_properties=keys))
    read = ["REPLACE", "RECORD", "RECORD", "RECORD", "STATE", "REPLACE", "RECORD", "STATE"]
    assert kinds(result) == ["STATE", "SCHEMA", "RECORD", "STATE", *read, "STATE", "STATE"]
    assert result.of_type("REPLACE") == [{"type": "REPLACE", "stream": "orders", "where": {"note": "a"}}] * 2


def test_the_end_of_the_read_is_a_safe_place(example):
    example.pages(again(1, is_safe=False))
    result = example.sync(every_page(example))
    assert kinds(result) == ["STATE", "SCHEMA", "REPLACE", "RECORD", "STATE", "STATE"]


@pytest.mark.parametrize("keys", [["id"], []])
@pytest.mark.parametrize("then", [["fail"], [page(3, is_safe=False), "fail"]], ids=["at once", "later"])
def test_a_read_that_fails_amid_them_writes_no_state(example, keys, then):
    example.pages(page(1), again(2, is_safe=False), *then)
    with pytest.raises(RetryableError):
        example.sync(every_page(example, key_properties=keys))
    left = example.what_was_written()
    assert kinds(left)[-1] in ("RECORD", "REPLACE")
    assert kinds(left).count("STATE") == 2, "the first of the run, and that of page 1"
    example.pages(page(1), again(2, is_safe=False), page(3))
    assert example.sync(every_page(example, key_properties=keys), left.state).ids == [2, 3]


def test_no_other_stream_is_read_whose_state_would_cover_half_of_them(example, tap_class, monkeypatch):
    """Where the failure of a stream is its own, others are read, and their STATE covers its rows."""
    others = example.stream(name="others")
    monkeypatch.setattr(
        "singerkit_tap.stream.BlockStream.is_own_failure", lambda self, _error: self.name == "orders"
    )
    example.pages(page(7), name="others")
    example.pages(again(2, is_safe=False), "fail")
    config = {**every_page(example), "streams": [example.stream(resumes=True), others]}
    with pytest.raises(RetryableError, match="all of them or none"):
        example.sync(config)
    assert kinds(example.what_was_written()) == ["STATE", "SCHEMA", "REPLACE", "RECORD"]
    example.pages(again(2), "fail")
    with pytest.raises(RetryableError, match="all else was read"):
        example.sync(config)
    assert example.what_was_written().records("others") == [{"id": 7, "note": "a", "at": None, "price": None}]


def test_a_column_that_is_not_selected_finds_no_rows(example):
    example.pages(again(1))
    config = every_page(example)
    example.sync(config)
    catalog = {
        "streams": [
            {
                "tap_stream_id": "orders",
                "stream": "orders",
                "schema": config["streams"][0]["schema"],
                "metadata": [
                    {"breadcrumb": [], "metadata": {"selected": True}},
                    {"breadcrumb": ["properties", "note"], "metadata": {"selected": False}},
                ],
            }
        ]
    }
    result = example.run(config, "--catalog", example.write("catalog.json", catalog))
    assert result.code == 78
    assert "replaces rows by their `note`, which is not selected" in result.last_line
    assert kinds(result) == ["STATE", "SCHEMA"]


def test_a_stream_with_a_replication_key_replaces_nothing(example):
    example.pages(again(1))
    with pytest.raises(SingerkitError, match="please report"):
        example.sync(every_page(example, replication_key="at"))
