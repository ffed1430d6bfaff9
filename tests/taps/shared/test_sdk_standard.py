"""singer-sdk's standard tap tests on the example connector."""

from __future__ import annotations

import atexit
import json
import shutil
import sys
import tempfile
from pathlib import Path

from singer_sdk.testing import SuiteConfig, get_tap_test_class

sys.path.insert(0, str(Path(__file__).parent))
try:
    from tap_example import TapExample
finally:
    sys.path.pop(0)

# Until the process ends: a worker of xdist may leave the module and come back to it.
FOLDER = tempfile.mkdtemp(prefix="singerkit-example-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def _pages(name: str, pages: list[list[dict[str, object]]]) -> str:
    path = Path(FOLDER) / f"{name}.pages"
    path.write_text("".join(json.dumps(page) + "\n" for page in pages))
    return str(path)


ORDERS = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
        "price": {"type": ["null", "number"]},
        "paid": {"type": "boolean"},
        "address": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
ITEMS = {"type": "object", "properties": {"id": {"type": "integer"}, "order": {"type": "integer"}}}

CONFIG = {
    "streams": [
        {
            "name": "orders",
            "schema": ORDERS,
            "key_properties": ["id"],
            "replication_key": "at",
            "pages": _pages(
                "orders",
                [
                    [
                        {
                            "id": number,
                            "at": f"2024-01-{number:02}T00:00:00Z",
                            "price": 1.5,
                            "paid": True,
                            "address": {"city": "Rome"},
                        }
                        for number in range(1, 10)
                    ]
                ],
            ),
        },
        {
            "name": "items",
            "schema": ITEMS,
            "key_properties": ["id"],
            "parent": "orders",
            "parent_key": "order",
            "pages": _pages("items", [[{"id": 1, "order": 2}, {"id": 2, "order": 3}]]),
        },
    ]
}

TestExample = get_tap_test_class(TapExample, config=CONFIG, suite_config=SuiteConfig(max_records_limit=5))


def test_the_record_limit_counts_records():
    from singer_sdk.testing.runners import TapTestRunner

    runner = TapTestRunner(TapExample, config=CONFIG, suite_config=SuiteConfig(max_records_limit=5))
    runner.sync_all()
    assert {name: len(rows) for name, rows in runner.records.items()} == {"orders": 5, "items": 2}
    assert "replication_key" not in runner.state_messages[-1]["value"]["bookmarks"].get("orders", {})
