"""What holds for requests by GET holds for those with a body: pages that nobody asks for, circles, redirects, retries, secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from canaries import canary
from taps.rest.api_server import Asked, Reply, json_reply, repeatedly, serving
from taps.rest.in_process import run_here
from taps.rest.posted_apis import rows_of

from singerkit_shell.errors import BadDataError, NotAuthorisedError
from tap_rest.config import config_conflicts

ID = {"schema": {"properties": {"id": {}}}}
POST: dict[str, Any] = ID | {"name": "rows", "path": "/rows", "method": "POST", "records": "$.data[*]"}
BY_TOKEN = {"type": "cursor", "cursor": "$.next", "in": "body", "param": "page.token"}
ROWS = [{"id": n} for n in range(1, 8)]
Route = Callable[[Asked], Reply]


def ids(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["id"] for row in rows]


def in_body(path: str, more: Callable[[int, list[Any]], dict[str, Any]], size: int = 3) -> Route:
    """Rows from the place on that the body has at ``path``; ``more`` is what stands beside them."""

    def route(asked: Asked) -> Reply:
        here: Any = json.loads(asked.body or b"{}")
        for name in path.split("."):
            here = here.get(name, {})
        begin = int(here or 0)
        page = ROWS[begin : begin + size]
        return json_reply({"data": page, **more(begin + len(page), page)})

    return route


# The same guards


def test_a_server_that_does_not_listen_to_the_body(tmp_path: Path) -> None:
    route = in_body("nothing", lambda _, __: {"next": "t3"})
    with (
        serving({"/rows": route}) as api,
        pytest.raises(
            BadDataError,
            match=r"equals the page before; most likely the server ignores the member `page.token` of the body",
        ),
    ):
        run_here(api, POST | {"pagination": BY_TOKEN}, cache=tmp_path)


def test_a_token_of_the_body_that_leads_back(tmp_path: Path) -> None:
    pages = [{"data": [{"id": n}], "next": token} for n, token in ((1, "a"), (2, "b"), (3, "a"))]
    route = repeatedly(*map(json_reply, pages))
    with serving({"/rows": route}) as api, pytest.raises(BadDataError, match="go round in circles"):
        run_here(api, POST | {"pagination": BY_TOKEN}, cache=tmp_path)


@pytest.mark.parametrize(("body", "told"), [({"limit": 3}, "limit"), ({"page": {"size": 3}}, "page.size")])
def test_a_page_as_full_as_the_body_asks_for(body: Any, told: str, tmp_path: Path) -> None:
    route = in_body("nothing", lambda _, __: {})
    with serving({"/rows": route}) as api, pytest.raises(BadDataError) as raised:
        run_here(api, POST | {"body": body}, cache=tmp_path)
    assert f"exactly the 3 rows that `{told}` asks for" in str(raised.value)
    assert f'"in": "body", "size": 3, "size_param": "{told}"' in str(raised.value)


def test_an_end_that_contradicts_the_page_before_is_asked_for_again_by_the_same_body(tmp_path: Path) -> None:
    def gone_once(asked: Asked) -> Reply:
        token = json.loads(asked.body or b"{}").get("page", {}).get("token")
        bodies.append(token)
        if token == 3 and bodies.count(3) == 1:
            return json_reply({"data": [], "next": None})
        return in_body("page.token", lambda end, _: {"next": end if end < 7 else None})(asked)

    bodies: list[Any] = []
    with serving({"/rows": gone_once}) as api:
        run = run_here(api, POST | {"pagination": BY_TOKEN}, cache=tmp_path)
    assert ids(run.rows) == ids(ROWS)
    assert bodies[:3] == [None, 3, None] or bodies[:3] == [None, 3, 3]


def test_a_keyset_of_the_body_sends_numbers_as_numbers(tmp_path: Path) -> None:
    asked_for: list[Any] = []

    def after(asked: Asked) -> Reply:
        body = asked.json
        asked_for.append(body.get("after"))
        return json_reply(
            {"data": [row for row in ROWS if row["id"] > (body.get("after") or 0)][: body["n"]]}
        )

    pagination = {
        "type": "keyset",
        "field": "id",
        "in": "body",
        "param": "after",
        "size": 3,
        "size_param": "n",
    }
    with serving({"/rows": after}) as api:
        run = run_here(api, POST | {"pagination": pagination}, cache=tmp_path)
    assert ids(run.rows) == ids(ROWS)
    assert asked_for[:3] == [None, 3, 6]


# Where page and bookmark may stand


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "GET"])
@pytest.mark.parametrize("kind", ["path", "header", "placeholder"])
def test_numbers_of_pages_in_the_path_and_in_headers(method: str, kind: str, tmp_path: Path) -> None:
    def route(asked: Asked) -> Reply:
        page = asked.path.removeprefix("/rows/") if kind == "path" else asked.headers["X-Page"]
        assert asked.method == method
        begin = 3 * (int(page) - 1)
        return json_reply({"data": ROWS[begin : begin + 3], "pages": 3})

    more: dict[str, dict[str, Any]] = {
        "path": {"path": "/rows/{page}", "pagination": {"type": "page", "in": "path"}},
        "header": {"pagination": {"type": "page", "in": "header", "param": "X-Page"}},
        "placeholder": {"headers": {"X-Page": "{page}"}, "pagination": {"type": "page"}},
    }
    stream = POST | {"method": method} | more[kind]
    stream["pagination"]["total_pages"] = "$.pages"
    with serving(dict.fromkeys(("/rows", *(f"/rows/{n}" for n in range(1, 4))), route)) as api:
        run = run_here(api, stream, cache=tmp_path)
        assert [one.raw_path for one in api.asked][:2] == (
            ["/rows/1", "/rows/2"] if kind == "path" else ["/rows"] * 2
        )
    assert ids(run.rows) == ids(ROWS)


def test_a_token_in_the_path_and_a_bookmark_in_a_header(tmp_path: Path) -> None:
    rows = rows_of(5)

    def route(asked: Asked) -> Reply:
        begin = int(asked.path.removeprefix("/changes").strip("/") or 0)
        since = asked.headers.get("X-Since") or ""
        found = [row for row in rows if row["at"] >= since]
        following = begin + 2 if begin + 2 < len(found) else None
        return json_reply({"data": found[begin : begin + 2], "next": following})

    stream = {
        "name": "rows",
        "path": "/changes/{cursor}",
        "records": "$.data[*]",
        "primary_keys": ["id"],
        "replication_key": "at",
        "incremental": {"in": "header", "param": "X-Since"},
        "pagination": {"type": "cursor", "cursor": "$.next", "in": "path"},
        "schema": {"properties": {"id": {}, "at": {"type": "string", "format": "date-time"}}},
    }
    with serving(dict.fromkeys(("/changes", "/changes/2", "/changes/4"), route)) as api:
        first = run_here(api, stream, cache=tmp_path)
        second = run_here(api, stream, cache=tmp_path, state=first.state)
        sent = [one.headers.get("X-Since") for one in api.asked]
    assert ids(first.rows) == ids(rows)
    assert second.rows == []
    assert sent[0] is None
    assert sent[-1].startswith("2026-01-01T00:00:0")


# Retries and redirects


def test_a_post_is_asked_again_since_it_reads(tmp_path: Path) -> None:
    route = repeatedly(Reply(b"", 503), Reply(hang_up=True), json_reply({"data": ROWS}))
    with serving({"/rows": route}) as api:
        run = run_here(api, POST | {"body": {"a": 1}}, cache=tmp_path)
        assert [(one.method, one.body) for one in api.asked] == [("POST", b'{"a":1}')] * 3
    assert ids(run.rows) == ids(ROWS)


@pytest.mark.parametrize(
    ("status", "asked_then"), [(307, ("POST", b'{"a":1}')), (308, ("POST", b'{"a":1}')), (303, ("GET", b""))]
)
def test_redirects_that_are_followed(status: int, asked_then: Any, tmp_path: Path) -> None:
    routes = {
        "/rows": lambda _: Reply(b"", status, {"Location": "/found?id=5"}),
        "/found": lambda _: json_reply({"data": ROWS}),
    }
    with serving(routes) as api:
        run = run_here(api, POST | {"body": {"a": 1}}, cache=tmp_path)
        first, then = api.asked
    assert (then.method, then.body) == asked_then
    assert (then.headers.get("Content-Type") is None) == (status == 303)
    assert first.method == "POST"
    assert ids(run.rows) == ids(ROWS)


@pytest.mark.parametrize("status", [301, 302])
def test_redirects_that_would_turn_a_post_into_a_get(status: int, tmp_path: Path) -> None:
    with (
        serving({"/rows": lambda _: Reply(b"", status, {"Location": "/rows/"})}) as api,
        pytest.raises(
            BadDataError,
            match=rf"answered a POST with a redirect \({status}\) .*none was taken. Write `base_url` and `path`",
        ),
    ):
        run_here(api, POST, cache=tmp_path)


@pytest.mark.parametrize("is_secret", [True, False])
def test_a_secret_in_a_body_goes_to_no_other_origin(is_secret: bool, tmp_path: Path) -> None:
    body = {"api_key": canary("tap-rest body")} if is_secret else {"kind": "a"}
    with serving({"/rows": lambda _: json_reply({"data": ROWS})}) as other:
        there = other.url.replace("127.0.0.1", "localhost")
        with serving({"/rows": lambda _: Reply(b"", 307, {"Location": f"{there}/rows"})}) as api:
            stream = POST | {"body": body, "headers": {"X-Own": "1"}}
            if is_secret:
                with pytest.raises(
                    NotAuthorisedError, match="would take a credential of this config there, in the body"
                ):
                    run_here(api, stream, cache=tmp_path, allowed_hosts=[there])
                assert other.asked == []
            else:
                run_here(api, stream, cache=tmp_path, allowed_hosts=[there])
                assert other.asked[0].json == body
                assert other.asked[0].headers["X-Own"] is None
                assert other.asked[0].headers["Content-Type"] == "application/json"


def test_secrets_of_a_body_are_masked(run_tap: Any) -> None:
    """`run_tap` looks for canaries in all that was printed."""
    body = {
        "filter": {"password": canary("tap-rest body, deep")},
        "list": [{"appid": canary("tap-rest body, in a list")}],
    }

    def echo(asked: Asked) -> Reply:
        return json_reply(
            {"error": "no such filter", "you_sent": asked.json, "raw": asked.body.decode()}, 400
        )

    with serving({"/rows": echo}) as api:
        run = run_tap(api.url, POST | {"body": body}).ended(65)
    assert "no such filter" in run.sentence


# What is refused


def problems(**stream: Any) -> str:
    streams = [{"name": "s", "path": "/s"} | stream]
    return "; ".join(config_conflicts({"base_url": "https://api.example", "streams": streams}))


KEYED = {"replication_key": "at", "primary_keys": ["id"]}


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        ({"body": {"a": 1}}, '`streams[0].body` needs `streams[0].method`: say `"method": "POST"`'),
        (
            {"method": "POST", "body_format": "form"},
            "`streams[0].body_format` has no effect without `streams[0].body`",
        ),
        (
            {"method": "POST", "body": [1], "body_format": "form"},
            "Expected an object of texts, numbers and lists",
        ),
        (
            {"method": "POST", "body": {"a": {"b": 1}}, "body_format": "form"},
            "Expected an object of texts, numbers",
        ),
        ({"method": "POST", "body": {"a": 1}, "body_format": "text"}, "Expected a text at `streams[0].body`"),
        ({"method": "POST", "body": "\ud800"}, "got half of one (a lone surrogate)"),
        (
            {"pagination": {"type": "page", "in": "body"}},
            "`streams[0].pagination.in` is `body`, and `streams[0].method` is `GET`",
        ),
        (
            {"method": "POST", "body": "x", "pagination": {"type": "page", "in": "body"}},
            "`streams[0].body` is no object",
        ),
        (
            {"pagination": {"type": "page", "in": "header"}},
            "Expected the key `streams[0].pagination.param`, which `in` `header` needs",
        ),
        ({"pagination": {"type": "page", "in": "path"}}, "`streams[0].path` holds no `{page}`"),
        (
            {"path": "/{page}", "pagination": {"type": "page", "param": "p"}},
            "`streams[0].pagination.param` has no effect, since `{page}`",
        ),
        (
            {"path": "/{page}", "pagination": {"type": "page", "in": "path", "param": "p"}},
            "`streams[0].pagination.param` has no effect",
        ),
        (
            {"path": "/{page}", "pagination": {"type": "page", "in": "query"}},
            "`streams[0].pagination.in` has no effect",
        ),
        (
            {"path": "/{offset}", "pagination": {"type": "page"}},
            "`{offset}` in `streams[0].path` means nothing in a stream that has no `pagination` of type `offset`",
        ),
        (
            {"params": {"n": "{size}"}, "pagination": {"type": "page"}},
            "means nothing in a stream that has no `pagination.size`",
        ),
        (
            {"params": {"n": "{size}"}, "pagination": {"type": "page", "size": 5, "size_param": "n"}},
            "`streams[0].pagination.size_param` has no effect",
        ),
        (
            {"method": "POST", "body": {"p": "{page}"}, "pagination": {"type": "page", "size": 5}},
            "`streams[0].pagination.size` is sent nowhere: write `{size}` beside `{page}`",
        ),
        (
            {"pagination": {"type": "keyset", "field": "id"}},
            "Expected the key `streams[0].pagination.param`, which `keyset` needs",
        ),
        (
            {"pagination": {"type": "cursor", "cursor": "$.n", "in": "body", "request_header": "X"}},
            "`streams[0].pagination.in` has no effect beside",
        ),
        ({"path": "/{bookmark}"}, "means nothing in a stream that has no `incremental` (`{}` will do)"),
        (KEYED | {"path": "/{bookmark}", "incremental": {}}, "the first run has none: set `start_date`"),
        (
            KEYED | {"method": "POST", "body": {"a": [{"v": "{value}"}]}, "incremental": {}},
            "the first run has none",
        ),
        (
            {"pagination": {"type": "page", "next_request": {}}},
            "`streams[0].pagination.next_request` does not go with",
        ),
        (
            {"pagination": {"type": "next_url", "next_request": {"path": "/x"}}},
            "`streams[0].pagination.next_request.path` has no effect",
        ),
        (
            {"pagination": {"type": "next_url", "next_request": {"body": {}}}},
            "`streams[0].pagination.next_request.body` needs `streams[0].pagination.next_request.method`",
        ),
        (
            {"pagination": {"type": "cursor", "cursor": "$.n", "next_request": {"params": {"x": "{crsor}"}}}},
            "`{crsor}` in `streams[0].pagination.next_request.params` is no placeholder; did you mean `{cursor}`?",
        ),
        (KEYED | {"incremental": {}}, "Expected the key `streams[0].incremental.param`, or `{bookmark}`"),
        (KEYED | {"incremental": {"in": "body", "param": "a"}}, "`streams[0].incremental.in` is `body`, and"),
    ],
)
def test_what_is_refused(stream: dict[str, Any], words: str) -> None:
    assert words in problems(**stream)


@pytest.mark.parametrize(
    "stream",
    [
        {"method": "POST"},
        {"method": "GET", "body": {"query": {}}},  # Elasticsearch takes that
        {"method": "POST", "body": "<q/>", "headers": {"Content-Type": "text/xml"}},
        {"method": "POST", "pagination": {"type": "page", "in": "body"}},
        KEYED | {"method": "POST", "body": {"since": "{bookmark}"}, "incremental": {}},
        {"path": "/x/{page}", "params": {"n": "{size}"}, "pagination": {"type": "page", "size": 5}},
    ],
)
def test_what_is_not(stream: dict[str, Any]) -> None:
    assert problems(**stream) == ""


def test_a_bookmark_that_is_no_time_stands_alone_or_the_run_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`start_date` says nothing of numbers: where the bookmark cannot be left out, the sentence says so."""
    stream = POST | {"replication_key": "id", "incremental": {}, "body": {"q": "id >= {bookmark}"}}
    stream["replication_key_format"] = "number"
    stream["schema"] = {"properties": {"id": {"type": "integer"}}}
    with (
        serving({"/rows": lambda _: json_reply({"data": ROWS})}) as api,
        caplog.at_level(logging.CRITICAL),
        pytest.raises(
            Exception,
            match=r"`\{bookmark\}` in `body.q` has no value here.*where the replication key is no date",
        ),
    ):
        run_here(api, stream, cache=tmp_path, start_date="2026-01-01T00:00:00Z")
