"""A source that changes between any two requests, and a target that dies anywhere: in the end the table is the source.

What the target commits is what lies before the last STATE that it was given; the next run goes on from there. So it is for
streams that go on by a token, by a bookmark with records of deletions, and by the version of their one answer.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Api, Asked, Reply, json_reply, serving
from taps.rest.in_process import Messages, run_here

SCHEMA = {
    "properties": {
        "id": {"type": "integer"},
        "at": {"type": "integer"},
        "v": {"type": "string"},
        "gone": {"type": "boolean"},
    }
}
ROWS: dict[str, Any] = {
    "name": "rows",
    "path": "/rows",
    "primary_keys": ["id"],
    "schema": SCHEMA,
    "records": "$.rows[*]",
}
GONE = {"deletes": {"field": "gone"}}
KINDS: dict[str, dict[str, Any]] = {
    "cursor": ROWS
    | GONE
    | {
        "pagination": {"type": "cursor", "cursor": "$.after", "param": "after", "is_last": "$.end"},
        "incremental": {"token": "$.after", "param": "after"},
    },
    # In the order of their key, so that a row may change behind the reading point.
    "stamp": ROWS
    | GONE
    | {
        "pagination": {"type": "cursor", "cursor": "$.key", "param": "key"},
        "incremental": {"token": "$.stamp", "token_of": "first", "param": "since"},
    },
    "bookmark": ROWS
    | GONE
    | {
        "pagination": {"type": "cursor", "cursor": "$.after", "param": "after", "is_last": "$.end"},
        "replication_key": "at",
        "replication_key_format": "number",
        "incremental": {"param": "since"},
        "bookmark": {"signpost": "read_before"},
    },
    "version": ROWS | {"pagination": {"type": "single"}, "conditional": True, "activate_version": True},
}


class Source:
    """Rows by their key, each with the number of its last change; deleted ones are told to who asks from a number on."""

    def __init__(self, chance: random.Random, *, goes_by_key: bool) -> None:
        self.chance, self.changes, self.is_quiet, self.goes_by_key = chance, 0, False, goes_by_key
        self.rows: dict[int, dict[str, Any]] = {}
        for key in range(8):
            self.set(key)

    def set(self, key: int) -> None:
        self.changes += 1
        self.rows[key] = {"id": key, "at": self.changes, "v": self.chance.choice("abc")}

    def change(self) -> None:
        key = self.chance.randrange(12)
        there = [one for one, row in self.rows.items() if "gone" not in row]
        if self.chance.random() < 0.3 and key in there and len(there) > 4:
            self.changes += 1
            self.rows[key] = {"id": key, "at": self.changes, "gone": True}
        else:
            self.set(key)

    def alive(self) -> list[dict[str, Any]]:
        return [row for row in self.rows.values() if "gone" not in row]

    def __call__(self, asked: Asked) -> Reply:
        reply = self.answer(asked)
        if not self.is_quiet and self.chance.random() < 0.5:
            self.change()
        return reply

    def answer(self, asked: Asked) -> Reply:
        since, after, key = (asked.param(name) for name in ("since", "after", "key"))
        # `since` is where a bookmark stands, or how far a stamp tells; `after` is behind what has come.
        least = int(after) + 1 if after else int(since or 0)
        found = [
            row for row in self.rows.values() if row["at"] >= least and (after or since or "gone" not in row)
        ]
        order = "id" if self.goes_by_key else "at"
        left = [
            row for row in sorted(found, key=lambda row: row[order]) if key is None or row["id"] > int(key)
        ]
        page, rest = left[:3], len(left) > 3
        if self.goes_by_key:
            return json_reply({"rows": page, "key": page[-1]["id"] if rest else None, "stamp": self.changes})
        return json_reply(
            {"rows": page, "after": page[-1]["at"] if page else int(after or since or 0), "end": not rest}
        )


def versioned(source: Source) -> Any:
    def answer(asked: Asked) -> Reply:
        body = json.dumps({"rows": source.alive()}).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:12]}"'
        is_same = asked.headers.get("If-None-Match") == etag
        if not source.is_quiet and source.chance.random() < 0.5:
            source.change()
        return Reply(b"", 304, {"ETag": etag}) if is_same else json_reply(body, ETag=etag)

    return answer


class Table:
    """A target that commits rows with the STATE behind them."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[Any, Any]] = {}
        self.state: dict[str, Any] | None = None

    def take(self, messages: list[dict[str, Any]]) -> None:
        waiting: list[dict[str, Any]] = []
        for message in messages:
            waiting.append(message)
            if message["type"] == "STATE":
                for one in waiting:
                    self._store(one)
                waiting, self.state = [], message["value"]

    def _store(self, message: dict[str, Any]) -> None:
        if message["type"] == "ACTIVATE_VERSION":
            self.rows = {key: row for key, row in self.rows.items() if row[1] == message["version"]}
        if message["type"] != "RECORD":
            return
        record = message["record"]
        if record.get("_sdc_deleted_at") is not None:
            self.rows.pop(record["id"], None)
        else:
            self.rows[record["id"]] = record["v"], message.get("version")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_in_the_end_the_table_is_the_source(kind: str, seed: int, tmp_path: Path) -> None:
    chance = random.Random(f"{kind} {seed}")
    source, table = Source(chance, goes_by_key=kind == "stamp"), Table()

    def run(api: Api) -> Messages:
        return run_here(api, KINDS[kind], cache=tmp_path, state=table.state, state_every=2)

    with serving({"/rows": versioned(source) if kind == "version" else source}) as api:
        for _ in range(6):
            for _ in range(chance.randrange(3)):
                source.change()
            messages = run(api).all
            is_cut = chance.random() < 0.5
            table.take(messages[: chance.randrange(len(messages))] if is_cut else messages)
        source.is_quiet = True
        for _ in range(3):  # fewer than half of the rows have to come twice before others go
            table.take(run(api).all)
    wanted = {row["id"]: row["v"] for row in source.alive()}
    assert {key: value for key, (value, _) in table.rows.items()} == wanted
