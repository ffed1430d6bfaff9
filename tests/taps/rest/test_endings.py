"""An end that contradicts a total, or the page before: what is told, what stays in the target, and what each run of an API ends with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving
from taps.rest.test_deleted_rows import Load, activated, load, stream

from tap_rest.pages.endings import Endings

__all__ = ["load"]

COUNTED = "`$.total` is 20 and 12 rows came"
NO_ROWS = "its last page had no records"
KNOWN = "a run before got all that was counted"
ONCE = "this is said once"
Body = dict[str, Any]


class Api:
    """Twenty rows, four at once. ``cut``: where rows end without a word; ``extra``: by how many the total is above them, None: none is told."""

    def __init__(self, made: Callable[[int, int | None], Body]) -> None:
        self.ids = list(range(1, 21))
        self.made = made
        self.cut: int | None = None
        self.cuts_once = False
        self.is_empty_behind = False
        self.extra: int | None = 0
        self.total: int | None = None
        self.asked: list[int] = []

    def __call__(self, asked: Asked) -> Reply:
        text = asked.param("at") or asked.param("page") or asked.param("offset") or "0"
        at = int(text) if asked.param("page") is None else (int(text) - 1) * 4
        self.asked.append(at)
        ids = self.ids
        if self.cut is not None and at + 4 >= self.cut:
            ids = ids[: self.cut]
            if self.cuts_once:
                self.cut = None
        following = at + 4 if at + 4 < len(ids) + (4 if self.is_empty_behind else 0) and ids[at:] else None
        body = self.made(at, following) | {"data": [{"id": number} for number in ids[at : at + 4]]}
        if self.extra is not None:
            body["total"] = self.total or len(self.ids) + self.extra
        return json_reply(body)


SHAPES: dict[str, tuple[dict[str, Any], Callable[[int, int | None], Body]]] = {
    "a token that is null": (
        {"type": "cursor", "cursor": "$.next", "param": "at"},
        lambda _, following: {"next": following},
    ),
    "a token that is not there": (
        {"type": "cursor", "cursor": "$.next", "param": "at"},
        lambda _, following: {"next": following} if following else {},
    ),
    "a token beside a total": (
        {"type": "cursor", "cursor": "$.meta.next", "param": "at"},
        lambda _, following: {"meta": {"next": following, "total_pages": 5}},
    ),
    "a link": (
        {"type": "next_url", "next": "$.links.next"},
        lambda _, following: {"links": {"next": following and f"/rows?at={following}"}},
    ),
    "has_more": (
        {"type": "page", "has_more": "$.more"},
        lambda _, following: {"more": following is not None},
    ),
    "total_pages": (
        {"type": "page", "total_pages": "$.pages"},
        lambda at, following: {"pages": at // 4 + (2 if following else 1)},
    ),
    "is_last": ({"type": "page", "is_last": "$.end"}, lambda _, following: {"end": following is None}),
}


def rows_of(kind: str, **more: Any) -> dict[str, Any]:
    return stream(records="$.data[*]", pagination=SHAPES[kind][0]) | more


@pytest.mark.parametrize("kind", SHAPES)
def test_an_end_before_the_total_removes_nothing(kind: str, load: Load) -> None:
    """However often it comes, once a run has seen the total reached."""
    api = Api(SHAPES[kind][1])
    with serving({"/rows": api}) as server:
        first = load(server.url, rows_of(kind))
        assert activated(first)
        assert "seems to have a next" not in first.stderr
        api.cut, state = 12, first.state
        for _ in range(2):
            short = load(server.url, rows_of(kind), state=state)
            assert (len(short.records("rows")), activated(short)) == (12, [])
            assert COUNTED in short.stderr
            assert KNOWN in short.stderr
            state = short.state
        api.cut = None
        api.ids.remove(3)
        again = load(server.url, rows_of(kind), state=state)
    assert activated(again)
    assert "seems to have a next" not in again.stderr


@pytest.mark.parametrize("kind", SHAPES)
def test_a_first_load_that_is_short_is_looked_at_again_and_told(kind: str, load: Load) -> None:
    api = Api(SHAPES[kind][1])
    api.cut = 12
    with serving({"/rows": api}) as server:
        run = load(server.url, rows_of(kind, activate_version=False))
        assert len(run.records("rows")) == 12
        assert COUNTED in run.stderr
        assert ONCE in run.stderr
        assert api.asked.count(8) == 2, "with a second look"
        api.cuts_once = True
        whole = load(server.url, rows_of(kind, activate_version=False))
    assert len(whole.records("rows")) == 20
    assert "seems to have a next" not in whole.stderr


def test_a_total_that_no_run_has_reached_is_told_once(load: Load) -> None:
    """It counts before a filter, or the list is capped: where no more is missing than before, rows go."""
    api = Api(SHAPES["a token that is null"][1])
    api.extra = 5
    with serving({"/rows": api}) as server:
        first = load(server.url, rows_of("a token that is null"))
        assert "`$.total` is 25 and 20 rows came" in first.stderr
        api.ids.remove(3)
        second = load(server.url, rows_of("a token that is null"), state=first.state)
        assert activated(second)
        assert "rows came" not in second.stderr
        api.cut = 12
        third = load(server.url, rows_of("a token that is null"), state=second.state)
        assert not activated(third)
        assert "`$.total` is 24 and 12 rows came" in third.stderr
        api.cut, api.total, api.extra = None, 1_000_000, 5
        capped = load(server.url, rows_of("a token that is null"), state=second.state)
        assert activated(capped), "a list that is capped has as many rows as before, whatever the total says"


def test_a_total_that_moves_while_pages_are_read_is_none_that_was_missed(load: Load) -> None:
    api = Api(SHAPES["a token that is null"][1])
    made = api.made

    def later(at: int, following: int | None) -> Body:
        api.total = 20 + at // 16
        return made(at, following)

    api.made = later
    with serving({"/rows": api}) as server:
        run = load(server.url, rows_of("a token that is null"))
    assert "rows came" not in run.stderr
    assert activated(run)


def test_the_first_answer_that_is_the_last_and_says_that_there_is_more(load: Load) -> None:
    api = Api(SHAPES["has_more"][1])
    api.cut = 4
    with serving({"/rows": api}) as server:
        run = load(server.url, rows_of("has_more"))
    assert "`$.total` is 20 and 4 rows came" in run.stderr
    assert len(run.records("rows")) == 4


@pytest.mark.parametrize(
    "pagination", [{"type": "single"}, {"type": "offset"}, {"type": "keyset", "field": "id", "param": "at"}]
)
def test_whatever_the_pagination_such_a_total_is_told_once(pagination: dict[str, Any], load: Load) -> None:
    """The words of the config are no proof either that what it counts is gone."""
    api = Api(lambda _at, _following: {"next": None})
    api.cut = 4
    with serving({"/rows": api}) as server:
        first = load(server.url, stream(records="$.data[*]", pagination=pagination))
        assert "`$.total` is 20 and 4 rows came" in first.stderr
        assert not activated(first)
        second = load(server.url, stream(records="$.data[*]", pagination=pagination), state=first.state)
    assert "rows came" not in second.stderr
    assert activated(second)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_first_page_without_records_under_a_total(kind: str, load: Load) -> None:
    api = Api(SHAPES[kind][1])
    api.cut = 0
    with serving({"/rows": api}) as server:
        run = load(server.url, rows_of(kind))
    assert "`$.total` is 20 and 0 rows came" in run.stderr or run.code == 65


def test_a_last_page_without_records_removes_nothing_until_it_comes_twice(load: Load) -> None:
    """No total tells it: a token that has expired leads to nothing, and so does the last one of many APIs."""
    kind = "a token that is null"
    api = Api(SHAPES[kind][1])
    api.extra = None
    with serving({"/rows": api}) as server:
        first = load(server.url, rows_of(kind))
        assert activated(first)
        api.ids, api.is_empty_behind = api.ids[:12], True
        second = load(server.url, rows_of(kind), state=first.state)
        assert not activated(second)
        assert NO_ROWS in second.stderr
        third = load(server.url, rows_of(kind), state=second.state)
        assert activated(third)
        assert NO_ROWS not in third.stderr


def test_an_api_that_always_ends_so_loses_no_load(load: Load) -> None:
    kind = "a token that is null"
    api = Api(SHAPES[kind][1])
    api.extra, api.is_empty_behind = None, True
    state = None
    with serving({"/rows": api}) as server:
        for gone in (1, 2, 3):
            run = load(server.url, rows_of(kind), state=state)
            assert activated(run)
            assert NO_ROWS not in run.stderr
            api.ids.remove(gone)
            state = run.state


def test_what_is_asked_otherwise_has_other_ends(load: Load) -> None:
    kind = "a token that is null"
    api = Api(SHAPES[kind][1])
    with serving({"/rows": api}) as server:
        state = load(server.url, rows_of(kind)).state
        api.extra = 5
        run = load(server.url, rows_of(kind, params={"all": 0}), state=state)
    assert KNOWN not in run.stderr
    assert ONCE in run.stderr


# Links that always go on


def ckan(at: int, _: int | None) -> Body:
    return {"_links": {"start": "/rows", "next": f"/rows?offset={at + 4}"}}


LINKS = {"type": "next_url", "next": "$._links.next"}


@pytest.mark.parametrize(
    "pagination", [LINKS, {"type": "hateoas"}, {"type": "offset"}, LINKS | {"empty_page": "stop"}]
)
def test_a_link_on_each_page_ends_where_all_has_come(pagination: dict[str, Any], load: Load) -> None:
    api = Api(ckan)
    with serving({"/rows": api}) as server:
        run = load(server.url, stream(records="$.data[*]", pagination=pagination))
    assert (run.code, len(run.records("rows"))) == (0, 20)
    assert activated(run)
    assert set(api.asked) == {*range(0, 21, 4)}
    assert "WARNING" not in run.stderr


@pytest.mark.parametrize(
    "pagination", [LINKS, {"type": "hateoas"}, {"type": "cursor", "cursor": "$.token", "param": "offset"}]
)
def test_links_that_never_end_are_told_of_before_long(pagination: dict[str, Any], load: Load) -> None:
    api = Api(lambda at, following: ckan(at, following) | {"token": at + 4})
    api.extra = None
    with serving({"/rows": api}) as server:
        failed = load(server.url, stream(records="$.data[*]", pagination=pagination))
        assert failed.code == 65
        assert len(api.asked) == 105
        api.asked.clear()
        stops = pagination | {"empty_page": "stop"}
        first = load(server.url, stream(records="$.data[*]", pagination=stops))
        second = load(server.url, stream(records="$.data[*]", pagination=stops), state=first.state)
    assert (len(first.records("rows")), len(second.records("rows"))) == (20, 20)
    assert "is said once" in first.stderr
    assert '"empty_page": "stop"' not in first.stderr, "that is in use"
    assert "WARNING" not in second.stderr
    assert activated(second)


def test_the_sentence_of_links_that_never_end_names_the_rule(run_tap: Any) -> None:
    with serving(
        {
            "/rows": lambda asked: json_reply(
                {"data": [], "next": f"/rows?at={int(asked.param('at') or 0) + 1}"}
            )
        }
    ) as server:
        rows = {"name": "rows", "path": "/rows", "records": "$.data[*]", "pagination": {"type": "next_url"}}
        run = run_tap(server.url, rows).ended(65)
    assert "each of them names a next one" in run.sentence
    assert '`"empty_page": "stop"`' in run.sentence


# What is kept


@pytest.mark.parametrize(
    "said",
    [
        None,
        5,
        {"all": 3},
        {"all": {"$.total": 4}},
        {"all": {"$.total": [1]}},
        {"later": {"$.total": ["a", 1]}},
    ],
)
def test_what_is_not_understood_is_not_known(said: Any) -> None:
    endings = Endings()
    endings.recall(said)
    assert not endings.is_known("$.total", 1, 2, is_first=True)
    assert not endings.was_reached("$.total", is_first=True)
    assert endings.written() == {}


def test_reads_from_a_bookmark_are_compared_with_such() -> None:
    """Where a total counts what was not asked for, few rows come, and never as many twice."""
    former, now = Endings(), Endings()
    former.note_total("$.total", 20, 20, is_first=True)
    former.note_total("$.total", 7, 20, is_first=False)
    now.recall(json.loads(json.dumps(former.written())))
    assert now.is_known("$.total", 2, 30, is_first=False)
    assert now.was_reached("$.total", is_first=True)
    assert now.written() == former.written()


def test_a_total_of_what_came_below_several_parents_is_that_of_all() -> None:
    of = Endings()
    for came, total in ((3, 3), (1, 4), (5, 6), (0, 0), (9, 2)):
        of.note_total("$.total", came, total, is_first=True)
    assert of.written() == {"all": {"$.total": [5, 3]}}


@pytest.mark.parametrize(
    ("total", "told"),
    [
        ("1,000", "`1,000`"),
        ("25 rows", "`25 rows`"),
        ("7" * 40, "a text of 40 characters"),
        (None, "nothing"),
    ],
)
def test_a_total_that_is_no_number_is_shown_if_it_is_short(total: Any, told: str, run_tap: Any) -> None:
    rows = stream(records="$.data[*]", pagination={"type": "offset", "total_count": "$.total"})
    with serving({"/rows": lambda _: json_reply({"data": [{"id": 1}], "total": total})}) as server:
        run = run_tap(server.url, rows).ended(65)
    assert f"Expected a whole number at `$.total` on page 1 of stream rows, got {told};" in run.sentence


def test_of_a_stream_that_never_had_a_row_nothing_is_left(load: Load) -> None:
    """And nothing is removed: nobody knows what the table holds."""
    api = Api(SHAPES["has_more"][1])
    api.ids = []
    with serving({"/rows": api}) as server:
        state = None
        for _ in range(2):
            run = load(server.url, rows_of("has_more"), state=state)
            assert not activated(run)
            assert "stay in the target" not in run.stderr
            state = run.state
        unknown = load(server.url, rows_of("has_more", activate_version=False)).state
        for _ in range(2):
            run = load(server.url, rows_of("has_more"), state=unknown)
            assert "stay in the target" in run.stderr
            unknown = run.state
        api.ids = [1]
        assert not activated(load(server.url, rows_of("has_more"), state=unknown))
