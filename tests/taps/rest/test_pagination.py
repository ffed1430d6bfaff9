"""The nine kinds of pagination, each against a server that speaks it; rows must arrive exactly once."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import unquote

import pytest
from taps.rest.api_server import Asked, Reply, Route, json_reply, serving

ROWS = [{"id": n, "name": f"row {n}", "at": f"2026-01-{n:02d}T00:00:00Z"} for n in range(1, 24)]
SIZE = 5


def pieces(rows: list[Any] | None = None) -> list[list[Any]]:
    rows = ROWS if rows is None else rows
    return [rows[start : start + SIZE] for start in range(0, len(rows), SIZE)]


def token_of(start: int) -> str:
    return base64.b64encode(f"next+{start}".encode()).decode()


def start_of(token: str | None) -> int:
    return int(base64.b64decode(token).decode().removeprefix("next+")) if token else 0


def by_page(asked: Asked) -> Reply:
    number, size = int(asked.param("page", "1") or 1), int(asked.param("per_page", "5") or 5)
    return json_reply({"data": ROWS[(number - 1) * size : number * size], "pages": 5, "total": 23})


def by_offset(asked: Asked) -> Reply:
    start, size = int(asked.param("offset", "0") or 0), int(asked.param("limit", "5") or 5)
    rows = ROWS[start : start + min(size, 4)]  # the server caps the page silently
    total = f"{start}-{start + len(rows)}/{len(ROWS)}"
    return json_reply(rows, Content_Range=total)


def by_cursor(asked: Asked) -> Reply:
    start = start_of(asked.param("cursor"))
    following = token_of(start + SIZE) if start + SIZE < len(ROWS) else None
    return json_reply({"data": ROWS[start : start + SIZE], "meta": {"next": following}})


def by_header_cursor(asked: Asked) -> Reply:
    start = start_of(asked.headers.get("X-Continue") or asked.param("cursor"))
    more = {"X-Next": token_of(start + SIZE)} if start + SIZE < len(ROWS) else {}
    return json_reply(ROWS[start : start + SIZE], **more)


def by_link(asked: Asked) -> Reply:
    start = int(asked.param("after", "0") or 0)
    url = f"/rows?size={asked.param('size')}&after={start + SIZE}"
    links = f'<{url}>; rel="next", </rows>; rel="first"' if start + SIZE < len(ROWS) else "</rows>; rel=first"
    return json_reply(ROWS[start : start + SIZE], Link=links)


def by_next_url(asked: Asked) -> Reply:
    start = int(asked.param("after", "0") or 0)
    following = f"?after={start + SIZE}" if start + SIZE < len(ROWS) else ""
    return json_reply({"next": following, "results": ROWS[start : start + SIZE]})


def by_next_url_in_header(asked: Asked) -> Reply:
    start = int(asked.param("after", "0") or 0)
    more = {"Next_Page": f"/rows?after={start + SIZE}"} if start + SIZE < len(ROWS) else {}
    return json_reply(ROWS[start : start + SIZE], **more)


def by_hateoas(asked: Asked) -> Reply:
    start = int(asked.param("after", "0") or 0)
    links = [{"rel": "self", "href": "/rows"}]
    if start + SIZE < len(ROWS):
        links.append({"rel": "next", "href": f"/rows?after={start + SIZE}"})
    return json_reply({"items": ROWS[start : start + SIZE], "links": links})


def by_hal(asked: Asked) -> Reply:
    start = int(asked.param("after", "0") or 0)
    if "{" in unquote(asked.raw_path):
        return Reply(status=400)
    links: dict[str, Any] = {"self": {"href": "/rows{?after,sort}", "templated": True}}
    if start + SIZE < len(ROWS):
        links["next"] = {"href": f"/rows?after={start + SIZE}{{&sort,projection}}", "templated": True}
    return json_reply({"_embedded": {"rows": ROWS[start : start + SIZE]}, "_links": links})


def by_keyset(asked: Asked) -> Reply:
    after = int((asked.param("id") or "gt.0").removeprefix("gt."))
    return json_reply([row for row in ROWS if row["id"] > after][: int(asked.param("limit", "5") or 5)])


def single(_asked: Asked) -> Reply:
    return json_reply({"data": ROWS})


KINDS: dict[str, tuple[Route, dict[str, Any], dict[str, Any], int]] = {
    # name: server, pagination, more of the stream, requests
    "single": (single, {"type": "single"}, {}, 1),
    "page": (by_page, {"type": "page", "size": 5}, {"records": "$.data[*]"}, 6),
    "page, total pages": (by_page, {"type": "page", "size": 5, "total_pages": "$.pages"}, {}, 5),
    "page, total count": (by_page, {"type": "page", "size": 5, "total_count": "total"}, {}, 5),
    "page, total with a point": (
        lambda asked: json_reply(json.loads(by_page(asked).body) | {"total": 23.0}),
        {"type": "page", "size": 5, "total_count": "total"},
        {},
        5,
    ),
    "page, short page": (by_page, {"type": "page", "size": 5, "stop_on_short_page": True}, {}, 5),
    "offset, server caps": (by_offset, {"type": "offset", "size": 5}, {}, 7),
    "offset, total in header": (
        by_offset,
        {"type": "offset", "size": 5, "total_count": "header:Content-Range"},
        {},
        6,
    ),
    "cursor": (by_cursor, {"type": "cursor", "cursor": "$.meta.next"}, {"records": "$.data[*]"}, 5),
    "header cursor": (by_header_cursor, {"type": "header_cursor", "header": "x-next"}, {}, 5),
    "header cursor in header": (
        by_header_cursor,
        {"type": "header_cursor", "header": "X-Next", "request_header": "X-Continue"},
        {},
        5,
    ),
    "link header": (by_link, {"type": "link_header"}, {"params": {"size": 5}}, 5),
    "next url": (by_next_url, {"type": "next_url"}, {"records": "results"}, 5),
    "next url in header": (
        by_next_url_in_header,
        {"type": "next_url", "next": "header:Next-Page"},
        {"params": {"size": 5}},
        5,
    ),
    "hateoas list": (by_hateoas, {"type": "hateoas", "links": "$.links"}, {"records": "items"}, 5),
    "hateoas object": (by_hal, {"type": "hateoas"}, {"records": "$._embedded.rows[*]"}, 5),
    "keyset": (
        by_keyset,
        {"type": "keyset", "param": "id", "field": "id", "template": "gt.{value}", "size": 5},
        {},
        6,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_once(kind: str, run_tap: Any) -> None:
    route, pagination, more, requests = KINDS[kind]
    with serving({"/rows": route}) as api:
        stream = {
            "name": "rows",
            "path": "/rows",
            "pagination": pagination,
            "primary_keys": ["id"],
            "schema": {"type": "object", "properties": {"id": {}, "name": {}, "at": {}}},
        }
        run = run_tap(api.url, stream | more).ended(0)
    assert run.records("rows") == ROWS
    assert len(api.asked) == requests


def with_hole(asked: Asked) -> Reply:
    number = int(asked.param("page", "1") or 1)
    data = {1: ROWS[:5], 2: [], 3: ROWS[5:10]}.get(number, [])
    return json_reply({"data": data, "more": number < 3, "pages": 3, "next": f"/rows?page={number + 1}"})


@pytest.mark.parametrize(
    ("pagination", "rows", "code"),
    [
        ({"type": "page", "has_more": "$.more"}, 10, 0),
        ({"type": "page", "total_pages": "$.pages"}, 10, 0),
        ({"type": "page"}, 5, 65),  # the answer says that there is more
        ({"type": "page", "unread": "warn"}, 5, 0),
        ({"type": "page", "has_more": "$.more", "empty_page": "stop"}, 5, 0),
        ({"type": "page", "has_more": "$.more", "empty_page": "fail"}, 5, 65),
        ({"type": "next_url", "has_more": "$.more"}, 10, 0),
        ({"type": "next_url", "empty_page": "stop"}, 5, 0),
    ],
)
def test_what_an_empty_page_in_the_middle_means(
    pagination: dict[str, Any], rows: int, code: int, run_tap: Any
) -> None:
    with serving({"/rows": with_hole}) as api:
        stream = {
            "name": "rows",
            "path": "/rows",
            "records": "$.data[*]",
            "pagination": pagination,
            "schema": {"type": "object", "properties": {"id": {}, "name": {}, "at": {}}},
        }
        run = run_tap(api.url, stream).ended(code)
    assert run.records("rows") == ROWS[:rows]


def circle(*following: Any) -> Route:
    def route(asked: Asked) -> Reply:
        at = int(asked.param("cursor", "0") or 0)
        return json_reply({"data": [{"id": at}], "next": following[at % len(following)]})

    return route


BY_CURSOR = {
    "name": "rows",
    "path": "/rows",
    "records": "data",
    "pagination": {"type": "cursor", "cursor": "next"},
    "schema": {"properties": {"id": {}}},
}


@pytest.mark.parametrize(
    "following", [("1", "1"), ("1", "2", "1"), ("1", "2", "3", "1")], ids=["A-A", "A-B-A", "A-B-C-A"]
)
def test_circles_are_noticed(following: tuple[str, ...], run_tap: Any) -> None:
    with serving({"/rows": circle(*following)}) as api:
        run = run_tap(api.url, BY_CURSOR).ended(65)
    assert "circle" in run.sentence
    assert len(api.asked) <= len(following) + 1


@pytest.mark.parametrize("end", [0, "0", -1, "-1", None, "", False])
def test_tokens_that_lead_nowhere(end: Any, run_tap: Any) -> None:
    with serving({"/rows": circle("1", "2", end)}) as api:
        run = run_tap(api.url, BY_CURSOR).ended(0)
    assert [row["id"] for row in run.records("rows")] == [0, 1, 2]
    assert len(api.asked) == 3


def test_a_url_that_leads_to_itself(run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply({"data": [{"id": 1}], "next": "/rows"})}) as api:
        stream = {"name": "rows", "path": "/rows", "records": "data", "pagination": {"type": "next_url"}}
        run = run_tap(api.url, stream | {"schema": {"properties": {"id": {}}}}).ended(65)
    assert "circle" in run.sentence
    assert len(api.asked) == 1


def test_pages_have_a_limit(run_tap: Any) -> None:
    def endless(asked: Asked) -> Reply:
        return json_reply([{"id": int(asked.param("page") or 1)}])

    with serving({"/rows": endless}) as api:
        stream = {"name": "rows", "path": "/rows", "pagination": {"type": "page"}}
        stream |= {"schema": {"properties": {"id": {}}}}
        run = run_tap(api.url, stream, limits={"pages": 4}).ended(65)
    assert "limits.pages" in run.sentence
    assert len(api.asked) == 4


@pytest.mark.parametrize("kind", ["page", "offset"])
def test_a_server_that_ignores_the_parameter(kind: str, run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply([{"id": 1}, {"id": 2}])}) as api:
        stream = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}
        run = run_tap(api.url, stream | {"pagination": {"type": kind}}).ended(65)
        assert f"`{kind}`" in run.sentence
        allowed = {"type": kind, "allow_repeated_pages": True}
        assert run_tap(api.url, stream | {"pagination": allowed}, limits={"pages": 3}).code == 65


def test_the_offset_starts_at_the_first_row(run_tap: Any) -> None:
    with serving({"/rows": by_offset}) as api:
        stream = {"name": "rows", "path": "/rows", "pagination": {"type": "offset"}}
        run_tap(api.url, stream | {"schema": {"properties": {"id": {}}}}).ended(0)
    assert api.asked[0].query == {"offset": ["0"]}


def test_a_stop_rule_that_is_not_there(run_tap: Any) -> None:
    with serving({"/rows": by_page}) as api:
        for rule in ("total_pages", "total_count", "has_more", "is_last"):
            stream = {
                "name": "rows",
                "path": "/rows",
                "records": "data",
                "schema": {"properties": {"id": {}}},
            }
            stream |= {"pagination": {"type": "page", rule: "$.nothing.here"}}
            assert "$.nothing.here" in run_tap(api.url, stream).ended(65).sentence


def test_huge_keys_are_sent_as_they_came(run_tap: Any) -> None:
    keys = ["123456789012345678901", "1.10", "9007199254740993"]

    def route(asked: Asked) -> Reply:
        at = keys.index(asked.param("after") or "") + 1 if asked.param("after") else 0
        return json_reply(f'[{{"k": {keys[at]}}}]'.encode() if at < len(keys) else b"[]")

    with serving({"/rows": route}) as api:
        stream = {"name": "rows", "path": "/rows", "schema": {"properties": {"k": {}}}}
        stream |= {"pagination": {"type": "keyset", "param": "after", "field": "k"}}
        run = run_tap(api.url, stream).ended(0)
    assert [row["k"] for row in run.texts("rows")] == keys
    assert [asked.param("after") for asked in api.asked] == [None, *keys, keys[1]], (
        "the end is looked at twice"
    )


def test_no_row_at_all_is_a_warning(run_tap: Any) -> None:
    """The API counts its pages from 0, or means another size; an empty source looks the same."""
    none = {
        "name": "none",
        "path": "/none",
        "pagination": {"type": "page"},
        "params": {"q": "canary-of-a-test"},
    }
    none |= {"schema": {"properties": {"id": {}}}}
    some = {"name": "some", "path": "/some", "schema": {"properties": {"id": {}}}}
    with serving({"/none": lambda _: json_reply([]), "/some": lambda _: json_reply([{"id": 1}])}) as api:
        run = run_tap(api.url, none).ended(0)
        assert run.stderr.count("No row came at all: the first answer, of http://127.0.0.1") == 2
        assert "/none?q=" in run.stderr
        assert "canary-of-a-test" not in run.stderr
        assert "No row came" not in run_tap(api.url, none, some).ended(0).stderr
        assert "No row came" not in run_tap(api.url, none, state={"bookmarks": {"none": {}}}).ended(0).stderr


def test_an_error_of_a_request_names_page_and_stream(run_tap: Any) -> None:
    rows = {
        "name": "rows",
        "path": "/rows",
        "schema": {"properties": {"id": {}}},
        "pagination": {"type": "next_url"},
    }
    with serving({"/rows": lambda _: json_reply({"data": [{"id": 1}], "next": "/gone"})}) as api:
        gone = run_tap(api.url, rows).ended(65).sentence
        assert f"Page 2 of stream rows: {api.url}/gone answered 404" in gone
        api.routes["/rows"] = lambda _: json_reply({"data": [{"id": 1}], "next": "http://127.0.0.2/x"})
        away = run_tap(api.url, rows).ended(77).sentence
        assert f"Page 2 of stream rows: The way leads from {api.url} to http://127.0.0.2" in away
        wrong = run_tap(api.url, rows | {"path": "/rosw"}).ended(65).sentence
        assert "Page 1 of stream rows: " in wrong
        key = run_tap(api.url, rows | {"replication_key": "at", "primary_keys": ["id"]}).ended(78).sentence
        assert "The replication key `at` of stream `rows` is not a property" in key


def test_a_single_page_is_told_of_once_for_all_parents(run_tap: Any) -> None:
    parent = {"name": "users", "path": "/users", "schema": {"properties": {"id": {}}}}
    child = {"name": "rows", "path": "/users/{parent.id}", "parent": {"stream": "users"}}
    child |= {"schema": {"properties": {"no": {}}}, "pagination": {"type": "next_url"}}
    routes = {f"/users/{n}": lambda _: json_reply({"data": [{"no": 1}]}) for n in (1, 2, 3)}
    with serving({"/users": lambda _: json_reply([{"id": n} for n in (1, 2, 3)]), **routes}) as api:
        run = run_tap(api.url, parent, child).ended(0)
    assert run.stderr.count("so it is the only one") == 1
    assert "users: 3 rows in" in run.stderr
