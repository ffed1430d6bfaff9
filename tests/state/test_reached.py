"""Of which streams a state says that rows were read, whatever tap has written it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from singerkit_state.reached import reached, reaches

AIRBYTE = {"stream_descriptor": {"name": "orders", "namespace": "public"}, "stream_state": {"cursor": "2020"}}


@pytest.mark.parametrize(
    ("bookmark", "says"),
    [
        ({"replication_key": "at", "replication_key_value": "2024"}, True),
        ({"partitions": [{"context": {"id": 1}, "replication_key_value": 1}]}, True),
        (7, True),
        ({}, False),
        (None, False),
        ({"replication_key": "at", "replication_key_value": None}, False),
        ({"partitions": [{"context": {"id": 1}}]}, False),
        ({"version": 17, "initial_full_table_complete": True}, False),
        ({"last_replication_method": "FULL_TABLE", "version": 17, "xmin": None}, False),
        ({"last_replication_method": "FULL_TABLE", "initial_full_table_complete": True}, False),
        ({"last_replication_method": "FULL_TABLE", "replication_key_value": 7}, False),
        ({"replication_method": "FULL_TABLE", "max_pk_values": {"id": 9}}, False),
        ({"last_replication_method": "FULL_TABLE", "version": 17, "xmin": 4711}, True),
        ({"replication_method": "FULL_TABLE", "last_pk_fetched": {"id": 5}}, True),
        ({"last_pk_fetched": {"id": 5}, "max_pk_values": {"id": 9}, "version": 17}, True),
        ({"last_replication_method": "LOG_BASED", "version": 17}, False),
        ({"last_replication_method": "LOG_BASED", "lsn": 23}, True),
        ({"last_replication_method": "INCREMENTAL", "replication_key_value": 7}, True),
        ({"_singerkit_read": {"source": {"where": "here"}, "fields": {"id": "integer"}}}, False),
        ({"_singerkit_continuation": {"whole": {"token": "a"}}}, True),
        ({"_singerkit_continuation": {}}, False),
    ],
)
def test_what_says_that_rows_were_read(bookmark, says):
    assert reaches(bookmark) == says


@pytest.mark.parametrize(
    ("state", "orders"),
    [
        (None, False),
        ([1], False),
        ({}, False),
        ({"bookmarks": {}, "currently_syncing": "orders"}, False),
        ({"bookmarks": {}, "_singerkit": {"run": "r"}}, False),
        ({"bookmarks": {"orders": {"at": 1}}}, True),
        ({"bookmarks": {"orders": {"version": 1}}}, False),
        ({"bookmarks": {"lines": {"orders": 1}}}, False),
        ({"bookmarks": {"shop-orders": {"at": 1}}}, None),
        ({"bookmarks": {"shop.orders": {"at": 1}}}, None),
        ({"bookmarks": {"shop-orders": {"version": 1}}}, False),
        ({"bookmarks": {"reorders": {"at": 1}}}, False),
        ({"bookmarks": {"shop-orders": {"at": 1}, "orders": {"at": 1}}}, True),
        ({"orders": "2020-01-01"}, True),
        ({"orders": None, "lines": "2020-01-01"}, None),
        ({"start_date": "2020-01-01"}, None),
        ({"start_date": None}, False),
        ({"bookmarks": {}, "orders": {"at": 1}}, True),
        ({"last": [{"orders": "2020"}]}, True),
        ({"singer_state": {"bookmarks": {"orders": {"at": 1}}}}, True),
        ({"type": "STREAM", "stream": AIRBYTE}, True),
        ({"type": "GLOBAL", "global": {"stream_states": [AIRBYTE]}}, True),
        ({"stream_name": "orders", "cursor": "2020"}, True),
        (
            {"type": "STREAM", "stream": {"stream_descriptor": {"name": "lines"}, "stream_state": {"at": 1}}},
            None,
        ),
    ],
)
def test_whether_a_state_says_it_of_a_stream(state: Any, orders: bool | None) -> None:
    assert reached(json.dumps(state)).names("orders") is orders


MARKED = {"_singerkit": {"run": "r"}}


@pytest.mark.parametrize(
    ("bookmarks", "stream", "loaded", "says"),
    [
        ({"public-orders": 1}, "public_orders", {"public_orders"}, None),
        ({"ORDERS": 1}, "orders", {"orders"}, None),
        ({"orderItems": 1}, "order_items", {"order_items"}, None),
        ({"shop-public-orders": 1}, "public_orders", {"public_orders"}, None),
        ({"customers": 1}, "cust", {"cust"}, None),
        ({"customers": 1, "orders": 1}, "cust", {"cust", "orders"}, None),
        ({"customers": 1, "cust": {}}, "cust", {"cust"}, False),
        ({"customers": 1}, "countries", {"countries", "customers"}, False),
        ({"public-customers": 1}, "countries", {"countries", "customers"}, False),
        ({"sales_orders": 1}, "orders", {"orders", "sales_orders"}, False),
        ({"customers": None}, "cust", {"cust"}, False),
        ({"reorders": 1}, "orders", None, False),
        ({"---": 1}, "___", None, False),
    ],
)
def test_a_bookmark_under_another_name_than_the_stream(
    bookmarks: Any, stream: str, loaded: Any, says: bool | None
) -> None:
    assert reached(json.dumps({"bookmarks": bookmarks})).names(stream, loaded) is says
    ours = reached(json.dumps({"bookmarks": bookmarks, **MARKED}))
    assert ours.names(stream, loaded) is False


def test_no_state_says_nothing() -> None:
    assert reached(None).names("orders") is False


@pytest.mark.parametrize("levels", [900, 100_000])
@pytest.mark.parametrize("start", ['{"bookmarks": {"orders": ', '{"any": {"orders": '])
def test_a_state_of_hundreds_of_levels_may_say_anything(start, levels):
    """It ended with a RecursionError."""
    state = start + "[" * levels + "1" + "]" * levels + "}}"
    assert reached(state).names("orders") is None
