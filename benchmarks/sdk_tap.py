"""The tap that ``make bench`` compares with: a singer-sdk RESTStream as its template and docs write it.

Runs in an environment of its own; its config is ``{"base_url": ..., "children": false}``: with children each order is asked for once more,
by its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.pagination import BaseAPIPaginator, JSONPathPaginator


class Orders(RESTStream[int]):
    name = "orders"
    path = "/orders"
    primary_keys = ("id",)
    replication_key = "updated_at"
    is_sorted = True
    records_jsonpath = "$.data[*]"
    schema = th.PropertiesList(
        th.Property("id", th.IntegerType, required=True),
        th.Property("order_no", th.StringType),
        th.Property("customer", th.StringType),
        th.Property("note", th.StringType),
        th.Property("quantity", th.IntegerType),
        th.Property("coupon_id", th.IntegerType),
        th.Property("price", th.NumberType),
        th.Property("total", th.NumberType),
        th.Property("paid", th.BooleanType),
        th.Property("gift", th.BooleanType),
        th.Property("created_at", th.DateTimeType),
        th.Property("updated_at", th.DateTimeType),
    ).to_dict()

    @property
    def url_base(self) -> str:
        return str(self.config["base_url"])

    def get_new_paginator(self) -> BaseAPIPaginator[Any]:
        return JSONPathPaginator("$.meta.next")

    def get_url_params(self, context: Mapping[str, Any] | None, next_page_token: Any) -> dict[str, Any]:
        params: dict[str, Any] = {"page": next_page_token or 1, "per_page": 1000}
        since = self.get_starting_replication_key_value(context)
        if since:
            params["since"] = since
        return params

    def get_child_context(self, record: dict[str, Any], context: Mapping[str, Any] | None) -> dict[str, Any]:  # noqa: ARG002  so the SDK calls it
        return {"order": record["id"]}


class Details(RESTStream[int]):
    name = "details"
    path = "/orders/{order}"
    primary_keys = ("id",)
    records_jsonpath = "$.data[*]"
    parent_stream_type = Orders
    state_partitioning_keys = ()
    schema = Orders.schema

    @property
    def url_base(self) -> str:
        return str(self.config["base_url"])


class TapOrders(Tap):
    name = "tap-orders"
    config_jsonschema = th.PropertiesList(
        th.Property("base_url", th.StringType, required=True),
        th.Property("children", th.BooleanType, default=False),
    ).to_dict()

    def discover_streams(self) -> list[RESTStream[int]]:
        return [Orders(self), *([Details(self)] if self.config["children"] else [])]


if __name__ == "__main__":
    TapOrders.cli()
