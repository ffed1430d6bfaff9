"""Sweeps over a source that changes between any two answers, with runs that are killed: no row that is there goes, all that are gone do (ST13).

The tap is the real one; the source is the model of `test_bookmark_model`, whose rows change, come and go between two answers. A run may
end at any answer, and what is committed then is any STATE that it had written. After each run every row that was in the target and at the
source all the time is still there. When the changes stop, each row has arrived in its newest version, and no other is left.
"""

from __future__ import annotations

import io
import json
import random
import threading
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries
from taps.rest.api_server import Api, Asked, Reply, json_reply
from taps.rest.test_windows_model import api
from taps.shared.test_bookmark_model import EPOCH, Row, Source, place

from singerkit_shell.errors import BadDataError, RetryableError
from singerkit_shell.walltime import wall_time
from tap_rest.tap import TapRest

__all__ = ["api"]

SIZE = 3
RESTS = 40
"""Answers after which a busy source rests."""
DAY = timedelta(days=1)

PAGING: dict[str, dict[str, Any]] = {
    "one answer": {"pagination": {"type": "single"}},
    "by id": {"pagination": {"type": "cursor", "cursor": "$.next", "param": "after"}},
    "by key of the table": {"pagination": {"type": "keyset", "field": "id", "param": "after"}},
    "numbered": {"pagination": {"type": "offset", "size": SIZE}},
    "numbered by change": {"pagination": {"type": "offset", "size": SIZE}},
    "following": {"pagination": {"type": "offset", "size": SIZE}, "is_sorted": True},
    "sorted": {"pagination": {"type": "cursor", "cursor": "$.next", "param": "after"}, "is_sorted": True},
}
BY_CHANGE = ("numbered by change", "following", "sorted")


class Answers:
    """The API during one run: what happens between its answers, and where it is gone."""

    def __init__(self, source: Source, paging: str, busy: int, kill_at: int | None) -> None:
        self.source, self.paging, self.busy, self.kill_at = source, paging, busy, kill_at
        self.count = 0
        self.there = set(source.rows)
        """Rows that have been there all the time."""
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Reply:
        with self._lock:
            return self.answered(asked)

    def answered(self, asked: Asked) -> Reply:
        self.count += 1
        if self.kill_at is not None and self.count >= self.kill_at:
            return Reply(hang_up=True)
        reply = self.answer(asked)
        reply.headers["Date"] = format_datetime(EPOCH + timedelta(seconds=self.source.now), usegmt=True)  # type: ignore[index]
        for _ in range(self.busy if self.count < RESTS else 0):
            self.source.change()
            self.there &= set(self.source.rows)
        return reply

    def answer(self, asked: Asked) -> Reply:
        text = asked.param("since")
        since = None if text is None else int((datetime.fromisoformat(text) - EPOCH).total_seconds())
        rows = self.source.fitting(since, None, "key" if self.paging in BY_CHANGE else "id")
        if self.paging == "one answer":
            return json_reply({"rows": [shown(row) for _, row in rows], "next": None})
        after = asked.param("after")
        if after is not None:
            last = tuple(json.loads(f"[{after}]"))
            rows = [item for item in rows if self.token(item) > last]
        begin = int(asked.param("offset") or 0)
        page, has_more = rows[begin : begin + SIZE], len(rows) > begin + SIZE
        token = ",".join(map(str, self.token(page[-1]))) if has_more else None
        return json_reply({"rows": [shown(row) for _, row in page], "next": token})

    def token(self, item: tuple[int, Row]) -> tuple[int, ...]:
        return place(item) if self.paging in BY_CHANGE else (item[0],)


def shown(row: Row) -> dict[str, Any]:
    at = (EPOCH + timedelta(seconds=row.key)).isoformat().replace("+00:00", "Z")
    return {"id": row.id, "key": at, "version": row.version}


@dataclass
class Target:
    """Commits rows, versions and state together, at a STATE."""

    state: dict[str, Any] = field(default_factory=dict)
    rows: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of each row what it says, and the version of the load that it came with."""
    sweeps: int = 0

    def take(self, lines: str, roll: random.Random, *, is_over: bool) -> int:
        """Commit up to one of the STATEs, the last one where the run is over; return how many rows that were."""
        messages = [json.loads(line) for line in lines.splitlines()]
        states = [at for at, message in enumerate(messages) if message["type"] == "STATE"]
        if not states:
            return 0
        last = states[-1] if is_over else roll.choice(states)
        count = 0
        for message in messages[:last]:
            if message["type"] == "RECORD":
                record = message["record"]
                self.rows[record["id"]] = record["version"], message["version"]
                count += 1
            elif message["type"] == "ACTIVATE_VERSION":
                self.sweeps += 1
                self.rows = {name: row for name, row in self.rows.items() if row[1] == message["version"]}
        self.state = messages[last]["value"]
        return count


def config_of(url: str, paging: str) -> dict[str, Any]:
    key = {"type": "string", "format": "date-time"}
    rows = {
        "name": "rows",
        "path": "/rows",
        "records": "$.rows[*]",
        "primary_keys": ["id"],
        "replication_key": "key",
        "incremental": {"param": "since"},
        "sweep": "P1D",
        "schema": {"properties": {"id": {"type": "integer"}, "key": key, "version": {"type": "integer"}}},
        "bookmark": {"margin": 0},
        **PAGING[paging],
    }
    return {"base_url": url, "state_every": 2, "retries": {"tries": 1}, "streams": [rows]}


def sync(api: Api, config: dict[str, Any], answers: Answers, target: Target, clock: datetime) -> int:
    api.routes["/rows"] = answers
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(written):
        patch.setattr(wall_time, "now", clock.timestamp)
        is_over = True
        try:
            TapRest(config=json.loads(json.dumps(config)), state=target.state, setup_mapper=False).sync()
        except (RetryableError, BadDataError) as error:
            if isinstance(error, BadDataError) and not answers.busy:
                raise
            is_over = (
                False  # gone, or pages that contradict each other, since rows change while they are read
            )
    lines = written.buffer.getvalue().decode()  # type: ignore[attr-defined]  a BytesIO
    return target.take(lines, answers.source.roll, is_over=is_over)


def play(api: Api, seed: int, paging: str, concurrency: int = 1) -> list[str]:
    """Return what is wrong, and where."""
    roll = random.Random(seed)
    source = Source(roll, has_key=True, deletes=True, futures=False, is_coarse=roll.random() < 0.3)
    for _ in range(roll.randrange(4, 14)):
        source.insert()
    target, config, clock = Target(), config_of(api.url, paging) | {"concurrency": concurrency}, EPOCH
    for number in range(6):
        before = set(target.rows)
        kill_at = roll.randrange(1, 14) if roll.random() < 0.4 else None
        answers = Answers(source, paging, roll.randrange(3), kill_at)
        sync(api, config, answers, target, clock)
        gone = before & answers.there - set(target.rows)
        if gone:
            return [f"run {number} took {sorted(gone)} away, which are there"]
        for _ in range(roll.randrange(6)):
            source.change()
        clock += roll.choice([DAY, DAY / 4])
    for _ in range(3):
        source.now += 2
        clock += DAY
        sync(api, config, Answers(source, paging, 0, None), target, clock)
    wrong = [
        f"{row} is {target.rows.get(row.id)}"
        for row in source.rows.values()
        if target.rows.get(row.id, (None,))[0] != row.version
    ]
    return wrong + [f"{name} is left" for name in set(target.rows) - set(source.rows)]


@settings(max_examples=tries(8), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    paging=st.sampled_from(sorted(PAGING)),
    concurrency=st.sampled_from([1, 1, 3]),
)
def test_no_row_goes_that_is_there_and_all_that_are_gone_do(
    api: Api, seed: int, paging: str, concurrency: int
) -> None:
    assert play(api, seed, paging, concurrency) == []
