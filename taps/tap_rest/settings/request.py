"""What a stream asks for: where page and bookmark travel in it, and what does not go together there."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tap_rest.asking.placeholders import BOOKMARKS, KNOWN, asked_of, names_in, needed_in
from tap_rest.paths import rows_and_inside
from tap_rest.settings.fields import names_of, text_of
from tap_rest.settings.relay import as_cursor, relay_problems

__all__ = ["VARIABLES", "bookmark_needed", "request_problems", "with_request"]

Group = Mapping[str, Any]
VARIABLES = "variables."
"""What the path of a variable begins with, in the body that GraphQL sends."""
# What is sent where


def with_request(stream: Group) -> dict[str, Any]:
    """Return a stream, with its `pagination`, that says itself where page and bookmark travel."""
    found = dict(stream)
    if "graphql" in stream:
        found["method"] = stream.get("method", "POST")
    elif any(group.get("in") == "body" and "next_request" not in group for group in _groups(stream)):
        found.setdefault("body", {})
    found = _with_format(found)
    if "pagination" in stream:
        found["pagination"] = _resolved_pagination(stream)
        if "next_request" in stream["pagination"]:
            found["pagination"]["next_request"] = _with_format(stream["pagination"]["next_request"])
    incremental = stream.get("incremental", {})
    if "graphql" in stream and "param" in incremental and "in" not in incremental:
        found["incremental"] = {**incremental, "in": "body", "param": _variable(incremental["param"])}
    return found


def _groups(stream: Group) -> tuple[Group, Group]:
    return stream.get("pagination", {}), stream.get("incremental", {})


def _with_format(asked: Group) -> dict[str, Any]:
    """Return a group with a `body` that says how that is written."""
    if "body" not in asked or "body_format" in asked:
        return dict(asked)
    return {**asked, "body_format": "text" if isinstance(asked["body"], str) else "json"}


def _resolved_pagination(stream: Group) -> dict[str, Any]:
    is_relay = stream["pagination"]["type"] == "relay"
    pagination = as_cursor(stream) if is_relay else dict(stream["pagination"])
    used = {name for _, value in asked_of(stream) for name in names_in(value)}
    inside = rows_and_inside(stream.get("records", ""))[1]
    if inside and "field" in pagination:
        with contextlib.suppress(ValueError):  # what is wrong with it is said where it stands
            pagination["field"] = text_of((*inside, *names_of(pagination["field"])))
    role = pagination["type"] if pagination["type"] in ("page", "offset") else "cursor"
    if "size" in used:
        pagination["size_in"] = "placeholder"
    if role in used:
        pagination["in"] = "placeholder"
    elif (
        "graphql" in stream
        and pagination["type"] not in _WITHOUT_PARAM
        and not pagination.keys() & {"in", "request_header"}
    ):
        param, size_param = _VARIABLES[role]
        pagination["in"] = "body"
        pagination["param"] = _variable(pagination.get("param", param))
        pagination["size_param"] = _variable(pagination.get("size_param", size_param))
    return pagination


_VARIABLES = {"cursor": ("after", "first"), "page": ("page", "per_page"), "offset": ("offset", "limit")}


def _variable(name: str) -> str:
    return VARIABLES + name


def bookmark_needed(path: str, *asked: Any) -> bool:
    """Tell whether `{bookmark}` stands where it cannot be left out: in the path, in a longer text, in a list."""
    needed = (name for value in asked for name in needed_in(value))
    return any(name in BOOKMARKS for name in (*names_in(path), *needed))


# What is wrong


def request_problems(stream: Group, place: str, *, has_start: bool) -> Iterator[str]:
    """Yield a sentence for each thing that does not go together in how a stream asks; its `pagination` is in ``stream``.

    ``has_start``: there is a `start_date`.
    """
    if "graphql" in stream:
        yield from _problems_of_graphql(stream, place)
    else:
        yield from _problems_of_body(stream, place)
    yield from relay_problems(stream, place)
    yield from _problems_of_placing(stream, place)
    asked = dict(asked_of(stream))
    if not has_start and bookmark_needed(asked.pop("path"), *asked.values()):
        yield (
            f"`{{bookmark}}` stands in {place} where it cannot be left out (in the path, inside a longer text or a list), and the first run "
            "has none: set `start_date`, or say `incremental.param` with `in`, which is sent only where there is one"
        )


def _problems_of_body(stream: Group, place: str) -> Iterator[str]:
    if "body" not in stream:
        if "body_format" in stream:
            yield f"`{place}.body_format` has no effect without `{place}.body`"
        return
    body, written = stream["body"], stream.get("body_format")
    if "method" not in stream:
        yield f'`{place}.body` needs `{place}.method`: say `"method": "POST"`, or as the API wants it'
    if written == "form" and not _is_form(body):
        yield f"Expected an object of texts, numbers and lists of them at `{place}.body`, since `{place}.body_format` is `form`"
    if written == "text" and not isinstance(body, str):
        yield f"Expected a text at `{place}.body`, since `{place}.body_format` is `text`"
    if not _is_whole(body):
        yield f"Expected whole characters at `{place}.body`, got half of one (a lone surrogate)"


def _is_form(body: Any) -> bool:
    if not isinstance(body, dict):
        return False
    items = [item for value in body.values() for item in (value if isinstance(value, list) else [value])]
    return not any(isinstance(item, dict | list) or item is None for item in items)


def _is_whole(value: Any) -> bool:
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _problems_of_graphql(stream: Group, place: str) -> Iterator[str]:
    for key in ("body", "body_format"):
        if key in stream:
            yield f"`{place}.{key}` has no effect beside `{place}.graphql`, which is the body; take one of them out"
    if stream.get("method") == "GET":
        yield f"`{place}.graphql` is sent in a body, which `{place}.method` `GET` has not; take that out, or say `POST`"
    query = stream["graphql"]["query"]
    filled = [name for name in names_in(query) if f"{name.partition('.')[0]}." in KNOWN and "." in name]
    if filled:
        yield f"`{{{filled[0]}}}` in `{place}.graphql.query` is not filled in: name a variable there, and give it in `{place}.graphql.variables`"
    for where, name in _variables_sent(stream, place):
        if re.search(rf"\${re.escape(name)}(?!\w)", query) is None:
            yield f"`{where}` sends the variable `{name}`, which `{place}.graphql.query` does not have (`${name}`), so it would do nothing"


def _variables_sent(stream: Group, place: str) -> Iterator[tuple[str, str]]:
    for name in stream["graphql"].get("variables", {}):
        yield f"{place}.graphql.variables.{name}", name
    resolved = with_request(stream)
    groups = {"pagination": resolved.get("pagination", {}), "incremental": resolved.get("incremental", {})}
    for key, group in groups.items():
        named = ["param"] if group.get("type", "cursor") not in _WITHOUT_PARAM else []
        named += ["size_param"] if "size" in group and "size_in" not in group else []
        for setting_name in named:
            path = group.get(setting_name, "")
            if group.get("in") == "body" and path.startswith(VARIABLES):
                yield f"{place}.{key}.{setting_name}", path.split(".")[1]


_WITHOUT_PARAM = ("single", "link_header", "next_url", "hateoas")


def _problems_of_placing(stream: Group, place: str) -> Iterator[str]:
    pagination, incremental = stream.get("pagination", {}), stream.get("incremental", {})
    used = {name for _, value in asked_of(stream) for name in names_in(value)}
    has_bookmark = not used.isdisjoint(BOOKMARKS)
    for key, group in (("pagination", pagination), ("incremental", incremental)):
        if group.get("in") == "body":
            yield from _problems_of_member(
                {**stream, **group.get("next_request", {})}, place, f"{place}.{key}"
            )
        is_needed = group.get("in") == "header" or (key == "incremental" and "in" in group)
        if is_needed and "param" not in group:
            yield f"Expected the key `{place}.{key}.param`, which `in` `{group['in']}` needs"
    if (
        "incremental" in stream
        and not has_bookmark
        and "param" not in incremental
        and "token" not in incremental
    ):
        yield f"Expected the key `{place}.incremental.param`, or `{{bookmark}}` in what the stream asks for"
    if "next_request" in pagination:
        yield from _problems_of_next(stream, place, pagination)
    yield from _problems_of_paging_placeholders(stream, place, pagination, used)


def _problems_of_next(stream: Group, place: str, pagination: Group) -> Iterator[str]:
    said, where = pagination["next_request"], f"{place}.pagination.next_request"
    if "graphql" in stream:
        yield f"`{where}` has no effect beside `{place}.graphql`, whose cursor is a variable; take it out"
    for key in ("path", "params"):
        if key in said and pagination["type"] in _WITHOUT_PARAM:
            yield f"`{where}.{key}` has no effect, since `{place}.pagination.type` `{pagination['type']}` takes the URL from the answer"
    method = said.get("method", stream.get("method", "GET"))
    yield from _problems_of_body({**said, "method": method} if method != "GET" else said, where)


def _problems_of_member(stream: Group, place: str, where: str) -> Iterator[str]:
    if "graphql" in stream:
        return
    if stream.get("method", "GET") == "GET" and "body" not in stream:
        yield f'`{where}.in` is `body`, and `{place}.method` is `GET`, which has none: say `"method": "POST"`'
    elif isinstance(stream.get("body", {}), str) or not isinstance(stream.get("body", {}), dict):
        yield f"`{where}.in` is `body`, and `{place}.body` is no object: write a placeholder into it"


def _problems_of_paging_placeholders(
    stream: Group, place: str, pagination: Group, used: set[str]
) -> Iterator[str]:
    kind = pagination.get("type", "single")
    role = kind if kind in ("page", "offset") else "cursor"
    in_path = role in names_in(stream["path"])
    if kind == "keyset" and "param" not in pagination and role not in used:
        yield f"Expected the key `{place}.pagination.param`, which `keyset` needs, or `{{cursor}}` in what the stream asks for"
    if pagination.get("in") == "path" and not in_path:
        yield f"`{place}.pagination.in` is `path`, and `{place}.path` holds no `{{{role}}}`"
    if role in used:
        for key in ("param", "request_header"):
            if key in pagination and pagination.get("in") != "path":
                yield f"`{place}.pagination.{key}` has no effect, since `{{{role}}}` says where that is sent"
        if pagination.get("in", "path") != "path":
            yield f"`{place}.pagination.in` has no effect, since `{{{role}}}` says where that is sent"
        has_body = "graphql" in stream or "body" in stream
        if "size" in pagination and "size" not in used and has_body and "size_param" not in pagination:
            yield f"`{place}.pagination.size` is sent nowhere: write `{{size}}` beside `{{{role}}}`"
    if "size" in used and "size_param" in pagination:
        yield f"`{place}.pagination.size_param` has no effect, since `{{size}}` says where that is sent"
