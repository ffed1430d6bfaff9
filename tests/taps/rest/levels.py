"""Three streams below each other, `a`, `b` and `c`, that change while they are read; and runs in this process, with a target behind them.

Each row has an `at` that grows with each change, `a` a plan that `b` and `c` copy, `b` a tag that `c` copies.
"""

from __future__ import annotations

import io
import itertools
import json
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from taps.rest.api_server import Api, Asked, Reply, json_reply, serving

from singerkit_shell.errors import SingerkitError
from tap_rest.tap import TapRest

NAMES = ("a", "b", "c")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
NUMBER = {"type": ["null", "integer"]}
FIELDS = {
    "a": ("id", "at", "plan"),
    "b": ("id", "at", "tag", "a", "plan"),
    "c": ("id", "at", "version", "b", "tag", "plan"),
}
COPIES = {"b": {"a": "id", "plan": "plan"}, "c": {"b": "id", "plan": "plan", "tag": "tag"}}
PATHS = {"a": "/a", "b": "/a/{parent.id}/b", "c": "/b/{parent.id}/c"}


def at(second: int) -> str:
    return (EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


def stream(name: str, *, incremental: bool = True, **parent: Any) -> dict[str, Any]:
    """Return the config of one of the streams; ``parent`` stands in its `parent`."""
    properties = dict.fromkeys(FIELDS[name], NUMBER) | {"at": {"type": "string", "format": "date-time"}}
    said: dict[str, Any] = {
        "name": name,
        "path": PATHS[name],
        "primary_keys": ["id"],
        "pagination": {"type": "keyset", "field": "id", "param": "after", "size": 2},
        "schema": {"properties": properties},
    }
    if incremental:
        said |= {
            "replication_key": "at",
            "incremental": {"param": "since"},
            "bookmark": {"signpost": "read_before"},
        }
    if name != "a":
        above = NAMES[NAMES.index(name) - 1]
        said["parent"] = {"stream": above, "copy": COPIES[name], **parent}
    return said


@dataclass
class Source:
    """Rows of each stream by id, ``of`` the row above them; with ``bubbles`` a change counts as one of all above."""

    roll: random.Random
    bubbles: bool = False
    now: int = 0
    rows: dict[str, dict[int, dict[str, Any]]] = field(default_factory=lambda: {name: {} for name in NAMES})
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    gone: set[str] = field(default_factory=set)
    """Paths that are not found."""

    def add(self, name: str, of: int | None = None, **more: Any) -> int:
        number = next(self.ids)
        self.rows[name][number] = {"id": number, "of": of, "version": 0, **more}
        self.touch(name, number)
        return number

    def touch(self, name: str, number: int, **more: Any) -> None:
        """Change a row."""
        row = self.rows[name][number]
        row.update(more, at=at(self.now))
        if self.bubbles and row["of"] is not None:
            self.touch(NAMES[NAMES.index(name) - 1], row["of"])

    def change(self) -> None:
        """Do something, at random."""
        roll = self.roll
        self.now += roll.choice([0, 0, 1, 1, 3])
        wanted = roll.choices(NAMES, [3, 2, 3])[0]
        name = next(
            one
            for one in (NAMES if wanted == "c" else NAMES[: NAMES.index(wanted) + 1])
            if one == wanted or not self.rows[one]
        )
        said: dict[str, Any] = {"a": {"plan": roll.randrange(5)}, "b": {"tag": roll.randrange(5)}, "c": {}}[
            name
        ]
        if not self.rows[name] or roll.random() < 0.45:
            above = None if name == "a" else roll.choice([*self.rows[NAMES[NAMES.index(name) - 1]]])
            self.add(name, above, **said)
        else:
            number = roll.choice([*self.rows[name]])
            self.touch(name, number, **said, version=self.rows[name][number]["version"] + 1)

    def answer(self, asked: Asked) -> Reply:
        if asked.path in self.gone:
            return json_reply({"message": "not here"}, 404)
        parts = asked.path.strip("/").split("/")
        since, after = asked.param("since") or "", int(asked.param("after") or 0)
        rows = [
            row
            for row in self.rows[parts[-1]].values()
            if row["at"] >= since and row["id"] > after and (len(parts) == 1 or row["of"] == int(parts[1]))
        ]
        names = [name for name in FIELDS[parts[-1]] if name not in COPIES.get(parts[-1], {})]
        page = sorted(rows, key=lambda row: row["id"])[:2]
        return json_reply([{name: row[name] for name in names} for row in page])

    def expected(self) -> dict[str, dict[int, dict[str, Any]]]:
        """Return what a target should have."""
        found: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in NAMES}
        for name in NAMES:
            for number, row in self.rows[name].items():
                above = found[NAMES[NAMES.index(name) - 1]][row["of"]] if row["of"] is not None else {}
                whole = row | {child: above[parent] for child, parent in COPIES.get(name, {}).items()}
                found[name][number] = {one: whole[one] for one in FIELDS[name]}
        return found


class EveryPath(dict[str, Any]):
    """One route for every path."""

    def __init__(self, route: Any) -> None:
        super().__init__()
        self._route = route

    def get(self, _path: str, _default: Any = None) -> Any:
        return self._route


@contextmanager
def served(source: Source) -> Iterator[Api]:
    with serving({}) as api:
        api.routes = EveryPath(source.answer)
        yield api


class Pipeline:
    """Runs of a config against an API, and what a target has committed of them."""

    def __init__(self, url: str, streams: list[dict[str, Any]], **config: Any) -> None:
        self.config = {
            "base_url": url,
            "streams": streams,
            "retries": {"tries": 2, "first_wait": 0.01},
            **config,
        }
        self.tables: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in NAMES}
        self.state: dict[str, Any] = {}
        self.messages: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    def run(self, roll: random.Random | None = None) -> int:
        """Run once, and return how many rows came; one that fails is committed up to a STATE that ``roll`` chooses."""
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with redirect_stdout(out), _warnings() as self.warnings:
            failed = None
            try:
                TapRest(
                    config=json.loads(json.dumps(self.config)), state=json.loads(json.dumps(self.state))
                ).sync()
            except SingerkitError as error:
                failed = error
        out.flush()
        self.messages = [json.loads(line) for line in out.buffer.getvalue().decode().splitlines()]  # type: ignore[attr-defined]
        if failed is not None:
            if roll is None:
                raise failed
            states = [place for place, message in enumerate(self.messages, 1) if message["type"] == "STATE"]
            self.messages = self.messages[: roll.choice(states)] if states else []
        self._commit()
        return sum(message["type"] == "RECORD" for message in self.messages)

    def _commit(self) -> None:
        waiting = []
        for message in self.messages:
            if message["type"] == "RECORD":
                waiting.append(message)
            elif message["type"] == "STATE":
                for row in waiting:
                    self.tables[row["stream"]][row["record"]["id"]] = row["record"]
                waiting, self.state = [], message["value"]


@contextmanager
def _warnings() -> Iterator[list[str]]:
    found: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    listener = Listener(logging.WARNING)
    root = logging.getLogger()
    root.addHandler(listener)
    try:
        yield found
    finally:
        root.removeHandler(listener)
