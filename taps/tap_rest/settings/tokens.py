"""`incremental.token`: the next run goes on by what the answers of this one say, and not by a field of the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tap_rest.asking.placeholders import names_in, placeholder_problems
from tap_rest.settings import setting

__all__ = ["TOKEN", "TokenSettings", "token_problems", "with_token"]

Group = Mapping[str, Any]
_JSON = ["string", "number", "boolean"]
_BY_LINKS = ("single", "next_url", "link_header", "hateoas")

TOKEN = {
    "token": setting.name(
        "Where an answer says what the next run asks by (`$.nextSyncToken`, or `header:NAME`), in the place of a `replication_key`: it "
        "is sent as `param`; without `param` it is the URL of the first request (a delta link), or, where it is the `cursor` of the pages, too, sent as that. It counts when all pages "
        "have been read.",
        minLength=1,
    ),
    "token_of": setting.text(
        "Which token of a read of several pages counts: that of its `first` answer, where it says how far the API had come by then (an `ETag`, a "
        "time), or of its `last`, where it says how far the pages have come (a cursor). Default: the only one that came, and `last` where it is the "
        "cursor of the pages, too; where others differ it has to be said.",
        enum=["first", "last"],
    ),
    "first_params": {
        "type": "object",
        "additionalProperties": {"anyOf": [{"type": _JSON}, {"type": "array", "items": {"type": _JSON}}]},
        "description": "Query parameters that are sent as long as there is no `token`, and not beside it.",
    },
}


class TokenSettings(msgspec.Struct, frozen=True):
    """`incremental` of a stream that goes on by a token."""

    token: str
    param: str | None = None
    token_of: str | None = None
    first_params: dict[str, Any] = {}
    place: str = msgspec.field(default="query", name="in")
    """Where `param` travels."""


def with_token(stream: dict[str, Any]) -> dict[str, Any]:
    """Return a stream that goes on by a token, or as it is, with what `incremental` says at the setting for it."""
    said = stream.get("incremental", {})
    if "token" not in said:
        return stream
    return {name: value for name, value in stream.items() if name != "incremental"} | {"token": said}


def token_problems(stream: Group, place: str) -> Iterator[str]:
    """Yield what is wrong with `incremental` of a stream, which has its `pagination`, as far as a token goes."""
    said = stream.get("incremental", {})
    if "token" not in said:
        for key in ("first_params", "token_of"):
            if key in said:
                yield f"`{place}.incremental.{key}` has no effect without `{place}.incremental.token`"
        return
    for key in said:
        if key not in ("param", "in", *TOKEN):
            yield f"`{place}.incremental.{key}` has no effect beside `{place}.incremental.token`; take one of them out"
    for key in ("replication_key", "bookmark"):
        if key in stream:
            yield f"`{place}.{key}` does not go with `{place}.incremental.token`, by which the stream goes on; take one of them out"
    if not stream.get("primary_keys"):
        yield (
            f"`{place}.incremental.token` needs `{place}.primary_keys`: when the API takes a token no more, all rows come again, and "
            "only a key has them take their place"
        )
    if "group" in stream.get("parent", {}):
        yield f"`{place}.parent.group` does not go with `{place}.incremental.token`, which each parent has for itself; take one of them out"
    if stream.get("activate_version"):
        yield f"`{place}.activate_version` has no effect with `{place}.incremental.token`, since a run then reads only what has changed"
    kind = stream.get("pagination", {"type": "single"})["type"]
    if "token_of" in said and kind == "single":
        yield f"`{place}.incremental.token_of` has no effect with `{place}.pagination` `single`, which has one answer"
    pagination = stream.get("pagination", {})
    is_cursor = kind == "cursor" and pagination.get("cursor") == said["token"]
    if "param" not in said and kind not in _BY_LINKS and not is_cursor:
        yield (
            f"`{place}.incremental.token` without `param` is a URL, to which a `pagination` of type `{kind}` can add nothing; "
            "set `param`, a pagination by links (`next_url`), or a `cursor` at the same place, as which the token is sent then"
        )
    yield from _of_first_params(stream, said.get("first_params", {}), place)


def _of_first_params(stream: Group, first: Group, place: str) -> Iterator[str]:
    where = f"{place}.incremental.first_params"
    for name in first:
        if name in stream.get("params", {}):
            yield f"`{where}.{name}` is sent by `params`, too; take one of them out"
    for name in names_in(first):
        if name.startswith("parent."):
            yield f"`{{{name}}}` in `{where}` has no value there; use it in `{place}.params`"
    others = ("path", "headers", "body", "graphql", "pagination", "job")
    alone = {name: value for name, value in stream.items() if name not in others} | {
        "path": "",
        "params": first,
    }
    for problem in placeholder_problems(alone, place, {}):
        yield problem.replace(f"{place}.params", where)
