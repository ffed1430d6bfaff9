"""A source that changes between any two answers of a read, and runs that are killed: nothing is lost, nothing doubled.

The engine is the real one, the source a model: rows whose key grows with each change, read in pages of two. Between
two answers changes strike: inserts, updates, deletes, ties, rows dated ahead of the clock, rows that go back to what they
said before under the same key value, rows that move from one parent to another and back. A run may end at any answer;
what is committed then is any STATE that it had written. When the changes stop, runs go on until two in a row have
sent nothing: then the newest version of every row has arrived, and rows without a key exactly once.
"""

from __future__ import annotations

import io
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries

from singerkit_shell.errors import RetryableError
from singerkit_state.tracker import Signpost
from singerkit_tap.contract import Context, Page, Start
from singerkit_tap.shell import SingerkitTap
from singerkit_tap.stream import BlockStream
from singerkit_wire.encode import RawRecord

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FUTURE = 10**7


class Killed(Exception):
    """The process is gone: no STATE, no word."""


@dataclass
class Row:
    id: int
    key: int
    version: int
    parent: int
    past: list[int] = field(default_factory=list)
    """The versions before this one at the same key value."""


@dataclass
class Source:
    """Rows by id, and a clock that moves with each change."""

    roll: random.Random
    has_key: bool
    deletes: bool
    futures: bool
    parents: int = 1
    is_coarse: bool = False
    moves: bool = False
    now: int = 0
    rows: dict[int, Row] = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=itertools.count)

    def tick(self) -> int:
        self.now += self.roll.choice([0, 0, 0, 0, 0, 1] if self.is_coarse else [0, 1, 1, 3])
        return self.now

    def insert(self) -> None:
        if self.roll.random() < 0.05:
            self.parents += 1
        is_future = self.futures and self.roll.random() < 0.1
        key = FUTURE + self.roll.randrange(3) if is_future else self.tick()
        # Without a key two rows may be equal in every field.
        number = next(self.ids)
        shown = number if self.has_key else self.roll.randrange(4)
        self.rows[number] = Row(shown, key, 0, self.roll.randrange(self.parents))

    def change(self) -> None:
        kind = self.roll.random()
        if kind < 0.3 or not self.rows or not self.has_key:
            self.insert()
        elif kind < 0.4 and self.deletes:
            del self.rows[self.roll.choice(list(self.rows))]
        elif kind < 0.6 and self.moves:
            self.move()
        else:
            among = [number for number, row in self.rows.items() if not self.is_coarse or row.key == self.now]
            self.rewrite(self.rows[self.roll.choice(among or list(self.rows))])

    def move(self) -> None:
        """Put a row that is still asked for below another parent, as it is."""
        among = [row for row in self.rows.values() if row.key == self.now]
        if among:
            self.roll.choice(among).parent = self.roll.randrange(self.parents)

    def rewrite(self, row: Row) -> None:
        """Change a row: to a new version, or back to one that it had at the same key value."""
        key = self.tick()
        if key != row.key:
            row.key, row.past = key, []
        row.past.append(row.version)
        is_back = len(row.past) > 1 and self.roll.random() < 0.5
        row.version = row.past[-2] if is_back else max(row.past) + 1

    def fitting(self, since: int | None, parent: int | None, order: str) -> list[tuple[int, Row]]:
        found = [
            (number, replace(row))
            for number, row in self.rows.items()
            if (since is None or row.key >= since) and (parent is None or row.parent == parent)
        ]
        return sorted(found, key=(lambda item: item[0]) if order == "id" else place)


def place(item: tuple[int, Row]) -> tuple[int, int]:
    return item[1].key, item[0]


@dataclass
class Shape:
    """How the stream is read."""

    paging: str
    is_sorted: bool
    is_dated: bool
    has_clock: bool
    children: str | None
    memory: int
    signpost: Signpost = Signpost.AUTO


class Run:
    """What happens between the answers of one run, and where it ends."""

    def __init__(self, source: Source, busy: int, kill_at: int | None, ends_softly: bool) -> None:
        self.source, self.busy, self.kill_at, self.ends_softly = source, busy, kill_at, ends_softly
        self.answers = 0

    def answered(self) -> None:
        """Let changes strike after an answer; a busy source rests after a while, so that a read can end."""
        self.answers += 1
        if self.answers == self.kill_at:
            raise RetryableError("The source is away.") if self.ends_softly else Killed
        for _ in range(self.busy if self.answers < 30 else 0):
            self.source.change()


class ModelStream(BlockStream):
    shape: Shape
    run: Run

    def read_pages(self, context: Context | None, start: Start) -> Iterator[Page]:
        since = None if start.value is None else number_of(start.value)
        parent = None if context is None else int(context["parent"])
        for clock, page in self.answers(since, parent):
            yield Page([self.raw(row) for _, row in page], clock=clock)
            self.run.answered()

    def answers(self, since: int | None, parent: int | None) -> Iterator[tuple[float | None, Sequence[Any]]]:
        source, paging = self.run.source, self.shape.paging
        order = "id" if paging.endswith("-id") else "key"
        if paging == "follow-key":
            yield from self.following(since, parent)
            return
        offset, last = 0, None
        snapshot = source.fitting(since, parent, order) if paging.startswith("snapshot") else None
        while True:
            clock = self.clock()
            rows = snapshot if snapshot is not None else source.fitting(since, parent, order)
            if paging.startswith("keyset") and last is not None:
                rows = [item for item in rows if (item[0] if order == "id" else place(item)) > last]
                page = rows[:2]
            else:
                page = rows[offset : offset + 2]
            yield clock, page
            if not page:
                return
            offset += 2
            last = page[-1][0] if order == "id" else place(page[-1])

    def following(
        self, since: int | None, parent: int | None
    ) -> Iterator[tuple[float | None, Sequence[Any]]]:
        """Ask again with the last key, and leave out what came with it last; a page holds a whole tie."""
        known: dict[int, tuple[int, int]] = {}
        while True:
            clock = self.clock()
            rows = self.run.source.fitting(since, parent, "key")
            new = [item for item in rows if known.get(item[0]) != (item[1].key, item[1].version)]
            page = [item for item in new if item in new[:2] or item[1].key == new[:2][-1][1].key]
            yield clock, page
            if not page:
                return
            since = page[-1][1].key
            known |= {number: (row.key, row.version) for number, row in page}

    def clock(self) -> float | None:
        return EPOCH.timestamp() + self.run.source.now if self.shape.has_clock else None

    def raw(self, row: Row) -> bytes:
        key: Any = row.key
        if self.shape.is_dated:
            key = (EPOCH + timedelta(seconds=row.key)).isoformat().replace("+00:00", "Z")
        fields = [("id", row.id), ("key", key), ("version", row.version), ("answer", self.run.answers)]
        self.run.source.roll.shuffle(fields)  # the same row is never written in the same way twice
        return json.dumps(dict(fields)).encode()

    def child_contexts(
        self, records: Sequence[RawRecord], parent_context: Context | None
    ) -> Iterable[Context]:
        return [{"parent": json.loads(bytes(record))["id"]} for record in records]


class Parents(ModelStream):
    """All parents, one a page; a parent that is new may come in below one that was read."""

    def read_pages(self, context: Context | None, start: Start) -> Iterator[Page]:
        for number in itertools.count():
            if number >= self.run.source.parents:
                return
            yield Page([b'{"id": %d}' % number], clock=self.clock())
            self.run.answered()


def number_of(value: Any) -> int:
    if isinstance(value, str):
        return int((datetime.fromisoformat(value) - EPOCH).total_seconds())
    return int(value)


class ModelTap(SingerkitTap):
    name = "tap-model"
    config_jsonschema = {"type": "object", "properties": {}}  # noqa: RUF012  as singer-sdk has it
    shape: Shape
    run: Run

    def discover_streams(self) -> list[Any]:
        shape, has_key = self.shape, self.run.source.has_key
        key = {"type": "string", "format": "date-time"} if shape.is_dated else {"type": "integer"}
        properties = {
            "id": {"type": "integer"},
            "key": key,
            "version": {"type": "integer"},
            "parent": {"type": "integer"},
        }
        parent = None
        if shape.children is not None:
            parent = Parents(
                self, "parents", {"properties": {"id": {"type": "integer"}}}, key_properties=("id",)
            )
        rows = ModelStream(
            self,
            "rows",
            {"properties": properties},
            key_properties=("id",) if has_key else (),
            replication_key="key",
            is_sorted=shape.is_sorted,
            parent=parent,
            partition_bookmarks=shape.children == "each",
            follows_key=shape.paging == "follow-key",
            signpost=shape.signpost,
            memory_rows=shape.memory,
        )
        streams = [rows] if parent is None else [parent, rows]
        for stream in streams:
            stream.shape, stream.run = shape, self.run
        return streams


@dataclass
class Target:
    """Commits rows and state together, at a STATE."""

    state: dict[str, Any] = field(default_factory=dict)
    keyed: dict[int, tuple[int, int | None]] = field(default_factory=dict)
    rows: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    def take(self, lines: str, choose: Callable[[int], int]) -> int:
        """Commit up to one of the STATEs; return how many rows that were."""
        messages = [json.loads(line) for line in lines.splitlines()]
        states = [place for place, message in enumerate(messages) if message["type"] == "STATE"]
        if not states:
            return 0
        last = states[choose(len(states))]
        count = 0
        for message in messages[:last]:
            if message["type"] == "RECORD" and message["stream"] == "rows":
                record = message["record"]
                self.keyed[record["id"]] = record["version"], record.get("parent")
                self.rows[record["id"], record["key"], record.get("parent")] += 1
                count += 1
        self.state = messages[last]["value"]
        return count


def sync(shape: Shape, run: Run, target: Target, capture: Any) -> int:
    tap_class = type("OneTap", (ModelTap,), {"shape": shape, "run": run})
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with capture(written):
        is_over = True
        try:
            tap_class(config={"state_every": 2}, state=target.state).sync()
        except (Killed, RetryableError):
            is_over = False
    lines = written.buffer.getvalue().decode()  # type: ignore[attr-defined]  a BytesIO
    roll = run.source.roll
    return target.take(lines, lambda count: count - 1 if is_over else roll.randrange(count))


def play(seed: int, shape: Shape, *, has_key: bool, deletes: bool, futures: bool, runs: int = 6) -> list[str]:
    """Return what is wrong at the end."""
    roll = random.Random(seed)
    parents = 2 if shape.children else 1
    source = Source(roll, has_key, deletes, futures, parents, is_coarse=roll.random() < 0.5)
    source.moves = has_key and deletes and shape.children == "each"
    for _ in range(roll.randrange(12)):
        source.insert()
    target = Target()
    for _ in range(runs):
        kill_at = roll.randrange(1, 9) if roll.random() < 0.5 else None
        sync(shape, Run(source, roll.randrange(3), kill_at, roll.random() < 0.5), target, redirect_stdout)
        for _ in range(roll.randrange(4)):
            source.change()
    quiet = 0
    for _ in range(12):
        sent = sync(shape, Run(source, 0, None, False), target, redirect_stdout)
        quiet = quiet + 1 if sent == 0 else 0
        if quiet == 2:
            break
    assert quiet == 2 or shape.memory < 100, "the same rows are sent for ever"
    if has_key:
        return [
            f"{row} is {target.keyed.get(row.id)}"
            for row in source.rows.values()
            if target.keyed.get(row.id) != (row.version, row.parent if shape.children else None)
        ]
    here = Counter(
        (row.id, _shown(row.key, shape), row.parent if shape.children else None)
        for row in source.rows.values()
    )
    return (
        [
            f"lost {here - target.rows}" if here - target.rows else "",
            f"doubled {target.rows - here}" if target.rows - here else "",
        ]
        if here != target.rows
        else []
    )


def _shown(key: int, shape: Shape) -> Any:
    return (EPOCH + timedelta(seconds=key)).isoformat().replace("+00:00", "Z") if shape.is_dated else key


SHAPES = {
    "keyset-id": ("keyset-id", False),
    "offset-id": ("offset-id", False),
    "keyset-key": ("keyset-key", False),
    "keyset-key sorted": ("keyset-key", True),
    "follow-key": ("follow-key", False),
    "follow-key sorted": ("follow-key", True),
    "snapshot-key sorted": ("snapshot-key", True),
}


@pytest.mark.parametrize("children", [None, "shared", "each"])
@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=tries(6), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    has_key=st.booleans(),
    is_dated=st.booleans(),
    has_clock=st.booleans(),
    memory=st.sampled_from([3, 1000]),
)
def test_the_newest_version_of_every_row_arrives(
    name: str, children: str | None, seed: int, has_key: bool, is_dated: bool, has_clock: bool, memory: int
) -> None:
    paging, is_sorted = SHAPES[name]
    shape = Shape(paging, is_sorted, is_dated, has_clock, children, memory if has_key else 1000)
    wrong = play(
        seed,
        shape,
        has_key=has_key,
        deletes=not paging.startswith("offset"),
        futures=has_clock and is_dated,
    )
    assert wrong == []


def three_parents(at: int) -> tuple[Source, Row]:
    """A source whose row 7 stands below one of three parents, which are read in their order."""
    source = Source(random.Random(1), has_key=True, deletes=True, futures=False, parents=3, now=5)
    source.rows = {number: Row(number, 5, 0, number - 10) for number in (10, 11, 12)}
    moved = source.rows[7] = Row(7, 5, 0, at)
    return source, moved


EACH = Shape("keyset-id", False, False, False, "each", 1000)


@pytest.mark.parametrize(
    "way", [(0, 2, 0), (2, 0, 2), (0, 1, 2, 0), (2, 1, 0, 2), (1, 2, 0, 1), (0, 2, 0, 2, 1)]
)
def test_a_row_that_comes_back_below_a_parent_is_sent_again(way: tuple[int, ...]) -> None:
    """The parent that remembers the row is read before or after the one that has sent it last."""
    source, moved = three_parents(way[0])
    target = Target()
    for parent in way:
        moved.parent = parent
        sync(EACH, Run(source, 0, None, False), target, redirect_stdout)
        assert target.keyed[7] == (0, parent)
    assert sync(EACH, Run(source, 0, None, False), target, redirect_stdout) == 0


class Moving(Run):
    """A run in which row 7 goes below the last parent when the first has been read."""

    def answered(self) -> None:
        self.answers += 1
        if self.answers == 2:
            self.source.rows[7].parent = 2


def test_a_row_that_is_sent_below_two_parents_in_one_run_is_sent_again_below_the_first() -> None:
    source, moved = three_parents(0)
    target = Target()
    sync(EACH, Moving(source, 0, None, False), target, redirect_stdout)
    assert (target.rows[7, 5, 0], target.rows[7, 5, 2]) == (1, 1)
    moved.parent = 0
    assert sync(EACH, Run(source, 0, None, False), target, redirect_stdout) == 1
    assert target.keyed[7] == (0, 0)


def test_the_model_finds_a_bookmark_that_is_the_greatest_value() -> None:
    """What the property is worth: without a signpost it fails."""
    shape = Shape("keyset-id", False, True, False, None, 1000, Signpost.NONE)
    assert any(play(seed, shape, has_key=True, deletes=False, futures=False) for seed in range(40))
