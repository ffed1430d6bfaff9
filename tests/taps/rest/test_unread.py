"""An answer that shows a next page which nobody asks for is an error, and the config line it offers reads on.

Each shape below answers as an API of that name does: without `pagination` the run ends with 65 before any row, and
with the line of its sentence, copied, it reads every row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving

from tap_rest.answers.answer import Response
from tap_rest.pages.lastpage import LastPage, Weight
from tap_rest.pages.unread import signs_of_more

ROWS = [{"id": n} for n in range(1, 8)]
SIZE = 3
Shape = Callable[[Asked, int, list[Any], bool], Reply]


def at_offset(asked: Asked, *names: str) -> int:
    return next((int(asked.param(name) or 0) for name in names if asked.param(name)), 0)


def url_of(asked: Asked, start: int) -> str:
    return f"http://{asked.headers['Host']}/rows?offset={start}"


def shape(start_of: Callable[[Asked], int]) -> Callable[[Any], Callable[[Asked], Reply]]:
    """Make a route of ``answer(asked, start of the next page or None, rows)``."""

    def made(answer: Any) -> Callable[[Asked], Reply]:
        def route(asked: Asked) -> Reply:
            start = start_of(asked)
            following = start + SIZE if start + SIZE < len(ROWS) else None
            found = answer(asked, following, ROWS[start : start + SIZE])
            return found if isinstance(found, Reply) else json_reply(found)

        return route

    return made


by_offset = shape(lambda asked: at_offset(asked, "offset"))
by_page = shape(lambda asked: (max(at_offset(asked, "page"), 1) - 1) * SIZE)
by_page_from_0 = shape(lambda asked: at_offset(asked, "page") * SIZE)


def by(name: str) -> Any:
    return shape(lambda asked: at_offset(asked, name))


def url(asked: Asked, start: int | None) -> str | None:
    return None if start is None else url_of(asked, start)


SHAPES: dict[str, tuple[Any, str | None, str]] = {
    # name: server, `records`, type of pagination that is offered
    "GitHub": (
        by_offset(
            lambda a, n, rows: json_reply(
                rows, **({"Link": f'<{url(a, n)}>; rel="next", </x>; rel=last'} if n else {})
            )
        ),
        None,
        "link_header",
    ),
    "GitLab": (
        by_page(
            lambda a, n, rows: json_reply(rows, X_Next_Page=str(n // SIZE + 1) if n else "", X_Total="7")
        ),
        None,
        "header_cursor",
    ),
    "WordPress": (
        by_page(lambda a, n, rows: json_reply(rows, X_WP_Total="7", X_WP_TotalPages="3")),
        None,
        "page",
    ),
    "PostgREST": (
        by_offset(
            lambda a, n, rows: json_reply(
                rows, 206, Content_Range=f"{rows[0]['id'] - 1}-{rows[-1]['id'] - 1}/7" if rows else "*/7"
            )
        ),
        None,
        "offset",
    ),
    "Stripe": (
        by("starting_after")(lambda a, n, rows: {"object": "list", "data": rows, "has_more": n is not None}),
        None,
        "keyset",
    ),
    "OData": (
        by_offset(lambda a, n, rows: {"value": rows} | ({"@odata.nextLink": url(a, n)} if n else {})),
        None,
        "next_url",
    ),
    "OData 2": (
        by_offset(lambda a, n, rows: {"d": {"results": rows} | ({"__next": url(a, n)} if n else {})}),
        "$.d.results[*]",
        "next_url",
    ),
    "HAL": (
        by_offset(
            lambda a, n, rows: {
                "_embedded": {"rows": rows},
                "_links": {"self": {"href": "/rows"}} | ({"next": {"href": url(a, n)}} if n else {}),
            }
        ),
        "$._embedded.rows[*]",
        "hateoas",
    ),
    "JSON:API": (
        by_offset(lambda a, n, rows: {"data": rows, "links": {"self": "/rows", "next": url(a, n)}}),
        None,
        "next_url",
    ),
    "FHIR": (
        by_offset(
            lambda a, n, rows: {
                "entry": rows,
                "total": 7,
                "link": [{"relation": "self", "url": "/rows"}]
                + ([{"relation": "next", "url": url(a, n)}] if n else []),
            }
        ),
        "$.entry[*]",
        "hateoas",
    ),
    "Zendesk": (
        by_offset(lambda a, n, rows: {"tickets": rows, "next_page": url(a, n), "count": 7}),
        None,
        "next_url",
    ),
    "Slack": (
        by("cursor")(
            lambda a, n, rows: {
                "ok": True,
                "members": rows,
                "response_metadata": {"next_cursor": str(n or "")},
            }
        ),
        None,
        "cursor",
    ),
    "Google": (
        by("pageToken")(lambda a, n, rows: {"items": rows} | ({"nextPageToken": str(n)} if n else {})),
        None,
        "cursor",
    ),
    "Elasticsearch": (
        by("from")(
            lambda a, n, rows: {"hits": {"total": {"value": 7, "relation": "eq"}, "hits": rows}, "from": 0}
        ),
        "$.hits.hits[*]",
        "offset",
    ),
    "Django REST": (
        by_offset(lambda a, n, rows: {"count": 7, "next": url(a, n), "previous": None, "results": rows}),
        None,
        "next_url",
    ),
    "Spring Data": (
        by_page_from_0(
            lambda a, n, rows: {
                "content": rows,
                "last": n is None,
                "number": at_offset(a, "page"),
                "size": SIZE,
                "totalElements": 7,
                "totalPages": 3,
            }
        ),
        None,
        "page",
    ),
    "HubSpot": (
        by("after")(
            lambda a, n, rows: {"results": rows} | ({"paging": {"next": {"after": str(n)}}} if n else {})
        ),
        None,
        "cursor",
    ),
    "Notion": (
        by("cursor")(
            lambda a, n, rows: {"results": rows, "has_more": n is not None, "next_cursor": n and str(n)}
        ),
        None,
        "cursor",
    ),
    "Airtable": (
        shape(lambda asked: int((asked.param("offset") or "itr0").removeprefix("itr")))(
            lambda a, n, rows: {"records": rows} | ({"offset": f"itr{n}"} if n else {})
        ),
        None,
        "cursor",
    ),
    "Jira": (
        by("startAt")(
            lambda a, n, rows: {
                "startAt": at_offset(a, "startAt"),
                "maxResults": SIZE,
                "total": 7,
                "issues": rows,
            }
        ),
        None,
        "offset",
    ),
    "Laravel": (
        by_page(
            lambda a, n, rows: {
                "data": rows,
                "meta": {"current_page": 1, "last_page": 3, "per_page": SIZE, "total": 7},
            }
        ),
        None,
        "page",
    ),
    "GraphQL": (
        by("after")(
            lambda a, n, rows: {
                "data": {
                    "users": {
                        "nodes": rows,
                        "pageInfo": {"hasNextPage": n is not None, "endCursor": str(n or 7)},
                    }
                }
            }
        ),
        "$.data.users.nodes[*]",
        "cursor",
    ),
    "Salesforce": (
        by_offset(
            lambda a, n, rows: (
                {"totalSize": 7, "done": n is None, "records": rows}
                | ({"nextRecordsUrl": f"/rows?offset={n}"} if n else {})
            )
        ),
        None,
        "next_url",
    ),
    "Kubernetes": (
        by("continue")(lambda a, n, rows: {"items": rows, "metadata": {"continue": str(n or "")}}),
        None,
        "cursor",
    ),
    "Rick and Morty": (
        by_offset(lambda a, n, rows: {"info": {"count": 7, "pages": 3, "next": url(a, n)}, "results": rows}),
        None,
        "next_url",
    ),
    "Hydra": (
        by_offset(
            lambda a, n, rows: {
                "hydra:member": rows,
                "hydra:view": {"@id": "/rows"} | ({"hydra:next": url(a, n)} if n else {}),
            }
        ),
        None,
        "next_url",
    ),
}


def stream(**more: Any) -> dict[str, Any]:
    return {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}} | more


@pytest.mark.parametrize("name", SHAPES)
def test_the_line_that_the_error_offers_reads_on(name: str, run_tap: Any) -> None:
    route, records, kind = SHAPES[name]
    own = stream() if records is None else stream(records=records)
    with serving({"/rows": route}) as api:
        run = run_tap(api.url, own).ended(65)
        assert run.records("rows") == []
        offered = re.search(r'`"pagination": (\{.*?\})`', run.sentence)
        assert offered, run.sentence
        pagination = json.loads(offered[1])
        assert pagination["type"] == kind
        whole = run_tap(api.url, own | {"pagination": pagination}).ended(0)
        assert whole.records("rows") == ROWS
        assert "seems to have a next" not in whole.stderr
        single = run_tap(api.url, own | {"pagination": {"type": "single"}}).ended(0)
    assert single.records("rows") == ROWS[:SIZE]
    assert single.stderr.count("seems to have a next") == 2  # when it was seen, and again at the end


def test_the_error_comes_in_discovery_too(run_tap: Any) -> None:
    with serving({"/rows": SHAPES["GitHub"][0]}) as api:
        run = run_tap(api.url, {"name": "rows", "path": "/rows"}, args=("--discover",)).ended(65)
    assert '"pagination": {"type": "link_header"}' in run.sentence


def test_a_parent_and_its_children(run_tap: Any) -> None:
    routes = {
        "/users": lambda _: json_reply({"data": [{"id": 1}, {"id": 2}], "has_more": False}),
        "/users/1/rows": lambda _: json_reply({"data": ROWS}),
        "/users/2/rows": lambda _: json_reply({"data": ROWS, "next_cursor": "abc"}),
    }
    parent = {"name": "users", "path": "/users", "schema": {"properties": {"id": {}}}}
    child = stream(path="/users/{parent.id}/rows", parent={"stream": "users"})
    with serving(routes) as api:
        assert "`$.next_cursor`" in run_tap(api.url, parent, child).ended(65).sentence
        warned = run_tap(api.url, parent, child | {"pagination": {"type": "single"}}).ended(0)
        assert warned.stderr.count("`$.next_cursor`") == 2
        api.routes["/users"] = lambda _: json_reply({"data": [{"id": 1}], "total": 5})
        assert (
            "`$.total` is 5 and 1 row came"
            in run_tap(api.url, parent, child, select=["rows"]).ended(65).sentence
        )


@pytest.mark.parametrize(
    "name", ["per_page", "limit", "page_size", "size", "count", "$top", "first", "maxResults"]
)
def test_a_page_as_full_as_was_asked_for(name: str, run_tap: Any) -> None:
    """Nothing tells a full table of exactly so many rows from the first page of more; the user can."""
    with serving({"/rows": lambda asked: json_reply(ROWS[: int(asked.param(name) or 0)])}) as api:
        run = run_tap(api.url, stream(params={name: 5})).ended(65)
        assert f"exactly the 5 rows that `{name}` asks for" in run.sentence
        assert f'"size_param": "{name}"' in run.sentence
        run_tap(api.url, stream(params={name: 5}, pagination={"type": "single"})).ended(0)
        assert "seems" not in run_tap(api.url, stream(params={name: 8})).ended(0).stderr


@pytest.mark.parametrize("links", [True, False])
def test_a_full_page_without_a_link_is_the_last_where_a_smaller_one_has_one(
    links: bool, run_tap: Any
) -> None:
    """A table of exactly as many rows as a page holds: an API that has links shows one behind a single row."""

    def route(asked: Asked) -> Reply:
        size, page = int(asked.param("per_page") or 0), int(asked.param("page") or 1)
        more = {"Link": f'</rows?page={page + 1}>; rel="next"'} if links and page * size < 5 else {}
        return json_reply(ROWS[:5][(page - 1) * size : page * size], **more)

    paged = {"type": "link_header", "size": 5, "size_param": "per_page"}
    with serving({"/rows": route}) as api:
        run = run_tap(api.url, stream(pagination=paged)).ended(0 if links else 65)
        assert len(api.asked) == 2
        if links:
            assert run.records("rows") == ROWS[:5]
            assert "seems" not in run.stderr


def test_a_round_number_of_rows_is_a_warning(run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply([{"id": n} for n in range(100)])}) as api:
        run = run_tap(api.url, stream()).ended(0)
        assert "exactly 100 rows came" in run.stderr
        quiet = run_tap(api.url, stream(pagination={"type": "single"})).ended(0)
    assert "exactly 100 rows came" not in quiet.stderr


def test_a_path_that_finds_nothing(run_tap: Any) -> None:
    """The path is mistyped: the first page would be all, and the answer says otherwise."""
    with serving({"/rows": SHAPES["OData"][0]}) as api:
        wrong = stream(pagination={"type": "next_url", "next": "$.nextLink"})
        assert (
            '{"type": "next_url", "next": "$.@odata.nextLink"}' in run_tap(api.url, wrong).ended(65).sentence
        )
        right = stream(pagination={"type": "next_url", "next": "$.@odata.nextLink"})
        assert run_tap(api.url, right).ended(0).records("rows") == ROWS
        warned = run_tap(api.url, stream(pagination=wrong["pagination"] | {"unread": "warn"})).ended(0)
    assert warned.stderr.count("seems to have a next") == 2


def test_a_server_that_caps_the_page(run_tap: Any) -> None:
    """PostgREST with db-max-rows: every page is shorter than `size`, and the first one was the last."""
    with serving({"/rows": SHAPES["PostgREST"][0]}) as api:
        capped = {"type": "offset", "size": 5, "stop_on_short_page": True}
        assert run_tap(api.url, stream(pagination=capped)).ended(0).records("rows") == ROWS


@pytest.mark.parametrize("total", [6, 8])
def test_a_total_that_moves_while_pages_are_read_is_no_error(total: int, run_tap: Any) -> None:
    def route(asked: Asked) -> Reply:
        start = at_offset(asked, "offset")
        return json_reply({"rows": ROWS[start : start + SIZE], "total": total if start else 7})

    with serving({"/rows": route}) as api:
        run = run_tap(api.url, stream(pagination={"type": "offset", "size": SIZE})).ended(0)
    assert run.records("rows") == ROWS
    assert run.stderr.count("`$.total` is 8 and 7 rows came") == (2 if total == 8 else 0)


def last(
    body: Any, count: int = 3, records_at: tuple[str, ...] | None = ("data",), **headers: str
) -> LastPage:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return LastPage(
        Response("http://x/rows", 200, named, json.dumps(body).encode()), records_at, count, count, 1
    )


ROW = {"id": 1}


@pytest.mark.parametrize(
    "page",
    [
        last({"data": [ROW] * 3}),
        last({"data": [ROW] * 3, "next": None, "total": 3}),
        last({"data": [ROW] * 3, "has_more": False, "count": 3, "links": {"next": None, "last": "/x"}}),
        last({"data": [ROW] * 3, "response_metadata": {"next_cursor": ""}}),
        last({"data": [ROW] * 3, "pageInfo": {"hasNextPage": False, "endCursor": "abc"}}),
        last({"data": [ROW] * 3, "last": True, "totalPages": 1, "number": 0}),
        last({"data": [ROW] * 3, "company": {"next": "/about", "total": 900}}),  # nothing about pages
        last({"data": [{"id": 1, "next": "/x", "total": 50}] * 3}),  # inside records
        last({"next": "/x", "total": 50}, 1, ()),  # the body is the record
        last([{"next": "/x"}] * 3, 3, ()),
        last(
            {"data": [ROW] * 3}, Link='</x>; rel="prev last"', X_Next_Page="", X_Total="3", X_Total_Pages="1"
        ),
        last({"data": [ROW] * 3}, Content_Range="0-2/3", X_RateLimit_Limit="60", X_Total_Time="900"),
        last({"data": [ROW] * 3}, Content_Range="0-2/*"),
        last({"data": [ROW] * 3, "offset": 0, "limit": 50}),
        last({"data": [ROW] * 3, "next_cursor": 0, "more": "things"}),
        last({"data": [ROW] * 3, "paging": {"cursors": {"before": "a", "after": "b"}, "next": ""}}),
    ],
)
def test_what_is_no_sign(page: LastPage) -> None:
    assert [sign for sign in signs_of_more(page) if sign.weight is not Weight.HINT] == []


@pytest.mark.parametrize(
    ("page", "seen"),
    [
        (last({"data": [ROW] * 3}, X_Pagination='{"TotalCount": 50, "HasNext": true}'), "X-Pagination"),
        (last({"data": [ROW] * 3}, X_Total_Pages="4"), "X-Total-Pages is 4"),
        (last({"data": [ROW] * 3}, X_Total_Count="40"), "X-Total-Count is 40"),
        (last({"data": [ROW] * 3}, X_Pagination_Page_Count="4"), "X-Pagination-Page-Count is 4"),
        (last({"data": [ROW] * 3}, Link='<broken; rel="next"'), "rel `next`"),
        (last({"data": [ROW] * 3, "hasMore": "true"}), "`$.hasMore`"),
        (last({"data": [ROW] * 3, "is_last": False}), "`$.is_last` is false"),
        (last({"data": [ROW] * 3, "page": {"number": 0, "totalPages": 2}}), "`$.page.totalPages` is 2"),
        (last({"data": [ROW] * 3, "limit": 3, "offset": 0}), "`$.limit` is 3"),
        (last({"data": [ROW] * 3, "truncated": True}), "`$.truncated` is true"),
        (last({"data": [ROW] * 3, "odd.key": 1, "odata.nextLink": "/x"}), "`$['odata.nextLink']` is a URL"),
        (last({"rows": [ROW] * 3, "next": "/x"}, 3, None), "`$.next` is a URL"),
    ],
)
def test_what_is_a_sign(page: LastPage, seen: str) -> None:
    signs = [sign for sign in signs_of_more(page) if sign.weight is not Weight.HINT]
    assert signs
    assert seen in signs[0].seen


@pytest.mark.parametrize(
    ("query", "body", "param"),
    [
        ("_start=0&_limit=3", {}, "_start"),
        ("_limit=3", {}, "_start"),  # json-server
        ("$top=3", {}, "$skip"),
        ("page[limit]=3", {"meta": {"page": {"limit": 3, "offset": 0}}}, "page[offset]"),
        ("resultRecordCount=3", {}, "resultOffset"),
        ("limit=3", {"skip": 0}, "skip"),
        ("from=0&size=3", {}, "from"),
        ("limit=3", {"offset": 0}, None),
        ("limit=3", {}, None),
    ],
)
def test_the_parameter_that_goes_with_the_size_is_offered(
    query: str, body: dict[str, Any], param: str | None
) -> None:
    page = last({"data": [ROW] * 3, "total": 9, **body})
    page.response.url = f"http://x/rows?{query}"
    fits = signs_of_more(page)[0].fits
    assert (fits["type"], fits.get("param")) == ("offset", param)


@pytest.mark.parametrize("digits", ["9" * 5000, "²"])
def test_numbers_that_are_no_size_are_none(digits: str) -> None:
    page = last({"data": [ROW] * 3, "total": 9}, Content_Range=f"0-1/{digits}", X_Total=digits)
    page.response.url = f"http://x/rows?limit={digits}"
    assert signs_of_more(page)[0].fits == {"type": "offset", "total_count": "$.total"}
