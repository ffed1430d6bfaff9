"""Queries of GraphQL: cursors of relay, bookmarks as variables, errors under status 200; Datasette's own server of GraphQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving
from taps.rest.in_process import run_here
from taps.rest.posted_apis import rows_of

from singerkit_shell.errors import BadDataError, RetryableError
from tap_rest.config import config_conflicts

QUERY = """query q($after: String, $first: Int, $since: String) {
  orders(after: $after, first: $first, updatedAfter: $since) { %s pageInfo { hasNextPage endCursor } }
}"""
AT = {"type": "string", "format": "date-time"}
ORDERS: dict[str, Any] = {
    "name": "orders",
    "path": "/graphql",
    "graphql": {"query": QUERY % "nodes { id at }"},
    "records": "$.data.orders.nodes[*]",
    "primary_keys": ["id"],
    "replication_key": "at",
    "incremental": {"param": "since"},
    "pagination": {"type": "relay", "size": 3},
    "schema": {"properties": {"id": {"type": "string"}, "at": AT}},
}
EDGES = ORDERS | {
    "graphql": {"query": QUERY % "edges { node { id at } }"},
    "records": "$.data.orders.edges[*].node",
}


def orders(rows: list[dict[str, Any]], **more: Any) -> Callable[[Asked], Reply]:
    """A server of GraphQL that knows one query, and no other variables."""

    def route(asked: Asked) -> Reply:
        body = asked.json
        variables = body.get("variables", {})
        if asked.method != "POST" or variables.keys() - {"after", "first", "since"}:
            return json_reply({"errors": [{"message": "no such variable"}]}, 400)
        since = variables.get("since")
        found = [row for row in rows if since is None or row["at"] >= since]
        begin = int(variables.get("after", "c0").removeprefix("c"))
        page = found[begin : begin + variables["first"]]
        info = {"hasNextPage": begin + len(page) < len(found), "endCursor": f"c{begin + len(page)}"}
        shown = {"edges": [{"node": row} for row in page]} if "edges" in body["query"] else {"nodes": page}
        return json_reply({"data": {"orders": shown | {"pageInfo": info}}} | more)

    return route


@pytest.mark.parametrize("stream", [ORDERS, EDGES], ids=["nodes", "edges"])
def test_pages_by_cursor_and_rows_from_the_bookmark_on(stream: dict[str, Any], tmp_path: Path) -> None:
    rows = rows_of(7)
    with serving({"/graphql": orders(rows)}) as api:
        first = run_here(api, stream, cache=tmp_path)
        asked = [one.json["variables"] for one in api.asked]
        rows.append({"id": "new", "at": "2026-02-01T00:00:00.000Z"})
        api.asked.clear()
        second = run_here(api, stream, cache=tmp_path, state=first.state)
        since = api.asked[0].json["variables"]["since"]
    assert [row["id"] for row in first.rows] == [row["id"] for row in rows[:7]]
    assert asked == [{"first": 3}, {"first": 3, "after": "c3"}, {"first": 3, "after": "c6"}]
    assert [row["id"] for row in second.rows] == ["new"]
    assert since.startswith("2026-01-01T00:00:0")


ERRORS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "nothing but errors": ({"data": None, "errors": [{"message": "boom"}]}, BadDataError, "boom"),
    "partial data": ({"errors": [{"message": "one node is missing"}]}, BadDataError, "one node is missing"),
    "a limit": (
        {"data": None, "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]},
        RetryableError,
        "THROTTLED",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_under_status_200(name: str, tmp_path: Path) -> None:
    body, kind, said = ERRORS[name]
    with serving({"/graphql": orders(rows_of(2), **body)}) as api, pytest.raises(kind, match=said):
        run_here(api, ORDERS, cache=tmp_path)


def test_partial_data_is_taken_where_the_config_says_so(tmp_path: Path) -> None:
    with serving({"/graphql": orders(rows_of(2), errors=[{"message": "one node is missing"}])}) as api:
        run = run_here(api, ORDERS | {"partial_answers": "warn"}, cache=tmp_path)
    assert len(run.rows) == 2


def test_nodes_that_are_null_are_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows: list[Any] = [*rows_of(2), None]
    with serving({"/graphql": orders(rows)}) as api:
        run = run_here(api, EDGES | {"partial_answers": "warn"}, cache=tmp_path)
        assert len(run.rows) == 2
        assert "have no record at `node`, which `partial_answers` passes over" in caplog.text
        with pytest.raises(BadDataError, match="Expected a record at `node`"):
            run_here(api, EDGES, cache=tmp_path)


def problems(stream: dict[str, Any], **more: Any) -> str:
    return "; ".join(config_conflicts({"base_url": "https://x.example", "streams": [stream | more]}))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"incremental": {"param": "sinc"}},
            "sends the variable `sinc`, which `streams[0].graphql.query` does not have (`$sinc`)",
        ),
        (
            {"pagination": {"type": "relay", "size": 3, "size_param": "limit"}},
            "`streams[0].pagination.size_param` sends the variable `limit`",
        ),
        (
            {"graphql": {"query": "{ orders { id } }"}},
            "does not ask for `pageInfo { hasNextPage endCursor }`",
        ),
        ({"records": "$.data.orders[*]"}, "Expected the records at `nodes[*]` or `edges[*].node`"),
        (
            {"graphql": {"query": QUERY % "nodes { id }", "variables": {"x": 1}}},
            "`streams[0].graphql.variables.x` sends the variable `x`",
        ),
        ({"graphql": {"query": "{ a(id: {parent.id}) }"}}, "is not filled in: name a variable there"),
        ({"body": {"a": 1}}, "`streams[0].body` has no effect beside `streams[0].graphql`"),
        ({"method": "GET"}, "is sent in a body, which `streams[0].method` `GET` has not"),
    ],
)
def test_what_is_refused(more: dict[str, Any], words: str) -> None:
    assert problems(ORDERS) == ""
    assert words in problems(ORDERS, **more)


def test_a_page_info_that_nobody_asks_for_is_told_with_relay(tmp_path: Path) -> None:
    stream = {name: value for name, value in ORDERS.items() if name != "pagination"}
    stream |= {"graphql": {"query": QUERY % "nodes { id at }", "variables": {"first": 3}}}
    with (
        serving({"/graphql": orders(rows_of(7))}) as api,
        pytest.raises(BadDataError, match=r'say `"pagination": \{"type": "relay"\}`'),
    ):
        run_here(api, stream, cache=tmp_path)


def test_relay_needs_graphql() -> None:
    stream = {"name": "x", "path": "/x", "pagination": {"type": "relay"}}
    assert "is `relay`, which is of GraphQL" in problems(stream)


def test_no_variable_reaches_a_query_that_ignores_it(tmp_path: Path) -> None:
    """A server that does not look at the cursor gives the first page for ever."""

    def deaf(asked: Asked) -> Reply:
        body = json.dumps(asked.json | {"variables": {"first": 3}}).encode()
        return orders(rows_of(7))(Asked(asked.path, {}, asked.headers, asked.raw_path, "POST", body))

    with (
        serving({"/graphql": deaf}) as api,
        pytest.raises(
            BadDataError, match=r"ignores the variable `after`\. See that `graphql.query` hands on `\$after`"
        ),
    ):
        run_here(api, ORDERS, cache=tmp_path)
