"""How a stream asks: `method`, `body`, `graphql`, and `next_request` of its `pagination`."""

from __future__ import annotations

from typing import Any

import msgspec

from tap_rest.settings import setting

__all__ = ["BODY_FORMAT", "GRAPHQL", "METHOD", "NEXT_REQUEST", "REQUEST_BODY", "GraphQL", "NextRequest"]

METHOD = setting.text(
    "The method of every request of the stream; all of them read, and are asked again where they fail. Default `GET`, of `graphql` `POST`.",
    enum=["GET", "POST", "PUT", "PATCH"],
)
REQUEST_BODY = {
    "type": ["object", "array", "string", "number", "boolean"],
    "description": "What is sent in the body: a value of JSON, or a text as it is. May hold placeholders; one that stands alone keeps its "
    "type, and is left out where it has no value.",
}
BODY_FORMAT = setting.text(
    "How `body` is written, and its Content-Type unless `headers` has one: `json`, `form` (an object), `text`. Default `json`, of a text "
    "`text`.",
    enum=["json", "form", "text"],
)
GRAPHQL = setting.group(
    "A query of GraphQL, in place of `body`: sent by POST, with `param` of `pagination` and `incremental` as variables.",
    {
        "query": setting.name(
            "The query, as it is; what changes from request to request stands in its variables.", minLength=1
        ),
        "variables": {
            "type": "object",
            "description": "Values of its variables. May hold placeholders, as `body`.",
        },
    },
    ["query"],
)


NEXT_REQUEST = setting.group(
    "How pages behind the first are asked for, where that is another request: `{cursor}` in it, or `param`, takes the token. Its method and "
    "headers are those of the stream, its path too unless it says another; of parameters and body it has its own alone.",
    {
        "method": METHOD,
        "path": setting.text("Path, as that of a stream. Default: that of the stream."),
        "params": {
            "type": "object",
            "additionalProperties": True,
            "description": "Query parameters.",
        },
        "body": REQUEST_BODY,
        "body_format": BODY_FORMAT,
    },
)


class NextRequest(msgspec.Struct, frozen=True):
    """`pagination.next_request`."""

    method: str | None = None
    path: str | None = None
    params: dict[str, Any] = {}
    body: Any = None
    body_format: str = "json"


class GraphQL(msgspec.Struct, frozen=True):
    """`graphql` of a stream."""

    query: str
    variables: dict[str, Any] = {}
