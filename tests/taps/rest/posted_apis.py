"""Small servers that search by POST as well-known APIs document it, strict about what they are asked.

Each is given rows and answers as the API does: what it does not know in a body is an error, as there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from taps.rest.api_server import Asked, Reply, json_reply

__all__ = ["elastic", "form_search", "hubspot", "jira", "notion", "rows_of"]

Row = dict[str, Any]


def rows_of(count: int) -> list[Row]:
    """Return rows that were changed a second apart from each other; no id looks like a place in the list."""
    return [
        {"id": f"r{n:04}", "at": f"2026-01-01T00:{n // 60:02}:{n % 60:02}.000Z"} for n in range(1, count + 1)
    ]


def _refused(why: str, status: int = 400) -> Reply:
    return json_reply({"status": "error", "message": why}, status)


def _posted(known: set[str], answer: Callable[[Any], Reply]) -> Callable[[Asked], Reply]:
    """Answer POSTs of JSON objects with no other members than ``known``."""

    def route(asked: Asked) -> Reply:
        if asked.method != "POST" or asked.headers["Content-Type"] != "application/json":
            return _refused("post JSON", 405)
        body = json.loads(asked.body)
        strange = set(body) - known
        return _refused(f"unknown {strange}") if strange else answer(body)

    return route


def notion(rows: Sequence[Row]) -> Callable[[Asked], Reply]:
    """`POST /v1/databases/ID/query`: `page_size`, `start_cursor`, a filter by `last_edited_time`; `has_more`, `next_cursor`."""

    def answer(body: Any) -> Reply:
        if "start_cursor" in body and not isinstance(body["start_cursor"], str):
            return _refused("body.start_cursor should be a string or undefined")
        since = body.get("filter", {}).get("last_edited_time", {}).get("on_or_after", "")
        found = [row for row in rows if row["at"] >= since]
        begin = next(
            (n for n, row in enumerate(found) if f"after-{row['id']}" == body.get("start_cursor")), 0
        )
        page = found[begin : begin + body.get("page_size", 100)]
        left = found[begin + len(page) :]
        cursor = f"after-{left[0]['id']}" if left else None
        return json_reply(
            {"object": "list", "results": page, "has_more": bool(left), "next_cursor": cursor, "type": "page"}
        )

    return _posted({"page_size", "start_cursor", "filter", "sorts"}, answer)


def hubspot(rows: Sequence[Row]) -> Callable[[Asked], Reply]:
    """`POST /crm/v3/objects/contacts/search`: `filterGroups` with epoch milliseconds, `after` that is an offset in a text."""

    def answer(body: Any) -> Reply:
        since = 0
        for group in body.get("filterGroups", []):
            for one in group["filters"]:
                if set(one) != {"propertyName", "operator", "value"} or one["operator"] != "GTE":
                    return _refused("a filter has propertyName, operator and value")
                since = int(one["value"])
        found = [row for row in rows if datetime.fromisoformat(row["at"]).timestamp() * 1000 >= since]
        begin = int(body.get("after", 0))
        page = found[begin : begin + body.get("limit", 10)]
        paging = (
            {"paging": {"next": {"after": str(begin + len(page))}}} if begin + len(page) < len(found) else {}
        )
        return json_reply({"total": len(found), "results": page, **paging})

    return _posted({"filterGroups", "sorts", "limit", "after", "properties"}, answer)


def jira(rows: Sequence[Row]) -> Callable[[Asked], Reply]:
    """`POST /rest/api/3/search/jql`: a query that counts in minutes, `nextPageToken`, `isLast`."""

    def answer(body: Any) -> Reply:
        begins, ends = "updated >= '", "' order by updated asc"
        if not body["jql"].startswith(begins) or not body["jql"].endswith(ends):
            return _refused("Error in the JQL Query")
        text = body["jql"].removeprefix(begins).removesuffix(ends)
        since = datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
        found = [row for row in rows if datetime.fromisoformat(row["fields"]["updated"]) >= since]
        begin = int(body.get("nextPageToken", "t0").removeprefix("t"))
        page = found[begin : begin + body["maxResults"]]
        is_last = begin + len(page) >= len(found)
        token = {} if is_last else {"nextPageToken": f"t{begin + len(page)}"}
        return json_reply({"issues": page, "isLast": is_last, **token})

    return _posted({"jql", "maxResults", "nextPageToken", "fields"}, answer)


def elastic(rows: Sequence[Row]) -> Callable[[Asked], Reply]:
    """`POST /INDEX/_search`: `search_after` takes the `sort` of the last hit, numbers as numbers."""

    def answer(body: Any) -> Reply:
        if body["sort"] != [{"n": "asc"}, {"id": "asc"}]:
            return _refused("no sort")
        after = body.get("search_after")
        if after is not None and [type(value) for value in after] != [int, str]:
            return _refused(f"failed to parse search_after value {after}")
        hits = [{"_id": row["id"], "_source": row, "sort": [row["n"], row["id"]]} for row in rows]
        found = [hit for hit in hits if after is None or hit["sort"] > after]
        total = {"value": len(rows), "relation": "eq"}
        return json_reply(
            {"took": 1, "timed_out": False, "hits": {"total": total, "hits": found[: body["size"]]}}
        )

    return _posted({"size", "sort", "search_after", "query"}, answer)


def form_search(rows: Sequence[Row]) -> Callable[[Asked], Reply]:
    """A form with an offset, as older APIs have it."""

    def route(asked: Asked) -> Reply:
        if asked.method != "POST" or asked.headers["Content-Type"] != "application/x-www-form-urlencoded":
            return _refused("post a form", 415)
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        since, begin, limit = form.get("since", ""), int(form.get("from", 0)), int(form["count"])
        found = [row for row in rows if row["at"] >= since]
        return json_reply({"rows": found[begin : begin + limit], "total": len(found)})

    return route
