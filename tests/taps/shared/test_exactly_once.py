"""Runs cut short at random places, with a target that commits at each STATE: nothing is lost or doubled.

The checker shares nothing with the code: the target here is a list that keeps what came before the last STATE.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries

from singerkit_shell.errors import RetryableError

DAYS = st.sampled_from(
    ["2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00", "2024-01-02T00:00:00.5Z", "2024-01-03T00:00:00Z"]
)
ROWS = st.lists(st.tuples(st.integers(1, 4), DAYS), max_size=12)


class Target:
    """Commits what it has when a STATE comes, drops the rest at the end."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {"orders": [], "items": []}
        self.state: dict[str, Any] = {}

    def load(self, messages: list[dict[str, Any]]) -> None:
        waiting: list[tuple[str, dict[str, Any]]] = []
        for message in messages:
            if message["type"] == "RECORD":
                waiting.append((message["stream"], message["record"]))
            if message["type"] == "STATE":
                for stream, record in waiting:
                    self.rows[stream].append(record)
                waiting = []
                self.state = message["value"]


def pages_of(rows: list[Any], size: int) -> list[Any]:
    return [rows[begin : begin + size] for begin in range(0, len(rows), size)]


def instant(row: dict[str, Any]) -> str:
    return row["at"].replace("2024-01-01T01:00:00+01:00", "2024-01-01T00:00:00Z")


def run_until_done(
    example, config: dict[str, Any], target: Target, pages: list[Any], cuts: list[int]
) -> None:
    """Run with a failure after each of ``cuts`` pages in turn, then without."""
    for cut in [*cuts, None]:
        shown = pages if cut is None else [*pages[:cut], "fail", *pages[cut:]]
        example.pages(*shown)
        try:
            messages = example.sync(config, target.state).messages
        except RetryableError:
            messages = example.what_was_written().messages
        target.load(messages)


@settings(max_examples=tries(30), deadline=None)
@given(
    rows=ROWS,
    size=st.integers(1, 4),
    cuts=st.lists(st.integers(0, 6), max_size=3),
    more=ROWS,
    is_sorted=st.booleans(),
    every=st.integers(1, 5),
    filters=st.booleans(),
)
def test_a_stream_without_a_key(make_example, rows, size, cuts, more, is_sorted, every, filters):
    with tempfile.TemporaryDirectory() as folder:
        example, target = make_example(Path(folder)), Target()
        stream = example.stream(
            key_properties=[], replication_key="at", is_sorted=is_sorted, server_filters=filters
        )
        config = example.config(stream, state_every=every)
        source = [{"id": number, "at": at} for number, at in rows]
        last = max(map(instant, source), default="")
        # What is added later lies at or above what was there: an append-only source.
        added = [row for row in ({"id": number, "at": at} for number, at in more) if instant(row) >= last]
        for content in (source, source + added):
            content = sorted(content, key=instant) if is_sorted else content
            run_until_done(example, config, target, pages_of(content, size), cuts)
        read = [{"id": row["id"], "at": row["at"]} for row in target.rows["orders"]]
        assert Counter(map(json.dumps, read)) == Counter(map(json.dumps, source + added))


@settings(max_examples=tries(20), deadline=None)
@given(
    count=st.integers(0, 6),
    items=st.lists(st.integers(0, 5), max_size=10),
    size=st.integers(1, 3),
    cuts=st.lists(st.integers(0, 5), max_size=3),
    every=st.integers(1, 4),
    parent_key=st.sampled_from([None, "at"]),
    keys=st.sampled_from([["id"], []]),
)
def test_children_without_a_key_follow_their_parents(
    make_example, count, items, size, cuts, every, parent_key, keys
):
    with tempfile.TemporaryDirectory() as folder:
        example, target = make_example(Path(folder)), Target()
        parents = [{"id": number, "at": f"2024-01-0{1 + number // 2}T00:00:00Z"} for number in range(count)]
        children = [{"order": order, "id": number} for number, order in enumerate(items)]
        example.pages(children, name="items")
        schema = {"type": "object", "properties": {"id": {"type": "integer"}, "order": {"type": "integer"}}}
        settings_of_parent = {"replication_key": parent_key, "is_sorted": True} if parent_key else {}
        config = example.config(
            example.stream(key_properties=keys, **settings_of_parent),
            example.stream(
                name="items", schema=schema, key_properties=[], parent="orders", parent_key="order"
            ),
            state_every=every,
        )
        run_until_done(example, config, target, pages_of(parents, size), cuts)
        expected = Counter(json.dumps(child) for child in children if child["order"] < count)
        sent = Counter(json.dumps({"order": row["order"], "id": row["id"]}) for row in target.rows["items"])
        assert sent == expected
        assert {row["id"] for row in target.rows["orders"]} == set(range(count))
