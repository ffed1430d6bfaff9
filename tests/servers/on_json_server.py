"""``make test-servers``: against json-server, whose database is a file: pages by number, by Link, and by offset with a total.

Rows are changed and deleted between runs; after each the tables are what stands in the file.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from npm import packages
from processes import Pipeline, call, free_port, running, sent

JSON_SERVER = "json-server@0.17.4"
LINKS: dict[str, Any] = {"params": {"_page": 1, "_limit": 7}, "pagination": {"type": "link_header"}}
NUMBERS: dict[str, Any] = {
    "pagination": {
        "type": "page",
        "param": "_page",
        "size": 7,
        "size_param": "_limit",
        "total_count": "header:X-Total-Count",
    }
}
OFFSETS: dict[str, Any] = {
    "pagination": {"type": "offset", "param": "_start", "size": 7, "size_param": "_limit"}
}


class Shop:
    """A running json-server, and what somebody else does there."""

    def __init__(self, url: str, file: Path) -> None:
        self.url, self._file, self._now = url, file, 0

    def now(self) -> str:
        self._now += 1
        return f"2026-01-01T{self._now // 3600:02d}:{self._now // 60 % 60:02d}:{self._now % 60:02d}Z"

    def add(self, table: str, **fields: Any) -> int:
        return int(call("POST", f"{self.url}/{table}", {**fields, "at": self.now()})["id"])

    def change(self, table: str, row: int, **fields: Any) -> None:
        call("PATCH", f"{self.url}/{table}/{row}", {**fields, "at": self.now()})

    def delete(self, table: str, row: int) -> None:
        call("DELETE", f"{self.url}/{table}/{row}")

    def stored(self, table: str) -> list[Any]:
        rows = json.loads(self._file.read_text(encoding="utf-8"))[table]
        return sorted(rows, key=lambda row: row["id"])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    program = packages(JSON_SERVER) / "node_modules/.bin/json-server"
    file, url = tmp_path / "db.json", f"http://127.0.0.1:{(port := free_port())}"
    file.write_text('{"orders": [], "lines": []}')
    with running([program, "--host", "127.0.0.1", "--port", str(port), file], url, tmp_path / "log"):
        yield Shop(url, file)


def rows_of(pipeline: Pipeline, table: str) -> list[Any]:
    found = [{**row, "at": row["at"][:19].replace(" ", "T") + "Z"} for row in pipeline.rows(table)]
    return sorted(found, key=lambda row: row["id"])


@pytest.mark.parametrize("pages", [LINKS, NUMBERS, OFFSETS], ids=["links", "numbers", "offsets"])
def test_the_tables_are_what_stands_in_the_file(
    pages: dict[str, Any], shop: Shop, database: str, tmp_path: Path
) -> None:
    orders = {
        "name": "orders",
        "path": "/orders",
        "primary_keys": ["id"],
        "replication_key": "at",
        "is_sorted": True,
        "incremental": {"param": "at_gte"},
        **pages,
        "params": {**pages.get("params", {}), "_sort": "at,id", "_order": "asc,asc"},
    }
    lines = {
        "name": "lines",
        "path": "/orders/{parent.id}/lines",
        "parent": {"stream": "all_orders", "copy": {"orderId": "id"}},
        "primary_keys": ["id"],
        "activate_version": True,
        **pages,
    }
    whole = {
        "name": "all_orders",
        "path": "/orders",
        "primary_keys": ["id"],
        "activate_version": True,
        **pages,
    }
    chance = random.Random(3)
    for number in range(25):
        order = shop.add("orders", number=number, price=number / 4, note="ü" * (number % 3))
        for line in range(number % 4):
            shop.add("lines", orderId=order, line=line)
    pipeline = Pipeline({"base_url": shop.url, "streams": [orders, whole, lines]}, database, tmp_path)
    for _ in range(3):
        pipeline.run()
        assert rows_of(pipeline, "orders") == shop.stored("orders")
        assert rows_of(pipeline, "all_orders") == shop.stored("orders")
        assert rows_of(pipeline, "lines") == shop.stored("lines")
        for row in chance.sample(shop.stored("orders"), 4):
            shop.change("orders", row["id"], number=chance.randrange(100))
        for row in chance.sample(shop.stored("lines"), 3):
            shop.delete("lines", row["id"])
        shop.add("orders", number=-1, price=0.5, note="new")
    said = pipeline.run()
    assert sent(said)["orders"] == 5
    gone = chance.choice(shop.stored("orders"))["id"]
    shop.delete("orders", gone)  # and its lines with it
    pipeline.run()
    assert rows_of(pipeline, "all_orders") == shop.stored("orders")
    assert rows_of(pipeline, "lines") == shop.stored("lines")
    # A row that is gone is not told to whom asks for changes.
    assert gone in [row["id"] for row in rows_of(pipeline, "orders")]
