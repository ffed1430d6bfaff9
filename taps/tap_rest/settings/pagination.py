"""`pagination`: how the next page is found, and which is the last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tap_rest.settings import setting
from tap_rest.settings.errors import END_STATUSES, statuses_problem
from tap_rest.settings.fields import field_problem
from tap_rest.settings.method import NEXT_REQUEST, NextRequest

__all__ = ["PAGINATION", "PAGINATION_TYPES", "Pagination", "pagination_problems", "param_of", "size_param_of"]

PAGINATION_TYPES = (
    "single",
    "page",
    "offset",
    "cursor",
    "header_cursor",
    "link_header",
    "next_url",
    "hateoas",
    "keyset",
    "relay",
)

PAGINATION = setting.group(
    "How the next page is found and when the last one is reached. Default: one request, and an answer that shows "
    "another page is an error.",
    {
        "type": setting.text(
            "`single`: one request; an answer that shows another page is a warning. `page`: a page number. `offset`: an offset and a limit. `cursor`: a "
            "token in the body. `header_cursor`: a token in a response header. `link_header`: the Link "
            "header. `next_url`: a URL in the body. `hateoas`: a list or an object of links in the body. "
            "`keyset`: a value of the last record. `relay`: the `pageInfo` of GraphQL beside the records.",
            enum=list(PAGINATION_TYPES),
        ),
        "param": setting.name(
            "Query parameter that takes the page number (`page`: default `page`), offset (`offset`: default "
            "`offset`), token (`cursor`, `header_cursor`: default `cursor`) or value (`keyset`: required)."
        ),
        "in": setting.text(
            "Where `param` and `size_param` travel: `query`; `body`, where they are paths of members (`page.after`); `header`, where `size` "
            "goes into the query; `path`, which holds `{page}`, `{offset}` or `{cursor}`. Placeholders may stand anywhere, too, without "
            "`in`. Default `query`; of `graphql` they are variables, by default `after` and `first`.",
            enum=["query", "body", "header", "path"],
        ),
        "start": setting.count(
            "First page number (`page`: default 1) or offset (`offset`: default 0).", minimum=0
        ),
        "size": setting.count("Records asked for per page."),
        "size_param": setting.name("Query parameter that takes `size`. Default `limit`; `page`: `per_page`."),
        "cursor": setting.name("`cursor`: path of the token in the body, for instance `$.meta.next`."),
        "header": setting.name("`header_cursor`: the response header that holds the token."),
        "request_header": setting.name(
            "`cursor`, `header_cursor`: send the token in this header, not in `param`."
        ),
        "next_request": NEXT_REQUEST,
        "next": setting.name("`next_url`: path of the URL in the body, or `header:NAME`. Default `$.next`."),
        "links": setting.name(
            "`hateoas`: path of the links, an array of `{rel, href}` or an object of links by name. Default "
            "`$._links`."
        ),
        "rel": setting.name("`link_header`, `hateoas`: relation of the next page. Default `next`."),
        "field": setting.name("`keyset`: field of the last record, for instance `id`."),
        "template": setting.text(
            "`keyset`: text of the parameter, for instance `gt.{value}`. Default `{value}`."
        ),
        "total_pages": setting.name(
            "Stop after this many pages: path in the body, or `header:NAME`, of the number of pages."
        ),
        "total_count": setting.name(
            "Stop after this many records: path in the body, or `header:NAME`, of the number of records."
        ),
        "has_more": setting.name(
            "Stop when this is false, null, 0 or absent: path in the body, or `header:NAME`. Absent from the "
            "first page it is an error."
        ),
        "is_last": setting.name(
            "Stop when this is true or 1, for flags that are true on the last page (`done`, `end_of_stream`): path in the "
            "body, or `header:NAME`. Absent from the first page it is an error."
        ),
        "stop_on_short_page": setting.flag(
            "Stop at a page with fewer records than `size`, once a larger page of the stream has come in the run; until then "
            "one more is asked for, because a server may send less than it was asked for. Off by default."
        ),
        "empty_page": setting.text(
            "What a page without records means: `stop` the end, `continue` nothing, the other rules decide, "
            "`fail` an error. Default: `stop` for `page` and `offset` without `total_pages`, `total_count`, "
            "`has_more` or `is_last`, and for `keyset`; otherwise `continue`.",
            enum=["stop", "continue", "fail"],
        ),
        "end_status": END_STATUSES,
        "on_repeated_token": setting.text(
            "What a token or link means that leads to the very page that it came with: `fail`, or `stop`, the end. Default `fail`, unless a "
            "flag of that page says that it is the last.",
            enum=["fail", "stop"],
        ),
        "max_rows": setting.count(
            "So many rows the API gives of one question, and no more, whatever pages are asked for: an offset or a search that ends at "
            "row 10,000. Windows that reach it are asked for in halves, a sorted stream goes on by its key, and any other read that "
            "reaches it ends with an error. Default: none."
        ),
        "continue_by": setting.text(
            "`page`, `offset`, and links and tokens that number pages: how a read goes on after a page. `number`: by the next "
            "number; rows that shift between pages when the source changes may be missed. `bookmark`: by asking again from the "
            "greatest `replication_key` on, which has no such gap; for streams that are sorted (`is_sorted`) and have "
            "`incremental`. Default: `bookmark` for such streams, unless `incremental.format` has no seconds, else "
            "`number`.",
            enum=["number", "bookmark"],
        ),
        "allow_repeated_pages": setting.flag(
            "Accept a page whose records equal those of the one before, in `page`, `offset`, `keyset`, `cursor` and "
            "`header_cursor`. By default that is an error, because the server then most likely ignores `param`."
        ),
        "unread": setting.text(
            "What it means when reading ends at a page that shows another one (a link, a flag, a total above the "
            "rows that came): `fail`, or `warn`. Default `fail`.",
            enum=["fail", "warn"],
        ),
    },
    ["type"],
)


class Pagination(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`pagination` of the config; None means not said, and so does the type `unsaid`, which no config may hold."""

    type: str = "unsaid"
    param: str | None = None
    start: int | None = None
    size: int | None = None
    size_param: str | None = None
    cursor: str | None = None
    header: str | None = None
    request_header: str | None = None
    next: str | None = None
    links: str | None = None
    rel: str | None = None
    field: str | None = None
    template: str | None = None
    total_pages: str | None = None
    total_count: str | None = None
    has_more: str | None = None
    is_last: str | None = None
    stop_on_short_page: bool = False
    empty_page: str | None = None
    end_status: tuple[int, ...] | None = None
    at_itself: str | None = msgspec.field(default=None, name="on_repeated_token")
    max_rows: int | None = None
    continue_by: str | None = None
    allow_repeated_pages: bool = False
    unread: str | None = None
    place: str = msgspec.field(default="query", name="in")
    """Where `param` travels; `placeholder`: where the stream has one for it."""
    next_request: NextRequest | None = None
    size_in: str | None = None
    """Where `size` travels, if elsewhere than `param`; no config may say it."""
    by_hook: bool = False
    """Whether a hook says what comes next; no config may say it."""

    @property
    def size_place(self) -> str:
        """Where `size_param` travels: with `param` in the body, else in the query."""
        return self.size_in or ("body" if self.place == "body" else "query")


def param_of(settings: Pagination) -> str:
    return settings.param or {"page": "page", "offset": "offset"}.get(settings.type, "cursor")


def size_param_of(settings: Pagination) -> str:
    return settings.size_param or ("per_page" if settings.type == "page" else "limit")


_SIZE_AND_END = (
    *("size", "size_param", "total_pages", "total_count", "has_more", "is_last", "stop_on_short_page"),
    *("empty_page", "end_status", "unread"),
)
_PAGES = ("max_rows", "continue_by", *_SIZE_AND_END)
_NUMBER = ("param", "in", "start", "allow_repeated_pages", *_PAGES)
_TOKEN = (
    *(
        "param",
        "in",
        "request_header",
        "allow_repeated_pages",
        "on_repeated_token",
        "next_request",
    ),
    *_PAGES,
)
_KEYS = {
    "single": ("max_rows",),
    "page": _NUMBER,
    "offset": _NUMBER,
    "cursor": ("cursor", *_TOKEN),
    "header_cursor": ("header", *_TOKEN),
    "link_header": ("rel", "next_request", "on_repeated_token", *_PAGES),
    "next_url": ("next", "next_request", "on_repeated_token", *_PAGES),
    "hateoas": ("links", "next_request", "rel", "on_repeated_token", *_PAGES),
    "relay": (
        *("param", "continue_by", "max_rows", "allow_repeated_pages", "size", "size_param", "empty_page"),
        "unread",
    ),
    "keyset": ("param", "in", "next_request", "field", "template", "allow_repeated_pages", *_SIZE_AND_END),
}
_NEEDS = {"header_cursor": ("header",), "keyset": ("field",)}


def pagination_problems(pagination: Mapping[str, Any], place: str) -> list[str]:
    kind = pagination["type"]
    problems = setting.keys_for_type(pagination, place, _KEYS[kind], _NEEDS.get(kind, ()))
    problems += field_problem(pagination.get("field", ""), f"{place}.field")
    problem = statuses_problem(pagination.get("end_status", ()), f"{place}.end_status")
    problems += [problem] if problem is not None else []
    if pagination.get("stop_on_short_page") and "size" not in pagination:
        problems.append(f"`{place}.stop_on_short_page` needs `{place}.size`")
    if pagination.get("max_rows", pagination.get("size", 0)) < pagination.get("size", 0):
        problems.append(
            f"Expected `{place}.max_rows` to be at least `{place}.size`, since one page would reach it"
        )
    if "in" in pagination and "request_header" in pagination:
        problems.append(f"`{place}.in` has no effect beside `{place}.request_header`")
    if pagination.get("in") == "path" and "param" in pagination:
        problems.append(f"`{place}.param` has no effect with `{place}.in` `path`")
    if pagination.get("empty_page") == "continue" and kind in ("page", "offset", "keyset"):
        if kind == "keyset":
            problems.append(f"`{place}.empty_page` cannot be `continue`: an empty page has no last record")
        elif not any(key in pagination for key in ("total_pages", "total_count", "has_more", "is_last")):
            problems.append(
                f"`{place}.empty_page: continue` needs total_pages, total_count, has_more or is_last: there is no end"
            )
    return problems
