"""`read: changed` where a parent changes twice within the unit of its replication key: its children come once more."""

from __future__ import annotations

import io
import json
import logging
from contextlib import redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving

from tap_rest.tap import TapRest

AT = {"type": "string", "format": "date-time"}


class Source:
    """Orders with lines below; a test changes them, and sets the clock."""

    def __init__(self) -> None:
        self.orders: dict[int, dict[str, Any]] = {
            n: {"id": n, "at": f"2026-01-01T00:00:0{n}Z"} for n in range(1, 5)
        }
        self.lines: dict[int, list[dict[str, Any]]] = {n: [{"id": n * 10}] for n in self.orders}
        self.clock: str | None = "2026-01-01T00:30:00Z"
        self.asked: list[int] = []

    def _list(self, asked: Asked) -> Reply:
        since = asked.param("since") or ""
        rows = sorted((row for row in self.orders.values() if row["at"] >= since), key=lambda row: row["at"])
        return json_reply(rows)

    def _below(self, number: int) -> Reply:
        self.asked.append(number)
        return json_reply(self.lines[number])

    def clock_of(self, _: object, margin: float) -> float | None:
        return None if self.clock is None else datetime.fromisoformat(self.clock).timestamp() - margin

    @property
    def routes(self) -> dict[str, Any]:
        return {"/orders": self._list} | {
            f"/orders/{n}/lines": lambda _, n=n: self._below(n) for n in self.orders
        }


class Pipeline:
    """Runs of one config, each from the state of the one before."""

    def __init__(self, source: Source, tmp_path: Path, **child: Any) -> None:
        self.source = source
        orders = {"name": "orders", "path": "/orders", "primary_keys": ["id"], "replication_key": "at"}
        lines = {"name": "lines", "path": "/orders/{parent.id}/lines", "primary_keys": ["id"]} | child
        lines["parent"] = {"stream": "orders", "read": "changed"}
        self.config: dict[str, Any] = {
            "schema_cache": str(tmp_path),
            "pagination": {"type": "single"},
            "streams": [
                orders | {"incremental": {"param": "since"}, "schema": {"properties": {"id": {}, "at": AT}}},
                lines | {"schema": {"properties": {"id": {}, "at": AT}}},
            ],
        }
        self.state: dict[str, Any] = {}

    def run(self) -> list[int]:
        """Run once; return the orders whose lines were asked for."""
        self.source.asked.clear()
        written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        clock = patch("tap_rest.streams.clock_of", self.source.clock_of)
        with serving(self.source.routes) as api, redirect_stdout(written), clock:
            config = json.loads(json.dumps(self.config | {"base_url": api.url}))
            TapRest(config=config, state=self.state, setup_mapper=False).sync()
        lines = written.buffer.getvalue().splitlines()  # type: ignore[attr-defined]
        messages = [json.loads(line) for line in lines]
        self.sent = [m["record"]["id"] for m in messages if m["type"] == "RECORD" and m["stream"] == "lines"]
        self.state = [m["value"] for m in messages if m["type"] == "STATE"][-1]
        return sorted(self.source.asked)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.mark.parametrize("is_selected", [True, False])
def test_children_of_a_parent_that_changes_twice_within_a_second(is_selected: bool, tmp_path: Path) -> None:
    source = Source()
    lines = Pipeline(source, tmp_path)
    lines.config["streams"][0]["selected"] = is_selected
    assert lines.run() == [1, 2, 3, 4]
    source.lines[4].append({"id": 41})  # and `at` stays as it is
    source.clock = "2026-01-01T09:00:00Z"
    assert lines.run() == [4]
    assert lines.sent == [40, 41]
    assert lines.run() == [], "that second was over when its lines were read last"
    source.lines[4].append({"id": 42})
    source.orders[1]["at"] = "2026-01-01T09:00:09Z"
    assert lines.run() == [1]


@pytest.mark.parametrize("signpost", ["auto", "read_before", "none"])
def test_without_a_clock_the_newest_parents_are_asked_for_in_each_run(signpost: str, tmp_path: Path) -> None:
    source = Source()
    source.clock = None if signpost == "auto" else "2026-01-02T00:00:00Z"
    lines = Pipeline(source, tmp_path)
    lines.config["streams"][0]["bookmark"] = {"signpost": signpost}
    source.orders[3]["at"] = source.orders[4]["at"]
    assert lines.run() == [1, 2, 3, 4]
    assert [lines.run() for _ in range(3)] == [[3, 4]] * 3


def test_a_day_is_over_when_no_zone_has_it(tmp_path: Path) -> None:
    source = Source()
    source.orders = {n: {"id": n, "at": f"2026-01-0{n}"} for n in (1, 2)}
    source.clock = "2026-01-03T12:00:00Z"
    lines = Pipeline(source, tmp_path)
    lines.config["streams"][0]["schema"]["properties"]["at"]["format"] = "date"
    assert lines.run() == [1, 2]
    source.clock = "2026-01-09T00:00:00Z"
    assert [lines.run(), lines.run()] == [[2], []]


@pytest.mark.parametrize(
    ("child", "asked"),
    [
        ({"primary_keys": []}, []),
        ({"primary_keys": [], "replication_key": "at", "incremental": {"param": "since"}}, [4]),
        ({"replication_key": "at", "incremental": {"param": "since"}}, [4]),
    ],
)
def test_nothing_doubles(
    child: dict[str, Any], asked: list[int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source()
    for number, rows in source.lines.items():
        rows[0]["at"] = f"2026-01-01T00:00:0{number}Z"
    lines = Pipeline(source, tmp_path, **child)
    assert lines.run() == [1, 2, 3, 4]
    caplog.clear()
    assert lines.run() == asked
    assert lines.sent == []
    told = [one for one in caplog.records if one.levelno >= logging.WARNING and "twice within" in one.message]
    assert bool(told) == (not asked), [one.message for one in caplog.records]


def test_the_newest_parents_are_asked_for_once_more_whatever_the_clock_says(tmp_path: Path) -> None:
    source = Source()
    source.clock = "2026-03-01T00:00:00Z"
    lines = Pipeline(source, tmp_path)
    assert [lines.run() for _ in range(4)] == [[1, 2, 3, 4], [4], [], []]
    source.orders[2]["at"] = "2026-02-01T00:00:00Z"
    assert [lines.run() for _ in range(3)] == [[2], [2], []]
