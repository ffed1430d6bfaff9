"""Windows over a source that changes between any two answers, with runs that are killed: nothing is lost, nothing doubled (ST13).

The tap is the real one, and so are its requests; the source is the model of `test_bookmark_model`: rows whose key grows with each
change. The API answers one window at a time, of bounded length, page by page; between two answers changes strike. A run may
end at any answer, and what is committed then is any STATE that it had written. When the changes stop, runs go on until two in a
row have sent nothing: then the newest version of every row has arrived, and rows without a key exactly once.
"""

from __future__ import annotations

import io
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sampling import tries
from taps.rest.api_server import Api, Asked, Reply, json_reply, serving
from taps.shared.test_bookmark_model import EPOCH, Row, Source, Target, place

from singerkit_shell.errors import BadDataError, RetryableError
from tap_rest.tap import TapRest
from tap_rest.windows import windowed

WINDOW = 9
SIZE = 2
RESTS = 15
"""Answers after which a busy source rests, so that a read can end."""


@dataclass
class Shape:
    """How the API is asked. ``until``: what it gives at the end that is asked for; ``grain``: the seconds of `granularity`."""

    paging: str
    until: str
    grain: int
    counts: bool = False
    loose: str = ""
    """To which ends the API does not listen."""
    cap: int = 0
    """So many rows it gives of one question; 0: all."""
    refuses: bool = False
    """It answers 400 to who asks for more than that."""
    splits: bool = False
    """It answers 422 to each question that has more rows than that."""
    is_one: bool = False
    """All is asked for at once, as long as there are not too many rows."""


class Crowded(Exception):
    """More rows have one key, or the next one, than the API gives of a question."""


class Run:
    """The API during one run: what happens between its answers, and where it is gone."""

    def __init__(self, source: Source, shape: Shape, busy: int, kill_at: int | None) -> None:
        self.source, self.shape, self.busy, self.kill_at = source, shape, busy, kill_at
        self.answers = 0
        self.refused: list[str] = []
        self.is_crowded = False
        """The shortest question that can be asked had about as many rows as the API gives of one."""
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Reply:
        with self._lock:
            return self.answered(asked)

    def answered(self, asked: Asked) -> Reply:
        self.answers += 1
        if self.kill_at is not None and self.answers >= self.kill_at:
            return Reply(hang_up=True)
        reply = self.answer(asked)
        reply.headers["Date"] = format_datetime(EPOCH + timedelta(seconds=self.source.now), usegmt=True)  # type: ignore[index]
        for _ in range(self.busy if self.answers < RESTS else 0):
            self.source.change()
        return reply

    def answer(self, asked: Asked) -> Reply:
        since, until = self.number(asked, "from"), self.number(asked, "to")
        if since is None or (until is None and not self.shape.counts):
            return json_reply({"error": "from and to"}, 400)
        if until is not None and until - since > WINDOW and not self.shape.is_one:
            self.refused.append(asked.raw_path)
            return json_reply({"error": f"at most {WINDOW}"}, 422)
        wide = self.shape.loose
        since, until = None if "from" in wide else since, None if "to" in wide else until
        found = self.source.fitting(since, None, self.order)
        rows = [item for item in found if self.is_below(item[1].key, until)]
        if since is not None and self.shape.cap:
            # the others go on by the key
            last = until if self.shape.paging == "by id" or self.shape.splits else since
            at_once = sum(since <= row.key <= (last or since) for _, row in rows)
            is_short = last is not None and last - since <= 1
            self.is_crowded = self.is_crowded or (is_short and at_once > self.shape.cap - SIZE)
        rows, is_cut = rows[: self.shape.cap or None], len(rows) > self.shape.cap > 0
        if self.shape.splits and is_cut:
            return json_reply({"error": "too many rows"}, 422)
        after = asked.param("after")
        if after is not None:
            last = tuple(json.loads(after))
            rows = [item for item in rows if self.token(item) > last]
        begin = int(asked.param("offset") or 0)
        if self.shape.refuses and is_cut and not rows[begin:]:
            return json_reply({"error": f"no more than {self.shape.cap}"}, 400)
        page = rows[begin : begin + SIZE]
        token = json.dumps(self.token(page[-1])) if len(rows) > begin + SIZE else None
        return json_reply({"rows": [self.shown(row) for _, row in page], "next": token})

    @property
    def order(self) -> str:
        return "id" if self.shape.paging == "by id" else "key"

    def token(self, item: tuple[int, Row]) -> tuple[int, ...]:
        return (item[0],) if self.order == "id" else place(item)

    def number(self, asked: Asked, name: str) -> int | None:
        text = asked.param(name)
        if text is None or self.shape.counts:
            return None if text is None else int(text)
        return int((datetime.fromisoformat(text) - EPOCH).total_seconds())

    def is_below(self, key: int, until: int | None) -> bool:
        if until is None:
            return True
        return key < until if self.shape.until == "exclusive" else key <= until

    def shown(self, row: Row) -> dict[str, Any]:
        return {"id": row.id, "key": shown(row.key, self.shape), "version": row.version}


def shown(key: int, shape: Shape) -> Any:
    return key if shape.counts else (EPOCH + timedelta(seconds=key)).isoformat().replace("+00:00", "Z")


PAGING: dict[str, dict[str, Any]] = {
    "by id": {"pagination": {"type": "cursor", "cursor": "$.next", "param": "after"}},
    "by key": {"pagination": {"type": "cursor", "cursor": "$.next", "param": "after"}, "is_sorted": True},
    "following": {"pagination": {"type": "offset", "size": SIZE}, "is_sorted": True},
}


def config_of(url: str, shape: Shape, *, has_key: bool) -> dict[str, Any]:
    length: Any = WINDOW if shape.counts else f"PT{WINDOW}S"
    incremental = {"param": "from", "until_param": "to", "window": length}
    if shape.grain:
        incremental["granularity"] = shape.grain if shape.counts else f"PT{shape.grain}S"
    if shape.until == "exclusive":
        incremental["until"] = "exclusive"
    if shape.is_one:
        del incremental["window"]
    key = {"type": "integer"} if shape.counts else {"type": "string", "format": "date-time"}
    rows: dict[str, Any] = {
        "name": "rows",
        "path": "/rows",
        "records": "$.rows[*]",
        "replication_key": "key",
        "schema": {"properties": {"id": {"type": "integer"}, "key": key, "version": {"type": "integer"}}},
        "incremental": incremental,
        "bookmark": {"margin": 0},
        **PAGING[shape.paging],
    }
    if shape.splits:
        rows["errors"] = [{"status": 422, "then": "split"}]
    elif shape.cap:
        rows["pagination"] = rows["pagination"] | {"max_rows": shape.cap}
    if has_key:
        rows["primary_keys"] = ["id"]
    else:  # two rows may say the same
        rows["pagination"] = rows["pagination"] | {"allow_repeated_pages": True}
    start = {} if shape.counts else {"start_date": "2026-01-01T00:00:00Z"}
    return {"base_url": url, "state_every": 2, "retries": {"tries": 1}, "streams": [rows], **start}


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with pytest.MonkeyPatch.context() as patch, serving({}) as api:
        patch.setenv("NO_PROXY", "*")
        yield api


def sync(api: Api, config: dict[str, Any], run: Run, target: Target, skew: int) -> int:
    """Run the tap, whose own clock is off by ``skew`` seconds; return how many rows are committed."""
    api.routes["/rows"] = run
    now = run.source.now + skew
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(written):
        patch.setattr(windowed, "own_clock", lambda: (EPOCH + timedelta(seconds=now)).timestamp())
        is_over = True
        try:
            TapRest(config=json.loads(json.dumps(config)), state=target.state, setup_mapper=False).sync()
        except RetryableError:
            is_over = False
        except BadDataError as error:
            if not (run.is_crowded and ("max_rows" in str(error) or "too much by `errors`" in str(error))):
                raise
            raise Crowded from None
    assert run.refused == []
    roll = run.source.roll
    return target.take(
        written.buffer.getvalue().decode(),  # type: ignore[attr-defined]  a BytesIO
        lambda count: count - 1 if is_over else roll.randrange(count),
    )


def play(api: Api, seed: int, shape: Shape, *, has_key: bool, concurrency: int = 1) -> list[str]:
    """Return what is wrong at the end."""
    roll = random.Random(seed)
    source = Source(roll, has_key, deletes=True, futures=False, is_coarse=roll.random() < 0.3)
    for _ in range(roll.randrange(12)):
        source.insert()
    target = Target()
    config = config_of(api.url, shape, has_key=has_key) | {"concurrency": concurrency}
    skew = roll.choice([0, 0, -3, 3, -20])
    for _ in range(5):
        kill_at = roll.randrange(1, 12) if roll.random() < 0.5 else None
        sync(api, config, Run(source, shape, roll.randrange(3), kill_at), target, skew)
        for _ in range(roll.randrange(6)):
            source.change()
    quiet = 0
    for _ in range(12):
        source.now += 2
        quiet = quiet + 1 if sync(api, config, Run(source, shape, 0, None), target, skew) == 0 else 0
        if quiet == 2:
            break
    assert quiet == 2, "the same rows are sent for ever"
    if has_key:
        return [
            f"{row} is {target.keyed.get(row.id)}"
            for row in source.rows.values()
            if target.keyed.get(row.id) != (row.version, None)
        ]
    here = Counter((row.id, shown(row.key, shape), None) for row in source.rows.values())
    return [f"lost {here - target.rows}, doubled {target.rows - here}"] if here != target.rows else []


ENDS = {"inclusive": ("inclusive", 0), "exclusive": ("exclusive", 0), "whole seconds": ("inclusive", 1)}


@settings(max_examples=tries(4), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    paging=st.sampled_from(sorted(PAGING)),
    ends=st.sampled_from(sorted(ENDS)),
    has_key=st.booleans(),
    counts=st.booleans(),
    loose=st.sampled_from(["", "", "to", "from", "from to"]),
    concurrency=st.sampled_from([1, 1, 3]),
)
@example(seed=0, paging="by id", ends="exclusive", has_key=False, counts=False, loose="from", concurrency=1)
def test_the_newest_version_of_every_row_arrives(
    api: Api, seed: int, paging: str, ends: str, has_key: bool, counts: bool, loose: str, concurrency: int
) -> None:
    # A sorted stream that goes on by its key asks from there on, and would not be given what it asks for.
    shape = Shape(paging, *ENDS[ends], counts, loose.replace("from", "") if paging == "following" else loose)
    assert play(api, seed, shape, has_key=has_key, concurrency=concurrency) == []


@settings(max_examples=tries(5), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    paging=st.sampled_from(sorted(PAGING)),
    ends=st.sampled_from(sorted(ENDS)),
    has_key=st.booleans(),
    span=st.sampled_from(["one", "times", "numbers"]),
    refuses=st.sampled_from(["nothing", "a page", "a question"]),
    concurrency=st.sampled_from([1, 1, 3]),
)
def test_an_api_that_gives_only_so_many_rows_of_one_question(
    api: Api, seed: int, paging: str, ends: str, has_key: bool, span: str, refuses: str, concurrency: int
) -> None:
    until, grain = ENDS[ends]
    is_one = span == "one"
    shape = Shape(
        paging,
        until,
        0 if is_one else grain,
        span == "numbers",
        cap=6,
        refuses=refuses == "a page",
        is_one=is_one,
        splits=refuses == "a question" and span != "numbers",
    )
    with suppress(Crowded):
        assert play(api, seed, shape, has_key=has_key, concurrency=concurrency) == []
