"""`tap-rest init --from-msdk`: a config of tap-rest-api-msdk, taken over; it reads the same rows, and what has no equivalent is said."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from canaries import canary
from taps.rest.api_server import Asked, Reply, json_reply, serving
from taps.rest.in_process import run_here
from taps.rest.test_preview import tap

from singerkit_shell.configtext import value_of, without_repeats
from singerkit_shell.errors import ConfigurationError
from tap_rest.msdk.translating import translated
from tap_rest.preview.checking import problems_of_draft

Json = dict[str, Any]
SECRET = canary("msdk")
ROWS = [{"id": n, "updated_at": f"2026-01-{n:02}T00:00:00Z"} for n in range(1, 13)]
DATA: Json = {"records_path": "$.data[*]"}


def taken(folder: Path, old: Json, stream: Json) -> tuple[Json, str]:
    """The new config, and its text."""
    file = folder / "old.json"
    whole = {
        "api_url": "https://api.shop.example/v1/",
        **old,
        "streams": [{"name": "rows", "path": "/rows", "primary_keys": ["id"], **stream}],
    }
    file.write_text(json.dumps(whole))
    text = translated(str(file), problems_of_draft)
    assert SECRET not in text
    config = value_of(text, "YAML", without_repeats)
    assert problems_of_draft(config) == []
    return config, text


def rows(asked: Asked) -> Reply:
    """Twelve rows, five a page, for whoever asks for more in one of the ways of the old tap."""
    limit = int(asked.param("limit") or asked.param("per_page") or 5)
    page = asked.param("page")
    at = (int(page) - 1) * limit if page else int(asked.param("offset") or asked.param("cur") or 0)
    since = asked.param("since") or ""
    found = [row for row in ROWS if str(row["updated_at"]) >= since]
    more = at + limit < len(found)
    following = at + limit if more else None
    url = f"/rows?offset={following}&plain={asked.param('plain') or ''}"
    body = {
        "data": found[at : at + limit],
        "meta": {"next": following},
        "pagination": {"offset": at, "limit": limit, "total": len(found)},
        "hasMore": more,
        "link": [{"relation": "self", "url": "/rows"}, *([{"relation": "next", "url": url}] if more else [])],
        "entry": [{"resource": row} for row in found[at : at + limit]],
    }
    headers = {"Link": f"<{url}>; rel=next", "X-Next-Page": str(at // limit + 2)} if more else {}
    return json_reply(body["data"] if asked.param("plain") else body, **headers)


PLAIN: Json = {"params": {"plain": "1"}}
OFFSETS: Json = {
    "pagination_request_style": "offset_paginator",
    "pagination_response_style": "offset",
    "pagination_page_size": 5,
}
FHIR: Json = {
    "pagination_response_style": "hateoas_body",
    "next_page_token_path": "$.link[?(@.relation=='next')].url",
}
STYLES: list[tuple[Json, Json, Json]] = [
    (
        {"next_page_token_path": "$.meta.next", "pagination_next_page_param": "cur"},
        DATA,
        {"type": "cursor", "cursor": "$.meta.next", "param": "cur"},
    ),
    (
        OFFSETS,
        DATA,
        {
            "type": "offset",
            "param": "offset",
            "total_count": "$.pagination.total",
            "size": 5,
            "size_param": "limit",
        },
    ),
    (
        {
            "pagination_request_style": "simple_offset_paginator",
            "pagination_response_style": "offset",
            "pagination_initial_offset": 0,
            "pagination_page_size": 5,
        },
        PLAIN,
        {"type": "offset", "param": "offset", "start": 0, "size": 5, "size_param": "limit"},
    ),
    (
        {"pagination_request_style": "page_number_paginator"},
        DATA,
        {"type": "page", "param": "page", "has_more": "$.hasMore"},
    ),
    (
        {
            "pagination_request_style": "restapi_header_link_paginator",
            "pagination_response_style": "header_link",
        },
        {"params": {"plain": "1", "per_page": 5}},
        {"type": "link_header", "size": 5, "size_param": "per_page"},
    ),
    (
        {"pagination_request_style": "simple_header_paginator"},
        PLAIN,
        {"type": "header_cursor", "header": "X-Next-Page", "param": "page"},
    ),
    (
        FHIR,
        {"records_path": "$.entry[*].resource"},
        {"type": "next_url", "next": FHIR["next_page_token_path"]},
    ),
    (
        FHIR | {"next_page_token_path": FHIR["next_page_token_path"] + ".`split(?, 1, 1)`"},
        DATA,
        {"type": "next_url", "next": FHIR["next_page_token_path"]},
    ),
]


@pytest.mark.parametrize(("old", "stream", "pagination"), STYLES)
def test_each_style_reads_the_same_rows(old: Json, stream: Json, pagination: Json, tmp_path: Path) -> None:
    config, _ = taken(tmp_path, old, stream)
    assert config["pagination"] == pagination
    size = [{"params": {"plain": "1", "limit": 5}}] if stream is PLAIN and "size" not in pagination else [{}]
    with serving({"/rows": rows}) as api:
        run = run_here(api, config["streams"][0] | size[0], cache=tmp_path, pagination=config["pagination"])
    assert [row["id"] for row in run.rows] == [row["id"] for row in ROWS]


def test_a_bookmark_is_asked_for_as_before(tmp_path: Path) -> None:
    search = {
        "source_search_field": "since",
        "source_search_query": "$last_run_date",
        "replication_key": "updated_at",
    }
    config, _ = taken(tmp_path, {"start_date": "2026-01-05T00:00:00Z"}, DATA | search)
    with serving({"/rows": rows}) as api:
        run = run_here(
            api,
            config["streams"][0]
            | {"pagination": {"type": "cursor", "cursor": "$.meta.next", "param": "offset"}},
            cache=tmp_path,
        )
    assert [row["id"] for row in run.rows] == list(range(5, 13))
    prefixed, _ = taken(
        tmp_path, FHIR, {"replication_key": "updated_at", "search_parameter": "since", "search_prefix": "ge"}
    )
    assert prefixed["streams"][0]["incremental"] == {"param": "since", "template": "ge{value}"}
    _, text = taken(tmp_path, {}, {"replication_key": "meta_lastUpdated"})
    assert "(`meta.lastUpdated`, perhaps)" in text
    assert "params: {sort: asc, order_by: meta_lastUpdated}" in text


def test_a_search_in_a_body(tmp_path: Path) -> None:
    query = '{"range": {"meta.at": {"gt": "$last_run_date"}}}'
    search = {
        "replication_key": "at",
        "source_search_field": "query",
        "source_search_query": query,
        "params": {"size": 100},
    }
    old = {
        "use_request_body_not_params": True,
        "start_date": "2026-01-01T00:00:00Z",
        "next_page_token_path": "$.hits[-1:].sort",
        "pagination_next_page_param": "search_after",
    }
    config, text = taken(tmp_path, old, search)
    stream = config["streams"][0]
    assert stream["method"] == "POST"
    assert stream["body"] == {"size": 100, "query": {"range": {"meta.at": {"gt": "{bookmark}"}}}}
    assert config["pagination"] == {
        "type": "cursor",
        "cursor": "$.hits[-1:].sort",
        "param": "search_after",
        "in": "body",
    }
    assert "rows with the very same time are missed" in text


OAUTH = {
    "auth_method": "oauth",
    "access_token_url": "https://x.example/token",
    "client_id": "me",
    "client_secret": SECRET,
}
OURS = {
    "type": "oauth2",
    "token_url": "https://x.example/token",
    "client_auth": "body",
    "client_id": "me",
    "client_secret": "${SHOP_CLIENT_SECRET}",
}
AUTHS: list[tuple[Json, Json]] = [
    (
        {"auth_method": "basic", "username": "ann", "password": SECRET},
        {"type": "basic", "username": "ann", "password": "${SHOP_PASSWORD}"},
    ),
    (
        {"auth_method": "bearer_token", "bearer_token": SECRET},
        {"type": "bearer", "token": "${SHOP_BEARER_TOKEN}"},
    ),
    (
        {"auth_method": "bearer_token", "bearer_token": "$MY_TOKEN"},
        {"type": "bearer", "token": "${MY_TOKEN}"},
    ),
    (
        {"auth_method": "api_key", "api_keys": {"X-A": SECRET}},
        {"type": "api_key", "in": "header", "name": "X-A", "api_key": "${SHOP_X_A}"},
    ),
    (
        {"headers": {"Authorization": f"Bearer {SECRET}"}},
        {"type": "bearer", "token": "${SHOP_AUTHORIZATION}"},
    ),
    (
        OAUTH
        | {
            "grant_type": "password",
            "username": "ann",
            "password": SECRET,
            "scope": "a b",
            "oauth_extras": {"resource": "r", "api_key": SECRET},
            "oauth_expiration_secs": 60,
        },
        OURS
        | {
            "grant": "password",
            "username": "ann",
            "password": "${SHOP_PASSWORD}",
            "scopes": ["a", "b"],
            "token_params": {"resource": "r", "api_key": "${SHOP_API_KEY}"},
            "lifetime": 60,
        },
    ),
    (
        OAUTH | {"grant_type": "refresh_token", "refresh_token": SECRET},
        OURS
        | {"grant": "refresh_token", "refresh_token": "${SHOP_REFRESH_TOKEN}", "token_file": "refresh.token"},
    ),
    (
        {
            "auth_method": "aws",
            "aws_credentials": {
                "aws_access_key_id": SECRET,
                "aws_secret_access_key": SECRET,
                "aws_region": "eu-west-1",
                "aws_service": "es",
            },
        },
        {
            "type": "aws_sigv4",
            "access_key_id": "${SHOP_AWS_ACCESS_KEY_ID}",
            "secret_access_key": "${SHOP_AWS_SECRET_ACCESS_KEY}",
            "region": "eu-west-1",
            "service": "es",
        },
    ),
]


@pytest.mark.parametrize(("old", "auth"), AUTHS)
def test_credentials_become_variables(old: Json, auth: Json, tmp_path: Path) -> None:
    config, text = taken(tmp_path, old, {})
    assert config["auth"] == auth
    assert set(re.findall(r"\$\{(\w+)\}", str(auth))) <= set(
        re.findall(r"\w+", text.partition("# Variables:")[2].partition("\n")[0])
    )


def test_other_secrets_too(tmp_path: Path) -> None:
    old = {
        "headers": {
            "X-Api-Key": SECRET,
            "X-Plain": "json",
            "Authorization": f"Basic {SECRET}",
            "X-Odd": "abcdef0123456789ghij",
        }
    }
    config, text = taken(
        tmp_path,
        old,
        {
            "params": {"access_token": SECRET, "kind": "a"},
            "path": f"/rows?sig=1&token={SECRET}",
            "headers": {"X-Own": "b"},
        },
    )
    assert config["headers"] == {
        "X-Api-Key": "${SHOP_X_API_KEY}",
        "X-Plain": "json",
        "Authorization": "Basic ${SHOP_AUTHORIZATION}",
        "X-Odd": "${SHOP_X_ODD}",
    }
    assert config["streams"][0]["params"] == {
        "access_token": "${SHOP_ACCESS_TOKEN}",
        "kind": "a",
        "sig": "${SHOP_SIG}",
        "token": "${SHOP_TOKEN}",
    }
    assert config["streams"][0]["headers"] == {"X-Own": "b"}
    assert "abcdef0123456789ghij" not in text


def test_what_stands_in_a_url(tmp_path: Path) -> None:
    config, text = taken(
        tmp_path,
        {"api_url": f"https://ann:{SECRET}@api.shop.example/v1?api_key={SECRET}&sort_key=at&a=b"},
        {},
    )
    assert config["base_url"] == "https://api.shop.example/v1"
    assert config["auth"] == {"type": "basic", "username": "ann", "password": "${SHOP_PASSWORD}"}
    assert config["params"] == {"api_key": "${SHOP_API_KEY}", "sort_key": "at", "a": "b"}
    assert "SHOP_PASSWORD (api_url.password)" in text
    alone, _ = taken(tmp_path, {"auth_method": "basic", "username": SECRET}, {})
    assert alone["auth"] == {"type": "basic", "username": "${SHOP_USERNAME}", "password": ""}


def test_what_has_no_equivalent_is_said(tmp_path: Path) -> None:
    old = {
        "except_keys": ["a"],
        "store_raw_json_message": True,
        "backoff_type": "header",
        "num_inference_records": 50,
        "odd_setting": 1,
        "flatten_records": False,
    }
    stream = {
        "schema": {"properties": {}},
        "pagination_results_limit": 5,
        "start_date": "2022-06-10:23:10:10+1200",
        "other": 1,
        "primary_keys": [],
    }
    search = {"replication_key": "at", "source_search_field": "q", "source_search_query": "$last_run_date"}
    config, text = taken(tmp_path, old, {**stream, "schema": {"type": "object"}, **search})
    for said in (
        "except_keys",
        "store_raw_json_message",
        "backoff_type",
        "num_inference_records",
        "odd_setting",
        "schema",
        "pagination_results_limit",
        "other",
    ):
        assert f"`{said}`" in text, said
    assert "flatten_records" not in text
    assert "is no time of RFC 3339" in text
    assert "It has no primary_keys" in text
    assert "start_date" not in config["streams"][0]


def test_of_a_meltano_project(tmp_path: Path) -> None:
    config = {"api_url": "$SHOP_URL", "streams": [{"name": "rows"}]}
    project = {
        "plugins": {"extractors": [{"name": "tap-github"}, {"name": "tap-rest-api-msdk", "config": config}]}
    }
    (tmp_path / "meltano.yml").write_text(yaml.safe_dump(project))
    code, out, err = tap("init", "--from-msdk", str(tmp_path / "meltano.yml"))
    assert (code, err) == (0, "")
    assert "base_url: ${SHOP_URL}\n" in out


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "{",
        '{"api_url": "x", "streams": []}',
        '{"plugins": {"extractors": [{"name": "tap-rest-api-msdk"}]}}',
    ],
)
def test_what_is_no_such_config_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(str(tmp_path / "old.json"))):
        translated(str(tmp_path / "old.json"), problems_of_draft)
