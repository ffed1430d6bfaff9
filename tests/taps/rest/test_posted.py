"""Requests by POST and others: page and bookmark in body, path and headers; what is sent, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Api, Asked, Reply, json_reply, serving
from taps.rest.in_process import Messages, run_here
from taps.rest.posted_apis import elastic, form_search, hubspot, jira, notion, rows_of

from singerkit_shell.errors import BadDataError

AT = {"type": "string", "format": "date-time"}
ID_AT = {"schema": {"properties": {"id": {"type": "string"}, "at": AT}}}
KEYED = ID_AT | {"primary_keys": ["id"], "replication_key": "at"}
NOTION = KEYED | {
    "name": "pages",
    "path": "/v1/databases/d/query",
    "method": "POST",
    "body": {"sorts": [{"timestamp": "last_edited_time", "direction": "ascending"}]},
    "records": "$.results[*]",
    "incremental": {"in": "body", "param": "filter.last_edited_time.on_or_after"},
    "pagination": {
        "type": "cursor",
        "cursor": "$.next_cursor",
        "has_more": "$.has_more",
        "in": "body",
        "param": "start_cursor",
        "size": 3,
        "size_param": "page_size",
    },
}
HUBSPOT = KEYED | {
    "name": "contacts",
    "path": "/crm/v3/objects/contacts/search",
    "method": "POST",
    "body": {
        "filterGroups": [
            {"filters": [{"propertyName": "lastmodifieddate", "operator": "GTE", "value": "{bookmark}"}]}
        ],
        "sorts": [{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}],
        "limit": "{size}",
        "after": "{cursor}",
    },
    "records": "$.results[*]",
    "is_sorted": True,
    "incremental": {"format": "epoch_ms"},
    "pagination": {"type": "cursor", "cursor": "$.paging.next.after", "size": 3},
}
JIRA = {
    "name": "issues",
    "path": "/rest/api/3/search/jql",
    "method": "POST",
    "body": {"jql": "updated >= '{bookmark}' order by updated asc", "maxResults": "{size}"},
    "records": "$.issues[*]",
    "primary_keys": ["id"],
    "replication_key": "fields.updated",
    "is_sorted": True,
    "incremental": {"format": "%Y-%m-%d %H:%M"},
    "pagination": {
        "type": "cursor",
        "cursor": "$.nextPageToken",
        "is_last": "$.isLast",
        "in": "body",
        "param": "nextPageToken",
        "size": 3,
    },
}
FORM = KEYED | {
    "name": "form",
    "path": "/find",
    "method": "POST",
    "body": {"kind": ["a", "b"]},
    "body_format": "form",
    "records": "$.rows[*]",
    "incremental": {"in": "body", "param": "since"},
    "pagination": {
        "type": "offset",
        "in": "body",
        "param": "from",
        "size": 3,
        "size_param": "count",
        "total_count": "$.total",
    },
}
START = {"start_date": "2026-01-01T00:00:00Z"}


def twice(route: Any, stream: dict[str, Any], cache: Path, **config: Any) -> tuple[Messages, Messages, Api]:
    """Run, and run again from the state."""
    with serving({stream["path"]: route}) as api:
        first = run_here(api, stream, cache=cache, **config)
        api.asked.append(Asked("-", {}, {}, "-"))
        second = run_here(api, stream, cache=cache, state=first.state, **config)
    return first, second, api


@pytest.mark.parametrize(
    ("serve", "stream", "config", "bodies"),
    [
        (
            notion,
            NOTION,
            {},
            [
                {"sorts": NOTION["body"]["sorts"], "page_size": 3},
                {"sorts": NOTION["body"]["sorts"], "page_size": 3, "start_cursor": "after-r0004"},
            ],
        ),
        (hubspot, HUBSPOT, START, []),
        (form_search, FORM, {}, []),
    ],
    ids=["notion", "hubspot", "form"],
)
def test_page_and_bookmark_in_the_body(
    serve: Any, stream: dict[str, Any], config: dict[str, Any], bodies: list[Any], tmp_path: Path
) -> None:
    rows = rows_of(7)
    first, second, api = twice(serve(rows), stream, tmp_path, **config)
    assert [row["id"] for row in first.rows] == [row["id"] for row in rows]
    assert second.rows == []
    assert [one.json for one in api.asked[: len(bodies)]] == bodies


def test_a_token_that_is_an_offset_is_left_for_the_bookmark(tmp_path: Path) -> None:
    """HubSpot's `after` counts rows, which shift when one changes: of a sorted stream the bookmark is asked for instead."""
    with serving({HUBSPOT["path"]: hubspot(rows_of(12))}) as api:
        run = run_here(api, HUBSPOT, cache=tmp_path, **START)
        bodies = [one.json for one in api.asked]
    assert len(run.rows) == 12
    since = [body["filterGroups"][0]["filters"][0]["value"] for body in bodies]
    assert len(set(since)) > 3
    assert sum("after" in body for body in bodies) == 2  # what shows it, and what stands behind the last row


def test_jira_counts_minutes(tmp_path: Path) -> None:
    rows = [{"id": n["id"], "fields": {"updated": n["at"]}} for n in rows_of(130)]
    with serving({JIRA["path"]: jira(rows)}) as api:
        first = run_here(
            api, JIRA | {"pagination": JIRA["pagination"] | {"size": 50}}, cache=tmp_path, **START
        )
        asked = api.asked[-1].json
        assert [row["id"] for row in first.rows] == [row["id"] for row in rows]
        rows.append({"id": "new", "fields": {"updated": "2026-01-01T00:02:30.000Z"}})
        second = run_here(api, JIRA, cache=tmp_path, state=first.state, **START)
        since = api.asked[-1].json["jql"]
    assert asked["maxResults"] == 50
    assert asked["nextPageToken"] == "t100"
    assert [row["id"] for row in second.rows] == ["new"]
    assert since.startswith("updated >= '2026-01-01 00:0")


def test_a_token_of_the_answer_travels_in_the_body(tmp_path: Path) -> None:
    asked_for: list[Any] = []

    def changes(asked: Asked) -> Reply:
        token = asked.json.get("sync", {}).get("token")
        asked_for.append(token)
        rows = [{"id": "1"}, {"id": "2"}] if token is None else [{"id": "3"}]
        return json_reply({"items": rows, "nextSyncToken": "t1" if token is None else "t2"})

    stream = {
        "name": "x",
        "path": "/x",
        "method": "POST",
        "records": "$.items[*]",
        "primary_keys": ["id"],
        "pagination": {"type": "single"},
        "incremental": {"token": "$.nextSyncToken", "in": "body", "param": "sync.token"},
        "schema": {"properties": {"id": {}}},
    }
    with serving({"/x": changes}) as api:
        first = run_here(api, stream, cache=tmp_path)
        second = run_here(api, stream, cache=tmp_path, state=first.state)
        run_here(api, stream, cache=tmp_path, state=second.state)
    assert [row["id"] for row in (*first.rows, *second.rows)] == ["1", "2", "3"]
    assert asked_for == [None, "t1", "t2"]


ELASTIC: dict[str, Any] = {
    "name": "hits",
    "path": "/index/_search",
    "method": "POST",
    "body": {"sort": [{"n": "asc"}, {"id": "asc"}], "size": "{size}", "search_after": "{cursor}"},
    "records": "$.hits.hits[*]._source",
    "primary_keys": ["id"],
    "pagination": {"type": "cursor", "cursor": "$.hits.hits[-1].sort", "size": 3},
}


@pytest.mark.parametrize(
    "more", [{}, {"total_count": "$.hits.total.value"}], ids=["to an empty page", "to the total"]
)
def test_search_after_takes_the_sort_of_the_last_hit(more: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"id": f"r{n}", "n": n // 2, "text": "x"} for n in range(8)]
    with serving({"/index/_search": elastic(rows)}) as api:
        run = run_here(api, ELASTIC | {"pagination": ELASTIC["pagination"] | more}, cache=tmp_path)
        after = [one.json.get("search_after") for one in api.asked]
    assert run.rows == rows
    assert after[:3] == [None, [1, "r2"], [2, "r5"]]


def test_a_keyset_goes_by_a_field_inside_what_is_listed(tmp_path: Path) -> None:
    rows = [{"id": n} for n in range(1, 8)]

    def route(asked: Asked) -> Reply:
        return json_reply(
            {"edges": [{"node": row} for row in rows if row["id"] > asked.json.get("after", 0)][:3]}
        )

    pagination = {"type": "keyset", "field": "id", "in": "body", "param": "after"}
    stream = {
        "name": "x",
        "path": "/x",
        "method": "POST",
        "records": "$.edges[*].node",
        "pagination": pagination,
    }
    with serving({"/x": route}) as api:
        assert run_here(api, stream, cache=tmp_path).rows == rows


@pytest.mark.parametrize("node", [{}, {"node": None}], ids=["missing", "null"])
def test_an_object_without_its_record_is_told(node: Any, tmp_path: Path) -> None:
    stream = {"name": "x", "path": "/x", "records": "$.edges[*].node", "pagination": {"type": "single"}}
    with serving({"/x": lambda _: json_reply({"edges": [{"node": {"id": 1}}, node]})}) as api:
        with pytest.raises(
            BadDataError,
            match=r"Expected a record at `node` of each object in the list of page 1 .*got 1 of 2",
        ):
            run_here(api, stream, cache=tmp_path)
        assert run_here(api, stream | {"partial_answers": "warn"}, cache=tmp_path).rows == [{"id": 1}]


# Pages behind the first that are asked for otherwise


def continued(first: str, behind: str, known: set[str]) -> dict[str, Any]:
    """Routes of an API that lists by one path and goes on by another, as Dropbox and the scroll of Elasticsearch do."""

    def begins(asked: Asked) -> Reply:
        return page(0, asked.json.get("limit", 3))

    def goes_on(asked: Asked) -> Reply:
        body = asked.json
        if asked.query or body.keys() - known:
            return json_reply({"error_summary": "unknown argument"}, 400)
        return page(int(body["cursor"].removeprefix("c")), 3)

    def page(begin: int, size: int) -> Reply:
        rows = ROWS[begin : begin + size]
        end = begin + len(rows)
        return json_reply({"entries": rows, "cursor": f"c{end}", "has_more": end < len(ROWS)})

    return {first: begins, behind: goes_on}


ROWS = [{"id": f"x{n}"} for n in range(8)]
DROPBOX: dict[str, Any] = {
    "name": "files",
    "path": "/files/list_folder",
    "method": "POST",
    "params": {"v": 1},
    "body": {"path": "", "limit": "{size}"},
    "records": "$.entries[*]",
    "primary_keys": ["id"],
    "pagination": {
        "type": "cursor",
        "cursor": "$.cursor",
        "has_more": "$.has_more",
        "size": 3,
        "next_request": {"path": "/files/list_folder/continue", "body": {"cursor": "{cursor}"}},
    },
}


@pytest.mark.parametrize("kind", ["placeholder", "member"])
def test_pages_behind_the_first_may_be_another_request(kind: str, tmp_path: Path) -> None:
    stream = DROPBOX
    if kind == "member":
        by_param = {"in": "body", "param": "cursor", "next_request": {"path": "/files/list_folder/continue"}}
        stream = DROPBOX | {"pagination": DROPBOX["pagination"] | by_param}
    with serving(continued("/files/list_folder", "/files/list_folder/continue", {"cursor"})) as api:
        run = run_here(api, stream, cache=tmp_path)
        asked = [(one.raw_path, one.json) for one in api.asked]
    assert run.rows == ROWS
    behind = "/files/list_folder/continue"
    assert asked == [
        ("/files/list_folder?v=1", {"path": "", "limit": 3}),
        (behind, {"cursor": "c3"}),
        (behind, {"cursor": "c6"}),
    ]


def test_the_size_of_a_page_is_not_sent_behind_the_first(tmp_path: Path) -> None:
    """It is another request, which takes what it names alone."""
    pagination = DROPBOX["pagination"] | {"in": "body", "param": "cursor", "size_param": "limit"}
    pagination["next_request"] = {"path": "/files/list_folder/continue"}
    stream = DROPBOX | {"body": {"path": ""}, "pagination": pagination}
    with serving(continued("/files/list_folder", "/files/list_folder/continue", {"cursor"})) as api:
        assert run_here(api, stream, cache=tmp_path).rows == ROWS
        assert api.asked[0].json == {"path": "", "limit": 3}


def test_a_scroll_has_one_token_for_all_pages(tmp_path: Path) -> None:
    """Elasticsearch: the first search says how long, the token of each page is the same, and an empty page is the end."""
    left = [ROWS[n : n + 3] for n in range(0, 9, 3)]
    opened: list[str] = []

    def hits(rows: list[Any]) -> Reply:
        return json_reply({"_scroll_id": "s1", "hits": {"hits": [{"_source": row} for row in rows]}})

    def search(asked: Asked) -> Reply:
        opened.append(asked.raw_path)
        return hits(left[0])

    def scroll(asked: Asked) -> Reply:
        assert asked.json == {"scroll": "1m", "scroll_id": "s1"}
        left.pop(0)
        return hits(left[0] if left else [])

    stream = {
        "name": "docs",
        "path": "/docs/_search",
        "method": "POST",
        "params": {"scroll": "1m"},
        "body": {"size": 3},
        "records": "$.hits.hits[*]._source",
        "primary_keys": ["id"],
        "pagination": {
            "type": "cursor",
            "cursor": "$._scroll_id",
            "empty_page": "stop",
            "next_request": {"path": "/_search/scroll", "body": {"scroll": "1m", "scroll_id": "{cursor}"}},
        },
    }
    with serving({"/docs/_search": search, "/_search/scroll": scroll}) as api:
        assert run_here(api, stream, cache=tmp_path).rows == ROWS
    assert opened == ["/docs/_search?scroll=1m"]


def test_a_search_by_post_whose_links_are_followed_by_get(tmp_path: Path) -> None:
    """FHIR: the body is the search, the links hold all of it."""

    def search(asked: Asked) -> Reply:
        begin = int(asked.param("at") or 0)
        is_first = begin == 0
        if (asked.method, asked.body) != (("POST", b'{"kind":"a"}') if is_first else ("GET", b"")):
            return json_reply({"error": "by another method"}, 405)
        end = begin + 3
        return json_reply({"rows": ROWS[begin:end], "next": f"/found?at={end}" if end < len(ROWS) else None})

    stream = {
        "name": "x",
        "path": "/search",
        "method": "POST",
        "body": {"kind": "a"},
        "records": "$.rows[*]",
        "pagination": {"type": "next_url", "next_request": {"method": "GET"}},
    }
    with serving({"/search": search, "/found": search}) as api:
        assert run_here(api, stream, cache=tmp_path).rows == ROWS


# Beside parents, lists and windows


def test_children_are_asked_for_by_a_field_in_the_body(tmp_path: Path) -> None:
    asked_for: list[Any] = []

    def lines(asked: Asked) -> Reply:
        asked_for.append(asked.json)
        return json_reply([{"no": asked.json["filter"]["order"] * 10}])

    orders = {"name": "orders", "path": "/orders", "primary_keys": ["id"], "pagination": {"type": "single"}}
    child = {
        "name": "lines",
        "path": "/lines",
        "method": "POST",
        "body": {"filter": {"order": "{parent.id}", "lang": "{each.lang}"}, "text": "of {parent.id}"},
        "for_each": {"lang": ["de", "en"]},
        "parent": {"stream": "orders"},
        "pagination": {"type": "single"},
    }
    routes = {"/orders": lambda _: json_reply([{"id": 1}, {"id": None}, {"id": 2}]), "/lines": lines}
    with serving(routes) as api:
        run = run_here(api, orders, child, cache=tmp_path)
    rows = [row for row in run.rows if "no" in row]
    assert {(row["no"], row["orders_id"], row["lang"]) for row in rows} == {
        (n * 10, n, lang) for n in (1, 2) for lang in ("de", "en")
    }
    assert {"filter": {"order": 1, "lang": "de"}, "text": "of 1"} in asked_for
    assert all(type(body["filter"]["order"]) is int for body in asked_for)


def test_decimals_of_a_parent_keep_their_digits(tmp_path: Path) -> None:
    bodies: list[bytes] = []

    def lines(asked: Asked) -> Reply:
        bodies.append(asked.body)
        return json_reply([])

    orders = {"name": "orders", "path": "/orders", "pagination": {"type": "single"}}
    child = {"name": "lines", "path": "/lines", "method": "POST", "body": {"price": "{parent.price}"}}
    child |= {"parent": {"stream": "orders"}, "pagination": {"type": "single"}}
    with serving({"/orders": lambda _: json_reply(b'[{"id":1,"price":1.10}]'), "/lines": lines}) as api:
        run_here(api, orders, child, cache=tmp_path)
    assert set(bodies) == {b'{"price":1.10}'}


def test_windows_travel_in_the_body(tmp_path: Path) -> None:
    rows = [{"id": n, "at": f"2026-{n:02}-01T12:00:00Z"} for n in range(1, 10)]
    asked_for: list[Any] = []

    def between(asked: Asked) -> Reply:
        begin, end = asked.json["filter"]["between"]
        asked_for.append((begin, end))
        return json_reply({"data": [row for row in rows if begin <= row["at"] < end]})

    stream = {
        "name": "x",
        "path": "/x",
        "method": "POST",
        "body": {"filter": {"between": ["{from}", "{to}"]}},
        "records": "$.data[*]",
        "primary_keys": ["id"],
        "replication_key": "at",
        "incremental": {"window": "P100D", "until": "exclusive"},
        "pagination": {"type": "single"},
        "schema": {"properties": {"id": {}, "at": AT}},
    }
    with serving({"/x": between}) as api:
        run = run_here(api, stream, cache=tmp_path, **START)
    assert [row["id"] for row in run.rows] == [row["id"] for row in rows]
    assert ("2026-01-01T00:00:00Z", "2026-04-11T00:00:00Z") in asked_for
    assert all(begin < end for begin, end in asked_for)


def test_a_bookmark_inside_a_parameter(tmp_path: Path) -> None:
    rows = rows_of(5)

    def search(asked: Asked) -> Reply:
        since = (asked.param("q") or "").removeprefix("kind:a updated:>=")
        return json_reply([row for row in rows if row["at"] >= since])

    stream = KEYED | {
        "name": "x",
        "path": "/x",
        "params": {"q": "kind:a updated:>={bookmark}"},
        "incremental": {"format": "iso"},
        "pagination": {"type": "single"},
    }
    with serving({"/x": search}) as api:
        first = run_here(api, stream, cache=tmp_path, **START)
        rows.append({"id": "new", "at": "2026-02-01T00:00:00.000Z"})
        second = run_here(api, stream, cache=tmp_path, state=first.state, **START)
        asked = [one.param("q") for one in api.asked]
    assert asked[0] == "kind:a updated:>=2026-01-01T00:00:00Z"
    assert asked[-1] != asked[0]
    assert [row["id"] for row in second.rows] == ["new"]
