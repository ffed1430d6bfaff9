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
        ({"_singerkit_read": {"source": {"where": "here"}, "fields": {"id": "integer"}}}, False),
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


def test_no_state_says_nothing() -> None:
    assert reached(None).names("orders") is False
