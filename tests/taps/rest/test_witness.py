"""Whether an API still serves is asked of an answer that had rows, where one without rows says something new.

In process, over HTTP: a source of two pages, of which the second, or the end behind it, is what the test says.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from taps.rest.api_server import Api, Asked, Reply, json_reply, serving
from taps.rest.conftest import FAST

from singerkit_shell.errors import BadDataError, RetryableError
from tap_rest.streams import RestStream
from tap_rest.tap import TapRest

PAGES = [[{"id": 1}, {"id": 2}], [{"id": 3}, {"id": 4}]]
ALL = [1, 2, 3, 4]
STREAM: dict[str, Any] = {
    "name": "rows",
    "path": "/rows",
    "records": "$.data[*]",
    "schema": {"properties": {"id": {}}},
    "pagination": {"type": "page", "size": 2},
}


class Limited:
    """Pages with `good` around them; ``fails`` says which of the requests, counted from 1, get ``bad`` and no rows."""

    def __init__(self, good: Any, bad: Any, fails: Callable[[int], bool], **headers: str) -> None:
        self.good, self.bad, self.fails, self.headers = good, bad, fails, headers
        self.count = 0

    def __call__(self, asked: Asked) -> Reply:
        self.count += 1
        if self.fails(self.count):
            return json_reply({"data": []} | self.good | self.bad, **self.headers)
        page = int(asked.param("page") or 1)
        rows = PAGES[page - 1] if page <= len(PAGES) else []
        return json_reply(self.good | {"data": rows})


def stream_of(api: Api, **more: Any) -> RestStream:
    config = {"base_url": api.url, "streams": [STREAM | more], "retries": FAST}
    stream = TapRest(config=config).streams["rows"]
    assert isinstance(stream, RestStream)
    return stream


def ids(pages: Iterator[Any]) -> list[int]:
    return [json.loads(bytes(row))["id"] for page in pages for row in page.records]


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    return told


NEW_WORDS: dict[str, tuple[Any, Any, dict[str, str]]] = {
    "a wait": ({}, {"retry_after": 60}, {}),
    "another wait": ({"remaining": 5}, {"remaining": 0, "retry_in": 30}, {}),
    "nothing left": ({"remaining": 5}, {"remaining": 0}, {}),
    "a flag": ({}, {"captcha": True}, {}),
    "a flag that is false": ({}, {"logged_in": False}, {}),
    "a number": ({}, {"cooldown": 3}, {}),
    "a session": ({}, {"message": "Session not found, no data"}, {}),
    "words": ({"message": ""}, {"message": "Please slow down"}, {}),
    "more words": ({}, {"message": "Upgrade your plan to see more"}, {}),
    "another state": ({"state": "done"}, {"state": "queued"}, {}),
    "a flag that changes": ({"ready": True}, {"ready": False}, {}),
    "another language": ({"meldung": "ok"}, {"meldung": "Zugriff verweigert"}, {}),
    "what is gone": ({"total": 4, "page_size": 2}, {"total": None}, {}),
    "a total of nothing": ({"total": 4}, {"total": 0}, {}),
    "Retry-After": ({}, {}, {"Retry_After": "0"}),
    "X-RateLimit-Remaining": ({}, {}, {"X_RateLimit_Remaining": "0"}),
    "a header": ({}, {}, {"X_Maintenance": "true"}),
    "a time": ({}, {"next_allowed_at": "2027-01-01T00:00:00Z"}, {}),
    "below": ({"meta": {"took": 3}}, {"meta": {"took": 3, "hinweis": "gesperrt"}}, {}),
}


@pytest.mark.parametrize("name", NEW_WORDS)
def test_an_api_that_stops_serving_for_a_while_is_asked_again(name: str) -> None:
    good, bad, headers = NEW_WORDS[name]
    with serving({"/rows": Limited(good, bad, lambda count: count in (2, 3), **headers)}) as api:
        assert ids(stream_of(api).asking.pages(None, {})) == ALL


@pytest.mark.parametrize("name", NEW_WORDS)
def test_an_api_that_does_not_serve_any_more_is_no_end(name: str) -> None:
    good, bad, headers = NEW_WORDS[name]
    with (
        serving({"/rows": Limited(good, bad, lambda count: count > 1, **headers)}) as api,
        pytest.raises(RetryableError, match=r"Page 2 of stream rows: .*status 200 and no records"),
    ):
        ids(stream_of(api).asking.pages(None, {}))


def test_a_limit_that_is_over_when_the_witness_is_asked_is_no_end() -> None:
    with serving({"/rows": Limited({}, {"captcha": True}, lambda count: count == 2)}) as api:
        assert ids(stream_of(api).asking.pages(None, {})) == ALL


def test_signs_that_were_no_end_once_take_one_look_more() -> None:
    """Some questions fail by chance: the page, and the page again, while the one that is asked as a witness has rows."""
    limited = Limited({}, {"captcha": True}, lambda count: count in (2, 5, 7))
    # 1: page 1; 2: page 2 fails; 3: page 1 again; 4: page 2; 5: page 3 fails; 6: page 1; 7: page 3 fails again; 8: page 3.
    with serving({"/rows": limited}) as api:
        PAGES.append([{"id": 5}])
        try:
            assert ids(stream_of(api, pagination={"type": "page"}).asking.pages(None, {})) == [*ALL, 5]
        finally:
            PAGES.pop()
        assert [asked.param("page") for asked in api.asked] == ["1", "2", "1", "2", "3", "1", "3", "3", "4"]


def test_a_row_that_comes_in_at_the_end_stops_nothing() -> None:
    """The empty page has it when it is asked for once more, and the true end behind it says the same as before."""
    pages: list[list[Any]] = [[{"id": 1}], []]

    def route(asked: Asked) -> Reply:
        number = int(asked.param("page") or 1)
        rows = pages[number - 1] if number <= len(pages) else []
        if number == 2 and not rows:
            pages[1] = [{"id": 2}]
        return json_reply({"data": rows} | ({} if rows else {"hint": "add some"}))

    with serving({"/rows": route}) as api:
        assert ids(stream_of(api, pagination={"type": "page"}).asking.pages(None, {})) == [1, 2]


def test_a_token_that_leads_on_once_only_is_not_missed_at_the_second_look() -> None:
    asked_for: list[str] = []

    def route(asked: Asked) -> Reply:
        token = asked.param("cursor") or ""
        asked_for.append(token)
        if token and asked_for.count(token) > 1:
            return json_reply({"error": "this cursor was used"}, 400)
        return json_reply({"data": [], "hint": "x"} if token else {"data": PAGES[0], "cursor": "a"})

    cursor = {"type": "cursor", "cursor": "$.cursor"}
    with serving({"/rows": route}) as api:
        assert ids(stream_of(api, pagination=cursor, missing_records="empty").asking.pages(None, {})) == [
            1,
            2,
        ]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_witness_that_has_gone_says_nothing(status: int) -> None:
    has_gone = False

    def route(asked: Asked) -> Reply:
        if asked.path == "/things/1":
            return json_reply({}, status) if has_gone else json_reply({"data": PAGES[0]})
        return json_reply({"data": [], "reason_of_none": 3})

    child = {
        "path": "/things/{parent.id}",
        "parent": {"stream": "things", "on_404": "skip"},
        "pagination": {"type": "single"},
    }
    parents = {
        "name": "things",
        "path": "/things",
        "schema": {"properties": {"id": {}}},
        "pagination": {"type": "single"},
    }
    with serving({"/things/1": route, "/things/2": route}) as api:
        config = {"base_url": api.url, "streams": [parents, STREAM | child], "retries": FAST}
        stream = TapRest(config=config).streams["rows"]
        assert isinstance(stream, RestStream)
        assert ids(stream.asking.pages({"parent.id": 1}, {})) == [1, 2]
        has_gone = True
        assert ids(stream.asking.pages({"parent.id": 2}, {})) == []


HONEST: dict[str, tuple[Any, Any, dict[str, str]]] = {
    "Stack Exchange": ({"quota_remaining": 9}, {"quota_remaining": 0, "backoff": 1}, {}),
    "unchanged": ({"status": "changed"}, {"status": "unchanged"}, {}),
    "idle": ({"state": "running"}, {"state": "idle"}, {}),
    "up to date": ({}, {"message": "You are up to date"}, {}),
    "not found": ({}, {"message": "Could not find any orders for this account"}, {}),
    "beyond": ({}, {"message": "Requested page exceeds the number of pages"}, {}),
    "exhausted": ({"note": "page 1 of 2"}, {"note": "Results exhausted"}, {}),
    "a type": ({"type": "error"}, {"type": "error"}, {}),
    "a status": ({"status": "failed"}, {"status": "failed"}, {}),
    "another language": ({"meldung": "Treffer"}, {"meldung": "keine Treffer"}, {}),
    "a total": ({"total": 4}, {"total": 0}, {}),
    "quota": ({}, {}, {"X_RateLimit_Remaining": "0"}),
    "Statuspage": ({"status": {"description": "Outage"}}, {"status": {"description": "All well"}}, {}),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_end_stays_one(name: str, warnings: Any) -> None:
    good, bad, headers = HONEST[name]

    def route(asked: Asked) -> Reply:
        page = int(asked.param("page") or 1)
        if page > 2:
            return json_reply({"data": []} | good | bad, **headers)
        return json_reply(good | {"data": PAGES[page - 1]})

    with serving({"/rows": route}) as api:
        assert ids(stream_of(api).asking.pages(None, {})) == ALL
        assert len(api.asked) <= 5
        told = warnings()
    words = name in ("unchanged", "idle")
    assert len(told) == words, told


@pytest.mark.parametrize(
    "bad",
    [
        {"error": "The result window is too large"},
        {"message": "Maximum page depth is 2"},
        {"message": "Query timed out", "status": "ok"},
        {"status": 500},
        {"code": 99991400},
        {"success": False},
    ],
)
def test_a_page_that_fails_while_others_are_served_is_no_end(bad: Any) -> None:
    def route(asked: Asked) -> Reply:
        page = int(asked.param("page") or 1)
        good = {"status": "ok", "code": 0, "success": True, "message": ""}
        return json_reply(good | ({"data": []} | bad if page > 2 else {"data": PAGES[page - 1]}))

    with serving({"/rows": route}) as api, pytest.raises((BadDataError, RetryableError)):
        ids(stream_of(api).asking.pages(None, {}))


def test_a_witness_that_cannot_be_asked_again_says_nothing() -> None:
    times: list[str] = []

    def route(asked: Asked) -> Reply:
        page = asked.param("page") or "1"
        times.append(page)
        if times.count("1") > 1 and page == "1":
            return json_reply({"error": "gone"}, 410)
        return json_reply({"data": PAGES[int(page) - 1] if int(page) < 3 else [], "more": {"x": page}})

    with serving({"/rows": route}) as api:
        assert ids(stream_of(api).asking.pages(None, {})) == ALL


def test_who_takes_such_answers_has_a_witness_all_the_same() -> None:
    limited = Limited({}, {"captcha": True, "message": "nada"}, lambda count: count in (2, 3))
    with serving({"/rows": limited}) as api:
        assert ids(stream_of(api, partial_answers="warn").asking.pages(None, {})) == ALL


def test_a_message_of_one_page_is_no_end_whatever_it_says() -> None:
    """Free plans show the first page."""

    def route(asked: Asked) -> Reply:
        return json_reply(
            {"data": PAGES[0]} if asked.param("page") == "1" else {"data": [], "message": "Upgrade your plan"}
        )

    with serving({"/rows": route}) as api:
        with pytest.raises(BadDataError, match="Upgrade your plan"):
            ids(stream_of(api).asking.pages(None, {}))
        assert ids(stream_of(api, partial_answers="warn").asking.pages(None, {})) == [1, 2]


@pytest.mark.parametrize(
    "bad", [{"plan_limit": True}, {"max_page": 2}, {"hinweis": "Tarif"}, {"login_url": "https://x/login"}]
)
def test_a_page_that_says_something_new_while_others_are_served_is_told(bad: Any, warnings: Any) -> None:
    def route(asked: Asked) -> Reply:
        page = int(asked.param("page") or 1)
        return json_reply({"data": []} | bad if page > 2 else {"data": PAGES[page - 1]})

    with serving({"/rows": route}) as api:
        assert ids(stream_of(api).asking.pages(None, {})) == ALL
        (told,) = warnings()
    assert f"`{next(iter(bad))}` is in no answer with records" in told


def test_a_wait_that_begins_later_is_no_end_that_is_trusted() -> None:
    bodies = [{"data": [{"id": 1}]}, *({"data": [], "retry_after": 0} for _ in range(4))]
    is_limited = False

    def route(asked: Asked) -> Reply:
        return json_reply(
            {"data": [], "retry_after": 30} if is_limited else bodies[int(asked.param("page") or 1) - 1]
        )

    with serving({"/rows": route}) as api:
        stream = stream_of(api, pagination={"type": "single"})
        for page in range(1, 6):
            ids(stream.asking.pages(None, {"params": {"page": str(page)}}))
        is_limited = True
        with pytest.raises(RetryableError):
            ids(stream.asking.pages(None, {"params": {"page": "2"}}))


CHILDREN: dict[str, list[Any]] = {
    # what the answers of several parents say, each with the ids of its rows
    "jobs": [
        {"status": "succeeded", "data": [1]},
        {"status": "failed", "data": []},
        {"status": "running", "data": []},
    ],
    "a failed job first": [{"status": "failed", "data": []}, {"status": "succeeded", "data": [1]}],
    "tests": [{"result": "success", "data": [1]}, {"result": "failure", "data": []}],
    "hosts": [{"state": "up", "data": [1]}, {"state": "down", "data": []}],
    "feeds": [{"lastError": None, "data": [1]}, {"lastError": "timeout", "data": []}],
    "devices": [{"device_status": "ok", "data": [1]}, {"device_status": "error", "data": []}],
    "users": [{"blocked": False, "data": [1]}, {"blocked": True, "data": []}],
    "subscriptions": [{"status": "active", "data": [1]}, {"status": "expired", "data": []}],
    "syncs": [
        {"connection": "a", "status": "ok", "data": [1]},
        {"connection": "b", "status": "error", "data": []},
    ],
    "private ones": [{"access": "public", "data": [1]}, {"access": "private", "data": []}],
}


@pytest.mark.parametrize("name", CHILDREN)
def test_things_in_a_bad_state_have_no_rows_and_stop_nothing(name: str, warnings: Any) -> None:
    bodies = [body | {"data": [{"id": row} for row in body["data"]]} for body in CHILDREN[name]]
    parents = {
        "name": "things",
        "path": "/things",
        "schema": {"properties": {"id": {}}},
        "pagination": {"type": "single"},
    }
    child = {"path": "/things/{parent.id}", "parent": {"stream": "things"}, "pagination": {"type": "single"}}

    def route(asked: Asked) -> Reply:
        return json_reply(bodies[int(asked.path.rpartition("/")[2])])

    with serving({f"/things/{number}": route for number in range(len(bodies))}) as api:
        config = {"base_url": api.url, "streams": [parents, STREAM | child], "retries": FAST}
        stream = TapRest(config=config).streams["rows"]
        assert isinstance(stream, RestStream)
        contexts = [{"parent.id": number} for number in range(len(bodies))]
        assert ids(page for context in contexts for page in stream.asking.pages(context, {})) == [1]
        told = warnings()
    assert len(told) <= 1, told


def test_a_tenant_that_fails_is_told_though_others_are_served() -> None:
    """`error` at the top is no thing's."""

    def route(asked: Asked) -> Reply:
        return json_reply(
            {"data": PAGES[0]} if asked.param("of") == "1" else {"data": [], "error": "backend is away"}
        )

    with serving({"/rows": route}) as api:
        stream = stream_of(api, pagination={"type": "single"})
        assert ids(stream.asking.pages(None, {"params": {"of": "1"}})) == [1, 2]
        with pytest.raises(BadDataError, match="backend is away"):
            ids(stream.asking.pages(None, {"params": {"of": "2"}}))


QUIET: dict[str, Any] = {
    "error_budget": {"error_budget": 7, "last_error_at": "2026-01-01"},
    "a summary": {"summary": {"errors": 3}},
    "a notice": {"notice": "Scheduled maintenance tonight, the API will be unavailable"},
    "a login": {"auth": "required", "access": "private"},
    "a status": {"status": "failed"},
}


@pytest.mark.parametrize("name", QUIET)
def test_a_quiet_day_is_judged_by_what_the_rows_of_former_runs_come_with(name: str, warnings: Any) -> None:
    def route(asked: Asked) -> Reply:
        return json_reply(QUIET[name] | {"data": [] if asked.param("since") else PAGES[0]})

    with serving({"/rows": route}) as api:
        stream = stream_of(api, pagination={"type": "single"})
        assert ids(stream.asking.pages(None, {"params": {"since": "2026-01-01"}}, is_first=False)) == []
        assert len(api.asked) <= 2
    assert warnings() == []


def test_a_first_answer_that_asks_to_wait_is_asked_for_once_more() -> None:
    with serving({"/rows": Limited({}, {"backoff": 0.1}, lambda count: count == 1)}) as api:
        assert ids(stream_of(api).asking.pages(None, {})) == ALL
    with serving({"/rows": Limited({}, {"backoff": 0.1}, lambda _: True)}) as api:
        assert ids(stream_of(api).asking.pages(None, {})) == []
        assert len(api.asked) == 2


def test_ends_with_the_same_signs_are_trusted_after_a_few() -> None:
    bodies = [{"data": [{"id": 1}]}, *({"data": [], "note_to_all": "none here"} for _ in range(10))]

    def route(asked: Asked) -> Reply:
        return json_reply(bodies[int(asked.param("page") or 1) - 1])

    with serving({"/rows": route}) as api:
        stream = stream_of(api, pagination={"type": "single"})
        for page in range(1, 11):
            ids(stream.asking.pages(None, {"params": {"page": str(page)}}))
        assert len(api.asked) == 10 + 3 * 2


def test_children_that_all_have_no_rows_are_told_in_the_first_run(run_tap: Any) -> None:
    parents = {"name": "things", "path": "/things", "primary_keys": ["id"], "pagination": {"type": "single"}}
    child = {"path": "/things/{parent.id}", "parent": {"stream": "things"}, "pagination": {"type": "single"}}
    routes = {
        f"/things/{number}": (lambda _: json_reply({"data": [], "hinweis": "gesperrt"})) for number in (1, 2)
    }
    with serving({"/things": lambda _: json_reply([{"id": 1}, {"id": 2}]), **routes}) as api:
        run = run_tap(api.url, parents, STREAM | child).ended(0)
    assert "No row of stream rows came below any parent" in run.stderr
