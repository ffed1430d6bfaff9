"""singer-sdk's standard tap tests on tap-rest, and the rows it read compared with those of the server.

The SDK wants the streams while tests are collected, when no fixture can run yet: the schemas therefore stand in
the config, and the server is started on its port by the first test.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from singer_sdk.testing.runners import TapTestRunner
from taps.rest.driver import ORDER_SCHEMA

from singerkit_check.suite.source_server import TOKEN, Server, free_port, serve
from tap_rest.tap import TapRest

PORT = free_port()
COUNTRY_SCHEMA = {
    "type": "object",
    "properties": {"code": {"type": "string"}, "name": {"type": "string"}, "area": {"type": "number"}},
}
CONFIG = {
    "base_url": f"http://127.0.0.1:{PORT}",
    "auth": {"type": "bearer", "token": TOKEN},
    "pagination": {"type": "cursor", "param": "page", "cursor": "$.next_page"},
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
        {"name": "countries", "path": "/countries", "primary_keys": ["code"], "schema": COUNTRY_SCHEMA},
    ],
}
SUITE = SuiteConfig(max_records_limit=1000)

Standard: Any = get_tap_test_class(TapRest, config=CONFIG, suite_config=SUITE, parse_env_config=False)


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[Server]:
    with serve(PORT) as running:
        yield running


class TestTapRest(Standard):
    """The SDK's tests, and ours on the records that its runner has collected."""

    @pytest.mark.parametrize("stream_name", ["orders", "countries"])
    def test_the_records_are_the_rows_of_the_server(
        self, server: Server, runner: TapTestRunner, stream_name: str
    ) -> None:
        # the runner reads JSON with floats, and so does this; the digits are checked in test_tap_messages.py
        rows = [json.loads(text) for text in server.texts[stream_name]]
        complete = dict.fromkeys(
            name for row in rows for name in row
        )  # what a row leaves out is sent as null
        assert runner.records[stream_name] == [{**complete, **row} for row in rows]
