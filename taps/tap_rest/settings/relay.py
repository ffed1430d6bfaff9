"""`pagination` of type `relay`: a cursor of GraphQL, whose `pageInfo` stands beside the `nodes` or `edges` that are the records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["as_cursor", "relay_problems"]

Group = Mapping[str, Any]
_RECORDS = re.compile(r"(?P<above>.+)\.(?:nodes\[\*\]|edges\[\*\](?:\.node)?)")


def as_cursor(stream: Group) -> dict[str, Any]:
    """Return the `pagination` of a stream, which is `relay`, as one of type `cursor`."""
    match = _RECORDS.fullmatch(stream.get("records", ""))
    above = match["above"] if match else "$"
    info = f"{above}.pageInfo"
    return {
        **stream["pagination"],
        "type": "cursor",
        "cursor": f"{info}.endCursor",
        "has_more": f"{info}.hasNextPage",
    }


def relay_problems(stream: Group, place: str) -> Iterator[str]:
    """Yield what a stream lacks for `relay`."""
    if stream.get("pagination", {}).get("type") != "relay":
        return
    if "graphql" not in stream:
        yield f"`{place}.pagination.type` is `relay`, which is of GraphQL, and {place} has no `graphql`"
        return
    if _RECORDS.fullmatch(stream.get("records", "")) is None:
        yield (
            f"Expected the records at `nodes[*]` or `edges[*].node` in `{place}.records` (`$.data.orders.nodes[*]`), since "
            f"`{place}.pagination.type` `relay` goes by the `pageInfo` beside them"
        )
    for name in ("hasNextPage", "endCursor"):
        if re.search(rf"\b{name}\b", stream["graphql"]["query"]) is None:
            yield f"`{place}.graphql.query` does not ask for `pageInfo {{ hasNextPage endCursor }}`, by which `relay` goes on"
            return
