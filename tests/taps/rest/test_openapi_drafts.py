"""`tap-rest init --openapi`: what is drafted from a document is a config that runs, and what the document does not say stands in comments."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, page_of, serving
from taps.rest.in_process import run_here
from taps.rest.test_preview import tap

from singerkit_shell.configtext import value_of, without_repeats
from singerkit_shell.errors import ConfigurationError
from tap_rest.openapi.document import Document
from tap_rest.openapi.drafting import draft
from tap_rest.preview.checking import problems_of_draft
from tap_rest.preview.yamltext import literal, yaml_of

Json = dict[str, Any]


def listed(row: Json, *parameters: Any, around: Json | None = None, **operation: Any) -> Json:
    """An operation that answers with rows."""
    rows = {"type": "array", "items": {"type": "object", "properties": row}}
    schema = rows if around is None else {"type": "object", "properties": {"data": rows, **around}}
    answer = {"description": "rows", "content": {"application/json": {"schema": schema}}}
    return {"get": {"parameters": list(parameters), "responses": {"200": answer}, **operation}}


def query(name: str, **schema: Any) -> Json:
    return {
        "name": name,
        "in": "query",
        "required": schema.pop("required", False),
        "schema": {"type": "string"} | schema,
    }


ID: Json = {"id": {"type": "integer"}}
CHANGED: Json = ID | {"updated_at": {"type": "string", "format": "date-time"}}
TEXT, FLAG = {"type": "string"}, {"type": "boolean"}


def document(paths: Json, **more: Any) -> Document:
    root = {
        "openapi": "3.1.0",
        "info": {"title": "Shop", "version": "1"},
        "servers": [{"url": "https://api.shop.example/v1"}],
        "paths": paths,
    }
    return Document("api.yaml", root | more)


def drafted(of: Document, *paths: str) -> tuple[Json, str]:
    """The config and its text."""
    text = draft(of, problems_of_draft, paths)
    config = value_of(text, "YAML", without_repeats)
    assert problems_of_draft(config) == []
    return config, text


def stream_of(operation: Json) -> Json:
    config, _ = drafted(document({"/rows": operation}))
    [stream] = config["streams"]
    return {**stream, "pagination": config.get("pagination")}


PAGES = [
    (
        (query("page", type="integer"), query("per_page", maximum=250)),
        None,
        {"type": "page", "param": "page", "size": 250, "size_param": "per_page"},
    ),
    ((query("page[number]", default=0),), None, {"type": "page", "param": "page[number]", "start": 0}),
    (
        (query("offset"), query("limit", default=20)),
        None,
        {"type": "offset", "param": "offset", "size": 20, "size_param": "limit"},
    ),
    (
        (query("offset"), query("limit", description="At most, max 5000")),
        None,
        {"type": "offset", "param": "offset", "size": 1000, "size_param": "limit"},
    ),
    (
        (query("cursor"),),
        {"meta": {"properties": {"next_cursor": TEXT}}},
        {"type": "cursor", "cursor": "$.meta.next_cursor", "param": "cursor"},
    ),
    (
        (query("pageToken"), query("page")),
        {"nextPageToken": TEXT},
        {"type": "cursor", "cursor": "$.nextPageToken", "param": "pageToken"},
    ),
    (
        (query("starting_after"),),
        {"has_more": FLAG},
        {"type": "keyset", "field": "id", "param": "starting_after", "has_more": "$.has_more"},
    ),
    (
        (query("page"),),
        {"links": {"properties": {"next": TEXT | {"format": "uri"}}}},
        {"type": "next_url", "next": "$.links.next"},
    ),
    ((), {"@odata.nextLink": TEXT}, {"type": "next_url", "next": "$['@odata.nextLink']"}),
    ((), None, None),
    ((query("offset"),), None, None),
]


@pytest.mark.parametrize(("parameters", "around", "pagination"), PAGES)
def test_pagination_is_what_parameters_and_answer_show(parameters: Any, around: Any, pagination: Any) -> None:
    assert stream_of(listed(ID, *parameters, around=around))["pagination"] == pagination


def test_a_documented_link_header() -> None:
    operation = listed(ID, query("page"))
    operation["get"]["responses"]["200"]["headers"] = {"Link": {}}
    assert stream_of(operation)["pagination"] == {"type": "link_header"}


FILTERS = [
    (query("since", format="date-time"), {"param": "since", "format": "iso"}),
    (query("updatedAfter", type="integer"), {"param": "updatedAfter", "format": "epoch"}),
    (
        query("modified_from", type="integer", description="in milliseconds"),
        {"param": "modified_from", "format": "epoch_ms"},
    ),
    (query("updated_at[gte]"), {"param": "updated_at[gte]"}),
    (
        query("updated_at", anyOf=[{"properties": {"gte": {"type": "integer"}}}]),
        {"param": "updated_at[gte]", "format": "epoch"},
    ),
    (query("updated_at_min", format="date"), {"param": "updated_at_min", "format": "%Y-%m-%d"}),
    (query("created_after"), None),
    (query("updated_at"), None),
]


@pytest.mark.parametrize(("parameter", "incremental"), FILTERS)
def test_the_parameter_that_asks_for_what_is_new(parameter: Json, incremental: Any) -> None:
    stream = stream_of(listed(CHANGED, parameter))
    assert stream.get("incremental") == incremental
    assert stream.get("replication_key") == (incremental and "updated_at")


CLIENT = {"client_id": "${SHOP_CLIENT_ID}", "client_secret": "${SHOP_CLIENT_SECRET}"}
URL = "https://login.example/token"
SCHEMES: list[tuple[Json, Json]] = [
    ({"type": "http", "scheme": "Bearer"}, {"type": "bearer", "token": "${SHOP_TOKEN}"}),
    (
        {"type": "http", "scheme": "digest"},
        {"type": "digest", "username": "${SHOP_USER}", "password": "${SHOP_PASSWORD}"},
    ),
    (
        {"type": "apiKey", "in": "query", "name": "key"},
        {"type": "api_key", "in": "query", "name": "key", "api_key": "${SHOP_KEY}"},
    ),
    (
        {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": URL}}},
        {"type": "oauth2", "grant": "client_credentials", "token_url": URL, **CLIENT, "scopes": ["read"]},
    ),
    (
        {"type": "oauth2", "flows": {"authorizationCode": {"tokenUrl": URL}}},
        {
            "type": "oauth2",
            "grant": "refresh_token",
            "token_url": URL,
            **CLIENT,
            "refresh_token": "${SHOP_REFRESH_TOKEN}",
            "token_file": "shop.token",
        },
    ),
    ({"type": "oauth2", "flows": {"implicit": {}}}, {"type": "bearer", "token": "${SHOP_TOKEN}"}),
]


@pytest.mark.parametrize(("scheme", "auth"), SCHEMES)
def test_credentials_become_variables(scheme: Json, auth: Json) -> None:
    config, text = drafted(
        document(
            {"/rows": listed(ID)}, security=[{"a": ["read"]}], components={"securitySchemes": {"a": scheme}}
        )
    )
    assert config["auth"] == auth
    assert "# Variables: SHOP_" in text


def test_two_keys_at_once_and_another_way() -> None:
    schemes = {
        "a": {"type": "apiKey", "in": "header", "name": "X-A"},
        "b": {"type": "apiKey", "in": "header", "name": "X-B"},
        "c": {"type": "http", "scheme": "basic"},
    }
    config, text = drafted(
        document(
            {"/rows": listed(ID)},
            security=[{"a": [], "b": []}, {"c": []}],
            components={"securitySchemes": schemes},
        )
    )
    assert config["headers"] == {"X-B": "${SHOP_B}"}
    assert "# The document takes c in its place, too." in text


def test_a_draft_runs_as_it_is(tmp_path: Path) -> None:
    """Streams below others, pages and a filter, against a server that is as the document says."""
    rows = [{"id": n, "updated_at": f"2026-01-0{n}T00:00:00Z"} for n in range(1, 6)]
    lines = {"/users/2/orders/7/lines": [{"no": 1}, {"no": 2}]}

    def users(asked: Asked) -> Reply:
        assert asked.headers["Authorization"] == "Bearer a-token"
        return json_reply(
            {
                "data": page_of(
                    [row for row in rows if row["updated_at"] >= (asked.param("since") or "")], asked, 2
                )
            }
        )

    page, size = query("page", type="integer"), query("limit", type="integer", default=2)
    of = document(
        {
            "/users": listed(
                CHANGED, page, size, query("since", format="date-time"), around={"total": {"type": "integer"}}
            ),
            "/users/{user_id}/orders": listed(
                {"order_id": TEXT}, query("state", required=True, enum=["any", "open"])
            ),
            "/users/{user_id}/orders/{order}/lines": listed({"no": {"type": "integer"}}),
            "/search": listed(ID, query("q", required=True)),
            "/shops/{shop}/stock": listed(ID),
            "/users/{user_id}": {
                "get": {
                    "responses": {
                        "200": {
                            "content": {
                                "application/json": {
                                    "schema": {"properties": {**ID, "tags": {"items": {"properties": ID}}}}
                                }
                            }
                        }
                    }
                }
            },
            "/old": listed(ID, deprecated=True),
        },
        components={"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    )
    (tmp_path / "api.yaml").write_text(json.dumps(of.root))
    config, text = drafted(Document(str(tmp_path / "api.yaml"), of.root))
    assert [one["name"] for one in config["streams"]] == ["users", "orders", "lines"]
    assert "# - /search: it needs `q`" in text
    assert "# - /shops/{shop}/stock: nothing says which `shop` there are" in text
    below = {
        f"/users/{n}/orders": lambda asked, n=n: json_reply(
            [{"order_id": "7"}] if n == 2 and asked.param("state") == "any" else []
        )
        for n in range(1, 6)
    }
    with serving(
        {
            "/users": users,
            **below,
            **{path: lambda _, found=found: json_reply(found) for path, found in lines.items()},
        }
    ) as api:
        settings = {key: value for key, value in config.items() if key not in ("base_url", "streams")}
        settings["auth"]["token"] = "a-token"
        run = run_here(api, *config["streams"], cache=tmp_path, **settings)
    by_stream: Json = {}
    for message in run.all:
        if message["type"] == "RECORD":
            by_stream.setdefault(message["stream"], []).append(message["record"])
    assert by_stream["users"] == rows
    assert by_stream["orders"] == [{"order_id": "7", "users_id": 2}]
    assert by_stream["lines"] == [{"no": n, "orders_users_id": 2, "orders_order_id": "7"} for n in (1, 2)]


def test_a_path_that_is_asked_for_has_variables_for_what_nobody_tells() -> None:
    paths = {
        "/repos/{owner}/{repo}/issues": listed(
            {"number": {"type": "integer"}, **ID}, query("q", required=True)
        ),
        "/repos/{owner}/{repo}/issues/{issue_number}/notes": listed(ID),
        "/x": listed(ID),
    }
    config, text = drafted(document(paths), "/repos/*")
    issues, notes = config["streams"]
    assert issues["path"] == "/repos/${SHOP_OWNER}/${SHOP_REPO}/issues"
    assert issues["params"] == {"q": "${SHOP_Q}"}
    assert notes["path"] == "/repos/${SHOP_OWNER}/${SHOP_REPO}/issues/{parent.number}/notes"
    assert notes["primary_keys"] == ["issues_number", "id"]
    assert "# Variables: SHOP_OWNER, SHOP_REPO, SHOP_Q (" in text


def test_rows_whose_fields_nobody_names_are_drafted_without_a_schema() -> None:
    """As of Kinto, whose records are whatever somebody has stored."""
    config, text = drafted(document({"/rows": listed({}, query("_since", type="integer"))}))
    assert config["streams"] == [{"name": "rows", "path": "/rows", "records": "$[*]"}]
    assert "The document names no fields of its rows" in text
    assert "`_since` may ask for what has changed since" in text


def test_where_the_api_is() -> None:
    def url(**root: Any) -> str:
        return str(drafted(document({"/rows": listed(ID)}, **root))[0]["base_url"])

    assert (
        url(
            servers=[
                {
                    "url": "https://{region}.shop.example/{v}",
                    "variables": {"region": {"default": "eu"}, "v": {}},
                }
            ]
        )
        == "https://eu.shop.example/${SHOP_V}"
    )
    assert url(servers=[{"url": "/v2/"}]) == "https://${SHOP_HOST}/v2"
    assert url(servers=[{"url": "http://127.0.0.1:1/"}]) == "http://127.0.0.1:1"
    rows = {
        "/rows": {"get": {"responses": {"200": {"schema": {"type": "array", "items": {"properties": ID}}}}}}
    }
    swagger = Document(
        "x", {"swagger": "2.0", "host": "a.example", "basePath": "/v1/", "schemes": ["http"], "paths": rows}
    )
    assert drafted(swagger)[0]["base_url"] == "http://a.example/v1"


def test_a_document_without_lists_is_refused() -> None:
    with pytest.raises(
        ConfigurationError,
        match="no operation by GET and no search by POST that answers with a list of objects",
    ):
        draft(document({"/x": {"post": {}}}), problems_of_draft)
    with pytest.raises(ConfigurationError, match="at a `--path` like these"):
        draft(document({"/rows": listed(ID)}), problems_of_draft, ["/other"])


def test_no_variable_of_this_machine_goes_into_a_request_because_a_document_names_it() -> None:
    odd = "${HOME}"
    row = {f"id{odd}": TEXT, "id": TEXT, f"updated_at{odd}": {"type": "string", "format": "date-time"}}
    pages = [
        query(f"updated_since{odd}"),
        query("limit", default=5),
        query("offset", required=True, example=odd),
    ]
    around = {f"next_cursor{odd}": TEXT, f"meta{odd}": {"properties": {"next_page_token": TEXT}}}
    scheme = {"type": "apiKey", "in": "header", "name": f"X{odd}"}
    paths = {"/others": listed(row, *pages, query("page_token"), around=around), "/rows": listed(row, *pages)}
    rows = {"type": "array", "items": {"type": "object", "properties": ID}}
    answer = {"content": {"application/json": {"schema": {"properties": {f"rows{odd}": rows}}}}}
    paths["/inside"] = {"get": {"responses": {"200": answer}}}
    for root in (
        {
            "servers": [{"url": f"https://a.example/{odd}"}],
            "security": [{"a": [odd]}],
            "components": {"securitySchemes": {"a": scheme}},
        },
        {"servers": [{"url": "https://{x}/y", "variables": {"x": {"default": odd}}}]},
    ):
        _, text = drafted(document(paths, **root), "*")
        assert not re.findall(r"(?<!\$)\$\{HOME\}", re.sub(r"#.*", "", text))
    rows = {
        "/rows": {"get": {"responses": {"200": {"schema": {"type": "array", "items": {"properties": ID}}}}}}
    }
    swagger = Document(
        "x", {"swagger": "2.0", "host": f"a.example{odd}", "basePath": f"/{odd}", "paths": rows}
    )
    assert drafted(swagger)[0]["base_url"] == f"https://a.example${odd}/${odd}"


def test_texts_of_others_are_texts() -> None:
    """Whatever a document holds comes back as it is, and no comment, key or variable is made of it."""
    odd = [
        "a: b",
        "- x",
        "#x",
        "on",
        "1.10",
        "{a}",
        "x\ny",
        "é",
        '"',
        "it's",
        "${HOME}",
        "a #b",
        "",
        " ",
        "*x",
        "&y",
        "!t",
        "null",
        "@a",
        "`b`",
        "%c",
        "a,b",
        "a]",
        "x: ",
    ]
    config = {
        "base_url": literal("${X}"),
        "streams": [{"name": "a", "path": text, "in": {text: [text]}} for text in map(literal, odd)],
    }
    text = yaml_of(config, ["one\nstreams: two\u2028three"], {"a": ["b\n  c: d"]})
    assert value_of(text, "YAML", without_repeats) == config
    assert all(re.match(r" *(#|- |\w+:)", line) for line in text.splitlines())


def test_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "api.json").write_text(json.dumps(document({"/rows": listed(ID)}).root))
    code, out, err = tap("init", "--openapi", str(tmp_path / "api.json"))
    assert (code, err) == (0, "")
    assert "  - name: rows\n    path: /rows\n" in out
    code, out, err = tap("init", "github", "--path", "/x")
    assert (code, out) == (64, "")
    assert "goes with `--openapi FILE`" in err


# Searches by POST


def searched(row: Json, body: Json, around: Json | None = None, **more: Any) -> Json:
    """An operation by POST that answers with rows."""
    operation = listed(row, around=around)["get"]
    content = {"application/json": {"schema": {"type": "object", **body}}}
    return {"post": operation | {"requestBody": {"content": content}} | more}


SEARCHES: list[tuple[Json, Json | None, Json]] = [
    (
        {"properties": {"cursor": TEXT, "limit": {"type": "integer", "maximum": 50}, "updated_since": TEXT}},
        {"next_cursor": TEXT},
        {
            "incremental": {"param": "updated_since", "in": "body"},
            "pagination": {
                "type": "cursor",
                "cursor": "$.next_cursor",
                "param": "cursor",
                "size": 50,
                "size_param": "limit",
                "in": "body",
            },
        },
    ),
    (
        {
            "required": ["kind"],
            "properties": {
                "kind": {"enum": ["all", "new"]},
                "paging": {"properties": {"offset": {"type": "integer"}, "limit": {"type": "integer"}}},
                "updated_at": {"properties": {"gte": {"type": "string", "format": "date-time"}}},
            },
        },
        None,
        {
            "body": {"kind": "all"},
            "incremental": {"param": "updated_at.gte", "format": "iso", "in": "body"},
            "pagination": {
                "type": "offset",
                "param": "paging.offset",
                "size": 100,
                "size_param": "paging.limit",
                "in": "body",
            },
        },
    ),
    ({"properties": {}}, {"next_url": TEXT}, {"pagination": {"type": "next_url", "next": "$.next_url"}}),
]


@pytest.mark.parametrize(("body", "around", "said"), SEARCHES)
def test_searches_by_post_are_drafted(body: Json, around: Json | None, said: Json) -> None:
    config, text = drafted(document({"/orders/search": searched(CHANGED, body, around)}))
    [stream] = config["streams"]
    whole = {**stream, "pagination": config.get("pagination")}
    assert (stream["name"], stream["method"]) == ("orders", "POST")
    assert "see that it only reads" in text
    assert {key: whole.get(key) for key in said} == said


def test_a_post_that_creates_is_not_drafted_nor_one_beside_a_get_nor_one_that_lacks_something() -> None:
    needs = {"required": ["q"], "properties": {"q": TEXT}}
    paths = {
        "/orders": listed(ID),
        "/orders/search": searched(ID, {}),
        "/items": searched(ID, {}, operationId="createItems"),
        "/notes": searched(ID, {}, operationId="findNotes"),
        "/texts/query": searched(ID, needs),
    }
    config, text = drafted(document(paths))
    assert [(one["path"], one.get("method")) for one in config["streams"]] == [
        ("/notes", "POST"),
        ("/orders", None),
    ]
    assert "/texts/query: it needs `q` in its body" in text


def test_a_search_that_is_drafted_reads_what_is_there(tmp_path: Path) -> None:
    rows = [{"id": n, "updated_at": f"2026-01-{n:02}T00:00:00Z"} for n in range(1, 8)]

    def search(asked: Asked) -> Reply:
        body = json.loads(asked.body)
        since, begin = body.get("updated_since", ""), int(body.get("cursor") or 0)
        found = [row for row in rows if row["updated_at"] >= since]
        following = str(begin + 3) if len(found) > begin + 3 else None
        return json_reply({"data": found[begin : begin + 3], "next_cursor": following})

    config, _ = drafted(document({"/orders/search": searched(CHANGED, *SEARCHES[0][:2])}))
    with serving({"/orders/search": search}) as api:
        del config["streams"][0]["schema"]
        run = run_here(api, *config["streams"], cache=tmp_path, pagination=config["pagination"])
    assert [row["id"] for row in run.rows] == [*range(1, 8)]
