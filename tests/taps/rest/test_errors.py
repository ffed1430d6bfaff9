"""What answers mean by `errors`, `end_status` and `on_repeated_token`, and where pages end that say so in such ways."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, repeatedly, serving
from taps.rest.drive import drive

__all__ = ["drive"]

STREAM: dict[str, Any] = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}
GOOD = json_reply([{"id": 1}])


def by_page(pages: int, behind: Reply, size: int = 2) -> Callable[[Asked], Reply]:
    def route(asked: Asked) -> Reply:
        number = int(asked.param("page") or 1)
        first = (number - 1) * size
        return behind if number > pages else json_reply([{"id": first + n} for n in range(size)])

    return route


# The end by a status


NO_PAGE = json_reply({"message": "no such page"}, 404)
ENDS = STREAM | {"pagination": {"type": "page", "end_status": [404, 416]}}


def test_a_status_is_the_end_behind_the_first_page_only(drive: Any) -> None:
    run = drive(by_page(3, NO_PAGE)).run(ENDS)
    assert (run.code, run.ids(), run.warnings) == (0, [0, 1, 2, 3, 4, 5], "")
    assert run.asked() == 4 + 2, "the first page and that one are asked for once more"
    assert drive(by_page(0, NO_PAGE)).run(ENDS).code == 65
    assert drive(by_page(3, json_reply({}, 410))).run(ENDS).code == 65


def test_an_end_by_status_is_not_believed_while_nothing_is_served(drive: Any) -> None:
    """A deployment answers each question by 404 for a while, or for good."""
    down = {"for": 0, "long": 0}

    def route(asked: Asked) -> Reply:
        if asked.param("page") == "3" and len(run.api.asked) == 3:
            down["for"] = down["long"]
        down["for"] -= 1
        return NO_PAGE if down["for"] >= 0 else by_page(4, NO_PAGE)(asked)

    for down["long"], code, rows in ((4, 0, 8), (100, 69, 4)):
        run = drive(route)
        assert (run.run(ENDS).code, len(run.ids())) == (code, rows)
    assert "what had some before has none now" in run.sentence


def test_a_total_above_what_came_is_told_where_a_status_ends_a_read(drive: Any) -> None:
    pages = {"1": {"rows": [{"id": 1}], "total": 5}, "2": {"rows": [{"id": 2}], "total": 5}}
    run = drive(
        lambda asked: (
            json_reply(pages[asked.param("page") or ""]) if asked.param("page") in pages else NO_PAGE
        )
    )
    run.run(ENDS | {"records": "$.rows[*]", "primary_keys": ["id"], "activate_version": True})
    assert run.code == 0
    assert "`$.total` is 5 and 2 rows came" in run.warnings
    assert not [m for m in run.messages if m["type"] == "ACTIVATE_VERSION"]


@pytest.mark.parametrize("kind", ["page", "offset"])
def test_a_body_that_is_null_behind_the_first_page_is_the_end(kind: str, drive: Any) -> None:
    """An empty list of Go."""

    def route(asked: Asked) -> Reply:
        number = int(asked.param("page") or int(asked.param("offset") or 0) + 1)
        return json_reply([{"id": number}] if number <= rows else None)

    rows = 3
    run = drive(route).run(STREAM | {"pagination": {"type": kind}})
    assert (run.code, run.ids(), run.warnings) == (0, [1, 2, 3], "")
    rows = 0
    assert run.run(STREAM | {"pagination": {"type": kind}}).code == 65


def test_what_django_answers_behind_the_last_page_needs_no_setting(drive: Any) -> None:
    invalid = json_reply({"detail": "Invalid page."}, 404)
    paged = STREAM | {"pagination": {"type": "page"}}
    assert drive(by_page(2, invalid)).run(paged).ids() == [0, 1, 2, 3]
    assert drive(by_page(0, invalid)).run(paged).code == 65
    assert drive(by_page(2, json_reply({"detail": "Not found."}, 404))).run(paged).code == 65


# A page that leads to itself


def zendesk(asked: Asked) -> Reply:
    rows = [{"id": n, "t": 1_700_000_000 + n // 2} for n in range(9)]
    start = int(asked.param("start_time") or 0)
    page = [row for row in rows if row["t"] >= start][:4]
    end = max([row["t"] for row in page], default=start)
    return json_reply(
        {
            "tickets": page,
            "end_of_stream": len(page) < 4,
            "end_time": end,
            "next_page": f"/rows?start_time={end}",
        }
    )


def without_flag(asked: Asked) -> Reply:
    body = json.loads(zendesk(asked).body)
    del body["end_of_stream"]
    return json_reply(body)


TICKETS = {
    "name": "rows",
    "path": "/rows",
    "records": "$.tickets[*]",
    "primary_keys": ["id"],
    "replication_key": "t",
    "replication_key_format": "epoch",
    "is_sorted": True,
    "incremental": {"param": "start_time", "format": "epoch"},
    "schema": {"properties": {"id": {}, "t": {"type": "integer"}}},
}
SINCE = {"start_date": "1970-01-01T00:00:01Z"}
ITSELF = {"type": "next_url", "next": "$.next_page"}


@pytest.mark.parametrize(
    ("route", "more"),
    [
        (zendesk, {}),
        (zendesk, {"is_last": "$.end_of_stream"}),
        (without_flag, {"on_repeated_token": "stop"}),
    ],
)
def test_zendesk_ends_with_a_page_that_leads_to_itself(route: Any, more: dict[str, Any], drive: Any) -> None:
    run = drive(route).run(TICKETS | {"pagination": ITSELF | more}, **SINCE)
    assert (run.code, sorted(set(run.ids()))) == (0, [*range(9)]), run.sentence
    state = [m["value"] for m in run.messages if m["type"] == "STATE"][-1]
    run.run(TICKETS | {"pagination": ITSELF | more}, state=state, **SINCE)
    assert (run.code, run.ids()) == (0, [])
    assert run.asked() < 6, "from the bookmark on, and no circle"


def test_a_first_value_of_the_parameter_stands_in_params(drive: Any) -> None:
    tickets = TICKETS | {"pagination": ITSELF, "params": {"start_time": 0}}
    run = drive(zendesk).run(tickets)
    assert (run.code, sorted(set(run.ids())), run.api.asked[0].raw_path) == (
        0,
        [*range(9)],
        "/rows?start_time=0",
    )
    run.run(tickets, state=run.state)
    assert (run.code, run.ids()) == (0, [])
    assert re.fullmatch(r"/rows\?start_time=17000\d+", run.api.asked[0].raw_path)
    assert run.run(tickets, **SINCE).code == 78


def test_a_full_page_that_leads_to_itself_is_no_certain_end(drive: Any) -> None:
    circle = drive(without_flag).run(TICKETS | {"pagination": ITSELF}, **SINCE)
    assert circle.code == 65
    assert "go round in circles" in circle.sentence

    def stuck(asked: Asked) -> Reply:
        rows = [{"id": n, "t": 5} for n in range(9)]
        return json_reply({"tickets": rows[:4], "next_page": "/rows?start_time=5"})

    run = drive(stuck).run(TICKETS | {"pagination": ITSELF | {"on_repeated_token": "stop"}}, **SINCE)
    assert "leads to itself and is as full as the fullest page" in run.warnings


# Rules


SCHEMA = {"properties": {"id": {}}}
FORBIDDEN = {"status": 403, "path": "$.error.code", "equals": "gone_away"}


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({"status": 403}, True),
        ({"status": [403, 410]}, True),
        ({"status": 404}, False),
        ({"path": "$.error.code", "equals": "gone_away"}, True),
        ({"path": "$.error.code", "equals": ["other", "gone_away"]}, True),
        ({"path": "$.error.code", "equals": "gone"}, False),
        ({"path": "$.error.text", "contains": "NOT HERE"}, True),
        ({"path": "$.error.code", "contains": "not here"}, False),
        ({"status": 403, "contains": "not here"}, True),
        ({"status": 403, "matches": "gone_.way"}, True),
        ({"path": "$.error.code", "matches": "^gone$"}, False),
        ({"path": "$.error"}, True),
        ({"path": "$.errors"}, False),
        ({"path": "$.error[?(@ == 'x')]"}, False),
        ({"path": "$.errors[*].code", "equals": "b"}, True),
        ({"path": "$.errors[*].code", "equals": "c"}, False),
        ({"path": "$.error.number", "equals": 7}, True),
        ({"path": "$.error.number", "equals": "7"}, True),
        ({"path": "$.error.none", "equals": None}, True),
        ({"path": "$.error.none"}, False),
        ({"path": "$.error.code.deeper", "equals": "x"}, False),
    ],
)
def test_a_rule_fits_by_status_and_body(rule: dict[str, Any], fits: bool, drive: Any) -> None:
    error = {"code": "gone_away", "text": "Not here any more", "number": 7, "none": None}
    several = [{"code": "a"}, {"code": "b"}] if "[*]" in rule.get("path", "") else []
    run = drive(lambda _: json_reply({"error": error, "errors": several}, 403))
    run.run(STREAM, errors=[rule | {"then": "ignore"}])
    assert run.code == (0 if fits else 77), run.sentence
    assert run.asked() == 1


def refused(status: int = 403, **more: Any) -> Reply:
    return json_reply({"error": {"code": "gone_away"}} | more, status)


@pytest.mark.parametrize(
    ("then", "status", "code", "asked", "ends_with"),
    [
        ("fail", 403, 77, 1, "answered 403: ask Ann; it says: `{"),
        ("fail", 404, 65, 1, "answered 404: ask Ann; it says: `{"),
        ("fail", 503, 69, 1, "answered 503: ask Ann; it says: `{"),
        ("fail", 200, 65, 1, "answered 200: ask Ann; it says: `{"),
        ("retry", 404, 69, 3, "status 404, to be asked for again by `errors`, it says: `{"),
        ("rate_limited", 200, 69, 3, "status 200, a rate limit by `errors`, it says: `{"),
        ("ignore", 404, 0, 1, ""),
        ("ignore", 200, 0, 1, ""),
        ("end", 404, 65, 1, "answered 404, so asking again is useless"),
    ],
)
def test_what_becomes_of_an_answer(
    then: str, status: int, code: int, asked: int, ends_with: str, drive: Any
) -> None:
    rule = {"status": status, "path": "$.error.code", "equals": "gone_away", "then": then}
    rule |= {"message": "ask Ann"} if then == "fail" else {}
    run = drive(lambda _: refused(status)).run(STREAM | {"errors": [rule], "pagination": {"type": "page"}})
    assert (run.code, run.asked()) == (code, asked), run.sentence
    assert ends_with in run.sentence
    assert run.ids() == []


def test_credentials_are_renewed_by_a_rule(run_tap: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    rule = {"path": "$.error.code", "equals": "gone_away", "then": "refresh"}
    auth = {"type": "bearer", "token": {"file": str(token)}}
    renews = [False]

    def route(asked: Asked) -> Reply:
        if renews[0]:
            token.write_text("new-token-7")
        return GOOD if asked.headers["Authorization"] == "Bearer new-token-7" else refused(200)

    for renews[0], code, asked in ((False, 77, 1), (True, 0, 2)):
        token.write_text("old-token-7")
        with serving({"/rows": route}) as api:
            run = run_tap(api.url, STREAM, errors=[rule], auth=auth).ended(code)
            assert len(api.asked) == asked
        assert code == 0 or "an error by `errors`; it says" in run.sentence


def test_the_first_rule_counts_and_those_of_a_stream_come_first(drive: Any) -> None:
    own = {"status": 403, "path": "$.error.code", "equals": "gone_away", "then": "ignore"}
    of_all = [{"status": 403, "then": "fail", "message": "no"}]
    run = drive(lambda _: refused()).run(STREAM | {"errors": [own]}, errors=of_all)
    assert run.code == 0
    assert run.run(STREAM, errors=of_all).code == 77
    assert "answered 403: no; it says" in run.sentence


def test_a_rule_waits_as_long_as_it_says(drive: Any) -> None:
    rule = {"path": "$.error", "equals": "ratelimited", "then": "rate_limited", "wait": 0.03}
    replies = [json_reply({"ok": False, "error": "ratelimited"}), GOOD]
    run = drive(repeatedly(*replies)).run(STREAM, errors=[rule])
    assert (run.code, run.ids()) == (0, [1])
    assert "next in 0.0 s (asked for 0.03 s)" in run.warnings


def test_an_ignored_page_in_the_middle_is_passed_over(drive: Any) -> None:
    def route(asked: Asked) -> Reply:
        number = int(asked.param("page") or 0)
        return refused(404) if number == 2 else json_reply({"rows": [{"id": number}], "pages": 3})

    paged = STREAM | {"records": "$.rows[*]", "errors": [FORBIDDEN | {"status": 404, "then": "ignore"}]}
    pages = {"type": "page", "total_pages": "$.pages"}
    run = drive(route).run(paged | {"pagination": pages | {"empty_page": "continue", "size": 1}})
    assert (run.code, run.ids()) == (0, [1, 3])
    run.run(paged | {"pagination": pages})
    assert (run.code, run.ids()) == (0, [1])
    assert "`$.pages` is 3 and 1 page came" in run.warnings or "seems to have a next" in run.warnings


@pytest.mark.parametrize("more", [{}, {"empty_page": "continue", "total_pages": "$.pages"}])
def test_an_ignored_page_is_asked_for_once_more(more: dict[str, str], drive: Any) -> None:
    """An answer that the rule fits and that was a failure ends nothing, and leaves no page out."""
    failures = [2]

    def route(asked: Asked) -> Reply:
        number = int(asked.param("page") or 0)
        if number in failures:
            failures.remove(number)
            return refused(404)
        return json_reply({"rows": [{"id": number}] if number < 4 else [], "pages": 3})

    paged = STREAM | {"records": "$.rows[*]", "errors": [FORBIDDEN | {"status": 404, "then": "ignore"}]}
    run = drive(route).run(paged | {"pagination": {"type": "page", "size": 1, **more}})
    assert (run.code, run.ids()) == (0, [1, 2, 3])


@pytest.mark.parametrize("then", ["ignore", "end"])
def test_records_beside_what_a_rule_fits_are_not_lost(then: str, drive: Any) -> None:
    def route(asked: Asked) -> Reply:
        number = int(asked.param("page") or 0)
        more = {"notes": ["slow"]} if number == 2 else {}
        return json_reply({"rows": [{"id": number}] if number < 4 else []} | more)

    rule = {"status": 200, "path": "$.notes", "then": then}
    paged = STREAM | {"records": "$.rows[*]", "errors": [rule], "pagination": {"type": "page"}}
    run = drive(route).run(paged)
    assert (run.code, run.ids()) == (65, [1])
    assert "its answer has records, which would be lost" in run.sentence


@pytest.mark.parametrize("then", ["skip", "on_404"])
def test_a_parent_is_skipped(then: str, drive: Any) -> None:
    status = 404 if then == "on_404" else 403
    below = {"name": "k", "path": "/k", "params": {"of": "{parent.id}"}, "schema": SCHEMA}
    below |= {"parent": {"stream": "rows", "copy": {}}}
    if then == "skip":
        below["errors"] = [FORBIDDEN | {"then": "skip"}]
    else:
        below["parent"]["on_404"] = "skip"

    def k(asked: Asked) -> Reply:
        number = int(asked.param("of") or 0)
        return refused(status) if number == 2 else json_reply([{"id": number * 10}])

    run = drive(lambda _: json_reply([{"id": n} for n in (1, 2, 3)]), k=k).run(STREAM, below)
    assert (run.code, run.ids("k")) == (0, [10, 30])
    assert "page 1 of stream k" in run.warnings.lower()


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ([{"then": "retry"}], "fits every answer"),
        ([{"status": 302, "then": "retry"}], "redirects are followed"),
        ([{"status": 404, "equals": "x", "then": "retry"}], "needs `errors[0].path`"),
        ([{"path": "$.a", "equals": 1, "contains": "x", "then": "retry"}], "take one of them"),
        ([{"contains": "x", "then": "retry"}], "a text in bodies with records"),
        ([{"status": 404, "matches": "(", "then": "retry"}], "Expected a regular expression"),
        ([{"path": "$.a[", "then": "retry"}], "Expected a JSONPath at `errors[0].path`"),
        ([{"status": 404, "then": "retry", "message": "x"}], "`errors[0].message` does not go with"),
        ([{"status": 404, "then": "fail", "wait": 3}], "`errors[0].wait` does not go with"),
        ([{"status": 503, "then": "end"}], "also where the API fails"),
        ([{"status": 200, "then": "ignore"}], "fits each good answer"),
        (
            [{"status": [403, 404], "then": "fail"}, {"status": 404, "path": "$.a", "then": "retry"}],
            "never reached",
        ),
        (
            [{"path": "$.a", "then": "fail"}, {"path": "$.a", "status": 403, "then": "ignore"}],
            "never reached",
        ),
        ([{"status": 404, "then": "skip"}], "has no effect, since no stream has `parent` or `for_each`"),
        ([{"status": 403, "then": "refresh"}], "has no effect without `auth`"),
        ([{"status": 422, "then": "split"}], "has no effect, since no stream has windows of time"),
        ([{"status": 429, "then": "split"}], "has 429, which no shorter window changes"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(rules: list[dict[str, Any]], problem: str, drive: Any) -> None:
    run = drive(lambda _: GOOD).run(STREAM | {"pagination": {"type": "page"}}, errors=rules)
    assert run.code == 78
    assert problem in run.sentence
    assert run.asked() == 0


def test_ends_that_can_never_be_met_are_refused(drive: Any) -> None:
    run = drive(lambda _: GOOD)
    for status in (401, 403, 429):
        assert run.run(STREAM | {"pagination": {"type": "page", "end_status": [status]}}).code == 78
        assert "never the end of a list" in run.sentence
    single = STREAM | {"pagination": {"type": "single"}, "errors": [{"status": 404, "then": "end"}]}
    assert run.run(single).code == 78
    assert "`streams[0].errors[0]` has no effect, since the stream has one page" in run.sentence
