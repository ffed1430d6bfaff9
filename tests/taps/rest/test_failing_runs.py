"""Runs that fail here and there, one after the other: what a target has committed in the end is what the source holds, each row once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, page_of
from taps.rest.drive import Drive, drive

__all__ = ["drive"]

SCHEMA = {
    "properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}, "m_id": {}}
}
ROWS = {"schema": SCHEMA, "pagination": {"type": "page", "size": 3}}
BY_TIME = {"replication_key": "at", "incremental": {"param": "since"}, **ROWS}
BELOW = {"path": "/k", "params": {"of": "{parent.id}"}}
STREAMS: list[dict[str, Any]] = [
    {"name": "a", "path": "/a", "is_sorted": True, **BY_TIME},
    {"name": "b", "path": "/b", "primary_keys": ["id"], **BY_TIME},
    {"name": "c", "path": "/c", **BY_TIME},
    {"name": "m", "path": "/m", "primary_keys": ["id"], "is_sorted": True, **BY_TIME},
    {"name": "each", "parent": {"stream": "m", "bookmarks": "each"}, "is_sorted": True, **BELOW, **BY_TIME},
    {"name": "shared", "parent": {"stream": "m"}, "primary_keys": ["id"], **BELOW, **BY_TIME},
    {
        "name": "changed",
        "parent": {"stream": "m", "read": "changed"},
        "primary_keys": ["id"],
        **BELOW,
        **ROWS,
    },
]
WITHOUT_A_KEY = ("a", "c", "each")
FAILURES = (
    json_reply({"message": "no"}, 403),
    json_reply({}, 503),
    json_reply({}, 400),
    json_reply({"strange": True}),
    Reply(b"<html>", 200),
)


class Source:
    """Tables whose rows grow from run to run; ``share`` of the answers are failures."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.tables: dict[str, dict[int, dict[str, Any]]] = {"a": {}, "b": {}, "c": {}, "m": {}}
        self.below: dict[int, dict[int, dict[str, Any]]] = {}
        self.share = 0.0
        self.refused: dict[int, int] = {}
        """Parents below which nothing is shown, and in how many runs."""
        self._ticks = 0

    def change(self) -> None:
        for name in self.tables:
            for _ in range(self.random.randint(0, 5)):
                number = self._add(self.tables[name])
                if name == "m":
                    self.below[number] = {}
        for parent, rows in self.below.items():
            for _ in range(self.random.randint(0, 2)):
                self._add(rows)
                self.tables["m"][parent] = {"id": parent, "at": self._now()}
        self.refused = {parent: left - 1 for parent, left in self.refused.items() if left}
        if self.below and self.random.random() < 0.7:
            self.refused.setdefault(self.random.choice([*self.below]), 3)

    def _add(self, rows: dict[int, dict[str, Any]]) -> int:
        at = self._now()
        rows[self._ticks] = {"id": self._ticks, "at": at}
        return self._ticks

    def _now(self) -> str:
        self._ticks += 1
        return f"2026-01-01T{self._ticks // 3600:02d}:{self._ticks // 60 % 60:02d}:{self._ticks % 60:02d}Z"

    def route(self, rows_for: Callable[[Asked], dict[int, dict[str, Any]]]) -> Callable[[Asked], Reply]:
        def answer(asked: Asked) -> Reply:
            if self.random.random() < self.share or (
                self.share and int(asked.param("of") or 0) in self.refused
            ):
                return self.random.choice(FAILURES)
            since = asked.param("since") or ""
            found = [row for row in rows_for(asked).values() if row["at"] >= since]
            return json_reply(page_of(sorted(found, key=lambda row: str(row["at"])), asked, 3))

        return answer

    def serve(self, drive: Any) -> Drive:
        routes = {name: self.route(lambda _, name=name: self.tables[name]) for name in self.tables}
        served: Drive = drive(**routes, k=self.route(lambda asked: self.below[int(asked.param("of") or 0)]))
        return served

    def rows(self, stream: str) -> list[dict[str, Any]]:
        if stream in self.tables:
            return list(self.tables[stream].values())
        return [row for rows in self.below.values() for row in rows.values()]


@pytest.mark.parametrize("seed", [0, 2])
def test_what_is_committed_is_what_the_source_holds(seed: int, drive: Any) -> None:
    source = Source(seed)
    run = source.serve(drive)
    state: Any = None
    committed: dict[str, list[dict[str, Any]]] = {stream["name"]: [] for stream in STREAMS}
    codes: Counter[int] = Counter()
    for share in (0, 0.01, 0.05, 0.01, 0.01, 0, 0.02, 0.1, 0.01, 0.01, 0):
        source.change()
        source.share = share
        run.run(*STREAMS, state=state, retries={"tries": 1}, concurrency=1 + seed)
        codes[run.code] += 1
        since_state: list[dict[str, Any]] = []
        for message in run.messages:
            if message["type"] == "RECORD":
                since_state.append(message)
            elif message["type"] == "STATE":
                for record in since_state:
                    committed[record["stream"]].append(record["record"])
                since_state, state = [], message["value"]
    assert run.code == 0, run.sentence
    assert len(codes) > 1, "some runs failed"
    for stream, rows in committed.items():
        wanted = {row["id"]: row["at"] for row in source.rows(stream)}
        assert {row["id"]: row["at"] for row in rows} == wanted, stream
        assert stream not in WITHOUT_A_KEY or len(rows) == len(wanted), stream
