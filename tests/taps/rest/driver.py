"""What the conformance suite must know of tap-rest."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from singerkit_check.suite.drivers import OurTap
from singerkit_check.suite.http_source import HttpSource
from singerkit_check.suite.known import KNOWN
from singerkit_check.suite.source_server import TOKEN, serve
from singerkit_check.suite.sources import Source

__all__ = ["DRIVER", "ORDER_SCHEMA", "TapRest"]

ORDER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "definitions": {"address": KNOWN["orders"].properties["address"]},
    "properties": {**KNOWN["orders"].properties, "address": {"$ref": "#/definitions/address"}},
}


class TapRest(OurTap):
    """tap-rest against `source_server`: a declared schema with a $ref, inferred ones, a parent and its child."""

    waivers: ClassVar[Mapping[str, str]] = {
        "C11": "the streams of a REST API are no database tables: there is no SQL type, view or row count",
    }

    @contextmanager
    def source(self) -> Iterator[Source]:
        with serve() as server, tempfile.TemporaryDirectory(prefix="conformance-") as cache:
            yield HttpSource(
                server,
                {
                    "base_url": server.url,
                    "auth": {"type": "bearer", "token": TOKEN},
                    # By number, also where it could go on by the key: tests hold a page by its number.
                    "pagination": {
                        "type": "cursor",
                        "param": "page",
                        "cursor": "$.next_page",
                        "continue_by": "number",
                    },
                    "retries": {"tries": 4, "first_wait": 0.2, "longest_wait": 5, "total": 20},
                    "schema_cache": cache,
                    "streams": [
                        {
                            "name": "orders",
                            "path": "/orders",
                            "primary_keys": ["id"],
                            "replication_key": "updated_at",
                            "is_sorted": True,
                            "incremental": {"param": "since"},
                            "schema": ORDER_SCHEMA,
                        },
                        {
                            "name": "events",
                            "path": "/events",
                            "primary_keys": ["id"],
                            "replication_key": "updated_at",
                            "incremental": {"param": "since"},
                        },
                        {"name": "countries", "path": "/countries", "primary_keys": ["code"]},
                        {"name": "shops", "path": "/shops", "primary_keys": ["id"]},
                        {
                            "name": "items",
                            "path": "/shops/{parent.id}/items",
                            "primary_keys": ["shop_id", "sku"],
                            "parent": {"stream": "shops", "copy": {"shop_id": "id"}},
                        },
                    ],
                },
            )

    def unreachable(self, config: dict[str, Any]) -> dict[str, Any]:
        retries = {"tries": 2, "first_wait": 0.1, "longest_wait": 1, "total": 5}
        return config | {"base_url": "http://127.0.0.1:9", "retries": retries}

    def with_user_agent(self, config: dict[str, Any], user_agent: str) -> dict[str, Any]:
        return config | {"user_agent": user_agent}

    def not_selected_by_default(self, config: dict[str, Any], stream: str) -> dict[str, Any]:
        streams = [one | {"selected": False} if one["name"] == stream else one for one in config["streams"]]
        return config | {"streams": streams}


DRIVER = TapRest
