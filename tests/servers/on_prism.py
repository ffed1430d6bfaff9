"""``make test-servers``: against Prism, which serves an OpenAPI document and refuses each request that does not fit it.

What `tap-rest init --openapi` drafts of a document is asked of a server that knows no more than that document: method, path, parameters,
body and credentials have to be what it says (422, 401). Its answers are the examples of the document, always the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from npm import packages
from processes import Pipeline, free_port, running

from singerkit_shell.configtext import value_of, without_repeats

PRISM = "@stoplight/prism-cli@5.14.2"
Json = dict[str, Any]
ORDER: Json = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "total": {"type": "number"},
        "updated_at": {"type": "string", "format": "date-time"},
    },
}
ROWS: list[Json] = [{"id": n, "total": n + 0.25, "updated_at": f"2026-01-0{n}T00:00:00Z"} for n in (1, 2, 3)]


def query(name: str, **schema: Any) -> Json:
    return {"name": name, "in": "query", "required": "enum" in schema, "schema": schema}


def answer(example: Any, **around: Any) -> Json:
    rows: Json = {"type": "array", "items": ORDER}
    schema = {"type": "object", "properties": {"data": rows, **around}} if around else rows
    return {
        "200": {
            "description": "rows",
            "content": {"application/json": {"schema": schema, "example": example}},
        }
    }


def document(url: str) -> Json:
    """Lists by GET, one of them below another, and a search by POST, whose body takes no member that it does not name."""
    token = {"type": ["string", "null"]}
    body: Json = {
        "type": "object",
        "additionalProperties": False,
        "required": ["kind"],
        "properties": {
            "kind": {"type": "string", "enum": ["order", "offer"]},
            "cursor": {"type": "string", "minLength": 1},
            "limit": {"type": "integer", "minimum": 1, "maximum": 50},
            "updated_since": {"type": "string", "format": "date-time"},
        },
    }
    number = {"name": "orderId", "in": "path", "required": True, "schema": {"type": "integer"}}
    pages = query("limit", type="integer", maximum=20), query("cursor", type="string", minLength=1)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Shop", "version": "1"},
        "servers": [{"url": url}],
        "security": [{"key": []}],
        "paths": {
            "/orders": {
                "get": {
                    "parameters": [*pages, query("view", type="string", enum=["full", "short"])],
                    "responses": answer({"data": ROWS, "next_cursor": None}, next_cursor=token),
                }
            },
            "/orders/{orderId}/lines": {"parameters": [number], "get": {"responses": answer(ROWS[:2])}},
            "/offers/search": {
                "post": {
                    "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
                    "responses": answer({"data": ROWS, "next_cursor": None}, next_cursor=token),
                }
            },
        },
        "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}},
    }


@pytest.fixture
def drafted(tmp_path: Path) -> Iterator[Json]:
    """The config that is drafted from the document which Prism serves."""
    program = packages(PRISM) / "node_modules/.bin/prism"
    url = f"http://127.0.0.1:{(port := free_port())}"
    file = tmp_path / "api.json"
    file.write_text(json.dumps(document(url)))
    serve = [program, "mock", "--host", "127.0.0.1", "--port", str(port), "--errors", file]
    with running(serve, url, tmp_path / "log"):
        tap = Path(sys.executable).parent / "tap-rest"
        made = subprocess.run([tap, "init", "--openapi", file], capture_output=True, text=True, check=True)
        os.environ["SHOP_KEY"] = "letme1n-please"
        config = value_of(made.stdout, "YAML", without_repeats)
        yield config
        del os.environ["SHOP_KEY"]


def test_what_is_drafted_is_what_the_document_lets_ask(drafted: Json, database: str, tmp_path: Path) -> None:
    assert {one["name"]: one.get("method", "GET") for one in drafted["streams"]} == {
        "orders": "GET",
        "lines": "GET",
        "offers": "POST",
    }
    pipeline = Pipeline(drafted, database, tmp_path)
    pipeline.run()
    found = [(row["id"], float(row["total"])) for row in pipeline.rows("offers")]
    assert sorted(found) == [(row["id"], row["total"]) for row in ROWS]
    assert len(pipeline.rows("orders")) == 3
    assert sorted((row["orders_id"], row["id"]) for row in pipeline.rows("lines")) == [
        (above, n) for above in (1, 2, 3) for n in (1, 2)
    ]
    pipeline.run()  # with the bookmarks, which have to fit the document, too
    assert len(pipeline.rows("offers")) == 3


def test_what_does_not_fit_the_document_is_told(drafted: Json, database: str, tmp_path: Path) -> None:
    """So that the test above can fail: Prism refuses a member that the document does not name."""
    [offers] = [one for one in drafted["streams"] if one["name"] == "offers"]
    offers["body"] = {**offers["body"], "colour": "red"}
    with pytest.raises(AssertionError, match="answered 422"):
        Pipeline(drafted, database, tmp_path).run()
