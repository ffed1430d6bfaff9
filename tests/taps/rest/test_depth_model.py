"""Three levels of streams that change while they are read, by runs that fail, with other streams selected each time: when the
changes stop, the target has what the source has.
"""

from __future__ import annotations

import itertools
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries
from taps.rest.api_server import Asked, Reply, json_reply
from taps.rest.levels import NAMES, Pipeline, Source, served, stream


class Unsteady(Source):
    """Changes, fails and loses sight of rows between two answers."""

    changes = fails = loses = 0.0

    def answer(self, asked: Asked) -> Reply:
        roll = self.roll
        if roll.random() < self.changes:
            self.change()
        if roll.random() < self.fails:
            return json_reply({"message": "no"}, 418)
        is_first_page = asked.path != "/a" and asked.param("after") is None
        self.gone = {asked.path} if is_first_page and roll.random() < self.loses else set()
        return super().answer(asked)


def streams_of(roll: random.Random, *, may_be_absent: bool) -> list[dict[str, Any]]:
    """Return the three streams, read in one of many ways."""
    incremental = {name: roll.random() < 0.7 for name in NAMES}
    found = [stream("a", incremental=incremental["a"])]
    for above, name in itertools.pairwise(NAMES):
        parent: dict[str, Any] = {"read": "changed"} if incremental[above] and roll.random() < 0.6 else {}
        parent |= {"on_404": "skip"} if may_be_absent else {}
        if incremental[name]:
            parent["bookmarks"] = "each" if may_be_absent else roll.choice(["each", "shared"])
        found.append(stream(name, incremental=incremental[name], **parent))
    return found


def select(streams: list[dict[str, Any]], roll: random.Random) -> None:
    for one in streams:
        one["selected"] = roll.random() < 0.65
    if not any(one["selected"] for one in streams):
        streams[-1]["selected"] = True


@settings(max_examples=tries(4), deadline=None)
@given(st.integers(0, 2**32))
def test_the_target_comes_to_have_what_the_source_has(seed: int) -> None:
    roll = random.Random(seed)
    may_be_absent, flips = roll.random() < 0.3, roll.random() < 0.4
    streams = streams_of(roll, may_be_absent=may_be_absent)
    select(streams, roll)
    source = Unsteady(roll, bubbles=any(one.get("parent", {}).get("read") for one in streams))
    for _ in range(roll.randrange(1, 4)):
        source.change()
    with served(source) as api:
        pipeline = Pipeline(api.url, streams, state_every=roll.choice([1, 2, 10_000]))
        chosen = {one["name"]: one["selected"] for one in streams}
        for _ in range(roll.randrange(1, 7)):
            source.changes, source.fails = roll.choice([0, 0.2, 0.6]), roll.choice([0, 0, 0.1])
            source.loses = roll.choice([0, 0.3]) if may_be_absent else 0
            if flips:
                select(streams, roll)
            pipeline.run(roll)
            for _ in range(roll.randrange(6)):
                source.change()
        source.changes = source.fails = source.loses = 0
        for one in streams:
            one["selected"] = chosen[one["name"]]
        for _ in range(3):
            pipeline.run()
    expected = source.expected()
    for name in NAMES:
        if chosen[name]:
            assert pipeline.tables[name] == expected[name]
