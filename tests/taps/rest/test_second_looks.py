"""An end without records that contradicts the page before it is looked at twice, since rows may stand behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving

MORE = "$.has_more"
PAGINATIONS: dict[str, dict[str, Any]] = {
    "keyset": {"type": "keyset", "field": "id", "param": "starting_after", "has_more": MORE},
    "cursor": {"type": "cursor", "cursor": "$.next"},
    "page": {"type": "page", "has_more": MORE},
}


class Api:
    """Thirty rows, ten at once. ``at``: what happens before answer number so and so.

    ``fails`` are the numbers of answers that have no rows, ``refuses`` those of answers with `refusal`. ``queries``: what was asked.
    """

    def __init__(self, rows: int = 30, *, size: int = 10, is_always_more: bool = False) -> None:
        self.size = size
        self.ids = [f"r{number:02d}" for number in range(rows)]
        self.is_always_more = is_always_more
        self.at: dict[int, Callable[[], object]] = {}
        self.fails: set[int] = set()
        self.refuses: set[int] = set()
        self.refusal = 400
        self.queries: list[str] = []
        self.answers = 0

    def __call__(self, asked: Asked) -> Reply:
        self.answers += 1
        self.queries.append(asked.raw_path.partition("?")[2])
        self.at.get(self.answers, list)()
        if self.answers in self.refuses:
            return json_reply({}, self.refusal)
        if self.answers in self.fails:
            return json_reply({"data": [], "has_more": False, "next": None}, **{"X-More": "0"})
        begin = (int(asked.param("page") or 1) - 1) * self.size + int(asked.param("cursor") or 0)
        after = asked.param("starting_after") or asked.param("id_gt")
        if after is not None:
            begin = self.ids.index(after) + 1 if after in self.ids else len(self.ids)
        rows = self.ids[begin : begin + self.size]
        is_more = begin + self.size < len(self.ids) or (self.is_always_more and bool(rows))
        found = [{"id": name} for name in rows]
        following = str(begin + self.size) if is_more else None
        said = {"data": found, "has_more": is_more, "next": following}
        return json_reply(said, **{"X-More": str(int(is_more))})


def stream(kind: str) -> dict[str, Any]:
    schema = {"properties": {"id": {"type": "string"}}}
    return {
        "name": "rows",
        "path": "/rows",
        "primary_keys": ["id"],
        "records": "$.data[*]",
        "schema": schema,
        "pagination": PAGINATIONS[kind],
    }


def read(run_tap: Any, api: Api, kind: str, **more: Any) -> Any:
    with serving({"/rows": api}) as server:
        return run_tap(server.url, stream(kind) | more).ended(0)


@pytest.mark.parametrize("kind", PAGINATIONS)
def test_an_end_of_one_moment_is_none(kind: str, run_tap: Any) -> None:
    api = Api()
    api.fails = {3}
    run = read(run_tap, api, kind)
    assert [row["id"] for row in run.records("rows")] == api.ids
    assert "rows may be missing" not in run.stderr


@pytest.mark.parametrize("gone", [1, 2, 5])
def test_rows_behind_one_that_was_deleted_are_read(gone: int, run_tap: Any) -> None:
    """And behind several, the next of which have gone, too."""
    api = Api()
    lost = api.ids[20 - gone : 20]
    api.at = {3: lambda: [api.ids.remove(name) for name in lost]}
    run = read(run_tap, api, "keyset")
    assert [row["id"] for row in run.records("rows")] == sorted([*api.ids, *lost])
    assert "rows may be missing" not in run.stderr


@pytest.mark.parametrize("has_flag", [True, False])
def test_what_contradicts_an_end_is_named(has_flag: bool, run_tap: Any) -> None:
    api = Api()
    api.fails = {*range(3, 99)}
    keyset = {"type": "keyset", "field": "id", "param": "starting_after"}
    run = read(run_tap, api, "keyset", pagination=keyset | ({"has_more": MORE} if has_flag else {}))
    said = "says by `$.has_more`" if has_flag else "has records, and those before the last"
    assert f"Page 2 of stream rows {said}" in run.stderr
    assert "and page 3 has no records" in run.stderr


@pytest.mark.parametrize(
    ("pagination", "answers"),
    [
        ({"type": "page"}, 4),
        ({"type": "offset", "param": "cursor", "size": 10}, 4),
        ({"type": "page", "has_more": MORE}, 3),
        ({"type": "keyset", "field": "id", "param": "id_gt"}, 4),  # compares, whatever has become of the row
    ],
)
def test_an_end_that_contradicts_nothing_is_not_asked_for_again(
    pagination: dict[str, Any], answers: int, run_tap: Any
) -> None:
    api = Api()
    run = read(run_tap, api, "page", pagination=pagination)
    assert len(run.records("rows")) == 30
    assert api.answers == answers


@pytest.mark.parametrize("kind", ["keyset", "page"])
@pytest.mark.parametrize("status", [400, 401])
def test_a_look_that_is_refused_shows_no_end(kind: str, status: int, run_tap: Any) -> None:
    api = Api()
    api.fails, api.refuses, api.refusal = {3}, {*range(4, 99)}, status
    run = read(run_tap, api, kind)
    assert len(run.records("rows")) == 20
    assert "rows may be missing if the API failed" in run.stderr


def test_behind_a_look_that_is_refused_comes_another(run_tap: Any) -> None:
    api = Api()
    api.fails, api.refuses = {3}, {4}
    assert len(read(run_tap, api, "keyset").records("rows")) == 30


def test_a_first_row_that_was_deleted_is_no_end(run_tap: Any) -> None:
    """Nothing is known to come before it, so the first page is asked for."""
    api = Api(3, size=1)
    api.at = {2: lambda: api.ids.remove("r00")}
    run = read(run_tap, api, "keyset", params={"sort": "id"})
    assert [row["id"] for row in run.records("rows")] == ["r00", "r01", "r02"]
    assert api.queries[:3] == ["sort=id", "sort=id&starting_after=r00", "sort=id"]


@pytest.mark.parametrize(
    ("ids", "meanwhile", "queries"),
    [
        ([13], [6, 13], ["", "after=13", ""]),
        ([5, 9], [5, 7, 10], ["", "after=9", "after=5", "after=10", "after=9"]),
        (["m"], ["c", "m"], ["", "after=m", ""]),
    ],
)
def test_what_has_come_ahead_of_the_last_row_is_no_way_on(
    ids: list[Any], meanwhile: list[Any], queries: list[str], run_tap: Any
) -> None:
    """The run ended with 65: its pages went round in circles, since it went on from a row that had come to be ahead."""
    queried: list[str] = []

    def route(asked: Asked) -> Reply:
        queried.append(asked.raw_path.partition("?")[2])
        after = asked.param("after")
        there = ids if len(queried) < 3 else meanwhile
        kind = type(ids[0])
        return json_reply([{"id": one} for one in there if after is None or one > kind(after)])

    stream = {
        "name": "rows", "path": "/rows", "primary_keys": ["id"],
        "pagination": {"type": "keyset", "field": "id", "param": "after"},
    }  # fmt: skip
    with serving({"/rows": route}) as api:
        run = run_tap(api.url, stream).ended(0)
    assert {row["id"] for row in run.records("rows")} == {*ids, *meanwhile}
    assert queried == queries
    assert "WARNING" not in run.stderr


def test_an_end_that_a_header_tells_is_looked_at_twice(run_tap: Any) -> None:
    api = Api()
    api.fails = {3}
    run = read(run_tap, api, "page", pagination={"type": "page", "has_more": "header:X-More"})
    assert len(run.records("rows")) == 30


@pytest.mark.parametrize("kind", ["keyset", "page"])
def test_an_outage_that_lasts_is_told_and_removes_nothing(kind: str, run_tap: Any) -> None:
    api = Api()
    api.fails = {*range(3, 99)}
    run = read(run_tap, api, kind, activate_version=True)
    assert len(run.records("rows")) == 20
    assert "rows may be missing if the API failed" in run.stderr
    assert all(message["type"] != "ACTIVATE_VERSION" for message in run.messages)


@pytest.mark.parametrize(("kind", "answers"), [("keyset", 5), ("cursor", 6), ("page", 5)])
def test_an_api_that_always_names_one_page_more_ends(kind: str, answers: int, run_tap: Any) -> None:
    api = Api(is_always_more=True)
    run = read(run_tap, api, kind)
    assert len(run.records("rows")) == 30
    assert api.answers == answers, (
        "three pages, one without rows, and a look; at the first page, too, behind a token"
    )
    # Where the last row comes behind the one before it, nothing has gone; a number or a token shows no such thing.
    assert ("rows may be missing" in run.stderr) is (kind == "page")


def test_behind_a_token_an_outage_that_lasts_fails_the_run(run_tap: Any) -> None:
    """A null in the place of the token is all that such an API says, and what had rows has none now."""
    api = Api()
    api.fails = {*range(3, 99)}
    with serving({"/rows": api}) as server:
        run = run_tap(server.url, stream("cursor") | {"activate_version": True}).ended(69)
    assert len(run.records("rows")) == 20
    assert "no records, it says" in run.sentence
    assert "what had some before has none now" in run.sentence
    assert all(message["type"] != "ACTIVATE_VERSION" for message in run.messages)


@pytest.mark.parametrize("says_end", [True, False])
def test_rows_that_can_be_asked_for_once_only_need_a_word(says_end: bool, run_tap: Any) -> None:
    """A queue gives each row once, and its first page is another each time."""
    rows = [[{"id": "a"}], [{"id": "b"}]]

    def queue(_: Asked) -> Reply:
        return json_reply(
            {"data": rows.pop(0), "next": f"more{len(rows)}"} if rows else {"data": [], "next": None}
        )

    pagination = PAGINATIONS["cursor"] | ({"empty_page": "stop"} if says_end else {})
    with serving({"/rows": queue}) as server:
        run = run_tap(server.url, stream("cursor") | {"pagination": pagination}).ended(0 if says_end else 69)
    assert len(run.records("rows")) == 2
    assert ('say `"empty_page": "stop"` in `pagination`' in run.sentence) is not says_end


def test_behind_a_token_an_outage_that_ends_meanwhile_is_waited_for(run_tap: Any) -> None:
    api = Api()
    api.fails = {3, 4, 5}  # the third page, the look at it, and the first page
    run = read(run_tap, api, "cursor")
    assert [row["id"] for row in run.records("rows")] == api.ids


def test_rows_that_are_there_no_more_are_the_end(run_tap: Any) -> None:
    """The last two are deleted, and nothing is behind them."""
    api = Api(20, is_always_more=True)
    api.at = {3: lambda: api.ids.__delitem__(slice(18, None))}
    run = read(run_tap, api, "keyset")
    assert len(run.records("rows")) == 20
    assert "rows may be missing" not in run.stderr


@pytest.mark.parametrize(("relation", "came"), [("gte", 25), ("eq", 20), (None, 20)])
def test_a_total_that_is_a_lower_bound_ends_no_full_page(
    relation: str | None, came: int, run_tap: Any
) -> None:
    """Elasticsearch counts up to 10,000; the rows behind it come page by page until one is not full."""

    def hits(asked: Asked) -> Reply:
        begin = int(asked.param("from") or 0)
        rows = [{"id": f"r{number:02d}"} for number in range(25)][begin : begin + 10]
        total = {"value": 20} | ({"relation": relation} if relation else {})
        return json_reply({"data": rows, "total": total})

    offset = {"type": "offset", "param": "from", "size": 10, "total_count": "$.total.value"}
    with serving({"/rows": hits}) as server:
        run = run_tap(server.url, stream("page") | {"pagination": offset}).ended(0)
    assert len(run.records("rows")) == came
