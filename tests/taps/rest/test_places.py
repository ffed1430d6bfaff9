"""Every kind of pagination, with page and bookmark in every place: the same rows, whatever travels where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving
from taps.rest.in_process import run_here
from taps.rest.posted_apis import rows_of

ROWS = [row | {"n": number} for number, row in enumerate(rows_of(11), start=1)]
SIZE = 4
AT = {"type": "string", "format": "date-time"}
PLACES = ("query", "header", "path", "body", "placeholder", "form", "variable")
KINDS: dict[str, dict[str, Any]] = {
    "page": {"type": "page"},
    "offset": {"type": "offset"},
    "cursor": {"type": "cursor", "cursor": "$.next"},
    "keyset": {"type": "keyset", "field": "n"},
}
ROLE = {"page": "page", "offset": "offset", "cursor": "cursor", "keyset": "cursor"}
NUMBERS = ("body", "placeholder", "variable")
"""Where a number stays one."""


def position(place: str, asked: Asked) -> tuple[Any, Any]:
    """Return what is asked for, and from when on, of a request that has both in one place."""
    match place:
        case "query":
            return asked.param("at"), asked.param("since")
        case "header":
            return asked.headers.get("X-At"), asked.headers.get("X-Since")
        case "path":
            return asked.path.removeprefix("/rows").strip("/") or None, asked.param("since")
        case "form":
            form = dict(pair.split("=", 1) for pair in asked.body.decode().split("&"))
            since = form.get("since")
            return form.get("at"), None if since is None else since.replace("%3A", ":")
        case "variable":
            body = asked.json.get("variables", {})
            return body.get("at"), body.get("since")
        case "placeholder":
            page = asked.json["page"]
            return page.get("at"), asked.json.get("filter", {}).get("since")
    return asked.json.get("page", {}).get("at"), asked.json.get("filter", {}).get("since")


def api(kind: str, place: str) -> Callable[[Asked], Reply]:
    def route(asked: Asked) -> Reply:
        at, since = position(place, asked)
        if place in NUMBERS and kind != "cursor":
            assert at is None or type(at) is int
        found = [row for row in ROWS if row["at"] >= (since or "")]
        begin = {
            "page": lambda: (int(at) - 1) * SIZE,
            "offset": lambda: int(at),
            "cursor": lambda: int(str(at or "c0").removeprefix("c")),
            "keyset": lambda: next((i for i, row in enumerate(found) if row["n"] > int(at or 0)), len(found)),
        }[kind]()
        page = found[begin : begin + SIZE]
        end = begin + len(page)
        return json_reply(
            {"data": page, "next": f"c{end}" if end < len(found) else None, "total": len(found)}
        )

    return route


def stream(kind: str, place: str) -> dict[str, Any]:
    """Return a stream whose pages and bookmark travel in one place."""
    placeholder = f"{{{ROLE[kind]}}}"
    by: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
        "query": ({}, {"param": "at"}, {"param": "since"}),
        "header": ({}, {"in": "header", "param": "X-At"}, {"in": "header", "param": "X-Since"}),
        "path": ({"path": f"/rows/{placeholder}"}, {"in": "path"}, {"param": "since"}),
        "body": (
            {"method": "POST"},
            {"in": "body", "param": "page.at"},
            {"in": "body", "param": "filter.since"},
        ),
        "placeholder": (
            {"method": "PUT", "body": {"page": {"at": placeholder}, "filter": {"since": "{bookmark}"}}},
            {},
            {},
        ),
        "form": (
            {"method": "POST", "body": {"a": "b"}, "body_format": "form"},
            {"in": "body", "param": "at"},
            {"in": "body", "param": "since"},
        ),
        "variable": (
            {"graphql": {"query": "query q($at: Int, $since: String) { x }"}},
            {"param": "at"},
            {"param": "since"},
        ),
    }
    more, pagination, incremental = by[place]
    ends = {"total_count": "$.total"} if kind in ("page", "offset") else {}
    return {
        "name": "rows",
        "path": "/rows",
        "records": "$.data[*]",
        "primary_keys": ["id"],
        "replication_key": "at",
        "schema": {"properties": {"id": {}, "n": {}, "at": AT}},
        "pagination": KINDS[kind] | pagination | ends,
        "incremental": incremental,
    } | more


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_all_rows_come_and_then_none_but_new_ones(kind: str, place: str, tmp_path: Path) -> None:
    class Routes(dict[str, Any]):
        def get(self, path: str, default: Any = None) -> Any:
            return api(kind, place)

    with serving({}) as served:
        served.routes = Routes()
        first = run_here(served, stream(kind, place), cache=tmp_path)
        served.asked.clear()
        second = run_here(served, stream(kind, place), cache=tmp_path, state=first.state)
        since = position(place, served.asked[0])[1]
    assert [row["n"] for row in first.rows] == [row["n"] for row in ROWS]
    assert second.rows == []
    assert since is not None
    assert json.dumps(since) in json.dumps([row["at"] for row in ROWS])
