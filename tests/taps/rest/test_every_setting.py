"""Every documented setting of tap-rest has an effect: a run with it differs from the run without.

A run is what it asked for, what it wrote and how it ended. Settings that differ only by waiting, or by what a server
of another kind does, name the test that shows them.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import re
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Api, Asked, Reply, json_reply, serving

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "tap-rest.md"
TESTS = Path(__file__).parents[2]
ROWS = [
    {"id": n, "u": f"2026-01-0{n}T00:00:00Z", "n": f"2026-01-0{n} 00:00:00", "d": f"0{n}.01.2026"}
    for n in range(1, 8)
]


def rows(asked: Asked) -> Reply:
    """Seven rows by three, for whoever asks for more, in many ways at once."""
    after = [asked.param(name) for name in ("offset", "at", "cursor", "limit_from", "id")]
    start = next(
        (int(text.removeprefix("gt.")) for text in after if text and text.removeprefix("gt.").isdigit()), 0
    )
    page = asked.param("page") or asked.param("p")
    start = start or (max(int(page), 1) - 1) * 3 if page else start
    start = start or int(asked.headers.get("X-Ask") or 0)
    following = start + 3 if start + 3 < len(ROWS) else None
    url = f"/rows?offset={following}"
    body: dict[str, Any] = {
        "data": ROWS[start : start + 3],
        "pages": 3,
        "total": 7,
        "more": following is not None,
        "at_end": following is None,
    }
    body |= {"token": following, "url": following and url, "other": None}
    body["list"] = [{"rel": "next", "href": url}, {"rel": "forth", "href": url}] if following else []
    if start == 6 and asked.param("hole"):
        body["data"] = []
    links = f'<{url}>; rel="next", <{url}>; rel="forth"' if following else "</rows>; rel=prev"
    return json_reply(body, Link=links, X_Next=str(following or ""), X_Other=str(following or ""))


def routes(api: Api) -> dict[str, Any]:
    return {
        "/rows": rows,
        "/v2/rows": rows,
        "/plain": lambda _: json_reply([{"id": 1}, {"id": 2}]),
        "/again": lambda asked: json_reply([{"id": 1}] if int(asked.param("page") or 1) < 3 else []),
        "/csv": lambda _: Reply("id,u,n\n;1,2,'~é'\n-,,\n".encode()),
        "/zip": lambda _: Reply(ZIP),
        "/columns": lambda _: json_reply({"id": [1, 2], "u": [3, 4]}),
        "/arrays": lambda _: json_reply({"columns": ["u", "id"], "data": [["n", "d"], [1, 2]]}),
        "/objects": lambda _: json_reply({"columns": ["u", "id"], "data": [{"c": [1, 2]}]}),
        "/xml": lambda _: Reply(b"<x xmlns:a='u'><i><n>1</n><a:m/></i></x>"),
        "/none": lambda _: json_reply({"rows": None}),
        "/partial": lambda _: json_reply({"data": ROWS[:1], "errors": [{"message": "some"}]}),
        "/hole": lambda asked: json_reply(
            {"data": [] if asked.param("page") == "2" else ROWS[:1], "more": asked.param("page") != "3"}
        ),
        "/users": lambda _: json_reply(
            [{"id": 1, "u": "2026-01-01T00:00:00Z"}, {"id": 2, "u": "2026-01-02T00:00:00Z"}]
        ),
        "/users/1/x": lambda _: json_reply([{"no": 1, "u": "2026-01-05T00:00:00Z"}]),
        "/hop": lambda _: Reply(b"", 302, {"Location": f"{api.url}/plain"}),
        "/typed": lambda asked: (
            json_reply([{"id": 1 if (asked.param("page") or "1") == "1" else "b"}])
            if int(asked.param("page") or 1) < 4
            else json_reply([])
        ),
        "/away": lambda _: Reply(
            b"", 302, {"Location": api.url.replace("127.0.0.1", "localhost") + "/plain"}
        ),
        "/busy": lambda _: Reply(b"", 503),
        "/token": lambda _: json_reply(
            {"access_token": "given-by-a-test", "jwt": "another-one"},
            X_Pass="pass-of-a-test",
            X_Other_Pass="other-pass",
        ),
    }


def zipped(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


ZIP = zipped(a=b'{"data": [{"id": 1}]}', b=b'{"data": [{"id": 2}]}')
ALL = {"records": "$.data[*]", "schema": {"properties": {"id": {}, "u": {}, "n": {}, "d": {}}}}
ONE = {"type": "single"}


def pages(before: dict[str, Any], path: str = "/rows", **after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs that differ in one key of `pagination`."""
    stream = {"name": "s", "path": path, **ALL}
    first = {"streams": [stream | {"pagination": before}]}
    return first, {"streams": [stream | {"pagination": before | after}]}


def stream(before: dict[str, Any], **after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs that differ in one key of a stream."""
    base = {"name": "s", "path": "/rows", "pagination": ONE, **ALL, **before}
    return {"streams": [base]}, {"streams": [base | after]}


def top(
    before: dict[str, Any] | None = None, path: str = "/plain", **after: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs that differ in one key of the top level."""
    base = {"streams": [{"name": "s", "path": path, "schema": {"properties": {"id": {}}}}], **(before or {})}
    return base, base | after


def beside(
    configs: tuple[dict[str, Any], dict[str, Any]], **after: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first config, and the same with one key more at the top level."""
    return configs[0], configs[0] | after


def csv(**after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs that differ in how CSV is written."""
    base = {"path": "/csv", "format": "csv", "records": "$[*]"}
    return stream(base, csv=after)


def arrays(**after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs that differ in where rows as arrays have their names and values."""
    path = "/objects" if "cells" in after else "/arrays"
    return stream({"path": path, "layout": "arrays", "records": "$.data[*]"}, arrays=after)


def xml(**after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs that differ in how XML becomes records."""
    schema = {"properties": {"n": {}, "a:m": {}, "b:m": {}}}
    base = {"path": "/xml", "format": "xml", "records": "$.x.i[*]", "schema": schema}
    return stream(base, xml=after)


def keyed(key: str = "u", **more: Any) -> dict[str, Any]:
    return {"replication_key": key, "primary_keys": ["id"], "incremental": {"param": "since"} | more}


def windowed(**after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs that differ in one key of windows over numbers, which end where the rows do."""
    said = {"param": "since", "until_param": "to", "window": 100}
    base = {"name": "s", "path": "/rows", "pagination": ONE, **ALL, "replication_key": "id"}
    return {"streams": [base | {"incremental": said}]}, {"streams": [base | {"incremental": said | after}]}


def spanned(**after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs that differ in one key of windows over days, which end at a date."""
    said = {"param": "since", "until_param": "to", "window": "P2D", "format": "%Y-%m-%d"}
    base = {"name": "s", "path": "/rows", "pagination": ONE, **ALL, "replication_key": "u"}
    base |= {"start_date": "2026-01-01T00:00:00Z", "end_date": "2026-01-05T12:00:00Z"}
    return {"streams": [base | {"incremental": said}]}, {"streams": [base | {"incremental": said | after}]}


def below(incremental: bool = False, **after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs that differ in one key of `parent`."""
    users = {
        "name": "users",
        "path": "/users",
        "schema": {"properties": {"id": {}, "u": {}}},
        "pagination": ONE,
    }
    child: dict[str, Any] = {
        "name": "x",
        "path": "/users/{parent.id}/x",
        "parent": {"stream": "users"},
        "pagination": ONE,
    }
    child["schema"] = {"properties": {"no": {}, "u": {}, "who": {}, "users_id": {}}}
    if incremental:
        users["replication_key"] = child["replication_key"] = "u"
        child["parent"] = {"stream": "users", "on_404": "skip"}
    parent = child["parent"] | after
    return {"streams": [users, child]}, {"streams": [users, child | {"parent": parent}]}


EACH = {
    "name": "x",
    "path": "/rows",
    "params": {"limit_from": "{each.limit_from}"},
    "for_each": {"limit_from": [6]},
    **ALL,
}


def grouped(number: int, field: str = "id") -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs of a child, whose parents are asked for at once in the second, or name their rows by another field."""
    users = below()[0]["streams"][0]
    child = {"name": "x", "path": "/plain", "params": {"of": "{parent.id}"}, "schema": {}, "pagination": ONE}
    parent = {"stream": "users", "copy": {}}
    many = parent | {"group": number, "group_field": field}
    before = parent if field == "id" else many | {"group_field": "id"}
    return {"streams": [users, child | {"parent": before}]}, {"streams": [users, child | {"parent": many}]}


def listed(
    one: str, other: str, field: str = "id", *, several: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs of a stream that is read for what a stream holds, in another stream or another field, or beside a value."""
    users = below()[0]["streams"][0]
    again = users | {"name": "again", "path": "/plain", "pagination": ONE}
    lists = [{"stream": one, "field": "id"}, {"stream": other, "field": field}]
    streams = [EACH | {"for_each": {"limit_from": [9, given] if several else given}} for given in lists]
    before, after = ({"streams": [users, again | {"params": {"x": "y"}}, stream]} for stream in streams)
    return before, after


LACKING = {"name": "x", "path": "/users/{parent.no}/x", "parent": {"stream": "users"}, "schema": {}}


def partitions_of(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs of a child that has a bookmark for each parent, of which there are more than ``number``."""
    users, child = below(bookmarks="each")[1]["streams"]
    child |= {"path": "/rows", "params": {"user": "{parent.id}"}, **ALL, **keyed()}
    return {"streams": [users, child]}, {"streams": [users, child | {"bookmark": {"partitions": number}}]}


BEARER = {"type": "bearer", "token": "token-of-a-test"}
API_KEY = {"type": "api_key", "api_key": "key-of-a-test"}
BASIC = {"type": "basic", "username": "me", "password": "pass-of-a-test"}
OAUTH2 = {"type": "oauth2", "token_url": "URL/token", "client_id": "me", "client_secret": "secret-of-a-test"}
OF_A_USER = OAUTH2 | {"grant": "password", "username": "me", "password": "pass-of-a-test"}
HEADER_CURSOR = {"type": "header_cursor", "header": "X-Next"}
CURSOR = {"type": "cursor", "cursor": "$.token"}
UNSORTED: dict[str, Any] = {"replication_key": "u", "pagination": CURSOR}
SORTED: dict[str, Any] = {"streams": [{"name": "s", "path": "/rows", **ALL, **UNSORTED}], "state_every": 1}
BUSY = {"tries": 4, "first_wait": 0.01}


SIGNED = {"X-Signature": "{signature}"}


def signed(**after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs that differ in one key of `hmac`."""
    auth = {"type": "hmac", "secret": "secret-of-a-test", "message": "{method}", "sign_headers": SIGNED}
    return top({"auth": auth}, auth=auth | after)


def login(**after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs that differ in one key of a login."""
    auth = {"type": "login", "token_url": "URL/token"}
    return top({"auth": auth}, auth=auth | after)


def oauth2(**after: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two configs that differ in one key of `auth`."""
    return top({"auth": OAUTH2}, auth=OAUTH2 | after)


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "base_url": top(base_url="URL/v2"),
    "auth": top(auth=BEARER),
    "auth.type": top({"auth": BEARER}, auth={"type": "none"}),
    "auth.in": top({"auth": API_KEY}, auth=API_KEY | {"in": "query"}),
    "auth.name": top({"auth": API_KEY}, auth=API_KEY | {"name": "X-Mine"}),
    "auth.api_key": top({"auth": API_KEY}, auth=API_KEY | {"api_key": "another-key"}),
    "auth.prefix": top({"auth": API_KEY}, auth=API_KEY | {"prefix": "Key "}),
    "auth.token": top({"auth": BEARER}, auth=BEARER | {"token": "another-token"}),
    "auth.username": top({"auth": BASIC}, auth=BASIC | {"username": "you"}),
    "auth.password": top({"auth": BASIC}, auth=BASIC | {"password": "another-pass"}),
    "auth.grant": top({"auth": OAUTH2}, auth=OF_A_USER),
    "auth.token_url": oauth2(token_url="URL/token?v=2"),
    "auth.client_id": oauth2(client_id="you"),
    "auth.client_secret": oauth2(client_secret="another-secret"),
    "auth.client_auth": oauth2(client_auth="body"),
    "auth.scopes": oauth2(scopes=["read"]),
    "auth.audience": oauth2(audience="api"),
    "auth.token_params": oauth2(token_params={"resource": "r"}),
    "auth.token_headers": oauth2(token_headers={"X-A": "1"}),
    "auth.body_format": oauth2(body_format="json"),
    "auth.token_path": oauth2(token_path="$.jwt"),
    "auth.message": signed(message="{path}"),
    "auth.hash": signed(hash="sha512"),
    "auth.signature_encoding": signed(signature_encoding="base64"),
    "auth.timestamp": signed(
        message="{method}", sign_headers=SIGNED | {"X-At": "{timestamp}"}, timestamp="iso"
    ),
    "auth.sign_headers": signed(sign_headers=SIGNED | {"X-B": "{body_md5}"}),
    "auth.sign_params": signed(sign_params={"a": "b"}),
    "auth.method": login(method="PUT"),
    "auth.body": login(body={"user": "me"}),
    "auth.token_in": login(token_in="header", token_name="X-Pass"),
    "auth.token_name": (
        login(token_in="header", token_name="X-Pass")[1],
        login(token_in="header", token_name="X-Other-Pass")[1],
    ),
    "headers": top(headers={"X-A": "1"}),
    "params": top(params={"a": 1}),
    "pagination": top(path="/plain", pagination={"type": "page"}),
    "pagination.type": pages({"type": "page"}, type="offset"),
    "pagination.param": pages({"type": "page"}, param="p"),
    "pagination.in": pages({"type": "page", "param": "X-Page"}, **{"in": "header"}),
    "pagination.next_request": pages(CURSOR, next_request={"params": {"a": 1}}),
    "pagination.next_request.method": pages(CURSOR, next_request={"method": "POST"}),
    "pagination.next_request.path": pages(CURSOR, next_request={"path": "/v2/rows"}),
    "pagination.next_request.params": pages(CURSOR, next_request={"params": {"a": 1}}),
    "pagination.next_request.body": pages(CURSOR, next_request={"method": "POST", "body": {"a": 1}}),
    "pagination.next_request.body_format": pages(
        CURSOR | {"next_request": {"method": "POST", "body": {"a": 1}}},
        next_request={"method": "POST", "body": {"a": 1}, "body_format": "form"},
    ),
    "pagination.start": pages({"type": "page"}, start=2),
    "pagination.size": pages({"type": "page"}, size=3),
    "pagination.size_param": pages({"type": "page", "size": 3}, size_param="n"),
    "pagination.cursor": pages(CURSOR, cursor="$.other"),
    "pagination.header": pages(HEADER_CURSOR, header="X-Nothing"),
    "pagination.request_header": pages(CURSOR, request_header="X-Ask"),
    "pagination.next": pages({"type": "next_url", "next": "$.url"}, next="$.other"),
    "pagination.links": pages({"type": "hateoas", "links": "$.list"}, links="$.other"),
    "pagination.rel": pages({"type": "link_header", "rel": "none", "unread": "warn"}, rel="forth"),
    "pagination.field": pages({"type": "keyset", "param": "id", "field": "id"}, field="nothing"),
    "pagination.template": pages({"type": "keyset", "param": "id", "field": "id"}, template="gt.{value}"),
    "pagination.total_pages": pages({"type": "page"}, total_pages="$.pages"),
    "pagination.total_count": pages({"type": "page"}, total_count="$.total"),
    "pagination.has_more": pages({"type": "page"}, has_more="$.more"),
    "pagination.is_last": pages({"type": "page"}, is_last="$.at_end"),
    "pagination.stop_on_short_page": pages({"type": "page", "size": 3}, stop_on_short_page=True),
    "pagination.empty_page": pages({"type": "page", "has_more": "$.more"}, "/hole", empty_page="fail"),
    "pagination.allow_repeated_pages": top(
        {"pagination": {"type": "page"}}, "/again", pagination={"type": "page", "allow_repeated_pages": True}
    ),
    "pagination.max_rows": pages({"type": "offset"}, max_rows=5),
    "pagination.unread": pages({"type": "next_url", "next": "$.other"}, unread="warn"),
    "streams": top(streams=[{"name": "s", "path": "/plain?x=1", "schema": {"properties": {"id": {}}}}]),
    "streams[].partial_answers": stream({"path": "/partial"}, partial_answers="warn"),
    "streams[].partial_records": stream(
        {"schema": {"properties": {"id": {}, "z": {}}}}, partial_records=True
    ),
    "streams[].name": stream({}, name="t"),
    "streams[].path": stream({}, path="/v2/rows"),
    "streams[].params": stream({}, params={"a": 1}),
    "streams[].headers": stream({}, headers={"X-A": "1"}),
    "streams[].format": stream({"path": "/csv"}, format="csv"),
    "streams[].csv": csv(delimiter=";"),
    "streams[].csv.delimiter": csv(delimiter=";"),
    "streams[].csv.quote": csv(quote="'"),
    "streams[].csv.escape": csv(escape="~"),
    "streams[].csv.names": csv(names=["id", "u", "n"]),
    "streams[].csv.skip_lines": csv(skip_lines=1),
    "streams[].csv.encoding": csv(encoding="latin-1"),
    "streams[].csv.nulls": csv(nulls=["-"]),
    "streams[].zip_members": stream({"path": "/zip"}, zip_members="b*"),
    "streams[].layout": stream({"path": "/columns", "records": "$"}, layout="columns"),
    "streams[].arrays": arrays(names=["id", "u"]),
    "streams[].arrays.header": arrays(header="first_row"),
    "streams[].arrays.names": arrays(names=["id", "u"]),
    "streams[].arrays.cells": arrays(cells=["$.c"]),
    "streams[].xml": xml(lists=["n"]),
    "streams[].xml.lists": xml(lists=["n"]),
    "streams[].xml.namespaces": xml(namespaces={"b": "u"}),
    "streams[].method": stream({}, method="POST"),
    "streams[].body": stream({"method": "POST"}, body={"a": 1}),
    "streams[].body_format": stream({"method": "POST", "body": {"a": 1}}, body_format="form"),
    "streams[].graphql": stream({}, graphql={"query": "{ rows { id } }"}),
    "streams[].graphql.query": stream(
        {"graphql": {"query": "{ rows { id } }"}}, graphql={"query": "{ rows { id u } }"}
    ),
    "streams[].graphql.variables": stream(
        {"graphql": {"query": "query q($a: Int) { rows(a: $a) { id } }"}},
        graphql={"query": "query q($a: Int) { rows(a: $a) { id } }", "variables": {"a": 1}},
    ),
    "streams[].records": stream({}, records="$.list[*]"),
    "streams[].missing_records": stream({"path": "/none", "records": "$.rows"}, missing_records="empty"),
    "streams[].copy": stream(
        {"schema": {"properties": {"id": {}, "v": {}, "o": {"properties": {"v": {}}}}}}, copy={"v": "o.v"}
    ),
    "streams[].primary_keys": stream({}, primary_keys=["id"]),
    "streams[].replication_key": stream({}, replication_key="u"),
    "streams[].replication_key_format": stream({"replication_key": "d"}, replication_key_format="%d.%m.%Y"),
    "streams[].start_date": stream(keyed(), start_date="2026-01-03T00:00:00Z"),
    "streams[].end_date": stream(keyed(), end_date="2026-01-03T00:00:00Z"),
    "end_date": beside(stream(keyed()), end_date="2026-01-03T00:00:00Z"),
    "streams[].time_zone": stream(keyed("n", format="epoch"), time_zone="Asia/Tokyo"),
    "time_zone": top(
        {
            "start_date": "2026-01-02T00:00:00Z",
            "streams": [{"name": "s", "path": "/rows", "pagination": ONE, **ALL, **keyed("n")}],
        },
        time_zone="Asia/Tokyo",
    ),
    "streams[].is_sorted": (
        SORTED,
        {"streams": [SORTED["streams"][0] | {"is_sorted": True}], "state_every": 1},
    ),
    "streams[].bookmark": stream(UNSORTED, bookmark={"signpost": "none"}),
    "streams[].bookmark.signpost": stream(UNSORTED, bookmark={"signpost": "none"}),
    "streams[].bookmark.margin": stream(
        UNSORTED | {"bookmark": {"signpost": "date_header"}},
        bookmark={"signpost": "date_header", "margin": 10**9},
    ),
    "streams[].bookmark.partitions": partitions_of(1),
    "streams[].bookmark.memory": stream(UNSORTED, bookmark={"memory": 1}),
    "streams[].incremental": stream({"replication_key": "u"}, incremental={"param": "since"}),
    "streams[].incremental.param": stream(keyed(), incremental={"param": "from"}),
    "streams[].incremental.in": stream(keyed(), incremental={"param": "since", "in": "header"}),
    "streams[].incremental.format": stream(keyed(), incremental={"param": "since", "format": "epoch"}),
    "streams[].incremental.template": stream(
        keyed(), incremental={"param": "since", "template": "gte.{value}"}
    ),
    "streams[].incremental.from": stream(keyed(), incremental={"param": "since", "from": "exclusive"}),
    "streams[].incremental.lookback": stream(keyed(), incremental={"param": "since", "lookback": 86400}),
    "streams[].incremental.until_param": windowed(until_param="before"),
    "streams[].incremental.until": spanned(until="exclusive"),
    "streams[].incremental.until_template": windowed(until_template="lt.{value}"),
    "streams[].incremental.window": windowed(window=50),
    "streams[].incremental.granularity": windowed(granularity=1),
    "streams[].incremental.start": windowed(start=3),
    "streams[].incremental.token": stream(
        {"primary_keys": ["id"], "incremental": {"param": "since", "token": "$.more"}},
        incremental={"param": "since", "token": "$.total"},
    ),
    "streams[].incremental.first_params": stream(
        {"primary_keys": ["id"], "incremental": {"param": "since", "token": "$.total"}},
        incremental={"param": "since", "token": "$.total", "first_params": {"a": 1}},
    ),
    "streams[].pagination": stream({}, pagination={"type": "page"}),
    "streams[].schema": stream({}, schema={"properties": {"id": {}}}),
    "streams[].schema_overrides": stream({}, schema_overrides={"id": {"type": "integer"}}),
    "streams[].parent": below(copy={"who": "id"}),
    "streams[].parent.stream": below(stream="nobody"),
    "streams[].parent.copy": below(on_404="skip", copy={"who": "id"}),
    "streams[].parent.on_404": below(on_404="skip"),
    "streams[].for_each": (
        {"streams": [EACH]},
        {"streams": [EACH | {"for_each": {"limit_from": [3]}}]},
    ),
    "streams[].for_each.*.stream": listed("users", "again"),
    "streams[].for_each.*.field": listed("users", "users", "u"),
    "streams[].for_each.*[].stream": listed("users", "again", several=True),
    "streams[].for_each.*[].field": listed("users", "users", "u", several=True),
    "streams[].parent.group": grouped(2),
    "streams[].parent.group_field": grouped(2, "of"),
    "streams[].parent.on_missing": (
        {"streams": [*below()[0]["streams"][:1], LACKING]},
        {
            "streams": [
                *below()[0]["streams"][:1],
                LACKING | {"parent": {"stream": "users", "on_missing": "skip"}},
            ]
        },
    ),
    "streams[].parent.read": below(incremental=True, read="changed"),
    "streams[].parent.bookmarks": below(incremental=True, bookmarks="each"),
    "streams[].activate_version": stream({}, activate_version=True),
    "streams[].sweep": stream(keyed(), sweep="P1D"),
    "streams[].selected": (
        {"streams": [{"name": n, "path": "/plain", "schema": {"properties": {"id": {}}}} for n in "ab"]},
        {
            "streams": [
                {"name": n, "path": "/plain", "schema": {"properties": {"id": {}}}, "selected": n == "a"}
                for n in "ab"
            ]
        },
    ),
    "retries": top({"retries": BUSY}, "/busy", retries=BUSY | {"tries": 2}),
    "retries.tries": top({"retries": BUSY}, "/busy", retries=BUSY | {"tries": 2}),
    "retries.total": top(
        {"retries": BUSY | {"first_wait": 0.3}}, "/busy", retries=BUSY | {"first_wait": 0.3, "total": 0.01}
    ),
    "user_agent": top(user_agent="mine/1"),
    "allowed_hosts": top(path="/away", allowed_hosts=["HOST"]),
    "limits": top(limits={"response_bytes": 5}),
    "limits.response_bytes": top(limits={"response_bytes": 5}),
    "limits.pages": beside(pages({"type": "page"}), limits={"pages": 1}),
    "limits.redirects": top(path="/hop", limits={"redirects": 0}),
    "infer": top(
        {"streams": [{"name": "s", "path": "/typed", "pagination": {"type": "page"}}]}, infer={"pages": 1}
    ),
    "infer.pages": top(
        {"streams": [{"name": "s", "path": "/typed", "pagination": {"type": "page"}}]}, infer={"pages": 1}
    ),
    "infer.records": top(
        {"streams": [{"name": "s", "path": "/typed", "pagination": {"type": "page"}}]}, infer={"records": 1}
    ),
    "infer.format_values": top(
        {"streams": [{"name": "s", "path": "/rows", "records": "$.data[*]", "pagination": ONE}]},
        infer={"format_values": 2},
    ),
    "pipeline": top(pipeline="mine"),
    "start_date": beside(stream(keyed()), start_date="2026-01-03T00:00:00Z"),
    "select": beside(stream({}), select=["s", "!s.u"]),
    "state_every": (
        {"streams": [{"name": "s", "path": "/rows", "pagination": CURSOR, **ALL, "primary_keys": ["id"]}]},
        {
            "streams": [{"name": "s", "path": "/rows", "pagination": CURSOR, **ALL, "primary_keys": ["id"]}],
            "state_every": 1,
        },
    ),
}
SHOWN_ELSEWHERE = {
    "streams[].incremental.shard_window": "test_a_shard_asks_for_no_window_of_another_one",
    "errors": "test_the_first_rule_counts_and_those_of_a_stream_come_first",
    "streams[].errors": "test_the_first_rule_counts_and_those_of_a_stream_come_first",
    **{
        f"streams[].errors[].{key}": "test_a_rule_fits_by_status_and_body"
        for key in ("status", "path", "equals", "contains", "matches")
    },
    "streams[].schema.openapi": "test_what_the_document_says_is_sent_also_where_there_is_no_record",
    "streams[].schema.component": "test_what_records_show_and_the_document_leaves_open_counts",
    "streams[].job": "test_a_job_is_made_waited_for_and_read",
    "streams[].job.result": "test_one_more_request_tells_where_the_rows_are",
    **{f"streams[].job.{step}": "test_a_job_is_made_waited_for_and_read" for step in ("create", "poll")},
    **{
        f"streams[].job.{step}.{key}": f"test_{shown}"
        for step in ("create", "poll")
        for key, shown in {
            "path": "a_job_is_made_waited_for_and_read",
            "params": "parameters_of_all_requests_and_its_own",
            "method": "parameters_of_all_requests_and_its_own",
            "headers": "headers_and_forms_of_its_requests",
            "body": "headers_and_forms_of_its_requests",
            "body_format": "headers_and_forms_of_its_requests",
        }.items()
    },
    "streams[].job.poll.until": "test_a_job_that_does_not_get_done",
    "streams[].job.poll.failed": "test_a_job_that_does_not_get_done",
    **{
        f"streams[].job.poll.until.{key}": "test_a_rule_fits_by_status_and_body"
        for key in ("path", "equals", "contains", "matches")
    },
    "streams[].job.poll.wait": "test_what_an_answer_asks_to_wait_is_waited",
    "streams[].job.poll.longest": "test_a_job_that_does_not_get_done",
    "rate_limit": "test_streams_share_the_budget",
    "rate_limit.requests_per_second": "test_no_window_of_time_has_more_requests_than_the_budget",
    "rate_limit.requests_per_minute": "test_streams_share_the_budget",
    "rate_limit.requests_per_hour": "test_no_window_of_time_has_more_requests_than_the_budget",
    "streams[].on_error": "test_a_stream_can_end_the_run_at_once",
    "streams[].errors[].then": "test_what_becomes_of_an_answer",
    "streams[].errors[].message": "test_what_becomes_of_an_answer",
    "streams[].errors[].wait": "test_a_rule_waits_as_long_as_it_says",
    "pagination.end_status": "test_a_status_is_the_end_behind_the_first_page_only",
    "pagination.on_repeated_token": "test_zendesk_ends_with_a_page_that_leads_to_itself",
    "streams[].duplicate_keys": "test_two_rows_of_one_answer_with_one_key",
    "auth.refresh_token": "test_a_new_first_token_takes_the_place_of_one_that_is_void",
    "auth.refresh_token_rotates": "test_a_refresh_token_that_is_not_said_to_rotate_and_does_is_no_silent_loss",
    "auth.token_file": "test_other_grants_keep_their_token_where_a_file_is_named",
    "auth.algorithm": "test_a_token_that_is_signed_here_is_read_by_others",
    "auth.private_key": "test_a_token_that_is_signed_here_is_read_by_others",
    "auth.secret": "test_a_token_that_is_signed_here_is_read_by_others",
    "auth.key_encoding": "test_secrets_that_are_written_in_other_ways",
    "auth.key_id": "test_a_token_that_is_signed_here_is_read_by_others",
    "auth.claims": "test_a_token_that_is_signed_here_is_read_by_others",
    "auth.jwt_headers": "test_a_token_that_is_signed_here_is_read_by_others",
    "auth.account_key": "test_a_service_account",
    "auth.subject": "test_a_service_account",
    "auth.access_key_id": "test_aws_would_take_each_request",
    "auth.secret_access_key": "test_aws_would_take_each_request",
    "auth.session_token": "test_aws_would_take_each_request",
    "auth.region": "test_aws_would_take_each_request",
    "auth.service": "test_aws_would_take_each_request",
    "auth.consumer_key": "test_authlib_takes_each_request_once",
    "auth.consumer_secret": "test_authlib_takes_each_request_once",
    "auth.token_secret": "test_authlib_takes_each_request_once",
    "auth.signature_method": "test_authlib_takes_each_request_once",
    "auth.realm": "test_the_example_of_the_specification",
    "auth.lifetime": "test_a_token_is_renewed_in_time_and_once_on_401",
    "allowed_addresses": "test_a_refused_address_may_be_configured",
    "client_cert": "test_a_client_shows_its_certificate",
    "client_key": "test_a_client_shows_its_certificate",
    "client_key_password": "test_a_client_shows_its_certificate",
    "ca_file": "test_certificates_are_checked",
    "concurrency": "test_several_requests_are_under_way_at_a_time",
    "timeout": "test_a_slow_answer_has_a_deadline",
    "timeout.connect": "test_a_server_that_takes_no_connection",
    "timeout.read": "test_a_slow_answer_has_a_deadline",
    "timeout.response": "test_a_slow_answer_has_a_deadline",
    "retries.first_wait": "test_h02_waits_grow_and_are_never_the_same",
    "retries.longest_wait": "test_h01_what_the_server_asks_for_is_honoured",
    "schema_cache": "test_inferred_over_pages_merged_and_cached",
    "infer.keep_in": "test_the_second_run_asks_only_for_what_is_new",
    "streams[].conditional": "test_nothing_new",
    "streams[].incremental.token_of": "test_which_of_two_tokens_counts",
    "streams[].deletes": "test_a_deletion_that_knows_its_key_only",
    "streams[].deletes.field": "test_the_time_of_a_deletion",
    "streams[].deletes.equals": "test_values_that_mean_deleted",
    "streams[].deletes.at": "test_values_that_mean_deleted",
    "hook": "test_a_stream_has_a_hook_of_its_own",
    "streams[].hook": "test_a_stream_has_a_hook_of_its_own",
    "streams[].hook.path": "test_a_stream_has_a_hook_of_its_own",
    "streams[].hook.settings": "test_a_request_is_signed",
    "streams[].jmespath": "test_records_are_filtered_and_mapped",
    "streams[].explode": "test_items_are_rows",
    "streams[].explode.path": "test_items_are_rows",
    "streams[].explode.copy": "test_items_are_rows",
    "streams[].explode.as": "test_lists_of_lists_of_texts",
    "streams[].explode.missing": "test_records_that_may_all_be_without_it",
    "pagination.continue_by": "test_by_number_it_is_missed_and_the_first_run_says_that_it_may_be",
}


def documented() -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", REFERENCE.read_text(encoding="utf-8"), re.M)


def observation(run_tap: Any, config: dict[str, Any], **more: Any) -> tuple[Any, ...]:
    """What a run asked for, wrote and ended with; what differs from run to run is left out."""
    with serving({}) as api:
        api.routes |= routes(api)
        text = (
            json.dumps(config)
            .replace("URL", api.url)
            .replace("HOST", api.url.replace("127.0.0.1", "localhost"))
        )
        given = json.loads(text)
        run = run_tap(
            given.pop("base_url", api.url),
            *given.pop("streams"),
            **({"auth": {"type": "none"}} | given),
            **more,
        )
        asked = [
            (
                one.method,
                one.raw_path,
                one.body,
                sorted((k, v) for k, v in one.headers.items() if k != "Host"),
            )
            for one in api.asked
        ]
        out = re.sub(r'"(run|time_extracted)":"[^"]*"', "", run.stdout).replace(api.url, "")
        out = re.sub(r'"_singerkit_read_at":\{[^}]*\}', "", out)  # the source's clock
        out = re.sub(r"127\.0\.0\.1:\d+|localhost:\d+", "", out)
        # A state that says how the config was is no effect of it.
        out = re.sub(r'"source":\{[^}]*\}|"start_date":"[^"]*"|"of":"[^"]*"', "", out)
        return run.code, asked, out


STATE = {"bookmarks": {"s": {"replication_key_value": "2026-01-03T00:00:00Z"}}}
NAIVE = {"bookmarks": {"s": {"replication_key_value": "2026-01-03 00:00:00"}}}


def state_for(setting: str) -> Iterator[dict[str, Any]]:
    if setting.startswith("streams[].incremental") and "until_param" not in json.dumps(CASES[setting][0]):
        yield {"state": STATE}
    elif setting == "streams[].time_zone":
        yield {"state": NAIVE}
    elif setting == "streams[].parent.read":
        yield {
            "state": {
                "bookmarks": {
                    "users": {"replication_key_value": "2026-01-02T00:00:00Z"},
                    "x": {"replication_key_value": "2026-01-03T00:00:00Z", "_singerkit_driven_by": "users"},
                }
            }
        }
    else:
        yield {}


@pytest.mark.parametrize("setting", CASES)
def test_a_setting_changes_something(setting: str, run_tap: Any, tmp_path: Path) -> None:
    before, after = CASES[setting]
    more = next(state_for(setting))
    own = [{"schema_cache": str(tmp_path / name)} for name in ("before", "after")]
    first = observation(run_tap, copy.deepcopy(before) | own[0], **more)
    second = observation(run_tap, copy.deepcopy(after) | own[1], **more)
    again = observation(run_tap, copy.deepcopy(before) | {"schema_cache": str(tmp_path / "again")}, **more)
    assert first == again, "the same config gives the same run"
    assert first != second, f"{setting} has no effect"


@contextlib.contextmanager
def full_server() -> Iterator[int]:
    """A port whose queue of connections is full: nobody answers who knocks."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            knocking = stack.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def test_a_server_that_takes_no_connection(run_tap: Any) -> None:
    with full_server() as port:
        time.sleep(0.1)
        start = time.monotonic()
        retries = {"tries": 1}
        one = {"name": "s", "path": "/", "schema": {"properties": {"id": {}}}}
        run_tap(f"http://127.0.0.1:{port}", one, timeout={"connect": 0.5}, retries=retries).ended(69)
        assert time.monotonic() - start < 9  # ten seconds by default


def test_every_documented_setting_is_here() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    assert [name for name in SHOWN_ELSEWHERE.values() if f"def {name}(" not in sources] == []
    assert sorted(documented()) == sorted({*CASES, *SHOWN_ELSEWHERE})
