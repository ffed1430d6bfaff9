"""The pages from which a schema is inferred are the first pages of the read: nothing is asked for twice, and nothing is missed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from taps.rest.api_server import Api, Asked, Reply, json_reply, serving
from taps.rest.test_deleted_rows import Load, activated, load, stream

from singerkit_shell.errors import RetryableError
from tap_rest.answers.answer import Response
from tap_rest.records.cutting import ReadPage
from tap_rest.schema.firstpages import FirstPages, Room

__all__ = ["load"]

EIGHT = [{"id": number} for number in range(1, 9)]


def listed(asked: Asked) -> Reply:
    """Eight rows, one by one, by a token that leads on once only."""
    at = int(asked.param("at") or 0)
    return json_reply({"data": EIGHT[at : at + 1], "next": at + 1 if at < 7 else None})


def paths(api: Api) -> list[str]:
    return [asked.raw_path for asked in api.asked]


BY_TOKEN = {"type": "cursor", "cursor": "$.next", "param": "at"}
ROWS: dict[str, Any] = {
    "name": "rows",
    "path": "/rows",
    "primary_keys": ["id"],
    "records": "$.data[*]",
    "pagination": BY_TOKEN,
}


def test_no_page_is_asked_for_twice(load: Load) -> None:
    with serving({"/rows": listed}) as api:
        run = load(api.url, ROWS)
        assert [row["id"] for row in run.records("rows")] == [row["id"] for row in EIGHT]
        assert paths(api) == ["/rows", *(f"/rows?at={at}" for at in range(1, 8))]


def test_a_parent_and_its_children_are_not_asked_for_twice(load: Load) -> None:
    child = {"name": "rows", "path": "/p/{parent.id}", "primary_keys": ["no"], "parent": {"stream": "p"}}
    routes: Any = {f"/p/{n}": lambda asked: json_reply([{"no": asked.path}]) for n in range(1, 9)}
    with serving({"/p": lambda _: json_reply(EIGHT), **routes}) as api:
        run = load(api.url, {"name": "p", "path": "/p"}, child)
        assert len(run.records("rows")) == 8
        assert sorted(paths(api)) == sorted(["/p", *routes])


def test_a_read_that_is_to_be_whole_is_read_twice_all_the_same(load: Load) -> None:
    with serving({"/rows": listed}) as api:
        run = load(api.url, stream(records="$.data[*]", pagination=BY_TOKEN))
        assert len(api.asked) == 16
    assert activated(run)


def test_a_read_from_elsewhere_asks_for_its_own_pages(load: Load) -> None:
    """The first pages are those without a bookmark; a run that continues begins behind it."""
    rows = [row | {"at": f"2026-01-0{row['id']}T00:00:00Z"} for row in EIGHT]

    def since(asked: Asked) -> Reply:
        return json_reply([row for row in rows if row["at"] >= (asked.param("since") or "")])

    keyed = {"name": "rows", "path": "/rows", "primary_keys": ["id"], "replication_key": "at"} | {
        "incremental": {"param": "since"},
        "pagination": {"type": "single"},
    }
    with serving({"/rows": since}) as api:
        state = load(api.url, keyed).state
        assert paths(api) == ["/rows"]
        rows.append({"id": 9, "at": "2026-02-01T00:00:00Z"})
        run = load(api.url, keyed, state=state)
        assert [row["id"] for row in run.records("rows")] == [9]


class Asking:
    """Reads of three pages of ten bytes; ``fails``: behind which page one ends in an error."""

    def __init__(self, fails: int | None = None) -> None:
        self.fails = fails
        self.reads = 0

    def pages(self, _context: Any, _params: Any) -> Iterator[ReadPage]:
        self.reads += 1
        for number in range(3):
            if number == self.fails:
                raise RetryableError("away")
            yield ReadPage([], {}, Response(str(number), 200, {}, b"0123456789"))


def numbers(pages: Iterator[ReadPage] | None) -> list[str] | None:
    return None if pages is None else [page.answer.url for page in pages]


ALL = ["0", "1", "2"]


def test_what_is_kept_is_bounded_in_bytes() -> None:
    asking, room = Asking(), Room(25)
    first = FirstPages(asking.pages, room)
    assert numbers(first.look(None, {})) == ALL, "whoever looks sees all"
    assert first.begun(None, {}) is None
    assert room.take(25), "and nothing of it is kept"


def test_a_look_that_stopped_is_gone_on_with_once() -> None:
    asking, room = Asking(), Room(30)
    first = FirstPages(asking.pages, room)
    for _ in range(2):
        assert next(first.look(None, {})).answer.url == "0"
    assert first.begun(None, {"other": "1"}) is None
    assert first.begun({"id": 1}, {}) is None
    assert numbers(first.begun(None, {})) == ALL
    assert first.begun(None, {}) is None
    assert asking.reads == 1
    assert room.take(30)


def test_a_read_that_waited_for_long_is_not_gone_on_with() -> None:
    now = 0.0
    first = FirstPages(Asking().pages, Room(), lambda: now)
    next(first.look(None, {}))
    now = 301
    assert first.begun(None, {}) is None


def test_a_look_that_failed_is_no_read() -> None:
    first = FirstPages(Asking(fails=2).pages, Room())
    with pytest.raises(RetryableError):
        numbers(first.look(None, {}))
    assert first.begun(None, {}) is None
